//! Server addresses as URLs.

use std::{env, io};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use crate::Resp;

/// The URL of a server on loopback.
pub(crate) fn url_of(scheme: &str, user: &str, password: Option<&str>, port: u16) -> String {
    let credentials = password.map(|password| format!("{}:{}@", escape(user), escape(password)));
    format!("{scheme}://{}127.0.0.1:{port}", credentials.unwrap_or_default())
}

/// Any text as a part of a URL.
pub(crate) fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The same URL with another port.
pub(crate) fn with_port(url: &str, port: u16) -> String {
    let mut url = Url::parse(url).expect("no URL");
    url.set_port(Some(port)).expect("a URL that cannot have a port");
    url.into()
}

/// What a `redis://` URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
    user: Option<String>,
    password: Option<String>,
    database: u32,
}

impl Address {
    /// Reads `redis://[[user]:password@]host[:port][/database]`.
    pub(crate) fn parse(text: &str) -> io::Result<Self> {
        // The text is not repeated: it may hold a password.
        let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "no plain redis:// URL");
        let url = Url::parse(text).map_err(|_| wrong())?;
        let host = url.host_str().filter(|_| url.scheme() == "redis").ok_or_else(wrong)?;
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let database = match url.path().trim_start_matches('/') {
            "" => 0,
            number => number.parse().map_err(|_| wrong())?,
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(6379),
            user: Some(decode(url.username())).filter(|user| !user.is_empty()),
            password: url.password().map(decode),
            database,
        })
    }

    /// A connection in the URL's database, authenticated if it has a password.
    pub(crate) async fn connect(&self) -> io::Result<Resp> {
        let mut resp = Resp::open((self.host.as_str(), self.port)).await?;
        if let Some(password) = &self.password {
            resp.auth(self.user.as_deref(), password).await?;
        }
        if self.database != 0 {
            resp.command(&["SELECT", &self.database.to_string()]).await?.ok()?;
        }
        Ok(resp)
    }
}

/// The URL in `REDIS_URL`, if there is one.
#[expect(clippy::disallowed_methods, reason = "the harness's own switches, not the product's")]
pub(crate) fn external_url() -> Option<String> {
    env::var("REDIS_URL").ok().filter(|url| !url.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Address, url_of, with_port};

    #[test]
    fn what_is_written_can_be_read() {
        assert_eq!(url_of("redis", "", None, 1), "redis://127.0.0.1:1");
        assert_eq!(url_of("redis", "", Some("s3"), 1), "redis://:s3@127.0.0.1:1");
        let url = url_of("redis", "u:x", Some("p@/ %"), 7);
        assert_eq!(url, "redis://u%3Ax:p%40%2F%20%25@127.0.0.1:7");
        let address = Address::parse(&url).unwrap();
        assert_eq!(
            (address.user.as_deref(), address.password.as_deref()),
            (Some("u:x"), Some("p@/ %"))
        );
        assert_eq!((address.host.as_str(), address.port, address.database), ("127.0.0.1", 7, 0));
    }

    #[test]
    fn a_port_can_be_changed_and_nothing_else() {
        let url = url_of("rediss", "u:x", Some("p@/ %"), 7);
        assert_eq!(with_port(&url, 8), url_of("rediss", "u:x", Some("p@/ %"), 8));
        assert_eq!(with_port("redis://h:7/3", 8), "redis://h:8/3");
    }

    #[test]
    fn the_rest_has_defaults() {
        let address = Address::parse("redis://:s@[::1]/3").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.database), ("::1", 6379, 3));
        assert_eq!((address.user, address.password.as_deref()), (None, Some("s")));
    }

    #[test]
    fn other_urls_are_refused_without_repeating_them() {
        for text in ["", "localhost", "rediss://:secret@h", "redis://:secret@h/x"] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
