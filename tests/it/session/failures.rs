//! What a client gets while the store is away, and after.

mod rotations;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use tower_keep_core::{Answer, StoreError, key::SessionKey};
use tower_keep_session::{
    Bounds, Change, Data, Header, How, MemoryStore, Moved, OnStoreFailure, Place, PublicId, Record,
    Revocations, Save, Saved, Session, SessionError, SessionLayer, SessionLayerBuilder,
    SessionOutcome, SessionStore,
};

use tower_keep_tests::wait_until;

use super::{SECRET, browser::Browser};

/// A store in memory whose methods fail on demand.
#[derive(Default)]
struct Flaky {
    store: MemoryStore,
    reads_fail: AtomicBool,
    saves_fail: AtomicBool,
    removals_fail: AtomicBool,
    /// Saves are carried out, and nobody hears of it.
    answers_lost: AtomicBool,
    /// So many times a session that is to move is written to by another request before.
    writes_between: AtomicUsize,
}

impl Flaky {
    fn builder(self: &Arc<Self>) -> SessionLayerBuilder {
        SessionLayer::builder().store(self.clone()).secrets([SECRET]).expose_outcome(true)
    }

    fn fail(&self, reads: bool, saves: bool, removals: bool) {
        self.reads_fail.store(reads, Ordering::SeqCst);
        self.saves_fail.store(saves, Ordering::SeqCst);
        self.removals_fail.store(removals, Ordering::SeqCst);
    }
}

fn unless<T>(
    fails: &AtomicBool,
    answer: Answer<Result<T, StoreError>>,
) -> Answer<Result<T, StoreError>> {
    if fails.load(Ordering::SeqCst) {
        return Answer::ready(Err(StoreError::unknown("the test says so")));
    }
    answer
}

impl SessionStore for Flaky {
    fn load(&self, place: Place<'_>) -> Answer<Result<Option<Arc<Record>>, StoreError>> {
        unless(&self.reads_fail, self.store.load(place))
    }

    fn touch_and_load(
        &self,
        place: Place<'_>,
        bounds: Bounds,
    ) -> Answer<Result<Option<Arc<Record>>, StoreError>> {
        unless(&self.reads_fail, self.store.touch_and_load(place, bounds))
    }

    fn touch(
        &self,
        place: Place<'_>,
        bounds: Bounds,
    ) -> Answer<Result<Option<Header>, StoreError>> {
        unless(&self.reads_fail, self.store.touch(place, bounds))
    }

    fn save(&self, save: Save<'_>) -> Answer<Result<Saved, StoreError>> {
        if self.saves_fail.load(Ordering::SeqCst) {
            return Answer::ready(Err(StoreError::not_sent("the test says so")));
        }
        let saved = self.store.save(save);
        unless(&self.answers_lost, saved)
    }

    fn remove(&self, place: Place<'_>) -> Answer<Result<bool, StoreError>> {
        if self.removals_fail.load(Ordering::SeqCst) {
            return Answer::ready(Err(StoreError::not_sent("the test says so")));
        }
        self.store.remove(place)
    }

    fn move_away(
        &self,
        place: Place<'_>,
        version: Option<u64>,
    ) -> Answer<Result<Moved, StoreError>> {
        if self.removals_fail.load(Ordering::SeqCst) {
            return Answer::ready(Err(StoreError::not_sent("the test says so")));
        }
        let take = |left: usize| left.checked_sub(1);
        if let Ok(turn) = self.writes_between.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
        {
            let set = Data::from([("m".into(), vec![u8::try_from(turn % 100).unwrap()].into())]);
            let (change, expect) = (Change { set, ..Change::default() }, BTreeMap::new());
            let bounds = Bounds { absolute_ms: None, sessions: 9, bytes: 9999 };
            let (how, idle_ms) = (How::Write, None);
            let save = Save { place, how, change: &change, expect: &expect, idle_ms, bounds };
            let saved = self.store.save(save).now().ok().unwrap().unwrap();
            assert!(matches!(saved, Saved::Done(_)));
        }
        self.store.move_away(place, version)
    }

    fn remove_all(&self, key: SessionKey<'_>) -> Answer<Result<(), StoreError>> {
        self.store.remove_all(key)
    }

    fn remove_others(&self, but: Place<'_>) -> Answer<Result<u64, StoreError>> {
        self.store.remove_others(but)
    }

    fn list(
        &self,
        key: SessionKey<'_>,
    ) -> Answer<Result<Vec<(PublicId, Arc<Record>)>, StoreError>> {
        self.store.list(key)
    }

    fn revocations(&self) -> &Revocations {
        self.store.revocations()
    }
}

async fn set_n(session: Session) {
    session.set("n", &1).unwrap();
}

async fn get_n(session: Session) -> Option<u8> {
    session.get("n").await.unwrap()
}

async fn log_in(session: Session) {
    session.login(&tower_keep::UserId::new("u1").unwrap()).unwrap();
}

async fn is_user(session: Session) -> bool {
    session.user().await.unwrap().is_some()
}

#[tokio::test]
async fn who_reads_is_told_and_who_does_not_notices_nothing() {
    let (flaky, mut browser) = (Arc::<Flaky>::default(), Browser::of("acme"));
    let layer = flaky.builder().build().unwrap();
    browser.visit(&layer, set_n).await;
    flaky.fail(true, true, true);
    let visit = browser.visit(&layer, async |_| ()).await;
    assert_eq!((visit.status.as_u16(), visit.outcome), (200, Some(SessionOutcome::Untouched)));
    let read = async |session: Session| {
        let failed = |error: &SessionError| matches!(error, SessionError::Store(_));
        assert!(failed(&session.get::<u8>("n").await.unwrap_err()));
        assert!(failed(&session.user().await.unwrap_err()));
        assert!(failed(&session.take::<u8>("n").await.unwrap_err()));
        assert!(failed(&session.csrf_token().await.unwrap_err()));
    };
    let visit = browser.visit(&layer, read).await;
    assert_eq!((visit.status.as_u16(), visit.cookies().len()), (200, 0));
    flaky.fail(false, false, false);
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)), "nothing was lost");
}

#[tokio::test]
async fn what_could_not_be_saved_is_503_and_the_client_keeps_its_token() {
    let (flaky, mut browser) = (Arc::<Flaky>::default(), Browser::of("acme"));
    let layer = flaky.builder().build().unwrap();
    flaky.fail(false, true, false);
    let visit = browser.visit(&layer, set_n).await;
    assert_eq!((visit.status.as_u16(), visit.cookies().len()), (503, 0));
    assert_eq!(visit.header("retry-after"), Some("1"));
    assert_eq!(visit.header("content-type"), Some("application/problem+json"));
    assert_eq!(visit.outcome, Some(SessionOutcome::Refused));
    flaky.fail(false, false, false);
    browser.visit(&layer, set_n).await;
    flaky.fail(false, true, false);
    let two = async |session: Session| session.set("n", &2).unwrap();
    assert_eq!(browser.visit(&layer, two).await.status, 503);
    let login = browser.visit(&layer, log_in).await;
    assert_eq!((login.status.as_u16(), login.cookies().len()), (503, 0));
    browser.content_type = Some("application/grpc");
    let grpc = browser.visit(&layer, two).await;
    assert_eq!((grpc.status.as_u16(), grpc.header("grpc-status")), (200, Some("14")));
    flaky.fail(false, false, false);
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)));
}

#[tokio::test]
async fn a_commit_that_fails_is_tried_again_with_the_answer() {
    let (flaky, mut browser) = (Arc::<Flaky>::default(), Browser::of("acme"));
    let layer = flaky.builder().build().unwrap();
    let commit = async |session: Session| {
        session.set("n", &1).unwrap();
        flaky.fail(false, true, false);
        assert!(matches!(session.commit().await, Err(SessionError::Store(_))));
        flaky.fail(false, false, false);
        session.set("m", &2).unwrap();
    };
    assert_eq!(browser.visit(&layer, commit).await.status, 200);
    let both = async |session: Session| {
        (session.get::<u8>("n").await.unwrap(), session.get::<u8>("m").await.unwrap())
    };
    assert_eq!(browser.visit(&layer, both).await.value, Some((Some(1), Some(2))));
}

/// An answer that says that a login has failed is the end of it; who logs out is out all the same.
#[tokio::test]
async fn what_a_commit_failed_to_do_is_not_done_with_an_answer_that_says_so() {
    let (flaky, mut browser) = (Arc::<Flaky>::default(), Browser::of("acme"));
    let layer = flaky.builder().build().unwrap();
    browser.visit(&layer, set_n).await;
    let commits = async |session: Session| {
        flaky.fail(false, true, true);
        assert!(session.commit().await.is_err());
        flaky.fail(false, false, false);
    };
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK] {
        let fails = async |session: Session| {
            log_in(session.clone()).await;
            commits(session).await;
            (status, ())
        };
        let done = status.is_success();
        let visit = browser.answered(&layer, fails).await;
        let outcome = if done { SessionOutcome::Created } else { SessionOutcome::Discarded };
        assert_eq!((visit.status, visit.outcome), (status, Some(outcome)));
        assert_eq!(visit.cookies().len(), usize::from(done));
        assert_eq!(browser.visit(&layer, is_user).await.value, Some(done));
        assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)));
    }
    let leaves = async |session: Session| {
        session.logout();
        commits(session).await;
        (StatusCode::SERVICE_UNAVAILABLE, ())
    };
    let visit = browser.answered(&layer, leaves).await;
    assert_eq!(visit.outcome, Some(SessionOutcome::Ended));
    assert!(flaky.store.is_empty() && browser.cookie.is_none());
}

#[tokio::test]
async fn a_login_whose_old_session_cannot_be_ended_leaves_neither() {
    let (flaky, mut browser) = (Arc::<Flaky>::default(), Browser::of("acme"));
    let layer = flaky.builder().build().unwrap();
    browser.visit(&layer, set_n).await;
    let old = browser.cookie.clone();
    flaky.fail(false, false, true);
    let visit = browser.visit(&layer, log_in).await;
    assert_eq!((visit.status.as_u16(), visit.cookies().len()), (503, 0));
    assert_eq!(browser.cookie, old);
    assert_eq!(flaky.store.len(), 2);
    flaky.fail(false, false, false);
    let soon = Duration::from_secs(10);
    assert!(wait_until(soon, || async { flaky.store.is_empty() }).await, "both are ended");
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(None));
}

#[tokio::test]
async fn a_logout_that_fails_is_503_and_is_done_later() {
    let (flaky, mut browser) = (Arc::<Flaky>::default(), Browser::of("acme"));
    let layer = flaky.builder().build().unwrap();
    browser.visit(&layer, log_in).await;
    flaky.fail(false, false, true);
    let visit = browser.visit(&layer, async |session| session.logout()).await;
    assert_eq!((visit.status.as_u16(), visit.cookies().len()), (503, 0));
    flaky.fail(false, false, false);
    let soon = Duration::from_secs(10);
    assert!(wait_until(soon, || async { flaky.store.is_empty() }).await, "it is ended");
    assert_eq!(browser.visit(&layer, is_user).await.value, Some(false));
}

#[tokio::test]
async fn everybody_is_a_visitor_where_that_was_chosen() {
    let (flaky, mut browser) = (Arc::<Flaky>::default(), Browser::of("acme"));
    let builder = flaky.builder().on_store_failure(OnStoreFailure::Anonymous);
    let layer = builder.build().unwrap();
    browser.visit(&layer, log_in).await;
    browser.visit(&layer, set_n).await;
    flaky.fail(true, true, true);
    let read = async |session: Session| {
        session.set("n", &2).unwrap();
        (session.user().await.unwrap(), session.get::<u8>("m").await.unwrap())
    };
    let visit = browser.visit(&layer, read).await;
    assert_eq!((visit.status.as_u16(), visit.cookies().len()), (200, 0), "nothing was saved");
    assert_eq!(visit.value, Some((None, None)));
    let blind = browser.visit(&layer, set_n).await;
    assert_eq!((blind.status.as_u16(), blind.cookies().len()), (200, 0));
    flaky.fail(false, false, false);
    assert_eq!(browser.visit(&layer, is_user).await.value, Some(true));
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)));
}

#[tokio::test]
async fn what_was_committed_is_told_although_the_answer_is_replaced() {
    let (flaky, mut browser) = (Arc::<Flaky>::default(), Browser::of("acme"));
    let layer = flaky.builder().build().unwrap();
    let half = async |session: Session| {
        log_in(session.clone()).await;
        session.commit().await.unwrap();
        session.set("n", &1).unwrap();
        flaky.fail(false, true, false);
    };
    let visit = browser.visit(&layer, half).await;
    assert_eq!((visit.status.as_u16(), visit.cookies().len()), (503, 1));
    flaky.fail(false, false, false);
    assert_eq!(browser.visit(&layer, is_user).await.value, Some(true));
}

#[tokio::test]
async fn who_logs_out_is_out_also_where_everybody_is_a_visitor() {
    let (flaky, mut browser) = (Arc::<Flaky>::default(), Browser::of("acme"));
    let builder = flaky.builder().on_store_failure(OnStoreFailure::Anonymous);
    let layer = builder.build().unwrap();
    for reads in [false, true] {
        browser.visit(&layer, log_in).await;
        let mut copy = browser.clone();
        flaky.fail(true, true, true);
        let logout = async |session: Session| {
            if reads {
                assert_eq!(session.user().await.unwrap(), None);
            }
            session.logout();
        };
        let visit = browser.visit(&layer, logout).await;
        assert_eq!((visit.status.as_u16(), visit.cookies().len()), (200, 1), "reads: {reads}");
        assert_eq!(browser.cookie, None);
        flaky.fail(false, false, false);
        let soon = Duration::from_secs(10);
        assert!(wait_until(soon, || async { flaky.store.is_empty() }).await, "it is ended");
        assert_eq!(copy.visit(&layer, is_user).await.value, Some(false));
    }
    let commits = async |session: Session| {
        flaky.fail(true, true, true);
        session.get::<u8>("n").await.unwrap();
        session.set("n", &1).unwrap();
        session.commit().await.is_err()
    };
    browser.visit(&layer, log_in).await;
    assert_eq!(browser.visit(&layer, commits).await.value, Some(true), "nothing was saved");
}

#[tokio::test]
async fn what_was_never_made_is_not_removed_later() {
    let (flaky, mut browser) = (Arc::<Flaky>::default(), Browser::of("acme"));
    let layer = flaky.builder().build().unwrap();
    flaky.answers_lost.store(true, Ordering::SeqCst);
    assert_eq!(browser.visit(&layer, set_n).await.status, 503);
    let soon = Duration::from_secs(10);
    assert!(wait_until(soon, || async { flaky.store.is_empty() }).await, "nobody has its token");
}

#[tokio::test]
async fn what_others_write_while_a_session_moves_is_followed_or_the_move_is_not_made() {
    for (writes, moves) in [(1, true), (4, true), (90, true), (100_000, false)] {
        let (flaky, mut browser) = (Arc::<Flaky>::default(), Browser::of("acme"));
        let layer = flaky.builder().build().unwrap();
        browser.visit(&layer, set_n).await;
        flaky.writes_between.store(writes, Ordering::SeqCst);
        let visit = browser.visit(&layer, log_in).await;
        assert_eq!(visit.status, if moves { 200 } else { 503 }, "{writes}");
        let left = flaky.writes_between.swap(0, Ordering::SeqCst);
        assert_eq!(left == 0, moves, "{writes}");
        let last = u8::try_from((left + 1) % 100).unwrap();
        let m = async |session: Session| session.get::<u8>("m").await.unwrap();
        assert_eq!(browser.visit(&layer, m).await.value, Some(Some(last)), "{writes}");
        assert_eq!(browser.visit(&layer, is_user).await.value, Some(moves), "{writes}");
    }
}
