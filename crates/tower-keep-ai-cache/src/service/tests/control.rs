//! Requests that are none for the cache, and what callers may ask of it.

use super::*;

#[tokio::test]
async fn what_is_not_understood_passes_untouched() {
    let cached = Cached::new();
    for request in [
        Request::get("/v1/chat/completions").body(Full::default()).unwrap(),
        post("/v1/threads/t/messages", CHAT),
        Request::post("/v1/chat/completions")
            .header("content-type", "text/plain")
            .body(Full::from(CHAT))
            .unwrap(),
    ] {
        let (headers, body) = (request.headers().clone(), request.body().clone());
        cached.upstream.json(ANSWER);
        let answer = cached.ask(request).await;
        assert!(!answer.headers().contains_key("x-ai-cache"));
        assert!(!answer.headers().contains_key("cache-status"));
        assert_eq!(answer.headers()["x-request-id"], "r-1");
        let asked = cached.upstream.asked().pop().unwrap();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!((asked.headers, asked.body.as_bytes()), (headers, &body[..]));
    }
}

#[tokio::test]
async fn what_is_no_request_of_its_api_passes_as_it_came() {
    let cached = Cached::with(|builder| builder.max_request(1000));
    let long = format!("{{\"model\":\"{}\"}}", "x".repeat(1000));
    for (body, reason) in [
        ("{", BypassReason::Malformed),
        ("[]", BypassReason::Malformed),
        ("", BypassReason::Malformed),
        (r#"{"model":"a","model":"b"}"#, BypassReason::Malformed),
        (r#"{"model":"a","mod\u0065l":"b"}"#, BypassReason::Malformed),
        (long.as_str(), BypassReason::TooLarge),
    ] {
        cached.upstream.json(ANSWER);
        let answer = cached.ask(chat(body)).await;
        assert_eq!(why(&answer), reason, "{body}");
        assert_eq!(cached.upstream.asked().pop().unwrap().body, body);
        assert_eq!(read(answer).await, ANSWER);
    }
    cached.upstream.json(ANSWER);
    let answer = cached.ask(with(chat(CHAT), "content-encoding", "gzip")).await;
    assert_eq!(why(&answer), BypassReason::Encoded);
}

#[tokio::test]
async fn what_is_said_to_the_cache_is_not_sent_on() {
    let cached = Cached::new();
    for (body, sent) in [
        (r#"{"useCache":false, "model":"m","messages":[ ]}"#, r#"{"model":"m","messages":[ ]}"#),
        (r#"{"model":"m","messages":[], "useCache" : true}"#, r#"{"model":"m","messages":[]}"#),
        (
            r#"{"model":"m","cache":{"no-cache":true},"messages":[]}"#,
            r#"{"model":"m","messages":[]}"#,
        ),
    ] {
        cached.upstream.json(ANSWER);
        read(cached.ask(chat(body)).await).await;
        let asked = cached.upstream.asked().pop().unwrap();
        assert_eq!(
            (asked.body.as_str(), &asked.headers["content-length"]),
            (sent, &sent.len().to_string().parse().unwrap())
        );
    }
    assert_eq!(cached.upstream.calls(), 3);
}

#[tokio::test]
async fn callers_may_refuse_refresh_and_ask_for_younger_ones() {
    let cached = Cached::new();
    cached.upstream.json(ANSWER);
    read(cached.ask(chat(CHAT)).await).await;
    cached.clock.advance(Duration::from_secs(100));
    let new = ANSWER.replace("hello", "new");
    let refuse = CHAT.replace("{\"model", "{\"useCache\":false,\"model");
    for (request, status, body) in [
        (chat(CHAT), AiCacheStatus::Hit, ANSWER),
        (with(chat(CHAT), "cache-control", "max-age=100"), AiCacheStatus::Hit, ANSWER),
        (with(chat(CHAT), "cache-control", "no-store"), AiCacheStatus::Bypass, &new),
        (chat(&refuse), AiCacheStatus::Bypass, &new),
        (chat(CHAT), AiCacheStatus::Hit, ANSWER),
        (with(chat(CHAT), "cache-control", "max-age=99"), AiCacheStatus::Refresh, &new),
        (chat(CHAT), AiCacheStatus::Hit, &new),
        (with(chat(CHAT), "cache-control", "no-cache"), AiCacheStatus::Refresh, ANSWER),
        (chat(CHAT), AiCacheStatus::Hit, ANSWER),
    ] {
        if status != AiCacheStatus::Hit {
            cached.upstream.json(body);
        }
        let answer = cached.ask(request).await;
        assert_eq!((did(&answer), read(answer).await.as_str()), (status, body));
    }
}

#[tokio::test]
async fn the_operator_may_forbid_that_and_have_it_asked_for() {
    let cached = Cached::with(|builder| builder.heed_callers(false));
    cached.upstream.json(ANSWER);
    read(cached.ask(chat(CHAT)).await).await;
    for field in ["no-cache", "no-store", "max-age=0"] {
        let answer = cached.ask(with(chat(CHAT), "cache-control", field)).await;
        assert_eq!(did(&answer), AiCacheStatus::Hit, "{field}");
    }
    let cached = Cached::with(|builder| builder.opt_in(true));
    let wanted = CHAT.replace("{\"model", "{\"useCache\":true,\"model");
    cached.upstream.json(ANSWER);
    assert_eq!(why(&cached.ask(chat(CHAT)).await), BypassReason::NotAsked);
    for status in [AiCacheStatus::Miss, AiCacheStatus::Hit] {
        cached.upstream.json(ANSWER);
        let answer = cached.ask(chat(&wanted)).await;
        assert_eq!(did(&answer), status);
        read(answer).await;
    }
    let cached = Cached::with(|builder| builder.sampled(false));
    cached.upstream.json(ANSWER);
    assert_eq!(why(&cached.ask(chat(CHAT)).await), BypassReason::Sampled);
    let cached = Cached::with(|builder| builder.skip(|parts| parts.uri.path().starts_with("/v1/")));
    cached.upstream.json(ANSWER);
    assert_eq!(why(&cached.ask(chat(CHAT)).await), BypassReason::Skipped);
}

#[tokio::test]
async fn nobodys_requests_are_left_alone_and_each_key_has_its_own_answers() {
    let cached = Cached::new();
    let nobody = |fields: &[(&'static str, &str)]| {
        let mut request = chat(CHAT);
        request.extensions_mut().remove::<Principal>();
        fields.iter().fold(request, |request, (name, value)| with(request, name, value))
    };
    cached.upstream.json(ANSWER);
    assert_eq!(
        why(&cached.ask(nobody(&[("authorization", "a")])).await),
        BypassReason::Unidentified
    );
    let cached = Cached::with(|builder| builder.by_credentials("0123456789abcdef"));
    cached.upstream.json(ANSWER);
    assert_eq!(why(&cached.ask(nobody(&[])).await), BypassReason::Unidentified);
    for key in ["a", "b"] {
        for status in [AiCacheStatus::Miss, AiCacheStatus::Hit] {
            if status == AiCacheStatus::Miss {
                cached.upstream.json(ANSWER);
            }
            let answer = cached.ask(nobody(&[("authorization", key)])).await;
            assert_eq!(did(&answer), status, "{key}");
            read(answer).await;
        }
    }
}

#[test]
fn what_cannot_be_is_told_all_at_once() {
    let builder =
        AiCacheLayer::builder().jitter(2.0).route("ocr", crate::Api::Json, crate::TtlClass::Ocr);
    let error = builder.by_credentials("short").build().unwrap_err();
    let names: Vec<_> = error.problems().iter().map(|problem| &*problem.name).collect();
    assert_eq!(names, ["route", "by_credentials", "jitter", "store"]);
}

#[tokio::test]
async fn a_request_that_breaks_off_is_refused() {
    use http_body_util::StreamBody;
    let layer = AiCacheLayer::builder().memory().build().unwrap();
    let parts = vec![Ok(Frame::data(Bytes::from_static(b"{\"model\":"))), Err("gone")];
    let body = StreamBody::new(futures_util::stream::iter(parts));
    let service = service_fn(async |_: Request<RequestBody<_>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("asked")))
    });
    let (parts, _) = chat("").into_parts();
    let answer = layer.layer(service).oneshot(Request::from_parts(parts, body)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
}
