use http::HeaderName;
use proptest::prelude::*;

use super::*;

const TARGET: Target<'_> =
    Target { scheme: None, authority: b"Example.com", path: "/a/b", query: Some("q") };

fn seen(target: Target<'_>, value: &str) -> Option<String> {
    let named = resolve(target, &HeaderValue::from_str(value).unwrap())?;
    Some(match named.query {
        Some(query) => format!("{}?{query}", named.path),
        None => named.path,
    })
}

#[test]
fn unsafe_methods_that_did_not_fail() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "FOO", "get"] {
        let method = method.parse().unwrap();
        for (status, expected) in [
            (200, true),
            (204, true),
            (299, true),
            (303, true),
            (304, true),
            (400, false),
            (500, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(invalidates(&method, status), expected, "{method} {status}");
        }
    }
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT", "SEARCH"] {
        assert!(!invalidates(&method.parse().unwrap(), StatusCode::OK), "{method}");
    }
}

#[test]
fn references_of_the_same_origin() {
    for (reference, expected) in [
        ("", "/a/b?q"),
        ("#part", "/a/b?q"),
        ("?r", "/a/b?r"),
        ("?", "/a/b?"),
        ("c", "/a/c"),
        ("c/", "/a/c/"),
        ("c?r=/s#t", "/a/c?r=/s"),
        ("./c", "/a/c"),
        (".", "/a/"),
        ("..", "/"),
        ("../c", "/c"),
        ("../../../c", "/c"),
        ("/c", "/c"),
        ("/c/./d/../e", "/c/e"),
        ("/c/.", "/c/"),
        ("/c//d", "/c//d"),
        ("/c:d", "/c:d"),
        ("//example.com/c", "/c"),
        ("//EXAMPLE.com:80/c?r", "/c?r"),
        ("http://example.com", "/"),
        ("HTTP://example.com?r", "/?r"),
        ("https://example.com:443/c", "/c"),
        ("https://example.com:/c", "/c"),
        ("http://example.com/c#http://elsewhere/", "/c"),
    ] {
        assert_eq!(seen(TARGET, reference).as_deref(), Some(expected), "{reference}");
    }
}

#[test]
fn references_of_another_origin_or_none() {
    let secure = Target { scheme: Some("https"), ..TARGET };
    assert_eq!(seen(secure, "https://example.com/c").as_deref(), Some("/c"));
    for reference in ["http://example.com/c", "https://example.com:80/c", "https:c"] {
        assert_eq!(seen(secure, reference), None, "{reference}");
    }
    for reference in [
        "http://elsewhere.com/c",
        "//elsewhere.com/c",
        "http://example.com:8080/c",
        "http://example.com:443/c",
        "http://user@example.com/c",
        "http://example.com.elsewhere/c",
        "http:///c",
        "ftp://example.com/c",
        "mailto:somebody",
        "http:c",
        "a b",
        "/caf\u{e9}",
    ] {
        assert_eq!(seen(TARGET, reference), None, "{reference}");
    }
}

#[test]
fn ports_belong_to_the_origin() {
    let target = Target { authority: b"[::1]:8080", ..TARGET };
    assert_eq!(seen(target, "http://[::1]:8080/c").as_deref(), Some("/c"));
    assert_eq!(seen(target, "//[::1]:8080/c").as_deref(), Some("/c"));
    assert_eq!(seen(target, "http://[::1]/c"), None);
    let target = Target { authority: b"example.com:80", ..TARGET };
    assert_eq!(seen(target, "http://example.com/c").as_deref(), Some("/c"));
}

fn response(fields: &[(HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn what_an_answer_names_besides_its_target() {
    let paths = |fields: &[(HeaderName, &str)]| {
        let named = named(TARGET, &response(fields));
        let path = |named: &Named| named.in_origin_of(TARGET).path.to_owned();
        named.iter().map(path).collect::<Vec<_>>()
    };
    assert_eq!(paths(&[]), Vec::<String>::new());
    let both = [(header::LOCATION, "c"), (header::CONTENT_LOCATION, "/d")];
    assert_eq!(paths(&both), ["/a/c", "/d"]);
    let same = [(header::LOCATION, "c"), (header::CONTENT_LOCATION, "/a/c")];
    assert_eq!(paths(&same), ["/a/c"]);
    let itself = [(header::LOCATION, ""), (header::CONTENT_LOCATION, "//elsewhere/d")];
    assert_eq!(paths(&itself), Vec::<String>::new());
}

#[test]
fn an_answer_that_names_itself() {
    let itself = |value| names_itself(TARGET, &response(&[(header::CONTENT_LOCATION, value)]));
    for value in ["", "b?q", "/a/b?q", "http://example.com/a/b?q", "/a/./b?q"] {
        assert!(itself(value), "{value}");
    }
    for value in ["b", "/a/b", "/a/b?r", "/a/b/?q", "http://elsewhere.com/a/b?q"] {
        assert!(!itself(value), "{value}");
    }
    assert!(!names_itself(TARGET, &HeaderMap::new()));
    let twice = [(header::CONTENT_LOCATION, "b?q"), (header::CONTENT_LOCATION, "b?q")];
    assert!(!names_itself(TARGET, &response(&twice)));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(value: Vec<u8>, path: String, authority: Vec<u8>) {
        let target = Target { scheme: None, authority: &authority, path: &path, query: None };
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let _ = resolve(target, &value);
        }
    }

    #[test]
    fn whatever_is_found_is_a_path(value in "[a-z:/?#.@]{0,24}", scheme in prop::option::of("https?")) {
        let target = Target { scheme: scheme.as_deref(), ..TARGET };
        if let Some(named) = resolve(target, &HeaderValue::from_str(&value).unwrap()) {
            prop_assert!(named.path.starts_with('/'));
            prop_assert!(!named.path.split('/').any(|piece| piece == "." || piece == ".."));
            prop_assert!(!named.path.contains(['?', '#']));
        }
    }
}
