//! The grammar of RFC 8259.

use std::borrow::Cow;

use super::{Fault, Kind, Member, Node, Number, Span};

/// How deep values may be nested. Requests are some ten deep.
const MAX_DEPTH: usize = 128;

/// How many values a text may have: each takes more room than it is written in.
const MAX_VALUES: usize = 1 << 19;

/// Up to so many members are compared each with each.
const FEW: usize = 16;

/// Reads a text. Of arrays that are deeper than `keep` the elements are read and not kept.
pub(super) fn read(text: &str, keep: usize) -> Result<Node<'_>, Fault> {
    let mut scan = Scan { text, at: 0, keep, kept: 0 };
    scan.skip_space();
    let node = scan.value(0)?;
    scan.skip_space();
    if scan.at == text.len() { Ok(node) } else { Err(Fault::Syntax) }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    keep: usize,
    kept: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over this byte if it is the next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// What is written from there to here.
    fn since(&self, start: usize) -> Result<&'a str, Fault> {
        self.text.get(start..self.at).ok_or(Fault::Syntax)
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>, Fault> {
        if depth > MAX_DEPTH {
            return Err(Fault::Depth);
        }
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => Kind::Object(self.object(depth)?),
            Some(b'[') => Kind::Array(self.array(depth)?),
            Some(b'"') => Kind::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Kind::Number(self.number()?),
            Some(b't') => self.word("true", Kind::Bool(true))?,
            Some(b'f') => self.word("false", Kind::Bool(false))?,
            Some(b'n') => self.word("null", Kind::Null)?,
            _ => return Err(Fault::Syntax),
        };
        Ok(Node { kind, span: Span { start, end: self.at } })
    }

    fn count(&mut self) -> Result<(), Fault> {
        self.kept += 1;
        if self.kept > MAX_VALUES { Err(Fault::Many) } else { Ok(()) }
    }

    fn word(&mut self, word: &str, kind: Kind<'a>) -> Result<Kind<'a>, Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(Fault::Syntax);
        }
        self.at += word.len();
        Ok(kind)
    }

    fn number(&mut self) -> Result<Number<'a>, Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
            self.at += 1;
        }
        Number::read(self.since(start)?)
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Node<'a>>, Fault> {
        self.at += 1;
        let mut elements = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(elements);
        }
        loop {
            self.skip_space();
            let element = self.value(depth + 1)?;
            if depth <= self.keep {
                self.count()?;
                elements.push(element);
            }
            self.skip_space();
            if self.take(b']') {
                return Ok(elements);
            }
            if !self.take(b',') {
                return Err(Fault::Syntax);
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Vec<Member<'a>>, Fault> {
        self.at += 1;
        let mut members = Vec::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(members);
        }
        loop {
            self.skip_space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(Fault::Syntax);
            }
            let name = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err(Fault::Syntax);
            }
            self.skip_space();
            self.count()?;
            members.push(Member { name, start, value: self.value(depth + 1)? });
            self.skip_space();
            if self.take(b'}') {
                break;
            }
            if !self.take(b',') {
                return Err(Fault::Syntax);
            }
        }
        if has_duplicates(&members) { Err(Fault::Duplicate) } else { Ok(members) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.at += 1;
        let mut unescaped: Option<String> = None;
        let mut start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let last = self.since(start)?;
                    self.at += 1;
                    return Ok(match unescaped {
                        Some(before) => Cow::Owned(before + last),
                        None => Cow::Borrowed(last),
                    });
                }
                Some(b'\\') => {
                    let before = self.since(start)?;
                    self.at += 1;
                    let text = unescaped.get_or_insert_default();
                    text.push_str(before);
                    text.push(self.escape()?);
                    start = self.at;
                }
                Some(0x20..) => self.at += 1,
                // A control character, or the end.
                _ => return Err(Fault::Syntax),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let escaped = self.peek().ok_or(Fault::Syntax)?;
        self.at += 1;
        Ok(match escaped {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(Fault::Syntax),
        })
    }

    fn unicode(&mut self) -> Result<char, Fault> {
        let unit = self.hex()?;
        if !(0xd800..0xdc00).contains(&unit) {
            return char::from_u32(unit).ok_or(Fault::Text);
        }
        if !(self.take(b'\\') && self.take(b'u')) {
            return Err(Fault::Text);
        }
        let low = self.hex()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(Fault::Text);
        }
        char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).ok_or(Fault::Text)
    }

    fn hex(&mut self) -> Result<u32, Fault> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Fault::Syntax)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Fault::Syntax);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Fault::Syntax)
    }
}

fn has_duplicates(members: &[Member<'_>]) -> bool {
    if members.len() <= FEW {
        let mut rest = members;
        while let Some((first, others)) = rest.split_first() {
            if others.iter().any(|other| other.name == first.name) {
                return true;
            }
            rest = others;
        }
        return false;
    }
    let mut names: Vec<&str> = members.iter().map(|member| &*member.name).collect();
    names.sort_unstable();
    names.iter().zip(names.iter().skip(1)).any(|(one, next)| one == next)
}
