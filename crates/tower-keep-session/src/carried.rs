//! What of a request's head may hold its token, kept until somebody asks.

use http::{HeaderName, HeaderValue, header};
use tower_keep_core::{Dialect, Head};

use crate::carrier::{Carrier, Via};

/// The header lines that may hold a token, and the language that the client speaks.
#[derive(Debug)]
pub(crate) struct Carried {
    authorization: Lines,
    cookies: Lines,
    pub(crate) dialect: Dialect,
}

/// The lines of one header. Their text is shared, not copied.
#[derive(Debug)]
enum Lines {
    None,
    One(HeaderValue),
    Several(Vec<HeaderValue>),
}

impl Lines {
    fn of(head: Head<'_>, name: &HeaderName) -> Self {
        let all = head.headers().get_all(name);
        let mut lines = all.iter();
        match (lines.next(), lines.next()) {
            (None, _) => Self::None,
            (Some(one), None) => Self::One(one.clone()),
            (Some(_), Some(_)) => Self::Several(all.iter().cloned().collect()),
        }
    }

    fn as_slice(&self) -> &[HeaderValue] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

impl Carried {
    pub(crate) fn of(head: Head<'_>) -> Self {
        Self {
            authorization: Lines::of(head, &header::AUTHORIZATION),
            cookies: Lines::of(head, &header::COOKIE),
            dialect: Dialect::of(head),
        }
    }

    /// What may be a token, in the order to be tried.
    pub(crate) fn candidates<'a>(
        &'a self,
        carrier: Carrier,
        name: &'a str,
    ) -> impl Iterator<Item = (Via, &'a [u8])> {
        carrier.candidates(self.authorization.as_slice(), self.cookies.as_slice(), name)
    }
}
