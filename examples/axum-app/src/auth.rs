//! `/api/auth`: logging in and out, and the sessions of who is.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef, FromRequestParts},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use http::request::Parts;
use tower::ServiceBuilder;
use tower_keep::{ConfigError, Keep, Session};

mod account;
mod attempt;
pub(crate) mod csrf;
mod limits;
mod login;
mod sessions;
mod users;

pub(crate) use self::{account::AccountKey, users::Users};
use self::{attempt::MAX_BODY, users::User};
use crate::problem::Problem;

/// What the routes need.
#[derive(Clone)]
pub(crate) struct Auth {
    pub(crate) users: Arc<Users>,
    pub(crate) key: Arc<AccountKey>,
}

/// The routes, to be put inside a principal, a session and a rate-limit layer.
pub(crate) fn router(keep: &Keep, auth: Auth) -> Result<Router, ConfigError> {
    // Whose attempt it is stands in the body, so that it is read before the limits.
    let around_login = ServiceBuilder::new()
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(auth.clone(), attempt::read))
        .layer(limits::of_attempts(keep)?);
    Ok(Router::new()
        .route("/api/auth/login", post(login::login).route_layer(around_login))
        .route("/api/auth/logout", post(sessions::logout))
        .route("/api/auth/me", get(sessions::me))
        .route("/api/auth/sessions", get(sessions::list).delete(sessions::end_all))
        .route("/api/auth/sessions/{id}", delete(sessions::end_one))
        .with_state(auth))
}

/// Who asks, after looking whether their session is still there; 401 for everybody else.
pub(crate) struct SignedIn {
    pub(crate) session: Session,
    pub(crate) user: Arc<User>,
}

impl<S: Sync> FromRequestParts<S> for SignedIn
where
    Auth: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Response> {
        let auth = Auth::from_ref(state);
        let session = Session::from_request_parts(head, state).await;
        let session = session.map_err(IntoResponse::into_response)?;
        let id = session.user().await.map_err(IntoResponse::into_response)?;
        let user = id.and_then(|id| auth.users.get(session.tenant(), &id));
        let user = user.ok_or_else(|| Problem::unauthorized("not signed in").into_response())?;
        Ok(Self { session, user })
    }
}
