use std::collections::HashMap;

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    Config::from_lookup(|name| variables.get(name).map(OsString::from))
}

/// The names of the variables that are refused.
fn refused(variables: &[(&str, &str)]) -> Vec<String> {
    let error = read(variables).expect_err("it was accepted");
    error.problems().iter().map(|problem| problem.name.clone()).collect()
}

#[test]
fn nothing_set_is_the_documented_default() {
    for variables in [&[][..], &[("RATE_LIMIT_MAX", ""), ("TRUSTED_PROXIES", "")]] {
        let config = read(variables).unwrap();
        assert_eq!(config.rate_limit, RateLimitConfig::default());
        assert_eq!(config.trusted_proxies, TrustedProxies::none());
        assert!(config.warnings.is_empty());
        #[cfg(feature = "redis")]
        assert_eq!(config.redis, None);
    }
}

#[test]
fn rate_limits_are_read() {
    let config = read(&[("RATE_LIMIT_MAX", "7"), ("RATE_LIMIT_WINDOW", "60")]).unwrap();
    let second = Duration::from_secs(1);
    let expected = RateLimitConfig { max: 7, window: 60 * second, ttl: 900 * second };
    assert_eq!(config.rate_limit, expected);
    let config = read(&[("RATE_LIMIT_WINDOW", "3600")]).unwrap();
    assert_eq!(config.rate_limit.ttl, 3600 * second, "counters outlive a long window");
    let config = read(&[("RATE_LIMIT_WINDOW", "60"), ("RATE_LIMIT_TTL", "60")]).unwrap();
    assert_eq!(config.rate_limit.ttl, 60 * second);
}

#[test]
fn zero_negative_huge_and_non_numeric_values_are_refused() {
    for bad in ["0", "-1", "1000000001", "99999999999999999999999", "ten", "1.5", " 5", "0x10"] {
        assert_eq!(refused(&[("RATE_LIMIT_MAX", bad)]), ["RATE_LIMIT_MAX"], "{bad:?}");
    }
    for bad in ["0", "-1", "31536001", "15m"] {
        assert_eq!(refused(&[("RATE_LIMIT_WINDOW", bad)]), ["RATE_LIMIT_WINDOW"], "{bad:?}");
    }
    assert_eq!(refused(&[("RATE_LIMIT_TTL", "899")]), ["RATE_LIMIT_TTL"]);
    let one = [("RATE_LIMIT_WINDOW", "abc"), ("RATE_LIMIT_TTL", "60")];
    assert_eq!(refused(&one), ["RATE_LIMIT_WINDOW"], "one mistake is one problem");
    assert_eq!(refused(&[("TRUSTED_PROXIES", "10.0.0.0/8,proxy")]), ["TRUSTED_PROXIES"]);
}

#[test]
fn the_header_that_proxies_tell_addresses_in_is_one_of_two() {
    let proxies: TrustedProxies = "10.0.0.0/8".parse().unwrap();
    let lan = ("TRUSTED_PROXIES", "10.0.0.0/8");
    for (variables, header) in [
        (&[lan][..], ForwardingHeader::XForwardedFor),
        (&[lan, ("TRUSTED_PROXY_HEADER", "")], ForwardingHeader::XForwardedFor),
        (&[lan, ("TRUSTED_PROXY_HEADER", "x-forwarded-for")], ForwardingHeader::XForwardedFor),
        (&[lan, ("TRUSTED_PROXY_HEADER", "Forwarded")], ForwardingHeader::Forwarded),
    ] {
        let config = read(variables).unwrap();
        assert_eq!(config.trusted_proxies, proxies.clone().with_header(header), "{variables:?}");
        assert!(config.warnings.is_empty());
    }
    for bad in ["x-real-ip", "both", "x-forwarded-for,forwarded"] {
        assert_eq!(refused(&[lan, ("TRUSTED_PROXY_HEADER", bad)]), ["TRUSTED_PROXY_HEADER"]);
    }
    let alone = read(&[("TRUSTED_PROXY_HEADER", "forwarded")]).unwrap();
    assert_eq!(alone.warnings.len(), 1, "it does nothing by itself");
}

#[cfg(feature = "redis")]
mod redis {
    use super::*;

    fn endpoint(variables: &[(&str, &str)]) -> (String, usize) {
        let config = read(variables).unwrap();
        (config.redis.expect("no Redis").endpoint(), config.warnings.len())
    }

    #[test]
    fn every_mistake_is_reported_at_once_with_what_is_accepted() {
        let bad = [
            ("REDIS_URL", "http://localhost"),
            ("REDIS_PORT", "70000"),
            ("REDIS_TLS", "maybe"),
            ("REDIS_TIMEOUT_MS", "0"),
            ("RATE_LIMIT_MAX", "-5"),
            ("TRUSTED_PROXIES", "nonsense"),
        ];
        let mut expected = bad.map(|(name, _)| name.to_owned()).to_vec();
        let mut names = refused(&bad);
        names.sort();
        expected.sort();
        assert_eq!(names, expected);
        let text = read(&bad).unwrap_err().to_string();
        for hint in ["redis://", "1 to 65535", "`maybe`", "1 to 60000", "1 to 1000000000"] {
            assert!(text.contains(hint), "{hint} is missing in: {text}");
        }
    }

    #[test]
    fn the_url_wins_and_a_difference_is_a_warning() {
        let url = ("REDIS_URL", "redis://app:secret@cache:7000/2");
        let shown = "redis://app:***@cache:7000/2".to_owned();
        assert_eq!(endpoint(&[url]), (shown.clone(), 0));
        let same = [
            url,
            ("REDIS_HOST", "cache"),
            ("REDIS_PORT", "7000"),
            ("REDIS_USERNAME", "app"),
            ("REDIS_PASSWORD", "secret"),
            ("REDIS_DB", "2"),
            ("REDIS_TLS", "false"),
        ];
        assert_eq!(endpoint(&same), (shown.clone(), 0));
        for other in [
            ("REDIS_HOST", "elsewhere"),
            ("REDIS_PORT", "7001"),
            ("REDIS_PASSWORD", "other"),
            ("REDIS_DB", "0"),
            ("REDIS_TLS", "true"),
        ] {
            assert_eq!(endpoint(&[url, other]), (shown.clone(), 1), "{other:?}");
        }
    }

    #[test]
    fn the_parts_make_a_server() {
        let parts = [
            ("REDIS_HOST", "cache"),
            ("REDIS_PORT", "7000"),
            ("REDIS_USERNAME", "app"),
            ("REDIS_PASSWORD", "secret"),
            ("REDIS_DB", "3"),
            ("REDIS_TLS", "true"),
        ];
        assert_eq!(endpoint(&parts), ("rediss://app:***@cache:7000/3".to_owned(), 0));
        let (host, _) = endpoint(&[("REDIS_HOST", "cache")]);
        assert_eq!(host, "redis://cache:6379/0");
    }

    #[test]
    fn parts_without_a_host_are_no_silent_memory_mode() {
        let parts = [("REDIS_PORT", "6379"), ("REDIS_PASSWORD", "secret")];
        assert_eq!(refused(&parts), ["REDIS_PORT", "REDIS_PASSWORD"]);
    }

    const URL: (&str, &str) = ("REDIS_URL", "rediss://cache");
    const CA: &str = "REDIS_TLS_CA_FILE";
    const CERTIFICATE: &str = "REDIS_TLS_CERT_FILE";
    const KEY: &str = "REDIS_TLS_KEY_FILE";

    #[test]
    fn what_is_wrong_with_certificates_is_told_by_name() {
        let nowhere = "/nowhere/hunter2.pem";
        let nothing = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let table: [(&[_], &[_], &str); 7] = [
            (&[URL, (CA, nowhere)], &[CA], "cannot be read"),
            (&[URL, (CA, nothing)], &[CA], "no certificate in it"),
            (&[URL, (KEY, nowhere)], &[KEY], CERTIFICATE),
            (&[URL, (CERTIFICATE, nowhere)], &[CERTIFICATE], KEY),
            (
                &[URL, (CA, nowhere), (CERTIFICATE, nowhere), (KEY, nothing)],
                &[CA, CERTIFICATE, KEY],
                "no private key in it",
            ),
            (&[("REDIS_URL", "redis://cache"), (CA, nowhere)], &[CA], "without TLS"),
            (&[("REDIS_URL", "no URL"), (CA, nowhere)], &["REDIS_URL", CA], "cannot be read"),
        ];
        for (variables, names, hint) in table {
            assert_eq!(refused(variables), names, "{variables:?}");
            let text = read(variables).unwrap_err().to_string();
            assert!(text.contains(hint) && !text.contains("hunter2"), "{hint} in: {text}");
        }
        assert_eq!(refused(&[(CA, nothing)]), [CA], "alone it is no silent memory mode");
    }

    #[test]
    fn sentinels_are_named_by_url_and_may_want_a_login() {
        let user = ("REDIS_SENTINEL_USERNAME", "watch");
        let password = ("REDIS_SENTINEL_PASSWORD", "hunter2");
        let bare = ("REDIS_URL", "redis-sentinel://a?sentinelServiceName=main");
        let login = |variables: &[_]| {
            let config = read(variables).unwrap();
            assert!(!format!("{config:?}").contains("hunter2"));
            let redis = config.redis.unwrap();
            let (user, password) = redis.sentinel_login().unwrap();
            (user.map(str::to_owned), password.map(str::to_owned), config.warnings.len())
        };
        let expected = |user: Option<&str>, warnings| {
            (user.map(str::to_owned), Some("hunter2".to_owned()), warnings)
        };
        assert_eq!(login(&[bare]), (None, None, 0));
        assert_eq!(login(&[bare, password]), expected(None, 0));
        assert_eq!(login(&[bare, user, password]), expected(Some("watch"), 0));
        let full =
            ("REDIS_URL", "redis-sentinel://a?sentinelServiceName=m&sentinelPassword=hunter2");
        assert_eq!(login(&[full, password]), expected(None, 0));
        assert_eq!(login(&[full, user, password]), expected(None, 1), "the URL wins");
        assert_eq!(refused(&[bare, user]), [user.0]);
        assert_eq!(refused(&[("REDIS_URL", "redis://a"), password]), [password.0]);
        assert_eq!(refused(&[user, password]), [user.0, password.0]);
    }

    #[test]
    fn publishing_can_be_switched_off() {
        let pubsub = |value| {
            let config = read(&[("REDIS_URL", "redis://h"), ("REDIS_PUBSUB_ENABLED", value)]);
            config.unwrap().redis.unwrap()
        };
        assert_eq!(pubsub("true"), pubsub(""));
        assert_eq!(pubsub("false"), pubsub("").with_pubsub(false));
        let bad = [("REDIS_URL", "redis://h"), ("REDIS_PUBSUB_ENABLED", "maybe")];
        assert_eq!(refused(&bad), ["REDIS_PUBSUB_ENABLED"]);
    }

    #[test]
    fn no_secret_is_ever_shown() {
        for bad in [
            &[("REDIS_URL", "redis://u:hunter2@host:notaport/0")][..],
            &[("REDIS_URL", "redis://u:hunter2@host/notadb")],
            &[("REDIS_URL", "hunter2")],
            &[("REDIS_PASSWORD", "hunter2")],
            &[("REDIS_HOST", "h"), ("REDIS_PASSWORD", "hunter2"), ("REDIS_DB", "x")],
        ] {
            let error = read(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let config = read(&[("REDIS_URL", "redis://u:hunter2@h/0")]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_no_text_is_refused_once() {
        use std::os::unix::ffi::OsStringExt as _;
        let error = Config::from_lookup(|name| {
            (name == "REDIS_HOST").then(|| OsString::from_vec(vec![0xff]))
        });
        assert_eq!(error.unwrap_err().problems().len(), 1);
    }
}

#[cfg(not(feature = "redis"))]
#[test]
fn without_the_feature_a_configured_redis_is_an_error() {
    assert_eq!(refused(&[("REDIS_URL", "redis://h")]), ["REDIS_URL"]);
}
