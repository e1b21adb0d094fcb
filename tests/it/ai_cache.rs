//! The AI cache on Redis and Valkey, in front of the mock of a language model: many who ask the same,
//! on one process and on two, a server that is away, and what the server holds.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use mock_llm::Mock;
use tokio::task::JoinSet;
use tower::{Layer as _, ServiceExt as _, util::BoxCloneSyncService};
use tower_keep::{
    AiCacheLayer, AiCacheLayerBuilder, AiCacheOutcome, AiCacheStatus as Status, Caller, Config,
    CostUnit, Keep, Principal, ResponseBody, Rule, TenantId, ai::BypassReason,
};
use tower_keep_tests::{Flavor, Server, Value, prompt_once, wait_until};

use crate::cache_redis::process::sent;

const PATIENCE: Duration = Duration::from_secs(30);
const CHAT: &str = "/v1/chat/completions";

type Answer = Response<ResponseBody<Body>>;
type Site = BoxCloneSyncService<Request<Full<Bytes>>, Answer, Infallible>;

/// A process of its own, as far as it concerns the server.
async fn keep(url: &str, variables: &[(&str, &str)]) -> Keep {
    let all = [&[("REDIS_URL", url), ("REDIS_TIMEOUT_MS", "5000")], variables].concat();
    let value = |name: &str| all.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| v.into());
    let keep = Keep::new(Config::from_lookup(value).unwrap()).unwrap();
    keep.require_connection().await.unwrap();
    keep
}

fn site(layer: &AiCacheLayer, mock: &Mock) -> Site {
    BoxCloneSyncService::new(layer.layer(mock.router()))
}

fn far(builder: AiCacheLayerBuilder) -> AiCacheLayerBuilder {
    builder.store(|store| store.near(false).fill_lease(Some(AiCacheLayer::LEASE)))
}

fn post(path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("content-type", "application/json")
        .extension(Principal::new(TenantId::new("acme").unwrap()))
        .body(Full::from(body.to_owned()))
        .unwrap()
}

fn chat(content: &str, stream: bool) -> Request<Full<Bytes>> {
    let message = serde_json::json!([{"role": "user", "content": content}]);
    let body = serde_json::json!({"model": "gpt:4o", "stream": stream, "messages": message});
    post(CHAT, &body.to_string())
}

fn outcome(answer: &Answer) -> AiCacheOutcome {
    *answer.extensions().get().unwrap()
}

async fn read(answer: Answer) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}

async fn ask(site: &Site, request: Request<Full<Bytes>>) -> (AiCacheOutcome, Bytes) {
    let answer = site.clone().oneshot(request).await.unwrap();
    (outcome(&answer), read(answer).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_on_one_process_and_on_two_one_asks() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        for (processes, stream) in [(1, false), (1, true), (2, false), (2, true)] {
            let mock = Mock::default();
            let mut requests = JoinSet::new();
            for process in 0..processes {
                let keep = keep(&server.url(), &[]).await;
                let site = site(&keep.ai_cache().build().unwrap(), &mock);
                let asked = format!("{processes} [[mock:wait=300]] [[mock:pause=5]]");
                for _ in 0..100 / processes {
                    let (site, asked) = (site.clone(), asked.clone());
                    requests.spawn(async move {
                        let (outcome, body) = ask(&site, chat(&asked, stream)).await;
                        (process, outcome.status, body)
                    });
                }
            }
            let told = requests.join_all().await;
            let missed = told.iter().filter(|(_, status, _)| *status == Status::Miss).count();
            assert!(told.iter().all(|(.., body)| *body == told[0].2), "{flavor}: another's answer");
            println!(
                "{flavor}: 100 calls, {processes} processes, stream {stream}: {} asked",
                mock.calls()
            );
            assert_eq!((missed, mock.calls()), (1, 1), "{flavor} {processes} {stream}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_costs_one_round_trip_and_a_near_one_none() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let mock = Mock::default();
        let [one, other] = [keep(&server.url(), &[]).await, keep(&server.url(), &[]).await];
        let [one, other] = [one, other].map(|keep| site(&keep.ai_cache().build().unwrap(), &mock));
        // The tenant's generations are there, and known to both.
        ask(&one, chat("warm", false)).await;
        ask(&other, chat("warm", false)).await;
        let (missed, whole) = ask(&one, chat("hi", false)).await;
        assert_eq!(missed.status, Status::Miss);
        // What the first has written is there, and is no part of what is counted.
        let written = async || {
            let keys = server.command(&["KEYS", "ai:*"]).await.unwrap();
            let mut all = keys.array().len() == 2;
            for key in keys.array() {
                let length = server.command(&["STRLEN", key.text().as_str()]).await.unwrap();
                all &= length.int() > 64;
            }
            all
        };
        assert!(wait_until(PATIENCE, written).await);
        let mut monitor = server.monitor().await;
        // Generations are read when a second has passed, beside what else is asked.
        let mut commands = async || {
            let all = sent(&mut monitor).await;
            all.into_iter().filter(|name| name != "HMGET").collect::<Vec<_>>()
        };
        commands().await;
        let (hit, body) = ask(&other, chat("hi", false)).await;
        assert_eq!((hit.status, body), (Status::Hit, whole.clone()));
        assert_eq!(commands().await, ["SET"], "an entry or the right to make it");
        for _ in 0..20 {
            assert_eq!(ask(&other, chat("hi", false)).await, (hit, whole.clone()));
        }
        assert!(commands().await.is_empty());
        // Vectors of a batch come by one command.
        let batch =
            |texts: &str| post("/v1/embeddings", &format!(r#"{{"model":"e","input":[{texts}]}}"#));
        // The connection for long answers takes a moment to be there.
        let mut number = 0;
        loop {
            number += 1;
            ask(&other, batch(&format!("\"warm {number}\""))).await;
            if commands().await.iter().any(|name| name == "MGET") {
                break;
            }
            assert!(number < 3000, "nothing comes by one command");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let texts: Vec<String> = (0..20).map(|i| format!("\"text {i}\"")).collect();
        let reversed: Vec<String> = texts.iter().rev().cloned().collect();
        ask(&one, batch(&texts.join(","))).await;
        let stored = async || server.command(&["KEYS", "ai:acme:e:*"]).await.unwrap();
        assert!(wait_until(PATIENCE, async || stored().await.array().len() == 20 + number).await);
        commands().await;
        assert_eq!(ask(&other, batch(&reversed.join(","))).await.0.status, Status::Hit);
        assert_eq!(commands().await, ["MGET"]);
        assert_eq!(ask(&other, batch(&texts[..7].join(","))).await.0.status, Status::Hit);
        assert!(commands().await.is_empty());
        assert_eq!(mock.counts()["/v1/embeddings"], 1 + number as u64);
    }
}

#[tokio::test]
async fn the_server_holds_no_prompt_and_every_key_ends() {
    let keys = "k:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    for variables in [&[][..], &[("CACHE_ENCRYPTION_KEYS", keys)]] {
        let server = Server::start(Flavor::Redis).await;
        let keep = keep(&server.url(), variables).await;
        let site = site(&far(keep.ai_cache()).build().unwrap(), &Mock::default());
        for request in [
            chat("a secret question", false),
            chat("a secret question", true),
            post("/v1/embeddings", r#"{"model":"e","input":"a secret question"}"#),
        ] {
            ask(&site, request).await;
        }
        let kept = async || {
            let keys = server.command(&["KEYS", "ai:*"]).await.unwrap();
            keys.array().len() == 3
        };
        assert!(wait_until(PATIENCE, kept).await);
        for key in server.command(&["KEYS", "*"]).await.unwrap().array() {
            let key = key.text();
            let ttl = server.command(&["PTTL", key.as_str()]).await.unwrap().int();
            assert!(ttl > 0, "{key} {ttl}");
            if !key.starts_with("ai:") {
                continue;
            }
            let parts: Vec<&str> = key.split(':').collect();
            assert_eq!((parts[0], parts[1], parts.len()), ("ai", "acme", 4), "{key}");
            assert!(["gpt%3A4o", "e"].contains(&parts[2]), "{key}");
            assert!(parts[3].len() == 32 && parts[3].bytes().all(|it| it.is_ascii_hexdigit()));
            let value = server.command(&["GET", key.as_str()]).await.unwrap();
            let Value::Bulk(Some(value)) = value else { panic!("{value:?}") };
            let holds = |text: &[u8]| value.windows(text.len()).any(|part| part == text);
            // An answer may say again what it was asked.
            if !variables.is_empty() {
                for text in [&b"secret question"[..], b"choices", b"embedding"] {
                    assert!(!holds(text), "{key} is not sealed");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_reaches_the_other_process() {
    for flavor in Flavor::ALL {
        prompt_once(async || flush(flavor).await < Duration::from_millis(1500)).await;
    }
}

/// How long it takes until the other process asks anew.
async fn flush(flavor: Flavor) -> Duration {
    let server = Server::start(flavor).await;
    let mock = Mock::default();
    let [one, other] = [keep(&server.url(), &[]).await, keep(&server.url(), &[]).await];
    let [one, other] = [one, other].map(|keep| keep.ai_cache().build().unwrap());
    let sites = [site(&one, &mock), site(&other, &mock)];
    let mut slowest = Duration::ZERO;
    for (i, model) in [None, Some("gpt:4o")].into_iter().enumerate() {
        for site in &sites {
            ask(site, chat("hi", false)).await;
        }
        assert_eq!(mock.calls(), 1 + i as u64);
        let (acme, answers) = (TenantId::new("acme").unwrap(), one.answers());
        match model {
            None => answers.flush(&acme).await.unwrap(),
            Some(model) => answers.flush_model(&acme, model).await.unwrap(),
        }
        let flushed = Instant::now();
        let misses = async || ask(&sites[1], chat("hi", false)).await.0.status == Status::Miss;
        assert!(wait_until(PATIENCE, misses).await);
        slowest = slowest.max(flushed.elapsed());
    }
    slowest
}

/// What is flushed still lies there; that is no reason for each process to ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_flush_one_of_two_processes_asks() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let mock = Mock::default();
        let [one, other] = [keep(&server.url(), &[]).await, keep(&server.url(), &[]).await];
        let [one, other] = [one, other].map(|keep| keep.ai_cache().build().unwrap());
        let sites = [site(&one, &mock), site(&other, &mock)];
        let slow = "slow [[mock:wait=300]]";
        for site in &sites {
            ask(site, chat("quick", false)).await;
            ask(site, chat(slow, false)).await;
        }
        one.answers().flush(&TenantId::new("acme").unwrap()).await.unwrap();
        // Until the other one has heard of it.
        let misses = async || ask(&sites[1], chat("quick", false)).await.0.status == Status::Miss;
        assert!(wait_until(PATIENCE, misses).await);
        let before = mock.calls();
        let mut requests = JoinSet::new();
        for i in 0..60 {
            let site = sites[i % 2].clone();
            requests.spawn(async move { ask(&site, chat(slow, false)).await });
        }
        let told = requests.join_all().await;
        assert!(told.iter().all(|(_, body)| *body == told[0].1), "{flavor}");
        assert_eq!(mock.calls() - before, 1, "{flavor}");
    }
}

/// A budget of tokens is charged with what each answer says it cost, and a hit costs nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_of_tokens_pays_for_answers_and_not_for_hits() {
    const BUDGET: u64 = 10_000;
    const ESTIMATE: u64 = 100;
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let mock = Mock::default();
        let keep = keep(&server.url(), &[]).await;
        let budget = Rule::per_tenant(BUDGET, Duration::from_secs(86_400))
            .named("tokens")
            .cost(|_| ESTIMATE)
            .late(CostUnit::TOKENS);
        let limits = keep.rate_limit().rule(budget).build().unwrap();
        let inside = keep.ai_cache().build().unwrap().layer(mock.router());
        let site = BoxCloneSyncService::new(limits.layer(inside));
        let caller = Caller::tenant(TenantId::new("acme").unwrap());
        let mut spent = 0;
        // A stream tells what it cost only if it is asked to; else what was reserved stands.
        for (asked, stream) in [("one", false), ("two", false), ("three", true)] {
            for hit in [false, true] {
                let request = chat(&format!("{asked} of a few words"), stream);
                let answer = site.clone().oneshot(request).await.unwrap();
                assert_eq!(answer.headers()["x-ai-cache"], if hit { "HIT" } else { "MISS" });
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                let told = serde_json::from_slice::<serde_json::Value>(&body).ok();
                let told = told.and_then(|told| told["usage"]["total_tokens"].as_u64());
                spent += if hit { 0 } else { told.unwrap_or(ESTIMATE) };
                // It is settled beside the answer.
                let paid = async || {
                    let standing = limits.limits().peek(&caller).await.unwrap();
                    BUDGET - standing.rules[0].remaining == spent
                };
                assert!(wait_until(PATIENCE, paid).await, "{flavor} {asked} {hit}: {spent}");
            }
        }
        assert_ne!(spent % ESTIMATE, 0, "the answers cost what they say");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_process_that_has_died_asks_in_the_end() {
    let server = Server::start(Flavor::Redis).await;
    let mock = Mock::default();
    let lease = |builder: AiCacheLayerBuilder| builder.fill_lease(Some(Duration::from_secs(2)));
    let living = keep(&server.url(), &[]).await;
    let living = site(&lease(living.ai_cache()).build().unwrap(), &mock);
    // The other one has the right to ask, and is no more.
    let dying = tokio::task::spawn_blocking({
        let (url, mock) = (server.url(), mock.clone());
        move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let keep = keep(&url, &[]).await;
                let site = site(&lease(keep.ai_cache()).build().unwrap(), &mock);
                tokio::spawn(async move { ask(&site, chat("[[mock:wait=60000]]", false)).await });
                while mock.calls() == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
            runtime.shutdown_background();
        }
    });
    dying.await.unwrap();
    // For as long as it lived it was waited for; its own call takes a minute.
    let begun = Instant::now();
    let asking =
        tokio::spawn(async move { ask(&living, chat("[[mock:wait=60000]]", false)).await });
    assert!(wait_until(PATIENCE, async || mock.calls() == 2).await, "nobody asks");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    asking.abort();
}

/// What the client saw of a fault of the upstream, and what was stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_faults_of_the_upstream_the_client_sees_all_and_the_server_stores_nothing() {
    let server = Server::start(Flavor::Redis).await;
    let keep = keep(&server.url(), &[]).await;
    for stream in [false, true] {
        for (mark, breaks, status) in [
            ("broken", true, 200),
            ("truncated", false, 200),
            ("error", false, 200),
            ("429", false, 429),
            ("500", false, 500),
            ("length", false, 200),
            ("content_filter", false, 200),
        ] {
            if mark == "error" && !stream {
                continue;
            }
            let (mock, bare) = (Mock::default(), Mock::default());
            let site = site(&keep.ai_cache().build().unwrap(), &mock);
            for call in 1..=2 {
                let request = || chat(&format!("[[mock:{mark}]]"), stream);
                let answer = site.clone().oneshot(request()).await.unwrap();
                let (did, seen) = (outcome(&answer).status, answer.status().as_u16());
                assert_eq!((did, seen), (Status::Miss, status), "{mark}");
                let body = answer.into_body().collect().await;
                assert_eq!(body.is_err(), breaks, "{mark} {stream}");
                if let Ok(body) = body {
                    let plain = bare.router().oneshot(request()).await.unwrap();
                    let plain = plain.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(body.to_bytes(), plain, "{mark} {stream}");
                }
                assert_eq!(mock.calls(), call, "{mark} {stream}");
            }
        }
    }
    assert!(server.command(&["KEYS", "ai:*"]).await.unwrap().array().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_fails_no_client_and_is_used_again() {
    for flavor in Flavor::ALL {
        for hung in [false, true] {
            let mut server = Server::start(flavor).await;
            let keep = keep(&server.url(), &[("REDIS_TIMEOUT_MS", "200")]).await;
            let mock = Mock::default();
            let site = site(&far(keep.ai_cache()).build().unwrap(), &mock);
            let (_, whole) = ask(&site, chat("hi", false)).await;
            let hits = async || ask(&site, chat("hi", false)).await.0.status == Status::Hit;
            assert!(wait_until(PATIENCE, hits).await);
            if hung {
                server.pause();
            } else {
                server.kill();
            }
            let mut slowest = Duration::ZERO;
            for i in 0..20 {
                let begun = Instant::now();
                let (outcome, body) = ask(&site, chat("hi", false)).await;
                slowest = slowest.max(begun.elapsed());
                assert_eq!((outcome.bypass, &body), (Some(BypassReason::Store), &whole), "{i}");
            }
            // They still share what is on its way.
            let calls = mock.calls();
            let mut requests = JoinSet::new();
            for _ in 0..20 {
                let site = site.clone();
                requests.spawn(async move { ask(&site, chat("[[mock:wait=500]]", true)).await });
            }
            requests.join_all().await;
            assert_eq!(mock.calls(), calls + 1);
            if hung {
                server.resume();
            } else {
                server.restart().await;
            }
            assert!(wait_until(PATIENCE, hits).await, "{flavor}: not back");
            println!("{flavor}, hung {hung}: slowest {slowest:.0?} (deadline 200 ms)");
            assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        }
    }
}
