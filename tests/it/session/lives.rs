//! How long sessions live.

use std::time::Duration;

use tower_keep::UserId;
use tower_keep_session::{Session, SessionError, SessionOutcome, Touch};

use super::{Stage, browser::Browser};

const DAY: u64 = 86_400;

async fn set_n(session: Session) {
    session.set("n", &1).unwrap();
}

async fn get_n(session: Session) -> Option<u8> {
    session.get("n").await.unwrap()
}

#[tokio::test]
async fn a_session_ends_when_it_lies_unused_and_a_new_one_has_a_new_id() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let layer = stage.layer();
    browser.visit(&layer, set_n).await;
    let old = browser.cookie.clone();
    stage.wait(DAY + 1);
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(None));
    browser.visit(&layer, set_n).await;
    assert_ne!(browser.cookie, old);
}

#[tokio::test]
async fn use_is_told_to_the_store_once_in_an_interval() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let layer = stage.layer();
    browser.visit(&layer, set_n).await;
    stage.wait(299);
    let visit = browser.visit(&layer, get_n).await;
    assert_eq!((visit.outcome, visit.cookies().len()), (Some(SessionOutcome::Read), 0));
    stage.wait(1);
    let visit = browser.visit(&layer, get_n).await;
    assert_eq!(visit.cookies().len(), 1, "the client is given a token that says so");
    assert!(visit.cookies()[0].contains("Max-Age=86400"));
    assert_eq!(browser.visit(&layer, get_n).await.cookies().len(), 0);
    // Used every now and then it lives on, to its absolute limit and not a moment longer.
    for _ in 0..13 {
        stage.wait(DAY / 2);
        assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)));
    }
    let visit = browser.visit(&layer, get_n).await;
    assert_eq!(visit.cookies().len(), 0);
    stage.wait(DAY / 2 - 301);
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)));
    stage.wait(2);
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(None), "7 days have passed");
}

#[tokio::test]
async fn a_cookie_is_never_kept_past_the_absolute_limit() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let life = Some(Duration::from_secs(DAY + 3600));
    let layer = stage.builder().absolute_ttl(life).build().unwrap();
    browser.visit(&layer, set_n).await;
    stage.wait(7200);
    let visit = browser.visit(&layer, get_n).await;
    assert!(visit.cookies()[0].contains(&format!("Max-Age={}", DAY - 3600)), "{visit:?}");
}

#[tokio::test]
async fn what_counts_as_use_can_be_chosen() {
    for (touch, by_request, by_access) in [
        (Touch::OnAccess, false, true),
        (Touch::OnRequest, true, true),
        (Touch::Never, false, false),
    ] {
        let stage = Stage::new();
        let layer = stage.builder().touch(touch).build().unwrap();
        let mut browser = Browser::default();
        browser.visit(&layer, set_n).await;
        stage.wait(DAY / 2);
        let visit = browser.visit(&layer, async |_| ()).await;
        assert_eq!(visit.cookies().len(), usize::from(by_request), "{touch:?}");
        let expected = if by_request { SessionOutcome::Touched } else { SessionOutcome::Untouched };
        assert_eq!(visit.outcome, Some(expected), "{touch:?}");
        stage.wait(DAY / 4);
        browser.visit(&layer, get_n).await;
        stage.wait(DAY / 2);
        let alive = browser.visit(&layer, get_n).await.value.flatten().is_some();
        assert_eq!(alive, by_access, "{touch:?}");
    }
}

#[tokio::test]
async fn a_session_has_its_own_life_where_it_is_given_one() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let layer = stage.layer();
    browser.visit(&layer, set_n).await;
    let short = async |session: Session| session.set_ttl(Duration::from_secs(60)).unwrap();
    let visit = browser.visit(&layer, short).await;
    assert!(
        visit.cookies()[0].contains("Max-Age=60;") || visit.cookies()[0].ends_with("Max-Age=60")
    );
    let expires = async |session: Session| session.expires_at().await.unwrap().unwrap();
    let begun = stage.clock.now().0;
    assert_eq!(browser.visit(&layer, expires).await.value.unwrap().0, begun + 60_000);
    // Its own life stays its own when it is used.
    for _ in 0..5 {
        stage.wait(40);
        assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)));
    }
    stage.wait(61);
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(None));
    let wrong = async |session: Session| {
        for life in [0, 401 * DAY] {
            let error = session.set_ttl(Duration::from_secs(life)).unwrap_err();
            assert!(matches!(error, SessionError::InvalidLife));
        }
    };
    browser.visit(&layer, wrong).await;
}

#[tokio::test]
async fn a_visitors_session_has_its_own_life_under_each_id_that_it_is_given() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let (idle, life) = (Duration::from_secs(180), Some(Duration::from_secs(200)));
    let layer = stage.builder().ttl(idle).absolute_ttl(life).build().unwrap();
    let begin = async |session: Session| {
        session.set("n", &1).unwrap();
        session.set_ttl(Duration::from_secs(60)).unwrap();
    };
    browser.visit(&layer, begin).await;
    let since = stage.clock.now().0;
    let rotate = async |session: Session| session.rotate().unwrap();
    for _ in 0..3 {
        stage.wait(50);
        let visit = browser.visit(&layer, rotate).await;
        assert!(visit.cookies()[0].contains("Max-Age="), "{visit:?}");
    }
    let times = async |session: Session| {
        (session.created_at().await.unwrap(), session.expires_at().await.unwrap())
    };
    let (created, expires) = browser.visit(&layer, times).await.value.unwrap();
    assert_eq!(created.unwrap().0, since);
    assert_eq!(expires.unwrap().0, since + 200_000, "not past the absolute limit");
    stage.wait(51);
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(None));
    // One that was not used for its own time is over, not for the usual one.
    browser.visit(&layer, begin).await;
    browser.visit(&layer, rotate).await;
    stage.wait(61);
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(None));
    // Who logs in begins a session.
    browser.visit(&layer, begin).await;
    stage.wait(50);
    let user = UserId::new("u").unwrap();
    browser.visit(&layer, async |session| session.login(&user).unwrap()).await;
    let (created, _) = browser.visit(&layer, times).await.value.unwrap();
    assert_eq!(created.unwrap(), stage.clock.now());
}

#[tokio::test]
async fn visitors_may_have_shorter_lives_than_users_and_who_is_remembered_a_longer_one() {
    let stage = Stage::new();
    let layer = stage.builder().anonymous_ttl(Duration::from_secs(600)).build().unwrap();
    let user = UserId::new("u").unwrap();
    let mut visitor = Browser::default();
    visitor.visit(&layer, set_n).await;
    let (mut known, mut remembered) = (Browser::default(), Browser::default());
    known.visit(&layer, async |session| session.login(&user).unwrap()).await;
    let remember = async |session: Session| {
        session.login(&user).unwrap();
        session.remember(true).unwrap();
    };
    let visit = remembered.visit(&layer, remember).await;
    assert!(visit.cookies()[0].contains("Max-Age=2592000"), "{:?}", visit.cookies());
    let is_known = async |session: Session| session.user().await.unwrap().is_some();
    stage.wait(601);
    assert_eq!(visitor.visit(&layer, get_n).await.value, Some(None));
    assert_eq!(known.visit(&layer, is_known).await.value, Some(true));
    stage.wait(29 * DAY);
    assert_eq!(known.visit(&layer, is_known).await.value, Some(false));
    assert_eq!(remembered.visit(&layer, is_known).await.value, Some(true));
}
