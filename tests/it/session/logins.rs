//! Logins, rotations, logouts; and who is told.

use http::StatusCode;
use tower_keep::{TenantId, UserId};
use tower_keep_session::{Session, SessionOutcome};

use super::{Stage, browser::Browser};

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

async fn log_in(session: Session) {
    session.login(&user("u1")).unwrap();
}

async fn who(session: Session) -> Option<String> {
    session.user().await.unwrap().map(|user| user.as_str().to_owned())
}

async fn get_n(session: Session) -> Option<u8> {
    session.get("n").await.unwrap()
}

#[tokio::test]
async fn a_login_changes_the_id_and_carries_over_what_a_visitor_had() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    let mut fixed = browser.clone();
    let before = browser.visit(&layer, async |session| session.id()).await.value.flatten();
    let visit = browser.visit(&layer, log_in).await;
    assert_eq!((visit.outcome, visit.cookies().len()), (Some(SessionOutcome::Created), 1));
    let after = browser.visit(&layer, async |session| session.id()).await.value.flatten();
    assert!(after.is_some() && after != before);
    assert_eq!(browser.visit(&layer, who).await.value.flatten().as_deref(), Some("u1"));
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)));
    // Who had planted the old token has nothing.
    assert_eq!(fixed.visit(&layer, who).await.value, Some(None));
    assert_eq!(fixed.visit(&layer, get_n).await.value, Some(None));
    assert_eq!(stage.store.len(), 1);
}

#[tokio::test]
async fn another_user_gets_nothing_of_what_the_one_before_had() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, log_in).await;
    browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    let mut old = browser.clone();
    let switch = async |session: Session| {
        session.login(&user("u2")).unwrap();
        session.set("m", &2).unwrap();
    };
    browser.visit(&layer, switch).await;
    assert_eq!(browser.visit(&layer, who).await.value.flatten().as_deref(), Some("u2"));
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(None));
    assert_eq!(old.visit(&layer, who).await.value, Some(None), "the old one has ended");
}

#[tokio::test]
async fn logging_in_again_keeps_the_values_and_begins_anew() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, log_in).await;
    browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    let mut old = browser.clone();
    let created = async |session: Session| session.created_at().await.unwrap().unwrap();
    let first = browser.visit(&layer, created).await.value.unwrap();
    stage.wait(100);
    browser.visit(&layer, log_in).await;
    assert_eq!(browser.visit(&layer, created).await.value.unwrap().0, first.0 + 100_000);
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)));
    assert_eq!(old.visit(&layer, who).await.value, Some(None));
}

#[tokio::test]
async fn a_rotation_leaves_one_session_under_a_new_id() {
    for logged_in in [false, true] {
        let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
        let layer = stage.layer();
        let begin = async |session: Session| {
            session.set("n", &1).unwrap();
            if logged_in {
                session.login(&user("u1")).unwrap();
            }
        };
        browser.visit(&layer, begin).await;
        let mut old = browser.clone();
        let rotate = async |session: Session| {
            session.rotate().unwrap();
            session.rotate().unwrap();
            session.set("m", &2).unwrap();
        };
        browser.visit(&layer, rotate).await;
        let both = async |session: Session| {
            (session.get::<u8>("n").await.unwrap(), session.get::<u8>("m").await.unwrap())
        };
        assert_eq!(browser.visit(&layer, both).await.value, Some((Some(1), Some(2))));
        assert_eq!(old.visit(&layer, both).await.value, Some((None, None)));
        assert_eq!(stage.store.len(), 1);
    }
}

#[tokio::test]
async fn a_logout_ends_this_session_alone_and_takes_the_cookie_away() {
    let (stage, mut browser, mut other) = (Stage::new(), Browser::of("acme"), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, log_in).await;
    other.visit(&layer, log_in).await;
    let mut copy = browser.clone();
    let visit = browser.visit(&layer, async |session| session.logout()).await;
    assert_eq!(visit.outcome, Some(SessionOutcome::Ended));
    let removal = "__Host-session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0";
    let sorted = |text: &str| {
        let mut parts: Vec<_> = text.split("; ").map(str::to_owned).collect();
        parts.sort();
        parts
    };
    assert_eq!(visit.cookies().len(), 1);
    assert_eq!(sorted(visit.cookies()[0]), sorted(removal));
    assert_eq!(browser.cookie, None);
    assert_eq!(copy.visit(&layer, who).await.value, Some(None));
    assert_eq!(other.visit(&layer, who).await.value.flatten().as_deref(), Some("u1"));
}

/// The request that logs out came with the id that another has changed since.
#[tokio::test]
async fn a_logout_ends_a_session_that_was_renamed_meanwhile() {
    let (stage, mut browser, mut other) = (Stage::new(), Browser::of("acme"), Browser::of("acme"));
    let layer = stage.layer();
    other.visit(&layer, log_in).await;
    browser.visit(&layer, log_in).await;
    for again in [false, true] {
        let rename = async |session: Session| {
            if again { session.login(&user("u1")) } else { session.rotate() }.unwrap();
        };
        let mut old = browser.clone();
        browser.visit(&layer, rename).await;
        let visit = old.visit(&layer, async |session| session.logout()).await;
        assert_eq!((visit.outcome, old.cookie), (Some(SessionOutcome::Ended), None));
        assert_eq!(browser.visit(&layer, who).await.value, Some(None));
        assert_eq!(other.visit(&layer, who).await.value.flatten().as_deref(), Some("u1"));
        browser = Browser::of("acme");
        browser.visit(&layer, log_in).await;
    }
}

#[tokio::test]
async fn what_is_set_after_a_logout_is_a_visitors() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, log_in).await;
    browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    let out = async |session: Session| {
        session.logout();
        assert_eq!(session.get::<u8>("n").await.unwrap(), None);
        assert_eq!(session.user().await.unwrap(), None);
        session.set("m", &2).unwrap();
    };
    let visit = browser.visit(&layer, out).await;
    assert_eq!((visit.cookies().len(), visit.outcome), (1, Some(SessionOutcome::Created)));
    assert_eq!(browser.visit(&layer, who).await.value, Some(None));
    let m = async |session: Session| session.get::<u8>("m").await.unwrap();
    assert_eq!(browser.visit(&layer, m).await.value, Some(Some(2)));
}

#[tokio::test]
async fn a_slow_request_revives_nothing() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, log_in).await;
    browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    for reads in [false, true] {
        let (mut slow, mut quick) = (browser.clone(), browser.clone());
        let write = async |session: Session| {
            if reads {
                session.get::<u8>("n").await.unwrap();
            }
            quick.visit(&layer, async |session| session.logout()).await;
            session.set("m", &2).unwrap();
        };
        let visit = slow.visit(&layer, write).await;
        assert_eq!((visit.status.as_u16(), visit.outcome), (200, Some(SessionOutcome::Gone)));
        assert_eq!(visit.cookies().len(), 0, "reads: {reads}");
        assert!(stage.store.is_empty());
        // For the second round.
        browser.visit(&layer, log_in).await;
        browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    }
    let mut slow = browser.clone();
    let counts = async |session: Session| {
        session.get::<u8>("n").await.unwrap();
        browser.visit(&layer, async |session| session.logout()).await;
        (
            session.update("n", |n: Option<u8>| n.unwrap_or(0) + 1).await.is_err(),
            session.take::<u8>("n").await.unwrap(),
        )
    };
    assert_eq!(slow.visit(&layer, counts).await.value, Some((true, None)));
}

/// A request of the same browser that a login or a rotation has overtaken takes away no new cookie.
#[tokio::test]
async fn who_was_overtaken_by_a_login_sets_no_cookie() {
    for (before, after) in [
        (None, None),
        (None, Some("u1")),
        (Some("u1"), None),
        (Some("u1"), Some("u1")),
        (Some("u1"), Some("u2")),
    ] {
        for reads in [true, false] {
            let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
            let layer = stage.layer();
            let begin = async |session: Session| {
                session.set("n", &1).unwrap();
                if let Some(before) = before {
                    session.login(&user(before)).unwrap();
                }
            };
            browser.visit(&layer, begin).await;
            let mut late = browser.clone();
            let moves = async |session: Session| match after {
                Some(after) => session.login(&user(after)).unwrap(),
                None => session.rotate().unwrap(),
            };
            browser.visit(&layer, moves).await;
            let write = async |session: Session| {
                if reads {
                    assert_eq!(session.get::<u8>("n").await.unwrap(), None);
                }
                session.set("m", &2).unwrap();
            };
            let told = format!("{before:?} {after:?} {reads}");
            let visit = late.clone().visit(&layer, write).await;
            assert_eq!((visit.status, visit.outcome), (StatusCode::OK, Some(SessionOutcome::Gone)));
            assert!(visit.cookies().is_empty(), "{told}: {:?}", visit.cookies());
            assert_eq!(stage.store.len(), 1, "{told}");
            let form = async |session: Session| session.csrf_token().await.is_ok();
            assert_eq!(late.clone().visit(&layer, form).await.value, Some(true), "{told}");
            // Who comes later was not overtaken: a visitor gets a session.
            stage.wait(61);
            let is_made = reads || before.is_none();
            let cookies = late.visit(&layer, write).await.cookies().len();
            assert_eq!(cookies, usize::from(is_made), "{told}");
            let there = browser.visit(&layer, async |session| session.created_at().await.unwrap());
            assert!(there.await.value.flatten().is_some(), "{told}");
        }
    }
}

#[tokio::test]
async fn a_server_error_neither_undoes_nor_halves_a_login_or_logout() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    let login = async |session: Session| {
        session.login(&user("u1")).unwrap();
        session.set("role", "admin").unwrap();
        (StatusCode::INTERNAL_SERVER_ERROR, ())
    };
    assert_eq!(browser.answered(&layer, login).await.status, 500);
    assert_eq!(browser.visit(&layer, who).await.value.flatten().as_deref(), Some("u1"));
    let role = async |session: Session| session.get::<String>("role").await.unwrap();
    assert_eq!(browser.visit(&layer, role).await.value.flatten().as_deref(), Some("admin"));
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)));
    let logout = async |session: Session| {
        session.logout();
        (StatusCode::INTERNAL_SERVER_ERROR, ())
    };
    browser.answered(&layer, logout).await;
    assert!(stage.store.is_empty() && browser.cookie.is_none());
}

#[tokio::test]
async fn sessions_are_listed_counted_and_ended_from_beside() {
    let stage = Stage::new();
    let layer = stage.layer();
    let sessions = layer.sessions();
    let mut browsers = [0; 3].map(|_| Browser::of("acme"));
    let mut ids = Vec::new();
    for browser in &mut browsers {
        browser.visit(&layer, log_in).await;
        ids.push(
            browser.visit(&layer, async |session| session.id()).await.value.flatten().unwrap(),
        );
        stage.wait(10);
    }
    let mut elsewhere = Browser::of("globex");
    elsewhere.visit(&layer, log_in).await;
    let listed = sessions.list(&acme(), &user("u1")).await.unwrap();
    assert_eq!(listed.iter().map(|session| session.id).collect::<Vec<_>>(), ids);
    assert_eq!(listed[1].created.0 - listed[0].created.0, 10_000);
    assert!(sessions.revoke(&acme(), &user("u1"), ids[0]).await.unwrap());
    assert!(!sessions.revoke(&acme(), &user("u1"), ids[0]).await.unwrap());
    assert_eq!(browsers[0].visit(&layer, who).await.value, Some(None));
    assert_eq!(sessions.revoke_others(&acme(), &user("u1"), ids[2]).await.unwrap(), 1);
    assert_eq!(sessions.count(&acme(), &user("u1")).await.unwrap(), 1);
    assert_eq!(browsers[2].visit(&layer, who).await.value.flatten().as_deref(), Some("u1"));
    sessions.revoke_all(&acme(), &user("u1")).await.unwrap();
    assert_eq!(browsers[2].visit(&layer, who).await.value, Some(None));
    let there = elsewhere.visit(&layer, who).await.value.flatten();
    assert_eq!(there.as_deref(), Some("u1"), "another tenant's user of that name");
}

#[tokio::test]
async fn the_one_unused_for_longest_makes_room() {
    let stage = Stage::new();
    let layer = stage.builder().max_sessions(2).build().unwrap();
    let mut browsers = [0; 3].map(|_| Browser::of("acme"));
    for browser in &mut browsers {
        browser.visit(&layer, log_in).await;
        stage.wait(1);
    }
    let mut found = Vec::new();
    for browser in &mut browsers {
        found.push(browser.visit(&layer, who).await.value.flatten().is_some());
    }
    assert_eq!(found, [false, true, true]);
}

#[tokio::test]
async fn whoever_waits_for_the_end_is_told() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, log_in).await;
    let session = browser.visit(&layer, async |session| session).await.value.unwrap();
    let waiting = tokio::spawn(async move { session.revoked().await });
    tokio::task::yield_now().await;
    let mut other = Browser::of("acme");
    other.visit(&layer, log_in).await;
    other.visit(&layer, async |session| session.logout()).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert!(!waiting.is_finished(), "another session has ended");
    layer.sessions().revoke_all(&acme(), &user("u1")).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_forms_token_is_the_sessions_and_ends_with_its_id() {
    let (stage, mut browser, mut other) = (Stage::new(), Browser::of("acme"), Browser::of("acme"));
    let layer = stage.layer();
    let make = async |session: Session| session.csrf_token().await.unwrap().to_string();
    let visit = browser.visit(&layer, make).await;
    assert_eq!(visit.cookies().len(), 1, "a session is made for it");
    let token = visit.value.unwrap();
    other.visit(&layer, make).await;
    let good = async |session: Session| session.verify_csrf(&token).await.unwrap();
    assert_eq!(browser.visit(&layer, good).await.value, Some(true));
    assert_eq!(other.visit(&layer, good).await.value, Some(false));
    assert_eq!(Browser::of("acme").visit(&layer, good).await.value, Some(false));
    browser.visit(&layer, log_in).await;
    assert_eq!(browser.visit(&layer, good).await.value, Some(false));
}
