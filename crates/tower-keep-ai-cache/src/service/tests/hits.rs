//! What is stored, for whom, and for how long.

use super::*;

#[tokio::test]
async fn a_second_request_is_answered_from_the_store_and_tells_nothing_of_the_first_client() {
    let cached = Cached::new();
    cached.upstream.json(ANSWER);
    let miss = cached.ask(chat(CHAT)).await;
    assert_eq!(did(&miss), AiCacheStatus::Miss);
    assert_eq!(miss.headers()["set-cookie"], "secret=1", "its own client gets all of it");
    assert_eq!(read(miss).await, ANSWER);
    cached.clock.advance(Duration::from_secs(90));
    // In another order and spelling.
    let hit =
        cached.ask(chat(r#" {"messages": [{"content":"h\u0069","role":"user"}], "model":"m"}"#));
    let hit = hit.await;
    assert_eq!((did(&hit), hit.status()), (AiCacheStatus::Hit, StatusCode::OK));
    let outcome = *hit.extensions().get::<AiCacheOutcome>().unwrap();
    assert_eq!((outcome.tokens_saved, outcome.age), (14, Some(Duration::from_secs(90))));
    let mut names: Vec<_> = hit.headers().keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["age", "cache-status", "content-type", "x-ai-cache"]);
    assert_eq!(hit.headers()["age"], "90");
    assert_eq!(hit.headers()["cache-status"], "tower-keep; hit; ttl=1710");
    assert_eq!(read(hit).await, ANSWER);
    assert_eq!(cached.upstream.calls(), 1);
}

#[tokio::test]
async fn lifetimes_are_those_of_class_model_and_caller_and_never_slide() {
    for (path, body, field, seconds) in [
        ("/v1/chat/completions", CHAT, None, 1800),
        ("/v1/ocr", r#"{"image":"x"}"#, None, 7200),
        ("/v1/analyze", "{}", None, 3600),
        ("/v1/chat/completions", r#"{"model":"gpt-latest","messages":[]}"#, None, 60),
        ("/v1/chat/completions", CHAT, Some("7"), 7),
        ("/v1/chat/completions", CHAT, Some("0"), 1),
    ] {
        let cached = Cached::with(|builder| {
            let json = crate::Api::Json;
            let builder = builder.route("/v1/ocr", json, crate::TtlClass::Ocr);
            let builder = builder.route("/v1/analyze", json, crate::TtlClass::Analysis);
            builder.model_ttl("gpt-*", Duration::from_secs(60))
        });
        let request = || match field {
            Some(ttl) => with(post(path, body), "x-ai-cache-ttl", ttl),
            None => post(path, body),
        };
        cached.upstream.json(ANSWER);
        read(cached.ask(request()).await).await;
        cached.clock.advance(Duration::from_millis(seconds * 1000 - 1));
        assert_eq!(did(&cached.ask(request()).await), AiCacheStatus::Hit, "{path} {field:?}");
        cached.clock.advance(Duration::from_millis(1));
        cached.upstream.json(ANSWER);
        assert_eq!(did(&cached.ask(request()).await), AiCacheStatus::Miss, "{path} {field:?}");
        for asked in cached.upstream.asked() {
            assert!(!asked.headers.contains_key("x-ai-cache-ttl"), "it is for us");
        }
    }
}

#[tokio::test]
async fn whatever_shapes_an_answer_is_another_request() {
    let cached = Cached::new();
    let beta = |value| with(chat(CHAT), "openai-beta", value);
    let globex = || {
        let mut request = chat(CHAT);
        request.extensions_mut().insert(Principal::new(TenantId::new("globex").unwrap()));
        request
    };
    let requests: Vec<Box<dyn Fn() -> Request<Full<Bytes>>>> = vec![
        Box::new(|| chat(CHAT)),
        Box::new(|| chat(r#"{"model":"n","messages":[{"role":"user","content":"hi"}]}"#)),
        Box::new(|| chat(r#"{"model":"m","messages":[{"role":"user","content":"hi "}]}"#)),
        Box::new(|| {
            chat(r#"{"model":"m","some_new_knob":1,"messages":[{"role":"user","content":"hi"}]}"#)
        }),
        Box::new(|| post("/other/chat/completions", CHAT)),
        Box::new(|| post("/v1/chat/completions?api-version=2", CHAT)),
        Box::new(move || beta("a")),
        Box::new(move || beta("b")),
        Box::new(globex),
    ];
    for round in [AiCacheStatus::Miss, AiCacheStatus::Hit] {
        for (i, request) in requests.iter().enumerate() {
            let own = ANSWER.replace("hello", &format!("hello {i}"));
            if round == AiCacheStatus::Miss {
                cached.upstream.json(&own);
            }
            let answer = cached.ask(request()).await;
            assert_eq!((did(&answer), read(answer).await), (round, own));
        }
    }
}

#[tokio::test]
async fn entries_of_one_key_are_told_apart() {
    let mut cached = Cached::new();
    cached.layer = cached.layer.with_digest([7; 16]);
    for i in 0..20 {
        let own = ANSWER.replace("hello", &format!("hello {}", i % 4));
        let body = CHAT.replace("hi", &format!("hi {}", i % 4));
        cached.upstream.json(&own);
        assert_eq!(read(cached.ask(chat(&body)).await).await, own);
    }
}

#[tokio::test]
async fn a_flush_takes_all_of_a_tenant_or_of_a_model_and_what_is_on_its_way() {
    let cached = Cached::new();
    let acme = TenantId::new("acme").unwrap();
    let answers = cached.layer.answers();
    let other = CHAT.replace("\"m\"", "\"n\"");
    for request in [CHAT, &other] {
        cached.upstream.json(ANSWER);
        read(cached.ask(chat(request)).await).await;
    }
    answers.flush_model(&acme, "m").await.unwrap();
    assert_eq!(did(&cached.ask(chat(&other)).await), AiCacheStatus::Hit);
    // It is asked for before the flush, and comes after.
    let go = cached.upstream.held(ANSWER);
    let asking = cached.spawn(chat(CHAT));
    cached.upstream.is_asked(3).await;
    answers.flush(&acme).await.unwrap();
    go.send(()).unwrap();
    read(asking.await.unwrap()).await;
    for request in [CHAT, &other] {
        cached.upstream.json(ANSWER);
        assert_eq!(did(&cached.ask(chat(request)).await), AiCacheStatus::Miss);
    }
    answers.flush(&TenantId::new("globex").unwrap()).await.unwrap();
    assert_eq!(did(&cached.ask(chat(CHAT)).await), AiCacheStatus::Hit);
}

#[tokio::test]
async fn only_whole_successful_answers_are_stored() {
    let cut = ANSWER.replace("stop", "length");
    for (status, content_type, body) in [
        (200, "application/json", &ANSWER[..40]),
        (200, "application/json", r#"{"error":{"message":"no"}}"#),
        (200, "application/json", &cut),
        (200, "application/json", &ANSWER.replace("stop", "content_filter")),
        (200, "application/json", &ANSWER.replace("\"stop\"", "null")),
        (200, "text/html", ANSWER),
        (202, "application/json", ANSWER),
        (404, "application/json", ANSWER),
        (429, "application/json", ANSWER),
        (500, "application/json", ANSWER),
    ] {
        let cached = Cached::new();
        for call in 1..=2 {
            cached.upstream.answers(status, content_type, body);
            let answer = cached.ask(chat(CHAT)).await;
            assert_eq!((did(&answer), answer.status().as_u16()), (AiCacheStatus::Miss, status));
            assert_eq!(answer.headers()["retry-after"], "3");
            assert_eq!((read(answer).await.as_str(), cached.upstream.calls()), (body, call));
        }
    }
    let cached = Cached::with(|builder| builder.store_cut(true));
    cached.upstream.json(&cut);
    read(cached.ask(chat(CHAT)).await).await;
    assert_eq!(did(&cached.ask(chat(CHAT)).await), AiCacheStatus::Hit);
}

#[tokio::test]
async fn what_is_too_long_reaches_its_client_and_is_not_stored() {
    let cached = Cached::with(|builder| builder.max_response(50));
    for _ in 0..2 {
        cached.upstream.reply(async {
            Ok(response(200, "application/json", &[&ANSWER[..30], &ANSWER[30..70], &ANSWER[70..]]))
        });
        let answer = cached.ask(chat(CHAT)).await;
        assert_eq!((did(&answer), read(answer).await.as_str()), (AiCacheStatus::Miss, ANSWER));
    }
}

#[tokio::test]
async fn hosts_and_upstreams_have_answers_of_their_own() {
    let store = crate::AiStore::new(tower_keep_cache::CacheBuilder::new().memory());
    let layers =
        ["one", "two"].map(|name| Cached::with(|builder| builder.stored_in(&store).upstream(name)));
    for (layer, host) in [(0, "a"), (0, "b"), (1, "a")] {
        let cached = &layers[layer];
        let own = ANSWER.replace("hello", &format!("{layer} {host}"));
        for status in [AiCacheStatus::Miss, AiCacheStatus::Hit] {
            if status == AiCacheStatus::Miss {
                cached.upstream.json(&own);
            }
            let answer = cached.ask(with(chat(CHAT), "host", host)).await;
            assert_eq!((did(&answer), read(answer).await), (status, own.clone()));
        }
    }
}
