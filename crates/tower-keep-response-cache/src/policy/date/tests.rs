use proptest::prelude::*;

use super::*;

/// 2026-11-22.
const NOW: UnixMillis = UnixMillis(1_795_305_600_000);

fn seconds(value: &str) -> Option<u64> {
    parse(value.as_bytes(), NOW).map(|at| at.0 / 1000)
}

#[test]
fn all_three_forms_are_read() {
    for value in [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun Nov 06 08:49:37 1994",
        " Sun, 06 Nov 1994 08:49:37 GMT\t",
    ] {
        assert_eq!(seconds(value), Some(784_111_777), "{value}");
    }
}

#[test]
fn letter_case_and_a_wrong_weekday_are_forgiven() {
    for value in [
        "THU, 18 Aug 2050 02:01:18 GMT",
        "Thu, 18 AUG 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:18 gMT",
        "Fri, 18 Aug 2050 02:01:18 GMT",
        "thursday, 18-aug-50 02:01:18 gmt",
        "thu aug 18 02:01:18 2050",
    ] {
        assert_eq!(seconds(value), Some(2_544_400_878), "{value}");
    }
    assert_eq!(seconds("Thu Aug  8 02:01:18 2050"), Some(2_544_400_878 - 10 * 86_400));
}

#[test]
fn what_is_no_date_is_not_guessed_at() {
    for value in [
        "",
        "0",
        "-1",
        "foo",
        "2544400878",
        "2050-08-18T02:01:18Z",
        "Thu, 18 Aug 2050 02:01:18 UTC",
        "Thu, 18 Aug 2050 02:01:18 AEST",
        "Thu, 18 Aug 2050 02:01:18 +0000",
        "Thu, 18 Aug 2050 02:01:18",
        "Thu, 18 Aug 50 02:01:18 GMT",
        "Thu 18 Aug 2050 02:01:18 GMT",
        "Thu, 18  Aug  2050 02:01:18 GMT",
        "Thu,  18 Aug 2050 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02.01.18 GMT",
        "Thu, 18 Aug 2050 2:01:18 GMT",
        "Thu, 8 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 24:01:18 GMT",
        "Thu, 18 Aug 2050 02:60:18 GMT",
        "Thu, 18 Aug 2050 02:01:61 GMT",
        "Thu, 31 Jun 2050 02:01:18 GMT",
        "Thu, 00 Jun 2050 02:01:18 GMT",
        "Tue, 29 Feb 2050 02:01:18 GMT",
        "Thu, 18 Avg 2050 02:01:18 GMT",
        "Foo, 18 Aug 2050 02:01:18 GMT",
        "Thu, 18-Aug-50 02:01:18 GMT",
        "Thurs, 18-Aug-50 02:01:18 GMT",
        "Thu Aug 8 02:01:18 2050",
        "Thu, 01 Jan 0000 00:00:00 GMT",
        "Thu, 18 Aug 2050 02:01:18 GM\u{e9}",
    ] {
        assert_eq!(seconds(value), None, "{value}");
    }
}

#[test]
fn the_ends_of_what_can_be_written() {
    assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    assert_eq!(seconds("Wed, 31 Dec 1969 23:59:59 GMT"), Some(0));
    assert_eq!(seconds("Mon, 01 Jan 0001 00:00:00 GMT"), Some(0));
    assert_eq!(seconds("Fri, 31 Dec 9999 23:59:59 GMT"), Some(LAST));
    assert_eq!(seconds("Tue, 19 Jan 2038 14:14:08 GMT"), Some(2_147_523_248));
    assert_eq!(seconds("Sun, 21 Nov 2286 04:46:39 GMT"), Some(10_000_039_599));
    assert_eq!(seconds("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
    assert_eq!(seconds("Sat, 31 Dec 2016 23:59:60 GMT"), Some(1_483_228_800));
    assert_eq!(format(UnixMillis(u64::MAX)), "Fri, 31 Dec 9999 23:59:59 GMT");
    assert_eq!(format(UnixMillis(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
}

/// RFC 9110 §5.6.7: more than 50 years ahead is the past.
#[test]
fn two_digits_of_a_year_are_at_most_fifty_ahead() {
    let year = |two: u64, now: u64| {
        let value = format!("Sunday, 01-Mar-{two:02} 00:00:00 GMT");
        let at = parse(value.as_bytes(), UnixMillis(now)).unwrap();
        let text = format(at);
        text.to_str().unwrap()[12..16].parse::<u64>().unwrap()
    };
    assert_eq!(year(76, NOW.0), 2076);
    assert_eq!(year(77, NOW.0), 1977);
    assert_eq!(year(0, NOW.0), 2000);
    assert_eq!(year(94, NOW.0), 1994);
    assert_eq!(year(5, 915_148_800_000), 2005, "seen from 1999");
    assert_eq!(year(70, 0), 1970);
    parse(b"Sunday, 06-Nov-94 08:49:37 GMT", UnixMillis(u64::MAX)).unwrap();
}

#[test]
fn two_lines_are_no_date() {
    let mut headers = HeaderMap::new();
    let name = http::header::EXPIRES;
    assert_eq!(field(&headers, name.clone(), NOW), None);
    headers.append(&name, format(NOW));
    assert_eq!(field(&headers, name.clone(), NOW), Some(NOW));
    headers.append(&name, format(NOW));
    assert_eq!(field(&headers, name, NOW), None);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(at in 0..=LAST, now: u64) {
        let text = format(UnixMillis(at * 1000));
        prop_assert_eq!(parse(text.as_bytes(), UnixMillis(now)), Some(UnixMillis(at * 1000)));
        prop_assert_eq!(
            parse(text.as_bytes(), NOW),
            httpdate::parse_http_date(text.to_str().unwrap())
                .ok()
                .map(UnixMillis::from_system_time)
        );
    }

    #[test]
    fn no_bytes_make_it_panic(value: Vec<u8>, now: u64) {
        let _ = parse(&value, UnixMillis(now));
    }

    #[test]
    fn nothing_like_a_date_makes_it_panic(
        value in "[A-Z][a-z]{2,8},? [0-9]{1,2}[ -][A-Za-z]{3}[ -][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2}( GMT| [0-9]{4})?",
        now: u64,
    ) {
        let _ = parse(value.as_bytes(), UnixMillis(now));
    }
}
