//! Who is signed in, and where.

use axum::{
    Json,
    extract::{
        Path, Query,
        rejection::{PathRejection, QueryRejection},
    },
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tower_keep::{PublicId, Session, SessionError, SessionInfo};

use crate::{auth::SignedIn, problem::Problem};

/// `POST /api/auth/logout`, also for who is not signed in.
pub(crate) async fn logout(session: Session) -> StatusCode {
    session.logout();
    StatusCode::NO_CONTENT
}

/// `GET /api/auth/me`.
pub(crate) async fn me(signed_in: SignedIn) -> Result<Json<Value>, SessionError> {
    let SignedIn { session, user } = signed_in;
    let mut shown = json!({ "id": user.id.as_str(), "email": user.email });
    let role = session.get::<String>("role").await?;
    if let (Some(members), Some(role)) = (shown.as_object_mut(), role) {
        members.insert("role".to_owned(), role.into());
    }
    Ok(Json(json!({ "user": shown })))
}

/// `GET /api/auth/sessions`: the user's, in the order they were begun. Times are Unix seconds.
pub(crate) async fn list(signed_in: SignedIn) -> Result<Json<Vec<Value>>, SessionError> {
    let SignedIn { session, user } = signed_in;
    let current = session.id();
    let show = |info: SessionInfo| {
        json!({
            "id": info.id.to_string(),
            "created": info.created.0 / 1000,
            "seen": info.seen.0 / 1000,
            "expires": info.expires.0 / 1000,
            "current": Some(info.id) == current,
        })
    };
    let all = session.sessions().list(session.tenant(), &user.id).await?;
    Ok(Json(all.into_iter().map(show).collect()))
}

/// Which sessions are spared.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spare {
    except: Option<Except>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Except {
    Current,
}

/// `DELETE /api/auth/sessions`: ends all of the user's; with `?except=current` all others.
pub(crate) async fn end_all(
    signed_in: SignedIn,
    spare: Result<Query<Spare>, QueryRejection>,
) -> Result<StatusCode, Response> {
    // A slip must not end more than was meant.
    let Ok(Query(Spare { except })) = spare else {
        let detail = "the query is empty, or `except=current`";
        return Err(Problem::bad_request(detail).into_response());
    };
    let SignedIn { session, user } = signed_in;
    let (all, tenant) = (session.sessions(), session.tenant());
    let failed = |error| SessionError::from(error).into_response();
    if let (Some(Except::Current), Some(current)) = (except, session.id()) {
        all.revoke_others(tenant, &user.id, current).await.map_err(failed)?;
    } else {
        all.revoke_all(tenant, &user.id).await.map_err(failed)?;
        // The client is told to forget its token.
        session.logout();
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/auth/sessions/{id}`: ends one of the user's own, the current one perhaps.
pub(crate) async fn end_one(
    signed_in: SignedIn,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Response> {
    let SignedIn { session, user } = signed_in;
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "no such session").into_response();
    let Path(id) = id.map_err(|_| unknown())?;
    let id: PublicId = id.parse().map_err(|_| unknown())?;
    if session.id() == Some(id) {
        session.logout();
        return Ok(StatusCode::NO_CONTENT);
    }
    let was_there = session.sessions().revoke(session.tenant(), &user.id, id).await;
    if was_there.map_err(|error| SessionError::from(error).into_response())? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown())
    }
}
