//! Several at once in one request, and requests that get in each other's way.

use std::{sync::Arc, time::Duration};

use tower_keep::UserId;
use tower_keep_core::{Answer, StoreError, key::SessionKey};
use tower_keep_session::{
    Bounds, Header, Listed, MemoryStore, Moved, Origin, Place, Record, Revocations, Save, Saved,
    Session, SessionError, SessionLayer, SessionStore,
};
use tower_keep_tests::prompt_once;

use super::{SECRET, Stage, browser::Browser};

/// A store in memory that takes its time to save.
#[derive(Clone, Default)]
struct Slow(Arc<MemoryStore>);

impl Slow {
    fn layer(&self) -> SessionLayer {
        let store = Arc::new(self.clone());
        SessionLayer::builder().store(store).secrets([SECRET]).build().unwrap()
    }
}

impl SessionStore for Slow {
    fn load(&self, place: Place<'_>) -> Answer<Result<Option<Arc<Record>>, StoreError>> {
        self.0.load(place)
    }

    fn touch_and_load(
        &self,
        place: Place<'_>,
        bounds: Bounds,
    ) -> Answer<Result<Option<Arc<Record>>, StoreError>> {
        self.0.touch_and_load(place, bounds)
    }

    fn touch(
        &self,
        place: Place<'_>,
        bounds: Bounds,
    ) -> Answer<Result<Option<Header>, StoreError>> {
        self.0.touch(place, bounds)
    }

    fn save(&self, save: Save<'_>) -> Answer<Result<Saved, StoreError>> {
        let saved = self.0.save(save);
        Answer::pending(async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            saved.await
        })
    }

    fn remove(&self, place: Place<'_>) -> Answer<Result<bool, StoreError>> {
        self.0.remove(place)
    }

    fn move_away(
        &self,
        place: Place<'_>,
        version: Option<u64>,
    ) -> Answer<Result<Moved, StoreError>> {
        self.0.move_away(place, version)
    }

    fn has_moved(&self, place: Place<'_>, origin: Origin) -> Answer<Result<bool, StoreError>> {
        self.0.has_moved(place, origin)
    }

    fn remove_all(&self, key: SessionKey<'_>) -> Answer<Result<(), StoreError>> {
        self.0.remove_all(key)
    }

    fn remove_others(&self, but: Place<'_>) -> Answer<Result<u64, StoreError>> {
        self.0.remove_others(but)
    }

    fn list(&self, key: SessionKey<'_>) -> Answer<Result<Listed, StoreError>> {
        self.0.list(key)
    }

    fn revocations(&self) -> &Revocations {
        self.0.revocations()
    }
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

async fn get(session: &Session, name: &str) -> Option<u8> {
    session.get(name).await.unwrap()
}

#[tokio::test]
async fn a_login_as_another_user_sees_and_compares_nothing_of_the_one_before() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    let begin = async |session: Session| {
        session.login(&user("v")).unwrap();
        session.set("method", &1).unwrap();
        session.set("secret", &2).unwrap();
    };
    browser.visit(&layer, begin).await;
    let switch = async |session: Session| {
        assert_eq!(get(&session, "secret").await, Some(2));
        session.set("method", &1).unwrap();
        session.login(&user("u")).unwrap();
        assert_eq!(get(&session, "secret").await, None);
        assert_eq!(session.take::<u8>("secret").await.unwrap(), None);
        let count = |n: Option<u8>| n.unwrap_or(0) + 1;
        assert_eq!(session.update("secret", count).await.unwrap(), 1);
    };
    browser.visit(&layer, switch).await;
    let look =
        async |session: Session| (get(&session, "method").await, get(&session, "secret").await);
    assert_eq!(browser.visit(&layer, look).await.value, Some((Some(1), Some(1))));
}

#[tokio::test]
async fn what_is_being_saved_is_seen_and_what_is_done_meanwhile_is_not_lost() {
    let (slow, mut browser) = (Slow::default(), Browser::of("acme"));
    let layer = slow.layer();
    let begin = async |session: Session| session.set("y", &1).unwrap();
    browser.visit(&layer, begin).await;
    let at_once = async |session: Session| {
        assert_eq!(get(&session, "y").await, Some(1));
        session.set("y", &2).unwrap();
        session.set("z", &3).unwrap();
        let (saving, other) = (session.clone(), session.clone());
        let meanwhile = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_eq!(get(&other, "y").await, Some(2), "it is being saved");
            other.set("y", &1).unwrap();
            other.remove("z").unwrap();
        };
        let (saved, ()) = tokio::join!(saving.commit(), meanwhile);
        saved.unwrap();
    };
    browser.visit(&layer, at_once).await;
    let look = async |session: Session| (get(&session, "y").await, get(&session, "z").await);
    assert_eq!(browser.visit(&layer, look).await.value, Some((Some(1), None)));
}

#[tokio::test]
async fn a_logout_while_a_login_is_being_saved_ends_it() {
    let (slow, mut browser) = (Slow::default(), Browser::of("acme"));
    let layer = slow.layer();
    let both = async |session: Session| {
        session.login(&user("u")).unwrap();
        let other = session.clone();
        let out = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            other.logout();
        };
        let (saved, ()) = tokio::join!(session.commit(), out);
        saved.unwrap();
    };
    browser.visit(&layer, both).await;
    assert_eq!(browser.cookie, None);
    assert!(slow.0.is_empty());
}

/// What another request is told was saved is there, wherever the session goes meanwhile.
#[tokio::test]
async fn what_is_written_while_a_session_moves_goes_along() {
    let slow = Slow::default();
    let layer = slow.layer();
    let mut acknowledged = 0;
    for turn in 0..100 {
        let mut browser = Browser::of("acme");
        let begin = async |session: Session| {
            for name in ["n", "gone", "both"] {
                session.set(name, &1).unwrap();
            }
        };
        browser.visit(&layer, begin).await;
        let mut late = browser.clone();
        let moves = async |session: Session| {
            if turn % 2 == 0 { session.login(&user("u")) } else { session.rotate() }.unwrap();
            session.set("both", &2).unwrap();
        };
        let writes = async |session: Session| {
            session.set("m", &3).unwrap();
            session.set("both", &3).unwrap();
            session.remove("gone").unwrap();
            session.commit().await.is_ok()
        };
        let meanwhile = async {
            // While the new one is being made.
            tokio::time::sleep(Duration::from_millis(10)).await;
            late.visit(&layer, writes).await.value.unwrap()
        };
        let (_, saved) = tokio::join!(browser.visit(&layer, moves), meanwhile);
        let look = async |session: Session| {
            [
                get(&session, "n").await,
                get(&session, "m").await,
                get(&session, "gone").await,
                get(&session, "both").await,
            ]
        };
        let seen = browser.visit(&layer, look).await.value.unwrap();
        if saved {
            acknowledged += 1;
            assert_eq!(seen, [Some(1), Some(3), None, Some(2)]);
        }
        if acknowledged == 4 {
            return;
        }
    }
    panic!("nobody ever writes while a session moves");
}

#[tokio::test]
async fn an_answer_waits_for_a_commit_that_its_handler_gave_up() {
    prompt_once(async || {
        let (slow, mut browser) = (Slow::default(), Browser::of("acme"));
        let layer = slow.layer();
        // A machine that stands still meanwhile has saved by then.
        let gives_up = async |session: Session| {
            session.login(&user("u")).unwrap();
            let little = Duration::from_millis(5);
            tokio::time::timeout(little, session.commit()).await.is_err()
        };
        let visit = browser.visit(&layer, gives_up).await;
        assert_eq!(visit.cookies().len(), 1, "the client must have the new token");
        let who = async |session: Session| session.user().await.unwrap();
        assert_eq!(browser.visit(&layer, who).await.value, Some(Some(user("u"))));
        visit.value.unwrap()
    })
    .await;
}

#[tokio::test]
async fn a_rotation_and_an_update_at_once_are_both_done() {
    let (slow, mut browser) = (Slow::default(), Browser::of("acme"));
    let layer = slow.layer();
    let begin = async |session: Session| {
        session.login(&user("u")).unwrap();
        session.set("n", &1).unwrap();
    };
    browser.visit(&layer, begin).await;
    let at_once = async |session: Session| {
        session.user().await.unwrap();
        session.rotate().unwrap();
        counted_while_it_is_saved(&session).await
    };
    assert_eq!(browser.visit(&layer, at_once).await.value, Some(2));
    let n = async |session: Session| get(&session, "n").await;
    assert_eq!(browser.visit(&layer, n).await.value, Some(Some(2)));
    assert_eq!(slow.0.len(), 1);
}

/// Commits, and meanwhile a clone adds 1 to `n`: what it is then.
async fn counted_while_it_is_saved(session: &Session) -> u8 {
    let other = session.clone();
    let update = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        other.update("n", |n: Option<u8>| n.unwrap_or(0) + 1).await.unwrap()
    };
    let (saved, n) = tokio::join!(session.commit(), update);
    saved.unwrap();
    n
}

/// Changes to what is not saved yet, and to what is being saved, lose nothing either.
#[tokio::test]
async fn what_a_new_visitor_counts_at_once_is_all_counted() {
    let (slow, mut browser) = (Slow::default(), Browser::of("acme"));
    let layer = slow.layer();
    let counts = async |session: Session| {
        let other = session.clone();
        let mut turns = 0;
        let more = |n: Option<u8>| {
            turns += 1;
            if turns == 1 {
                // A clone is faster.
                other.set("n", &10).unwrap();
            }
            n.unwrap_or(0) + 1
        };
        assert_eq!(session.update("n", more).await.unwrap(), 11);
        assert_eq!(turns, 2);
        assert_eq!(counted_while_it_is_saved(&session).await, 12);
        let (saved, taken) = tokio::join!(session.commit(), session.take::<u8>("n"));
        saved.unwrap();
        taken.unwrap()
    };
    assert_eq!(browser.visit(&layer, counts).await.value, Some(Some(12)));
    let n = async |session: Session| get(&session, "n").await;
    assert_eq!(browser.visit(&layer, n).await.value, Some(None));
}

#[tokio::test]
async fn a_stale_token_whose_session_ends_meanwhile_is_not_given_anew() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, async |session| session.login(&user("u")).unwrap()).await;
    stage.wait(400);
    let (mut slow, mut quick) = (browser.clone(), browser.clone());
    let write = async |session: Session| {
        get(&session, "n").await;
        quick.visit(&layer, async |session| session.logout()).await;
        session.set("n", &1).unwrap();
    };
    assert_eq!(slow.visit(&layer, write).await.cookies().len(), 0);
}

#[tokio::test]
async fn whoever_is_shown_a_token_or_an_id_has_an_answer_of_their_own() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    let visit = browser.visit(&layer, async |session| session.token()).await;
    assert!(visit.header("vary").is_some());
    let visit = browser.visit(&layer, async |session| session.id()).await;
    assert!(visit.header("vary").is_some());
}

#[tokio::test]
async fn once_the_answer_has_begun_a_logout_is_done_at_once_and_nothing_is_made() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    let old = browser.visit(&layer, async |session| session).await.value.unwrap();
    browser.visit(&layer, async |session| session.logout()).await;
    old.unseal().unwrap();
    old.set("n", &2).unwrap();
    assert!(matches!(old.commit().await, Err(SessionError::Gone)));
    assert!(stage.store.is_empty(), "nobody could be told of another");
    browser.visit(&layer, async |session| session.login(&user("u")).unwrap()).await;
    let stream = browser.visit(&layer, async |session| session).await.value.unwrap();
    stream.logout();
    let soon = Duration::from_secs(10);
    let ended = || async { stage.store.is_empty() };
    assert!(tower_keep_tests::wait_until(soon, ended).await, "it is not ended");
}

#[tokio::test]
async fn a_forms_token_made_at_a_login_is_of_the_new_session() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    let login = async |session: Session| {
        session.login(&user("u")).unwrap();
        session.csrf_token().await.unwrap().to_string()
    };
    let token = browser.visit(&layer, login).await.value.unwrap();
    let good = async |session: Session| session.verify_csrf(&token).await.unwrap();
    assert_eq!(browser.visit(&layer, good).await.value, Some(true));
}

#[tokio::test]
async fn an_answer_that_others_share_has_no_token() {
    use tower::{Layer as _, ServiceExt as _};
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    stage.wait(400);
    let shared = async |writes: bool| {
        let service = layer.layer(tower::service_fn(async |request: http::Request<()>| {
            let session = Session::of(request.extensions()).unwrap();
            if writes {
                session.login(&user("u")).unwrap();
            } else {
                get(session, "n").await;
            }
            let answer = http::Response::builder().header("cache-control", "public, max-age=60");
            Ok::<_, std::convert::Infallible>(answer.body(()).unwrap())
        }));
        let answer = service.oneshot(browser.request()).await.unwrap();
        let text =
            |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        (text("set-cookie").is_some(), text("cache-control").unwrap())
    };
    assert_eq!(shared(false).await, (false, "public, max-age=60".to_owned()));
    stage.wait(43_200 - 401);
    assert_eq!(shared(false).await, (false, "public, max-age=60".to_owned()));
    // A client that sees such answers alone must not be logged out.
    stage.wait(1);
    assert_eq!(shared(false).await, (true, "no-store".to_owned()));
    assert_eq!(shared(true).await, (true, "no-store".to_owned()));
}

#[tokio::test]
async fn who_is_told_no_cache_stays_logged_in_and_what_a_program_asks_for_is_always_told() {
    use tower::{Layer as _, ServiceExt as _};
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    let ask = async |browser: &mut Browser, said: &'static str, ttl: Option<u64>| {
        let service = layer.layer(tower::service_fn(async |request: http::Request<()>| {
            let session = Session::of(request.extensions()).unwrap();
            assert_eq!(get(session, "n").await, Some(1), "{said}");
            if let Some(ttl) = ttl {
                session.set_ttl(Duration::from_secs(ttl)).unwrap();
            }
            let answer = http::Response::builder().header("cache-control", said);
            Ok::<_, std::convert::Infallible>(answer.body(()).unwrap())
        }));
        let answer = service.oneshot(browser.request()).await.unwrap();
        browser.keep(answer.headers());
        (answer.headers().contains_key("set-cookie"), answer.headers()["cache-control"].clone())
    };
    for said in ["no-cache", "max-age=0, must-revalidate", "must-revalidate", "no-cache"] {
        stage.wait(50_000);
        assert_eq!(ask(&mut browser, said, None).await, (true, "no-store".parse().unwrap()));
    }
    let told = ask(&mut browser, "public, max-age=60", Some(200_000)).await;
    assert_eq!(told, (true, "no-store".parse().unwrap()));
    stage.wait(150_000);
    assert!(ask(&mut browser, "no-cache", None).await.0);
}
