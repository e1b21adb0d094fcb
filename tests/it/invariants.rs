//! The rules of the house that the compiler cannot hold, held here: see ARCHITECTURE.md.
//!
//! Each rule is a function that takes a file and tells its faults; beside each is a test that
//! shows it a bad file, so that it is known to be able to fail.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a file that cannot be read or taken apart fails the test"
)]

mod fuzz;
mod manifests;
mod scan;
mod sources;
mod tree;

use self::tree::{File, files};

/// What a rule finds wrong, one line each.
type Faults = Vec<String>;

/// The folders that hold what users run.
const PRODUCT: &[&str] = &["crates", "examples"];
const ALL: &[&str] = &["crates", "examples", "tests"];

fn hold(files: &[File], rule: fn(&File) -> Faults) {
    assert!(!files.is_empty(), "the rule was shown no file");
    let faults: Faults = files.iter().flat_map(rule).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// A rule that makes an exception of a file is worth nothing once that file has moved.
#[test]
fn the_files_with_exceptions_are_there() {
    for path in ["crates/tower-keep-core/src/time.rs", "crates/tower-keep-core/src/key.rs"] {
        assert!(!tree::read(path).text.is_empty());
    }
}

#[test]
fn only_the_connection_and_redis_rs_name_fred() {
    hold(&files(PRODUCT, ".rs"), sources::names_fred);
}

#[test]
fn the_environment_is_read_only_by_the_front_door() {
    hold(&files(PRODUCT, ".rs"), sources::reads_environment);
}

#[test]
fn the_wall_clock_is_read_only_in_core_time() {
    hold(&files(PRODUCT, ".rs"), sources::reads_wall_clock);
}

#[test]
fn keys_are_spelled_only_in_core_key() {
    hold(&files(PRODUCT, ".rs"), sources::spells_keys);
    for script in &files(PRODUCT, ".lua") {
        assert_eq!(sources::lua_spells_keys(script), Faults::new());
    }
}

#[test]
fn no_file_is_left_out() {
    assert_eq!(sources::are_left_out(&files(ALL, ".rs")), Faults::new());
}

#[test]
fn no_file_is_over_400_lines_of_code() {
    hold(&files(ALL, ".rs"), sources::is_too_long);
}

#[test]
fn the_median_file_is_under_150_lines_of_code() {
    assert_eq!(sources::are_too_long(&files(ALL, ".rs")), Faults::new());
}

#[test]
fn crates_depend_only_along_the_edges() {
    hold(&files(ALL, "Cargo.toml"), manifests::crosses_edges);
}

#[test]
fn members_take_versions_and_lints_from_the_workspace() {
    hold(&files(ALL, "Cargo.toml"), manifests::goes_its_own_way);
}

#[test]
fn unsafe_is_forbidden_and_no_lock_is_held_across_an_await() {
    hold(&[tree::read("Cargo.toml")], manifests::lints_are_loose);
}

#[test]
fn fuzz_targets_have_seeds_that_tests_replay() {
    let targets = files(&["fuzz/fuzz_targets"], ".rs");
    assert!(targets.len() >= 10);
    let (manifest, crates) = (tree::read("fuzz/Cargo.toml"), files(&["crates"], "fuzzing.rs"));
    let seeds = tree::paths(&["fuzz/corpus"]);
    assert_eq!(fuzz::are_not_replayed(&targets, &manifest, &seeds, &crates), Faults::new());
}

#[cfg(unix)]
#[test]
fn scripts_can_be_run() {
    use std::os::unix::fs::PermissionsExt as _;

    let scripts = files(&["scripts", ".ci"], "");
    assert!(scripts.len() >= 3);
    for script in scripts {
        let mode = tree::root().join(&script.path).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{} is not executable", script.path);
    }
}
