use http::header::CONTENT_RANGE;
use proptest::prelude::*;

use super::*;
use crate::policy::testing::{self, fields};

/// Header fields, by name.
type Fields<'a> = &'a [(&'a str, &'a str)];

/// A date, a place in the whole if it is a part, and the value of `foo`.
type Variant<'a> = (u64, Option<(u64, u64)>, &'a str);

fn selecting(vary: &[&str], request: &[(&str, &str)]) -> Result<Selecting, VaryAny> {
    let vary: Vec<_> = vary.iter().map(|line| ("vary", *line)).collect();
    Selecting::of(&fields(&vary), &fields(request), &Options::default())
}

#[test]
fn a_response_is_reused_where_its_request_said_the_same() {
    let same: &[(&[&str], Fields<'_>, Fields<'_>)] = &[
        (&[], &[("foo", "1")], &[]),
        (&[""], &[("foo", "1")], &[]),
        (&["Foo"], &[("foo", "1"), ("other", "2")], &[("foo", "1"), ("other", "3")]),
        (&["Foo, Bar, Baz"], &[("foo", "1"), ("baz", "7")], &[("baz", "7"), ("foo", "1")]),
        (&["Foo"], &[("foo", "1, 2")], &[("foo", "1"), ("foo", "2")]),
        (&["Foo"], &[("foo", "1,2")], &[("foo", " 1,\t2 ")]),
        (&["Accept-Language"], &[("accept-language", "en, de")], &[("accept-language", "de, en")]),
        (&["Accept-Language"], &[("accept-language", "en, de")], &[("accept-language", "eN, De")]),
        (
            &["accept-language"],
            &[("accept-language", "en, de")],
            &[("accept-language", " en ,   de")],
        ),
        (
            &["accept-encoding"],
            &[("accept-encoding", "gzip;q=1.0, br;q=0.50")],
            &[("accept-encoding", "BR ; Q=0.5,, gzip")],
        ),
        (&["cookie"], &[("cookie", "a=1; b=2")], &[("cookie", "a=1"), ("cookie", "b=2")]),
        (&["a, A", "a"], &[("a", "1")], &[("a", "1")]),
    ];
    for (vary, first, second) in same {
        let kept = selecting(vary, first).unwrap();
        assert!(kept.matches(&fields(second), &Options::default()), "{vary:?} {first:?}");
    }
}

#[test]
fn a_response_is_not_reused_where_its_request_said_something_else() {
    let other: &[(&[&str], Fields<'_>, Fields<'_>)] = &[
        (&["Foo"], &[("foo", "1")], &[("foo", "2")]),
        (&["Foo"], &[], &[("foo", "1")]),
        (&["Foo"], &[("foo", "1")], &[]),
        (&["Foo"], &[("foo", "")], &[]),
        (&["Foo"], &[], &[("foo", "")]),
        (&["Foo, Bar"], &[("foo", "1"), ("bar", "a")], &[("foo", "2"), ("bar", "a")]),
        (&["Foo", "Bar"], &[("foo", "1"), ("bar", "a")], &[("foo", "1"), ("bar", "b")]),
        // The second line of a request's field counts.
        (&["Foo"], &[("foo", "1"), ("foo", "2")], &[("foo", "1"), ("foo", "3")]),
        (&["Foo"], &[("foo", "1")], &[("foo", "1"), ("foo", "2")]),
        (&["Foo"], &[("foo", "1, 2")], &[("foo", "2, 1")]),
        (&["Foo"], &[("foo", "\"1, 2\"")], &[("foo", "\"1,2\"")]),
        (&["Foo"], &[("foo", "a")], &[("foo", "A")]),
        (&["cookie"], &[("cookie", "a=1,2")], &[("cookie", "a=1, 2")]),
        (
            &["accept-language"],
            &[("accept-language", "en, de;q=0.5")],
            &[("accept-language", "en;q=0.5, de")],
        ),
        (&["accept-encoding"], &[("accept-encoding", "")], &[]),
        (&["accept-encoding"], &[("accept-encoding", "gzip;q=0")], &[("accept-encoding", "gzip")]),
    ];
    for (vary, first, second) in other {
        let kept = selecting(vary, first).unwrap();
        assert!(!kept.matches(&fields(second), &Options::default()), "{vary:?} {first:?}");
    }
}

#[test]
fn preferences_are_compared_as_they_are_where_the_program_wants_that() {
    let options = Options { normalise: false, ..Options::default() };
    let response = fields(&[("vary", "accept-language")]);
    let kept =
        Selecting::of(&response, &fields(&[("accept-language", "en, de")]), &options).unwrap();
    assert!(kept.matches(&fields(&[("accept-language", "en,de")]), &options));
    assert!(!kept.matches(&fields(&[("accept-language", "de,en")]), &options));
}

#[test]
fn what_varies_by_anything_is_not_kept() {
    for vary in [
        &["*"][..],
        &["*, *"],
        &["*", "*"],
        &[", *"],
        &["", "*"],
        &["*, Foo"],
        &["Foo, *"],
        &["Foo", "Bar,*"],
        &["no name"],
        &["f\u{fc}r"],
    ] {
        assert_eq!(selecting(vary, &[]), Err(VaryAny), "{vary:?}");
    }
}

#[test]
fn there_is_an_end_to_what_is_kept() {
    let names: Vec<_> = (0..=MAX_FIELDS).map(|i| format!("f{i}")).collect();
    assert_eq!(selecting(&[&names.join(",")], &[]), Err(VaryAny));
    assert!(selecting(&[&names[1..].join(",")], &[]).is_ok());
    let long = "x".repeat(MAX_BYTES);
    assert_eq!(selecting(&["a"], &[("a", &long)]), Err(VaryAny));
}

#[test]
fn the_newest_that_has_what_is_asked_for_is_chosen() {
    let variants = |list: &[Variant<'_>]| -> Vec<Arc<Stored>> {
        list.iter()
            .map(|(date, part, foo)| {
                let mut stored = testing::stored(&[("vary", "foo")], "0123456789");
                stored.date.0 = *date;
                if let Some((first, last)) = *part {
                    stored = testing::part(stored, first, last);
                }
                stored.selecting = selecting(&["foo"], &[("foo", foo)]).unwrap();
                Arc::new(stored)
            })
            .collect()
    };
    let chosen = |variants: &[Arc<Stored>], method: &Method, request: &[(&str, &str)]| {
        let at = |found| variants.iter().position(|stored| Arc::ptr_eq(stored, found)).unwrap();
        match choose(variants, method, &fields(request), &Options::default()) {
            Chosen::Answer(stored) => format!("answer {}", at(stored)),
            Chosen::Part(stored) => format!("part {}", at(stored)),
            Chosen::Nothing => "nothing".to_owned(),
        }
    };
    let whole = variants(&[(1, None, "1"), (3, None, "1"), (2, None, "1"), (9, None, "2")]);
    assert_eq!(chosen(&whole, &Method::GET, &[("foo", "1")]), "answer 1");
    assert_eq!(chosen(&whole, &Method::HEAD, &[("foo", "2")]), "answer 3");
    assert_eq!(chosen(&whole, &Method::GET, &[("foo", "3")]), "nothing");
    assert_eq!(chosen(&[], &Method::GET, &[]), "nothing");
    let same = variants(&[(1, None, "1"), (1, None, "1"), (1, Some((0, 4)), "1")]);
    assert_eq!(chosen(&same, &Method::GET, &[("foo", "1"), ("range", "bytes=0-1")]), "answer 0");
    let parts = variants(&[(5, Some((0, 4)), "1"), (4, Some((5, 9)), "1"), (1, None, "2")]);
    for (range, expected) in [
        ("bytes=0-1", "answer 0"),
        ("bytes=-2", "answer 1"),
        ("bytes=4-5", "part 0"),
        ("nonsense", "part 0"),
    ] {
        let request = [("foo", "1"), ("range", range)];
        assert_eq!(chosen(&parts, &Method::GET, &request), expected, "{range}");
    }
    assert_eq!(chosen(&parts, &Method::GET, &[("foo", "1")]), "part 0");
    assert_eq!(chosen(&parts, &Method::HEAD, &[("foo", "1")]), "nothing");
    assert!(!whole[0].headers.contains_key(CONTENT_RANGE));
}

proptest! {
    #[test]
    fn a_request_matches_itself_and_what_is_kept_of_it(
        vary in "[abc*, ]{0,8}",
        lines in proptest::collection::vec(("[ab]|accept-language|cookie", "[ ,;=q01.\\\\\"aA\t]{0,12}"), 0..4),
    ) {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = fields(&lines);
        let options = Options::default();
        let response = fields(&[("vary", &vary), ("vary", "accept-language, cookie")]);
        if let Ok(kept) = Selecting::of(&response, &request, &options) {
            prop_assert!(kept.matches(&request, &options));
            // What is kept, sent as it is, is kept the same: so equal bytes need no second look.
            let again: Vec<_> = kept.0.iter()
                .filter_map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value.as_deref()?).unwrap())))
                .collect();
            prop_assert_eq!(Selecting::of(&response, &fields(&again), &options).unwrap(), kept);
        }
    }

    #[test]
    fn no_bytes_panic(
        vary in proptest::collection::vec(any::<u8>(), 0..20),
        value in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        if let (Ok(vary), Ok(value)) = (HeaderValue::from_bytes(&vary), HeaderValue::from_bytes(&value)) {
            let mut request = fields(&[]);
            for name in ["a", "accept-language", "accept-encoding", "cookie"] {
                request.append(name, value.clone());
                request.append(name, value.clone());
            }
            let mut response = fields(&[("vary", "a, accept-language, accept-encoding, cookie")]);
            let kept = Selecting::of(&response, &request, &Options::default()).unwrap();
            prop_assert!(kept.matches(&request, &Options::default()));
            response.append("vary", vary);
            let _ = Selecting::of(&response, &request, &Options::default());
        }
    }
}
