//! Fuzz targets: each has seeds, and a test that replays them.

use super::{Faults, tree::File};

/// The names of `targets` for which `manifest` names no program, no seed lies in `seeds`, or none of
/// the `crates` replays any.
pub(super) fn are_not_replayed(
    targets: &[File],
    manifest: &File,
    seeds: &[String],
    crates: &[File],
) -> Faults {
    let mut faults = Faults::new();
    for target in targets {
        let name = target.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        let folder = format!("fuzz/corpus/{name}/");
        let replay = format!("replay(\"{name}\", {name});");
        for (there, what) in [
            (manifest.text.contains(&format!("name = \"{name}\"")), "no program"),
            (seeds.iter().any(|seed| seed.starts_with(&folder)), "no seed"),
            (crates.iter().any(|file| file.text.contains(&replay)), "no test that replays it"),
        ] {
            if !there {
                faults.push(format!("{}: there is {what}", target.path));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_nothing_replays_is_caught() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let targets = [file("fuzz/fuzz_targets/a.rs", "")];
        let (named, other) = (file("fuzz/Cargo.toml", "name = \"a\""), file("x", "name = \"b\""));
        let (seed, none) = (["fuzz/corpus/a/1".to_owned()], ["fuzz/corpus/b/a".to_owned()]);
        let (test, empty) = ([file("x", "    replay(\"a\", a);")], [file("x", "fn a() {}")]);
        assert_eq!(are_not_replayed(&targets, &named, &seed, &test), Faults::new());
        assert_eq!(are_not_replayed(&targets, &other, &seed, &test).len(), 1);
        assert_eq!(are_not_replayed(&targets, &named, &none, &test).len(), 1);
        assert_eq!(are_not_replayed(&targets, &named, &seed, &empty).len(), 1);
    }
}
