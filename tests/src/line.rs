//! One line of `MONITOR`.

use std::fmt;

/// A command as the server saw it: `1700000000.123456 [0 127.0.0.1:40000] "get" "k"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    micros: u64,
    database: u32,
    source: String,
    args: Vec<Vec<u8>>,
}

impl Line {
    /// Reads a line; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (time, rest) = text.split_once(" [")?;
        let (seconds, micros) = time.split_once('.')?;
        let seconds: u64 = seconds.parse().ok()?;
        let (tag, args) = rest.split_once("] \"")?;
        let (database, source) = tag.split_once(' ')?;
        Some(Self {
            micros: seconds * 1_000_000 + micros.parse::<u64>().ok()?,
            database: database.parse().ok()?,
            source: source.to_owned(),
            args: unquote(args)?,
        })
    }

    /// Whether a script sent it, and no client.
    pub(crate) fn is_from_lua(&self) -> bool {
        self.source == "lua"
    }

    pub(crate) fn micros(&self) -> u64 {
        self.micros
    }

    /// The client's address.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The number of the database it was sent to.
    pub fn database(&self) -> u32 {
        self.database
    }

    /// The command's name in capitals.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.args[0]).to_ascii_uppercase()
    }

    /// The command and its arguments, as sent.
    pub fn args(&self) -> &[Vec<u8>] {
        &self.args
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let args: Vec<_> = self.args.iter().map(|arg| arg.escape_ascii().to_string()).collect();
        f.write_str(&args.join(" "))
    }
}

/// Takes `a" "b\x00"` apart: the quoted arguments without the very first quote.
fn unquote(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut bytes = text.bytes();
    let mut args = Vec::new();
    loop {
        let mut arg = Vec::new();
        loop {
            match bytes.next()? {
                b'"' => break,
                b'\\' => arg.push(match bytes.next()? {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 0x07,
                    b'b' => 0x08,
                    b'x' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
                    plain => plain,
                }),
                plain => arg.push(plain),
            }
        }
        args.push(arg);
        match (bytes.next(), bytes.next()) {
            (None, _) => return Some(args),
            (Some(b' '), Some(b'"')) => {}
            _ => return None,
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn a_line_is_taken_apart() {
        let text = r#"1700000000.000042 [3 [::1]:40000] "sEt" "a \"b\" \\x" "\x00\xff\r\n\t" """#;
        let line = Line::parse(text).unwrap();
        assert_eq!((line.micros(), line.database()), (1_700_000_000_000_042, 3));
        assert_eq!((line.source(), line.name().as_str()), ("[::1]:40000", "SET"));
        let args: [&[u8]; 4] = [b"sEt", br#"a "b" \x"#, b"\x00\xff\r\n\t", b""];
        assert_eq!(line.args(), args);
        assert_eq!(line.to_string(), r#"sEt a \"b\" \\x \x00\xff\r\n\t "#);
        assert!(!line.is_from_lua());
    }

    #[test]
    fn a_script_is_told_from_a_client() {
        let lua = Line::parse(r#"1700000000.000001 [0 lua] "get" "lua""#).unwrap();
        assert!(lua.is_from_lua());
        let client = Line::parse(r#"1700000000.000001 [0 127.0.0.1:9] "get" "[0 lua]""#).unwrap();
        assert!(!client.is_from_lua());
    }

    #[test]
    fn what_is_no_line_is_none() {
        for text in ["", "OK", r"1.1 [0 a:1]", r#"1.1 [0 a:1] "get"#, r#"1.1 [0 a:1] "a"b"#] {
            assert_eq!(Line::parse(text), None, "{text}");
        }
    }
}
