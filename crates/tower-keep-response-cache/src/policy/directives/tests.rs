use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn of(lines: &[&str]) -> Directives {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(header::CACHE_CONTROL, HeaderValue::from_str(line).unwrap());
    }
    Directives::of(&headers)
}

fn parts(line: &str) -> (Vec<(&str, Argument<'_>)>, bool) {
    let mut found = Vec::new();
    let well_formed = each(line.as_bytes(), |name, argument| {
        found.push((str::from_utf8(name).unwrap(), argument));
    });
    (found, well_formed)
}

#[test]
fn a_line_is_taken_apart() {
    let (none, word, quoted) = (
        Argument::None,
        |word: &'static str| Argument::Word(word.as_bytes()),
        |inner: &'static str| Argument::Quoted(inner.as_bytes()),
    );
    for (line, expected) in [
        ("", vec![]),
        (" , ,,\t", vec![]),
        ("a", vec![("a", none)]),
        ("a,b", vec![("a", none), ("b", none)]),
        ("a=1 , b=\"2, 3\"", vec![("a", word("1")), ("b", quoted("2, 3"))]),
        ("a=\"\"", vec![("a", quoted(""))]),
        (r#"a="x\"y, \\", b"#, vec![("a", quoted(r#"x\"y, \\"#)), ("b", none)]),
        ("a=", vec![("a", word(""))]),
        ("a=http://x/?y", vec![("a", word("http://x/?y"))]),
    ] {
        assert_eq!(parts(line), (expected, true), "{line}");
    }
}

#[test]
fn a_line_that_is_not_well_formed_is_still_seen_through() {
    for (line, names) in [
        ("a;b", &["a", "b"][..]),
        ("a b", &["a", "b"]),
        ("a=\"x, b", &["a", "x", "b"]),
        ("\"a\"", &["a"]),
        ("a==b", &["a", "b"]),
        ("=a", &["a"]),
        ("a=\"b\"c", &["a", "c"]),
        ("a=\"\\\", b", &["a", "\\", "b"]),
    ] {
        let (found, well_formed) = parts(line);
        assert_eq!(found.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names, "{line}");
        assert!(!well_formed, "{line}");
    }
}

#[test]
fn seconds_as_they_are_written() {
    for (digits, expected) in [
        ("0", Some(0)),
        ("003600", Some(3600)),
        ("2147483647", Some(2_147_483_647)),
        ("2147483648", Some(FOREVER)),
        ("18446744073709551615", Some(FOREVER)),
        ("99999999999999999999999999999999", Some(FOREVER)),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.0", None),
        (" 1", None),
        ("1a", None),
    ] {
        assert_eq!(seconds(digits.as_bytes()), expected, "{digits}");
    }
}

#[test]
fn all_that_is_known_is_read() {
    let said = of(&[
        "no-store, no-cache, private, public, must-revalidate, proxy-revalidate, must-understand",
        "max-age=1, s-maxage=2, stale-while-revalidate=3, stale-if-error=\"4\", immutable, x=y",
    ]);
    let expected = Directives {
        no_store: true,
        no_cache: true,
        private: true,
        public: true,
        must_revalidate: true,
        proxy_revalidate: true,
        must_understand: true,
        max_age: Some(1),
        s_maxage: Some(2),
        stale_while_revalidate: Some(3),
        stale_if_error: Some(4),
        ..Directives::default()
    };
    assert_eq!(said, expected);
    assert_eq!(of(&[]), Directives::default());
}

#[test]
fn windows_that_are_no_numbers_are_none() {
    let said = of(&["max-age=5, stale-while-revalidate=x, stale-if-error"]);
    assert_eq!((said.stale_while_revalidate, said.stale_if_error), (Some(0), Some(0)));
    assert_eq!(said.lifetime(), Some(5));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(line: Vec<u8>) {
        let mut said = Directives::default();
        each(&line, |name, argument| said.add(name, argument));
    }

    #[test]
    fn every_directive_of_a_well_formed_line_comes_out(
        words in prop::collection::vec(("[a-z-]{1,8}", prop::option::of("[a-z0-9]{0,4}|\"[a-z, =]{0,6}\"")), 0..6),
    ) {
        let line: Vec<_> = words
            .iter()
            .map(|(name, value)| match value {
                Some(value) => format!("{name}={value}"),
                None => name.clone(),
            })
            .collect();
        let line = line.join(" , ");
        let (found, well_formed) = parts(&line);
        prop_assert!(well_formed);
        prop_assert_eq!(found.len(), words.len());
        for ((name, argument), (word, value)) in found.iter().zip(&words) {
            prop_assert_eq!(name, word);
            let expected = match value.as_deref() {
                None => Argument::None,
                Some(value) => match value.strip_prefix('"') {
                    Some(inner) => Argument::Quoted(inner.trim_end_matches('"').as_bytes()),
                    None => Argument::Word(value.as_bytes()),
                },
            };
            prop_assert_eq!(*argument, expected);
        }
    }
}
