//! How every blob begins.
//!
//! ```text
//! 0  2  magic
//! 2  1  version of the engine's format
//! 3  1  flags
//! 4  1  format of the value
//! 5  3  length of the value's meta, big-endian
//! ```

use crate::corrupt::Corrupt;

const MAGIC: [u8; 2] = *b"tk";

/// The version of all that follows the magic.
const VERSION: u8 = 1;

/// The longest meta of a value: what three bytes can say.
pub(crate) const LONGEST_META: usize = (1 << 24) - 1;

/// How a blob begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) flags: Flags,
    pub(crate) format: u8,
    pub(crate) meta: u32,
}

/// What a blob is besides its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// Its body is compressed.
    pub(crate) compressed: bool,
    /// All after the header is sealed.
    pub(crate) sealed: bool,
    /// It is no entry: it says that one is being made.
    pub(crate) lease: bool,
}

impl Header {
    pub(crate) const LEN: usize = 8;

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let Flags { compressed, sealed, lease } = self.flags;
        let flags = u8::from(compressed) | u8::from(sealed) << 1 | u8::from(lease) << 2;
        let [_, high, mid, low] = self.meta.to_be_bytes();
        let [m, n] = MAGIC;
        [m, n, VERSION, flags, self.format, high, mid, low]
    }

    /// The header that `blob` begins with. The format of the value is not looked at.
    pub(crate) fn read(blob: &[u8]) -> Result<Self, Corrupt> {
        let Some(&[m, n, version, flags, format, high, mid, low]) = blob.first_chunk() else {
            return Err(Corrupt::Foreign);
        };
        if [m, n] != MAGIC {
            return Err(Corrupt::Foreign);
        }
        if version != VERSION || flags > 0b111 {
            return Err(Corrupt::Version);
        }
        let flags =
            Flags { compressed: flags & 1 != 0, sealed: flags & 2 != 0, lease: flags & 4 != 0 };
        Ok(Self { flags, format, meta: u32::from_be_bytes([0, high, mid, low]) })
    }
}
