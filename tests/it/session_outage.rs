//! What clients of the session layer see while their Redis is away or refuses, and after. Prints the
//! table (`--no-capture` shows it), and fails on an answer that is wrong or late.
//!
//! Wrong is a success for something that was not done, a cookie or a removal for something that was
//! not saved, and a session that is not as it was when the store is back.

mod client;

use std::time::{Duration, Instant};

use tower_keep_session::{OnStoreFailure, Session};
use tower_keep_tests::{Flavor, Server};

use self::client::{BACK, Client, Does, Seen};

/// The deadline of a command while nothing is answered. Longer than usual: a slow machine must not
/// be taken for a fault.
const DEADLINE: Duration = Duration::from_millis(200);
/// The same where all is answered: a disk that is slow must not be taken for one either.
const PATIENT: Duration = Duration::from_secs(20);
/// What is done after a deadline, on a machine that has other things to do.
const SLACK: Duration = Duration::from_millis(800);
/// How long an answer takes when it is known that the store is away; once in several tries.
const AT_ONCE: Duration = Duration::from_millis(5);
/// What is wrong with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// `kill -9`.
    Down,
    /// SIGSTOP: connections stay open, and nothing answers.
    Hung,
    /// `CLIENT KILL`, once.
    ClientKill,
    /// `SCRIPT FLUSH`, once.
    ScriptFlush,
    /// It has become the replica of a server that is not there.
    ReadOnly,
    /// It has no memory for more.
    OutOfMemory,
}

impl Fault {
    async fn harm(self, server: &mut Server) {
        match self {
            Self::Down => server.kill(),
            Self::Hung => server.pause(),
            Self::ClientKill => command(server, "CLIENT KILL TYPE normal").await,
            Self::ScriptFlush => command(server, "SCRIPT FLUSH").await,
            Self::ReadOnly => command(server, "REPLICAOF 127.0.0.1 1").await,
            Self::OutOfMemory => command(server, "CONFIG SET maxmemory 1").await,
        }
    }

    async fn heal(self, server: &mut Server) {
        match self {
            Self::Down => server.restart().await,
            Self::Hung => server.resume(),
            Self::ClientKill | Self::ScriptFlush => {}
            Self::ReadOnly => command(server, "REPLICAOF NO ONE").await,
            Self::OutOfMemory => command(server, "CONFIG SET maxmemory 0").await,
        }
    }

    /// Whether nothing is answered at all.
    const fn is_away(self) -> bool {
        matches!(self, Self::Down | Self::Hung)
    }

    /// The deadline of the commands of those who ask meanwhile.
    const fn deadline(self) -> Duration {
        if self.is_away() { DEADLINE } else { PATIENT }
    }

    /// The statuses of requests that do this.
    fn expected(self, does: Does) -> &'static [u16] {
        match (self, does) {
            (_, Does::Nothing)
            | (Self::ScriptFlush, _)
            | (Self::ReadOnly | Self::OutOfMemory, Does::Read)
            // To end a session takes no memory.
            | (Self::OutOfMemory, Does::Logout) => &[200],
            // Whether it was noticed before.
            (Self::ClientKill, _) => &[200, 503],
            (Self::Down | Self::Hung | Self::ReadOnly | Self::OutOfMemory, _) => &[503],
        }
    }
}

async fn command(server: &Server, command: &str) {
    let words: Vec<_> = command.split(' ').collect();
    server.command(&words).await.unwrap().ok().unwrap();
}

/// A server that keeps what it has acknowledged.
async fn start(flavor: Flavor) -> Server {
    let durable = Server::builder(flavor).arg("--appendonly", "yes");
    durable.arg("--appendfsync", "always").start().await
}

/// One row of the table: a client for each thing to do, over a connection of its own.
async fn row(server: &mut Server, fault: Fault) {
    let mut clients = Vec::new();
    for does in Does::ALL {
        let deadline = fault.deadline();
        clients.push(Client::enter(server, does, OnStoreFailure::Refuse, deadline).await);
    }
    fault.harm(server).await;
    let mut told = Vec::new();
    for client in &mut clients {
        let first = client.ask().await;
        judge(fault, client, &first);
        let most = client.deadline * client.does.questions() + SLACK;
        assert!(first.took < most, "{fault:?} {first:?}");
        let open = if fault.is_away() { Some(once_open(fault, client).await) } else { None };
        told.push(format!(
            "{} {first}{}",
            client.does,
            open.map_or_else(String::new, |seen| { format!(" then {:.1?}", seen.took) })
        ));
    }
    fault.heal(server).await;
    for client in &mut clients {
        told.push(client.recover().await);
    }
    println!("{:>8} {fault:?}: {}", server.flavor(), told.join(" | "));
}

/// What a client sees once it is known that the store is away.
async fn once_open(fault: Fault, client: &mut Client) -> Seen {
    let begun = Instant::now();
    while client.does != Does::Nothing && client.is_connected() {
        assert!(begun.elapsed() < BACK, "{fault:?} {}: it is not known", client.does);
        // Some failures in a row are needed.
        let seen = client.ask().await;
        judge(fault, client, &seen);
    }
    let mut quickest: Option<Seen> = None;
    for _ in 0..20 {
        let seen = client.ask().await;
        judge(fault, client, &seen);
        if quickest.as_ref().is_none_or(|quickest| seen.took < quickest.took) {
            quickest = Some(seen);
        }
    }
    let quickest = quickest.unwrap();
    assert!(quickest.took < AT_ONCE, "{fault:?} {}: {quickest:?}", client.does);
    quickest
}

fn judge(fault: Fault, client: &Client, seen: &Seen) {
    let does = client.does;
    assert!(fault.expected(does).contains(&seen.status), "{fault:?} {does}: {seen:?}");
    if seen.status == 503 {
        assert_eq!(seen.cookies, Vec::<String>::new(), "{fault:?} {does}");
        assert_eq!(seen.retry_after.as_deref(), Some("1"), "{fault:?} {does}");
    } else {
        let told = usize::from(does.is_told());
        assert_eq!(seen.cookies.len(), told, "{fault:?} {does}: {seen:?}");
    }
}

async fn table(flavor: Flavor) {
    for fault in [
        Fault::ScriptFlush,
        Fault::ClientKill,
        Fault::ReadOnly,
        Fault::OutOfMemory,
        Fault::Hung,
        Fault::Down,
    ] {
        row(&mut start(flavor).await, fault).await;
    }
}

/// The same where everybody is a visitor meanwhile: nothing fails, nothing is kept, nobody loses
/// their cookie but who logs out.
async fn anonymous(flavor: Flavor, fault: Fault) {
    let mut server = start(flavor).await;
    let mut clients = Vec::new();
    for does in Does::ALL {
        let deadline = fault.deadline();
        clients.push(Client::enter(&server, does, OnStoreFailure::Anonymous, deadline).await);
    }
    fault.harm(&mut server).await;
    let mut told = Vec::new();
    for client in &mut clients {
        let seen = client.ask().await;
        // Who logs out is out, whatever the store says.
        let cookies = usize::from(client.does == Does::Logout);
        assert_eq!((seen.status, seen.cookies.len()), (200, cookies), "{}: {seen:?}", client.does);
        assert!(seen.took < client.deadline * client.does.questions() + SLACK, "{seen:?}");
        if client.does == Does::Read {
            let whose = async |session: Session| session.user().await.unwrap();
            let visit = client.browser.clone().visit(&client.layer, whose).await;
            assert_eq!(visit.value, Some(None));
        }
        told.push(format!("{} {seen}", client.does));
    }
    fault.heal(&mut server).await;
    for client in &mut clients {
        // What was done meanwhile is done no more.
        told.push(client.recover().await);
    }
    println!("{:>8} {fault:?}, anonymous: {}", server.flavor(), told.join(" | "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis() {
    table(Flavor::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey() {
    table(Flavor::Valkey).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_with_visitors_meanwhile() {
    anonymous(Flavor::Redis, Fault::Down).await;
    anonymous(Flavor::Redis, Fault::Hung).await;
}

/// Scripts that are gone are sent again with the same request, which fails never.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_are_flushed_all_the_time_are_not_noticed() {
    for flavor in Flavor::ALL {
        let server = start(flavor).await;
        let mut client = Client::enter(&server, Does::Write, OnStoreFailure::Refuse, PATIENT).await;
        for number in 2..100_u64 {
            command(&server, "SCRIPT FLUSH").await;
            let write = async |session: Session| session.set("n", &number).unwrap();
            let visit = client.browser.visit(&client.layer, write).await;
            assert_eq!((visit.status.as_u16(), visit.cookies().len()), (200, 0));
        }
        assert_eq!(client.value().await, Some(99));
    }
}
