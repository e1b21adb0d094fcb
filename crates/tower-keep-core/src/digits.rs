//! Numbers as header fields have them, written without an allocation of their own.

use http::HeaderValue;

/// A number in digits.
#[derive(Debug)]
pub(crate) struct Digits {
    bytes: [u8; 20],
    first: usize,
}

impl Digits {
    pub(crate) fn of(number: u64) -> Self {
        let mut bytes = [b'0'; 20];
        let (mut rest, mut first) = (number, bytes.len());
        for digit in bytes.iter_mut().rev() {
            // Less than ten.
            *digit += u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            first -= 1;
            if rest == 0 {
                break;
            }
        }
        Self { bytes, first }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.first..).unwrap_or_default()
    }
}

/// A field's value that is a number. Allocates once, where the conversions of `http` do twice.
///
/// ```
/// assert_eq!(tower_keep_core::decimal(300), "300");
/// ```
pub fn decimal(number: u64) -> HeaderValue {
    HeaderValue::from_bytes(Digits::of(number).as_bytes())
        .unwrap_or_else(|_| HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written() {
        for number in [0, 1, 9, 10, 99, 100, 1 << 31, u64::MAX - 1, u64::MAX] {
            assert_eq!(decimal(number), number.to_string().as_str());
        }
    }
}
