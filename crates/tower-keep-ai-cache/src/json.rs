//! A JSON text, read once and strictly, with the place of each value in it.
//!
//! What two readers could take for different things is refused: members of one name, however that
//! is spelled, invalid UTF-8, lone surrogates, bytes after the end. So whoever reads the text
//! after us reads what we have read.

use std::borrow::Cow;

mod number;
mod scan;

pub(crate) use self::number::Number;

/// Why a text is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not UTF-8, or has half a surrogate pair.
    Text,
    /// It is not JSON, or not all of it is.
    Syntax,
    /// An object has two members of one name.
    Duplicate,
    /// It is nested too deep.
    Depth,
    /// It has a number with an exponent that no number has.
    Number,
    /// It has more values than are read.
    Many,
}

/// Where in the text something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    /// What is written there.
    pub(crate) fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) span: Span,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Kind<'a> {
    Null,
    Bool(bool),
    Number(Number<'a>),
    String(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    /// In the order of the text.
    Object(Vec<Member<'a>>),
}

/// A member of an object.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) name: Cow<'a, str>,
    /// Where its name begins, with the quote.
    pub(crate) start: usize,
    pub(crate) value: Node<'a>,
}

impl<'a> Node<'a> {
    /// The value that the text is.
    pub(crate) fn read(text: &'a [u8]) -> Result<Self, Fault> {
        Self::skim(text, usize::MAX)
    }

    /// The same, of which arrays deeper than that are left empty. A vector has thousands of numbers
    /// that nobody looks at.
    pub(crate) fn skim(text: &'a [u8], keep: usize) -> Result<Self, Fault> {
        scan::read(str::from_utf8(text).map_err(|_| Fault::Text)?, keep)
    }

    /// An object's member of this name. `null` is as good as none, to all APIs we know.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let found = self.members().iter().find(|member| member.name == name)?;
        (!matches!(found.value.kind, Kind::Null)).then_some(&found.value)
    }

    /// An object's members; none of what is not an object.
    pub(crate) fn members(&self) -> &[Member<'a>] {
        if let Kind::Object(members) = &self.kind { members } else { &[] }
    }

    /// An array's elements; none of what is not an array.
    pub(crate) fn elements(&self) -> &[Self] {
        if let Kind::Array(elements) = &self.kind { elements } else { &[] }
    }

    pub(crate) const fn is_object(&self) -> bool {
        matches!(self.kind, Kind::Object(_))
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Kind::String(text) = &self.kind { Some(text) } else { None }
    }

    pub(crate) const fn as_bool(&self) -> Option<bool> {
        if let Kind::Bool(value) = self.kind { Some(value) } else { None }
    }

    pub(crate) const fn as_number(&self) -> Option<Number<'a>> {
        if let Kind::Number(number) = self.kind { Some(number) } else { None }
    }

    pub(crate) fn as_u64(&self) -> Option<u64> {
        self.as_number()?.as_u64()
    }
}

#[cfg(test)]
mod tests;
