use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep_core::BoxError;

use super::*;
use crate::{ResponseCacheLayer, ResponseCacheOutcome as Outcome};

const TOKEN: &str = "0123456789abcdef";

fn layer() -> ResponseCacheLayer {
    let builder = ResponseCacheLayer::builder().memory().expose_outcome(true);
    builder.purge_prefixes(["/it"]).build().unwrap()
}

fn everybody(layer: &ResponseCacheLayer) -> PurgeService {
    PurgeService::for_callers(layer.responses(), |_| true)
}

fn principal(tenant: &str) -> Principal {
    Principal::new(TenantId::new(tenant).unwrap())
}

/// A request for a purge as it should be.
fn post() -> http::request::Builder {
    Request::post("/purge").header("content-type", "application/json").extension(principal("acme"))
}

type Reply = (StatusCode, http::HeaderMap, Value);

async fn send<B>(service: &PurgeService, request: Request<B>) -> Reply
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    let (head, body) = service.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(head.headers["cache-control"], "no-store");
    let document =
        if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    if head.status != StatusCode::NO_CONTENT {
        assert_eq!(head.headers["content-type"], "application/problem+json");
        assert_eq!(document["status"], head.status.as_u16());
    }
    (head.status, head.headers, document)
}

async fn status(service: &PurgeService, body: &str) -> u16 {
    send(service, post().body(body.to_owned()).unwrap()).await.0.as_u16()
}

/// What becomes of a request for what can be stored.
async fn ask(layer: &ResponseCacheLayer, tenant: &str) -> Outcome {
    let service = service_fn(async |_: Request<_>| {
        let response = Response::builder().header("cache-control", "max-age=60");
        let response = response.header("cache-groups", "\"items\"");
        Ok::<_, Infallible>(response.body(Full::<Bytes>::from("items")).unwrap())
    });
    let request = Request::get("/items?x").header("host", "a").extension(principal(tenant));
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let answer = layer.layer(service).oneshot(request).await.unwrap();
    let outcome = *answer.extensions().get().unwrap();
    answer.into_body().collect().await.unwrap();
    outcome
}

#[tokio::test]
async fn it_purges_what_it_is_told_of_the_callers_own_tenant() {
    for body in [
        r#"{"tags":["items"]}"#,
        r#"{"paths":["/items"]}"#,
        r#"{"prefixes":["/it"]}"#,
        r#"{"urls":["http://a/items?x"]}"#,
        r#"{"groups":[{"origin":"http://a","name":"items"}]}"#,
        r#"{"everything":true}"#,
        r#" {"everything":true,"tags":[],"soft":true} "#,
        r#"{"tags":["others"],"paths":["/","/items"],"soft":false}"#,
    ] {
        let layer = layer();
        for tenant in ["acme", "globex"] {
            assert_eq!(ask(&layer, tenant).await, Outcome::Miss);
            assert_eq!(ask(&layer, tenant).await, Outcome::Hit);
        }
        let request = post()
            // Whom a header names is nothing to it.
            .header("x-tenant-id", "globex")
            .body(body.to_owned())
            .unwrap();
        let (status, _, document) = send(&everybody(&layer), request).await;
        assert_eq!((status, document), (StatusCode::NO_CONTENT, Value::Null), "{body}");
        assert_ne!(ask(&layer, "acme").await, Outcome::Hit, "{body}");
        assert_eq!(ask(&layer, "globex").await, Outcome::Hit, "{body}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_what_it_should_be_is_400() {
    let layer = layer();
    let service = everybody(&layer);
    ask(&layer, "acme").await;
    for body in [
        "",
        "null",
        "[]",
        "\"tags\"",
        "{",
        "{]",
        "{} {}",
        r#"{"tag":["items"]}"#,
        r#"{"tags":"items"}"#,
        r#"{"tags":[1]}"#,
        r#"{"tags":null}"#,
        r#"{"everything":1}"#,
        r#"{"soft":"no"}"#,
        r#"[["items"],[],[],[],false,false]"#,
        r#"{"tags":["a"],"tags":["items"]}"#,
        r#"{"everything":true,"tags":["items"]}"#,
        r#"{"everything":true,"groups":[{"origin":"http://a","name":"items"}]}"#,
        r#"{"groups":["items"]}"#,
        r#"{"groups":[{"name":"items"}]}"#,
        r#"{"groups":[{"origin":"http://a","name":"items","soft":true}]}"#,
    ] {
        assert_eq!(status(&service, body).await, 400, "{body}");
    }
    let odd = format!("{{\"{}\":1}}", "x".repeat(60_000));
    let (status, _, document) = send(&service, post().body(odd).unwrap()).await;
    assert_eq!(status, 400);
    assert!(document["detail"].as_str().unwrap().len() < 200, "nothing long is repeated");
    let latin =
        send(&service, post().body(Full::new(Bytes::from_static(b"{\"\xff\":1}"))).unwrap());
    assert_eq!(latin.await.0, 400);
    assert_eq!(ask(&layer, "acme").await, Outcome::Hit);
}

#[tokio::test]
async fn what_cannot_be_purged_is_422_and_says_why() {
    let layer = layer();
    let service = everybody(&layer);
    ask(&layer, "acme").await;
    for (body, reason) in [
        (json!({}), "nothing is selected"),
        (json!({ "everything": false, "soft": true }), "nothing is selected"),
        (json!({ "prefixes": ["/"], "tags": ["items"] }), "no prefix"),
        (json!({ "groups": [{ "origin": "a", "name": "items" }] }), "no origin"),
        (json!({ "paths": ["items"], "tags": ["items"] }), "no path"),
        (json!({ "urls": ["/items"], "tags": ["items"] }), "no http or https URL"),
        (json!({ "tags": vec!["items"; 251] }), "more than 250"),
    ] {
        let request = post().body(body.to_string()).unwrap();
        let (status, _, document) = send(&service, request).await;
        assert_eq!(status, 422, "{body}");
        assert!(document["detail"].as_str().unwrap().contains(reason), "{document}");
    }
    assert_eq!(ask(&layer, "acme").await, Outcome::Hit);
}

/// A body that does not say how long it is.
fn stream(
    chunks: impl IntoIterator<Item = Result<Bytes, BoxError>, IntoIter: Send + Sync + 'static>,
) -> BoxBody<Bytes, BoxError> {
    struct Frames<I>(I);
    impl<I: Iterator<Item = Result<Bytes, BoxError>> + Unpin> Body for Frames<I> {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
            Poll::Ready(self.0.next().map(|chunk| chunk.map(http_body::Frame::data)))
        }
    }
    Frames(Box::new(chunks.into_iter())).boxed()
}

#[tokio::test]
async fn a_body_is_read_so_far_and_no_further() {
    let layer = layer();
    let service = everybody(&layer);
    let whole = |length: usize| {
        let body = r#"{"everything":true}"#;
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    assert_eq!(status(&service, &whole(65_536)).await, 204);
    assert_eq!(status(&service, &whole(65_537)).await, 413);
    let pieces = |length: usize| {
        let whole = Bytes::from(whole(length));
        let ends = (0..length).step_by(1000).map(move |at| at..length.min(at + 1000));
        stream(ends.map(move |piece| Ok(whole.slice(piece))))
    };
    for (length, expected) in [(65_536, 204), (65_537, 413), (1_000_000, 413)] {
        assert_eq!(send(&service, post().body(pieces(length)).unwrap()).await.0, expected);
    }
    let endless = stream(std::iter::repeat_with(|| Ok(Bytes::from_static(&[b' '; 1000]))));
    assert_eq!(send(&service, post().body(endless).unwrap()).await.0, 413);
    let broken = stream([Ok(Bytes::from_static(b"{\"everything\":true}")), Err("gone".into())]);
    assert_eq!(send(&service, post().body(broken).unwrap()).await.0, 400);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for_long() {
    struct Never;
    impl Body for Never {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
            Poll::Pending
        }
    }
    let started = tokio::time::Instant::now();
    let late = send(&everybody(&layer()), post().body(Never).unwrap()).await;
    assert_eq!((late.0.as_u16(), started.elapsed() < Duration::from_secs(11)), (408, true));
}

#[tokio::test]
async fn only_post_with_json_is_taken() {
    let layer = layer();
    let service = everybody(&layer);
    let body = r#"{"everything":true}"#;
    for method in ["GET", "HEAD", "PUT", "PURGE", "DELETE", "OPTIONS"] {
        let request = post().method(method).body(body.to_owned()).unwrap();
        let answer = service.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 405, "{method}");
        assert_eq!(answer.headers()["allow"], "POST");
    }
    for kinds in [
        &["application/json; charset=utf-8"][..],
        &["Application/JSON"],
        &[],
        &["text/plain"],
        &["application/x-www-form-urlencoded"],
        &["text/plain; application/json"],
        &["application/json-patch+json"],
        &["application/json", "text/plain"],
    ] {
        let mut request = post().body(body.to_owned()).unwrap();
        request.headers_mut().remove("content-type");
        for kind in kinds {
            request.headers_mut().append("content-type", kind.parse().unwrap());
        }
        let good = kinds.len() == 1
            && kinds[0].to_lowercase().starts_with("application/json")
            && !kinds[0].contains("patch");
        assert_eq!(send(&service, request).await.0, if good { 204 } else { 415 }, "{kinds:?}");
    }
}

#[tokio::test]
async fn nobody_purges_without_being_let_or_for_no_tenant() {
    let layer = layer();
    ask(&layer, "acme").await;
    let body = || r#"{"everything":true}"#.to_owned();
    let friends = PurgeService::for_callers(layer.responses(), |head| {
        head.extensions.get::<&str>() == Some(&"friend")
    });
    let stranger = send(&friends, post().body(body()).unwrap()).await;
    assert_eq!(
        (stranger.0, &stranger.2["title"]),
        (StatusCode::FORBIDDEN, &json!("you may not purge"))
    );
    let none = Principal::new(TenantId::NONE);
    for principal in [None, Some(none)] {
        let mut request = post().extension("friend").body(body()).unwrap();
        request.extensions_mut().remove::<Principal>();
        request.extensions_mut().extend(
            principal
                .map(|it| {
                    let mut extensions = http::Extensions::new();
                    extensions.insert(it);
                    extensions
                })
                .unwrap_or_default(),
        );
        let (status, _, document) = send(&friends, request).await;
        assert_eq!(status, 403);
        assert_eq!(document["title"], "whose responses are meant is not known");
    }
    assert_eq!(ask(&layer, "acme").await, Outcome::Hit);
    assert_eq!(send(&friends, post().extension("friend").body(body()).unwrap()).await.0, 204);
    assert_eq!(ask(&layer, "acme").await, Outcome::Miss);
}

#[tokio::test]
async fn a_token_is_all_or_nothing() {
    let layer = layer();
    let other = "another-token-of-ours";
    let service = PurgeService::for_tokens(layer.responses(), [TOKEN, other]).unwrap();
    let shown = async |lines: &[&str]| {
        let mut request = post().body(r#"{"everything":true}"#.to_owned()).unwrap();
        for line in lines {
            request.headers_mut().append("authorization", line.parse().unwrap());
        }
        let (status, headers, _) = send(&service, request).await;
        assert_eq!(headers.contains_key("www-authenticate"), status == 401);
        status.as_u16()
    };
    for good in
        ["Bearer 0123456789abcdef", "bearer 0123456789abcdef", "BEARER  another-token-of-ours "]
    {
        assert_eq!(shown(&[good]).await, 204, "{good}");
    }
    for bad in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer 0123456789abcde",
        "Bearer 0123456789abcdef0",
        "Bearer 0123456789ABCDEF",
        "Basic 0123456789abcdef",
        "0123456789abcdef",
        "Bearer 0123456789abcdef, Bearer 0123456789abcdef",
    ] {
        assert_eq!(shown(&[bad]).await, 401, "{bad}");
    }
    assert_eq!(shown(&[]).await, 401);
    let twice = "Bearer 0123456789abcdef";
    assert_eq!(shown(&[twice, twice]).await, 401, "which of them is meant?");
}

#[tokio::test]
async fn tokens_that_are_none_are_refused_and_not_shown() {
    let responses = layer().responses();
    let refused = |tokens: &[&str]| {
        let error = PurgeService::for_tokens(responses.clone(), tokens.iter().copied());
        error.unwrap_err()
    };
    assert_eq!(refused(&[]).problems().len(), 1);
    let error = refused(&["", "short-secret", TOKEN, "0123456789abcde\n", "0123456789 abcdef"]);
    assert_eq!(error.problems().len(), 4, "{error}");
    assert!(!error.to_string().contains("short-secret") && error.to_string().contains("number 2"));
}

#[tokio::test]
async fn an_ordinary_request_purges_nothing_whatever_it_says() {
    let layer = layer();
    ask(&layer, "acme").await;
    let service = service_fn(async |_: Request<_>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("no")))
    });
    for method in ["GET", "PURGE", "BAN", "POST"] {
        let request = Request::builder()
            .method(method)
            .uri("/elsewhere")
            .header("host", "a")
            .header("cache-group-invalidation", "\"items\"")
            .header("surrogate-key", "items")
            .header("x-purge", "everything")
            .extension(principal("acme"));
        let request = request.body(Full::<Bytes>::default()).unwrap();
        layer.layer(service).oneshot(request).await.unwrap();
        assert_eq!(ask(&layer, "acme").await, Outcome::Hit, "{method}");
    }
}
