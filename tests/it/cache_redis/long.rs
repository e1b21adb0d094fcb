//! Long entries go by a connection of their own.

use tower_keep_cache::store::AskLease;
use tower_keep_tests::{Line, Monitor};

use super::process::{MINUTE, Process, tenant};
use crate::limit_store::site::{Kind, Site};

/// What was sent for entries, each with the connection that it came by.
async fn lines(monitor: &mut Monitor) -> Vec<(String, String)> {
    let lines = monitor.drain().await;
    let of_entries = lines
        .iter()
        .filter(|line| ["GET", "GETRANGE", "SET", "HMGET"].contains(&line.name().as_str()));
    of_entries.map(|line: &Line| (line.name(), line.source().to_owned())).collect()
}

#[tokio::test]
async fn a_long_entry_is_asked_for_elsewhere_once_it_is_known_to_be() {
    for kind in Kind::SINGLE {
        let site = Site::start(kind).await;
        let [writer, reader] = [Process::new(&site.url()).await, Process::new(&site.url()).await];
        let acme = tenant("acme");
        let key = "cache:acme:test:long";
        let mut monitor = site.monitor().await;
        let blob = |len: usize| (0..=250).cycle().take(len).collect::<Vec<u8>>();
        for len in [65_535, 65_536, 65_537, 1 << 20] {
            site.command(&["DEL", key]).await;
            assert_eq!(reader.read(key).await, None);
            monitor.drain().await;
            writer.write(key, &blob(len)).await.unwrap();
            let sent = lines(&mut monitor).await;
            let [(_, wrote)] = &sent[..] else { panic!("{sent:?}") };
            assert_eq!(reader.read(key).await.unwrap(), blob(len), "{len}");
            let sent = lines(&mut monitor).await;
            let names: Vec<_> = sent.iter().map(|(name, _)| name.as_str()).collect();
            if len < 65_536 {
                assert_eq!(names, ["GETRANGE"], "{len}");
                continue;
            }
            // The first time it is found out.
            assert_eq!(names, ["GETRANGE", "GET"], "{len}");
            assert_ne!(sent[0].1, sent[1].1, "not by the same connection");
            let (shared, bulk) = (sent[0].1.clone(), sent[1].1.clone());
            let known = reader.generations(&acme).await.stamp();
            let told = reader.ask(Some(key), None, Some((&acme, Some(known)))).await.unwrap();
            assert_eq!(told.entry.unwrap().blob.unwrap(), blob(len));
            let mut sent = lines(&mut monitor).await;
            sent.sort();
            let expected = [("GET".to_owned(), bulk.clone()), ("HMGET".to_owned(), shared)];
            assert_eq!(sent, expected, "both at once, each by its own connection");
            let lease = AskLease { blob: "lease".into(), lasting: MINUTE };
            assert_eq!(reader.lease(key, &lease).await.blob.unwrap(), blob(len));
            assert_eq!(lines(&mut monitor).await, [("SET".to_owned(), bulk)]);
            // Whoever wrote it knows.
            assert_eq!(writer.read(key).await.unwrap(), blob(len));
            let sent = lines(&mut monitor).await;
            if len > 65_536 {
                assert_eq!(sent, [("GET".to_owned(), wrote.clone())], "{len}");
            }
        }
        // What has become short is asked for among all others again.
        writer.write(key, b"short").await.unwrap();
        assert_eq!(reader.read(key).await.unwrap(), "short");
        monitor.drain().await;
        assert_eq!(reader.read(key).await.unwrap(), "short");
        assert_eq!(lines(&mut monitor).await[0].0, "GETRANGE");
        writer.remove(&acme, key).await.unwrap();
        assert_eq!(reader.read(key).await, None);
    }
}
