//! A response as it is stored.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use tower_keep_cache::{Stamp, Tag};
use tower_keep_core::time::UnixMillis;

use crate::{
    freshness::Freshness,
    policy::{status, vary::Selecting},
};

/// One response, whole or a part of one, with all that decides about its use.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// 200, or what the service said; 206 for a part.
    pub(crate) status: StatusCode,
    /// The fields that are kept: none that were for one hop only. `Age` and `Cache-Status` are places
    /// for what is told with each answer, see [`reserve`](Self::reserve).
    pub(crate) headers: HeaderMap,
    /// All of it, or the part.
    pub(crate) body: Bytes,
    /// What of the whole the body is; `None` for all.
    pub(crate) part: Option<Part>,
    pub(crate) freshness: Freshness,
    /// By which request fields it was chosen, and what they said.
    pub(crate) selecting: Selecting,
    /// When its service says that it was made; when it came in where it says nothing.
    pub(crate) date: UnixMillis,
    pub(crate) tags: Vec<Tag>,
    pub(crate) stamp: Stamp,
}

/// The place of a part in the whole, in bytes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) total: u64,
}

impl Part {
    /// How many bytes it has; `None` if it is nowhere in the whole.
    pub(crate) fn len(self) -> Option<u64> {
        let fits = self.first <= self.last && self.last < self.total;
        fits.then(|| self.last - self.first + 1)
    }
}

impl Stored {
    /// Keeps places for the fields that are told with each answer, so that whoever copies the fields
    /// to tell them needs no more room.
    pub(crate) fn reserve(&mut self) {
        self.headers.insert(header::AGE, HeaderValue::from_static("0"));
        status::reserve(&mut self.headers);
        if self.part.is_none() && self.status != StatusCode::NO_CONTENT {
            let length = HeaderValue::from(self.body.len());
            self.headers.entry(header::CONTENT_LENGTH).or_insert(length);
        }
        // A copy has no room to spare, which what grew has.
        self.headers = self.headers.clone();
    }

    /// How many bytes it takes in memory, about.
    pub(crate) fn weight(&self) -> usize {
        /// What a header map has for each field besides its value.
        const FIELD: usize = 120;
        let headers =
            self.headers.iter().map(|(name, value)| FIELD + name.as_str().len() + value.len());
        size_of::<Self>()
            + headers.sum::<usize>()
            + self.body.len()
            + self.tags.len() * size_of::<Tag>()
            + self.selecting.weight()
    }
}

impl Selecting {
    /// How many bytes it takes in memory, about.
    pub(crate) fn weight(&self) -> usize {
        let field = |(name, value): &(String, Option<Vec<u8>>)| {
            size_of::<(String, Option<Vec<u8>>)>() + name.len() + value.as_ref().map_or(0, Vec::len)
        };
        self.0.iter().map(field).sum()
    }
}
