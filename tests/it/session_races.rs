//! Races for a session over two processes: a thousand of each kind, and not one that is wrong.
//! Prints what came of them (`--no-capture` shows it).

mod worker;

use std::time::Instant;

use tower_keep::UserId;
use tower_keep_session::{Session, SessionLayer};
use tower_keep_tests::Flavor;

use self::worker::{Done, Worker};
use crate::{
    limit_store::site::{Kind, Site},
    session::{SECRET, browser::Browser},
};

/// How many races there are of each kind, and how many are run at once.
const RACES: usize = 1000;
const BATCH: usize = 100;
/// How long a racer dawdles at most, in microseconds, so that each is first at times.
const DAWDLE: u64 = 4000;

/// Two processes, and a third that looks on.
struct Track {
    site: Site,
    name: String,
    layer: SessionLayer,
    left: Worker,
    right: Worker,
    begun: Instant,
}

/// One race: the session that it was for, and what each of both came to.
struct Race {
    browser: Browser,
    user: String,
    left: Done,
    right: Done,
}

impl Track {
    async fn lay(flavor: Flavor) -> Self {
        let site = Site::start(Kind::Single(flavor)).await;
        let connection = site.connection().await;
        let builder = SessionLayer::builder().redis(&connection).secrets([SECRET]);
        let layer = builder.build().unwrap();
        let url = site.url();
        let (left, right) = tokio::join!(Worker::start(&url), Worker::start(&url));
        Self { site, name: flavor.to_string(), layer, left, right, begun: Instant::now() }
    }

    /// A client that is logged in, or a visitor where there is no user; with the value `n`.
    async fn client(&self, user: Option<&str>) -> Browser {
        let mut browser = Browser::of("acme");
        let user = user.map(|user| UserId::new(user).unwrap());
        let begin = async |session: Session| {
            session.set("n", &1).unwrap();
            if let Some(user) = user {
                session.login(&user).unwrap();
            }
        };
        assert_eq!(browser.visit(&self.layer, begin).await.status, 200);
        browser
    }

    /// Has both processes do something to the same sessions.
    async fn both(
        &mut self,
        cookies: &[String],
        (left, right): (&str, &str),
        dawdle: u64,
    ) -> (Vec<Done>, Vec<Done>) {
        let left = self.left.all(left, dawdle, cookies);
        tokio::join!(left, self.right.all(right, dawdle, cookies))
    }

    /// All races of a kind, each for a session of its own.
    async fn races(&mut self, kind: &str, users: bool, actions: (&str, &str)) -> Vec<Race> {
        self.begun = Instant::now();
        let mut races = Vec::new();
        while races.len() < RACES {
            let mut clients = Vec::new();
            for number in races.len()..races.len() + BATCH {
                let user = format!("{kind}-{number}");
                clients.push((self.client(users.then_some(&user)).await, user));
            }
            let cookies: Vec<_> =
                clients.iter().map(|(browser, _)| browser.cookie.clone().unwrap()).collect();
            let (left, right) = self.both(&cookies, actions, DAWDLE).await;
            let done = left.into_iter().zip(right);
            races.extend(
                clients.into_iter().zip(done).map(|((browser, user), (left, right))| Race {
                    browser,
                    user,
                    left,
                    right,
                }),
            );
        }
        races
    }

    /// What a client sees in its session: whose it is, and these values.
    async fn sees(&self, browser: &Browser, names: [&'static str; 2]) -> Sees {
        let look = async |session: Session| Sees {
            user: session.user().await.unwrap().map(|user| user.as_str().to_owned()),
            values: [session.get(names[0]).await.unwrap(), session.get(names[1]).await.unwrap()],
        };
        browser.clone().visit(&self.layer, look).await.value.unwrap()
    }

    /// How many sessions a user has, as Redis tells.
    async fn sessions(&self, user: &str) -> i64 {
        self.site.command(&["HLEN", &format!("session:acme:{user}")]).await.int()
    }

    fn tell(&self, kind: &str, races: usize, wrong: &[String], what: &str) {
        let (name, took) = (&self.name, self.begun.elapsed());
        println!(
            "{name:>8}  {kind:<28} {races:>5} races {:>3} wrong  {took:>6.1?}  {what}",
            wrong.len()
        );
        assert!(wrong.is_empty(), "{kind}: {:#?}", wrong.iter().take(5).collect::<Vec<_>>());
    }
}

#[derive(Debug, PartialEq)]
struct Sees {
    user: Option<String>,
    values: [Option<u64>; 2],
}

/// Two processes set different names, of a session that each has read or not: both hold.
async fn lost_update(track: &mut Track) {
    let races = track.races("set", true, ("write-a", "write-b")).await;
    let mut wrong = Vec::new();
    for Race { browser, left, right, user } in &races {
        let sees = track.sees(browser, ["a", "b"]).await;
        let quiet = left.is_quiet() && right.is_quiet();
        if !quiet || sees != (Sees { user: Some(user.clone()), values: [Some(1), Some(1)] }) {
            wrong.push(format!("{sees:?} after {left:?} and {right:?}"));
        }
    }
    track.tell("different names are set", races.len(), &wrong, "both hold");
}

/// Two processes count one up: two more, whoever was first.
async fn counted(track: &mut Track) {
    let races = track.races("count", true, ("count", "count")).await;
    let (mut wrong, mut left_first) = (Vec::new(), 0);
    for Race { browser, left, right, .. } in &races {
        let sees = track.sees(browser, ["n", "n"]).await;
        let mut found = [&left.found, &right.found].map(|found| found.clone().unwrap_or_default());
        left_first += usize::from(found[0] == "2");
        found.sort();
        if found != ["2", "3"] || sees.values[0] != Some(3) {
            wrong.push(format!("{sees:?} after {left:?} and {right:?}"));
        }
    }
    let what = format!("the left was first {left_first} times");
    track.tell("both count one up", races.len(), &wrong, &what);
}

/// Both processes count one number up, in many tasks at once: as many as were counted.
async fn crowd(track: &mut Track) {
    track.begun = Instant::now();
    let browser = track.client(Some("crowd")).await;
    let cookies = vec![browser.cookie.clone().unwrap(); 20];
    let mut found = Vec::new();
    for _ in 0..RACES / 40 {
        let (left, right) = track.both(&cookies, ("count", "count"), 0).await;
        found.extend(left.into_iter().chain(right).filter_map(|done| done.found));
    }
    let sees = track.sees(&browser, ["n", "n"]).await;
    let counted = found.len();
    found.sort();
    found.dedup();
    let wrong = if sees.values[0] == Some(1 + RACES as u64) && found.len() == RACES {
        Vec::new()
    } else {
        vec![format!("{sees:?}, {} different numbers", found.len())]
    };
    let what = format!("{counted} were counted, to {:?}", sees.values[0]);
    track.tell("40 at once count one number", RACES, &wrong, &what);
}

/// One process logs out while the other is about to write, perhaps for a user that it has seen: the
/// session never lives again, and the writer's client is told nothing.
async fn logout(track: &mut Track, write: &str) {
    let races = track.races(write, true, ("logout", write)).await;
    let (mut wrong, mut written, mut gone) = (Vec::new(), 0, 0);
    for Race { browser, user, left, right } in &races {
        written += usize::from(right.outcome == "Written");
        gone += usize::from(right.outcome == "Gone");
        let sees = track.sees(browser, ["n", "n"]).await;
        let out = left.status == 200 && left.cookie.as_deref() == Some("__Host-session=");
        // Who comes so late that nobody is logged in writes nothing.
        let late = (&*right.outcome, right.found.as_deref()) == ("Read", Some("nobody"));
        let told = right.is_quiet() && (late || ["Written", "Gone"].contains(&&*right.outcome));
        let over = sees == Sees { user: None, values: [None; 2] };
        if !out || !told || !over || track.sessions(user).await != 0 {
            wrong.push(format!("{sees:?} after {left:?} and {right:?}"));
        }
    }
    let late = races.len() - written - gone;
    let what = format!("{written} wrote before it, {gone} after it in vain, {late} saw it");
    track.tell(&format!("logout and {write}"), races.len(), &wrong, &what);
    assert!(written > 0 && gone > 0, "there was no race");
}

/// Both rotate the same id: one session is left, under the id that one of both was told.
async fn rotated(track: &mut Track) {
    let races = track.races("rotate", true, ("rotate", "rotate")).await;
    let (mut wrong, mut left_first) = (Vec::new(), 0);
    for Race { browser, user, left, right } in &races {
        left_first += usize::from(left.cookie.is_some());
        let told: Vec<_> = [left, right].into_iter().filter_map(|it| it.cookie.clone()).collect();
        let quiet = left.status == 200 && right.status == 200;
        let old = track.sees(browser, ["n", "n"]).await;
        let mut lives = 0;
        for cookie in &told {
            let new = Browser { cookie: Some(cookie.clone()), ..browser.clone() };
            let sees = track.sees(&new, ["n", "n"]).await;
            lives += usize::from(sees == Sees { user: Some(user.clone()), values: [Some(1); 2] });
        }
        let one = (told.len(), lives, track.sessions(user).await) == (1, 1, 1);
        if !quiet || !one || old.user.is_some() {
            wrong.push(format!("{told:?} live {lives} after {left:?} and {right:?}"));
        }
    }
    let what = format!("the left was first {left_first} times");
    track.tell("both rotate", races.len(), &wrong, &what);
}

/// One process logs out while the other rotates: whichever comes first, nothing lives on.
async fn logged_out_while_rotated(track: &mut Track) {
    let races = track.races("rename", true, ("logout", "rotate")).await;
    let (mut wrong, mut renamed) = (Vec::new(), 0);
    for Race { user, left, right, .. } in &races {
        renamed += usize::from(right.cookie.is_some());
        let out = left.status == 200 && left.cookie.as_deref() == Some("__Host-session=");
        if !out || right.status != 200 || track.sessions(user).await != 0 {
            wrong.push(format!("{left:?} and {right:?}"));
        }
    }
    let what = format!("{renamed} had another id when they were logged out");
    track.tell("logout and rotate", races.len(), &wrong, &what);
    assert!((1..RACES).contains(&renamed), "there was no race");
}

/// Both take a value: one gets it.
async fn taken(track: &mut Track) {
    let races = track.races("take", true, ("take", "take")).await;
    let (mut wrong, mut left_first) = (Vec::new(), 0);
    for Race { browser, left, right, .. } in &races {
        left_first += usize::from(left.found.is_some());
        let sees = track.sees(browser, ["n", "n"]).await;
        let got = [left, right].into_iter().filter_map(|done| done.found.as_deref());
        let quiet = left.is_quiet() && right.is_quiet();
        if !quiet || got.collect::<Vec<_>>() != ["1"] || sees.values[0].is_some() {
            wrong.push(format!("{sees:?} after {left:?} and {right:?}"));
        }
    }
    let what = format!("the left got it {left_first} times");
    track.tell("both take a value", races.len(), &wrong, &what);
}

/// A visitor logs in twice at once: there is no session that no client was told of, and the
/// visitor's has ended.
async fn logged_in(track: &mut Track) {
    let races = track.races("login", false, ("login", "login")).await;
    let (mut wrong, mut twice) = (Vec::new(), 0);
    for Race { browser, left, right, .. } in &races {
        let old = track.sees(browser, ["n", "n"]).await;
        let mut users = Vec::new();
        for cookie in [left, right].into_iter().filter_map(|done| done.cookie.clone()) {
            let new = Browser { cookie: Some(cookie), ..browser.clone() };
            users.extend(track.sees(&new, ["n", "n"]).await.user);
        }
        twice += usize::from(users.len() == 2);
        let known = match users.first() {
            Some(user) => track.sessions(user).await == i64::try_from(users.len()).unwrap(),
            None => false,
        };
        let quiet = left.status == 200 && right.status == 200;
        if !quiet || !known || old != (Sees { user: None, values: [None; 2] }) {
            wrong.push(format!("{old:?}, {users:?} after {left:?} and {right:?}"));
        }
    }
    let what = format!("{twice} have two sessions, as they were told");
    track.tell("a visitor logs in twice", races.len(), &wrong, &what);
}

async fn campaign(flavor: Flavor) {
    let mut track = Track::lay(flavor).await;
    lost_update(&mut track).await;
    counted(&mut track).await;
    crowd(&mut track).await;
    logout(&mut track, "slow-write").await;
    logout(&mut track, "write").await;
    logged_out_while_rotated(&mut track).await;
    rotated(&mut track).await;
    taken(&mut track).await;
    logged_in(&mut track).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis() {
    campaign(Flavor::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey() {
    campaign(Flavor::Valkey).await;
}
