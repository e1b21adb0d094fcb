//! Answers of language models, through the program, from the mock.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use mock_llm::Mock;
use tokio::net::TcpListener;
use tower_keep_tests::{Certificates, Flavor, Program, Server, TlsFront, wait_until};

use crate::{
    program::{Gateway, before, run},
    wire::soon,
};

const LAYER: (&str, &str) = ("GATEWAY_LAYERS", "ai-cache");
const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const KEY: (&str, &str) = ("authorization", "Bearer one");
const OTHER_KEY: (&str, &str) = ("authorization", "Bearer two");

/// A gateway before a mock.
struct Setting {
    mock: Mock,
    gateway: Program,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// Whether the connection broke before that.
    broken: bool,
}

impl Answer {
    /// What the cache did.
    fn cache(&self) -> &str {
        self.headers.get("x-ai-cache").map_or("", |value| value.to_str().unwrap())
    }
}

impl Setting {
    async fn new(variables: &[(&str, &str)]) -> Self {
        let mock = Mock::default();
        let url = serve(&mock).await;
        Self::before(mock, &url, variables).await
    }

    async fn before(mock: Mock, upstream: &str, variables: &[(&str, &str)]) -> Self {
        let gateway = before(upstream, &[&[LAYER], variables].concat()).await;
        Self { mock, gateway, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends a request, and waits for the answer's head.
    async fn begin(&self, path: &str, fields: &[(&str, &str)], body: &str) -> Response<Incoming> {
        let mut request = Request::post(format!("{}{path}", self.gateway.url()))
            .header("content-type", "application/json");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        soon(self.client.request(request)).await.unwrap()
    }

    async fn ask(&self, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
        let (head, body) = self.begin(path, fields, body).await.into_parts();
        let (body, broken) = soon(rest(body)).await;
        Answer { status: head.status, headers: head.headers, body, broken }
    }

    /// What the cache does with a request.
    async fn cache(&self, fields: &[(&str, &str)], body: &str) -> String {
        let answer = self.ask(CHAT, fields, body).await;
        assert_eq!(answer.status, 200);
        answer.cache().to_owned()
    }
}

/// Where a mock is served.
async fn serve(mock: &Mock) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = mock.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// What is left of a body, and whether it breaks.
async fn rest(mut body: Incoming) -> (Bytes, bool) {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => all.extend_from_slice(frame.data_ref().unwrap()),
            Err(_) => return (all.into(), true),
        }
    }
    (all.into(), false)
}

fn chat(text: &str, more: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]{more}}}"#)
}

#[tokio::test]
async fn an_answer_is_the_same_from_the_store() {
    let setting = Setting::new(&[]).await;
    for (path, more) in [
        (CHAT, ""),
        (CHAT, r#","stream":true"#),
        (MESSAGES, r#","max_tokens":9"#),
        (MESSAGES, r#","max_tokens":9,"stream":true"#),
    ] {
        let before = setting.mock.calls();
        let body = chat("Hello", more);
        let first = setting.ask(path, &[KEY], &body).await;
        assert_eq!((first.status.as_u16(), first.cache()), (200, "MISS"), "{path}{more}");
        // What is said to the first one's client alone.
        assert!(first.headers.contains_key("set-cookie"));
        let second = setting.ask(path, &[KEY], &body).await;
        assert_eq!((second.status.as_u16(), second.cache()), (200, "HIT"), "{path}{more}");
        assert_eq!(second.body, first.body, "{path}{more}");
        assert_eq!(second.headers["content-type"], first.headers["content-type"]);
        for name in ["set-cookie", "x-request-id", "x-ratelimit-remaining-requests"] {
            assert!(!second.headers.contains_key(name), "{name}");
        }
        assert!(second.headers.contains_key("age"));
        assert_eq!(setting.mock.calls() - before, 1);
    }
}

#[tokio::test]
async fn a_key_has_its_own_answers() {
    let setting = Setting::new(&[]).await;
    let body = chat("Hello", "");
    for key in [KEY, OTHER_KEY, ("x-api-key", "Bearer one")] {
        for expected in ["MISS", "HIT"] {
            assert_eq!(setting.cache(&[key], &body).await, expected, "{key:?}");
        }
    }
    // Nobody's are nobody's, and there is no other way to say whose they are.
    for fields in [&[][..], &[("cookie", "session=1")], &[("x-tenant-id", "acme")]] {
        for _ in 0..2 {
            assert_eq!(setting.cache(fields, &body).await, "BYPASS", "{fields:?}");
        }
    }
}

#[tokio::test]
async fn a_tenant_shares_if_a_trusted_proxy_names_it() {
    let body = chat("Hello", "");
    let tenant = ("x-tenant-id", "acme");
    let named = ("GATEWAY_TRUST_TENANT_HEADER", "x-tenant-id");
    let setting = Setting::new(&[named, ("TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    for (fields, expected) in [
        (&[tenant, KEY][..], "MISS"),
        (&[tenant, OTHER_KEY], "HIT"),
        (&[tenant], "HIT"),
        (&[("x-tenant-id", "globex"), KEY], "MISS"),
        // Without one it is the key's again.
        (&[KEY], "MISS"),
        (&[OTHER_KEY], "MISS"),
        (&[], "BYPASS"),
    ] {
        assert_eq!(setting.cache(fields, &body).await, expected, "{fields:?}");
    }

    // From anybody else the word is nothing.
    let setting = Setting::new(&[named, ("TRUSTED_PROXIES", "10.0.0.0/8")]).await;
    for (fields, expected) in [
        (&[tenant, KEY][..], "MISS"),
        (&[tenant, OTHER_KEY], "MISS"),
        (&[KEY], "HIT"),
        (&[tenant], "BYPASS"),
    ] {
        assert_eq!(setting.cache(fields, &body).await, expected, "{fields:?}");
    }
}

/// Marks of the mock, whether as a stream, and what a client sees: the status, and a break.
const FAULTS: [(&str, bool, u16, bool); 9] = [
    ("429", false, 429, false),
    ("429", true, 429, false),
    ("500", false, 500, false),
    ("500", true, 500, false),
    ("broken", false, 200, true),
    ("broken", true, 200, true),
    ("truncated", true, 200, false),
    ("error", true, 200, false),
    ("length", false, 200, false),
];

#[tokio::test]
async fn what_is_not_whole_is_passed_on_and_not_stored() {
    let (through, bare) = (Setting::new(&[]).await, Setting::new(&[("GATEWAY_LAYERS", "")]).await);
    for path in [CHAT, MESSAGES] {
        for (mark, stream, status, breaks) in FAULTS {
            let before = through.mock.calls();
            let body = chat(&format!("[[mock:{mark}]]"), &format!(r#","stream":{stream}"#));
            let plain = bare.ask(path, &[KEY], &body).await;
            for _ in 0..2 {
                let answer = through.ask(path, &[KEY], &body).await;
                let seen = (answer.status.as_u16(), answer.cache(), answer.broken);
                assert_eq!(seen, (status, "MISS", breaks), "{path} {mark} {stream}");
                assert_eq!((&answer.body, answer.broken), (&plain.body, plain.broken), "{mark}");
                let retry = answer.headers.contains_key("retry-after");
                assert_eq!(retry, status == 429);
            }
            assert_eq!(through.mock.calls() - before, 2, "{path} {mark} {stream}");
        }
    }
}

#[tokio::test]
async fn the_upstream_is_asked_what_the_client_asked_but_for_what_was_ours() {
    let mut gateway = Gateway::start(&[LAYER]).await;
    let sent = r#"{"useCache": true , "model":"m", "messages":[ ],"n" :1}"#;
    let fields = "host: a\r\nauthorization: k\r\ncontent-type: application/json\r\n\
                  accept-encoding: gzip\r\nx-ai-cache-ttl: 5\r\n";
    let request = |path, body: &str| {
        format!("POST {path} HTTP/1.1\r\n{fields}content-length: {}\r\n\r\n{body}", body.len())
    };
    let mut it = gateway.passes(&request(CHAT, sent)).await;
    // Nobody could tell from a coded answer whether it is whole.
    assert_eq!(it.asked.one("accept-encoding"), "identity");
    assert_eq!(it.asked.one("authorization"), "k");
    it.asked.has_none(&["x-ai-cache-ttl", "transfer-encoding"]);
    let length: usize = it.asked.one("content-length").parse().unwrap();
    let asked = it.upstream.exactly(length).await;
    assert!(!asked.contains("useCache"), "{asked}");
    assert!(asked.ends_with(r#""model":"m", "messages":[ ],"n" :1}"#), "{asked}");

    // What is none of the cache's is not touched.
    for path in ["/v1/models/x", "/v1/audio/speech", "/v1/ocr"] {
        let mut it = gateway.passes(&request(path, sent)).await;
        assert_eq!(it.asked.one("accept-encoding"), "gzip");
        assert_eq!(it.asked.one("x-ai-cache-ttl"), "5");
        it.upstream.expect(sent).await;
        it.upstream.answer("ok").await;
        let (head, body) = it.client.message().await;
        assert_eq!(body, "ok");
        head.has_none(&["x-ai-cache", "cache-status"]);
    }
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                      transfer-encoding: chunked\r\n\r\n";

fn event(delta: &str, finish: &str) -> String {
    let event = format!(
        "data: {{\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\
         \"delta\":{{{delta}}},\"finish_reason\":{finish}}}]}}\n\n"
    );
    format!("{:X}\r\n{event}\r\n", event.len())
}

fn streamed(body: &str) -> String {
    let length = body.len();
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: k\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

/// A stream is passed on as it comes, however slowly: what has a limit is the time for its head.
#[tokio::test]
async fn a_stream_is_live() {
    let mut gateway = Gateway::start(&[LAYER, ("GATEWAY_HEAD_TIMEOUT_MS", "1000")]).await;
    let request = streamed(&chat("Hello", r#","stream":true"#));
    let mut it = gateway.passes(&request).await;
    it.upstream.send(EVENTS).await;
    // The head goes before the first event, and each event before the next.
    let head = it.client.head().await;
    assert_eq!((head.status(), head.one("x-ai-cache")), (200, "MISS"));
    let begun = tokio::time::Instant::now();
    for delta in ["\"role\":\"assistant\"", "\"content\":\"slow\""] {
        let event = event(delta, "null");
        it.upstream.send(&event).await;
        it.client.expect(&event).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(1));
    // Who asks the same meanwhile gets what has come, and what comes, without the upstream.
    let mut other = gateway.connect().await;
    other.send(&request).await;
    assert_eq!(other.head().await.one("x-ai-cache"), "COALESCED");
    let end = event("", "\"stop\"") + "E\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    it.upstream.send(&end).await;
    it.client.expect(&end).await;
    let mut text = String::new();
    while !text.contains("[DONE]") {
        text += &other.exactly(1).await;
    }
    assert!(text.contains("slow") && gateway.upstream.is_left_alone().await);
}

/// What was asked has to be paid: it is stored, though nobody waits any more.
#[tokio::test]
async fn a_client_that_goes_leaves_its_answer_to_the_next() {
    let setting = Setting::new(&[]).await;
    let body = chat("Hello [[mock:pause=20]]", r#","stream":true"#);
    let mut answer = setting.begin(CHAT, &[KEY], &body).await;
    assert!(soon(answer.body_mut().frame()).await.unwrap().is_ok());
    drop(answer);
    let next = setting.ask(CHAT, &[KEY], &body).await;
    assert!(["COALESCED", "HIT"].contains(&next.cache()), "{next:?}");
    assert!(next.body.ends_with(b"data: [DONE]\n\n"));
    assert!(
        wait_until(Program::PATIENT, || async { setting.cache(&[KEY], &body).await == "HIT" })
            .await
    );
    assert_eq!(setting.mock.calls(), 1);
}

#[tokio::test]
async fn a_client_that_goes_ends_what_is_not_for_the_cache() {
    let mut gateway = Gateway::start(&[LAYER]).await;
    let request = streamed(&chat("Hello", r#","stream":true,"useCache":false"#));
    let mut it = gateway.passes(&request).await;
    it.upstream.send(EVENTS).await;
    assert_eq!(it.client.head().await.one("x-ai-cache"), "BYPASS");
    drop(it.client);
    // The request's body, then the end of the connection.
    assert!(it.upstream.rest().await.ends_with('}'));
}

#[tokio::test]
async fn what_the_options_say_holds() {
    for (variables, path, body, expected) in [
        (&[("GATEWAY_AI_CACHE_OPT_IN", "true")][..], CHAT, chat("a", ""), "BYPASS"),
        (&[("GATEWAY_AI_CACHE_OPT_IN", "true")], CHAT, chat("a", r#","useCache":true"#), "HIT"),
        (&[("GATEWAY_AI_CACHE_SAMPLED", "false")], CHAT, chat("a", ""), "BYPASS"),
        (&[("GATEWAY_AI_CACHE_SAMPLED", "false")], CHAT, chat("a", r#","seed":1"#), "HIT"),
        (
            &[("GATEWAY_AI_CACHE_HEED_CALLERS", "false")],
            CHAT,
            chat("a", r#","useCache":false"#),
            "HIT",
        ),
        (&[("GATEWAY_AI_CACHE_STORE_CUT", "true")], CHAT, chat("[[mock:length]]", ""), "HIT"),
        (
            &[("GATEWAY_AI_CACHE_REPLAY_EVENTS", "true")],
            CHAT,
            chat("a", r#","stream":true"#),
            "HIT",
        ),
        (&[("GATEWAY_AI_CACHE_MAX_REQUEST", "10")], CHAT, chat("a", ""), "BYPASS"),
        (&[("GATEWAY_AI_CACHE_MAX_RESPONSE", "10")], CHAT, chat("a", ""), "MISS"),
        (
            &[("GATEWAY_AI_CACHE_JSON_ROUTES", "/v1/ocr=ocr,/v1/analyze=analysis")],
            "/v1/analyze",
            r#"{"image":"x"}"#.to_owned(),
            "HIT",
        ),
        // An empty variable is an unset one.
        (
            &[("GATEWAY_AI_CACHE_SECRET", ""), ("GATEWAY_AI_CACHE_OPT_IN", "")],
            CHAT,
            chat("a", ""),
            "HIT",
        ),
    ] {
        let setting = Setting::new(variables).await;
        let first = setting.ask(path, &[KEY], &body).await;
        assert_ne!(first.cache(), "HIT");
        let second = setting.ask(path, &[KEY], &body).await;
        assert_eq!((second.status.as_u16(), second.cache()), (200, expected), "{variables:?}");
        assert_eq!(second.body, first.body);
    }
}

#[tokio::test]
async fn a_model_has_a_lifetime_of_its_own() {
    let setting = Setting::new(&[("GATEWAY_AI_CACHE_MODEL_TTLS", "other=60,m*=1")]).await;
    let body = chat("a", "");
    assert_eq!(setting.cache(&[KEY], &body).await, "MISS");
    let ended =
        wait_until(Program::PATIENT, || async { setting.cache(&[KEY], &body).await == "MISS" });
    assert!(ended.await);
}

#[tokio::test]
async fn processes_share_by_a_secret_that_they_have_in_common() {
    let redis = Server::start(Flavor::Valkey).await;
    let url = redis.url();
    let (url, secret) = (("REDIS_URL", url.as_str()), "of sixteen bytes and more");
    let (mock, body) = (Mock::default(), chat("Hello", ""));
    let upstream = serve(&mock).await;
    let same = [url, ("GATEWAY_AI_CACHE_SECRET", secret)];
    let mut all = Vec::new();
    for (variables, expected, calls) in
        [(&same[..], "MISS", 1), (&same, "HIT", 1), (&[url], "MISS", 2), (&[url], "MISS", 3)]
    {
        let setting = Setting::before(mock.clone(), &upstream, variables).await;
        assert_eq!(
            setting.cache(&[KEY, ("host", "models.example")], &body).await,
            expected,
            "{variables:?}"
        );
        assert_eq!(mock.calls(), calls, "{variables:?}");
        let (log, warned) = (setting.gateway.log(), calls > 1);
        assert_eq!(log.contains("GATEWAY_AI_CACHE_SECRET is not set"), warned, "{log}");
        assert!(!log.contains(secret), "{log}");
        // Who has asked has all the time to store it.
        all.push(setting);
    }
}

#[tokio::test]
async fn a_bad_option_is_told_by_name_and_no_secret_is_shown() {
    let upstream = ("GATEWAY_UPSTREAM", "http://127.0.0.1:1");
    for (variable, value, because) in [
        ("GATEWAY_AI_CACHE_SECRET", "hidden", "--ai-cache-secret"),
        ("GATEWAY_AI_CACHE_JSON_ROUTES", "/v1/ocr", "--ai-cache-json-route"),
        ("GATEWAY_AI_CACHE_MODEL_TTLS", "m=0", "--ai-cache-model-ttl"),
        ("GATEWAY_AI_CACHE_SAMPLED", "maybe", "--ai-cache-sampled"),
    ] {
        let (code, said) = run(&[upstream, (variable, value)]).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(because) && !said.contains("hidden"), "{said}");
    }
}

#[tokio::test]
async fn a_model_is_asked_over_tls() {
    let certificates = Certificates::generate();
    let mock = Mock::default();
    let port = serve(&mock).await.rsplit_once(':').unwrap().1.parse().unwrap();
    let front = TlsFront::start(port, &certificates, false).await;
    let (url, authority) = (format!("https://localhost:{}", front.port()), certificates.ca_file());
    let trusts = ("SSL_CERT_FILE", authority.to_str().unwrap());
    let setting = Setting::before(mock, &url, &[trusts]).await;
    for more in ["", r#","stream":true"#] {
        let (first, again) = (
            setting.ask(CHAT, &[KEY], &chat("a", more)).await,
            setting.ask(CHAT, &[KEY], &chat("a", more)).await,
        );
        assert_eq!((first.status.as_u16(), first.cache(), again.cache()), (200, "MISS", "HIT"));
        assert_eq!((first.body, first.broken), (again.body, false));
    }
    assert_eq!(setting.mock.calls(), 2);
}
