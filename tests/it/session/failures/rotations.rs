//! Rotations whose answer was lost: one token is good, whatever became of them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tower_keep_session::{Session, SessionLayer};
use tower_keep_tests::wait_until;

use super::{Browser, Flaky, get_n, is_user, log_in, set_n};

/// A store that fails as it is told, and a user's browser whose session holds `n`.
async fn logged_in() -> (Arc<Flaky>, SessionLayer, Browser) {
    let (flaky, mut browser) = (Arc::<Flaky>::default(), Browser::of("acme"));
    let layer = flaky.builder().build().unwrap();
    browser.visit(&layer, log_in).await;
    browser.visit(&layer, set_n).await;
    (flaky, layer, browser)
}

#[tokio::test]
async fn a_rotation_whose_answer_was_lost_leaves_one_good_token() {
    let (flaky, layer, mut browser) = logged_in().await;
    let rotate = async |session: Session| session.rotate().unwrap();
    // It is looked for, and found done.
    flaky.answers_lost.store(true, Ordering::SeqCst);
    let visit = browser.visit(&layer, rotate).await;
    assert_eq!((visit.status.as_u16(), visit.cookies().len()), (200, 1));
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)));
    // Who tries again within the request, when the store is back, does it once.
    let again = async |session: Session| {
        session.rotate().unwrap();
        flaky.fail(true, false, false);
        assert!(session.commit().await.is_err());
        flaky.fail(false, false, false);
        flaky.answers_lost.store(false, Ordering::SeqCst);
    };
    assert_eq!(browser.visit(&layer, again).await.cookies().len(), 1);
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)));
    assert_eq!(flaky.store.len(), 1);
}

/// Waits until the client's token is good, and looks whether there is no other session.
async fn has_its_session_back(flaky: &Flaky, browser: &Browser, layer: &SessionLayer) {
    let soon = Duration::from_secs(10);
    let back = || async { browser.clone().visit(layer, get_n).await.value.flatten() == Some(1) };
    assert!(wait_until(soon, back).await, "the old token is good");
    assert_eq!(browser.clone().visit(layer, is_user).await.value, Some(true));
    assert_eq!(flaky.store.len(), 1);
}

#[tokio::test]
async fn a_rotation_of_which_nothing_is_known_leaves_the_old_token_good() {
    for logs_in in [false, true] {
        let (flaky, layer, mut browser) = logged_in().await;
        let old = browser.cookie.clone();
        flaky.answers_lost.store(true, Ordering::SeqCst);
        flaky.fail(true, false, false);
        let moves = async |session: Session| {
            if logs_in { log_in(session).await } else { session.rotate().unwrap() }
        };
        let visit = browser.visit(&layer, moves).await;
        assert_eq!((visit.status.as_u16(), &browser.cookie), (503, &old));
        assert_eq!(flaky.store.len(), 1, "it was carried out");
        flaky.fail(false, false, false);
        flaky.answers_lost.store(false, Ordering::SeqCst);
        has_its_session_back(&flaky, &browser, &layer).await;
    }
}

#[tokio::test]
async fn a_rotation_that_fails_again_in_another_way_leaves_the_old_token_good() {
    let (flaky, layer, mut browser) = logged_in().await;
    let twice = async |session: Session| {
        session.rotate().unwrap();
        flaky.answers_lost.store(true, Ordering::SeqCst);
        flaky.fail(true, false, false);
        assert!(session.commit().await.is_err(), "it was carried out, and nobody knows");
        flaky.answers_lost.store(false, Ordering::SeqCst);
        flaky.fail(true, true, false);
    };
    assert_eq!(browser.visit(&layer, twice).await.status, 503);
    flaky.fail(false, false, false);
    has_its_session_back(&flaky, &browser, &layer).await;
}

#[tokio::test]
async fn a_rotation_of_which_nothing_is_known_is_not_undone_for_who_left_since() {
    let (flaky, layer, mut browser) = logged_in().await;
    let mut copy = browser.clone();
    let leaves = async |session: Session| {
        session.rotate().unwrap();
        flaky.answers_lost.store(true, Ordering::SeqCst);
        flaky.fail(true, false, false);
        assert!(session.commit().await.is_err(), "it was carried out, and nobody knows");
        flaky.answers_lost.store(false, Ordering::SeqCst);
        flaky.fail(false, false, false);
        session.login(&tower_keep::UserId::new("u2").unwrap()).unwrap();
    };
    assert_eq!(browser.visit(&layer, leaves).await.status, 200);
    let soon = Duration::from_secs(10);
    assert!(wait_until(soon, || async { flaky.store.len() == 1 }).await, "the new one is left");
    assert_eq!(browser.visit(&layer, is_user).await.value, Some(true));
    assert_eq!(copy.visit(&layer, is_user).await.value, Some(false));
}
