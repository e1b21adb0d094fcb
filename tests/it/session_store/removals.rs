//! Sessions that are ended before their time, and listed.

use tower_keep_core::Revoked;
use tower_keep_session::Saved;

use super::backend::{BOUNDS, Backend, What, new_id};

pub(super) async fn what_was_removed_is_gone_and_told(backend: Backend) {
    let user = backend.user();
    let mut ears = backend.listen();
    let (id, other) = (
        user.create(&What::new().set("a", "1")).await,
        user.create(&What::new().set("a", "2")).await,
    );
    assert!(user.store.remove(user.place(id)).await.unwrap());
    ears.hear(&user, Revoked::One(id.to_bytes())).await;
    assert!(user.load(id).await.is_none());
    assert!(user.touch(id, BOUNDS).await.is_none());
    assert_eq!(user.write(id, &What::new().set("a", "1")).await, Saved::Gone);
    assert_eq!(user.list().await, [other]);
    assert!(!user.store.remove(user.place(id)).await.unwrap(), "only once");
    assert!(!user.store.remove(user.place(new_id())).await.unwrap());
    let stranger = backend.user();
    assert!(!stranger.store.remove(stranger.place(other)).await.unwrap(), "nobody else's");
    ears.hear_nothing().await;
    assert_eq!(user.holds(other).await.unwrap(), "a=2");
}

pub(super) async fn all_of_a_holder_are_removed_and_no_others(backend: Backend) {
    let (user, other) = (backend.user(), backend.user());
    let mut ears = backend.listen();
    let kept = other.create(&What::new()).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(user.create(&What::new()).await);
    }
    user.store.remove_all(user.key()).await.unwrap();
    ears.hear(&user, Revoked::All).await;
    assert!(user.list().await.is_empty());
    for id in ids {
        assert_eq!(user.write(id, &What::new()).await, Saved::Gone);
    }
    assert_eq!(other.list().await, [kept]);
    // Whoever acts for a session that the store has lost is told too.
    user.store.remove_all(user.key()).await.unwrap();
    ears.hear(&user, Revoked::All).await;
    let again = user.create(&What::new()).await;
    assert_eq!(user.list().await, [again], "a new one is not hit by it");
    ears.hear_nothing().await;
}

pub(super) async fn all_but_one(backend: Backend) {
    let user = backend.user();
    let mut ears = backend.listen();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(user.create(&What::new().set("a", "1")).await);
    }
    let ended = user.create(&What::new().idle(10)).await;
    backend.wait(10).await;
    let removed = user.store.remove_others(user.place(ids[2])).await.unwrap();
    assert_eq!(removed, 3, "{ended} had ended");
    ears.hear(&user, Revoked::AllBut(ids[2].to_bytes())).await;
    assert_eq!(user.list().await, [ids[2]]);
    assert_eq!(user.holds(ids[2]).await.unwrap(), "a=1");
    assert_eq!(user.store.remove_others(user.place(ids[2])).await.unwrap(), 0);
    ears.hear_nothing().await;
    // The one that is spared need not be there.
    assert_eq!(user.store.remove_others(user.place(new_id())).await.unwrap(), 1);
    assert!(user.list().await.is_empty());
    let nobody = backend.user();
    assert_eq!(nobody.store.remove_others(nobody.place(new_id())).await.unwrap(), 0);
}

pub(super) async fn what_has_ended_is_not_removed(backend: Backend) {
    let user = backend.user();
    let mut ears = backend.listen();
    let id = user.create(&What::new().idle(10)).await;
    backend.wait(10).await;
    assert!(!user.store.remove(user.place(id)).await.unwrap());
    let id = user.create(&What::new().idle(10)).await;
    backend.wait(10).await;
    assert_eq!(user.store.remove_others(user.place(new_id())).await.unwrap(), 0);
    assert!(user.load(id).await.is_none());
    ears.hear_nothing().await;
}

pub(super) async fn the_list_is_in_the_order_they_were_made(backend: Backend) {
    let user = backend.user();
    assert!(user.list().await.is_empty());
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(user.create(&What::new().set("n", number.to_string())).await);
        backend.wait(2).await;
    }
    for id in ids.iter().rev() {
        user.touch(*id, BOUNDS).await.unwrap();
    }
    let sessions = user.store.list(user.key()).await.unwrap();
    let listed: Vec<_> = sessions.iter().map(|(id, _)| *id).collect();
    assert_eq!(listed, ids);
    for (number, (id, record)) in sessions.iter().enumerate() {
        assert_eq!(**record, *user.load(*id).await.unwrap());
        assert_eq!(&record.data["n"][..], number.to_string().as_bytes());
    }
}
