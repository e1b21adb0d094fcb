//! Under axum's `Router::layer`.

use std::net::SocketAddr;

use axum::{Router, extract::Path, routing::post};
use http::Request;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tower_keep::UserId;
use tower_keep_session::{Session, SessionData, SessionError, SessionLayer, SessionValue};

use super::{
    super::{Served, Speaks, client, tenant_by_header},
    Jar, count, in_memory, layers, nowhere, refuses_as_told, sessions_as_told, text, whose,
};

#[derive(Default, Serialize, Deserialize)]
struct Cart(Vec<String>);

impl SessionValue for Cart {
    const NAME: &'static str = "cart";
}

async fn login(session: Session, Path(user): Path<String>) -> Result<(), SessionError> {
    session.login(&UserId::new(&user).map_err(|_| SessionError::InvalidName)?)
}

async fn add(mut cart: SessionData<Cart>, Path(item): Path<String>) -> String {
    if item != "nothing" {
        cart.0.push(item);
    }
    cart.0.join("+")
}

fn routes() -> Router {
    Router::new()
        .route("/count", post(async |session: Session| count(&session).await))
        .route("/whose", post(async |session: Session| whose(&session).await))
        .route("/login/{user}", post(login))
        .route("/logout", post(async |session: Session| session.logout()))
        .route("/cart/{item}", post(add))
        .route("/else", post(async || "else"))
}

async fn serve(app: Router) -> Served {
    Served::start(async |listener: TcpListener| {
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, service).await.unwrap();
    })
    .await
}

async fn with(session: SessionLayer) -> Served {
    serve(routes().layer(layers!(session))).await
}

#[tokio::test]
async fn each_user_has_a_session_and_a_limit() {
    let served = with(in_memory().build().unwrap()).await;
    sessions_as_told(&served, &client(Speaks::Http1)).await;
}

#[tokio::test]
async fn a_store_that_is_away_is_503_by_the_question_mark() {
    let (there, served) = (with(in_memory().build().unwrap()).await, with(nowhere()).await);
    let client = client(Speaks::Http1);
    refuses_as_told(&served, &client).await;
    // Who comes with a session, which the handler's `?` cannot read.
    let mut jar = Jar::default();
    jar.post(&client, &there, "/login/alice").await;
    let before = jar.0.clone();
    for path in ["/whose", "/count", "/cart/tea"] {
        let reply = jar.post(&client, &served, path).await;
        assert_eq!(reply.status, 503, "{path}");
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.header("retry-after"), "1");
    }
    assert_eq!(jar.0, before, "the cookie is kept");
    assert_eq!(text(&jar.post(&client, &there, "/whose").await), (200, "alice"));
}

#[tokio::test]
async fn typed_data_is_saved_if_it_was_changed() {
    let session = in_memory().build().unwrap();
    let served = serve(routes().layer(session)).await;
    let (client, mut jar) = (client(Speaks::Http1), Jar::default());
    assert_eq!(text(&jar.post(&client, &served, "/cart/nothing").await), (200, ""));
    assert!(jar.0.is_none(), "nothing was changed, so nothing was made");
    for (item, cart) in [("tea", "tea"), ("milk", "tea+milk"), ("nothing", "tea+milk")] {
        assert_eq!(text(&jar.post(&client, &served, &format!("/cart/{item}")).await), (200, cart));
    }
}

#[tokio::test]
async fn a_session_without_a_layer_is_a_mistake_that_is_told() {
    let served = serve(routes().layer(tenant_by_header())).await;
    for path in ["/whose", "/cart/tea"] {
        let request = Request::post(served.url(path));
        let reply = Jar::default().send(&client(Speaks::Http1), request).await;
        assert_eq!(reply.status, 500, "{path}");
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
}
