//! Answers that are made here.

use http::{Extensions, HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use tower_keep_core::{Dialect, GrpcCode, Rejection, ResponseBody, time::UnixMillis};

use crate::{
    bypass::BypassReason,
    outcome::ResponseCacheOutcome,
    policy::{answer, status::CacheStatus},
    settings::Settings,
    stored::Stored,
};

/// Answers with what is stored.
pub(crate) fn stored<R>(
    stored: &Stored,
    (method, request): (&Method, &HeaderMap),
    now: UnixMillis,
    mut status: CacheStatus<'_>,
) -> Response<ResponseBody<R>> {
    status.ttl = Some(stored.freshness.ttl(now));
    let mut answer = answer::answer(method, request, stored, now);
    status.append(answer.headers_mut());
    answer.map(ResponseBody::bytes)
}

/// The request wanted what is stored or nothing (RFC 9111 §5.2.1.7).
pub(crate) fn not_stored<R>(method: &Method) -> Response<ResponseBody<R>> {
    let dialect = if *method == Method::HEAD { Dialect::HttpHead } else { Dialect::Http };
    let code = GrpcCode::Unavailable;
    let rejection = Rejection::new(StatusCode::GATEWAY_TIMEOUT, code, "Not stored");
    let mut answer = rejection.into_response(dialect);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let status = CacheStatus { detail: Some("only-if-cached"), ..CacheStatus::default() };
    status.append(answer.headers_mut());
    answer
}

impl Settings {
    /// Tells layers outside why a response was not stored or not looked for, where that is wanted.
    pub(crate) fn expose_reason(&self, reason: Option<BypassReason>, extensions: &mut Extensions) {
        if let (true, Some(reason)) = (self.expose_outcome, reason) {
            extensions.insert(reason);
        }
    }

    /// Tells the outcome to layers outside, where that is wanted.
    pub(crate) fn expose<R>(&self, outcome: ResponseCacheOutcome, answer: &mut Response<R>) {
        if self.expose_outcome {
            answer.extensions_mut().insert(outcome);
        }
    }
}
