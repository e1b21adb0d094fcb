//! Who may come in, and where to.

use std::time::Instant;

use tower_keep_redis::{Connection, ConnectionState, ErrorClass, RedisConfig};
use tower_keep_tests::{Flavor, Server, wait_until};

use super::{PATIENT, config, connected, incr};

#[tokio::test]
async fn passwords_users_and_rights() {
    let secret = "p@ss/w?rd#1:%";
    let server = Server::builder(Flavor::Redis)
        .password(secret)
        .acl_user("app", "app-secret", "~app:* &* +@all -flushall")
        .start()
        .await;
    let connection = connected(config(&server.url())).await;
    assert!(!connection.endpoint().contains("ss"), "{}", connection.endpoint());
    incr(&connection, "n").await.unwrap();

    let connection = connected(config(&server.url_as("app"))).await;
    incr(&connection, "app:n").await.unwrap();
    for _ in 0..20 {
        let error = connection.command("FLUSHALL", None, Vec::new()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Refused);
        assert!(error.message().starts_with("NOPERM"), "{error}");
    }
    assert_eq!(connection.state(), ConnectionState::Up);

    // What no waiting heals is told at once.
    let port = server.port();
    let plain = RedisConfig::new("127.0.0.1", port).with_connect_timeout(PATIENT);
    let table = [
        (plain.clone(), "NOAUTH"),
        (plain.clone().with_password("wrong"), "WRONGPASS"),
        (plain.clone().with_username("nobody").with_password(secret), "WRONGPASS"),
        (plain.with_password(secret).with_database(99), "ERR DB index"),
    ];
    for (config, words) in table {
        let begun = Instant::now();
        let connection = Connection::connect(config).unwrap();
        let error = connection.require().await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Refused, "{error}");
        assert!(error.message().starts_with(words), "{error}");
        assert!(begun.elapsed() < PATIENT / 2, "{words}: {:?}", begun.elapsed());
        assert_eq!(connection.state(), ConnectionState::Down);
    }
}

#[tokio::test]
async fn the_database_is_selected_anew_after_a_reconnect() {
    let mut server = Server::start(Flavor::Redis).await;
    let connection = connected(config(&server.url()).with_database(3)).await;
    incr(&connection, "n").await.unwrap();
    server.restart().await;
    assert!(wait_until(PATIENT, || async { incr(&connection, "n").await.is_ok() }).await);
    let mut own = server.connect().await.unwrap();
    assert!(own.command(&["GET", "n"]).await.unwrap().is_nil());
    own.command(&["SELECT", "3"]).await.unwrap().ok().unwrap();
    assert!(!own.command(&["GET", "n"]).await.unwrap().is_nil());
}
