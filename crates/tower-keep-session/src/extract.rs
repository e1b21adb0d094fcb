//! `Session` and `SessionData` as axum extractors.

use axum_core::{
    body::Body,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::request::Parts;
use tower_keep_core::{Dialect, GrpcCode, Rejection};

use crate::{
    error::SessionError,
    handle::Session,
    typed::{SessionData, SessionValue},
};

/// There is no [`SessionLayer`](crate::SessionLayer) around the handler: a mistake of the program,
/// answered by 500.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("there is no SessionLayer around this handler")]
pub struct NoSession;

impl IntoResponse for NoSession {
    fn into_response(self) -> Response {
        tracing::error!("{self}");
        render(&Rejection::new(
            http::StatusCode::INTERNAL_SERVER_ERROR,
            GrpcCode::Internal,
            "the service has no sessions",
        ))
    }
}

impl IntoResponse for SessionError {
    /// As [`SessionError::rejection`] says.
    fn into_response(self) -> Response {
        render(&self.rejection())
    }
}

fn render(rejection: &Rejection) -> Response {
    rejection.clone().into_response::<Body>(Dialect::Http).map(Body::new)
}

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = NoSession;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, NoSession> {
        Self::of(&head.extensions).cloned().ok_or(NoSession)
    }
}

impl<S: Sync, T: SessionValue + Send> FromRequestParts<S> for SessionData<T> {
    type Rejection = Response;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, Response> {
        let session = Session::of(&head.extensions).cloned();
        let session = session.ok_or(NoSession).map_err(IntoResponse::into_response)?;
        Self::load(&session).await.map_err(IntoResponse::into_response)
    }
}
