//! When sessions begin and end.

use tower_keep_core::{ErrorClass, time::UnixMillis};
use tower_keep_session::{Bounds, How, Origin, Saved};

use super::backend::{BOUNDS, Backend, HOUR, ORIGIN, What, done, new_id};

pub(super) async fn a_new_session_is_as_it_was_made(backend: Backend) {
    let user = backend.user();
    let id = new_id();
    let what = What::new().set("a", "1").idle(5000);
    let header = done(user.save(id, How::Create(ORIGIN), &what).await);
    assert_eq!((header.version, header.origin, header.idle_ms), (1, ORIGIN, 5000));
    assert_eq!((header.seen, header.expires.0), (header.created, header.created.0 + 5000));
    assert_eq!(user.load(id).await.unwrap().header, header);
    let sooner = What::new().absolute(3000);
    let header = done(user.save(new_id(), How::Create(ORIGIN), &sooner).await);
    assert_eq!((header.idle_ms, header.expires.0), (HOUR, header.created.0 + 3000));
    let unknown = What::new().idle(None);
    let save = unknown.save(user.place(new_id()), How::Create(ORIGIN));
    let error = user.store.save(save).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Refused, "there is no time to leave as it was");
}

pub(super) async fn one_that_goes_on_counts_as_made_when_it_began(backend: Backend) {
    let user = backend.user();
    let what = What::new().set("a", "1").idle(5000).absolute(HOUR);
    let first = done(user.save(new_id(), How::Create(ORIGIN), &what).await);
    let began = |created| How::Continue { origin: ORIGIN, created };
    let earlier = UnixMillis(first.created.0 - HOUR + 2000);
    let id = new_id();
    let header = done(user.save(id, began(earlier), &what).await);
    assert_eq!((header.version, header.created, header.origin), (1, earlier, ORIGIN));
    assert_eq!(header.expires.0, earlier.0 + HOUR, "not past the absolute limit");
    assert_eq!(user.load(id).await.unwrap().header, header);
    assert_eq!(user.save(id, began(earlier), &what).await, Saved::Exists);
    let over = UnixMillis(first.created.0 - HOUR);
    let id = new_id();
    assert_eq!(user.save(id, began(over), &what).await, Saved::Gone);
    assert!(user.load(id).await.is_none());
    for later in [first.created.0 + 2 * HOUR, u64::MAX] {
        let header = done(user.save(new_id(), began(UnixMillis(later)), &what).await);
        assert_eq!(header.created, header.seen, "a clock that is ahead gives no more time");
    }
    let unknown = What::new().idle(None);
    let save = unknown.save(user.place(new_id()), began(earlier));
    assert_eq!(user.store.save(save).await.unwrap_err().class(), ErrorClass::Refused);
}

pub(super) async fn one_that_is_there_is_not_made_again(backend: Backend) {
    let user = backend.user();
    let id = user.create(&What::new().set("a", "1")).await;
    let before = user.load(id).await.unwrap();
    let again = What::new().set("a", "2");
    assert_eq!(user.save(id, How::Create(Origin([0; 16])), &again).await, Saved::Exists);
    assert_eq!(*user.load(id).await.unwrap(), *before);
    // Of several at once one makes it.
    let id = new_id();
    let create = || user.save(id, How::Create(ORIGIN), &again);
    let all = tokio::join!(create(), create(), create(), create());
    let all: [Saved; 4] = all.into();
    assert_eq!(all.iter().filter(|saved| matches!(saved, Saved::Done(_))).count(), 1);
    assert_eq!(all.iter().filter(|saved| **saved == Saved::Exists).count(), 3);
}

pub(super) async fn it_ends_when_it_lies_idle(backend: Backend) {
    let user = backend.user();
    let id = user.create(&What::new().set("a", "1").idle(50)).await;
    let other = user.create(&What::new()).await;
    backend.wait(50).await;
    assert!(user.load(id).await.is_none());
    assert_eq!(user.list().await, [other]);
    assert!(user.touch(id, BOUNDS).await.is_none());
    assert_eq!(user.write(id, &What::new()).await, Saved::Gone);
}

pub(super) async fn use_keeps_it_and_looking_does_not(backend: Backend) {
    let idle = 100;
    let attempt = async |step: u64| {
        let (user, what) = (backend.user(), What::new().idle(idle * step));
        let (touched, loaded, written, looked) = (
            user.create(&what).await,
            user.create(&what).await,
            user.create(&what).await,
            user.create(&what).await,
        );
        for _ in 0..3 {
            backend.wait(40 * step).await;
            let header = user.touch(touched, BOUNDS).await;
            let record = user.store.touch_and_load(user.place(loaded), BOUNDS).await.unwrap();
            let saved = user.write(written, &What::new().idle(None)).await;
            let (_, _) = (user.load(looked).await, user.list().await);
            let Some((header, record)) = header.zip(record) else { continue };
            assert_eq!(header.expires.0, header.seen.0 + idle * step);
            assert_eq!(record.header.expires.0, record.header.seen.0 + idle * step);
            assert!(matches!(saved, Saved::Done(_) | Saved::Gone));
        }
        let all = user.list().await;
        [touched, loaded, written, looked].map(|id| all.contains(&id))
    };
    // Three waits are 120 steps, and one of them with what comes beside it less than 100.
    let (there, _) = backend.in_time(180, attempt).await;
    assert_eq!(there, [true, true, true, false]);
    let user = backend.user();
    let id = user.create(&What::new()).await;
    let before = user.load(id).await.unwrap();
    let header = user.touch(id, BOUNDS).await.unwrap();
    let after = user.load(id).await.unwrap();
    assert_eq!((after.header, &after.data), (header, &before.data));
    assert_eq!(after.header.version, 1, "use is no change");
    let longer = done(user.write(id, &What::new().idle(2 * HOUR)).await);
    assert_eq!((longer.idle_ms, longer.expires.0), (2 * HOUR, longer.seen.0 + 2 * HOUR));
    let kept = done(user.write(id, &What::new().idle(None)).await);
    assert_eq!(kept.idle_ms, 2 * HOUR);
}

pub(super) async fn use_never_brings_it_back(backend: Backend) {
    let user = backend.user();
    let id = user.create(&What::new().set("a", "1").idle(10)).await;
    let removed = user.create(&What::new().set("a", "1")).await;
    assert!(user.store.remove(user.place(removed)).await.unwrap());
    backend.wait(10).await;
    for id in [id, removed, new_id()] {
        assert!(user.touch(id, BOUNDS).await.is_none());
        assert!(user.store.touch_and_load(user.place(id), BOUNDS).await.unwrap().is_none());
        assert_eq!(user.write(id, &What::new().set("b", "1")).await, Saved::Gone);
        let rotate = How::Rotate { from: id, anew: true };
        assert_eq!(user.save(new_id(), rotate, &What::new()).await, Saved::Gone);
        assert!(user.load(id).await.is_none());
        assert!(!user.store.remove(user.place(id)).await.unwrap());
    }
    assert!(user.list().await.is_empty());
}

pub(super) async fn use_never_passes_the_absolute_limit(backend: Backend) {
    let user = backend.user();
    let bounds = Bounds { absolute_ms: Some(HOUR), ..BOUNDS };
    let id = user.create(&What::new().absolute(HOUR)).await;
    let created = user.load(id).await.unwrap().header.created;
    for _ in 0..3 {
        backend.wait(3).await;
        let header = user.touch(id, bounds).await.unwrap();
        assert!(header.seen > created);
        assert_eq!((header.created, header.expires.0), (created, created.0 + HOUR));
        let header = done(user.write(id, &What::new().absolute(HOUR)).await);
        assert_eq!((header.created, header.expires.0), (created, created.0 + HOUR));
    }
}

pub(super) async fn a_limit_that_became_shorter_ends_it(backend: Backend) {
    let user = backend.user();
    let shorter = Bounds { absolute_ms: Some(5), ..BOUNDS };
    let (touched, written) = (user.create(&What::new()).await, user.create(&What::new()).await);
    backend.wait(5).await;
    assert!(user.touch(touched, shorter).await.is_none());
    assert_eq!(user.write(written, &What::new().absolute(5)).await, Saved::Gone);
    assert!(user.list().await.is_empty(), "and they do not come back when it is longer again");
}

/// 2^53 milliseconds are as good as for ever, and more cannot be counted everywhere.
pub(super) async fn immense_times_end_nothing_and_corrupt_nothing(backend: Backend) {
    const LAST: u64 = (1 << 53) - 1;
    let user = backend.user();
    for immense in [LAST - 1, LAST, LAST + 2, i64::MAX as u64, u64::MAX] {
        let what = What::new().set("a", "1").idle(immense).absolute(immense).bytes(immense);
        let id = user.create(&what).await;
        let header = done(user.write(id, &what).await);
        assert_eq!(header.version, 2);
        assert_eq!(header.idle_ms, immense.min(LAST));
        assert_eq!(header.expires, UnixMillis(LAST));
        assert_eq!(user.touch(id, what.bounds).await.unwrap().expires, UnixMillis(LAST));
        assert_eq!(user.holds(id).await.unwrap(), "a=1");
    }
}
