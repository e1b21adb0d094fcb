//! Replays the seeds of a fuzz target, so that a test without a fuzzer sees them too. Crates take it
//! in by `#[path]`.

use std::{fs, path::Path};

/// Shows each seed of `target` to what the target calls.
#[track_caller]
pub(super) fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let seeds = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut seen = 0;
    for seed in seeds {
        run(&fs::read(seed.unwrap().path()).unwrap());
        seen += 1;
    }
    assert!(seen > 0, "{} is empty", folder.display());
}
