//! Which server program a test runs, and where it is found.

use std::{
    env,
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
};

/// The server implementations that the project is proven on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// `redis-server`
    Redis,
    /// `valkey-server`
    Valkey,
}

impl Flavor {
    /// Both, for tests that run on each.
    pub const ALL: [Self; 2] = [Self::Redis, Self::Valkey];

    fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Redis => "REDIS_SERVER_BIN",
            Self::Valkey => "VALKEY_SERVER_BIN",
        }
    }

    /// Whether the `INFO` text of a running server is this implementation's.
    pub(crate) fn is_told_by(self, info: &str) -> bool {
        info.lines().any(|line| line.trim_end() == "server_name:valkey") == (self == Self::Valkey)
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "Redis",
            Self::Valkey => "Valkey",
        })
    }
}

/// What the search looks at; the process's own surroundings, or a test's.
pub(crate) struct Surroundings<'a> {
    /// Reads one environment variable.
    pub(crate) env: &'a dyn Fn(&str) -> Option<OsString>,
    /// Folders searched after those in `PATH`.
    pub(crate) folders: Vec<PathBuf>,
}

/// Finds the program on this machine.
#[expect(clippy::disallowed_methods, reason = "the harness's own switches, not the product's")]
pub(crate) fn find(flavor: Flavor) -> io::Result<PathBuf> {
    let testkit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/testkit");
    let folders = vec!["/usr/bin".into(), "/usr/local/bin".into(), testkit];
    find_in(flavor, &Surroundings { env: &|name| env::var_os(name), folders })
}

/// The flavour's own variable wins and must be right; then `PATH`, then the folders.
pub(crate) fn find_in(flavor: Flavor, around: &Surroundings<'_>) -> io::Result<PathBuf> {
    let variable = flavor.variable();
    if let Some(named) = (around.env)(variable).filter(|value| !value.is_empty()) {
        let named = PathBuf::from(named);
        return if is_program(&named) {
            Ok(named)
        } else {
            Err(missing(format!("{variable} names {}, no program", named.display())))
        };
    }
    let path = (around.env)("PATH").unwrap_or_default();
    let program = flavor.program();
    env::split_paths(&path)
        .chain(around.folders.iter().cloned())
        .map(|folder| folder.join(program))
        .find(|candidate| is_program(candidate))
        .ok_or_else(|| {
            missing(format!(
                "this test needs a {flavor} server and there is none: run `scripts/setup`, or \
                 put `{program}` in PATH, or set {variable} to it"
            ))
        })
}

fn missing(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, text)
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, fs, io::ErrorKind, os::unix::fs::PermissionsExt, path::Path};

    use super::{Flavor, Surroundings, find_in};

    fn program(path: &Path, mode: u32) {
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_missing_server_says_how_to_get_one() {
        let empty = tempfile::tempdir().unwrap();
        // A file of that name that cannot be run is no server.
        program(&empty.path().join("redis-server"), 0o644);
        let path = empty.path().as_os_str().to_owned();
        let env = |name: &str| (name == "PATH").then(|| path.clone());
        for (flavor, variable) in
            [(Flavor::Redis, "REDIS_SERVER_BIN"), (Flavor::Valkey, "VALKEY_SERVER_BIN")]
        {
            let around = Surroundings { env: &env, folders: vec![empty.path().into()] };
            let error = find_in(flavor, &around).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            let text = error.to_string();
            for hint in ["scripts/setup", variable, "PATH"] {
                assert!(text.contains(hint), "{hint} in {text}");
            }
        }
    }

    #[test]
    fn the_variable_wins_and_must_be_right() {
        let folder = tempfile::tempdir().unwrap();
        let (own, packaged) = (folder.path().join("own"), folder.path().join("redis-server"));
        program(&own, 0o755);
        program(&packaged, 0o755);
        let found = |named: Option<OsString>| {
            let path = folder.path().as_os_str().to_owned();
            let env = |name: &str| match name {
                "REDIS_SERVER_BIN" => named.clone(),
                "PATH" => Some(path.clone()),
                _ => None,
            };
            find_in(Flavor::Redis, &Surroundings { env: &env, folders: Vec::new() })
        };
        assert_eq!(found(Some(own.clone().into())).unwrap(), own);
        assert_eq!(found(None).unwrap(), packaged);
        assert_eq!(found(Some(OsString::new())).unwrap(), packaged, "empty is unset");
        let error = found(Some("/nowhere".into())).unwrap_err().to_string();
        assert!(error.contains("REDIS_SERVER_BIN") && error.contains("/nowhere"), "{error}");
    }

    #[test]
    fn the_folders_come_after_the_path() {
        let (first, last) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = first.path().as_os_str().to_owned();
        let env = |name: &str| (name == "PATH").then(|| path.clone());
        let found = || {
            let around = Surroundings { env: &env, folders: vec![last.path().into()] };
            find_in(Flavor::Valkey, &around).unwrap()
        };
        program(&last.path().join("valkey-server"), 0o755);
        assert_eq!(found(), last.path().join("valkey-server"));
        program(&first.path().join("valkey-server"), 0o755);
        assert_eq!(found(), first.path().join("valkey-server"));
    }

    #[test]
    fn the_flavours_tell_themselves_apart() {
        let valkey = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n";
        let redis = "redis_version:7.0.15\r\nredis_mode:standalone\r\n";
        for flavor in Flavor::ALL {
            assert_eq!(flavor.is_told_by(valkey), flavor == Flavor::Valkey);
            assert_eq!(flavor.is_told_by(redis), flavor == Flavor::Redis);
        }
    }
}
