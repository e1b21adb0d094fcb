//! How the program says no: a problem document (RFC 9457).

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// A refusal, to be answered.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: Option<String>,
    header: Option<(header::HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) const fn new(status: StatusCode, title: &'static str) -> Self {
        Self { status, title, detail: None, header: None }
    }

    /// A request that cannot be understood.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "the request cannot be understood").detail(detail)
    }

    /// A request that is understood, and cannot be done.
    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "this cannot be done").detail(detail)
    }

    pub(crate) const fn not_found(title: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, title)
    }

    /// Nobody may know more than this.
    pub(crate) fn unauthorized(title: &'static str) -> Self {
        let challenge = (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        Self { header: Some(challenge), ..Self::new(StatusCode::UNAUTHORIZED, title) }
    }

    /// Too much to do at the moment.
    pub(crate) fn busy(title: &'static str) -> Self {
        let soon = (header::RETRY_AFTER, HeaderValue::from_static("1"));
        Self { header: Some(soon), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, title) }
    }

    pub(crate) fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut document = json!({
            "type": "about:blank", "title": self.title, "status": self.status.as_u16(),
        });
        if let (Some(members), Some(detail)) = (document.as_object_mut(), self.detail) {
            members.insert("detail".to_owned(), detail.into());
        }
        let mut response = Response::new(Body::from(document.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.header);
        response
    }
}
