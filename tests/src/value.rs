//! What a server answers.

use std::io;

/// One RESP2 reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `+OK`
    Simple(String),
    /// `-ERR …`: an answer like any other; [`Value::ok`] makes it an error.
    Error(String),
    /// `:1`
    Integer(i64),
    /// `$…`; `None` is nil.
    Bulk(Option<Vec<u8>>),
    /// `*…`; `None` is a nil array.
    Array(Option<Vec<Value>>),
}

impl Value {
    /// The integer; panics on anything else.
    #[track_caller]
    pub fn int(&self) -> i64 {
        match self {
            Self::Integer(int) => *int,
            other => panic!("expected an integer, got {other:?}"),
        }
    }

    /// The text of a simple, error or bulk reply, bytes that are no UTF-8 replaced; panics on
    /// anything else.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Self::Simple(text) | Self::Error(text) => text.clone(),
            Self::Bulk(Some(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("expected text, got {other:?}"),
        }
    }

    /// The elements of an array; panics on anything else.
    #[track_caller]
    pub fn array(&self) -> &[Value] {
        match self {
            Self::Array(Some(values)) => values,
            other => panic!("expected an array, got {other:?}"),
        }
    }

    /// Whether it is a nil of either kind.
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Bulk(None) | Self::Array(None))
    }

    /// Turns an error reply into an error.
    pub fn ok(self) -> io::Result<Self> {
        match self {
            Self::Error(text) => Err(io::Error::other(text)),
            value => Ok(value),
        }
    }
}
