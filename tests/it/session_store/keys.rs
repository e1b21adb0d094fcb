//! What lies on a server: one key for each holder, which always has an expiry.

use std::sync::Arc;

use tower_keep_session::{How, Moved, RedisStore, Saved};

use super::backend::{BOUNDS, Backend, User, What, done, new_id};
use crate::limit_store::site::{Kind, Site};

const MINUTE: u64 = 60_000;

async fn backend(site: &Site) -> Backend {
    Backend::new(Arc::new(RedisStore::new(site.connection().await)), None, "keys")
}

/// For how long the holder's key lives: so many minutes, rounded up; -1 without an expiry, -2 if it
/// is not there.
async fn minutes(site: &Site, user: &User) -> i64 {
    let left = site.command(&["PTTL", &user.key().spell()]).await.int();
    if left < 0 { left } else { (left + 59_999) / 60_000 }
}

fn idle(minutes: u64) -> What {
    What::new().idle(minutes * MINUTE)
}

#[tokio::test]
async fn a_key_lives_as_long_as_the_latest_of_its_sessions() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let backend = backend(&site).await;
        let user = backend.user();
        assert_eq!(minutes(&site, &user).await, -2);
        let short = user.create(&idle(5)).await;
        assert_eq!(minutes(&site, &user).await, 5);
        let long = user.create(&idle(50)).await;
        assert_eq!(minutes(&site, &user).await, 50);
        // Nothing that the shorter one does makes it shorter, or longer.
        done(user.write(short, &idle(4)).await);
        user.touch(short, BOUNDS).await.unwrap();
        let short_again = new_id();
        let how = How::Rotate { from: short, anew: false };
        done(user.save(short_again, how, &idle(3)).await);
        assert_eq!(minutes(&site, &user).await, 50);
        // Until it is alone.
        assert!(user.store.remove(user.place(long)).await.unwrap());
        assert_eq!(minutes(&site, &user).await, 3);
        done(user.write(short_again, &idle(2)).await);
        assert_eq!(minutes(&site, &user).await, 2);
        done(user.write(short_again, &idle(9)).await);
        assert_eq!(minutes(&site, &user).await, 9);
        user.touch(short_again, What::new().absolute(MINUTE).bounds).await.unwrap();
        assert_eq!(minutes(&site, &user).await, 1);
        assert!(user.store.remove(user.place(short_again)).await.unwrap());
        assert_eq!(minutes(&site, &user).await, -2, "nothing is left behind");
    }
}

#[tokio::test]
async fn the_expiry_is_that_of_those_who_are_left() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let backend = backend(&site).await;
        let user = backend.user();
        user.create(&idle(50)).await;
        let middle = user.create(&idle(20)).await;
        backend.wait(2).await;
        user.create(&idle(7)).await;
        backend.wait(2).await;
        user.touch(middle, BOUNDS).await.unwrap();
        // The longest makes room.
        user.create(&idle(5).sessions(3)).await;
        assert_eq!(minutes(&site, &user).await, 20);
        let kept = user.create(&idle(3)).await;
        assert_eq!(minutes(&site, &user).await, 20);
        assert_eq!(user.store.remove_others(user.place(kept)).await.unwrap(), 3);
        assert_eq!(minutes(&site, &user).await, 3);
        user.store.remove_all(user.key()).await.unwrap();
        assert_eq!(minutes(&site, &user).await, -2);
        let kept = user.create(&idle(1)).await;
        user.store.remove_others(user.place(new_id())).await.unwrap();
        assert!(user.load(kept).await.is_none());
        assert_eq!(minutes(&site, &user).await, -2);
    }
}

/// Somebody's `PERSIST`, or a server that lost it.
#[tokio::test]
async fn a_lost_expiry_is_given_back_and_cuts_nobody_short() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let backend = backend(&site).await;
        let user = backend.user();
        let (short, _long) = (user.create(&idle(5)).await, user.create(&idle(50)).await);
        let key = user.key().spell();
        for turn in 0..3 {
            site.command(&["PERSIST", &key]).await;
            match turn {
                0 => drop(user.touch(short, BOUNDS).await.unwrap()),
                1 => drop(done(user.write(short, &idle(5)).await)),
                _ => drop(user.create(&idle(5)).await),
            }
            assert_eq!(minutes(&site, &user).await, 50, "{turn}");
        }
    }
}

#[tokio::test]
async fn a_holder_whose_sessions_have_ended_leaves_no_key() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let backend = backend(&site).await;
        for _ in 0..10 {
            let user = backend.user();
            user.create(&What::new().idle(30)).await;
            user.create(&What::new().idle(50)).await;
        }
        backend.wait(60).await;
        assert_eq!(site.keys().await, Vec::<String>::new());
    }
}

/// The key is what its documentation says, and an operator may delete it.
#[tokio::test]
async fn whose_key_is_deleted_is_logged_out() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let backend = backend(&site).await;
        let user = backend.named("acme", "u1");
        let id = user.create(&What::new().set("a", "1")).await;
        assert_eq!(site.keys().await, ["session:acme:u1"]);
        let fields = site.command(&["HKEYS", "session:acme:u1"]).await;
        assert_eq!(fields.array()[0].text(), id.to_string());
        site.command(&["DEL", "session:acme:u1"]).await;
        assert!(user.load(id).await.is_none());
        assert!(user.touch(id, BOUNDS).await.is_none());
        assert_eq!(user.write(id, &What::new().set("a", "2")).await, Saved::Gone);
        assert!(user.list().await.is_empty());
        assert_eq!(site.keys().await, Vec::<String>::new());
    }
}

/// Nobody waits, and it is done nevertheless.
#[tokio::test]
async fn a_write_whose_answer_is_dropped_is_carried_out() {
    let site = Site::start(Kind::SINGLE[0]).await;
    let backend = backend(&site).await;
    let user = backend.user();
    let id = user.create(&What::new().set("a", "1")).await;
    let what = What::new().set("a", "2");
    drop(user.store.save(what.save(user.place(id), How::Write)));
    let written = || async { user.holds(id).await.unwrap() == "a=2" };
    assert!(tower_keep_tests::wait_until(std::time::Duration::from_secs(10), written).await);
    drop(user.store.remove(user.place(id)));
    let removed = || async { user.load(id).await.is_none() };
    assert!(tower_keep_tests::wait_until(std::time::Duration::from_secs(10), removed).await);
}

/// Where a session has moved away a mark stays for a minute, and shortens nobody's life.
#[tokio::test]
async fn a_mark_lives_for_a_minute() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let backend = backend(&site).await;
        let user = backend.user();
        let moved = user.create(&idle(50)).await;
        assert_eq!(user.store.move_away(user.place(moved), None).await.unwrap(), Moved::Done);
        assert_eq!(minutes(&site, &user).await, 1);
        let long = user.create(&idle(9)).await;
        let moved = user.create(&idle(50)).await;
        assert_eq!(user.store.move_away(user.place(moved), None).await.unwrap(), Moved::Done);
        assert_eq!(minutes(&site, &user).await, 9);
        assert!(user.store.remove(user.place(long)).await.unwrap());
        assert_eq!(minutes(&site, &user).await, -2, "nothing is left behind");
    }
}
