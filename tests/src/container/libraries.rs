//! The shared libraries that a program needs.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// A file of this machine, and where it lies in an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub(super) source: PathBuf,
    pub(super) target: String,
}

/// The folder of the libraries in an image.
pub(super) const FOLDER: &str = "/lib";

/// Those of the program, its dynamic loader among them.
pub(super) fn of(program: &Path) -> io::Result<Vec<Part>> {
    let output = Command::new("ldd").arg(program).env("LC_ALL", "C").output()?;
    let (told, complaint) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() {
        return parse(&told);
    }
    // It fails on a program that needs none, with words of its own in every C library.
    let lower = complaint.to_lowercase();
    if lower.contains("not a dynamic executable") || lower.contains("not a valid dynamic program") {
        return Ok(Vec::new());
    }
    Err(io::Error::other(format!("ldd {}: {complaint}", program.display())))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn parse(told: &str) -> io::Result<Vec<Part>> {
    told.lines().filter_map(part).collect()
}

/// One line: `name => path (address)`, or the path alone; a name alone is the kernel's.
fn part(line: &str) -> Option<io::Result<Part>> {
    let (name, path) = match line.trim().split_once(" => ") {
        Some((_, "not found")) => return Some(Err(io::Error::other(line.trim().to_owned()))),
        Some((name, path)) => (name, path),
        None => (line.trim(), line.trim()),
    };
    let path = path.rsplit_once(" (").map_or(path, |(path, _)| path);
    let name = name.rsplit_once(" (").map_or(name, |(name, _)| name);
    // The loader's place is written into the program, and so has to be kept.
    let target = if name.starts_with('/') { name.to_owned() } else { format!("{FOLDER}/{name}") };
    path.starts_with('/').then(|| Ok(Part { source: path.into(), target }))
}

#[cfg(test)]
mod tests {
    use super::{Part, parse};

    fn parts(told: &str) -> Vec<(String, String)> {
        let pair = |part: Part| (part.source.display().to_string(), part.target);
        parse(told).unwrap().into_iter().map(pair).collect()
    }

    fn pair(source: &str, target: &str) -> (String, String) {
        (source.to_owned(), target.to_owned())
    }

    #[test]
    fn libraries_and_the_loader_are_found() {
        let glibc = "\tlinux-vdso.so.1 (0x00007fa6b0632000)\n\
                     \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007fa6b0531000)\n\
                     \t/lib64/ld-linux-x86-64.so.2 (0x00007fa6b0634000)\n";
        let expected = [
            pair("/lib/x86_64-linux-gnu/libm.so.6", "/lib/libm.so.6"),
            pair("/lib64/ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2"),
        ];
        assert_eq!(parts(glibc), expected);
        let elsewhere = "\t/lib64/ld-linux.so.2 => /store/lib/ld-linux.so.2 (0x1)\n";
        assert_eq!(parts(elsewhere), [pair("/store/lib/ld-linux.so.2", "/lib64/ld-linux.so.2")]);
        assert_eq!(parts("\tstatically linked\n"), []);
    }

    #[test]
    fn a_missing_library_is_told() {
        let error = parse("\tlibgone.so.1 => not found\n").unwrap_err().to_string();
        assert!(error.contains("libgone.so.1"), "{error}");
    }
}
