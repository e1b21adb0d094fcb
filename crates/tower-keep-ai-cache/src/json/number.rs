//! Numbers, exactly as they are written.

use std::io::Write as _;

use super::Fault;

/// Exponents beyond this are no number's: nobody means them, and readers differ in what they make
/// of them.
const MAX_EXPONENT: i64 = 100_000;

/// A number, of which no digit is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'a>(&'a str);

struct Parts<'a> {
    negative: bool,
    /// The digits before the point.
    whole: &'a str,
    /// The digits after the point.
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Number<'a> {
    /// The number that is written so.
    pub(super) fn read(text: &'a str) -> Result<Self, Fault> {
        Parts::read(text).map(|_| Self(text))
    }

    fn parts(self) -> Parts<'a> {
        let none = Parts { negative: false, whole: "0", fraction: "", exponent: 0 };
        Parts::read(self.0).unwrap_or(none)
    }

    /// Writes it in the one way that all spellings of this number share: its digits from the first
    /// to the last that is not 0, then the power of ten. `-0` is `0`.
    pub(crate) fn write_canonical(self, out: &mut Vec<u8>) {
        let parts = self.parts();
        let start = out.len();
        if parts.negative {
            out.push(b'-');
        }
        let digits = out.len();
        out.extend(parts.digits().skip_while(|digit| *digit == b'0'));
        let mut exponent = parts.exponent - length(parts.fraction);
        while out.len() > digits && out.last() == Some(&b'0') {
            out.pop();
            exponent += 1;
        }
        if out.len() == digits {
            out.truncate(start);
            out.push(b'0');
        } else if exponent != 0 {
            // Writing to a `Vec` cannot fail.
            let _ = write!(out, "e{exponent}");
        }
    }

    /// The whole number that it is, if it is one.
    pub(crate) fn as_u64(self) -> Option<u64> {
        let mut canonical = Vec::new();
        self.write_canonical(&mut canonical);
        let text = str::from_utf8(&canonical).ok()?;
        let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let scale = 10_u64.checked_pow(exponent.parse().ok()?)?;
        digits.parse::<u64>().ok()?.checked_mul(scale)
    }

    /// Whether it is 0, however that is written.
    pub(crate) fn is_zero(self) -> bool {
        self.parts().digits().all(|digit| digit == b'0')
    }
}

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Result<Self, Fault> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (digits, exponent) = match rest.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, read_exponent(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if !is_digits(whole) || leading_zero || fraction.is_some_and(|digits| !is_digits(digits)) {
            return Err(Fault::Syntax);
        }
        Ok(Self { negative, whole, fraction: fraction.unwrap_or_default(), exponent })
    }

    fn digits(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.whole.bytes().chain(self.fraction.bytes())
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn read_exponent(text: &str) -> Result<i64, Fault> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    if !is_digits(digits) {
        return Err(Fault::Syntax);
    }
    match digits.parse::<i64>() {
        Ok(exponent) if exponent <= MAX_EXPONENT => Ok(if negative { -exponent } else { exponent }),
        _ => Err(Fault::Number),
    }
}

fn length(digits: &str) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX / 2)
}
