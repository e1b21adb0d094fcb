//! Answers, and what they say of the cache.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use tower_keep_cache::{Stamp, Tag};
use tower_keep_core::{
    Dialect, GrpcCode, Rejection, ResponseBody,
    cache_status::{CacheStatus, Forward},
    decimal,
    time::UnixMillis,
};

use crate::{
    AiCacheOutcome, AiCacheStatus, BypassReason,
    entry::{Entry, Kept},
    outcome::count_saved,
    provider, sse,
    turn::Told,
};

/// What the cache did.
pub(crate) const X_AI_CACHE: HeaderName = HeaderName::from_static("x-ai-cache");

/// Fields that say what an answer is; nothing else of its head is told to others than its own
/// client: no cookie, no request's id, no account's limits.
const KEPT: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::CONTENT_LANGUAGE,
    HeaderName::from_static("openai-version"),
    HeaderName::from_static("anthropic-version"),
];

/// And those that say when to ask again, for those who share an error.
const RETRY: [HeaderName; 3] = [
    header::RETRY_AFTER,
    HeaderName::from_static("retry-after-ms"),
    HeaderName::from_static("x-should-retry"),
];

/// What is kept of an answer's head.
pub(crate) fn kept(headers: &HeaderMap) -> HeaderMap {
    only(headers, &KEPT)
}

/// What others are told of it who share it.
pub(crate) fn told(status: StatusCode, headers: &HeaderMap, since: (Stamp, Tag)) -> Told {
    let mut told = kept(headers);
    if !status.is_success() {
        told.extend(only(headers, &RETRY));
    }
    Told { since, oldest: None, status, headers: told }
}

fn only(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let lines = |name| headers.get_all(name).iter().map(move |value| (name, value));
    names.iter().flat_map(lines).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Answers with what is stored; `None` if it is no answer.
pub(crate) fn stored<R>(
    entry: &Entry,
    now: UnixMillis,
    cut_events: bool,
) -> Option<Response<ResponseBody<R>>> {
    let Kept::Answer { status, headers } = &entry.kept else { return None };
    let events = cut_events && provider::is_stream(headers);
    let mut answer = Response::new(if events {
        ResponseBody::cut(entry.body.clone(), sse::event_end)
    } else {
        ResponseBody::bytes(entry.body.clone())
    });
    *answer.status_mut() = *status;
    answer.headers_mut().clone_from(headers);
    let outcome = AiCacheOutcome {
        tokens_saved: entry.about.usage.total(),
        ..AiCacheOutcome::new(AiCacheStatus::Hit)
    };
    Some(aged(answer, outcome, entry.about.age(now), entry.about.ttl(now)))
}

/// Answers with what was put together from vectors. `age` is that of the oldest, and for how many
/// seconds all are still good, where all of them were stored.
pub(crate) fn assembled<R>(
    headers: HeaderMap,
    body: Bytes,
    status: AiCacheStatus,
    tokens_saved: u64,
    age: Option<(u64, i64)>,
) -> Response<ResponseBody<R>> {
    let mut answer = Response::new(ResponseBody::bytes(body));
    *answer.headers_mut() = headers;
    answer
        .headers_mut()
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    let outcome = AiCacheOutcome { tokens_saved, ..AiCacheOutcome::new(status) };
    match age {
        Some((age, ttl)) => aged(answer, outcome, age, ttl),
        None => passed(answer, outcome),
    }
}

/// Says of an answer that comes from the store how old it is, and for how long it is still good.
fn aged<B>(mut answer: Response<B>, outcome: AiCacheOutcome, age: u64, ttl: i64) -> Response<B> {
    answer.headers_mut().insert(header::AGE, decimal(age));
    let outcome = AiCacheOutcome { age: Some(Duration::from_secs(age)), ..outcome };
    say_so(answer, outcome, CacheStatus { hit: true, ttl: Some(ttl), ..CacheStatus::default() })
}

/// Answers with what another request brought.
pub(crate) fn shared<R>(told: &Told, body: ResponseBody<R>) -> Response<ResponseBody<R>> {
    let mut answer = Response::new(body);
    *answer.status_mut() = told.status;
    answer.headers_mut().clone_from(&told.headers);
    passed(answer, AiCacheOutcome::new(AiCacheStatus::Coalesced))
}

/// Says what the cache did with an answer of the upstream.
pub(crate) fn passed<B>(answer: Response<B>, outcome: AiCacheOutcome) -> Response<B> {
    let (hit, forward) = match outcome.status {
        AiCacheStatus::Hit => (true, None),
        AiCacheStatus::Miss | AiCacheStatus::Coalesced => (false, Some(Forward::UriMiss)),
        AiCacheStatus::Partial => (false, Some(Forward::Partial)),
        AiCacheStatus::Refresh => (false, Some(Forward::Request)),
        AiCacheStatus::Bypass => (false, Some(Forward::Bypass)),
    };
    let status = CacheStatus {
        hit,
        forward,
        collapsed: outcome.status == AiCacheStatus::Coalesced,
        detail: outcome.bypass.map(BypassReason::label),
        ..CacheStatus::default()
    };
    say_so(answer, outcome, status)
}

fn say_so<B>(
    mut answer: Response<B>,
    outcome: AiCacheOutcome,
    status: CacheStatus<'_>,
) -> Response<B> {
    count_saved(outcome.tokens_saved);
    let value = HeaderValue::from_static(outcome.status.as_str());
    // An upstream's own, if it is a cache of this kind too, is of another's answer.
    answer.headers_mut().insert(X_AI_CACHE, value);
    status.append(answer.headers_mut());
    answer.extensions_mut().insert(outcome);
    answer
}

/// The request's body broke off.
pub(crate) fn broken<R>() -> Response<ResponseBody<R>> {
    let (status, code) = (StatusCode::BAD_REQUEST, GrpcCode::InvalidArgument);
    let rejection = Rejection::new(status, code, "Incomplete request");
    rejection.detail("the request's body ended before it was complete").into_response(Dialect::Http)
}
