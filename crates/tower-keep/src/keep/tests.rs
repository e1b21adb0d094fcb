use std::{convert::Infallible, ffi::OsString};

use http::{Request, Response};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep_core::TenantId;
use tower_keep_response_cache::{ResponseCacheOutcome as Outcome, Selection};

use super::*;

fn keep(variables: &[(&str, &str)]) -> Keep {
    let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value);
    Keep::new(Config::from_lookup(|name| value(name).map(OsString::from)).unwrap()).unwrap()
}

/// What becomes of a request whose answer says this, and has so long a body.
async fn ask(layer: &ResponseCacheLayer, said: &'static str, length: usize) -> Outcome {
    let service = service_fn(move |_: Request<_>| {
        let mut response = Response::new("x".repeat(length));
        response.headers_mut().insert("cache-control", http::HeaderValue::from_static(said));
        async { Ok::<_, Infallible>(response) }
    });
    let request = Request::get("/").header("host", "a").body(String::new()).unwrap();
    let answer = layer.layer(service).oneshot(request).await.unwrap();
    *answer.extensions().get().unwrap()
}

#[tokio::test]
async fn response_caches_of_one_keep_store_and_purge_together() {
    let (keep, other) = (Keep::memory(), Keep::memory());
    let layer = |keep: &Keep| keep.response_cache().expose_outcome(true).build().unwrap();
    let [one, two, elsewhere] = [layer(&keep), layer(&keep.clone()), layer(&other)];
    let said = "max-age=60";
    assert_eq!([ask(&one, said, 1).await, ask(&two, said, 1).await], [Outcome::Miss, Outcome::Hit]);
    assert_eq!(ask(&elsewhere, said, 1).await, Outcome::Miss);
    two.responses().purge(&TenantId::NONE, &Selection::everything()).await.unwrap();
    assert_eq!(ask(&one, said, 1).await, Outcome::Miss);
    assert_eq!(ask(&elsewhere, said, 1).await, Outcome::Hit);
}

#[tokio::test]
async fn cache_ttl_is_for_what_is_public_and_does_not_say_for_how_long() {
    for (variables, seconds) in [(&[][..], 3600), (&[("CACHE_TTL", "60")], 60)] {
        for (said, lives) in [("public", true), ("must-revalidate", false), ("", false)] {
            let clock = tower_keep_core::time::Clock::manual(tower_keep_core::time::UnixMillis(
                1_767_225_600_000,
            ));
            let builder = keep(variables).response_cache().clock(clock.clone());
            let layer = builder.expose_outcome(true).build().unwrap();
            ask(&layer, said, 1).await;
            clock.advance(Duration::from_secs(seconds - 1));
            assert_eq!(ask(&layer, said, 1).await == Outcome::Hit, lives, "{said}");
            clock.advance(Duration::from_secs(2));
            assert_ne!(ask(&layer, said, 1).await, Outcome::Hit, "{said}");
        }
    }
}

#[tokio::test]
async fn what_is_longer_than_cache_max_entry_bytes_is_not_kept() {
    let layer = keep(&[("CACHE_MAX_ENTRY_BYTES", "8192")]).response_cache().expose_outcome(true);
    let layer = layer.build().unwrap();
    assert_eq!(ask(&layer, "max-age=60", 8193).await, Outcome::Uncacheable);
    assert_eq!(ask(&layer, "max-age=60", 6000).await, Outcome::Miss);
    assert_eq!(ask(&layer, "max-age=60", 6000).await, Outcome::Hit);
}

#[tokio::test]
async fn query_caches_of_one_keep_are_one_and_classes_follow_their_variables() {
    use tower_keep_query_cache::{Invalidate, QueryKey, Source};

    let (keep, other) = (keep(&[("QUERY_CACHE_TTL", "7"), ("CACHE_TTL", "9")]), Keep::memory());
    let cache = |keep: &Keep| keep.query_cache().build().unwrap();
    let [one, two, elsewhere] = [cache(&keep), cache(&keep.clone()), cache(&other)];
    let (tenant, class) = (TenantId::new("acme").unwrap(), keep.ttl_class("query"));
    let key = QueryKey::named(&tenant, "thing", 1);
    let ask = async |cache: &QueryCache| {
        let load = || async { Ok::<_, Infallible>(1) };
        cache.get_or_load(&key, &class, load).await.unwrap().source
    };
    assert_eq!([ask(&one).await, ask(&two).await], [Source::Loaded, Source::Near]);
    assert_eq!(ask(&elsewhere).await, Source::Loaded);
    two.invalidate(&tenant, Invalidate::Type("thing")).await.unwrap();
    assert_eq!([ask(&one).await, ask(&elsewhere).await], [Source::Loaded, Source::Near]);
    let ttls = ["query", "prescription", "settings"].map(|name| keep.ttl_class(name).ttl());
    assert_eq!(ttls, [7, 7200, 9].map(Duration::from_secs));
}

/// What the AI cache does with a question to this path.
async fn ask_model(layer: &AiCacheLayer, path: &str) -> tower_keep_ai_cache::AiCacheStatus {
    use http_body_util::BodyExt as _;

    let service = service_fn(async |_: Request<_>| {
        let answer = r#"{"choices":[{"index":0,"finish_reason":"stop"}]}"#;
        let response = Response::builder().header("content-type", "application/json");
        Ok::<_, Infallible>(response.body(answer.to_owned()).unwrap())
    });
    let request = Request::post(path)
        .header("content-type", "application/json")
        .extension(tower_keep_core::Principal::new(TenantId::new("acme").unwrap()))
        .body(http_body_util::Full::<bytes::Bytes>::from(r#"{"model":"m"}"#))
        .unwrap();
    let answer = layer.layer(service).oneshot(request).await.unwrap();
    let outcome = *answer.extensions().get::<tower_keep_ai_cache::AiCacheOutcome>().unwrap();
    answer.into_body().collect().await.unwrap();
    outcome.status
}

#[tokio::test]
async fn ai_caches_of_one_keep_store_together_for_as_long_as_the_variables_say() {
    use tower_keep_ai_cache::{AiCacheStatus as Status, Api, TtlClass};

    const CHAT: &str = "/v1/chat/completions";
    let (keep, variables) =
        (Keep::memory(), keep(&[("AI_CACHE_TTL", "60"), ("OCR_CACHE_TTL", "7")]));
    let layer = |keep: &Keep| keep.ai_cache().build().unwrap();
    let [one, two, elsewhere] = [layer(&keep), layer(&keep.clone()), layer(&variables)];
    let asked = [ask_model(&one, CHAT).await, ask_model(&two, CHAT).await];
    assert_eq!(asked, [Status::Miss, Status::Hit]);
    assert_eq!(ask_model(&elsewhere, CHAT).await, Status::Miss);
    two.answers().flush(&TenantId::new("acme").unwrap()).await.unwrap();
    assert_eq!(ask_model(&one, CHAT).await, Status::Miss);
    for (keep, path, seconds) in [
        (&keep, CHAT, 1800),
        (&variables, CHAT, 60),
        (&variables, "/ocr", 7),
        (&variables, "/analyze", 3600),
    ] {
        let clock = tower_keep_core::time::Clock::manual(tower_keep_core::time::UnixMillis(1));
        let builder = keep.ai_cache().clock(clock.clone()).jitter(0.0);
        let builder = builder.route("/ocr", Api::Json, TtlClass::Ocr);
        let layer = builder.route("/analyze", Api::Json, TtlClass::Analysis).build().unwrap();
        ask_model(&layer, path).await;
        clock.advance(Duration::from_secs(seconds - 1));
        assert_eq!(ask_model(&layer, path).await, Status::Hit, "{path}");
        clock.advance(Duration::from_secs(1));
        assert_eq!(ask_model(&layer, path).await, Status::Miss, "{path}");
    }
}
