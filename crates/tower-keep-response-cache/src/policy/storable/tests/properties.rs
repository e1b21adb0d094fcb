//! What holds whatever comes.

use proptest::prelude::*;

use super::*;

fn field() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop::sample::select(vec![
        "cache-control",
        "cdn-cache-control",
        "expires",
        "date",
        "age",
        "last-modified",
        "etag",
        "pragma",
        "vary",
        "set-cookie",
        "authorization",
        "cookie",
        "content-range",
        "content-location",
    ]);
    let word = prop::sample::select(vec![
        "no-store",
        "No-Cache",
        "private",
        "public",
        "max-age=60",
        "max-age=0",
        "s-maxage=5",
        "max-age=\"7\"",
        "max-age=18446744073709551615",
        "max-age=-1",
        "must-revalidate",
        "must-understand",
        "stale-while-revalidate=9",
        "stale-if-error=99999999999999999999",
        "private=\"a, b\"",
        "no-cache=\"set-cookie\"",
        "ext=\"",
        "ext=\"\\\"",
        "\"",
        "=",
        ";",
        "*",
        "Thu, 18 Aug 2050 02:01:18 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "18446744073709551615",
        "0",
        "&&&",
        "max-age=\u{e9}",
    ]);
    let list = prop::collection::vec(word, 0..5).prop_map(|words| words.join(", ").into_bytes());
    let value = prop_oneof![4 => list, 1 => prop::collection::vec(any::<u8>(), 0..40)];
    (name.prop_map(str::to_owned), value)
}

fn map(fields: &[(String, Vec<u8>)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
        }
    }
    map
}

fn options() -> impl Strategy<Value = Options> {
    (
        any::<bool>(),
        any::<bool>(),
        any::<Option<std::time::Duration>>(),
        any::<std::time::Duration>(),
    )
        .prop_map(|(per_user, suited, default_ttl, window)| Options {
            per_user,
            default_ttl,
            stale_while_revalidate: window,
            stale_if_error: window,
            max_ttl: window,
            ..if suited { suite() } else { Options::default() }
        })
}

fn moment() -> impl Strategy<Value = UnixMillis> {
    prop_oneof![Just(0), Just(u64::MAX), Just(NOW.0), any::<u64>()].prop_map(UnixMillis)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_no_time_is_beyond_counting(
        request in prop::collection::vec(field(), 0..4),
        response in prop::collection::vec(field(), 0..6),
        status in 100_u16..600,
        options in options(),
        (requested, received, now) in (moment(), moment(), moment()),
        (ttl, window) in any::<(Option<std::time::Duration>, std::time::Duration)>(),
    ) {
        let request = map(&request);
        let response = map(&response);
        let handler = ttl.map(|ttl| {
            CacheControlOverride::new().ttl(ttl).stale_if_error(window).stale_while_revalidate(window)
        });
        let told = Overrides::of(None, handler.as_ref());
        let status = StatusCode::from_u16(status).unwrap();
        let exchange = Exchange {
            method: &Method::GET,
            request: &request,
            status,
            response: &response,
            requested,
            received,
            told: told.as_ref(),
        };
        if let Ok(keep) = storable(&exchange, &options) {
            let freshness = &keep.freshness;
            prop_assert!(freshness.lifetime <= FOREVER);
            prop_assert!(freshness.initial_age <= FOREVER);
            prop_assert!(freshness.stale_while_revalidate <= FOREVER);
            prop_assert!(freshness.stale_if_error.is_none_or(|window| window <= FOREVER));
            prop_assert!(freshness.age(now) <= FOREVER);
            prop_assert!((1..=FOREVER).contains(&keep.keep_for));
            let asks = RequestDirectives::of(&request);
            for softly_purged in [false, true] {
                let _ = judge(freshness, &asks, softly_purged, now);
            }
            for status in [None, Some(status)] {
                let _ = may_replace_error(freshness, &asks, status, now, &options);
            }
            let _ = freshness.ttl(now);
        }
    }

    /// Neither the order of lines and directives, nor letter case, nor what stands beside them
    /// makes a response storable that is not so otherwise, or fresh for longer.
    #[test]
    fn order_hides_nothing(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "no-store", "private", "no-cache", "public", "max-age=60", "max-age=5", "s-maxage=9",
                "max-age=x", "must-revalidate", "must-understand", "private=\"x\"",
                "no-cache=\"x, y\"", "private=\"vary\"", "foo", "foo=\"a, b\"", "max-age=\"30\"",
            ]),
            0..6,
        ),
        order in any::<u64>(),
        breaks in prop::collection::vec(any::<bool>(), 6),
        upper in any::<bool>(),
        authorized in any::<bool>(),
    ) {
        let request = if authorized { fields(&[("authorization", "x")]) } else { HeaderMap::new() };
        let stored = |lines: &[String]| {
            let mut response = fields(&[("etag", "\"a\"")]);
            for line in lines {
                response.append(header::CACHE_CONTROL, HeaderValue::from_str(line).unwrap());
            }
            let exchange = Exchange {
                method: &Method::GET,
                request: &request,
                status: StatusCode::OK,
                response: &response,
                requested: NOW,
                received: NOW,
                told: None,
            };
            storable(&exchange, &Options::default()).map(|mut keep| {
                keep.drop_fields.sort_by(|a, b| a.as_str().cmp(b.as_str()));
                keep
            })
        };
        let plain = stored(&[words.join(", ")]);
        let mut shuffled = words.clone();
        let mut state = order;
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(at, usize::try_from(state >> 33).unwrap() % (at + 1));
        }
        let mut lines = vec![String::new()];
        for (word, new_line) in shuffled.iter().zip(breaks) {
            if new_line {
                lines.push(String::new());
            }
            let line = lines.last_mut().unwrap();
            line.push_str(&if upper { word.to_ascii_uppercase() } else { (*word).to_owned() });
            line.push_str(" ,\t");
        }
        prop_assert_eq!(stored(&lines), plain);
    }

    /// Whatever is put around it, what forbids is seen, unless it stands in quotes that are closed.
    #[test]
    fn what_forbids_is_not_to_be_hidden(
        (before, after) in ("[a-z=;, \\\\]{0,12}", "[a-z=;, \\\\]{0,12}"),
        (quoted, at) in (0_u8..3, 0_usize..12),
        (left, right) in (
            prop::sample::select(vec![',', ';']),
            prop::sample::select(vec![',', ';']),
        ),
        word in prop::sample::select(vec!["no-store", "private", "Private", "NO-STORE"]),
    ) {
        let (mut before, mut after) = (before, after);
        match quoted {
            1 => before.insert(at.min(before.len()), '"'),
            2 => after.insert(at.min(after.len()), '"'),
            _ => {}
        }
        let line = format!("{before}{left}{word}{right}{after}");
        let response = [("cache-control", &*line), ("cache-control", "max-age=60")];
        prop_assert!(got(&response).stored(&Options::default()).is_err(), "{}", line);
    }
}
