//! What a session holds.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};
use tower_keep_session::{
    Flash, SaveOn, Session, SessionData, SessionError, SessionOutcome, SessionValue,
};

use super::{Stage, browser::Browser};

#[tokio::test]
async fn what_nobody_touches_makes_nothing() {
    let stage = Stage::new();
    let visit = Browser::default().visit(&stage.layer(), async |_| ()).await;
    assert!(visit.headers.is_empty(), "{:?}", visit.headers);
    assert_eq!(visit.outcome, Some(SessionOutcome::Untouched));
    assert!(stage.store.is_empty());
}

#[tokio::test]
async fn reading_makes_nothing_either() {
    let stage = Stage::new();
    let read = async |session: Session| {
        session.remove("never").unwrap();
        session.clear().unwrap();
        (session.get::<u8>("n").await.unwrap(), session.user().await.unwrap(), session.id())
    };
    let visit = Browser::default().visit(&stage.layer(), read).await;
    assert_eq!(visit.value, Some((None, None, None)));
    assert_eq!((visit.cookies().len(), visit.outcome), (0, Some(SessionOutcome::Read)));
    assert!(stage.store.is_empty());
}

#[tokio::test]
async fn what_was_set_is_there_in_the_next_request_and_in_this_one() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let layer = stage.layer();
    let value = json!({"big": u64::MAX, "float": 0.5, "list": [], "map": {}, "ключ": "é"});
    let set = async |session: Session| {
        session.set("value", &value).unwrap();
        session.get::<Value>("value").await.unwrap()
    };
    let visit = browser.visit(&layer, set).await;
    assert_eq!(visit.value.flatten().as_ref(), Some(&value));
    assert_eq!(visit.outcome, Some(SessionOutcome::Created));
    let get = async |session: Session| session.get::<Value>("value").await.unwrap();
    let visit = browser.visit(&layer, get).await;
    assert_eq!(visit.cookies().len(), 0);
    assert_eq!(visit.value.flatten().as_ref(), Some(&value));
    let other = Browser::default().visit(&layer, get).await;
    assert_eq!(other.value, Some(None), "another client has it");
}

#[tokio::test]
async fn what_is_removed_and_cleared_is_gone_and_the_session_stays() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let layer = stage.layer();
    let all = async |session: Session| {
        let mut found = BTreeMap::new();
        for name in ["a", "b", "c"] {
            if let Some(value) = session.get::<u8>(name).await.unwrap() {
                found.insert(name, value);
            }
        }
        (found, session.id().is_some())
    };
    browser
        .visit(&layer, async |session| {
            for name in ["a", "b"] {
                session.set(name, &1).unwrap();
            }
        })
        .await;
    let visit = browser.visit(&layer, async |session| session.remove("a").unwrap()).await;
    assert_eq!(visit.outcome, Some(SessionOutcome::Written));
    assert_eq!(browser.visit(&layer, all).await.value.unwrap().0, [("b", 1)].into());
    let cleared = async |session: Session| {
        session.clear().unwrap();
        session.set("c", &3).unwrap();
        session.get::<u8>("b").await.unwrap()
    };
    assert_eq!(browser.visit(&layer, cleared).await.value, Some(None));
    assert_eq!(browser.visit(&layer, all).await.value.unwrap(), ([("c", 3)].into(), true));
    browser.visit(&layer, async |session| session.remove("c").unwrap()).await;
    assert_eq!(browser.visit(&layer, all).await.value.unwrap(), ([].into(), true));
}

#[tokio::test]
async fn what_changes_nothing_saves_nothing() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let layer = stage.layer();
    browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    let same = async |session: Session| {
        session.get::<u8>("n").await.unwrap();
        session.set("n", &1).unwrap();
        session.remove("missing").unwrap();
        session.set("m", &2).unwrap();
        session.remove("m").unwrap();
        session.set("n", &7).unwrap();
        session.set("n", &1).unwrap();
        session.remove("n").unwrap();
        session.set("n", &1).unwrap();
    };
    assert_eq!(browser.visit(&layer, same).await.outcome, Some(SessionOutcome::Read));
    let set_and_removed = async |session: Session| {
        session.set("n", &1).unwrap();
        session.remove("n").unwrap();
    };
    let visit = Browser::default().visit(&layer, set_and_removed).await;
    assert_eq!((visit.outcome, visit.cookies().len()), (Some(SessionOutcome::Read), 0));
}

#[tokio::test]
async fn another_type_is_an_error_and_loses_nothing() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let layer = stage.layer();
    browser.visit(&layer, async |session| session.set("n", "text").unwrap()).await;
    let wrong = async |session: Session| {
        let got = session.get::<u64>("n").await.unwrap_err();
        let taken = session.take::<u64>("n").await.unwrap_err();
        let updated = session.update("n", |n: Option<u64>| n.unwrap_or(0)).await.unwrap_err();
        let decode = |error| matches!(error, SessionError::Decode { .. });
        assert!(decode(got) && decode(taken) && decode(updated));
        session.get::<String>("n").await.unwrap()
    };
    assert_eq!(browser.visit(&layer, wrong).await.value.flatten().as_deref(), Some("text"));
}

#[tokio::test]
async fn names_are_checked() {
    let bad = async |session: Session| {
        for name in ["", "~ours", &"x".repeat(129)] {
            assert!(matches!(session.set(name, &1), Err(SessionError::InvalidName)), "{name}");
            assert!(session.get::<u8>(name).await.is_err());
            assert!(session.remove(name).is_err());
            assert!(session.take::<u8>(name).await.is_err());
        }
    };
    Browser::default().visit(&Stage::new().layer(), bad).await;
}

#[tokio::test]
async fn too_much_is_an_error_where_it_is_set_and_the_session_stays_as_it_was() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let layer = stage.builder().max_bytes(100).build().unwrap();
    let fill = async |session: Session| {
        session.set("a", &"x".repeat(50)).unwrap();
        let error = session.set("b", &"x".repeat(60)).unwrap_err();
        assert!(matches!(error, SessionError::TooLarge { limit: 100 }), "{error}");
        let error = session.set("a", &"x".repeat(200)).unwrap_err();
        assert!(matches!(error, SessionError::TooLarge { limit: 100 }), "{error}");
    };
    browser.visit(&layer, fill).await;
    let more = async |session: Session| {
        let a: String = session.get("a").await.unwrap().unwrap();
        assert!(session.set("b", &"x".repeat(60)).is_err());
        session.remove("a").unwrap();
        session.set("b", &"x".repeat(60)).unwrap();
        a.len()
    };
    assert_eq!(browser.visit(&layer, more).await.value, Some(50));
    // Who has not looked cannot be told; the store refuses, and the answer says so.
    let blind = async |session: Session| session.set("c", &"x".repeat(60)).unwrap();
    let visit = browser.visit(&layer, blind).await;
    assert_eq!(
        (visit.status, visit.outcome),
        (500.try_into().unwrap(), Some(SessionOutcome::Refused))
    );
    let b = async |session: Session| session.get::<String>("b").await.unwrap().unwrap().len();
    assert_eq!(browser.visit(&layer, b).await.value, Some(60));
}

#[tokio::test]
async fn updates_and_takes_are_right_and_at_once() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let layer = stage.layer();
    let count = async |session: Session| {
        session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).await.unwrap()
    };
    for expected in 1..4 {
        assert_eq!(browser.visit(&layer, count).await.value, Some(expected));
    }
    // It was saved when it was done, whatever is answered.
    let fails = async |session: Session| {
        session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).await.unwrap();
        session.set("lost", &1).unwrap();
        (StatusCode::INTERNAL_SERVER_ERROR, ())
    };
    let visit = browser.answered(&layer, fails).await;
    assert_eq!((visit.status.as_u16(), visit.outcome), (500, Some(SessionOutcome::Discarded)));
    let take = async |session: Session| {
        (session.take::<u64>("n").await.unwrap(), session.take::<u64>("lost").await.unwrap())
    };
    assert_eq!(browser.visit(&layer, take).await.value, Some((Some(4), None)));
    assert_eq!(browser.visit(&layer, take).await.value, Some((None, None)));
}

#[tokio::test]
async fn server_errors_keep_values_only_where_that_is_wanted() {
    for (save_on, kept) in [(SaveOn::Success, None), (SaveOn::Always, Some(1))] {
        let (stage, mut browser) = (Stage::new(), Browser::default());
        let layer = stage.builder().save_on(save_on).build().unwrap();
        browser.visit(&layer, async |session| session.set("a", &0).unwrap()).await;
        let fails = async |session: Session| {
            session.set("n", &1).unwrap();
            (StatusCode::BAD_GATEWAY, ())
        };
        browser.answered(&layer, fails).await;
        let n = async |session: Session| session.get::<u8>("n").await.unwrap();
        assert_eq!(browser.visit(&layer, n).await.value, Some(kept), "{save_on:?}");
        let refuses = async |session: Session| {
            session.set("n", &2).unwrap();
            (StatusCode::NOT_FOUND, ())
        };
        browser.answered(&layer, refuses).await;
        assert_eq!(browser.visit(&layer, n).await.value, Some(Some(2)), "{save_on:?}");
    }
}

#[tokio::test]
async fn flashes_are_said_once_in_order() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let layer = stage.layer();
    let say =
        |text: &'static str| async move |session: Session| session.flash("note", text).unwrap();
    browser.visit(&layer, say("one")).await;
    stage.wait(1);
    browser.visit(&layer, say("two")).await;
    let take = async |session: Session| session.take_flashes().await.unwrap();
    let note = |text: &str| Flash { kind: "note".into(), text: text.into() };
    assert_eq!(browser.visit(&layer, take).await.value, Some(vec![note("one"), note("two")]));
    assert_eq!(browser.visit(&layer, take).await.value, Some(vec![]));
    let at_once = async |session: Session| {
        session.flash("note", "now").unwrap();
        session.take_flashes().await.unwrap()
    };
    assert_eq!(browser.visit(&layer, at_once).await.value, Some(vec![note("now")]));
    assert_eq!(browser.visit(&layer, take).await.value, Some(vec![]));
    // One that says something itself takes nothing that another has taken.
    browser.visit(&layer, say("three")).await;
    let mut other = browser.clone();
    let late = async |session: Session| {
        session.flash("note", "own").unwrap();
        session.get::<u8>("n").await.unwrap();
        let first = other.visit(&layer, take).await.value.unwrap();
        (first, session.take_flashes().await.unwrap())
    };
    let both = (vec![note("three")], vec![note("own")]);
    assert_eq!(browser.visit(&layer, late).await.value, Some(both));
    browser.visit(&layer, say("four")).await;
    let both = vec![note("four"), note("now")];
    assert_eq!(browser.visit(&layer, at_once).await.value, Some(both));
    assert_eq!(browser.visit(&layer, take).await.value, Some(vec![]));
}

#[derive(Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Cart {
    items: Vec<u32>,
}

impl SessionValue for Cart {
    const NAME: &'static str = "cart";
}

#[tokio::test]
async fn a_typed_view_is_saved_if_it_was_changed() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let layer = stage.layer();
    let look =
        async |session: Session| SessionData::<Cart>::load(&session).await.unwrap().items.clone();
    let visit = browser.visit(&layer, look).await;
    assert_eq!((visit.value, visit.outcome), (Some(vec![]), Some(SessionOutcome::Read)));
    let add = async |session: Session| {
        SessionData::<Cart>::load(&session).await.unwrap().items.push(7);
    };
    assert_eq!(browser.visit(&layer, add).await.outcome, Some(SessionOutcome::Created));
    let visit = browser.visit(&layer, look).await;
    assert_eq!((visit.value, visit.outcome), (Some(vec![7]), Some(SessionOutcome::Read)));
}

#[tokio::test]
async fn once_the_answer_has_begun_the_session_is_sealed() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let layer = stage.layer();
    let keep = async |session: Session| {
        session.set("n", &1).unwrap();
        session
    };
    for known in [false, true] {
        let session = browser.visit(&layer, keep).await.value.unwrap();
        let sealed = |result: Result<(), SessionError>| matches!(result, Err(SessionError::Sealed));
        assert!(sealed(session.set("n", &2)) && sealed(session.remove("n")));
        assert!(sealed(session.clear()) && sealed(session.rotate()), "known: {known}");
        assert_eq!(session.get::<u8>("n").await.unwrap(), Some(1), "reading goes on");
        // Those who say that they will commit may write.
        session.unseal().unwrap();
        session.set("n", &2).unwrap();
        assert!(sealed(session.rotate()), "nobody could be told the new token");
        session.commit().await.unwrap();
        assert!(sealed(session.set("n", &3)));
        let n = async |session: Session| session.get::<u8>("n").await.unwrap();
        assert_eq!(browser.visit(&layer, n).await.value, Some(Some(2)));
        assert_eq!(session.update("n", |n: Option<u8>| n.unwrap() + 1).await.unwrap(), 3);
        assert_eq!(browser.visit(&layer, n).await.value, Some(Some(3)));
    }
    let untouched = Browser::default().visit(&layer, async |session| session).await.value.unwrap();
    assert!(matches!(untouched.set("n", &1), Err(SessionError::Sealed)));
    assert!(matches!(untouched.unseal(), Err(SessionError::Sealed)), "there is no session");
}
