//! Whose session is whose.

use tower_keep::{TenantId, UserId};
use tower_keep_core::key::{Holder, SessionKey};
use tower_keep_session::{How, Place, Saved};

use super::backend::{Backend, ORIGIN, What, done, new_id};

/// Names that look like parts of a key, like ours, like patterns, or like each other.
const NAMES: &[&str] = &[
    "a",
    "A",
    "b",
    "a:b",
    "b:c",
    "a:b:c",
    ":",
    "{a}",
    "{",
    "}",
    "}{",
    "a}b{c",
    "%",
    "%3A",
    "a%3Ab",
    "a%3ab",
    "*",
    "?",
    "~",
    "~none",
    "%7Enone",
    "~h00",
    "session:a",
    " ",
    "a ",
    "/",
    "\"",
    "\\",
    "ü",
    "u\u{308}",
    "🏰",
];

pub(super) async fn different_names_never_share(backend: Backend) {
    let mut names: Vec<String> = NAMES.iter().map(ToString::to_string).collect();
    names.extend(["x".repeat(300), "x".repeat(299) + "y", "é".repeat(150)]);
    names.push(format!("~h{}", "0".repeat(32)));
    let mut tenants: Vec<_> = names.iter().map(|name| TenantId::new(name).unwrap()).collect();
    tenants.push(TenantId::NONE);
    let users: Vec<_> = names.iter().map(|name| UserId::new(name).unwrap()).collect();
    // One id for all: only the key tells them apart.
    let id = new_id();
    let mut keys = Vec::new();
    for tenant in &tenants {
        for user in &users {
            keys.push(SessionKey { tenant, holder: Holder::User(user) });
        }
    }
    let text = |index: usize| What::new().set("n", index.to_string());
    for (index, key) in keys.iter().enumerate() {
        let what = text(index);
        let save = what.save(Place { key: *key, id }, How::Create(ORIGIN));
        let saved = backend.store.save(save).await.unwrap();
        assert!(matches!(saved, Saved::Done(_)), "{key:?} is another's: {saved:?}");
    }
    for (index, key) in keys.iter().enumerate() {
        let record = backend.store.load(Place { key: *key, id }).await.unwrap().unwrap();
        assert_eq!(record.data, text(index).change.set, "{key:?}");
        assert!(backend.store.remove(Place { key: *key, id }).await.unwrap());
    }
}

pub(super) async fn an_anonymous_session_is_under_its_own_key(backend: Backend) {
    let tenant = TenantId::new("acme").unwrap();
    let (one, other) = (new_id(), new_id());
    let key = |id: tower_keep_session::PublicId| SessionKey {
        tenant: &tenant,
        holder: Holder::Anonymous(id.to_bytes()),
    };
    let what = What::new().set("cart", "1");
    for id in [one, other] {
        let save = what.save(Place { key: key(id), id }, How::Create(ORIGIN));
        done(backend.store.save(save).await.unwrap());
    }
    backend.store.remove_all(key(one)).await.unwrap();
    assert!(backend.store.load(Place { key: key(one), id: one }).await.unwrap().is_none());
    let left = backend.store.list(key(other)).await.unwrap();
    assert_eq!(left.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [other]);
}
