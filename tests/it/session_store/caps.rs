//! How many sessions a holder has.

use tower_keep_core::Revoked;

use super::backend::{BOUNDS, Backend, What};

pub(super) async fn one_more_takes_the_place_of_the_one_unused_for_longest(backend: Backend) {
    let user = backend.user();
    let what = What::new().sessions(3);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(user.create(&what).await);
        backend.wait(2).await;
    }
    // The first is used, so the second is unused for longest; looking is no use.
    user.touch(ids[0], BOUNDS).await.unwrap();
    user.load(ids[1]).await.unwrap();
    backend.wait(2).await;
    ids.push(user.create(&what).await);
    assert_eq!(user.list().await, [ids[0], ids[2], ids[3]]);
    backend.wait(2).await;
    ids.push(user.create(&what).await);
    assert_eq!(user.list().await, [ids[0], ids[3], ids[4]]);
    // Another holder has room of their own.
    let other = backend.user();
    other.create(&what).await;
    assert_eq!(user.list().await.len(), 3);
    // One is the least there is.
    let only = user.create(&What::new().sessions(0)).await;
    assert_eq!(user.list().await, [only]);
}

pub(super) async fn those_that_have_ended_make_room_first(backend: Backend) {
    let user = backend.user();
    let mut ears = backend.listen();
    let what = What::new().sessions(2);
    let oldest = user.create(&what).await;
    backend.wait(2).await;
    user.create(&what.clone().idle(10)).await;
    backend.wait(10).await;
    let newest = user.create(&what).await;
    assert_eq!(user.list().await, [oldest, newest]);
    ears.hear_nothing().await;
}

pub(super) async fn a_cap_that_became_lower_holds_at_the_next(backend: Backend) {
    let user = backend.user();
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(user.create(&What::new()).await);
        backend.wait(2).await;
    }
    let newest = user.create(&What::new().sessions(3)).await;
    assert_eq!(user.list().await, [ids[6], ids[7], newest]);
}

pub(super) async fn who_made_room_is_told(backend: Backend) {
    let user = backend.user();
    let mut ears = backend.listen();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(user.create(&What::new().sessions(2)).await);
        backend.wait(2).await;
    }
    ears.hear(&user, Revoked::One(ids[0].to_bytes())).await;
    ears.hear(&user, Revoked::One(ids[1].to_bytes())).await;
    ears.hear_nothing().await;
}
