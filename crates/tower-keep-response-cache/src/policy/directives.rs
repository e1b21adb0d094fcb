//! `Cache-Control` of responses (RFC 9111 §5.2.2), and how such a field is taken apart.
//!
//! A field that is not well formed must not make a response more widely used: what forbids is
//! believed wherever it stands, what permits is not. So neither the order of directives, nor that
//! of lines, nor letter case, nor a quote that is never closed hides `no-store` or `private`.

use http::{HeaderMap, HeaderName, header};

use crate::freshness::FOREVER;

/// Fields without which the rest of a response means something else, so that they cannot be left
/// out of it: a response that wants that is validated, or kept to one user, as a whole.
const ESSENTIAL: [HeaderName; 9] = [
    header::AGE,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::DATE,
    header::EXPIRES,
    header::VARY,
];

/// What a response's directives say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a directive of its own")]
pub(crate) struct Directives {
    pub(crate) no_store: bool,
    /// `no-cache` of the whole response.
    pub(crate) no_cache: bool,
    /// `private` of the whole response.
    pub(crate) private: bool,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) must_understand: bool,
    /// The least that is said, 0 where it is no number.
    pub(crate) max_age: Option<u64>,
    pub(crate) s_maxage: Option<u64>,
    pub(crate) stale_while_revalidate: Option<u64>,
    pub(crate) stale_if_error: Option<u64>,
    /// The fields of `no-cache="…"`.
    pub(crate) no_cache_fields: Vec<HeaderName>,
    /// The fields of `private="…"`.
    pub(crate) private_fields: Vec<HeaderName>,
    /// It cannot be made sense of: whatever permits something is not believed.
    pub(crate) broken: bool,
}

impl Directives {
    /// What all lines of `Cache-Control` say.
    pub(crate) fn of(response: &HeaderMap) -> Self {
        let mut said = Self::default();
        for line in response.get_all(header::CACHE_CONTROL) {
            let well_formed = each(line.as_bytes(), |name, argument| said.add(name, argument));
            said.broken |= !well_formed;
        }
        said
    }

    /// How long the response says that it is fresh in a shared cache.
    pub(crate) fn lifetime(&self) -> Option<u64> {
        if self.broken { Some(0) } else { self.s_maxage.or(self.max_age) }
    }

    /// Whether `no-store` holds: one who understands the status follows the rest instead, where
    /// `must-understand` asks for that (RFC 9111 §5.2.2.3).
    pub(crate) const fn forbids_storing(&self, understood: bool) -> bool {
        self.no_store && !(self.must_understand && understood && !self.broken)
    }

    /// Whether a stale response is never used, whoever allows it. `s-maxage` says so too
    /// (RFC 9111 §5.2.2.10).
    pub(crate) const fn must_revalidate(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.s_maxage.is_some()
    }

    /// Whether everybody may have the response, although its request had credentials
    /// (RFC 9111 §3.5).
    pub(crate) const fn is_for_everybody(&self) -> bool {
        !self.broken && (self.public || self.must_revalidate || self.s_maxage.is_some())
    }

    pub(crate) fn add(&mut self, name: &[u8], argument: Argument<'_>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("max-age") {
            lower(&mut self.max_age, argument.seconds().unwrap_or(0));
        } else if is("s-maxage") {
            self.broken |= argument.seconds().is_none();
            lower(&mut self.s_maxage, argument.seconds().unwrap_or(0));
        } else if is("public") {
            self.public = true;
        } else if is("private") {
            self.private |= !take_fields(&mut self.private_fields, argument);
        } else if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache |= !take_fields(&mut self.no_cache_fields, argument);
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("must-understand") {
            self.must_understand = true;
        } else if is("stale-while-revalidate") {
            let window = argument.seconds().unwrap_or(0);
            lower(&mut self.stale_while_revalidate, window);
        } else if is("stale-if-error") {
            let window = argument.seconds().unwrap_or(0);
            lower(&mut self.stale_if_error, window);
        }
    }
}

/// What is said twice holds as the less of it, in whichever order (RFC 9111 §4.2.1 leaves the
/// choice between the first and none).
pub(crate) fn lower(known: &mut Option<u64>, said: u64) {
    *known = Some(known.map_or(said, |known| known.min(said)));
}

/// Adds the fields that `no-cache` or `private` is limited to; `false` where it is meant, or has
/// to be taken, for all of the response.
fn take_fields(fields: &mut Vec<HeaderName>, argument: Argument<'_>) -> bool {
    // The form without quotes is not used for lists, and `private=true` was not meant for one.
    let Argument::Quoted(list) = argument else { return false };
    let known = fields.len();
    for name in list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        match HeaderName::from_bytes(name) {
            Ok(name) if !ESSENTIAL.contains(&name) => fields.push(name),
            Err(_) if name.is_empty() => {}
            _ => return false,
        }
    }
    fields.len() > known
}

/// What stands behind a directive's `=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument<'a> {
    /// There is no `=`.
    None,
    /// A word, maybe empty.
    Word(&'a [u8]),
    /// What is between the quotes, escapes and all.
    Quoted(&'a [u8]),
    /// Something that is neither, or not where it belongs.
    Nonsense,
}

impl Argument<'_> {
    /// The argument as `delta-seconds`, with or without quotes; [`FOREVER`] if it is more.
    pub(crate) fn seconds(&self) -> Option<u64> {
        match self {
            Self::Word(digits) | Self::Quoted(digits) => seconds(digits),
            Self::None | Self::Nonsense => None,
        }
    }
}

/// `delta-seconds` (RFC 9111 §1.2.2); [`FOREVER`] if it is more.
pub(crate) fn seconds(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0, |sum: u64, digit| {
        digit.is_ascii_digit().then(|| (sum * 10 + u64::from(digit - b'0')).min(FOREVER))
    })
}

/// Hands each directive of one line to `take`; `false` if the line is not well formed. A quote
/// that is never closed is passed over, so that what follows is seen and not swallowed.
pub(crate) fn each<'a>(line: &'a [u8], mut take: impl FnMut(&'a [u8], Argument<'a>)) -> bool {
    let mut well_formed = true;
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        let Some((&first, after)) = rest.split_first() else { return well_formed };
        if first == b',' {
            rest = after;
            continue;
        }
        let (name, after) = word(rest);
        if name.is_empty() {
            // Neither a name nor the end of a directive.
            well_formed = false;
            rest = after.get(1..).unwrap_or_default();
            continue;
        }
        let spaced = after.trim_ascii_start();
        let (argument, after) = match spaced.strip_prefix(b"=") {
            None => (Argument::None, spaced),
            Some(value) => {
                let (argument, end) = argument(value);
                well_formed &= argument != Argument::Nonsense;
                // RFC 9110 §5.6.6: no space on either side.
                (if spaced.len() == after.len() { argument } else { Argument::Nonsense }, end)
            }
        };
        take(name, argument);
        rest = after.trim_ascii_start();
        well_formed &= matches!(rest.first(), None | Some(b','));
    }
}

/// What stands behind `=`, and what follows.
fn argument(value: &[u8]) -> (Argument<'_>, &[u8]) {
    let spaced = value.trim_ascii_start();
    if let Some(quoted) = spaced.strip_prefix(b"\"") {
        return match closing(quoted) {
            Some((inner, end)) => (Argument::Quoted(inner), end),
            None => (Argument::Nonsense, quoted),
        };
    }
    let (found, end) = word(spaced);
    if spaced.len() != value.len() && !found.is_empty() {
        // A space after `=` leaves nothing behind it that could be meant.
        return (Argument::Word(b""), end);
    }
    (Argument::Word(found), end)
}

/// The inside of a quoted string whose first quote is gone, and what follows its last.
fn closing(quoted: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut escaped = false;
    let end = quoted.iter().position(|&byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    let (inner, rest) = quoted.split_at_checked(end)?;
    Some((inner, rest.get(1..)?))
}

/// All up to where a name or a value ends, and what follows.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let ends = |byte: &u8| matches!(byte, b',' | b';' | b'=' | b'"' | b' ' | b'\t');
    let end = text.iter().position(ends).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, b""))
}

#[cfg(test)]
mod tests;
