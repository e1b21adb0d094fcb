//! How a layer says no: the one place that turns a refusal into HTTP or gRPC.

use std::{borrow::Cow, num::NonZeroU64};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::{Head, ResponseBody};

/// What `grpc-message` may not hold as it is (gRPC over HTTP/2, `Percent-Encoded`).
const GRPC_MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// The gRPC status codes that the layers answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GrpcCode {
    /// The request itself is wrong.
    InvalidArgument = 3,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// A quota is used up.
    ResourceExhausted = 8,
    /// The service has failed.
    Internal = 13,
    /// The service cannot answer now.
    Unavailable = 14,
    /// The caller is not known, or not any more.
    Unauthenticated = 16,
}

/// The language in which a refused caller has to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Plain HTTP: a status and a problem document.
    Http,
    /// Plain HTTP asked by `HEAD`: the same head, no body.
    HttpHead,
    /// gRPC: HTTP 200 and a trailers-only reply.
    Grpc,
    /// gRPC-Web: the same, under its own content type.
    GrpcWeb,
}

impl Dialect {
    /// The dialect that a request speaks, told by its method and content type.
    pub fn of<'a>(head: impl Into<Head<'a>>) -> Self {
        let head = head.into();
        let content_type = head.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let after = |prefix: &[u8]| {
            content_type
                .filter(|value| value.len() >= prefix.len())
                .and_then(|value| value.split_at_checked(prefix.len()))
                .filter(|(start, _)| start.eq_ignore_ascii_case(prefix))
                .is_some_and(|(_, rest)| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
        };
        if after(b"application/grpc") {
            Self::Grpc
        } else if after(b"application/grpc-web") || after(b"application/grpc-web-text") {
            Self::GrpcWeb
        } else if *head.method() == Method::HEAD {
            Self::HttpHead
        } else {
            Self::Http
        }
    }

    /// Whether the caller speaks gRPC or gRPC-Web.
    pub const fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::GrpcWeb)
    }
}

/// A refusal, said once and rendered in the caller's dialect: as `application/problem+json`
/// (RFC 9457), or as a gRPC trailers-only reply.
///
/// ```
/// use http::StatusCode;
/// use tower_keep_core::{Dialect, GrpcCode, Rejection};
///
/// let no = Rejection::new(StatusCode::FORBIDDEN, GrpcCode::PermissionDenied, "unknown tenant");
/// let http = no.clone().into_response::<()>(Dialect::Http);
/// assert_eq!(http.status(), 403);
/// assert_eq!(http.headers()["content-type"], "application/problem+json");
/// let grpc = no.into_response::<()>(Dialect::Grpc);
/// assert_eq!((grpc.status().as_u16(), &grpc.headers()["grpc-status"]), (200, &"7".parse().unwrap()));
/// ```
#[derive(Clone, Debug)]
pub struct Rejection {
    status: StatusCode,
    code: GrpcCode,
    kind: &'static str,
    title: Cow<'static, str>,
    detail: Option<Cow<'static, str>>,
    members: Map<String, Value>,
    headers: HeaderMap,
    retry_after: Option<NonZeroU64>,
}

impl Rejection {
    /// A refusal with `status` over HTTP and `code` over gRPC. `title` says in a few words what
    /// kind of problem it is, and is the gRPC message.
    pub fn new(status: StatusCode, code: GrpcCode, title: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            kind: "about:blank",
            title: title.into(),
            detail: None,
            members: Map::new(),
            headers: HeaderMap::new(),
            retry_after: None,
        }
    }

    /// The problem type, a URI (default `about:blank`).
    #[must_use]
    pub const fn kind(mut self, uri: &'static str) -> Self {
        self.kind = uri;
        self
    }

    /// What went wrong this time, for a person.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// An extension member of the problem document.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// A header of the answer, in either dialect, beside those already there.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// When to come back, in seconds: `Retry-After`, and over gRPC `grpc-retry-pushback-ms` too.
    #[must_use]
    pub const fn retry_after(mut self, seconds: NonZeroU64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The answer in the caller's dialect. It is never to be stored by a cache.
    pub fn into_response<B>(mut self, dialect: Dialect) -> Response<ResponseBody<B>> {
        let mut response = Response::new(ResponseBody::empty());
        let headers = response.headers_mut();
        headers.extend(std::mem::take(&mut self.headers));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.get()));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if dialect.is_grpc() {
            self.write_trailers_only(dialect, headers);
        } else {
            let document = self.problem();
            let media_type = HeaderValue::from_static("application/problem+json");
            headers.insert(header::CONTENT_TYPE, media_type);
            *response.status_mut() = self.status;
            if dialect == Dialect::HttpHead {
                let length = HeaderValue::from(document.len());
                response.headers_mut().insert(header::CONTENT_LENGTH, length);
            } else {
                *response.body_mut() = ResponseBody::bytes(document);
            }
        }
        response
    }

    fn write_trailers_only(&self, dialect: Dialect, headers: &mut HeaderMap) {
        let media_type = match dialect {
            Dialect::GrpcWeb => "application/grpc-web",
            _ => "application/grpc",
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert("grpc-status", HeaderValue::from(self.code as u16));
        let message = utf8_percent_encode(&self.title, GRPC_MESSAGE).to_string();
        if let Ok(message) = HeaderValue::try_from(message) {
            headers.insert("grpc-message", message);
        }
        if let Some(seconds) = self.retry_after {
            let pushback = seconds.get().saturating_mul(1000);
            headers.insert("grpc-retry-pushback-ms", HeaderValue::from(pushback));
        }
    }

    fn problem(&mut self) -> Bytes {
        let mut document = std::mem::take(&mut self.members);
        document.insert("type".to_owned(), self.kind.into());
        document.insert("title".to_owned(), std::mem::take(&mut self.title).into());
        document.insert("status".to_owned(), self.status.as_u16().into());
        if let Some(detail) = self.detail.take() {
            document.insert("detail".to_owned(), detail.into());
        }
        Value::Object(document).to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, request::Parts};
    use http_body::Body as _;
    use http_body_util::{BodyExt as _, Empty};

    use super::*;

    type Inner = Empty<Bytes>;

    fn head(method: Method, content_type: Option<&str>) -> Parts {
        let mut request = Request::builder().method(method).uri("/");
        if let Some(value) = content_type {
            request = request.header("content-type", value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_dialect_is_told_by_content_type_and_method() {
        for (content_type, expected) in [
            (None, Dialect::Http),
            (Some("application/json"), Dialect::Http),
            (Some("application/grpcx"), Dialect::Http),
            (Some("application/grp"), Dialect::Http),
            (Some("application/grpc"), Dialect::Grpc),
            (Some("Application/gRPC+proto"), Dialect::Grpc),
            (Some("application/grpc; charset=x"), Dialect::Grpc),
            (Some("application/grpc-web"), Dialect::GrpcWeb),
            (Some("application/grpc-web+proto"), Dialect::GrpcWeb),
            (Some("application/grpc-web-text"), Dialect::GrpcWeb),
        ] {
            assert_eq!(
                Dialect::of(&head(Method::POST, content_type)),
                expected,
                "{content_type:?}"
            );
        }
        assert_eq!(Dialect::of(&head(Method::HEAD, None)), Dialect::HttpHead);
    }

    fn refusal() -> Rejection {
        Rejection::new(StatusCode::TOO_MANY_REQUESTS, GrpcCode::ResourceExhausted, "100 % used")
            .kind("https://example.com/problem")
            .detail("come back")
            .member("violated-policies", vec!["default"])
            .header(HeaderName::from_static("ratelimit"), HeaderValue::from_static("x"))
            .retry_after(NonZeroU64::new(7).unwrap())
    }

    #[tokio::test]
    async fn http_gets_a_problem_document() {
        let response = refusal().into_response::<Inner>(Dialect::Http);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "7");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["ratelimit"], "x");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let document: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "type": "https://example.com/problem", "title": "100 % used", "status": 429,
                "detail": "come back", "violated-policies": ["default"],
            })
        );
    }

    #[test]
    fn head_gets_the_same_head_and_no_body() {
        let full = refusal().into_response::<Inner>(Dialect::Http);
        let head = refusal().into_response::<Inner>(Dialect::HttpHead);
        assert_eq!(head.status(), 429);
        assert!(head.body().is_end_stream());
        let length = full.body().size_hint().exact().unwrap().to_string();
        assert_eq!(head.headers()["content-length"], length.as_str());
    }

    #[test]
    fn grpc_gets_trailers_only() {
        for (dialect, media_type) in
            [(Dialect::Grpc, "application/grpc"), (Dialect::GrpcWeb, "application/grpc-web")]
        {
            let response = refusal().into_response::<Inner>(dialect);
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-type"], media_type);
            assert_eq!(response.headers()["grpc-status"], "8");
            assert_eq!(response.headers()["grpc-message"], "100 %25 used");
            assert_eq!(response.headers()["grpc-retry-pushback-ms"], "7000");
            assert!(response.body().is_end_stream(), "END_STREAM must be on the head");
        }
    }
}
