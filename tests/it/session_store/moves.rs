//! Sessions whose clients have another one now.

use tower_keep_core::{
    Revoked,
    key::{Holder, SessionKey},
};
use tower_keep_session::{How, Moved, Origin, Place, Saved};

use super::backend::{BOUNDS, Backend, ORIGIN, What, done, new_id};

const OTHER: Origin = Origin([1; 16]);

pub(super) async fn one_that_moved_away_is_gone_and_known(backend: Backend) {
    let user = backend.user();
    let mut ears = backend.listen();
    let (moved, ended, kept) = (
        user.create(&What::new().set("a", "1")).await,
        user.create(&What::new()).await,
        user.create(&What::new().set("a", "3")).await,
    );
    // All sessions here have the same origin, by which nothing is to be known.
    let knows = async |id| user.store.has_moved(user.place(id), OTHER).await.unwrap();
    assert!(!knows(moved).await);
    assert_eq!(user.store.move_away(user.place(moved), None).await.unwrap(), Moved::Done);
    ears.hear(&user, Revoked::One(moved.to_bytes())).await;
    assert!(user.store.remove(user.place(ended)).await.unwrap());
    ears.hear(&user, Revoked::One(ended.to_bytes())).await;
    assert!(user.load(moved).await.is_none());
    assert!(user.touch(moved, BOUNDS).await.is_none());
    assert!(user.store.touch_and_load(user.place(moved), BOUNDS).await.unwrap().is_none());
    assert_eq!(user.write(moved, &What::new().set("a", "2")).await, Saved::Gone);
    let rotate = How::Rotate { from: moved, anew: false };
    assert_eq!(user.save(new_id(), rotate, &What::new()).await, Saved::Gone);
    assert_eq!(user.list().await, [kept]);
    for id in [moved, new_id()] {
        for version in [None, Some(1)] {
            let again = user.store.move_away(user.place(id), version).await.unwrap();
            assert_eq!(again, Moved::Gone, "only once");
        }
    }
    assert!(knows(moved).await);
    assert!(!knows(ended).await && !knows(kept).await && !knows(new_id()).await);
    assert!(!user.store.remove(user.place(moved)).await.unwrap(), "there is none");
    ears.hear_nothing().await;
    assert_eq!(user.holds(kept).await.unwrap(), "a=3");
}

pub(super) async fn a_visitor_that_moved_away_is_known(backend: Backend) {
    let tenant = backend.user().tenant;
    let [moved, ended] = [(); 2].map(|()| new_id());
    let place = |id: tower_keep_session::PublicId| Place {
        key: SessionKey { tenant: &tenant, holder: Holder::Anonymous(id.to_bytes()) },
        id,
    };
    for id in [moved, ended] {
        done(backend.store.save(What::new().save(place(id), How::Create(ORIGIN))).await.unwrap());
    }
    assert_eq!(backend.store.move_away(place(moved), Some(1)).await.unwrap(), Moved::Done);
    assert!(backend.store.remove(place(ended)).await.unwrap());
    for (id, known) in [(moved, true), (ended, false)] {
        assert!(backend.store.load(place(id)).await.unwrap().is_none());
        assert!(backend.store.list(place(id).key).await.unwrap().is_empty());
        assert_eq!(backend.store.has_moved(place(id), ORIGIN).await.unwrap(), known);
    }
}

pub(super) async fn one_that_goes_on_under_another_id_is_known(backend: Backend) {
    let user = backend.user();
    let old = user.create(&What::new()).await;
    let new = new_id();
    done(user.save(new, How::Rotate { from: old, anew: false }, &What::new()).await);
    let knows = async |origin| user.store.has_moved(user.place(old), origin).await.unwrap();
    assert!(knows(ORIGIN).await && !knows(OTHER).await);
    assert!(user.store.remove(user.place(new)).await.unwrap());
    assert!(!knows(ORIGIN).await, "it has ended");
}

pub(super) async fn one_that_moved_away_takes_nobodys_place(backend: Backend) {
    let user = backend.user();
    let two = || What::new().sessions(2);
    let first = user.create(&two()).await;
    assert_eq!(user.store.move_away(user.place(first), None).await.unwrap(), Moved::Done);
    let second = user.create(&two()).await;
    backend.wait(2).await;
    let third = user.create(&two()).await;
    let mut both = [second, third];
    both.sort();
    let mut listed = user.list().await;
    listed.sort();
    assert_eq!(listed, both);
    assert_eq!(user.store.remove_others(user.place(third)).await.unwrap(), 1);
    assert_eq!(user.list().await, [third]);
}

pub(super) async fn one_that_was_written_to_does_not_move_unseen(backend: Backend) {
    let user = backend.user();
    let mut ears = backend.listen();
    let id = user.create(&What::new().set("a", "1")).await;
    done(user.write(id, &What::new().set("b", "2")).await);
    let now = user.load(id).await.unwrap();
    for version in [0, 1, 3, u64::MAX] {
        let moved = user.store.move_away(user.place(id), Some(version)).await.unwrap();
        assert_eq!(moved, Moved::Changed(now.clone()));
    }
    assert_eq!(user.load(id).await.unwrap(), now);
    assert!(!user.store.has_moved(user.place(id), OTHER).await.unwrap());
    ears.hear_nothing().await;
    // That it was used changes nothing.
    user.touch(id, BOUNDS).await.unwrap();
    assert_eq!(user.store.move_away(user.place(id), Some(2)).await.unwrap(), Moved::Done);
    ears.hear(&user, Revoked::One(id.to_bytes())).await;
}
