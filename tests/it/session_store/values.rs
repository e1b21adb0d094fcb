//! What a session holds: values by name.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::task::JoinSet;
use tower_keep_session::{MAX_NAME, Saved};

use super::backend::{Backend, ORIGIN, What, done};

pub(super) async fn what_is_saved_is_there(backend: Backend) {
    let user = backend.user();
    let id = user.create(&What::new().set("a", "1").set("b", "2")).await;
    assert_eq!(user.holds(id).await.unwrap(), "a=1 b=2");
    let header = done(user.write(id, &What::new().set("b", "3").set("c", "4")).await);
    assert_eq!(header.version, 2);
    let record = user.load(id).await.unwrap();
    assert_eq!(record.header, header);
    assert_eq!(record.header.origin, ORIGIN);
    assert_eq!(user.holds(id).await.unwrap(), "a=1 b=3 c=4");
    assert_eq!(done(user.write(id, &What::new()).await).version, 3, "nothing but use");
    assert_eq!(user.holds(id).await.unwrap(), "a=1 b=3 c=4");
}

/// Neither writer knows of the other's value.
pub(super) async fn different_names_changed_at_once_both_hold(backend: Backend) {
    let user = backend.user();
    let id = user.create(&What::new().set("a", "0").set("b", "0")).await;
    let (a, b) = (What::new().set("a", "1"), What::new().set("b", "1"));
    let (a, b) = tokio::join!(user.write(id, &a), user.write(id, &b));
    let mut versions = [done(a).version, done(b).version];
    versions.sort_unstable();
    assert_eq!(versions, [2, 3]);
    assert_eq!(user.holds(id).await.unwrap(), "a=1 b=1");
}

pub(super) async fn one_goes_while_another_is_set(backend: Backend) {
    let user = backend.user();
    let id = user.create(&What::new().set("k", "1").set("x", "1")).await;
    let (remove, set) = (What::new().remove(&["k", "unknown"]), What::new().set("j", "2"));
    let (a, b) = tokio::join!(user.write(id, &remove), user.write(id, &set));
    for saved in [a, b] {
        done(saved);
    }
    assert_eq!(user.holds(id).await.unwrap(), "j=2 x=1");
    done(user.write(id, &What::new().remove(&["j", "x"])).await);
    assert_eq!(user.holds(id).await.unwrap(), "", "it holds nothing, and is there");
    done(user.write(id, &What::new().set("y", "1")).await);
    assert_eq!(user.holds(id).await.unwrap(), "y=1");
}

pub(super) async fn clearing_leaves_what_is_set_with_it(backend: Backend) {
    let user = backend.user();
    let id = user.create(&What::new().set("a", "1").set("b", "1")).await;
    done(user.write(id, &What::new().clear().set("b", "2")).await);
    assert_eq!(user.holds(id).await.unwrap(), "b=2");
    done(user.write(id, &What::new().clear()).await);
    assert_eq!(user.holds(id).await.unwrap(), "");
}

pub(super) async fn any_bytes_are_kept(backend: Backend) {
    let user = backend.user();
    let long = "n".repeat(MAX_NAME);
    let every: Vec<u8> = (0..=255).collect();
    let values: [(&str, Vec<u8>); 12] = [
        ("none", vec![]),
        ("nul", vec![0]),
        ("most", u64::MAX.to_be_bytes().to_vec()),
        ("over 2^53", b"9007199254740993".to_vec()),
        ("every", every.clone()),
        ("31", vec![1; 31]),
        ("32", vec![2; 32]),
        ("255", vec![3; 255]),
        ("256", vec![4; 256]),
        ("65536", vec![5; 65_536]),
        ("1", b"a name like a number".to_vec()),
        (&long, every),
    ];
    let names =
        ["ü", "日本", "🏰", "~flash", "\0", " ", "\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}"];
    let mut what = What::new();
    for (name, value) in &values {
        what = what.set(name, value.clone());
    }
    for name in names {
        what = what.set(name, name);
    }
    let id = user.create(&what).await;
    assert_eq!(user.load(id).await.unwrap().data, what.change.set);
    // Once more through the hands of the server, and one by one.
    done(user.write(id, &What::new().set("last", "x")).await);
    done(user.write(id, &What::new().remove(&["last"])).await);
    let record = user.load(id).await.unwrap();
    assert_eq!(record.data, what.change.set);
    let other = user.create(&What::new()).await;
    for (name, value) in &what.change.set {
        done(user.write(other, &What::new().set(name, value.to_vec())).await);
    }
    let touched = user.store.touch_and_load(user.place(other), what.bounds).await.unwrap().unwrap();
    assert_eq!(touched.data, what.change.set);
    // 200 names of every length there is.
    let many: BTreeMap<Box<str>, Bytes> =
        (1..=MAX_NAME).map(|length| ("m".repeat(length).into(), Bytes::new())).collect();
    let mut what = What::new();
    what.change.set = many.clone();
    done(user.write(other, &what.clear()).await);
    assert_eq!(user.load(other).await.unwrap().data, many);
}

pub(super) async fn too_much_changes_nothing(backend: Backend) {
    let user = backend.user();
    let fits = What::new().set("ab", "12345678").bytes(10);
    let id = user.create(&fits).await;
    let before = user.load(id).await.unwrap();
    for what in [
        What::new().set("c", "").bytes(10),
        What::new().set("ab", "123456789").bytes(10),
        What::new().clear().set("c", "1234567890").bytes(10),
        What::new().remove(&["unknown"]).set("d", "1").bytes(10),
    ] {
        assert_eq!(user.write(id, &what).await, Saved::TooLarge);
        assert_eq!(*user.load(id).await.unwrap(), *before);
    }
    for what in [
        What::new().set("ab", "87654321").bytes(10),
        What::new().remove(&["ab"]).set("c", "123456789").bytes(10),
        What::new().clear().set("d", "123456789").bytes(10),
    ] {
        done(user.write(id, &what).await);
    }
    let other = super::backend::new_id();
    let how = tower_keep_session::How::Create(ORIGIN);
    let what = What::new().set("a", "0123456789").bytes(10);
    assert_eq!(user.save(other, how, &what).await, Saved::TooLarge);
    assert!(user.load(other).await.is_none());
}

pub(super) async fn many_tasks_that_change_different_names_lose_nothing(backend: Backend) {
    const TASKS: usize = 50;
    let user = backend.user();
    let id = user.create(&What::new().set("x", "0")).await;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let user = user.clone();
        tasks.spawn(async move {
            let name = format!("n{task}");
            done(user.write(id, &What::new().set(&name, "1")).await);
            done(user.write(id, &What::new().set(&name, "2")).await);
        });
    }
    tasks.join_all().await;
    let record = user.load(id).await.unwrap();
    assert_eq!(record.header.version, 1 + 2 * TASKS as u64);
    assert_eq!(record.data.len(), 1 + TASKS);
    assert!(
        record
            .data
            .iter()
            .all(|(name, value)| &value[..] == if &**name == "x" { b"0" } else { b"2" })
    );
}
