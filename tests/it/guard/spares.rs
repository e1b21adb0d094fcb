//! What takes the place of clients, and what is known of it then.

use std::{
    collections::HashSet,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, sink},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tower_keep_redis::{ConnectionState, ServerRole, fred::interfaces::ClientLike};
use tower_keep_tests::{Flavor, Proxy, Server, free_port, wait_until};

use super::{
    PATIENT, asked_until_down, back, config, connected, incr, ms, reaches,
    relay::{Fate, Relay},
    works,
};
use crate::bus::log::Log;

/// A way to a server on which connections are made, and say nothing once they are asked for it.
struct Sphinx {
    port: u16,
    /// Those accepted in this era, and in those before, answer no `PING`.
    dumb: Arc<AtomicU64>,
    era: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Sphinx {
    async fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (dumb, era) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(1)));
        let (seen, now) = (Arc::clone(&dumb), Arc::clone(&era));
        let accept = async move {
            while let Ok((client, _)) = listener.accept().await {
                let born = now.load(Ordering::SeqCst);
                tokio::spawn(pass(client, target, born, Arc::clone(&seen)));
            }
        };
        Self { port, dumb, era, task: tokio::spawn(accept).abort_handle() }
    }

    /// Those that are open, and those to come, are dumb.
    fn silence(&self) {
        self.dumb.store(self.era.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// New ones answer.
    fn heal(&self) {
        self.era.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Sphinx {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, target: u16, born: u64, dumb: Arc<AtomicU64>) {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await.unwrap();
    let ((mut from, mut to_client), (mut answers, mut to)) =
        (client.into_split(), server.into_split());
    let back = tokio::spawn(async move { copy(&mut answers, &mut to_client).await });
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count) = from.read(&mut bytes).await {
        let dumb = dumb.load(Ordering::SeqCst) >= born;
        let asked = bytes[..count].windows(4).any(|word| word == b"PING" || word == b"EVAL");
        if dumb && asked {
            let _ = copy(&mut from, &mut sink()).await;
            break;
        }
        if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
    back.abort();
}

/// Those that were to take the place of what is stuck are stuck themselves.
#[tokio::test]
async fn spares_that_hang_are_themselves_replaced() {
    let server = Server::start(Flavor::Redis).await;
    let sphinx = Sphinx::start(server.port()).await;
    let url = format!("redis://127.0.0.1:{}", sphinx.port);
    let connection = connected(config(&url).with_connect_timeout(ms(600))).await;
    works(&connection).await;
    sphinx.silence();
    asked_until_down(&connection).await;
    // Long enough for spares of both kinds to have connected, and to wait.
    sleep(ms(1500)).await;
    assert_eq!(connection.state(), ConnectionState::Down);
    sphinx.heal();
    // Their age, and the longest time between two sets.
    assert!(reaches(&connection, ConnectionState::Up, ms(600 + 100 + 2000 + 5000)).await);
    assert_eq!(connection.health().replacements, 1);
    works(&connection).await;
}

/// One of three is given up for good. The others work, so nobody notices; and yet it is replaced.
#[tokio::test]
async fn one_of_a_pool_that_has_ended_is_replaced() {
    let server = Server::start(Flavor::Redis).await;
    let connection =
        connected(config(&server.url()).with_timeout(ms(2000)).with_pool_size(3)).await;
    let sockets = || async {
        let list = server.command(&["CLIENT", "LIST"]).await.unwrap().text();
        list.lines().filter(|line| line.contains("resp=3")).count()
    };
    assert!(wait_until(PATIENT, || async { sockets().await == 3 }).await);
    for times in 1..=2 {
        connection.client().quit().await.unwrap();
        let replaced = wait_until(PATIENT, || async {
            incr(&connection, "n").await.unwrap();
            connection.health().replacements == times
        });
        assert!(replaced.await, "{:?}", connection.health());
        // Those before are kept for as long as a command may take.
        assert!(wait_until(PATIENT, || async { sockets().await == 3 }).await);
        assert_eq!(connection.health().openings, 0);
    }
    incr(&connection, "n").await.unwrap();
}

/// Who has just picked one of those that worked sees its command through: they are not ended
/// before it can be over.
#[tokio::test]
async fn the_others_of_a_pool_that_is_replaced_are_used_to_the_end() {
    let server = Server::start(Flavor::Redis).await;
    let deadline = ms(1500);
    let connection =
        connected(config(&server.url()).with_timeout(deadline).with_pool_size(3)).await;
    // A client that is not connected yet is passed over.
    let mut picked = Vec::new();
    let all = wait_until(PATIENT, || {
        picked = (0..3).map(|_| connection.client()).collect();
        let ids: HashSet<_> = picked.iter().map(|one| one.id().to_owned()).collect();
        std::future::ready(ids.len() == 3 && picked.iter().all(ClientLike::is_connected))
    });
    assert!(all.await, "{picked:?}");
    picked[0].quit().await.unwrap();
    let replaced = || async { connection.health().replacements == 1 };
    assert!(wait_until(PATIENT, replaced).await, "{:?}", connection.health());
    sleep(ms(100)).await;
    for one in &picked[1..] {
        let answer = one.ping::<String>(None).await;
        assert!(answer.is_ok(), "ended under its callers: {answer:?}");
    }
    let ended = || async { picked.iter().all(|one| !one.is_connected()) };
    assert!(wait_until(PATIENT, ended).await, "they are ended in the end");
}

/// The server at the other end may be another one: it is asked who it is. And the log has one line
/// for the loss, and one for its end.
#[tokio::test]
async fn a_replacement_learns_whom_it_speaks_to() {
    let (server, (log, _guard)) = (Server::start(Flavor::Redis).await, Log::start());
    let relay = Relay::start(server.port()).await;
    let connection = connected(config(&relay.url())).await;
    assert_eq!(connection.health().server.unwrap().role, ServerRole::Primary);
    relay.doom_open(Fate::Swallowed);
    asked_until_down(&connection).await;
    let port = free_port().unwrap().to_string();
    server.command(&["REPLICAOF", "127.0.0.1", &port]).await.unwrap().ok().unwrap();
    back(&connection).await;
    assert_eq!(connection.health().replacements, 1);
    let role = || connection.health().server.unwrap().role;
    assert!(wait_until(PATIENT, || async { role() == ServerRole::Replica }).await);
    let lines = log.lines("Redis");
    let told: Vec<_> = ["connected to Redis", "lost Redis", "Redis answers again"]
        .iter()
        .map(|what| lines.iter().filter(|line| line.contains(what)).count())
        .collect();
    assert_eq!((told, lines.len()), (vec![1, 1, 1], 3), "{lines:#?}");
}

/// Whoever may take four seconds is not lost before, however many callers give up on it. Once it
/// is, it does not take as long again to replace what hangs.
#[tokio::test]
async fn a_long_deadline_is_kept_by_probes_and_not_waited_for_again() {
    let server = Server::start(Flavor::Redis).await;
    let proxy = Proxy::start(server.port());
    let patient = config(&proxy.url()).with_timeout(ms(4000));
    let connection = connected(patient.clone()).await;
    proxy.delay(ms(750), ms(750));
    for _ in 0..6 {
        assert!(timeout(ms(300), incr(&connection, "n")).await.is_err());
        assert_eq!(connection.state(), ConnectionState::Up);
    }
    sleep(ms(2000)).await;
    assert_eq!(connection.health().openings, 0, "slow is not lost");

    let relay = Relay::start(server.port()).await;
    let url = tower_keep_redis::RedisConfig::from_url(&relay.url()).unwrap();
    let connection = connected(url.with_timeout(ms(4000))).await;
    relay.doom_open(Fate::Swallowed);
    assert!(timeout(ms(100), incr(&connection, "n")).await.is_err());
    assert!(!reaches(&connection, ConnectionState::Down, ms(3000)).await, "too soon");
    assert!(reaches(&connection, ConnectionState::Down, ms(3000)).await);
    let begun = std::time::Instant::now();
    assert!(reaches(&connection, ConnectionState::Up, ms(3500)).await);
    println!("with a deadline of 4 s, replaced after {:?}", begun.elapsed());
}
