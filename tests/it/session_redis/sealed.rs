//! With `CACHE_ENCRYPTION_KEYS`: who has the store can neither read values nor move them.

use data_encoding::BASE64;
use tower_keep::Vault;
use tower_keep_session::{Session, SessionLayer};
use tower_keep_tests::{Flavor, Server, Value};

use super::{
    builder,
    dump::{everything, has},
    user, who,
};
use crate::{
    limit_store::site::{Kind, Site},
    session::browser::Browser,
};

const TEXT: &str = "what nobody else may read";
/// A record's bytes before its values.
const HEADER: usize = 57;

/// A ring of these keys, the newest first.
fn vault(keys: &[u8]) -> Vault {
    let key = |key: &u8| format!("k{key}:{}", BASE64.encode(&[*key; 32]));
    let ring: Vec<_> = keys.iter().map(key).collect();
    Vault::parse("CACHE_ENCRYPTION_KEYS", &ring.join(",")).unwrap()
}

async fn layer(site: &Site, keys: &[u8]) -> SessionLayer {
    let builder = builder(&site.connection().await);
    let builder = if keys.is_empty() { builder } else { builder.vault(vault(keys)) };
    builder.build().unwrap()
}

/// A client who is logged in, with this value under `v`.
async fn client(layer: &SessionLayer, tenant: &'static str, name: &str, value: &str) -> Browser {
    let mut browser = Browser::of(tenant);
    let begin = async |session: Session| {
        session.login(&user(name)).unwrap();
        session.set("v", value).unwrap();
    };
    browser.visit(layer, begin).await;
    browser
}

async fn read(layer: &SessionLayer, browser: &Browser, name: &'static str) -> Option<String> {
    let read = async |session: Session| session.get::<String>(name).await.unwrap();
    browser.clone().visit(layer, read).await.value.unwrap()
}

/// A user's only session, as it lies in the store.
struct Stored<'a> {
    server: &'a Server,
    key: String,
    field: Vec<u8>,
    record: Vec<u8>,
}

impl<'a> Stored<'a> {
    async fn of(site: &'a Site, tenant: &str, user: &str) -> Self {
        let (server, key) = (&site.nodes()[0], format!("session:{tenant}:{user}"));
        let all = server.command(&["HGETALL", &key]).await.unwrap();
        let [Value::Bulk(Some(field)), Value::Bulk(Some(record))] = all.array() else {
            panic!("{all:?}")
        };
        Self { server, key, field: field.clone(), record: record.clone() }
    }

    /// Puts another record in its place by hand.
    async fn becomes(&self, record: &[u8]) {
        let command: [&[u8]; 4] = [b"HSET", self.key.as_bytes(), &self.field, record];
        self.server.command(&command).await.unwrap().ok().unwrap();
    }

    /// Its own header with the values of another.
    fn with_values_of(&self, other: &Self) -> Vec<u8> {
        [&self.record[..HEADER], &other.record[HEADER..]].concat()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_can_be_read_in_the_store() {
    for flavor in Flavor::ALL {
        for (keys, readable) in [(&[1][..], false), (&[], true)] {
            let site = Site::start(Kind::Single(flavor)).await;
            let layer = layer(&site, keys).await;
            let mut visitor = Browser::of("acme");
            visitor.visit(&layer, async |session| session.set("v", TEXT).unwrap()).await;
            let user = client(&layer, "acme", "u1", TEXT).await;
            // In a session that was not read, a conditional one, and a message for the next request.
            let more = async |session: Session| {
                session.set("w", TEXT).unwrap();
                session.update("x", |_: Option<String>| TEXT.to_owned()).await.unwrap();
            };
            user.clone().visit(&layer, more).await;
            for name in ["v", "w", "x"] {
                assert_eq!(read(&layer, &user, name).await.as_deref(), Some(TEXT));
            }
            let dump = everything(&site.nodes()[0]).await;
            for part in TEXT.as_bytes().windows(6) {
                assert_eq!(has(&dump, part), readable, "{flavor} {keys:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_moved_by_hand_does_not_open() {
    let site = Site::start(Kind::Single(Flavor::Redis)).await;
    let layer = layer(&site, &[1]).await;
    let mine = client(&layer, "acme", "mine", "mine!").await;
    client(&layer, "acme", "yours", "yours").await;
    client(&layer, "other", "mine", "other").await;
    let stored = Stored::of(&site, "acme", "mine").await;
    let yours = Stored::of(&site, "acme", "yours").await;
    let others = Stored::of(&site, "other", "mine").await;
    let own = "mine!".to_owned();
    assert_eq!(read(&layer, &mine, "v").await, Some(own.clone()));
    for (what, record, stays) in [
        ("a value of another user's", stored.with_values_of(&yours), true),
        ("a value of another tenant's", stored.with_values_of(&others), true),
        ("a record of another user's", yours.record.clone(), false),
        ("a record of another tenant's", others.record.clone(), false),
    ] {
        stored.becomes(&record).await;
        assert_eq!(read(&layer, &mine, "v").await, None, "{what}");
        let whose = mine.clone().visit(&layer, who).await.value.flatten();
        assert_eq!(whose.is_some(), stays, "{what}");
        stored.becomes(&stored.record).await;
        assert_eq!(read(&layer, &mine, "v").await, Some(own.clone()), "as it was before");
    }

    // Nor does it under another name in the same session.
    let mut renamed = stored.record.clone();
    // A map of one, a name of one letter.
    assert_eq!(&renamed[HEADER..HEADER + 3], [0x81, 0xa1, b'v']);
    renamed[HEADER + 2] = b'w';
    stored.becomes(&renamed).await;
    assert_eq!(read(&layer, &mine, "w").await, None);
    // Nor when a bit of it was changed.
    let mut changed = stored.record.clone();
    *changed.last_mut().unwrap() ^= 1;
    stored.becomes(&changed).await;
    assert_eq!(read(&layer, &mine, "v").await, None);
    // What does not open can be written over.
    mine.clone().visit(&layer, async |session| session.set("v", "new").unwrap()).await;
    assert_eq!(read(&layer, &mine, "v").await.as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_exchanged_while_sessions_go_on() {
    let site = Site::start(Kind::Single(Flavor::Redis)).await;
    let (old, both, new) =
        (layer(&site, &[1]).await, layer(&site, &[2, 1]).await, layer(&site, &[2]).await);
    let mine = client(&old, "acme", "u1", TEXT).await;
    assert_eq!(read(&both, &mine, "v").await.as_deref(), Some(TEXT));
    mine.clone().visit(&both, async |session| session.set("w", TEXT).unwrap()).await;
    for name in ["v", "w"] {
        assert_eq!(read(&both, &mine, name).await.as_deref(), Some(TEXT));
    }
    assert_eq!(read(&new, &mine, "w").await.as_deref(), Some(TEXT), "sealed by the new key");
    assert_eq!(read(&old, &mine, "w").await, None);
    assert_eq!(read(&new, &mine, "v").await, None, "the old key was dropped");
    assert_eq!(mine.clone().visit(&new, who).await.value.flatten().as_deref(), Some("u1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_stay_readable_through_logins_and_rotations() {
    for flavor in Flavor::ALL {
        let site = Site::start(Kind::Single(flavor)).await;
        let layer = layer(&site, &[1]).await;
        let mut browser = Browser::of("acme");
        let mut ids = Vec::new();
        let set = async |session: Session| session.set("v", TEXT).unwrap();
        browser.visit(&layer, set).await;
        for step in ["visitor rotates", "login", "rotation", "login again", "blind write"] {
            let act = async |session: Session| match step {
                "login" | "login again" => session.login(&user("u1")).unwrap(),
                "blind write" => session.set("w", TEXT).unwrap(),
                _ => session.rotate().unwrap(),
            };
            browser.visit(&layer, act).await;
            assert_eq!(read(&layer, &browser, "v").await.as_deref(), Some(TEXT), "{step}");
            let id = async |session: Session| session.id();
            ids.push(browser.visit(&layer, id).await.value.flatten().unwrap());
        }
        assert_eq!(read(&layer, &browser, "w").await.as_deref(), Some(TEXT));
        ids.dedup();
        assert_eq!(ids.len(), 4, "each but the write gives a new id");
    }
}
