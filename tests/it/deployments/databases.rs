//! The database number.

use tower_keep::RateLimitOutcome;
use tower_keep_tests::{Flavor, Server};

use super::{ask, connected, limits, twice};

#[tokio::test]
async fn the_database_number_keeps_keys_apart() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        for (caller, database) in [(1, "/3"), (1, ""), (1, "/15")] {
            let url = format!("{}{database}", server.url());
            limits(&connected(&[("REDIS_URL", &url)]).await, caller).await;
        }
        let port = server.port().to_string();
        let parts = [("REDIS_HOST", "127.0.0.1"), ("REDIS_PORT", &port), ("REDIS_DB", "3")];
        let keep = connected(&parts).await;
        let again = ask(&twice(&keep), 1).await;
        assert_eq!(again, (429, RateLimitOutcome::Denied), "the counters of database 3");
        let keyspace = server.command(&["INFO", "keyspace"]).await.unwrap().text();
        for database in ["db0:keys=1,", "db3:keys=1,", "db15:keys=1,"] {
            assert!(keyspace.contains(database), "{database} is missing in {keyspace}");
        }
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let server = Server::start(Flavor::Valkey).await;
    let url = format!("{}/16", server.url());
    let keep = super::keep(&[("REDIS_URL", &url)]).unwrap();
    let error = keep.require_connection().await.unwrap_err();
    assert!(error.message().contains("DB index"), "{error}");
}
