//! Reads a connection URL. No message repeats a part of it: a password with an unescaped `/`,
//! `?`, `#` or `@` ends up in any of them.

use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;
use url::{Host, ParseError, Url};

use crate::{
    config::RedisConfig,
    deployment::{Deployment, NAME, Sentinel},
};

const ACCEPTED: &str = "accepted are `redis://[[user]:password@]host[:port][/database]`, \
    `redis-cluster://[[user]:password@]host[:port][?node=host:port&node=…]` and \
    `redis-sentinel://[[user]:password@]host[:port][/database]?sentinelServiceName=name\
    [&node=host:port…][&sentinelUsername=…][&sentinelPassword=…]`, each with `rediss` in place of \
    `redis` for TLS";
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
    let (tls, deployment) = scheme(url.scheme())?;
    let mut config = RedisConfig::new(host(&url)?, port(&url, deployment.default_port())?);
    (config.tls, config.deployment) = (tls, deployment);
    (config.username, config.password) = credentials(&url)?;
    config.database = database(&url, config.is_clustered())?;
    if url.fragment().is_some() {
        return Err(format!("it has a `#` part; {ESCAPES}; {ACCEPTED}"));
    }
    parameters(&url, &mut config)?;
    Ok(config)
}

/// Whether the scheme means TLS, and what it says the hosts are.
fn scheme(scheme: &str) -> Result<(bool, Deployment), String> {
    let unnamed = || Deployment::Sentinel(Sentinel::new(String::new()));
    match scheme {
        "redis" => Ok((false, Deployment::Single)),
        "rediss" => Ok((true, Deployment::Single)),
        "redis-cluster" => Ok((false, Deployment::Cluster)),
        "rediss-cluster" => Ok((true, Deployment::Cluster)),
        "redis-sentinel" => Ok((false, unnamed())),
        "rediss-sentinel" => Ok((true, unnamed())),
        "unix" | "redis+unix" | "redis+socket" => {
            Err(format!("unix sockets are not supported; {ACCEPTED}"))
        }
        _ => Err(format!("its scheme is not known; {ACCEPTED}")),
    }
}

/// What comes after the `?`. Not read as a form is: a `+` in a password is a `+`.
fn parameters(url: &Url, config: &mut RedisConfig) -> Result<(), String> {
    let unknown = || format!("it has a `?` part that is not known; {ESCAPES}; {ACCEPTED}");
    let pairs = url.query().unwrap_or_default().split('&');
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(unknown)?;
        let value = percent_decode_str(value).decode_utf8().map_err(|_| unknown())?;
        if value.is_empty() {
            return Err(format!("a part of it after the `?` is empty; {ACCEPTED}"));
        }
        if name == "node" && config.deployment != Deployment::Single {
            let node = node(&value).ok_or("a `node` in it is not `host:port`")?;
            config.hosts.push(node);
            continue;
        }
        let sentinel = config.deployment.sentinel_mut().ok_or_else(unknown)?;
        match name {
            "sentinelServiceName" if Sentinel::is_name(&value) => {
                sentinel.service = value.into_owned();
            }
            "sentinelServiceName" => {
                return Err(format!("the `sentinelServiceName` in it is not made of {NAME}"));
            }
            "sentinelUsername" => sentinel.username = Some(value.into_owned()),
            "sentinelPassword" => sentinel.password = Some(value.into_owned()),
            _ => return Err(unknown()),
        }
    }
    match config.deployment.sentinel() {
        Some(sentinel) if sentinel.service.is_empty() => {
            Err(format!("it does not say `?sentinelServiceName=`; {ACCEPTED}"))
        }
        _ => Ok(()),
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

fn port(url: &Url, default: u16) -> Result<u16, String> {
    match url.port().unwrap_or(default) {
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
mod tests;
