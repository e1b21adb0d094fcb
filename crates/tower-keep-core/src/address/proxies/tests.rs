use std::net::SocketAddr;

use http::{HeaderValue, Request};
use proptest::prelude::*;

use super::*;
use crate::PeerAddr;

const LAN: &str = "10.0.0.0/8";

/// The client, when `peer` asks with these lines of the header that `proxies` are read by.
fn client(proxies: &TrustedProxies, peer: &str, lines: &[&[u8]]) -> String {
    let mut request = Request::builder();
    for line in lines {
        let line = HeaderValue::from_bytes(line).unwrap();
        request = request.header(proxies.header.to_string(), line);
    }
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    head.extensions.insert(PeerAddr(SocketAddr::new(peer.parse().unwrap(), 1)));
    proxies.client(&head).unwrap().to_string()
}

fn by_forwarded() -> TrustedProxies {
    LAN.parse::<TrustedProxies>().unwrap().with_header(ForwardingHeader::Forwarded)
}

#[test]
fn the_client_is_the_first_untrusted_address_from_the_right() {
    for (trusted, peer, lines, expected) in [
        ("", "192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
        (LAN, "192.0.2.1", &["203.0.113.9"], "192.0.2.1"),
        (LAN, "10.0.0.1", &[], "10.0.0.1"),
        (LAN, "10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
        (LAN, "10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
        (LAN, "10.0.0.1", &["1.1.1.1", "203.0.113.9", "10.9.9.9"], "203.0.113.9"),
        (LAN, "10.0.0.1", &["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        (LAN, "10.0.0.1", &["1.1.1.1, unknown, 10.2.2.2"], "10.2.2.2"),
        (LAN, "10.0.0.1", &["1.1.1.1, _hidden"], "10.0.0.1"),
        (LAN, "10.0.0.1", &["1.1.1.1,"], "10.0.0.1"),
        (LAN, "10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
        (LAN, "10.0.0.1", &["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
        (LAN, "10.0.0.1", &["[2001:db8:1:2:3::4]"], "2001:db8:1:2::/64"),
        (LAN, "10.0.0.1", &["2001:db8:1:2:3::4"], "2001:db8:1:2::/64"),
        (LAN, "10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
        (LAN, "::ffff:10.0.0.1", &["203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9"),
        ("::1/128", "::1", &["203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.0.0.0/104", "10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.0.0.1", "10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
    ] {
        let proxies =
            if trusted.is_empty() { TrustedProxies::none() } else { trusted.parse().unwrap() };
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        assert_eq!(client(&proxies, peer, &lines), expected, "{trusted} {peer} {lines:?}");
    }
}

#[test]
fn so_it_is_by_forwarded() {
    for (peer, lines, expected) in [
        ("192.0.2.1", &["for=203.0.113.9"][..], "192.0.2.1"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["for=203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", &["for=1.1.1.1, for=203.0.113.9;proto=https, For=10.9.9.9"], "203.0.113.9"),
        ("10.0.0.1", &["for=1.1.1.1", "for=203.0.113.9", "for=10.9.9.9"], "203.0.113.9"),
        ("10.0.0.1", &["for=10.1.1.1, for=10.2.2.2"], "10.1.1.1"),
        ("10.0.0.1", &["for=1.1.1.1, for=unknown, for=10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", &["for=1.1.1.1, for=_hidden"], "10.0.0.1"),
        ("10.0.0.1", &["for=1.1.1.1, proto=http, for=10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", &["for=1.1.1.1, for=1.1.1.2;for=1.1.1.3, for=10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", &["for=1.1.1.1,"], "10.0.0.1"),
        ("10.0.0.1", &[r#"for="[2001:db8:1:2:3::4]:4711""#], "2001:db8:1:2::/64"),
        ("10.0.0.1", &[r#"for="[::ffff:203.0.113.9]""#], "203.0.113.9"),
        (
            "10.0.0.1",
            &[r#"for="1.1.1.1", for="203.0.113.9:80", for="[::ffff:10.0.0.2]""#],
            "203.0.113.9",
        ),
        // Two proxies, one line each; the first line's quote stays open.
        ("10.0.0.1", &[r#"for=203.0.113.9;x=""#, "for=10.2.2.2"], "10.2.2.2"),
    ] {
        let told: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        assert_eq!(client(&by_forwarded(), peer, &told), expected, "{peer} {lines:?}");
    }
}

#[test]
fn only_the_header_that_was_named_is_read() {
    let (mut head, ()) = Request::builder()
        .header("x-forwarded-for", "203.0.113.1")
        .header("forwarded", "for=203.0.113.2")
        .header("x-real-ip", "203.0.113.3")
        .body(())
        .unwrap()
        .into_parts();
    head.extensions.insert(PeerAddr(([10, 0, 0, 1], 1).into()));
    let proxies: TrustedProxies = LAN.parse().unwrap();
    let by_default = proxies.clone();
    let named = proxies.with_header(ForwardingHeader::XForwardedFor);
    assert_eq!(by_default, named);
    let client = |proxies: TrustedProxies| proxies.client(&head).unwrap().to_string();
    assert_eq!(client(named), "203.0.113.1");
    assert_eq!(client(by_forwarded()), "203.0.113.2");
    // With the named one missing, the other is no substitute.
    head.headers.remove("forwarded");
    assert_eq!(by_forwarded().client(&head).unwrap().to_string(), "10.0.0.1");
}

#[test]
fn no_address_is_no_client() {
    let (head, ()) = Request::new(()).into_parts();
    assert_eq!(TrustedProxies::none().client(&head), None);
}

#[test]
fn bytes_that_are_no_text_end_the_walk_where_they_stand() {
    let proxies: TrustedProxies = LAN.parse().unwrap();
    assert_eq!(client(&proxies, "10.0.0.1", &[b"203.0.113.9, \xff"]), "10.0.0.1");
    // The client wrote them, left of what the proxy wrote of it.
    assert_eq!(client(&proxies, "10.0.0.1", &[b"\xff, 203.0.113.9"]), "203.0.113.9");
    assert_eq!(client(&by_forwarded(), "10.0.0.1", &[b"for=\xff"]), "10.0.0.1");
    let told = b"\xff, for=203.0.113.9;host=\"\xff\"";
    assert_eq!(client(&by_forwarded(), "10.0.0.1", &[told]), "203.0.113.9");
}

#[test]
fn every_bad_entry_of_the_list_is_named() {
    let error = "10.0.0.0/8,nonsense, 10.0.0.0/33 ,".parse::<TrustedProxies>().unwrap_err();
    let text = error.to_string();
    assert_eq!(error.problems().len(), 3, "{text}");
    assert!(text.contains("`nonsense`") && text.contains("`10.0.0.0/33`"), "{text}");
}

proptest! {
    /// Whatever a client sends along, nothing panics, and its address is what the proxy wrote.
    #[test]
    fn no_client_can_say_what_its_address_is(
        // Bytes of all kinds, and those that mean something.
        start in "([\u{20}-\u{ff}]|for=|for=\"|10\\.0\\.0\\.2|1\\.1\\.1\\.1|[\",;=\\\\\\[\\]:_ ]){0,30}",
        in_its_own_line in any::<bool>(),
        told in prop_oneof![
            Just("for=203.0.113.9"),
            Just(r#"for="203.0.113.9:4711";proto=https"#),
            Just(r#"proto=https;for=203.0.113.9;host="a\\\",for=1.1.1.2""#),
            Just(r#"by="_x"; for="[::ffff:203.0.113.9]";secret="\\\\", for=10.0.0.3"#),
        ],
    ) {
        let lines = if in_its_own_line {
            vec![start, told.to_owned()]
        } else {
            vec![format!("{start}, {told}")]
        };
        let lines: Vec<_> = lines.iter().map(String::as_bytes).collect();
        prop_assume!(lines.iter().all(|line| HeaderValue::from_bytes(line).is_ok()));
        prop_assert_eq!(client(&by_forwarded(), "10.0.0.1", &lines), "203.0.113.9");
    }

    #[test]
    fn nothing_that_is_told_panics(line in "([\u{9}\u{20}-\u{ff}]|for=|[\",;=\\\\\\[\\]:_ ]){0,40}") {
        if let Ok(value) = HeaderValue::from_bytes(line.as_bytes()) {
            let mut headers = HeaderMap::new();
            headers.insert("forwarded", value.clone());
            headers.insert("x-forwarded-for", value);
            let peer = IpAddr::from([10, 0, 0, 1]);
            by_forwarded().behind(peer, &headers);
            LAN.parse::<TrustedProxies>().unwrap().behind(peer, &headers);
        }
    }
}

#[test]
fn of_a_proxy_that_is_not_named_is_warned_once() {
    let proxies: TrustedProxies = LAN.parse().unwrap();
    let (trusted, stranger) = ([10, 0, 0, 1].into(), [192, 0, 2, 1].into());
    for name in [X_FORWARDED_FOR, FORWARDED] {
        let looks = AtomicU32::new(10);
        let told = HeaderMap::from_iter([(name, HeaderValue::from_static("203.0.113.9"))]);
        let look = |peer, headers: &HeaderMap| proxies.look_for_a_stranger(&looks, peer, headers);
        assert!(!look(trusted, &told) && !look(stranger, &HeaderMap::new()));
        assert!(look(stranger, &told));
        assert!(!look(stranger, &told), "once");
        assert_eq!(looks.into_inner(), 0);
    }
    let looks = AtomicU32::new(0);
    let told = HeaderMap::from_iter([(FORWARDED, HeaderValue::from_static("for=_x"))]);
    assert!(!proxies.look_for_a_stranger(&looks, stranger, &told), "nobody looks any more");
}
