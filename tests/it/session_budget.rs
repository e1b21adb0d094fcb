//! How many commands a session costs a request, through the whole layer, as the client sends them.

use std::{pin::Pin, sync::Arc, time::Duration};

use tower_keep::{Connection, RedisConfig, TenantId, UserId};
use tower_keep_core::{
    key::{Holder, SessionKey},
    time::Clock,
};
use tower_keep_session::{
    Bounds, Change, How, Place, PublicId, RedisStore, Save, Session, SessionLayer, SessionStore,
};
use tower_keep_tests::{Flavor, Line, Monitor, Proxy, Server, prompt_once};

use crate::{
    limit_store::site::{Kind, Site},
    session::{SECRET, browser::Browser},
};

/// How often each thing is done.
const TIMES: usize = 10;
/// What a connection says for itself.
const BESIDE: [&str; 6] = ["HELLO", "SUBSCRIBE", "PING", "CLIENT", "INFO", "CLUSTER"];
/// So generous that a slow machine is not taken for a failed store.
const PATIENT: Duration = Duration::from_secs(30);
const TENANT: &str = "acme";

/// Layers that share their sessions, on one server.
struct Stage {
    store: Arc<RedisStore>,
    layer: SessionLayer,
}

impl Stage {
    async fn on(connection: Connection) -> Self {
        let store = Arc::new(RedisStore::new(connection));
        let layer = Self::layer_of(&store, SECRET);
        let stage = Self { store, layer };
        stage.warm().await;
        stage
    }

    fn layer_of(store: &Arc<RedisStore>, secret: &str) -> SessionLayer {
        SessionLayer::builder().store(store.clone()).secrets([secret]).build().unwrap()
    }

    /// The same layer, for which so much time has passed.
    fn layer_in(&self, time: Duration) -> SessionLayer {
        let clock = Clock::manual(Clock::system().now().plus(time));
        let builder = SessionLayer::builder().store(self.store.clone()).secrets([SECRET]);
        builder.clock(clock).build().unwrap()
    }

    /// Makes every node know every script. What it is asked for is not there.
    async fn warm(&self) {
        let (tenant, change, expect) = (TenantId::NONE, Change::default(), [].into());
        let bounds = Bounds { absolute_ms: None, sessions: 9, bytes: 99 };
        for number in 0..60 {
            let user = UserId::new(format!("{number}")).unwrap();
            let key = SessionKey { tenant: &tenant, holder: Holder::User(&user) };
            let place = Place { key, id: PublicId::from_bytes([0; 16]) };
            let save = Save {
                place,
                how: How::Write,
                change: &change,
                expect: &expect,
                idle_ms: None,
                bounds,
            };
            self.store.save(save).await.unwrap();
            self.store.touch(place, bounds).await.unwrap();
            self.store.remove(place).await.unwrap();
        }
    }

    /// Somebody, ready for a request that is counted.
    async fn client(&self, who: Who, number: usize) -> Browser {
        Self::client_of(&self.layer, who, number).await
    }

    async fn client_of(layer: &SessionLayer, who: Who, number: usize) -> Browser {
        let mut browser = Browser::of(TENANT);
        let prepare = async |session: Session| match who {
            Who::Nobody => {}
            Who::Visitor => session.set("count", &7).unwrap(),
            Who::User => {
                session.login(&user(number)).unwrap();
                session.set("count", &7).unwrap();
            }
        };
        browser.visit(layer, prepare).await;
        assert_eq!(browser.cookie.is_some(), who != Who::Nobody);
        browser
    }
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// One without a session.
    Nobody,
    /// One with a session, but not logged in.
    Visitor,
    User,
}

/// What the client has after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jar {
    /// It was told nothing.
    Same,
    /// Another cookie than before.
    New,
    /// No cookie any more.
    Empty,
}

/// What a handler does, for the client of this number.
type Handler = fn(&Session, usize) -> Pin<Box<dyn Future<Output = ()> + '_>>;

/// One kind of request.
struct Row {
    what: &'static str,
    who: Who,
    handler: Handler,
    commands: &'static [&'static str],
    jar: Jar,
}

fn user(number: usize) -> UserId {
    UserId::new(format!("u{number}")).unwrap()
}

/// What was sent for requests.
async fn sent(monitor: &mut Monitor) -> Vec<String> {
    let lines = monitor.drain().await;
    let names = lines.iter().map(Line::name);
    names.filter(|name| !BESIDE.contains(&name.as_str())).collect()
}

async fn seven(session: &Session) {
    assert_eq!(session.get::<u64>("count").await.unwrap(), Some(7));
}

macro_rules! row {
    ($what:literal, $who:ident, |$session:pat_param, $number:pat_param| $handler:block, $commands:expr, $jar:ident) => {
        Row {
            what: $what,
            who: Who::$who,
            handler: |$session, $number| Box::pin(async move { $handler }),
            commands: &$commands,
            jar: Jar::$jar,
        }
    };
}

/// What values cost.
fn values() -> Vec<Row> {
    vec![
        row!("untouched", User, |_, _| {}, [], Same),
        row!("untouched, no session", Nobody, |_, _| {}, [], Same),
        row!("read", User, |s, _| { seven(s).await }, ["HGET"], Same),
        row!("read, a visitor", Visitor, |s, _| { seven(s).await }, ["HGET"], Same),
        row!(
            "read, no session",
            Nobody,
            |s, _| { assert_eq!(s.get::<u64>("count").await.unwrap(), None) },
            [],
            Same
        ),
        row!(
            "three reads",
            User,
            |s, number| {
                seven(s).await;
                assert_eq!(s.get::<u64>("nothing").await.unwrap(), None);
                assert_eq!(s.user().await.unwrap(), Some(user(number)));
            },
            ["HGET"],
            Same
        ),
        row!("blind write", User, |s, _| { s.set("other", &1).unwrap() }, ["EVALSHA"], Same),
        row!(
            "read, write",
            User,
            |s, _| {
                seven(s).await;
                s.set("count", &8).unwrap();
            },
            ["HGET", "EVALSHA"],
            Same
        ),
        row!(
            "read, the same value set",
            User,
            |s, _| {
                seven(s).await;
                s.set("count", &7).unwrap();
            },
            ["HGET"],
            Same
        ),
        row!(
            "read, a missing value removed",
            User,
            |s, _| {
                seven(s).await;
                s.remove("nothing").unwrap();
            },
            ["HGET"],
            Same
        ),
        row!(
            "update",
            User,
            |s, _| {
                let more = |count: Option<u64>| count.unwrap_or(0) + 1;
                assert_eq!(s.update("count", more).await.unwrap(), 8);
            },
            ["HGET", "EVALSHA"],
            Same
        ),
        row!("first write", Nobody, |s, _| { s.set("a", &1).unwrap() }, ["EVALSHA"], New),
    ]
}

/// What it costs to become somebody, or nobody.
fn moves() -> Vec<Row> {
    vec![
        row!("login", Nobody, |s, n| { s.login(&user(n)).unwrap() }, ["EVALSHA"], New),
        row!(
            "login, with a visitor's values",
            Visitor,
            |s, n| { s.login(&user(n)).unwrap() },
            ["HGET", "EVALSHA", "EVALSHA"],
            New
        ),
        row!("login again", User, |s, n| { s.login(&user(n)).unwrap() }, ["EVALSHA"], New),
        row!("rotate", User, |s, _| { s.rotate().unwrap() }, ["EVALSHA"], New),
        row!("logout", User, |s, _| { s.logout() }, ["EVALSHA"], Empty),
        row!("logout, a visitor", Visitor, |s, _| { s.logout() }, ["EVALSHA"], Empty),
        row!("logout, no session", Nobody, |s, _| { s.logout() }, [], Same),
        row!(
            "revoke all",
            User,
            |s, n| {
                s.sessions().revoke_all(s.tenant(), &user(n)).await.unwrap();
            },
            ["EVALSHA"],
            Same
        ),
    ]
}

/// Lets clients send such requests, one after the other, and compares what was sent for each.
async fn check(stage: &Stage, layer: &SessionLayer, monitor: &mut Monitor, site: &str, row: &Row) {
    let mut clients = Vec::new();
    for number in 0..TIMES {
        clients.push(stage.client(row.who, number).await);
    }
    let mut commands = 0;
    for (number, client) in clients.iter_mut().enumerate() {
        monitor.drain().await;
        let before = client.cookie.clone();
        let handler = async |session: Session| (row.handler)(&session, number).await;
        let visit = client.visit(layer, handler).await;
        let names = sent(monitor).await;
        let what = row.what;
        assert_eq!(names, row.commands, "{site}: {what}");
        assert_eq!(visit.status, 200, "{site}: {what}");
        let jar = match &client.cookie {
            None if before.is_some() => Jar::Empty,
            after if *after == before && visit.cookies().is_empty() => Jar::Same,
            _ => Jar::New,
        };
        assert_eq!(jar, row.jar, "{site}: {what}");
        commands += names.len();
    }
    println!("| {site} | {} | {} | {} |", row.what, commands / TIMES, row.commands.join(", "));
}

#[tokio::test]
async fn each_request_costs_what_is_promised() {
    println!("| where | request | commands | |\n|---|---|---|---|");
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let stage = Stage::on(site.connection().await).await;
        let mut monitor = site.monitor().await;
        let site = kind.name();
        for row in values().iter().chain(&moves()) {
            check(&stage, &stage.layer, &mut monitor, &site, row).await;
        }
        let late = stage.layer_in(Duration::from_secs(301));
        for row in &late_rows() {
            check(&stage, &late, &mut monitor, &site, row).await;
        }
        refused(&stage, &mut monitor, &site).await;
    }
}

/// What a request costs when the store is to be told again that the session is used.
fn late_rows() -> Vec<Row> {
    vec![
        row!("touch due, untouched", User, |_, _| {}, [], Same),
        row!("touch due, read", User, |s, _| { seven(s).await }, ["EVALSHA"], New),
        row!("touch due, write", User, |s, _| { s.set("a", &1).unwrap() }, ["EVALSHA"], New),
    ]
}

/// Tokens that are none of ours, or of another tenant's, or far too long: no session, and nobody is
/// asked.
async fn refused(stage: &Stage, monitor: &mut Monitor, site: &str) {
    let good = stage.client(Who::User, 0).await.cookie.unwrap();
    let (name, token) = good.split_once('=').unwrap();
    let cookie =
        |token: &str| Browser { cookie: Some(format!("{name}={token}")), ..Browser::of(TENANT) };
    let bearer = |token: &str| Browser { bearer: Some(token.to_owned()), ..Browser::of(TENANT) };
    let forged = forge(token);
    let oversized = "A".repeat(5000);
    let other = Stage::layer_of(&stage.store, "a secret that nobody else has, of 32 bytes");
    let strangers = Stage::client_of(&other, Who::User, 0).await;
    let cases = [
        ("forged", cookie(&forged)),
        ("forged, bearer", bearer(&forged)),
        ("cut", cookie(&token[..token.len() / 2])),
        ("of another tenant", Browser { cookie: Some(good.clone()), ..Browser::of("globex") }),
        ("of another secret", strangers),
        ("oversized", cookie(&oversized)),
        ("oversized, bearer", bearer(&oversized)),
    ];
    for (what, mut client) in cases {
        monitor.drain().await;
        let read = async |session: Session| {
            assert_eq!(session.get::<u64>("count").await.unwrap(), None);
            assert_eq!(session.user().await.unwrap(), None);
            session.logout();
        };
        let visit = client.visit(&stage.layer, read).await;
        assert_eq!(sent(monitor).await, [""; 0], "{site}: {what}");
        assert!(visit.status == 200 && visit.cookies().is_empty(), "{site}: {what}");
        println!("| {site} | {what}: read, logout | 0 | |");
    }
}

/// The same but for one character in the middle.
fn forge(token: &str) -> String {
    let (front, back) = token.split_at(token.len() / 2);
    let other = if back.starts_with('A') { "B" } else { "A" };
    format!("{front}{other}{}", &back[1..])
}

/// One write to the socket for each command, and none where there is none.
#[tokio::test]
async fn each_command_is_one_write() {
    const READS: u64 = 200;
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let proxy = Proxy::start(server.port());
        let config = RedisConfig::from_url(&proxy.url()).unwrap().with_timeout(PATIENT);
        let connection = Connection::connect(config).unwrap();
        connection.require().await.unwrap();
        let stage = Stage::on(connection).await;
        let mut client = stage.client(Who::User, 0).await;
        let rows = [
            ("untouched", (|_, _| Box::pin(async {})) as Handler, 0),
            ("read", |s, _| Box::pin(seven(s)), READS),
            ("blind write", |s, _| Box::pin(async { s.set("other", &1).unwrap() }), READS),
        ];
        for (what, handler, expected) in rows {
            tokio::time::sleep(Duration::from_millis(50)).await;
            prompt_once(async || {
                let before = proxy.client_writes();
                for _ in 0..READS {
                    let handler = async |session: Session| handler(&session, 0).await;
                    client.visit(&stage.layer, handler).await;
                }
                let writes = proxy.client_writes() - before;
                println!("{flavor}: {what}: {writes} writes for {READS} requests");
                // Now and then one is a probe's.
                assert!((expected..=expected + 2).contains(&writes), "{flavor}: {what}: {writes}");
                writes == expected
            })
            .await;
        }
    }
}
