//! Reads a connection URL. No message repeats a part of it: a password with an unescaped `/`,
//! `?`, `#` or `@` ends up in any of them.

use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;
use url::{Host, ParseError, Url};

use crate::config::RedisConfig;

const ACCEPTED: &str = "accepted is `redis://[[user]:password@]host[:port][/database]`, with \
    `rediss://` for TLS and `redis-cluster://` or `rediss-cluster://` for a cluster";
const ESCAPES: &str = "in user and password write `%2F` for `/`, `%3F` for `?`, `%23` for `#`, \
    `%40` for `@`, `%3A` for `:` and `%25` for `%`";

pub(crate) fn parse(text: &str) -> Result<RedisConfig, String> {
    let url = Url::parse(text).map_err(|error| match error {
        ParseError::InvalidPort => {
            format!("the port is not a number from 1 to 65535; {ACCEPTED}; {ESCAPES}")
        }
        ParseError::EmptyHost => format!("it names no host; {ACCEPTED}; {ESCAPES}"),
        _ => format!("it is not a URL; {ACCEPTED}"),
    })?;
    let (tls, clustered) = scheme(url.scheme())?;
    let mut config = RedisConfig::new(host(&url)?, port(&url)?);
    config.tls = tls;
    config.clustered = clustered;
    (config.username, config.password) = credentials(&url)?;
    config.database = database(&url, clustered)?;
    if url.fragment().is_some() {
        return Err(format!("it has a `#` part; {ESCAPES}; {ACCEPTED}"));
    }
    for (name, value) in url.query_pairs() {
        if name != "node" || !clustered {
            return Err(format!(
                "it has a `?` part that is not known (a cluster may name more nodes as \
                 `?node=host:port`); {ESCAPES}; {ACCEPTED}"
            ));
        }
        let node = node(&value).ok_or("a `node` in it is not `host:port`")?;
        config.hosts.push(node);
    }
    Ok(config)
}

/// Whether the scheme means TLS, and whether a cluster.
fn scheme(scheme: &str) -> Result<(bool, bool), String> {
    match scheme {
        "redis" => Ok((false, false)),
        "rediss" => Ok((true, false)),
        "redis-cluster" => Ok((false, true)),
        "rediss-cluster" => Ok((true, true)),
        "redis-sentinel" | "rediss-sentinel" => {
            Err(format!("sentinel is not supported yet; {ACCEPTED}"))
        }
        "unix" | "redis+unix" | "redis+socket" => {
            Err(format!("unix sockets are not supported; {ACCEPTED}"))
        }
        _ => Err(format!("its scheme is not known; {ACCEPTED}")),
    }
}

fn host(url: &Url) -> Result<String, String> {
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => format!("[{address}]"),
        None => String::new(),
    };
    if is_host(&host) { Ok(host) } else { Err(format!("it names no host; {ACCEPTED}; {ESCAPES}")) }
}

fn port(url: &Url) -> Result<u16, String> {
    match url.port().unwrap_or(6379) {
        0 => Err(format!("the port is not a number from 1 to 65535; {ACCEPTED}")),
        port => Ok(port),
    }
}

fn credentials(url: &Url) -> Result<(Option<String>, Option<String>), String> {
    let decoded = |text: &str| match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(Some(text.into_owned()).filter(|text| !text.is_empty())),
        Err(_) => Err(format!("user or password is not UTF-8 once percent-decoded; {ACCEPTED}")),
    };
    let username = decoded(url.username())?;
    let password = decoded(url.password().unwrap_or_default())?;
    if username.is_some() && password.is_none() {
        return Err(format!(
            "it names a user without a password; the password of the default user is written \
             `redis://:password@host`; {ACCEPTED}"
        ));
    }
    Ok((username, password))
}

fn database(url: &Url, clustered: bool) -> Result<u8, String> {
    let path = url.path().strip_prefix('/').unwrap_or(url.path());
    if path.is_empty() {
        return Ok(0);
    }
    let digits = path.bytes().all(|byte| byte.is_ascii_digit());
    match path.parse::<u8>() {
        Ok(0) => Ok(0),
        Ok(_) if clustered => Err("a cluster has only database 0".to_owned()),
        Ok(database) if digits => Ok(database),
        _ => Err(format!("the database is not a number from 0 to 255; {ACCEPTED}; {ESCAPES}")),
    }
}

fn node(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    is_host(host).then(|| (host.to_owned(), port))
}

/// Whether this can be a host: a name, an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn is_host(host: &str) -> bool {
    if let Some(v6) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return v6.parse::<Ipv6Addr>().is_ok();
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !host.is_empty() && host.len() <= 253 && host.bytes().all(plain)
}

#[cfg(test)]
mod tests {
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
            ("redis-sentinel://h", "sentinel is not supported yet"),
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
            let url = format!("{scheme}://{user}:{password}@h:1/2");
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
}
