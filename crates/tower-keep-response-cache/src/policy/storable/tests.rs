use http::HeaderValue;

use super::*;
use crate::overrides::CacheControlOverride;
use crate::policy::{
    date,
    reuse::{Verdict, judge, may_replace_error},
};

mod overrides;
mod pitfalls;
mod properties;
mod public_suite;

/// 2026-11-22.
const NOW: UnixMillis = UnixMillis(1_795_305_600_000);

type Fields<'a> = &'a [(&'a str, &'a str)];

/// Fields; a value that begins with `@` is the date so many seconds from now.
fn fields(fields: Fields<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let value = match value.strip_prefix('@') {
            Some(seconds) => {
                let seconds: i64 = seconds.parse().unwrap();
                date::format(UnixMillis(NOW.0.saturating_add_signed(seconds * 1000)))
            }
            None => HeaderValue::from_str(value).unwrap(),
        };
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    map
}

/// The profile that the public suite is run with.
fn suite() -> Options {
    Options {
        targets: vec![HeaderName::from_static("cdn-cache-control")],
        heuristic: Some(std::time::Duration::from_secs(86_400)),
        set_cookie: SetCookie::Explicit,
        stale_on_failure: true,
        ..Options::default()
    }
}

/// One exchange.
#[derive(Clone)]
struct Got<'a> {
    method: Method,
    request: Fields<'a>,
    status: u16,
    response: Fields<'a>,
    outer: Option<CacheControlOverride>,
    handler: Option<CacheControlOverride>,
}

fn got(response: Fields<'_>) -> Got<'_> {
    Got { method: Method::GET, request: &[], status: 200, response, outer: None, handler: None }
}

impl<'a> Got<'a> {
    fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn asked_with(self, request: Fields<'a>) -> Self {
        Self { request, ..self }
    }

    fn by_handler(self, told: CacheControlOverride) -> Self {
        Self { handler: Some(told), ..self }
    }

    fn by_layer(self, told: CacheControlOverride) -> Self {
        Self { outer: Some(told), ..self }
    }

    fn stored(&self, options: &Options) -> Result<Keep, BypassReason> {
        let told = Overrides::of(self.outer.as_ref(), self.handler.as_ref());
        let exchange = Exchange {
            method: &self.method,
            request: &fields(self.request),
            status: StatusCode::from_u16(self.status).unwrap(),
            response: &fields(self.response),
            requested: NOW,
            received: NOW,
            told: told.as_ref(),
        };
        storable(&exchange, options)
    }

    fn refused(&self, options: &Options) -> Option<BypassReason> {
        self.stored(options).err()
    }

    /// How it is stored, by default.
    fn kept(&self) -> Keep {
        self.stored(&Options::default()).unwrap()
    }

    /// What a second request meets, `later` seconds after.
    fn then(&self, later: u64, asks: Fields<'_>, options: &Options) -> Second {
        let Ok(keep) = self.stored(options) else { return Second::Asked };
        if later >= keep.keep_for {
            return Second::Asked;
        }
        let asks = RequestDirectives::of(&fields(asks));
        let response = fields(self.response);
        let has = |name: &str| response.contains_key(name);
        match judge(&keep.freshness, &asks, false, UnixMillis(NOW.0 + later * 1000)) {
            Verdict::Fresh | Verdict::Stale { .. } => Second::Reused,
            Verdict::Validate(_) if has("etag") || has("last-modified") => Second::Validated,
            Verdict::Validate(_) => Second::Asked,
        }
    }

    /// Whether it answers, `later` seconds after, where the service fails.
    fn replaces(&self, later: u64, status: Option<u16>, options: &Options) -> bool {
        self.stored(options).is_ok_and(|keep| {
            later < keep.keep_for
                && may_replace_error(
                    &keep.freshness,
                    &RequestDirectives::default(),
                    status.map(|status| StatusCode::from_u16(status).unwrap()),
                    UnixMillis(NOW.0 + later * 1000),
                    options,
                )
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Second {
    Reused,
    Asked,
    Validated,
}

#[test]
fn nothing_said_is_nothing_stored() {
    let options = Options::default();
    for response in [
        &[][..],
        &[("etag", "\"a\"")],
        &[("last-modified", "@-100000")],
        &[("cache-control", "")],
        &[("cache-control", "immutable")],
        &[("cache-control", "stale-while-revalidate=60")],
        &[("cache-control", "max-age=0")],
        &[("cache-control", "public")],
        &[("expires", "@-10"), ("date", "@0")],
    ] {
        assert_eq!(got(response).refused(&options), Some(BypassReason::NotFresh), "{response:?}");
    }
}

#[test]
fn what_can_be_asked_by_is_stored_if_anything_is_said() {
    for said in ["no-cache", "public", "max-age=0", "max-age=0, must-revalidate", "s-maxage=0"] {
        let got = got(&[("cache-control", said), ("etag", "\"a\"")]).kept();
        assert_eq!(got.keep_for, AFTERWARDS, "{said}");
    }
}

#[test]
fn kept_as_long_as_it_can_be_of_use() {
    let kept = |said, more: Fields<'_>| {
        let mut response = vec![("cache-control", said)];
        response.extend(more);
        got(&response).kept().keep_for
    };
    assert_eq!(kept("max-age=60", &[]), 60);
    assert_eq!(kept("max-age=60", &[("age", "20")]), 40);
    assert_eq!(kept("max-age=60", &[("etag", "\"a\"")]), 60 + AFTERWARDS);
    assert_eq!(kept("max-age=60, stale-while-revalidate=30", &[]), 90);
    assert_eq!(kept("max-age=60, stale-while-revalidate=30, stale-if-error=600", &[]), 660);
    assert_eq!(kept("max-age=60, stale-if-error=600, must-revalidate", &[]), 60);
    assert_eq!(kept("max-age=60, stale-if-error=600", &[("age", "100")]), 560);
    assert_eq!(kept("max-age=99999999999", &[("etag", "\"a\"")]), 365 * 86_400 + AFTERWARDS);
    assert_eq!(kept("max-age=60, no-cache, stale-if-error=600", &[("etag", "\"a\"")]), AFTERWARDS);
}

#[test]
fn methods() {
    let fresh = &[("cache-control", "max-age=60")];
    let refused = |method: &str, response| {
        let got = Got { method: method.parse().unwrap(), ..got(response) };
        got.refused(&Options::default())
    };
    assert_eq!(refused("GET", fresh), None);
    for method in ["HEAD", "POST", "PUT", "OPTIONS", "QUERY", "FOO"] {
        assert_eq!(refused(method, fresh), Some(BypassReason::Method), "{method}");
    }
    let named = [("cache-control", "max-age=60"), ("content-location", "/it")];
    assert_eq!(refused("POST", &named), None);
    assert_eq!(refused("PUT", &named), Some(BypassReason::Method));
    let unsaid = [("cache-control", "public"), ("content-location", "/it"), ("etag", "\"a\"")];
    assert_eq!(refused("POST", &unsaid), Some(BypassReason::Method));
}

#[test]
fn a_part_says_where_it_belongs() {
    fn refused(response: Fields<'_>) -> Option<BypassReason> {
        got(response).status(206).refused(&Options::default())
    }
    let fresh = ("cache-control", "max-age=60");
    let place = ("content-range", "bytes 0-4/10");
    assert_eq!(refused(&[fresh, place]), None);
    assert_eq!(refused(&[fresh]), Some(BypassReason::Part));
    assert_eq!(refused(&[fresh, place, place]), Some(BypassReason::Part));
}

#[test]
fn the_least_of_what_is_said_twice_holds() {
    for said in [
        &[("cache-control", "max-age=60, max-age=1")][..],
        &[("cache-control", "max-age=1, max-age=60")],
        &[("cache-control", "max-age=1"), ("cache-control", "max-age=60")],
        &[("cache-control", "max-age=60"), ("cache-control", "max-age=1")],
        &[("cache-control", "s-maxage=60, s-maxage=1")],
        &[("expires", "@60"), ("expires", "@1")],
    ] {
        assert_eq!(got(said).kept().freshness.lifetime, 1, "{said:?}");
    }
    assert_eq!(
        got(&[("expires", "@60"), ("expires", "soon")]).refused(&Options::default()),
        Some(BypassReason::NotFresh)
    );
}

#[test]
fn a_stale_answer_is_forbidden_by_s_maxage_too() {
    let must = |said| got(&[("cache-control", said)]).kept().freshness.must_revalidate;
    assert!(must("max-age=60, must-revalidate"));
    assert!(must("max-age=60, proxy-revalidate"));
    assert!(must("s-maxage=60"));
    assert!(must("s-maxage=60, stale-while-revalidate=60"), "RFC 9111 §4.2.4");
    assert!(!must("max-age=60, immutable"));
}

#[test]
fn windows_of_the_options_apply_where_nothing_is_said() {
    let options = Options {
        stale_while_revalidate: std::time::Duration::from_secs(5),
        stale_if_error: std::time::Duration::from_secs(7),
        ..Options::default()
    };
    let windows = |said| {
        let freshness =
            got(&[("cache-control", said), ("etag", "\"a\"")]).stored(&options).unwrap();
        let freshness = freshness.freshness;
        (freshness.stale_while_revalidate, freshness.stale_if_error)
    };
    assert_eq!(windows("max-age=60"), (5, Some(7)));
    assert_eq!(windows("max-age=60, stale-while-revalidate=1"), (1, Some(7)));
    assert_eq!(windows("max-age=60, stale-if-error=0"), (5, Some(0)));
    assert_eq!(windows("max-age=0"), (0, None), "asked for each time");
    assert_eq!(got(&[("cache-control", "max-age=60")]).kept().freshness.stale_if_error, None);
}

#[test]
fn kept_for_one_user() {
    let options = Options { per_user: true, ..Options::default() };
    let kept = |response| got(response).asked_with(&[("authorization", "x")]).stored(&options);
    let private = kept(&[("cache-control", "private, max-age=60")]).unwrap();
    assert_eq!(private.freshness.lifetime, 60);
    let listed = kept(&[("cache-control", "private=\"x-name\", no-cache=\"x-time\", max-age=60")]);
    assert_eq!(listed.unwrap().drop_fields, ["x-time"]);
    let both = kept(&[("cache-control", "s-maxage=600, max-age=60")]).unwrap().freshness;
    assert_eq!((both.lifetime, both.must_revalidate), (60, false));
    let cookie = kept(&[("cache-control", "private, max-age=60"), ("set-cookie", "a=b")]);
    assert_eq!(cookie, Err(BypassReason::SetCookie));
    let secret = kept(&[("cache-control", "no-store, max-age=60")]);
    assert_eq!(secret, Err(BypassReason::NoStore));
}
