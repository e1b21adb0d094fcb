use cookie::Cookie;
use proptest::prelude::*;

use super::*;

fn problems(options: &CookieOptions) -> Vec<String> {
    let mut error = ConfigError::default();
    options.validate(&mut error);
    error.problems().iter().map(|p| format!("{}: {}", p.name, p.message)).collect()
}

/// Which options are refused.
fn refused(options: &CookieOptions) -> Vec<String> {
    let name = |problem: String| problem.split(':').next().unwrap().to_owned();
    problems(options).into_iter().map(name).collect()
}

fn secure() -> CookieOptions {
    CookieOptions::default().name("__Secure-id")
}

#[test]
fn it_is_written_as_the_default_says() {
    let options = CookieOptions::default();
    assert_eq!(problems(&options), Vec::<String>::new());
    assert_eq!(
        options.set("abc", Some(Duration::from_secs(86_400))),
        "__Host-session=abc; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure"
    );
    assert_eq!(
        options.set("abc", None),
        "__Host-session=abc; Path=/; HttpOnly; SameSite=Lax; Secure"
    );
    assert_eq!(
        options.removal(),
        "__Host-session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"
    );
}

#[test]
fn every_option_is_written_and_the_removal_has_them_too() {
    let options =
        secure().domain("example.com").path("/app").same_site(SameSite::None).partitioned(true);
    assert_eq!(problems(&options), Vec::<String>::new());
    assert_eq!(
        options.set("abc", Some(Duration::from_millis(1_999))),
        "__Secure-id=abc; Path=/app; Domain=example.com; Max-Age=1; HttpOnly; SameSite=None; \
         Secure; Partitioned"
    );
    assert_eq!(
        options.removal(),
        "__Secure-id=; Path=/app; Domain=example.com; Max-Age=0; HttpOnly; SameSite=None; \
         Secure; Partitioned"
    );
}

#[test]
fn a_token_is_not_to_be_logged() {
    let options = CookieOptions::default();
    assert_eq!(format!("{:?}", options.set("abc", None)), "Sensitive");
}

#[test]
fn plain_http_has_neither_secure_nor_the_prefix() {
    for name in ["__Host-session", "__Secure-session", "__host-session", "__Http-session"] {
        let options = CookieOptions::default().name(name).insecure();
        assert_eq!(problems(&options), Vec::<String>::new());
        assert_eq!(options.cookie_name(), "session");
        assert_eq!(options.set("a", None), "session=a; Path=/; HttpOnly; SameSite=Lax");
    }
    let later = CookieOptions::default().insecure().name("__Host-session");
    assert_eq!(problems(&later), ["cookie.secure: `__Host-session` needs it, for its `__Host-`"]);
}

#[test]
fn what_browsers_would_refuse_is_refused() {
    let host = CookieOptions::default();
    for (options, expected) in [
        (host.clone().domain("example.com"), &["cookie.domain"][..]),
        (host.clone().path("/app"), &["cookie.path"]),
        (host.clone().secure(false), &["cookie.secure"]),
        (host.clone().name("__HOST-id").path("/app"), &["cookie.path"]),
        (host.clone().name("__Host-Http-id").domain("a.b"), &["cookie.domain"]),
        (
            host.clone().domain("a.b").path("/a").secure(false),
            &["cookie.domain", "cookie.path", "cookie.secure"],
        ),
        (secure().secure(false), &["cookie.secure"]),
        (secure().name("__SECURE-id").secure(false), &["cookie.secure"]),
        (secure().name("__http-id").secure(false), &["cookie.secure"]),
        (secure().domain("example.com").path("/app"), &[]),
        (host.clone().insecure().same_site(SameSite::None), &["cookie.secure"]),
        (host.clone().insecure().partitioned(true), &["cookie.secure"]),
        (host.clone().same_site(SameSite::None).partitioned(true), &[]),
        (host.insecure().same_site(SameSite::Strict), &[]),
    ] {
        assert_eq!(refused(&options), expected, "{options:?}");
    }
}

#[test]
fn a_name_is_a_token() {
    for bad in ["", "a b", "a=b", "a;b", "a,b", "a\"", "a\n", "ä", "a/b", "a\u{7f}", "(a)", "a@b"]
    {
        assert_eq!(refused(&secure().name(bad)), ["cookie.name"], "{bad:?}");
    }
    assert_eq!(refused(&secure().name("x".repeat(129))), ["cookie.name"]);
    for good in ["a", "sid", "a.b_c-d", "!#$%&'*+-.^_`|~", &"x".repeat(128)] {
        assert_eq!(problems(&secure().name(good)), Vec::<String>::new());
    }
}

#[test]
fn a_domain_and_a_path_smuggle_nothing_in() {
    for bad in
        ["", ".", "a;b", "a b", "a\r\nb", "ä.de", "a/b", "a:80", "a; Secure", &"a".repeat(1024)]
    {
        assert_eq!(refused(&secure().domain(bad)), ["cookie.domain"], "{bad:?}");
    }
    for good in ["example.com", ".example.com", "localhost", "xn--4ca.de", "10.0.0.1"] {
        assert_eq!(problems(&secure().domain(good)), Vec::<String>::new());
    }
    let long = format!("/{}", "a".repeat(1024));
    for bad in ["", "app", "/a;b", "/a\r\nb", "/a\0", "/ä", "/a ", "/\u{7f}", &long] {
        assert_eq!(refused(&secure().path(bad)), ["cookie.path"], "{bad:?}");
    }
    for good in ["/", "/app", "/a/b%20c", "/a=b,c", "/a b"] {
        assert_eq!(problems(&secure().path(good)), Vec::<String>::new());
    }
}

fn values(headers: &[&[u8]], name: &str) -> Vec<String> {
    let headers: Vec<_> =
        headers.iter().map(|bytes| HeaderValue::from_bytes(bytes).unwrap()).collect();
    candidates(headers.iter(), name).map(|v| String::from_utf8_lossy(v).into_owned()).collect()
}

#[test]
fn the_values_of_one_name_are_found_in_order() {
    for (headers, expected) in [
        (&[][..], &[][..]),
        (&[&b"id=a"[..]], &["a"]),
        (&[b"id=a; id=b", b"x=y;id=c"], &["a", "b", "c"]),
        (&[b"x=y;id=a;z"], &["a"]),
        (&[b"  id\t= a b ;"], &["a b"]),
        (&[b"id=\"a\"; id=\" a\"; id=\"a; id=\"; id=\"\""], &["a", " a", "\"a", "\"", ""]),
        (&[b"id=a=b==; id=="], &["a=b==", "="]),
        (&[b"id; id=; ID=a; iid=a; id2=a; =id; =; ;;"], &[""]),
        (&[b"$Version=1; id=a, id=b"], &["a, id=b"]),
        (&[b"\xff=\xfe; id=\xff", b"\xff;id=a"], &["\u{fffd}", "a"]),
    ] {
        assert_eq!(values(headers, "id"), expected, "{headers:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_valid_is_written_and_read_alike(
        name in "[!#-+.0-9A-Z^-z|~-]{1,128}",
        domain in prop::option::of("\\.?[a-z]([a-z0-9-]{0,7}[a-z0-9])?(\\.[a-z]([a-z0-9-]{0,7}[a-z0-9])?){0,2}"),
        path in "/([ -:<-~]{0,20}[!-:<-~])?",
        same_site in prop_oneof![Just(SameSite::Strict), Just(SameSite::Lax), Just(SameSite::None)],
        secure: bool,
        partitioned: bool,
        value in "[A-Za-z0-9_-]{0,200}",
        age in prop::option::of(any::<u32>()),
    ) {
        // What browsers want of these two.
        let secure = secure || partitioned || same_site == SameSite::None;
        let mut options = CookieOptions::default()
            .name(&name).path(&path).same_site(same_site).secure(secure).partitioned(partitioned);
        if let Some(domain) = &domain {
            options = options.domain(domain);
        }
        prop_assume!(problems(&options).is_empty());
        let age = age.map(|age| Duration::from_secs(age.into()));
        for (header, value, age) in [
            (options.set(&value, age), value.as_str(), age),
            (options.removal(), "", Some(Duration::ZERO)),
        ] {
            let cookie = Cookie::parse(header.to_str().unwrap()).unwrap();
            prop_assert_eq!(cookie.name_value(), (name.as_str(), value));
            prop_assert_eq!(cookie.path(), Some(path.as_str()));
            let bare = domain.as_deref().map(|domain| domain.strip_prefix('.').unwrap_or(domain));
            prop_assert_eq!(cookie.domain(), bare);
            prop_assert_eq!(cookie.http_only(), Some(true));
            prop_assert_eq!(cookie.secure().unwrap_or(false), secure);
            prop_assert_eq!(cookie.partitioned().unwrap_or(false), partitioned);
            prop_assert_eq!(cookie.same_site().unwrap().to_string(), same_site.to_string());
            let seconds = cookie.max_age().map(|age| age.whole_seconds().unsigned_abs());
            prop_assert_eq!(seconds, age.map(|age| age.as_secs()));
            let sent = HeaderValue::try_from(cookie.stripped().to_string()).unwrap();
            let found: Vec<_> = candidates([&sent].into_iter(), &name).collect();
            prop_assert_eq!(found, [value.as_bytes()]);
        }
    }

    #[test]
    fn no_options_panic(name: String, domain: String, path: String, secure: bool) {
        let options = CookieOptions::default().name(name).domain(domain).path(path).secure(secure);
        if problems(&options).is_empty() {
            options.set("value", None);
            options.removal();
        }
    }

    #[test]
    fn no_headers_panic_and_no_value_is_made_up(
        headers in prop::collection::vec("[id=;\" \t\u{80}-\u{ff}]{0,60}", 0..4),
    ) {
        let values: Vec<_> =
            headers.iter().map(|text| HeaderValue::from_bytes(text.as_bytes()).unwrap()).collect();
        for value in candidates(values.iter(), "id") {
            // Each is the end of a pair that begins with the name.
            let pairs = headers.iter().flat_map(|text| text.split(';'));
            let found = pairs.filter_map(|pair| {
                let value = pair.trim_ascii().strip_prefix("id")?.trim_ascii().strip_prefix('=')?;
                Some(value.trim_ascii().as_bytes().to_vec())
            });
            let quoted = [&b"\""[..], value, b"\""].concat();
            let is_one = found.into_iter().any(|found| found == value || found == quoted);
            prop_assert!(is_one, "{:?} in {:?}", value, headers);
        }
    }
}
