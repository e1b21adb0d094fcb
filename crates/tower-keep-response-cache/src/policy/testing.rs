//! What the tests of decisions make stored responses of.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tower_keep_cache::Stamp;
use tower_keep_core::time::UnixMillis;

use crate::{
    freshness::Freshness,
    stored::{Part, Stored},
};

/// When stored responses of tests came in: 2024-01-01 00:00:00.
pub(crate) const RECEIVED: UnixMillis = UnixMillis(1_704_067_200_000);

/// Header fields, each value in UTF-8.
pub(crate) fn fields(fields: &[(&str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        })
        .collect()
}

/// A 200, fresh for a minute since [`RECEIVED`].
pub(crate) fn stored(headers: &[(&str, &str)], body: &'static str) -> Stored {
    Stored {
        status: StatusCode::OK,
        headers: fields(headers),
        body: Bytes::from_static(body.as_bytes()),
        part: None,
        freshness: Freshness {
            received: RECEIVED,
            initial_age: 0,
            lifetime: 60,
            heuristic: false,
            no_cache: false,
            must_revalidate: false,
            stale_while_revalidate: 0,
            stale_if_error: None,
        },
        selecting: crate::policy::vary::Selecting::default(),
        date: RECEIVED,
        tags: Vec::new(),
        stamp: Stamp::default(),
    }
}

/// A part of what is stored.
pub(crate) fn part(mut whole: Stored, first: u64, last: u64) -> Stored {
    let total = whole.body.len() as u64;
    whole.status = StatusCode::PARTIAL_CONTENT;
    whole.body = whole.body.slice(usize::try_from(first).unwrap()..=usize::try_from(last).unwrap());
    whole.part = Some(Part { first, last, total });
    whole
}
