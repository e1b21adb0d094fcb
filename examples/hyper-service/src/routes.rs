//! The routes. hyper has none of its own, so the program says itself which one a request is for.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower_keep::RouteTemplate;

const HELLO: &str = "/hello";
const ITEM: &str = "/items/{id}";

/// The template of the route that a path belongs to. All items are one endpoint: whoever could
/// make a new one with each path would never reach a limit.
fn route(path: &str) -> Option<&'static str> {
    match path {
        HELLO => Some(HELLO),
        _ => path.strip_prefix("/items/").is_some_and(|id| !id.is_empty()).then_some(ITEM),
    }
}

/// Tells the layers which endpoint is asked. What is none counts as one, together.
pub(crate) fn tell<B>(mut request: Request<B>) -> Request<B> {
    if let Some(template) = route(request.uri().path()) {
        request.extensions_mut().insert(RouteTemplate::new(template));
    }
    request
}

/// The service itself.
pub(crate) async fn answer<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match route(request.uri().path()) {
        Some(HELLO) => (StatusCode::OK, "hello\n"),
        Some(_) => (StatusCode::OK, "an item\n"),
        None => (StatusCode::NOT_FOUND, "not found\n"),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}
