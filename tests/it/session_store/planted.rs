//! What somebody else has put where sessions are.

use std::sync::Arc;

use bytes::Bytes;
use tower_keep_core::time::UnixMillis;
use tower_keep_session::{Data, Header, How, PublicId, Record, RedisStore, Saved};

use super::backend::{BOUNDS, Backend, HOUR, ORIGIN, User, What, done, new_id};
use crate::limit_store::site::{Kind, Site};

async fn backend(site: &Site) -> Backend {
    Backend::new(Arc::new(RedisStore::new(site.connection().await)), None, "planted")
}

async fn plant(site: &Site, user: &User, id: PublicId, value: &[u8]) {
    let (key, id) = (user.key().spell(), id.to_string());
    site.command(&[b"HSET", key.as_bytes(), id.as_bytes(), value]).await;
}

fn sample(now: u64) -> Record {
    let (created, seen) = (UnixMillis(now - 5), UnixMillis(now));
    let expires = UnixMillis(now + HOUR);
    let header = Header { version: 7, created, expires, seen, idle_ms: HOUR, origin: ORIGIN };
    let long = Bytes::from(vec![b'x'; 300]);
    let data = [("a", Bytes::from_static(b"\0\xff")), ("none", Bytes::new()), ("ü", long)];
    Record { header, data: data.map(|(name, value)| (name.into(), value)).into() }
}

fn broken(whole: &[u8]) -> Vec<Vec<u8>> {
    let (header, _) = whole.split_at(57);
    let with = |map: &[u8]| [header, map].concat();
    let mut newer = whole.to_vec();
    newer[0] = 2;
    let deep = [vec![0x81, 0xa1, b'a'], vec![0x91; 5000]].concat();
    vec![
        Vec::new(),
        b"x".to_vec(),
        b"a:1:{s:1:\"a\";i:1;}".to_vec(),
        header.to_vec(),
        newer,
        whole[..whole.len() - 1].to_vec(),
        [whole, b"\x80"].concat(),
        with(b"\xc0"),
        with(b"\x91\xa1a"),
        with(b"\x81\x01\xa1a"),
        with(b"\x81\xc0\xa1a"),
        with(b"\x81\xa1a\x01"),
        with(b"\x81\xa1a\xc0"),
        with(b"\x81\xa1a\x80"),
        with(b"\x81\xa1a\xc3"),
        with(b"\x82\xa1a\xa0\xa1a\xa0"),
        with(b"\xde\x00\x02\xa1a\xa0\xa1a\xa0"),
        with(b"\xdf\x00\x00\x00\x02\xa1a\xa0\xa1b\xc0"),
        with(b"\x81\xc4\x01a\xa1a"),
        with(b"\x81\xa0\xa1a"),
        with(b"\x81\xa1\xff\xa1a"),
        with(b"\x81\xa3\xed\xa0\x80\xa1a"),
        with(b"\x81\xa2\xc0\x80\xa1a"),
        with(b"\x81\xa4\xf4\x90\x80\x80\xa1a"),
        with(b"\x81\xa1a\xc7\x01\x01\x01"),
        with(b"\xdf\xff\xff\xff\xff"),
        with(b"\xdd\xff\xff\xff\xff"),
        with(&[&b"\x81\xd9\x81"[..], &[b'n'; 129], b"\xa1a"].concat()),
        with(&deep),
    ]
}

#[tokio::test]
async fn what_is_no_session_is_not_there() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let backend = backend(&site).await;
        let whole = sample(site.now().await).encode();
        for value in broken(&whole) {
            let user = backend.user();
            let id = new_id();
            plant(&site, &user, id, &value).await;
            let told = format!("{kind:?}: {value:02x?}");
            assert!(Record::decode(&value.clone().into()).is_err(), "{told}");
            assert!(user.load(id).await.is_none(), "{told}");
            assert!(user.list().await.is_empty(), "{told}");
            assert!(user.touch(id, BOUNDS).await.is_none(), "{told}");
            let loaded = user.store.touch_and_load(user.place(id), BOUNDS).await.unwrap();
            assert!(loaded.is_none(), "{told}");
            let what = What::new().set("b", "1");
            assert_eq!(user.write(id, &what).await, Saved::Gone, "{told}");
            let rotate = How::Rotate { from: id, anew: false };
            assert_eq!(user.save(new_id(), rotate, &what).await, Saved::Gone, "{told}");
            assert!(!user.store.remove(user.place(id)).await.unwrap(), "{told}");
            // Beside it sessions are well, and it makes room first.
            plant(&site, &user, id, &value).await;
            let one = user.create(&what).await;
            assert_eq!(user.holds(one).await.unwrap(), "b=1");
            assert_eq!(user.list().await, [one]);
            let two = user.create(&What::new().sessions(2)).await;
            assert_eq!(user.list().await.len(), 2, "{told}");
            plant(&site, &user, id, &value).await;
            assert_eq!(user.store.remove_others(user.place(two)).await.unwrap(), 1, "{told}");
            assert_eq!(user.list().await, [two]);
            plant(&site, &user, id, &value).await;
            done(user.save(id, How::Create(ORIGIN), &what).await);
            assert_eq!(user.holds(id).await.unwrap(), "b=1");
        }
    }
}

/// The server's library knows no bytes; who writes sessions by other means may.
#[tokio::test]
async fn values_that_are_written_as_bytes_are_a_sessions() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let user = backend(&site).await.user();
        let whole = sample(site.now().await).encode();
        let (header, _) = whole.split_at(57);
        let long = [&b"\xa1c\xc5\x01\x00"[..], &[b'z'; 256]].concat();
        let longest = [&b"\xa1d\xc6\x00\x00\x00\x01"[..], b"y"].concat();
        let five = [&b"\xa1a\xc4\x01x\xa1b\xa2yy"[..], &long, &longest, b"\xa1e\xd9\x00"].concat();
        for start in [&b"\x85"[..], b"\xde\x00\x05", b"\xdf\x00\x00\x00\x05"] {
            let id = new_id();
            plant(&site, &user, id, &[header, start, &five].concat()).await;
            let held = |holds: &str| format!("a={holds} b=yy c={} d=y e=", "z".repeat(256));
            assert_eq!(user.holds(id).await.unwrap(), held("x"));
            assert!(user.touch(id, BOUNDS).await.is_some());
            assert_eq!(user.holds(id).await.unwrap(), held("x"));
            done(user.write(id, &What::new().set("a", "w")).await);
            assert_eq!(user.holds(id).await.unwrap(), held("w"));
        }
    }
}

/// The decoder in this process and the one in the script, about every byte changed to some others
/// and every length.
#[tokio::test]
async fn the_script_and_the_reader_agree_about_what_is_a_session() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let backend = backend(&site).await;
        let user = backend.user();
        let now = site.now().await;
        let mut record = sample(now);
        record.data.insert("long".into(), vec![b'y'; 20].into());
        record.data.remove("ü");
        let whole = record.encode();
        let mut values: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
        for place in 0..whole.len() {
            for byte in [0, 1, 0x80, 0x81, 0x90, 0xa0, 0xa1, 0xc0, 0xc4, 0xd9, 0xe2, 0xff] {
                let mut changed = whole.to_vec();
                changed[place] = byte;
                values.push(changed);
            }
        }
        let (mut there, id) = (0, new_id());
        for value in &values {
            plant(&site, &user, id, value).await;
            let read = Record::decode(&value.clone().into()).ok();
            let expires = read.as_ref().map_or(0, |record| record.header.expires.0);
            // What ends while the test runs is there or not.
            if (now..now + HOUR / 10).contains(&expires) {
                continue;
            }
            let read = read.filter(|_| expires > now);
            let touched = user.touch(id, BOUNDS).await;
            // Where the idle time was made nothing, it is over by its own use.
            let read = read.filter(|record| record.header.idle_ms > 0);
            assert_eq!(read.is_some(), touched.is_some(), "{kind:?}: {value:02x?}");
            there += usize::from(touched.is_some());
        }
        assert!(there > 100 && there < values.len() - 100, "{there} of {}", values.len());
    }
}

#[tokio::test]
async fn a_key_of_another_type_holds_no_session() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let backend = backend(&site).await;
        for command in [&["SET", "k", "v"][..], &["RPUSH", "k", "v"], &["ZADD", "k", "1", "v"]] {
            let user = backend.user();
            let id = new_id();
            let key = user.key().spell();
            let words: Vec<&str> =
                command.iter().map(|word| if *word == "k" { &key } else { *word }).collect();
            site.command(&words).await;
            assert!(user.load(id).await.is_none());
            assert!(user.touch(id, BOUNDS).await.is_none());
            assert!(user.store.touch_and_load(user.place(id), BOUNDS).await.unwrap().is_none());
            assert!(user.list().await.is_empty());
            assert_eq!(user.write(id, &What::new()).await, Saved::Gone);
            let rotate = How::Rotate { from: id, anew: false };
            assert_eq!(user.save(new_id(), rotate, &What::new()).await, Saved::Gone);
            assert!(!user.store.remove(user.place(id)).await.unwrap());
            assert_eq!(user.store.remove_others(user.place(id)).await.unwrap(), 0);
            assert_eq!(site.command(&["EXISTS", &key]).await.int(), 1, "it is left alone");
            let id = user.create(&What::new().set("a", "1")).await;
            assert_eq!(user.holds(id).await.unwrap(), "a=1", "until somebody logs in");
            site.command(&["DEL", &key]).await;
            site.command(&words).await;
            user.store.remove_all(user.key()).await.unwrap();
            assert_eq!(site.command(&["EXISTS", &key]).await.int(), 0);
        }
    }
}

/// A session that cannot be made for want of memory takes away nothing.
#[tokio::test]
async fn without_memory_a_key_of_another_type_stays() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let backend = backend(&site).await;
        let user = backend.user();
        let key = user.key().spell();
        site.command(&["SET", &key, "v"]).await;
        site.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
        let what = What::new();
        let save = what.save(user.place(new_id()), How::Create(ORIGIN));
        let error = user.store.save(save).await.unwrap_err();
        assert_eq!(error.class(), tower_keep::ErrorClass::Refused, "{error}");
        assert_eq!(site.command(&["GET", &key]).await.text(), "v");
        site.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
        user.create(&what).await;
    }
}

/// What is over 2^53 is exact where it is only passed on, and counts up exactly.
#[tokio::test]
async fn immense_numbers_are_not_corrupted() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let backend = backend(&site).await;
        let user = backend.user();
        for (version, next) in [
            (u64::from(u32::MAX), 1 << 32),
            ((1 << 53) - 1, 1 << 53),
            (1 << 53, (1 << 53) + 1),
            ((1 << 53) + 1, (1 << 53) + 2),
            (u64::MAX - 1, u64::MAX),
            (u64::MAX, u64::MAX),
        ] {
            let id = new_id();
            let mut planted = sample(site.now().await);
            let immense = (1 << 60) + 1;
            planted.header.version = version;
            planted.header.created = UnixMillis(immense);
            planted.header.idle_ms = immense;
            planted.header.expires = UnixMillis(u64::MAX);
            plant(&site, &user, id, &planted.encode()).await;
            let touched = user.touch(id, BOUNDS).await.unwrap();
            assert_eq!(touched.version, version);
            let header = done(user.write(id, &What::new().idle(None).set("b", "1")).await);
            assert_eq!((header.version, header.created.0), (next, immense));
            assert_eq!(header.idle_ms, immense);
            let record = user.load(id).await.unwrap();
            let mut data: Data = planted.data;
            data.insert("b".into(), Bytes::from_static(b"1"));
            assert_eq!((record.header, &record.data), (header, &data));
        }
    }
}
