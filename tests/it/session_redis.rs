//! The session layer on real servers: requests that are dropped, sessions that end elsewhere, and
//! what can be read in the store.

mod cancelled;
mod dump;
mod revoked;
mod sealed;
mod secrets;

use tower_keep::{TenantId, UserId};
use tower_keep_redis::Connection;
use tower_keep_session::{Session, SessionLayer, SessionLayerBuilder};

use crate::session::SECRET;

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn builder(connection: &Connection) -> SessionLayerBuilder {
    SessionLayer::builder().redis(connection).secrets([SECRET])
}

async fn log_in(session: Session) {
    session.login(&user("u1")).unwrap();
}

async fn who(session: Session) -> Option<String> {
    session.user().await.unwrap().map(|user| user.as_str().to_owned())
}
