//! Bodies of requests.

use axum::{Json, extract::rejection::JsonRejection};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::Problem;

/// How long a body may be, in bytes, where it is a few members.
pub(crate) const MAX_BODY: usize = 8 * 1024;

/// The object that the body is, or what is wrong with it: `shape` says how it should be. Nothing of
/// the body is repeated.
pub(crate) fn object<T: DeserializeOwned>(
    body: Result<Json<Value>, JsonRejection>,
    shape: &'static str,
) -> Result<T, Problem> {
    let Json(body) = body.map_err(|refused| match refused.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is no JSON")
                .detail("send it with `Content-Type: application/json`")
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long")
                .detail(format!("it has at most {MAX_BODY} bytes"))
        }
        _ => Problem::bad_request(shape),
    })?;
    // A list of the members would be taken for them.
    if !body.is_object() {
        return Err(Problem::bad_request(shape));
    }
    serde_json::from_value(body).map_err(|_| Problem::bad_request(shape))
}
