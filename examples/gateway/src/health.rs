//! How the gateway is.

use http::{HeaderValue, Method, Response, StatusCode, header};
use tower_keep::{Keep, ResponseBody};

/// As known without asking anybody: always 200, `degraded` while a configured Redis is away.
pub(crate) fn answer<B>(keep: &Keep, method: &Method) -> Response<ResponseBody<B>> {
    let mut response = Response::new(ResponseBody::empty());
    if !matches!(*method, Method::GET | Method::HEAD) {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let health = keep.health();
    let document = serde_json::json!({
        "status": health.status.to_string(),
        "store": health.store.to_string(),
    });
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // hyper leaves it out of answers to HEAD.
    *response.body_mut() = ResponseBody::bytes(document.to_string());
    response
}
