//! Sessions that are given another id.

use tower_keep_session::{How, Saved};

use super::backend::{BOUNDS, Backend, HOUR, What, done, new_id};

pub(super) async fn the_new_id_has_all_and_the_old_one_is_gone(backend: Backend) {
    let user = backend.user();
    let old = user.create(&What::new().set("a", "1").set("b", "1")).await;
    let before = user.load(old).await.unwrap().header;
    backend.wait(2).await;
    let new = new_id();
    let what = What::new().set("b", "2").idle(2 * HOUR);
    let header = done(user.save(new, How::Rotate { from: old, anew: false }, &what).await);
    assert_eq!((header.version, header.origin), (2, before.origin));
    assert_eq!((header.created, header.idle_ms), (before.created, 2 * HOUR));
    assert!(header.seen > before.seen);
    assert_eq!(header.expires.0, header.seen.0 + 2 * HOUR, "by rotation it is used");
    assert_eq!(user.load(new).await.unwrap().header, header);
    assert_eq!(user.holds(new).await.unwrap(), "a=1 b=2");
    assert!(user.load(old).await.is_none());
    assert_eq!(user.write(old, &What::new()).await, Saved::Gone);
    assert_eq!(user.list().await, [new]);
    // Twice.
    let newer = new_id();
    done(user.save(newer, How::Rotate { from: new, anew: false }, &What::new()).await);
    assert_eq!(user.holds(newer).await.unwrap(), "a=1 b=2");
    assert_eq!(user.list().await, [newer]);
    // To itself, it is written.
    let rotate = How::Rotate { from: newer, anew: false };
    assert_eq!(done(user.save(newer, rotate, &What::new()).await).version, 4);
    assert_eq!(user.list().await, [newer]);
}

pub(super) async fn a_login_counts_as_made_anew(backend: Backend) {
    let user = backend.user();
    let old = user.create(&What::new().absolute(HOUR)).await;
    let before = user.load(old).await.unwrap().header;
    backend.wait(5).await;
    let new = new_id();
    let what = What::new().absolute(HOUR);
    let header = done(user.save(new, How::Rotate { from: old, anew: true }, &what).await);
    assert!(header.created > before.created);
    assert_eq!((header.seen, header.expires.0), (header.created, header.created.0 + HOUR));
}

pub(super) async fn of_two_at_once_one_is_gone(backend: Backend) {
    let user = backend.user();
    let old = user.create(&What::new().set("a", "1")).await;
    let (first, second) = (new_id(), new_id());
    let (how, what) = (How::Rotate { from: old, anew: false }, What::new());
    let (a, b) = tokio::join!(user.save(first, how, &what), user.save(second, how, &what));
    let gone = [&a, &b].map(|saved| *saved == Saved::Gone);
    assert!(gone[0] != gone[1], "{a:?}, {b:?}");
    let winner = if gone[0] { second } else { first };
    assert_eq!(user.list().await, [winner]);
    assert_eq!(user.holds(winner).await.unwrap(), "a=1");
}

pub(super) async fn an_id_that_is_there_is_not_taken(backend: Backend) {
    let user = backend.user();
    let (one, other) = (
        user.create(&What::new().set("a", "1")).await,
        user.create(&What::new().set("a", "2")).await,
    );
    let how = How::Rotate { from: one, anew: false };
    assert_eq!(user.save(other, how, &What::new()).await, Saved::Exists);
    assert_eq!(user.holds(one).await.unwrap(), "a=1");
    assert_eq!(user.holds(other).await.unwrap(), "a=2");
}

/// Those who act for a session go on when it has another id.
pub(super) async fn nobody_is_told(backend: Backend) {
    let user = backend.user();
    let mut ears = backend.listen();
    let old = user.create(&What::new()).await;
    let how = How::Rotate { from: old, anew: true };
    done(user.save(new_id(), how, &What::new()).await);
    let id = user.create(&What::new()).await;
    done(user.write(id, &What::new().clear()).await);
    user.touch(id, BOUNDS).await.unwrap();
    ears.hear_nothing().await;
}
