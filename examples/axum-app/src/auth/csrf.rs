//! Other sites' pages may not act for who is signed in here.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, header};
use tower::{Layer as _, ServiceExt as _};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use crate::problem::Problem;

/// Refuses what a browser says it sends for another site, by `Sec-Fetch-Site` or `Origin`.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    if shows_its_token(request.headers()) {
        return next.run(request).await;
    }
    let guarded = CsrfLayer::new().with_rejection_response(refuse).layer(next);
    guarded.oneshot(request).await.unwrap_or_else(|never| match never {})
}

/// Whether the request acts by a token that it shows itself: browsers add cookies unasked, this
/// header never.
fn shows_its_token(headers: &HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION) && !headers.contains_key(header::COOKIE)
}

fn refuse(_: ProtectionError) -> Response {
    Problem::new(StatusCode::FORBIDDEN, "the request comes from another site").into_response()
}
