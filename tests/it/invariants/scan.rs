//! Rust source taken apart just far enough to ask what it names and what it spells.

/// Source text with everything that is no code masked, byte for byte, so that offsets and line
/// numbers stay true.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Comments are blanks; a literal is `?`, as long as it was.
    code: Vec<u8>,
    literals: Vec<Literal>,
}

/// A string literal, without its quotes.
#[derive(Clone, Debug)]
struct Literal {
    start: usize,
    text: String,
}

impl Source {
    pub(super) fn parse(text: &str) -> Self {
        let mut source = Self { code: text.as_bytes().to_vec(), literals: Vec::new() };
        let mut at = 0;
        while at < text.len() {
            at = source.token(text, at);
        }
        source
    }

    /// Masks the token that begins at `at`; answers where the next one begins.
    fn token(&mut self, text: &str, at: usize) -> usize {
        let rest = &text[at..];
        if rest.starts_with("//") {
            let end = at + rest.find('\n').unwrap_or(rest.len());
            self.mask(at, end, b' ');
            return end;
        }
        if rest.starts_with("/*") {
            let end = at + block_comment(rest);
            self.mask(at, end, b' ');
            return end;
        }
        if let Some(length) = char_literal(rest) {
            self.mask(at, at + length, b'?');
            return at + length;
        }
        if let Some((open, length, close)) = string_literal(rest) {
            let inside = &rest[open..length.saturating_sub(close).max(open)];
            self.literals.push(Literal { start: at, text: inside.to_owned() });
            self.mask(at, at + length, b'?');
            return at + length;
        }
        // A word is taken whole, or the `r` of `for"` would begin a raw string.
        let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        at + word.max(rest.chars().next().map_or(1, char::len_utf8))
    }

    fn mask(&mut self, start: usize, end: usize, with: u8) {
        for byte in &mut self.code[start..end] {
            if !byte.is_ascii_whitespace() {
                *byte = with;
            }
        }
    }

    /// The same without its `#[cfg(test)]` items.
    pub(super) fn without_tests(mut self) -> Self {
        let mut from = 0;
        while let Some(start) = find(&self.code, b"#[cfg(", from) {
            let end = item_end(&self.code, start);
            if is_test_attribute(&self.code[start..]) {
                self.mask(start, end, b' ');
                self.literals.retain(|literal| !(start..end).contains(&literal.start));
            }
            from = start + 1;
        }
        self
    }

    /// The lines on which `word` stands as a whole identifier, `next` not following it.
    pub(super) fn lines_naming(&self, word: &str, not_before: Option<char>) -> Vec<usize> {
        let code = String::from_utf8_lossy(&self.code);
        code.match_indices(word)
            .filter(|(at, _)| {
                let before = code[..*at].chars().next_back();
                let after = code[at + word.len()..].chars().next();
                !before.is_some_and(is_word)
                    && !after.is_some_and(is_word)
                    && (not_before.is_none() || after != not_before)
            })
            .map(|(at, _)| self.line(at))
            .collect()
    }

    /// Every string literal with its line.
    pub(super) fn literals(&self) -> impl Iterator<Item = (usize, &str)> {
        self.literals.iter().map(|literal| (self.line(literal.start), literal.text.as_str()))
    }

    /// How many lines hold code.
    pub(super) fn lines_of_code(&self) -> usize {
        self.code.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count()
    }

    fn line(&self, at: usize) -> usize {
        self.code[..at].split(|byte| *byte == b'\n').count()
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn find(code: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    code[from..].windows(wanted.len()).position(|window| window == wanted).map(|at| from + at)
}

/// The length of the (nested) block comment that `text` begins with.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let pair = text.as_bytes().get(at..at + 2);
        match pair {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the character or byte literal that `text` begins with; a lifetime is none.
fn char_literal(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'').or_else(|| text.strip_prefix("b'"))?;
    let open = text.len() - inside.len();
    let mut chars = inside.char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?;
        return inside[2..].find('\'').map(|end| open + 2 + end + 1);
    }
    let (end, quote) = chars.next()?;
    (quote == '\'' && first != '\'').then_some(open + end + 1)
}

/// The string literal that `text` begins with: the lengths of its opening, of all of it, and of
/// its closing.
fn string_literal(text: &str) -> Option<(usize, usize, usize)> {
    let unprefixed = text.trim_start_matches(['b', 'c']);
    if text.len() - unprefixed.len() > 1 {
        return None;
    }
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let inside = raw.trim_start_matches('#');
        let hashes = raw.len() - inside.len();
        let inside = inside.strip_prefix('"')?;
        let open = text.len() - inside.len();
        let close = format!("\"{}", "#".repeat(hashes));
        let end = inside.find(&close).map_or(inside.len(), |at| at + close.len());
        return Some((open, open + end, close.len()));
    }
    let inside = unprefixed.strip_prefix('"')?;
    let open = text.len() - inside.len();
    let mut escaped = false;
    let end = inside.find(|c| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    });
    Some((open, open + end.map_or(inside.len(), |at| at + 1), 1))
}

/// Whether the attribute that `code` begins with is a `cfg` that holds in tests only.
fn is_test_attribute(code: &[u8]) -> bool {
    let end = find(code, b"]", 0).unwrap_or(code.len());
    let attribute: String =
        String::from_utf8_lossy(&code[..end]).chars().filter(|c| !c.is_whitespace()).collect();
    attribute == "#[cfg(test)" || attribute.starts_with("#[cfg(all(test,")
}

/// Where the item whose attribute begins at `start` ends: after its `;` or its closing brace.
fn item_end(code: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.iter().enumerate().skip(start) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        String::from_utf8(Source::parse(text).code).unwrap()
    }

    #[test]
    fn comments_and_literals_are_masked() {
        for (text, masked) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x // y", 'z')"#, "f(?? ?? ??, ???)"),
            (r##"r#"a"b"# + c"##, "???????? + c"),
            (r"'\'' + b'\\' + '\u{1F600}'", "???? + ????? + ???????????"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            (r#"r#type + b"x" + for"#, "r#type + ???? + for"),
            (r#""a\"b" c"#, "?????? c"),
            ("\"\u{e9}\" \u{e9} // \u{e9}", "???? \u{e9}      "),
        ] {
            assert_eq!(code(text), masked, "{text}");
        }
    }

    #[test]
    fn literals_are_told_with_their_lines() {
        let source =
            Source::parse("// \"no\"\nf(\"one\");\ng(r#\"two\nlines\"#, b\"three\", \"\")");
        let literals: Vec<_> = source.literals().collect();
        assert_eq!(literals, [(2, "one"), (3, "two\nlines"), (4, "three"), (4, "")]);
    }

    #[test]
    fn words_are_whole_words() {
        let source = Source::parse("use fred::x;\nfrom_fred(); fredd; // fred\n\"fred\";\na::fred");
        assert_eq!(source.lines_naming("fred", None), [1, 4]);
        let source = Source::parse("env!(x);\nenv::var(y)");
        assert_eq!(source.lines_naming("env", Some('!')), [2]);
    }

    #[test]
    fn test_items_are_taken_out() {
        let text = "fn a() { \"a\" }\n#[cfg(test)]\nmod tests {\n fn b() { \"}b\" }\n}\nfn c() {}\n\
                    #[cfg(all(test, x))]\nuse d;\n#[cfg(not(test))]\nfn e() {}\n\
                    #[cfg(test)]\nfn f() -> [u8; 2] { [1, 2] }\n";
        let source = Source::parse(text).without_tests();
        for (word, kept) in [("a", 1), ("b", 0), ("c", 1), ("d", 0), ("e", 1), ("f", 0)] {
            assert_eq!(source.lines_naming(word, None).len(), kept, "{word}");
        }
        assert_eq!(source.literals().collect::<Vec<_>>(), [(1, "a")]);
    }

    #[test]
    fn blank_and_comment_lines_are_no_code() {
        let text = "//! Doc\n\nfn a() {\n    // why\n    /* long\n    comment */\n    \"two\n lines\"\n}\n";
        assert_eq!(Source::parse(text).lines_of_code(), 4);
    }
}
