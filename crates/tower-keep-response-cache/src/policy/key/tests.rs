use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn headers(hosts: &[&str]) -> HeaderMap {
    hosts.iter().map(|host| (HOST, HeaderValue::from_str(host).unwrap())).collect()
}

fn identity(uri: &str, hosts: &[&str]) -> Option<Vec<u8>> {
    let (uri, headers) = (uri.parse().unwrap(), headers(hosts));
    canonical(Target::of(&uri, &headers)?, &QueryRules::new(), None)
}

#[test]
fn what_is_the_same_target() {
    let same: [[(&str, &[&str]); 2]; 6] = [
        [("/a", &["Example.COM"]), ("/a", &["example.com"])],
        [("http://example.com/a", &[]), ("http://EXAMPLE.com:80/a", &["example.com"])],
        [("https://example.com:443/a", &[]), ("https://example.com/a", &["example.com:443"])],
        [("http://example.com", &[]), ("http://example.com/", &[])],
        [("/a#x", &["h"]), ("/a#y", &["h"])],
        [("/a", &[]), ("/a", &[])],
    ];
    for [(uri_a, host_a), (uri_b, host_b)] in same {
        let a = identity(uri_a, host_a);
        assert!(a.is_some(), "{uri_a}");
        assert_eq!(a, identity(uri_b, host_b), "{uri_a} {host_a:?}, {uri_b} {host_b:?}");
    }
}

#[test]
fn what_is_another_target() {
    let targets: &[(&str, &[&str])] = &[
        ("/a", &["h"]),
        ("//a", &["h"]),
        ("/a/", &["h"]),
        ("/A", &["h"]),
        ("/%61", &["h"]),
        ("/a?", &["h"]),
        ("/a?b", &["h"]),
        ("/a?b=", &["h"]),
        ("/a?b&c", &["h"]),
        ("/a?c&b", &["h"]),
        ("/a%3Fb", &["h"]),
        ("/a", &["h.a"]),
        ("/a", &["h:80"]),
        ("/a", &["h:443"]),
        ("/a", &["h."]),
        ("/a", &[]),
        ("/a", &["[::1]"]),
        ("/a", &["[::1]:80"]),
        ("http://h/a", &[]),
        ("https://h/a", &[]),
        ("https://h:80/a", &[]),
        ("http://h:8080/a", &[]),
        ("/", &["h"]),
        ("/h/a", &[]),
    ];
    for (i, (uri_a, host_a)) in targets.iter().enumerate() {
        for (uri_b, host_b) in &targets[..i] {
            assert_ne!(identity(uri_a, host_a), identity(uri_b, host_b), "{uri_a} {uri_b}");
        }
    }
}

#[test]
fn a_target_that_is_not_clear_has_no_identity() {
    let unclear: [(&str, &[&str]); 7] = [
        ("/", &["a", "b"]),
        ("/", &["a", "a"]),
        ("http://a/", &["b"]),
        ("http://a/", &["a:8080"]),
        ("http://user@a/", &[]),
        ("/", &["a/b"]),
        ("/", &["a b"]),
    ];
    for (uri, hosts) in unclear {
        assert_eq!(identity(uri, hosts), None, "{uri} {hosts:?}");
    }
    let long = format!("/{}", "x".repeat(MAX_BYTES));
    assert_eq!(identity(&long, &["a"]), None);
}

#[test]
fn users_have_entries_of_their_own() {
    let (uri, headers) = ("/a".parse().unwrap(), headers(&["h"]));
    let of = |user: Option<&str>| {
        let user = user.map(|user| UserId::new(user).unwrap());
        canonical(Target::of(&uri, &headers).unwrap(), &QueryRules::new(), user.as_ref()).unwrap()
    };
    assert_ne!(of(None), of(Some("1")));
    assert_ne!(of(Some("1")), of(Some("2")));
}

#[test]
fn in_any_scheme_a_target_is_one() {
    let of = |uri: &str, hosts: &[&str]| {
        let (uri, headers) = (uri.parse().unwrap(), headers(hosts));
        let target = Target::of(&uri, &headers).unwrap().in_any_scheme();
        canonical(target, &QueryRules::new(), None).unwrap()
    };
    let plain = of("/a", &["h"]);
    for uri in ["http://h/a", "https://h/a", "http://H:80/a", "https://h:443/a"] {
        assert_eq!(of(uri, &[]), plain, "{uri}");
    }
    assert_ne!(of("http://h:443/a", &[]), plain);
    assert_ne!(of("http://h/b", &[]), plain);
}

#[test]
fn queries_are_compared_by_the_rules() {
    let only = QueryRules::new().only(["id", "page*"]);
    let without = QueryRules::new().without(["utm_*", "fbclid"]);
    let sorted = QueryRules::new().sorted();
    let both = QueryRules::new().without(["x"]).sorted();
    for (rules, query, kept) in [
        (&only, "id=1&x=2&pages=3", Some("id=1&pages=3")),
        (&only, "x=2", None),
        // These may be `id` to the service.
        (&only, "i%64=1", Some("i%64=1")),
        (&only, "x=1;id=2", Some("x=1;id=2")),
        (&only, "id[]=2", Some("id[]=2")),
        (&without, "utm_source=a&id=1&fbclid", Some("id=1")),
        (&without, "fbclid2=1", Some("fbclid2=1")),
        (&without, "utm_a=1;id=2", Some("utm_a=1;id=2")),
        (&without, "utm_a=1", None),
        (&sorted, "b=1&a=2&b=0", Some("a=2&b=1&b=0")),
        (&sorted, "a=2&b=1&b=0", Some("a=2&b=1&b=0")),
        (&sorted, "b=1&%61=2&a=3", Some("b=1&%61=2&a=3")),
        (&both, "x&b&a", Some("a&b")),
        (&both, "", None),
    ] {
        assert_eq!(rules.apply(query).as_deref(), kept, "{query}");
    }
}

prop_compose! {
    fn part()(part in "[a/:?&=\\x00-\\x04]{0,6}") -> String { part }
}

proptest! {
    #[test]
    fn two_targets_never_share_an_identity(
        a in (proptest::option::of(part()), part(), part(), proptest::option::of(part())),
        b in (proptest::option::of(part()), part(), part(), proptest::option::of(part())),
        users in (proptest::option::of("[a-b]{1,2}"), proptest::option::of("[a-b]{1,2}")),
    ) {
        let identity = |(scheme, authority, path, query): &(Option<String>, String, String, Option<String>), user: &Option<String>| {
            let target = Target {
                scheme: scheme.as_deref(),
                authority: authority.as_bytes(),
                path,
                query: query.as_deref(),
            };
            let user = user.as_ref().map(|user| UserId::new(user).unwrap());
            canonical(target, &QueryRules::new(), user.as_ref()).unwrap()
        };
        prop_assert_eq!(
            identity(&a, &users.0) == identity(&b, &users.1),
            a == b && users.0 == users.1
        );
    }

    #[test]
    fn no_target_panics(uri in "\\PC{0,40}", host in proptest::collection::vec(any::<u8>(), 0..20)) {
        if let (Ok(uri), Ok(host)) = (uri.parse::<Uri>(), HeaderValue::from_bytes(&host)) {
            let headers = HeaderMap::from_iter([(HOST, host)]);
            if let Some(target) = Target::of(&uri, &headers) {
                let rules = QueryRules::new().only(["a*"]).sorted();
                prop_assert!(canonical(target, &rules, None).is_some());
            }
        }
    }
}
