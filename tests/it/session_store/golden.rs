//! The bytes that lie on a server, which are a contract between versions of this program.

use std::{fmt::Write as _, sync::Arc};

use tower_keep_session::{How, Record, RedisStore};
use tower_keep_tests::Value;

use super::backend::{Backend, ORIGIN, What, done, new_id};
use crate::limit_store::site::{Kind, Site};

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::Bulk(Some(bytes)) => bytes.clone(),
        other => panic!("{other:?}"),
    }
}

/// What the server's library writes, one value after the other so that their order is known.
#[tokio::test]
async fn what_the_server_writes() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let store = Arc::new(RedisStore::new(site.connection().await));
        let user = Backend::new(store, None, "golden").user();
        let id = new_id();
        let raw = async || {
            let raw = site.command(&["HGET", &user.key().spell(), &id.to_string()]).await;
            bytes(&raw)
        };
        done(user.save(id, How::Create(ORIGIN), &What::new().idle(0x0001_0203)).await);
        let made = raw().await;
        let header = user.load(id).await.unwrap().header;
        let expected = format!(
            "01{:016x}{:016x}{:016x}{:016x}{:016x}{}80",
            1,
            header.created.0,
            header.created.0 + 0x0001_0203,
            header.created.0,
            0x0001_0203,
            hex(&ORIGIN.0),
        );
        assert_eq!(hex(&made), expected);
        for (value, written) in [
            (vec![], "81a161a0".to_owned()),
            (vec![0, 0xff], "81a161a200ff".to_owned()),
            (vec![7; 31], format!("81a161bf{}", "07".repeat(31))),
            (vec![7; 32], format!("81a161d920{}", "07".repeat(32))),
            (vec![7; 255], format!("81a161d9ff{}", "07".repeat(255))),
            (vec![7; 256], format!("81a161da0100{}", "07".repeat(256))),
            (vec![7; 65_536], format!("81a161db00010000{}", "07".repeat(65_536))),
        ] {
            done(user.write(id, &What::new().set("a", value.clone())).await);
            let raw = raw().await;
            assert_eq!(hex(&raw[57..]), written);
            let record = Record::decode(&raw.into()).unwrap();
            assert_eq!(&record.data["a"][..], value);
        }
        done(user.write(id, &What::new().remove(&["a"])).await);
        assert_eq!(hex(&raw().await[57..]), "90", "it cannot tell an empty map from an array");
        assert!(user.load(id).await.unwrap().data.is_empty());
        // What is not changed is not written anew.
        done(user.write(id, &What::new()).await);
        assert_eq!(hex(&raw().await[57..]), "90");
    }
}

/// And it reads what we write.
#[tokio::test]
async fn what_the_server_reads() {
    const SCRIPT: &str = "local values = cmsgpack.unpack(ARGV[1])
        local names, reply = {}, {}
        for name in pairs(values) do names[#names + 1] = name end
        table.sort(names)
        for i, name in ipairs(names) do reply[2 * i - 1], reply[2 * i] = name, values[name] end
        return reply";
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let mut what = What::new();
        for length in [0, 1, 31, 32, 255, 256, 65_535, 65_536] {
            what = what.set(&format!("{length:05}"), vec![0xfe; length]);
        }
        for length in [31, 32, 128] {
            what = what.set(&"n".repeat(length), "x");
        }
        let user = Backend::new(Arc::new(RedisStore::new(site.connection().await)), None, "reads");
        let user = user.user();
        let id = user.create(&What::new()).await;
        let header = user.load(id).await.unwrap().header;
        let record = Record { header, data: what.change.set };
        let map = record.encode().slice(57..);
        let reply = site.command(&[b"EVAL", SCRIPT.as_bytes(), b"0", &map]).await;
        let read: Vec<_> = reply.array().iter().map(bytes).collect();
        let written: Vec<_> = record
            .data
            .iter()
            .flat_map(|(name, value)| [name.as_bytes().to_vec(), value.to_vec()])
            .collect();
        assert!(read == written, "{kind:?}");
    }
}
