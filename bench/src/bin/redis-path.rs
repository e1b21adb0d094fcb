//! What a `GET` of 1 KiB costs on its way to Redis and back, in this process: by a bare fred client
//! in both versions of the protocol, by one with the options that every command of ours has, by a guarded connection, and by the
//! cache engine with near copies switched off. All take turns within one run, of 1, 16 and 64 tasks
//! at once.
//!
//! `--rounds N`, `--millis N`, `--keys N`, `--bytes N`; `--only TEXT` for the one of that name;
//! `--threads 1` for all of this process on one thread, `--tasks N` for one number of tasks.

use std::{hint::black_box, sync::Arc, time::Duration};

use bytes::Bytes;
use fred::{
    prelude::{Client, ClientLike as _, Config, KeysInterface as _},
    types::{
        RespVersion, Value as Reply,
        config::{Options, ReconnectPolicy},
    },
};
use tower_keep_bench::{
    argument,
    body::Body,
    servers::{Process, answers, free_port},
    together::{Work, together},
};
use tower_keep_cache::{Cache, CacheBuilder, Name};
use tower_keep_core::TenantId;
use tower_keep_redis::{Connection, RedisConfig, SharedBus};

const DEADLINE: Duration = Duration::from_secs(30);

/// A way to Redis.
struct Way {
    name: &'static str,
    by: By,
}

enum By {
    Fred(Client),
    FredWithOptions(Client),
    Connection(Connection),
    Cache(Cache<Body>, TenantId),
}

impl Work for Way {
    fn name(&self) -> &'static str {
        self.name
    }

    fn beside(&self) -> &'static str {
        "fred"
    }

    async fn once(&self, number: usize) {
        let found = match &self.by {
            By::Fred(client) => client.get::<Option<Bytes>, _>(key(number)).await.unwrap(),
            By::FredWithOptions(client) => {
                let client = client.with_options(&Options {
                    timeout: Some(DEADLINE),
                    fail_fast: true,
                    max_attempts: Some(1),
                    ..Options::default()
                });
                client.get(key(number)).await.unwrap()
            }
            By::Connection(connection) => {
                let key = key(number);
                let args = vec![Reply::from(&key)];
                let reply = connection.command("GET", Some(&key), args).await.unwrap();
                reply.into_bytes()
            }
            By::Cache(cache, tenant) => {
                let found = cache.get(&name(tenant, number)).await.unwrap();
                found.value.map(|body| body.0.clone())
            }
        };
        assert!(!black_box(found).unwrap().is_empty());
    }
}

fn key(number: usize) -> String {
    format!("page:acme:{number}")
}

fn name(tenant: &TenantId, number: usize) -> Name {
    Name::new(tenant, key(number))
}

fn main() {
    let mut runtime = match argument("--threads", 2) {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(argument("--threads", 2)).enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1);
    let (bytes, keys) = (argument("--bytes", 1024), argument("--keys", 1000));
    let port = free_port();
    let arguments = ["--port", &port.to_string(), "--save", "", "--appendonly", "no"];
    let redis = Process::start("redis-server", &arguments);
    answers(port).await;
    let config = Config::from_url(&format!("redis://127.0.0.1:{port}")).unwrap();
    let client = Client::new(config.clone(), None, None, Some(ReconnectPolicy::default()));
    client.init().await.unwrap();
    let config = Config { version: RespVersion::RESP3, ..config };
    let third = Client::new(config, None, None, Some(ReconnectPolicy::default()));
    third.init().await.unwrap();
    let config = RedisConfig::new("127.0.0.1", port).with_timeout(DEADLINE);
    let connection = Connection::connect(config).unwrap();
    connection.require().await.unwrap();
    let bus = SharedBus::default().get(&connection, true).unwrap();
    let cache = CacheBuilder::new().redis(&connection, Some(&bus)).near(false);
    let cache = cache.compress_above(usize::MAX);
    let (cache, tenant) = (cache.build().unwrap(), TenantId::new("acme").unwrap());
    let body = Bytes::from(vec![b'x'; bytes]);
    for number in 0..keys {
        let _: () = client.set(key(number), body.clone(), None, None, false).await.unwrap();
        let entry = Arc::new(Body(body.clone()));
        cache.put(&name(&tenant, number), entry, 100 * DEADLINE).await.unwrap();
    }
    let ways = [
        Way { name: "fred", by: By::Fred(client.clone()) },
        Way { name: "fred, RESP3", by: By::Fred(third.clone()) },
        Way { name: "fred, our options", by: By::FredWithOptions(third) },
        Way { name: "Connection::command", by: By::Connection(connection) },
        Way { name: "Cache::get", by: By::Cache(cache, tenant) },
    ];
    let wanted = |way: &Way| only.as_ref().is_none_or(|only| way.name == only);
    let ways: Vec<Arc<Way>> = ways.into_iter().filter(wanted).map(Arc::new).collect();
    let tasks = argument("--tasks", 0);
    for tasks in [1, 16, 64].into_iter().filter(|n| tasks == 0 || *n == tasks) {
        together(&ways, tasks, Some(&redis)).await;
    }
}
