//! Answers that are one user's, wherever sessions and answers are kept.

use std::convert::Infallible;

use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{ServiceBuilder, ServiceExt as _, service_fn, util::BoxCloneSyncService};
use tower_keep::{ResponseCacheLayerBuilder, Session, TenantId, UserId};
use tower_keep_core::{
    RequestBody,
    key::{Holder, SessionKey},
};
use tower_keep_tests::{Cluster, Flavor, Sentinel, Server, Value, wait_until};

use super::{Bytes, PATIENCE, keep, layer, request};

/// Behind sessions, as in a whole stack. `command` is the test's own hand on the server.
async fn whose_session_is_gone_gets_no_page_of_theirs(
    url: &str,
    command: impl AsyncFn(&[&str]) -> std::io::Result<Value>,
) {
    let keep = keep(url, "5000").await;
    let cache = layer(&keep, ResponseCacheLayerBuilder::per_user);
    let inner = service_fn(|request: Request<RequestBody<Full<Bytes>>>| async move {
        let session = Session::of(request.extensions()).unwrap().clone();
        if *request.method() == Method::POST {
            session.login(&UserId::new("u1").unwrap()).unwrap();
        }
        let user = session.user().await.unwrap();
        let user = user.map_or("nobody".to_owned(), |user| user.as_str().to_owned());
        let answer = Response::builder().header("cache-control", "private, max-age=600");
        Ok::<_, Infallible>(answer.body(Full::from(user)).unwrap())
    });
    let stack = ServiceBuilder::new()
        .layer(keep.session().build().unwrap())
        .layer(cache)
        .service(BoxCloneSyncService::new(inner));
    let ask = async |method: Method, cookie: Option<&str>| {
        let mut request = request("/page");
        *request.method_mut() = method;
        if let Some(cookie) = cookie {
            request.headers_mut().insert("cookie", cookie.parse().unwrap());
        }
        let answer = stack.clone().oneshot(request).await.unwrap();
        let cookie = answer.headers().get("set-cookie").map(|it| it.to_str().unwrap());
        let cookie = cookie.and_then(|it| it.split(';').next()).map(str::to_owned);
        let status = answer.headers()["cache-status"].to_str().unwrap().contains("; hit");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap(), cookie)
    };
    let cookie = ask(Method::POST, None).await.2.expect("a login sets one");
    let cookie = Some(cookie.as_str());
    assert_eq!(ask(Method::GET, cookie).await.1, "u1");
    assert!(wait_until(PATIENCE, async || ask(Method::GET, cookie).await.0).await, "no hit");
    assert_eq!(ask(Method::GET, cookie).await.1, "u1");
    assert_eq!(ask(Method::GET, None).await.1, "nobody", "a stranger");
    let key = SessionKey {
        tenant: &TenantId::new("acme").unwrap(),
        holder: Holder::User(&UserId::new("u1").unwrap()),
    };
    assert_eq!(command(&["DEL", &key.spell()]).await.unwrap(), Value::Integer(1));
    let (hit, body, _) = ask(Method::GET, cookie).await;
    assert_eq!((hit, body.as_str()), (false, "nobody"), "{url}");
}

#[tokio::test]
async fn on_a_server() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let command = async |it: &[&str]| server.command(it).await;
        whose_session_is_gone_gets_no_page_of_theirs(&server.url(), command).await;
    }
}

#[tokio::test]
async fn in_a_cluster() {
    for flavor in Flavor::ALL {
        let cluster = Cluster::start(flavor, 3).await;
        let command = async |it: &[&str]| cluster.command(it).await;
        whose_session_is_gone_gets_no_page_of_theirs(&cluster.url(), command).await;
    }
}

#[tokio::test]
async fn behind_sentinels() {
    for flavor in Flavor::ALL {
        let sentinel = Sentinel::start(flavor).await;
        let command = async |it: &[&str]| sentinel.command(it).await;
        whose_session_is_gone_gets_no_page_of_theirs(&sentinel.url(), command).await;
    }
}
