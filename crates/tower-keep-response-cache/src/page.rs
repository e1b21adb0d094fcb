//! All that is stored for one target: a value of the cache.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use tower_keep_cache::{Generations, Name, Stamp, Tag, Validity, Value};
use tower_keep_core::time::UnixMillis;

use crate::{
    freshness::Freshness,
    policy::{status, vary::Selecting},
    stored::{Part, Stored},
};

/// How many variants are kept of one target.
pub(crate) const MAX_VARIANTS: usize = 64;

/// How many bytes the bodies of all variants have together that lie in one value. The newest may
/// be longer by itself.
pub(crate) const MAX_TOGETHER: usize = 256 * 1024;

/// The responses to requests for one target that differ by what was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// Those that lie here, the newest first.
    pub(crate) here: Vec<Arc<Stored>>,
    /// Those that lie in values of their own, because there was no more room here.
    pub(crate) apart: Vec<Apart>,
    /// Until when it is worth keeping.
    pub(crate) until: UnixMillis,
}

/// A response that lies elsewhere: what must be known of it to tell whether it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Apart {
    pub(crate) selecting: Selecting,
    pub(crate) part: Option<Part>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) stamp: Stamp,
}

/// A page with one more response, and what must be put in values of its own for that.
#[derive(Debug)]
pub(crate) struct Grown {
    pub(crate) page: Page,
    pub(crate) moved: Vec<Arc<Stored>>,
}

impl Page {
    /// It with `new`, and without what is gone. `replaced` says whose place `new` takes, by the
    /// request fields that they were chosen by and their part of the whole.
    pub(crate) fn with(
        &self,
        new: Arc<Stored>,
        until: UnixMillis,
        generations: &Generations,
        replaced: impl Fn(&Selecting, Option<Part>) -> bool,
    ) -> Grown {
        let mut together = new.body.len();
        let mut page = Self { here: vec![new], apart: Vec::new(), until: self.until.max(until) };
        let mut moved = Vec::new();
        for stored in &self.here {
            let room = page.here.len() + page.apart.len() < MAX_VARIANTS;
            if !room || replaced(&stored.selecting, stored.part) || is_gone(stored, generations) {
                continue;
            }
            if together + stored.body.len() <= MAX_TOGETHER {
                together += stored.body.len();
                page.here.push(Arc::clone(stored));
            } else {
                page.apart.push(Apart::of(stored));
                moved.push(Arc::clone(stored));
            }
        }
        for apart in &self.apart {
            let room = page.here.len() + page.apart.len() < MAX_VARIANTS;
            let tags = apart.tags.iter().copied();
            let gone = generations.judge(apart.stamp, tags) == Validity::Gone;
            if room && !gone && !replaced(&apart.selecting, apart.part) {
                page.apart.push(apart.clone());
            }
        }
        Grown { page, moved }
    }

    /// It without the responses that are `dropped`; `None` if it had none of them.
    pub(crate) fn without(&self, dropped: impl Fn(&Selecting) -> bool) -> Option<Self> {
        let mut page = self.clone();
        page.here.retain(|stored| !dropped(&stored.selecting));
        page.apart.retain(|apart| !dropped(&apart.selecting));
        let same = (page.here.len(), page.apart.len()) == (self.here.len(), self.apart.len());
        (!same).then_some(page)
    }

    /// Whether nothing of it is of use to anybody any more.
    pub(crate) fn is_gone(&self, generations: &Generations) -> bool {
        let gone = |apart: &Apart| {
            generations.judge(apart.stamp, apart.tags.iter().copied()) == Validity::Gone
        };
        self.here.iter().all(|stored| is_gone(stored, generations)) && self.apart.iter().all(gone)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.here.is_empty() && self.apart.is_empty()
    }
}

pub(crate) fn is_gone(stored: &Stored, generations: &Generations) -> bool {
    generations.judge(stored.stamp, stored.tags.iter().copied()) == Validity::Gone
}

impl Apart {
    fn of(stored: &Stored) -> Self {
        let Stored { selecting, part, tags, stamp, .. } = stored;
        Self { selecting: selecting.clone(), part: *part, tags: tags.clone(), stamp: *stamp }
    }

    /// What the value is called that it lies in.
    pub(crate) fn name(selecting: &Selecting, part: Option<Part>, page: &Name) -> Name {
        // What can be made of these types always can.
        let which = postcard::to_stdvec(&(selecting, part)).unwrap_or_default();
        // Begins with a byte that no identity of a page begins with.
        Name::new(page.tenant(), [b"\xffvariant", page.as_bytes(), &which].concat())
    }
}

/// A page as it is written: all but the bodies. Names and values of fields stay where they are
/// read from.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    here: Vec<Head<'a>>,
    apart: Vec<Apart>,
    until: UnixMillis,
}

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    status: u16,
    #[serde(borrow)]
    headers: Vec<(&'a str, &'a [u8])>,
    len: u64,
    part: Option<Part>,
    freshness: Freshness,
    selecting: Selecting,
    date: UnixMillis,
    tags: Vec<Tag>,
    stamp: Stamp,
}

impl<'a> Head<'a> {
    fn of(stored: &'a Stored) -> Self {
        let told = |(name, value): &(&HeaderName, &HeaderValue)| {
            **name != header::AGE && !(*name == "cache-status" && status::is_reserved(value))
        };
        let headers = stored.headers.iter().filter(told);
        Self {
            status: stored.status.as_u16(),
            headers: headers.map(|(name, value)| (name.as_str(), value.as_bytes())).collect(),
            len: stored.body.len() as u64,
            part: stored.part,
            freshness: stored.freshness.clone(),
            selecting: stored.selecting.clone(),
            date: stored.date,
            tags: stored.tags.clone(),
            stamp: stored.stamp,
        }
    }

    fn read(self, body: Bytes) -> Option<Stored> {
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 3);
        for (name, value) in self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let value = HeaderValue::from_bytes(value).ok()?;
            headers.try_append(name, value).ok()?;
        }
        if self.part.is_some_and(|part| part.len() != Some(body.len() as u64)) {
            return None;
        }
        let mut stored = Stored {
            status: StatusCode::from_u16(self.status).ok()?,
            headers,
            body,
            part: self.part,
            freshness: self.freshness,
            selecting: self.selecting,
            date: self.date,
            tags: self.tags,
            stamp: self.stamp,
        };
        stored.reserve();
        Some(stored)
    }
}

impl Value for Page {
    const KIND: &'static str = "http";
    const FORMAT: u8 = 1;

    fn encode(&self, meta: &mut Vec<u8>, body: &mut Vec<u8>) {
        for stored in &self.here {
            body.extend_from_slice(&stored.body);
        }
        let here = self.here.iter().map(|stored| Head::of(stored)).collect();
        let written = Written { here, apart: self.apart.clone(), until: self.until };
        // What cannot be written is nothing, which is read as no page.
        meta.extend(postcard::to_stdvec(&written).unwrap_or_default());
    }

    fn decode(meta: &[u8], mut body: Bytes) -> Option<Self> {
        let (written, rest) = postcard::take_from_bytes::<Written<'_>>(meta).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut here = Vec::with_capacity(written.here.len().min(MAX_VARIANTS));
        for head in written.here {
            let len = usize::try_from(head.len).ok().filter(|len| *len <= body.len())?;
            here.push(Arc::new(head.read(body.split_to(len))?));
        }
        body.is_empty().then_some(Self { here, apart: written.apart, until: written.until })
    }

    fn weight(&self) -> usize {
        let apart = |apart: &Apart| {
            size_of::<Apart>() + apart.tags.len() * size_of::<Tag>() + apart.selecting.weight()
        };
        size_of::<Self>()
            + self.here.iter().map(|stored| stored.weight()).sum::<usize>()
            + self.apart.iter().map(apart).sum::<usize>()
    }
}
