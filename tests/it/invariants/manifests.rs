//! What manifests may say. Each rule takes a manifest and tells its faults.

use toml::{Table, Value};

use super::{Faults, tree::File};

/// What every member takes from the workspace.
const SHARED: &[&str] = &["version", "edition", "rust-version", "license"];

fn parse(file: &File) -> Table {
    file.text.parse().unwrap_or_else(|e| panic!("{}: {e}", file.path))
}

/// Every dependency, of whatever kind and target, with what is said of it.
fn dependencies(manifest: &Table) -> Vec<(String, Value)> {
    const KINDS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];
    let mut found = Vec::new();
    for (key, value) in manifest {
        let Some(table) = value.as_table() else { continue };
        if KINDS.contains(&key.as_str()) {
            found.extend(table.clone());
        } else if key == "target" {
            found.extend(table.values().filter_map(Value::as_table).flat_map(dependencies));
        }
    }
    found
}

fn at<'a>(manifest: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(manifest.get(*first)?, |value, key| value.get(key))
}

fn is_true(manifest: &Table, path: &[&str]) -> bool {
    at(manifest, path).and_then(Value::as_bool) == Some(true)
}

/// Which of our crates a crate may depend on: `None` is any of them.
fn allowed(member: &str, path: &str) -> Option<&'static [&'static str]> {
    match member {
        "tower-keep-core" => Some(&[]),
        "tower-keep-redis" => Some(&["tower-keep-core"]),
        "tower-keep-cache" => Some(&["tower-keep-core", "tower-keep-redis"]),
        "tower-keep" | "tower-keep-tests" => None,
        // An example's tests may use the harness.
        _ if path.starts_with("examples/") => Some(&["tower-keep", "tower-keep-tests"]),
        // A layer.
        _ => Some(&["tower-keep-core", "tower-keep-redis", "tower-keep-cache"]),
    }
}

/// `core <- redis <- {layers, cache <- caches} <- tower-keep <- {examples, tests}`, and fred only
/// beside `redis`: behind the wall, or under the feature of that name.
pub(super) fn crosses_edges(file: &File) -> Faults {
    let manifest = parse(file);
    let member = at(&manifest, &["package", "name"]).and_then(Value::as_str).unwrap_or_default();
    let allowed = allowed(member, &file.path);
    let mut faults = Faults::new();
    for (name, entry) in dependencies(&manifest) {
        let ours = name.starts_with("tower-keep");
        if ours && allowed.is_some_and(|allowed| !allowed.contains(&name.as_str())) {
            faults.push(format!("{}: {member} must not depend on {name}", file.path));
        }
        let harness_in_program = at(&manifest, &["dependencies", "tower-keep-tests"]).is_some();
        if name == "tower-keep-tests" && harness_in_program {
            faults.push(format!("{}: the harness is for tests only", file.path));
        }
        let optional = entry.get("optional").and_then(Value::as_bool) == Some(true);
        let behind_the_wall = ["tower-keep-redis", "tower-keep-tests"].contains(&member);
        if ["fred", "tower-keep-redis"].contains(&name.as_str()) && !behind_the_wall && !optional {
            faults.push(format!("{}: {name} is not optional", file.path));
        }
    }
    faults
}

/// Versions stand in the workspace's manifest, and so do the lints.
pub(super) fn goes_its_own_way(file: &File) -> Faults {
    let manifest = parse(file);
    let mut faults = Faults::new();
    for (name, entry) in dependencies(&manifest) {
        if entry.get("workspace").and_then(Value::as_bool) != Some(true) {
            faults.push(format!("{}: {name} has no `workspace = true`", file.path));
        }
    }
    for key in SHARED {
        if !is_true(&manifest, &["package", key, "workspace"]) {
            faults.push(format!("{}: `{key}` is not the workspace's", file.path));
        }
    }
    if !is_true(&manifest, &["lints", "workspace"]) {
        faults.push(format!("{}: the lints are not the workspace's", file.path));
    }
    faults
}

/// The workspace forbids `unsafe`, and a lock held across an await is an error.
pub(super) fn lints_are_loose(file: &File) -> Faults {
    let manifest = parse(file);
    let wanted = [
        (["workspace", "lints", "rust", "unsafe_code"], "forbid"),
        (["workspace", "lints", "clippy", "await_holding_lock"], "deny"),
    ];
    let level = |path: &[&str]| match at(&manifest, path) {
        Some(Value::Table(table)) => table.get("level").and_then(Value::as_str).map(str::to_owned),
        other => other.and_then(Value::as_str).map(str::to_owned),
    };
    wanted
        .iter()
        .filter(|(path, wanted)| level(path).as_deref() != Some(wanted))
        .map(|(path, wanted)| format!("{}: {} is not {wanted:?}", file.path, path.join(".")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "version.workspace = true\nedition.workspace = true\n\
                        rust-version.workspace = true\nlicense.workspace = true\n\
                        [lints]\nworkspace = true\n";

    fn member(folder: &str, name: &str, rest: &str) -> File {
        let text = format!("[package]\nname = \"{name}\"\n{HEAD}{rest}");
        File { path: format!("{folder}/{name}/Cargo.toml"), text }
    }

    #[test]
    fn a_crossed_edge_is_caught() {
        let edge = |folder, from, table: &str, to: &str| {
            let table = format!("[{table}]\n{to} = {{ workspace = true, optional = true }}\n");
            crosses_edges(&member(folder, from, &table)).len()
        };
        for (folder, from, table, to) in [
            ("examples", "axum-app", "dependencies", "tower-keep-tests"),
            ("crates", "tower-keep-core", "dependencies", "tower-keep-redis"),
            ("crates", "tower-keep-redis", "dependencies", "tower-keep-rate-limit"),
            ("crates", "tower-keep-session", "dependencies", "tower-keep-rate-limit"),
            ("crates", "tower-keep-session", "dev-dependencies", "tower-keep"),
            ("crates", "tower-keep-session", "target.x.dependencies", "tower-keep-ai-cache"),
            ("crates", "tower-keep-cache", "dependencies", "tower-keep-ai-cache"),
            ("examples", "axum-app", "dependencies", "tower-keep-rate-limit"),
        ] {
            assert_eq!(edge(folder, from, table, to), 1, "not caught: {from} -> {to}");
        }
        for (folder, from, table, to) in [
            ("crates", "tower-keep-redis", "dependencies", "tower-keep-core"),
            ("crates", "tower-keep-session", "dependencies", "tower-keep-redis"),
            ("crates", "tower-keep", "dependencies", "tower-keep-rate-limit"),
            ("examples", "axum-app", "dependencies", "tower-keep"),
            ("crates", "tower-keep-core", "dependencies", "tower-service"),
        ] {
            assert_eq!(edge(folder, from, table, to), 0, "wrongly caught: {from} -> {to}");
        }
    }

    #[test]
    fn redis_that_cannot_be_left_out_is_caught() {
        for name in ["fred", "tower-keep-redis"] {
            let table = format!("[dependencies]\n{name}.workspace = true\n");
            assert_eq!(crosses_edges(&member("crates", "tower-keep", &table)).len(), 1);
        }
        let behind =
            member("crates", "tower-keep-redis", "[dependencies]\nfred.workspace = true\n");
        assert_eq!(crosses_edges(&behind), Faults::new());
    }

    #[test]
    fn a_member_that_goes_its_own_way_is_caught() {
        for rest in [
            "[dependencies]\nhttp = \"1\"\n",
            "[dev-dependencies]\nhttp = { version = \"1\" }\n",
            "[target.'cfg(unix)'.dependencies]\nhttp = { path = \"x\" }\n",
        ] {
            assert_eq!(goes_its_own_way(&member("crates", "x", rest)).len(), 1, "{rest}");
        }
        let good = "[dependencies]\nhttp.workspace = true\n[target.x.dependencies]\n\
                    bytes = { workspace = true, optional = true }\n";
        assert_eq!(goes_its_own_way(&member("crates", "x", good)), Faults::new());
        let bare =
            File { path: "x".into(), text: "[package]\nname = \"x\"\nversion = \"1.0\"\n".into() };
        assert_eq!(goes_its_own_way(&bare).len(), SHARED.len() + 1);
    }

    #[test]
    fn loose_lints_are_caught() {
        let lints = |rust: &str, clippy: &str| {
            let text = format!(
                "[workspace.lints.rust]\nunsafe_code = {rust}\n\
                 [workspace.lints.clippy]\nawait_holding_lock = {clippy}\n"
            );
            lints_are_loose(&File { path: "Cargo.toml".into(), text }).len()
        };
        assert_eq!(lints("\"forbid\"", "{ level = \"deny\", priority = 1 }"), 0);
        assert_eq!(lints("\"deny\"", "\"deny\""), 1);
        assert_eq!(lints("\"forbid\"", "\"warn\""), 1);
        let empty = File { path: "Cargo.toml".into(), text: String::new() };
        assert_eq!(lints_are_loose(&empty).len(), 2);
    }
}
