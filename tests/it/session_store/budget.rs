//! How many commands each method costs, counted as the client sends them.

use std::sync::Arc;

use tower_keep_session::{How, RedisStore};
use tower_keep_tests::Monitor;

use super::backend::{BOUNDS, Backend, ORIGIN, What, new_id};
use crate::limit_store::site::{Kind, Site};

/// What a new connection is asked once.
const BESIDE: [&str; 6] = ["HELLO", "SUBSCRIBE", "PING", "CLIENT", "INFO", "CLUSTER"];

async fn sent(monitor: &mut Monitor) -> Vec<String> {
    let mut names = monitor.names().await;
    names.retain(|name| !BESIDE.contains(&name.as_str()));
    monitor.drain().await;
    names
}

#[tokio::test]
async fn each_method_is_one_command_and_a_script_is_spelled_out_once_on_each_node() {
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let store = Arc::new(RedisStore::new(site.connection().await));
        let backend = Backend::new(store, None, "budget");
        let mut monitor = site.monitor().await;
        sent(&mut monitor).await;
        let mut spelled_out = [0; 3];
        for _ in 0..30 {
            let user = backend.user();
            let (id, renamed) = (new_id(), new_id());
            let (store, place) = (&user.store, user.place(id));
            let what = What::new().set("a", "1").sessions(1);
            let mut cost = async |script: Option<usize>, name: &str| {
                let names = sent(&mut monitor).await;
                match script {
                    Some(script) if names == ["EVALSHA", "EVAL"] => spelled_out[script] += 1,
                    _ => assert_eq!(names, [name]),
                }
            };
            let (save, touch, remove) = (Some(0), Some(1), Some(2));
            store.save(what.save(place, How::Create(ORIGIN))).await.unwrap();
            cost(save, "EVALSHA").await;
            store.save(what.save(place, How::Write)).await.unwrap();
            cost(None, "EVALSHA").await;
            store.load(place).await.unwrap().unwrap();
            cost(None, "HGET").await;
            store.touch(place, BOUNDS).await.unwrap().unwrap();
            cost(touch, "EVALSHA").await;
            store.touch_and_load(place, BOUNDS).await.unwrap().unwrap();
            cost(None, "EVALSHA").await;
            let rotate = How::Rotate { from: id, anew: false };
            store.save(what.save(user.place(renamed), rotate)).await.unwrap();
            cost(None, "EVALSHA").await;
            store.load(place).await.unwrap();
            cost(None, "HGET").await;
            store.save(what.save(place, How::Write)).await.unwrap();
            cost(None, "EVALSHA").await;
            // Over the cap.
            store.save(what.save(place, How::Create(ORIGIN))).await.unwrap();
            cost(None, "EVALSHA").await;
            store.list(user.key()).await.unwrap();
            cost(None, "HGETALL").await;
            store.remove(place).await.unwrap();
            cost(remove, "EVALSHA").await;
            store.remove_others(place).await.unwrap();
            cost(None, "EVALSHA").await;
            store.remove_all(user.key()).await.unwrap();
            cost(None, "EVALSHA").await;
        }
        assert_eq!(spelled_out, [site.nodes().len(); 3], "{}", kind.name());
    }
}
