//! Changes that are only made where values are as expected.

use bytes::Bytes;
use tokio::task::JoinSet;
use tower_keep_session::{How, Saved};

use super::backend::{Backend, HOUR, ORIGIN, User, What, done, new_id, text};

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

pub(super) async fn a_value_that_is_another_changes_nothing_and_is_told(backend: Backend) {
    let user = backend.user();
    let id = user.create(&What::new().set("a", "1").set("b", "1")).await;
    let before = user.load(id).await.unwrap();
    backend.wait(2).await;
    let change = || What::new().set("c", "1").remove(&["b"]).idle(2 * HOUR);
    for what in [
        change().expect("a", Some(bytes("2"))),
        change().expect("a", Some(bytes(""))),
        change().expect("a", None),
        change().expect("unknown", Some(bytes("1"))),
        change().expect("unknown", Some(bytes(""))),
        change().expect("a", Some(bytes("1"))).expect("b", Some(bytes("2"))),
    ] {
        for how in [How::Write, How::Rotate { from: id, anew: true }] {
            let to = if how == How::Write { id } else { new_id() };
            match user.save(to, how, &what).await {
                Saved::Conflict(fresh) => assert_eq!(*fresh, *before),
                other => panic!("{other:?} for {what:?}"),
            }
        }
    }
    assert_eq!(*user.load(id).await.unwrap(), *before);
    let what =
        change().expect("a", Some(bytes("1"))).expect("b", Some(bytes("1"))).expect("c", None);
    done(user.write(id, &what).await);
    assert_eq!(user.holds(id).await.unwrap(), "a=1 c=1");
}

pub(super) async fn a_hundred_increments_at_once_are_a_hundred(backend: Backend) {
    async fn increment(user: &User, id: tower_keep_session::PublicId) {
        let mut known = user.load(id).await.unwrap();
        loop {
            let value = known.data.get("n").cloned();
            let number: u32 =
                value.as_ref().map_or(0, |it| str::from_utf8(it).unwrap().parse().unwrap());
            let what = What::new().set("n", (number + 1).to_string()).expect("n", value);
            match user.write(id, &what).await {
                Saved::Done(_) => return,
                Saved::Conflict(fresh) => known = fresh,
                other => panic!("{other:?}"),
            }
        }
    }
    let user = backend.user();
    let id = user.create(&What::new()).await;
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let user = user.clone();
        tasks.spawn(async move { increment(&user, id).await });
    }
    tasks.join_all().await;
    let record = user.load(id).await.unwrap();
    assert_eq!(text(&record), "n=100");
    assert_eq!(record.header.version, 101, "what conflicts is no change");
}

pub(super) async fn what_is_taken_is_taken_once(backend: Backend) {
    let user = backend.user();
    let id = user.create(&What::new().set("once", "x").set("other", "y")).await;
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let user = user.clone();
        tasks.spawn(async move {
            let what = What::new().remove(&["once"]).expect("once", Some(bytes("x")));
            matches!(user.write(id, &what).await, Saved::Done(_))
        });
    }
    let taken = tasks.join_all().await.into_iter().filter(|taken| *taken).count();
    assert_eq!(taken, 1);
    assert_eq!(user.holds(id).await.unwrap(), "other=y");
}

pub(super) async fn what_is_expected_of_a_new_session_is_absence(backend: Backend) {
    let (user, create) = (backend.user(), How::Create(ORIGIN));
    let what = What::new().set("a", "1");
    let expecting = what.clone().expect("a", Some(bytes("0")));
    assert_eq!(user.save(new_id(), create, &expecting).await, Saved::Gone);
    assert!(user.list().await.is_empty());
    let id = new_id();
    done(user.save(id, create, &what.expect("a", None)).await);
    assert_eq!(user.holds(id).await.unwrap(), "a=1");
}
