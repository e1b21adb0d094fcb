//! Several connections.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tower_keep_redis::{Connection, ConnectionState, RedisConfig};
use tower_keep_tests::{Flavor, Resp, Server, prompt_once, wait_until};

use super::{LONG, connected, limits};

#[tokio::test]
async fn a_pool_limits_like_one_connection() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let url = server.url();
        let keep = connected(&[("REDIS_URL", &url), ("REDIS_POOL_SIZE", "3")]).await;
        assert!(wait_until(LONG, || async { ids(&server).await.len() == 3 }).await);
        limits(&keep, 1).await;
        let mut monitor = server.monitor().await;
        limits(&keep, 2).await;
        limits(&keep, 3).await;
        let lines = monitor.drain().await;
        let mut sources: Vec<_> = lines.iter().map(tower_keep_tests::Line::source).collect();
        sources.sort_unstable();
        sources.dedup();
        assert_eq!(sources.len(), 3, "they take turns");
    }
}

/// The ids of a RESP3 client's connections: all but the harness's own.
async fn ids(server: &Server) -> Vec<String> {
    let list = server.command(&["CLIENT", "LIST"]).await.unwrap().text();
    let ours = list.lines().filter(|line| line.contains("resp=3"));
    let id = |line: &str| line.split(' ').next()?.strip_prefix("id=").map(str::to_owned);
    ours.filter_map(id).collect()
}

/// One of three is killed again and again: no command takes longer than its deadline, and at most
/// those that were on it fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_connection_stops_nobody_else() {
    for flavor in Flavor::ALL {
        prompt_once(async || kills(flavor).await).await;
    }
}

/// Answers whether all were answered in time, and none failed but for the kills.
async fn kills(flavor: Flavor) -> bool {
    let deadline = Duration::from_millis(500);
    let server = Server::start(flavor).await;
    let config = RedisConfig::from_url(&server.url()).unwrap();
    let connection = Connection::connect(config.with_pool_size(3).with_timeout(deadline)).unwrap();
    connection.require().await.unwrap();
    assert!(wait_until(LONG, || async { ids(&server).await.len() == 3 }).await);
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let connection = connection.clone();
        callers.spawn(async move {
            let (mut failed, mut slowest) = (0, Duration::ZERO);
            for _ in 0..300 {
                let begun = Instant::now();
                let answer = connection.command("GET", Some("k"), vec!["k".into()]).await;
                failed += usize::from(answer.is_err());
                slowest = slowest.max(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            (failed, slowest)
        });
    }
    let mut own: Resp = server.connect().await.unwrap();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Some(id) = ids(&server).await.first() {
            own.command(&["CLIENT", "KILL", "ID", id]).await.unwrap();
        }
    }
    let (mut failed, mut slowest) = (0, Duration::ZERO);
    for (lost, worst) in callers.join_all().await {
        failed += lost;
        slowest = slowest.max(worst);
    }
    println!("{flavor}: 5 kills in 1200 commands: {failed} failed, slowest {slowest:?}");
    // A machine that stands still fails some more.
    assert!(failed <= 1200 / 4, "{failed} commands failed");
    assert!(slowest < LONG, "a command took {slowest:?}");
    let up = || async { connection.state() == ConnectionState::Up };
    assert!(wait_until(LONG, up).await, "{:?}", connection.health());
    failed <= 5 * 4 && slowest < deadline + Duration::from_millis(500)
}
