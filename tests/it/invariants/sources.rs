//! What Rust sources may name and spell. Each rule takes a file and tells its faults.

use super::{Faults, scan::Source, tree::File};

/// How the Redis keys of every layer begin.
const KEY_PREFIXES: &[&str] =
    &["session:", "query:", "ai:", "ratelimit:", "realtime:", "cache:", "keep:"];

/// The most lines of code a file may have.
const CEILING: usize = 400;

/// The median of all files stays below this many lines of code.
const MEDIAN: usize = 150;

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn faults(file: &File, lines: impl IntoIterator<Item = usize>, what: &str) -> Faults {
    lines.into_iter().map(|line| format!("{}:{line}: {what}", file.path)).collect()
}

/// `fred` is named only by `tower-keep-redis` and by files called `redis.rs`.
pub(super) fn names_fred(file: &File) -> Faults {
    if file.path.starts_with("crates/tower-keep-redis/") || name(&file.path) == "redis.rs" {
        return Vec::new();
    }
    faults(file, Source::parse(&file.text).lines_naming("fred", None), "names `fred`")
}

/// The environment is read only in `tower-keep`, and by what starts an example.
pub(super) fn reads_environment(file: &File) -> Faults {
    let starts_example = file.path.starts_with("examples/")
        && ["main.rs", "settings.rs"].contains(&name(&file.path));
    if file.path.starts_with("crates/tower-keep/") || starts_example {
        return Vec::new();
    }
    // `env!` is the compiler's environment, not the program's.
    let lines = Source::parse(&file.text).without_tests().lines_naming("env", Some('!'));
    faults(file, lines, "names `env`")
}

/// The wall clock is read only in core's `time.rs`.
pub(super) fn reads_wall_clock(file: &File) -> Faults {
    if file.path == "crates/tower-keep-core/src/time.rs" {
        return Vec::new();
    }
    let source = Source::parse(&file.text).without_tests();
    ["SystemTime", "UNIX_EPOCH"]
        .iter()
        .flat_map(|word| faults(file, source.lines_naming(word, None), "names the wall clock"))
        .collect()
}

/// Redis keys are spelled only in core's `key.rs`.
pub(super) fn spells_keys(file: &File) -> Faults {
    if file.path == "crates/tower-keep-core/src/key.rs" {
        return Vec::new();
    }
    let source = Source::parse(&file.text).without_tests();
    let lines = source.literals().filter(|(_, text)| is_key(text)).map(|(line, _)| line);
    faults(file, lines, "spells a Redis key")
}

/// The same for Lua, whose strings may stand in either quotes.
pub(super) fn lua_spells_keys(file: &File) -> Faults {
    let lines = file.text.lines().enumerate().filter(|(_, line)| {
        let code = line.split("--").next().unwrap_or_default();
        code.split(['"', '\'']).skip(1).any(is_key)
    });
    faults(file, lines.map(|(index, _)| index + 1), "spells a Redis key")
}

/// Whether `text` begins like a key; `cache: full` is a sentence.
fn is_key(text: &str) -> bool {
    KEY_PREFIXES
        .iter()
        .filter_map(|prefix| text.strip_prefix(prefix))
        .any(|rest| !rest.starts_with(char::is_whitespace))
}

/// No file is longer than the ceiling, tests within it left out.
pub(super) fn is_too_long(file: &File) -> Faults {
    let lines = lines_of_code(file);
    if lines <= CEILING {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines of code, over {CEILING}", file.path)]
}

/// Most files are short.
pub(super) fn are_too_long(files: &[File]) -> Faults {
    let mut lines: Vec<_> = files.iter().map(lines_of_code).collect();
    lines.sort_unstable();
    match lines.get(lines.len() / 2) {
        Some(median) if *median < MEDIAN => Vec::new(),
        other => vec![format!("the median file has {other:?} lines of code, not under {MEDIAN}")],
    }
}

/// What no other file names as its module is never built, nor are its tests run.
pub(super) fn are_left_out(files: &[File]) -> Faults {
    let names = |parent: &str, module: &str| {
        let line = format!("mod {module};");
        let mut parents = files.iter().filter(|file| file.path == parent);
        parents.any(|file| file.text.lines().any(|it| it.trim_end().ends_with(&line)))
    };
    let is_left_out = |file: &&File| {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or_default();
        let (folder, module) = match (name, folder.rsplit_once('/')) {
            // Each of these is the root of something.
            ("lib.rs" | "main.rs" | "build.rs", _) | (_, Some((_, "tests" | "bin"))) => {
                return false;
            }
            ("mod.rs", Some((above, folder))) => (above, folder),
            _ => (folder, name.trim_end_matches(".rs")),
        };
        let beside = ["mod", "lib", "main"].map(|parent| format!("{folder}/{parent}.rs"));
        let mut parents = beside.into_iter().chain([format!("{folder}.rs")]);
        !parents.any(|parent| names(&parent, module))
    };
    let left_out = files.iter().filter(is_left_out);
    left_out.map(|file| format!("{} is no module of anything", file.path)).collect()
}

fn lines_of_code(file: &File) -> usize {
    Source::parse(&file.text).without_tests().lines_of_code()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    /// The rule finds fault with `bad` and none with `good`.
    fn judges(rule: fn(&File) -> Faults, bad: &[(&str, &str)], good: &[(&str, &str)]) {
        for (path, text) in bad {
            assert_eq!(rule(&file(path, text)).len(), 1, "not caught: {path}: {text}");
        }
        for (path, text) in good {
            assert_eq!(rule(&file(path, text)), Faults::new(), "wrongly caught");
        }
    }

    #[test]
    fn a_file_that_names_fred_is_caught() {
        judges(
            names_fred,
            &[
                ("crates/tower-keep-rate-limit/src/service.rs", "use fred::clients::Client;"),
                ("examples/axum-app/src/main.rs", "fn f(c: fred::clients::Client) {}"),
                ("crates/tower-keep/src/lib.rs", "#[cfg(test)]\nmod tests { use fred::x; }"),
            ],
            &[
                ("crates/tower-keep-redis/src/client.rs", "use fred::clients::Client;"),
                ("crates/tower-keep-rate-limit/src/redis.rs", "use fred::clients::Client;"),
                ("crates/tower-keep/src/lib.rs", "// fred\nfn from_fred() { \"fred\" }"),
            ],
        );
    }

    #[test]
    fn a_file_that_reads_the_environment_is_caught() {
        let read = "let x = std::env::var(\"X\");";
        judges(
            reads_environment,
            &[
                ("crates/tower-keep-core/src/lib.rs", read),
                ("crates/tower-keep-redis/src/lib.rs", "use std::{env, fmt};"),
                ("examples/axum-app/src/app.rs", read),
            ],
            &[
                ("crates/tower-keep/src/config.rs", read),
                ("examples/axum-app/src/main.rs", read),
                ("crates/tower-keep-core/src/lib.rs", "env!(\"CARGO_PKG_VERSION\") // env::var"),
                ("crates/tower-keep-core/src/x.rs", "#[cfg(test)]\nmod tests { use std::env; }"),
            ],
        );
    }

    #[test]
    fn a_file_that_reads_the_wall_clock_is_caught() {
        judges(
            reads_wall_clock,
            &[
                ("crates/tower-keep-core/src/key.rs", "let t = SystemTime::now();"),
                ("crates/tower-keep-redis/src/time.rs", "use std::time::UNIX_EPOCH;"),
            ],
            &[
                ("crates/tower-keep-core/src/time.rs", "let t = SystemTime::now();"),
                ("crates/tower-keep-redis/src/time.rs", "/// Not `SystemTime`.\nInstant::now()"),
            ],
        );
    }

    #[test]
    fn a_file_that_spells_a_key_is_caught() {
        judges(
            spells_keys,
            &[
                ("crates/tower-keep-rate-limit/src/redis.rs", "format!(\"ratelimit:{t}:{u}\")"),
                ("crates/tower-keep-session/src/key.rs", "const P: &[u8] = b\"session:\";"),
                ("examples/axum-app/src/main.rs", "get(r\"cache:x\")"),
            ],
            &[
                ("crates/tower-keep-core/src/key.rs", "\"ratelimit:\""),
                ("crates/tower-keep-redis/src/lib.rs", "\"cache: full\"; // \"cache:x\""),
                ("crates/tower-keep-redis/src/x.rs", "/// `\"keep:bus\"`\nfn f() {}"),
                ("crates/tower-keep/src/lib.rs", "#[cfg(test)]\nmod tests { f(\"ai:x\") }"),
            ],
        );
        judges(
            lua_spells_keys,
            &[
                ("a.lua", "redis.call('GET', 'ratelimit:' .. ARGV[1])"),
                ("b.lua", "local k = \"keep:bus\""),
            ],
            &[("a.lua", "local k = KEYS[1] -- 'ratelimit:...'\nreturn 'cache full'")],
        );
    }

    #[test]
    fn long_files_are_caught() {
        let long = "f();\n".repeat(CEILING + 1);
        let commented = format!("{}{}", "f();\n".repeat(CEILING), "\n// why\n".repeat(CEILING));
        let tested = format!("f();\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        judges(is_too_long, &[("a.rs", &long)], &[("b.rs", &commented), ("c.rs", &tested)]);

        let crate_of = |text: &str| {
            let paths =
                ["c/src/a.rs", "c/src/a/mod.rs", "c/src/b/d.rs", "c/src/b.rs", "c/tests/t.rs"];
            let mut files = paths.map(|path| file(path, "mod d;\n")).to_vec();
            files.push(file("c/src/main.rs", text));
            are_left_out(&files)
        };
        assert_eq!(crate_of("pub(crate) mod a;\nmod b;\n"), Faults::new());
        assert_eq!(crate_of("mod a;\nmod bb;\n").len(), 1);

        let files = |lengths: [usize; 3]| lengths.map(|n| file("a.rs", &"f();\n".repeat(n)));
        assert_eq!(are_too_long(&files([1, MEDIAN, MEDIAN])).len(), 1);
        assert_eq!(are_too_long(&files([1, MEDIAN - 1, CEILING])), Faults::new());
        assert_eq!(are_too_long(&[]).len(), 1);
    }
}
