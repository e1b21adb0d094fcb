//! What the fuzz targets of `fuzz/` call, and the tests that replay their seeds.

/// A connection URL. Neither an error nor `Debug` tells the password, wherever in it that stands.
pub fn redis_url(data: &[u8]) {
    const SECRET: &str = "correct-horse-battery-staple";
    let Ok(text) = str::from_utf8(data) else { return };
    match crate::url::parse(&text.replace("PASSWORD", SECRET)) {
        Err(error) => assert!(!error.contains(SECRET), "{error}"),
        Ok(config) => {
            let named = config.hosts.iter().map(|(host, _)| host).chain(&config.username);
            let sentinel = config.deployment.sentinel();
            let named = named.chain(sentinel.map(|it| &it.service));
            let named = named.chain(sentinel.and_then(|it| it.username.as_ref()));
            // A host may be shown, and so may a user.
            if !named.into_iter().any(|it| it.contains(SECRET)) {
                let shown = format!("{config:?} {config}");
                assert!(!shown.contains(SECRET), "{shown}");
            }
        }
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn seeds_are_replayed() {
        replay("redis_url", redis_url);
    }
}
