//! The files of the workspace.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A text file and where it lies, from the workspace's root, with `/`.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").into()
}

/// The file at `path`.
pub(super) fn read(path: &str) -> File {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    File { path: path.into(), text }
}

/// Every file under the `folders` whose name ends in `suffix`.
pub(super) fn files(folders: &[&str], suffix: &str) -> Vec<File> {
    paths(folders).iter().filter(|path| path.ends_with(suffix)).map(|path| read(path)).collect()
}

/// Where every file under the `folders` lies, in order.
pub(super) fn paths(folders: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for folder in folders {
        walk(&root().join(folder), &mut found);
    }
    let mut paths: Vec<String> = found
        .iter()
        .filter_map(|path| path.strip_prefix(root()).ok()?.to_str())
        .map(|path| path.replace('\\', "/"))
        .collect();
    paths.sort();
    paths
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if !path.is_dir() {
            found.push(path);
        } else if path.file_name().is_some_and(|name| name != "target") {
            walk(&path, found);
        }
    }
}
