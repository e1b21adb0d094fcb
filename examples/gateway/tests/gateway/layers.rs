//! The layers, in the order given.

use crate::program::{Gateway, run};

#[tokio::test]
async fn a_layer_that_is_named_is_there_and_no_other() {
    for (layers, limited) in
        [("", false), ("session", false), ("rate-limit", true), ("rate-limit,session", true)]
    {
        let mut gateway =
            Gateway::start(&[("GATEWAY_LAYERS", layers), ("RATE_LIMIT_MAX", "1")]).await;
        let told =
            if layers.is_empty() { "no layers".to_owned() } else { layers.replace(',', ", ") };
        assert!(gateway.program.said().contains(&format!("with {told}, keeping state in memory")));
        let mut it = gateway.passes("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        it.upstream.answer("one").await;
        let (head, body) = it.client.message().await;
        assert_eq!(body, "one");
        assert_eq!(head.all("ratelimit").len(), usize::from(limited));
        it.client.send("GET /other HTTP/1.1\r\nhost: a\r\n\r\n").await;
        if limited {
            let (head, _) = it.client.message().await;
            assert_eq!(head.status(), 429);
            assert_eq!(head.one("content-type"), "application/problem+json");
        } else {
            gateway.upstream.keep(it.upstream);
            let (mut upstream, _) = gateway.upstream.asked().await;
            upstream.answer("two").await;
            assert_eq!(it.client.message().await.1, "two");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_is_said_at_start() {
    let upstream = ("GATEWAY_UPSTREAM", "http://127.0.0.1:1");
    for (variables, code, because) in [
        (&[][..], 2, "--upstream"),
        (&[("GATEWAY_UPSTREAM", "ftp://127.0.0.1:1")], 2, "neither an http:// nor an https:// URL"),
        (
            &[upstream, ("GATEWAY_LAYERS", "session,cash")],
            2,
            "[possible values: session, rate-limit, response-cache, ai-cache]",
        ),
        (&[upstream, ("GATEWAY_LAYERS", "session,session")], 2, "names session twice"),
        (&[upstream, ("TRUSTED_PROXIES", "x")], 1, "TRUSTED_PROXIES"),
        (&[upstream, ("GATEWAY_TENANT", "a\nb")], 2, "--tenant"),
        (
            &[
                upstream,
                ("GATEWAY_LAYERS", "session"),
                ("REDIS_URL", "redis://:hidden@127.0.0.1:1"),
            ],
            1,
            "SESSION_SECRET",
        ),
        (&[upstream, ("GATEWAY_LISTEN", "192.0.2.1:80")], 1, "cannot listen on 192.0.2.1:80"),
    ] {
        let (ended, said) = run(variables).await;
        assert_eq!(ended, Some(code), "{said}");
        assert!(said.contains(because), "{said}");
        assert!(!said.contains("hidden"), "{said}");
    }
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const KEPT: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 4\r\n\r\nkept";

/// A gateway that has stored the answer to `GET`.
async fn with_a_page(variables: &[(&str, &str)], answer: &str) -> Gateway {
    let mut gateway = Gateway::start(variables).await;
    let mut it = gateway.passes(GET).await;
    it.upstream.send(answer).await;
    assert_eq!(it.client.message().await.1, "kept");
    gateway.upstream.keep(it.upstream);
    gateway
}

#[tokio::test]
async fn what_is_stored_is_answered_without_the_upstream() {
    let mut gateway = with_a_page(&[("GATEWAY_LAYERS", "response-cache")], KEPT).await;
    // What a client says of forwarding makes no other page of it.
    for fields in [
        "",
        "x-forwarded-host: evil\r\n",
        "x-forwarded-for: 203.0.113.1\r\nforwarded: host=evil\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        let (head, body) = gateway.answers(&request).await;
        assert_eq!(body, "kept");
        assert!(head.one("cache-status").contains("hit"), "{head:?}");
        head.one("age");
    }
    // A target that names its host is the same page; another host is another.
    assert_eq!(gateway.answers("GET http://a/ HTTP/1.1\r\nhost: b\r\n\r\n").await.1, "kept");
    assert_eq!(
        gateway.passes("GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n").await.asked.one("host"),
        "b"
    );
}

#[tokio::test]
async fn the_order_given_is_the_order_there_is() {
    let limit = ("RATE_LIMIT_MAX", "1");
    for (layers, limited) in
        [("rate-limit,response-cache", true), ("response-cache,session,rate-limit", false)]
    {
        let mut gateway = with_a_page(&[("GATEWAY_LAYERS", layers), limit], KEPT).await;
        let (head, _) = gateway.answers(GET).await;
        assert_eq!(head.status(), if limited { 429 } else { 200 }, "{layers}");
    }
}

#[tokio::test]
async fn a_stale_page_stands_in_for_an_upstream_that_is_gone() {
    let layers = ("GATEWAY_LAYERS", "response-cache");
    for (variables, status) in
        [(&[layers][..], 200), (&[layers, ("GATEWAY_CACHE_STALE_ON_FAILURE", "false")], 502)]
    {
        let stale = KEPT.replace("\r\n\r\n", "\r\nage: 60\r\netag: \"1\"\r\n\r\n");
        let mut gateway = with_a_page(variables, &stale).await;
        let mut it = gateway.passes(GET).await;
        drop((it.upstream, gateway.upstream));
        let (head, body) = it.client.message().await;
        assert_eq!(head.status(), status);
        assert_eq!(body == "kept", status == 200);
    }
}

#[tokio::test]
async fn the_cache_is_told_what_to_store() {
    let layers = ("GATEWAY_LAYERS", "response-cache");
    let cookie = KEPT.replace("\r\n\r\n", "\r\nset-cookie: a=1\r\n\r\n");
    let targeted = KEPT.replace(
        "cache-control: max-age=60",
        "cache-control: no-store\r\ncdn-cache-control: max-age=60",
    );
    let old =
        KEPT.replace("cache-control: max-age=60", "last-modified: Thu, 01 Jan 2015 00:00:00 GMT");
    // Which value stores it, and which does not; an empty one is the default.
    for (variable, stores, leaves, answer) in [
        ("GATEWAY_CACHE_SET_COOKIE", "explicit", "", cookie),
        ("GATEWAY_CACHE_TARGETS", "", "none", targeted),
        ("GATEWAY_CACHE_HEURISTIC", "3600", "", old),
    ] {
        let mut gateway = with_a_page(&[layers, (variable, leaves)], &answer).await;
        assert_eq!(gateway.passes(GET).await.asked.start(), "GET / HTTP/1.1", "{variable}");
        let mut gateway = with_a_page(&[layers, (variable, stores)], &answer).await;
        assert_eq!(gateway.answers(GET).await.1, "kept", "{variable}");
    }
}
