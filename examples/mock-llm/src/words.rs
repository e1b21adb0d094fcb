//! Words, numbers and ids that a request is always answered by.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

const WORDS: [&str; 16] = [
    "light", "river", "stone", "quiet", "seven", "north", "glass", "paper", "früh", "amber",
    "cloud", "eye", "slow", "maple", "銀", "tide",
];

/// A source of what looks like chance and is always the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed([u8; 32]);

impl Seed {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Another one, by number.
    pub(crate) fn sub(&self, number: u64) -> Self {
        let mut bytes = self.0.to_vec();
        bytes.extend(number.to_be_bytes());
        Self::of(&bytes)
    }

    /// An id that begins so.
    pub(crate) fn id(&self, begin: &str) -> String {
        let hex = HEXLOWER.encode(&self.0);
        format!("{begin}{}", hex.get(..24).unwrap_or_default())
    }

    /// Some words.
    pub(crate) fn words(&self, count: usize) -> String {
        let words = self.0.iter().cycle().take(count);
        let words = words.filter_map(|byte| WORDS.get(usize::from(byte % 16)).copied());
        words.collect::<Vec<_>>().join(" ")
    }

    /// Numbers from -1 to 1.
    pub(crate) fn numbers(&self, count: usize) -> Vec<f32> {
        let blocks = (0_u64..).flat_map(|block| self.sub(block).0);
        blocks.take(count).map(|byte| (f32::from(byte) - 127.5) / 127.5).collect()
    }
}

/// How many tokens a text has, more or less.
pub(crate) fn tokens(text: &str) -> u64 {
    (text.chars().count() as u64).div_ceil(4)
}

/// A text in the pieces that it is streamed in.
pub(crate) fn pieces(text: &str) -> Vec<&str> {
    text.split_inclusive(' ').collect()
}
