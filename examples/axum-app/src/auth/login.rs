//! `POST /api/auth/login`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::header;
use serde_json::json;
use tower_keep::{Session, SessionError};

use crate::{
    auth::{Auth, attempt::Attempt, users::User},
    problem::Problem,
};

/// Makes the session the user's, and tells the token: also in a cookie, for browsers.
pub(crate) async fn login(
    State(auth): State<Auth>,
    session: Session,
    Extension(attempt): Extension<Arc<Attempt>>,
) -> Result<Response, Response> {
    let verified = auth.users.verify(session.tenant(), &attempt).await;
    let user = verified
        .map_err(|_| Problem::busy("too many are logging in").into_response())?
        .ok_or_else(|| Problem::unauthorized("wrong e-mail address or password").into_response())?;
    let token = begin(&session, &user).await.map_err(SessionError::into_response)?;
    let answer = json!({
        "user": { "id": user.id.as_str(), "email": user.email },
        "token": token,
        "expires_in": session.ttl().map(|idle| idle.as_secs()),
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// The token of the user's new session.
async fn begin(session: &Session, user: &User) -> Result<Option<String>, SessionError> {
    session.login(&user.id)?;
    match user.role {
        Some(role) => session.set("role", role)?,
        None => session.remove("role")?,
    }
    // The token is of the session as it was saved last.
    session.commit().await?;
    Ok(session.token())
}
