use proptest::prelude::*;

use super::*;

#[test]
fn accepted() {
    let table = [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("redis://127.0.0.1:6380/", "redis://127.0.0.1:6380/0"),
        ("redis://[::1]:6380/15", "redis://[::1]:6380/15"),
        ("rediss://cache.example.com/255", "rediss://cache.example.com:6379/255"),
        ("redis://:secret@h", "redis://:***@h:6379/0"),
        ("redis://app:secret@h:1/2", "redis://app:***@h:1/2"),
        ("redis://:@h", "redis://h:6379/0"),
        ("redis-cluster://a:1/0", "redis-cluster://a:1"),
        (
            "rediss-cluster://:secret@a:1?node=b:2&node=[::1]:3",
            "rediss-cluster://:***@a:1,b:2,[::1]:3",
        ),
        (
            "redis-sentinel://a?sentinelServiceName=my.main-1_x",
            "redis-sentinel://a:26379/0?sentinelServiceName=my.main-1_x",
        ),
        (
            "rediss-sentinel://u:p@a:1/3?node=b:2&sentinelPassword=s3cret&sentinelServiceName=m",
            "rediss-sentinel://u:***@a:1,b:2/3?sentinelServiceName=m",
        ),
    ];
    for (url, endpoint) in table {
        let config = parse(url).unwrap_or_else(|problem| panic!("{url}: {problem}"));
        assert_eq!(config.endpoint(), endpoint, "{url}");
        assert_eq!(config.validate(), Ok(()), "{url}");
    }
}

#[test]
fn user_and_password_are_decoded() {
    let config = parse("redis://a%40b:p%2F%3F%23%25%C3%A9:x@h").unwrap();
    assert_eq!(config.username.as_deref(), Some("a@b"));
    assert_eq!(config.password.as_deref(), Some("p/?#%\u{e9}:x"));
    assert_eq!(parse("redis://:100%@h").unwrap().password.as_deref(), Some("100%"));
}

#[test]
fn the_sentinels_have_a_login_of_their_own() {
    let url =
        "redis-sentinel://u:p@h?sentinelServiceName=m&sentinelUsername=w%40&sentinelPassword=";
    let config = parse(&format!("{url}a+b%2Bc")).unwrap();
    assert_eq!(config.sentinel_login(), Some((Some("w@"), Some("a+b+c"))));
    assert_eq!((config.username.as_deref(), config.password.as_deref()), (Some("u"), Some("p")));
    let config = parse("redis-sentinel://u:p@h?sentinelServiceName=m").unwrap();
    assert_eq!(config.sentinel_login(), Some((None, None)));
    assert_eq!(parse("redis://u:p@h").unwrap().sentinel_login(), None);
    let config = parse("redis-sentinel://h?sentinelServiceName=m&sentinelUsername=w").unwrap();
    assert!(config.validate().unwrap_err().to_string().contains("REDIS_SENTINEL_PASSWORD"));
}

#[test]
fn what_is_accepted_is_listed() {
    let problem = parse("http://h").unwrap_err();
    for form in ["redis://", "redis-cluster://", "redis-sentinel://", "`rediss`"] {
        assert!(problem.contains(form), "{form}: {problem}");
    }
}

#[test]
fn refused() {
    let table = [
        ("", "not a URL"),
        ("localhost:6379", "scheme is not known"),
        ("http://h", "scheme is not known"),
        ("redis://", "names no host"),
        ("redis:///1", "names no host"),
        ("redis://h:0", "port"),
        ("redis://h:99999", "port"),
        ("redis://h:x", "port"),
        ("redis://h/256", "database"),
        ("redis://h/+1", "database"),
        ("redis://h/db", "database"),
        ("redis://h/1/2", "database"),
        ("redis-cluster://h/1", "only database 0"),
        ("redis://user@h", "without a password"),
        ("redis://:%ff@h", "UTF-8"),
        ("redis://h?node=a:1", "not known"),
        ("redis-cluster://h?other=1", "not known"),
        ("redis-cluster://h?node=a", "`host:port`"),
        ("redis://h#1", "`#`"),
        ("redis-sentinel://h", "does not say `?sentinelServiceName="),
        ("redis-sentinel://h?sentinelServiceName=", "is empty"),
        ("redis-sentinel://h?sentinelServiceName=a%20b", "is not made of"),
        ("redis-sentinel://h?sentinelServiceName=m&node=b", "`host:port`"),
        ("redis-sentinel://h?sentinelServiceName=m&db=1", "not known"),
        ("redis-sentinel://h?sentinelServiceName", "not known"),
        ("redis-cluster://h?sentinelServiceName=m", "not known"),
        ("redis://h?sentinelServiceName=m", "not known"),
        ("redis+unix:///tmp/redis.sock", "unix sockets"),
        ("unix:///tmp/redis.sock", "unix sockets"),
        ("/tmp/redis.sock", "not a URL"),
    ];
    for (url, expected) in table {
        let problem = parse(url).expect_err(url);
        assert!(problem.contains(expected), "{url}: {problem}");
    }
}

proptest! {
    /// A password that nobody escaped may break the URL anywhere; it is never shown.
    #[test]
    fn no_password_is_ever_shown(
        password in "[!-~]{0,4}hunter2[!-~]{0,4}",
        user in "[a-z]{0,3}",
        scheme in "(rediss?(-cluster|-sentinel)?|http)",
    ) {
        let query = if scheme.ends_with("sentinel") { "?sentinelServiceName=m" } else { "" };
        let url = format!("{scheme}://{user}:{password}@h:1/2{query}");
        let shown = match RedisConfig::from_url(&url) {
            Ok(config) => format!("{config:?} {config} {}", config.endpoint()),
            Err(problem) => format!("{problem:?} {problem}"),
        };
        prop_assert!(!shown.contains("hunter2"), "{}", shown);
    }

    #[test]
    fn escaped_credentials_come_through(user in "\\PC{1,20}", password in "\\PC{1,20}") {
        use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
        let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let config = parse(&format!("redis://{}:{}@h", escape(&user), escape(&password)));
        let config = config.unwrap();
        prop_assert_eq!(config.username, Some(user));
        prop_assert_eq!(config.password, Some(password));
    }

    #[test]
    fn nothing_panics(text in "\\PC{0,60}") {
        let _ = parse(&text);
        let _ = parse(&format!("redis://{text}"));
    }
}
