//! For whom a request is said to be.

use crate::program::{Gateway, run};

const SPOOFED: &str = "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 203.0.113.1\r\n\
    x-forwarded-host: inner\r\nx-forwarded-proto: https\r\nx-forwarded-prefix: /admin\r\n\
    x_forwarded_for: 203.0.113.2\r\nforwarded: for=203.0.113.3\r\nx-real-ip: 203.0.113.4\r\n\
    x-tenant-id: victim\r\n\r\n";

const TRUSTED: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.0/8");

#[tokio::test]
async fn a_client_cannot_say_who_it_is() {
    for variables in [&[][..], &[("TRUSTED_PROXIES", "192.0.2.0/24")]] {
        let mut gateway = Gateway::start(variables).await;
        let it = gateway.passes(SPOOFED).await;
        assert_eq!(it.asked.one("x-forwarded-for"), "127.0.0.1");
        assert_eq!(it.asked.one("x-forwarded-host"), "a");
        assert_eq!(it.asked.one("x-forwarded-proto"), "http");
        it.asked.has_none(&["x-forwarded-prefix", "x_forwarded_for", "forwarded", "x-real-ip"]);
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_appended_to() {
    let mut gateway = Gateway::start(&[TRUSTED]).await;
    let it = gateway.passes(SPOOFED).await;
    assert_eq!(it.asked.one("x-forwarded-for"), "203.0.113.1, 127.0.0.1");
    assert_eq!(it.asked.one("x-forwarded-host"), "inner");
    assert_eq!(it.asked.one("x-forwarded-proto"), "https");
    it.asked.has_none(&["x_forwarded_for", "forwarded", "x-real-ip"]);

    let mut gateway = Gateway::start(&[TRUSTED, ("TRUSTED_PROXY_HEADER", "forwarded")]).await;
    let it = gateway.passes(SPOOFED).await;
    let told = "for=203.0.113.3, for=127.0.0.1;host=\"a\";proto=http";
    assert_eq!(it.asked.one("forwarded"), told);
    it.asked.has_none(&["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"]);
}

/// The limit's answers show which tenant, and which client, a request was counted for.
async fn statuses(variables: &[(&str, &str)], fields: &[&str]) -> Vec<u16> {
    let limit = [("GATEWAY_LAYERS", "rate-limit"), ("RATE_LIMIT_MAX", "1")];
    let mut gateway = Gateway::start(&[&limit, variables].concat()).await;
    let mut statuses = Vec::new();
    for fields in fields {
        let mut client = gateway.connect().await;
        client.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n")).await;
        let status = tokio::select! {
            head = client.head() => head.status(),
            (mut upstream, _) = gateway.upstream.asked() => {
                upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
                client.head().await.status()
            }
        };
        statuses.push(status);
    }
    statuses
}

#[tokio::test]
async fn limits_count_by_what_trusted_proxies_say_alone() {
    let fields = ["x-forwarded-for: 203.0.113.1", "x-forwarded-for: 203.0.113.2"];
    assert_eq!(statuses(&[], &fields).await, [200, 429]);
    assert_eq!(statuses(&[TRUSTED], &fields).await, [200, 200]);
}

#[tokio::test]
async fn the_tenant_is_fixed_unless_a_trusted_proxy_names_it() {
    let fields = ["x-tenant-id: a", "x-tenant-id: b", "x-other: 1"];
    let header = ("GATEWAY_TRUST_TENANT_HEADER", "x-tenant-id");
    assert_eq!(statuses(&[TRUSTED], &fields).await, [200, 429, 429]);
    assert_eq!(statuses(&[TRUSTED, header], &fields).await, [200, 200, 200]);
    let others = ("TRUSTED_PROXIES", "192.0.2.0/24");
    assert_eq!(statuses(&[others, header], &fields).await, [200, 429, 429]);
    let bad = ["x-tenant-id: a\r\nx-tenant-id: b", "x-tenant-id:"];
    assert_eq!(statuses(&[TRUSTED, header], &bad).await, [400, 400]);

    let mut gateway = Gateway::start(&[others, header]).await;
    gateway.passes(SPOOFED).await.asked.has_none(&["x-tenant-id"]);
    let mut gateway = Gateway::start(&[TRUSTED, header]).await;
    assert_eq!(gateway.passes(SPOOFED).await.asked.one("x-tenant-id"), "victim");

    let upstream = ("GATEWAY_UPSTREAM", "http://127.0.0.1:1");
    let (code, said) = run(&[upstream, header]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("needs `--trusted-proxies`"), "{said}");
}
