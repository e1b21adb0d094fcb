//! The response caches of keeps on one server, as programs have them.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use data_encoding::BASE64;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep::{
    Config, ErrorClass, Keep, Principal, PurgeError, PurgeService, ResponseCacheLayer,
    ResponseCacheOutcome as Outcome, Selection, TenantId,
};
use tower_keep_tests::{Flavor, Server, Value, wait_until};

/// What a connection says for itself.
const BESIDE: [&str; 6] = ["HELLO", "SUBSCRIBE", "PING", "CLIENT", "INFO", "CLUSTER"];
const PATIENCE: Duration = Duration::from_secs(30);
const TEXT: &str = "what nobody else may read. ";

/// A process of its own, as far as it concerns the server.
async fn keep(url: &str, more: &[(&str, &str)]) -> Keep {
    let variables = [&[("REDIS_URL", url), ("REDIS_TIMEOUT_MS", "2000")], more].concat();
    let value = |name: &str| variables.iter().rfind(|(n, _)| *n == name).map(|(_, v)| v.into());
    let keep = Keep::new(Config::from_lookup(value).unwrap()).unwrap();
    keep.require_connection().await.unwrap();
    keep
}

fn layer(keep: &Keep) -> ResponseCacheLayer {
    keep.response_cache().expose_outcome(true).build().unwrap()
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

/// What becomes of a request, and which of all answers it gets.
async fn asked(layer: &ResponseCacheLayer, path: &str) -> (Outcome, String) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let service = service_fn(|_: Request<_>| {
        let response = Response::builder()
            .header("cache-control", "max-age=600")
            .header("cache-groups", "\"items\"")
            .header("x-number", COUNT.fetch_add(1, Ordering::Relaxed))
            .body(Full::<Bytes>::from(TEXT.repeat(1000)));
        async { Ok::<_, Infallible>(response.unwrap()) }
    });
    let request = Request::get(path).header("host", "a").extension(Principal::new(acme()));
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let answer = layer.layer(service).oneshot(request).await.unwrap();
    let outcome = *answer.extensions().get().unwrap();
    let number = answer.headers()["x-number"].to_str().unwrap().to_owned();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, TEXT.repeat(1000));
    (outcome, number)
}

async fn ask(layer: &ResponseCacheLayer, path: &str) -> Outcome {
    asked(layer, path).await.0
}

/// Until it is kept there too.
async fn fill(layer: &ResponseCacheLayer, path: &str) {
    let kept = wait_until(PATIENCE, async || ask(layer, path).await == Outcome::Hit).await;
    assert!(kept, "{path}");
}

#[tokio::test]
async fn a_purge_is_one_command_and_every_process_hears_of_it() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let (one, two) = (keep(&server.url(), &[]).await, keep(&server.url(), &[]).await);
        // Two layers of one keep, and one of another.
        let [first, second, other] = [layer(&one), layer(&one), layer(&two)];
        // The script is not known at first.
        first.responses().purge(&acme(), &Selection::everything()).await.unwrap();
        for selection in [
            Selection::new().tag("items"),
            Selection::new().paths((0..200).map(|i| format!("/{i}"))),
            Selection::new().url("https://a/7"),
            Selection::everything(),
        ] {
            for layer in [&first, &second, &other] {
                fill(layer, "/7").await;
            }
            let (_, old) = asked(&other, "/7").await;
            let mut monitor = server.monitor().await;
            first.responses().purge(&acme(), &selection).await.unwrap();
            let mut sent = monitor.names().await;
            sent.retain(|name| !BESIDE.contains(&name.as_str()));
            assert_eq!(sent, ["EVALSHA"], "{selection:?}");
            assert_eq!(ask(&second, "/7").await, Outcome::Miss, "at once in the same process");
            // The other may serve its near copy until it hears of it, and never after that.
            let hears = async || asked(&other, "/7").await.1 != old;
            assert!(wait_until(PATIENCE, hears).await, "{selection:?}");
            for _ in 0..20 {
                assert_ne!(asked(&other, "/7").await.1, old);
            }
        }
    }
}

#[tokio::test]
async fn one_keep_has_one_connection_one_for_long_values_and_one_bus() {
    let server = Server::start(Flavor::Redis).await;
    let keep = keep(&server.url(), &[]).await;
    let layers: Vec<_> = (0..5).map(|_| layer(&keep)).collect();
    for layer in &layers {
        fill(layer, "/1").await;
    }
    let clients = server.command(&["CLIENT", "LIST"]).await.unwrap();
    let Value::Bulk(Some(clients)) = clients else { panic!("{clients:?}") };
    // The one that asks is one more.
    let count = String::from_utf8(clients).unwrap().lines().count();
    assert!(count <= 4, "{count} connections");
}

#[tokio::test]
async fn what_is_stored_is_compressed_and_sealed_as_the_variables_say() {
    let server = Server::start(Flavor::Redis).await;
    let ring = format!("k1:{}", BASE64.encode(&[7; 32]));
    let raw = ("CACHE_COMPRESS_ABOVE", "1000000");
    let keys = ("CACHE_ENCRYPTION_KEYS", ring.as_str());
    for (variables, readable, short) in [
        (&[][..], false, true),
        (&[raw], true, false),
        (&[raw, keys], false, false),
        (&[keys], false, true),
    ] {
        server.command(&["FLUSHALL"]).await.unwrap();
        let keep = keep(&server.url(), variables).await;
        fill(&layer(&keep), "/1").await;
        // Nothing near is left: what is stored can be read.
        let again = self::keep(&server.url(), variables).await;
        fill(&layer(&again), "/1").await;
        let found = server.command(&["KEYS", "cache:acme:http:*"]).await.unwrap();
        let [Value::Bulk(Some(key))] = found.array() else { panic!("{found:?}") };
        let blob = server.command(&[b"GET".as_slice(), key.as_slice()]).await.unwrap();
        let Value::Bulk(Some(blob)) = blob else { panic!("{blob:?}") };
        let copies = blob.windows(TEXT.len() * 2).any(|part| part == TEXT.repeat(2).as_bytes());
        assert_eq!((copies, blob.len() < 5000), (readable, short), "{variables:?}");
    }
}

#[tokio::test]
async fn while_redis_is_away_a_purge_says_so() {
    let mut server = Server::start(Flavor::Redis).await;
    let keep = keep(&server.url(), &[("REDIS_TIMEOUT_MS", "200")]).await;
    let layer = layer(&keep);
    let responses = layer.responses();
    responses.purge(&acme(), &Selection::everything()).await.unwrap();
    server.kill();
    let everything = Selection::everything();
    let error = responses.purge(&acme(), &everything).await.unwrap_err();
    let PurgeError::Store(error) = error else { panic!("{error}") };
    assert_ne!(error.class(), ErrorClass::Refused, "{error}");

    let service = PurgeService::for_callers(responses.clone(), |_| true);
    let request = Request::post("/").header("content-type", "application/json");
    let request = request.extension(Principal::new(acme()));
    let request = request.body(r#"{"tags":["items"]}"#.to_owned()).unwrap();
    let answer = service.oneshot(request).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );

    server.restart().await;
    let done = wait_until(PATIENCE, async || responses.purge(&acme(), &everything).await.is_ok());
    assert!(done.await);
}
