//! `POST /api/cache/purge`: an admin empties the cache of their tenant, or some of it.

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use http::StatusCode;
use tower_keep::{CachedResponses, PurgeService};

use crate::{
    auth::{Auth, SignedIn},
    problem::Problem,
};

/// Whoever sends the request was looked up, and is one.
#[derive(Clone, Copy)]
struct Admin;

/// The route, to be put inside a principal and a session layer.
pub(crate) fn router(responses: CachedResponses, auth: Auth) -> Router {
    let is_admin = |head: &http::request::Parts| head.extensions.get::<Admin>().is_some();
    let purge = PurgeService::for_callers(responses, is_admin);
    Router::new()
        .route_service("/api/cache/purge", purge)
        .route_layer(from_fn_with_state(auth, admins_only))
}

/// 401 for who is not signed in, 403 for who is no admin.
async fn admins_only(
    signed_in: SignedIn,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if !signed_in.user.is_admin() {
        return Err(Problem::new(StatusCode::FORBIDDEN, "only an admin may purge"));
    }
    request.extensions_mut().insert(Admin);
    Ok(next.run(request).await)
}
