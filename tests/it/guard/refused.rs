//! What a server in good health refuses.

use tower_keep_redis::{
    Connection, ConnectionState, ErrorClass, ServerRole,
    fred::{
        prelude::{Builder, ClientLike, Config, ReconnectPolicy},
        types::RespVersion,
    },
};
use tower_keep_tests::{Flavor, Server, free_port, wait_until};

use super::{BACK, PATIENT, config, connected, incr, ms};

#[tokio::test]
async fn a_replica_refuses_writes_and_says_what_it_is() {
    for flavor in Flavor::ALL {
        let nobody = format!("127.0.0.1 {}", free_port().unwrap());
        let server = Server::start(flavor).await;
        let mut replicaof = vec!["REPLICAOF"];
        replicaof.extend(nobody.split(' '));
        server.command(&replicaof).await.unwrap().ok().unwrap();
        let connection = connected(config(&server.url()).with_timeout(PATIENT)).await;
        for _ in 0..20 {
            let set = connection.command("SET", Some("k"), vec!["k".into(), "v".into()]);
            let error = set.await.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Refused);
            assert!(error.message().starts_with("READONLY"), "{error}");
        }
        assert_eq!(connection.state(), ConnectionState::Up);
        assert_eq!(connection.health().server.unwrap().role, ServerRole::Replica);
    }
}

/// A server that reads its data set refuses everything, is not taken to be up meanwhile, and is
/// as soon as it is done.
#[tokio::test]
async fn a_server_that_is_loading_refuses() {
    let mut server = Server::builder(Flavor::Redis)
        .arg("--enable-debug-command", "yes")
        .arg("--key-load-delay", "100")
        .arg("--loading-process-events-interval-bytes", "1024")
        .start()
        .await;
    server.command(&["DEBUG", "POPULATE", "20000"]).await.unwrap().ok().unwrap();
    server.command(&["SAVE"]).await.unwrap().ok().unwrap();
    let connection = connected(config(&server.url())).await;
    let client = Builder::from_config(Config::from_url(&server.url()).unwrap())
        .set_policy(ReconnectPolicy::new_constant(0, 10))
        .with_config(|config| {
            config.fail_fast = false;
            // With RESP2 it connects by a `PING`, which is refused as well.
            config.version = RespVersion::RESP3;
        })
        .build()
        .unwrap();
    server.kill();
    assert!(wait_until(ms(3000), || async { !connection.is_available() }).await);
    let watched = async {
        let task = client.connect();
        client.wait_for_connect().await.unwrap();
        while !client.is_connected() {
            tokio::task::yield_now().await;
        }
        // The program says of it that it is connected, so it is asked.
        let own = Connection::from_fred(client.clone()).unwrap();
        let error = incr(&own, "n").await.unwrap_err();
        let guarded = connection.state();
        task.abort();
        (error, guarded)
    };
    let ((error, guarded), ()) = tokio::join!(watched, server.restart());
    assert_eq!(error.class(), ErrorClass::Refused);
    assert!(error.message().starts_with("LOADING"), "{error}");
    assert_eq!(guarded, ConnectionState::Down);
    assert!(wait_until(BACK, || async { connection.is_available() }).await);
    incr(&connection, "n").await.unwrap();
}
