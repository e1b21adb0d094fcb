//! Under hyper, by hyper-util's `TowerToHyperService`.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use tower::service_fn;
use tower_keep::UserId;
use tower_keep_core::{BodyError, Dialect};
use tower_keep_session::{Session, SessionError, SessionLayer};

use super::{
    super::{Served, Speaks, client, hyper_service::serve},
    count, in_memory, layers, nowhere, refuses_as_told, sessions_as_told, whose,
};

type Answer = Response<UnsyncBoxBody<Bytes, BodyError>>;

async fn act(request: &Request<Incoming>) -> Result<String, SessionError> {
    let session = Session::of(request.extensions()).expect("the layer gives one");
    match request.uri().path() {
        "/count" => count(session).await,
        "/whose" => whose(session).await,
        "/logout" => {
            session.logout();
            Ok(String::new())
        }
        "/else" => Ok("else".to_owned()),
        path => {
            let user = path.strip_prefix("/login/").expect("there is no other");
            session.login(&UserId::new(user).map_err(|_| SessionError::InvalidName)?)?;
            Ok(String::new())
        }
    }
}

async fn handle(request: Request<Incoming>) -> Result<Answer, Infallible> {
    Ok(match act(&request).await {
        Ok(text) => Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync()),
        Err(error) => {
            error.rejection().into_response::<Full<Bytes>>(Dialect::Http).map(BodyExt::boxed_unsync)
        }
    })
}

async fn with(session: SessionLayer, speaks: Speaks) -> Served {
    serve(layers!(session).service(service_fn(handle)), speaks).await
}

#[tokio::test]
async fn each_user_has_a_session_and_a_limit() {
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let served = with(in_memory().build().unwrap(), speaks).await;
        sessions_as_told(&served, &client(speaks)).await;
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_503() {
    let served = with(nowhere(), Speaks::Http1).await;
    refuses_as_told(&served, &client(Speaks::Http1)).await;
}
