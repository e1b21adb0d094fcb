//! XChaCha20-Poly1305: authenticated encryption under random nonces.

use std::fmt;

use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};
use zeroize::Zeroizing;

/// A key that seals bytes, binds them to others, and opens them again: XChaCha20-Poly1305
/// (draft-irtf-cfrg-xchacha-03). Its nonces are so long that they may be drawn by chance for as
/// long as a key lives.
///
/// A subkey is made of the key and the first 16 bytes of the nonce (`HChaCha20`); the rest is
/// ChaCha20-Poly1305 (RFC 8439), by `ring`.
///
/// ```
/// use tower_keep_core::SealingKey;
///
/// let key = SealingKey::new([7; SealingKey::BYTES]);
/// let mut bytes = *b"secret";
/// let nonce = [1; SealingKey::NONCE]; // of a real program: random, never the same twice
/// let tag = key.seal(nonce, b"about whom", &mut bytes);
/// assert!(!key.open(nonce, b"about somebody else", &mut bytes.clone(), tag));
/// assert!(key.open(nonce, b"about whom", &mut bytes, tag));
/// assert_eq!(&bytes, b"secret");
/// ```
pub struct SealingKey(Zeroizing<[u8; Self::BYTES]>);

impl SealingKey {
    /// How long a key is, in bytes.
    pub const BYTES: usize = 32;
    /// How long a nonce is, in bytes.
    pub const NONCE: usize = 24;
    /// How long a tag is, in bytes.
    pub const TAG: usize = 16;

    /// The key of these bytes, which nobody else may know.
    pub fn new(key: [u8; Self::BYTES]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// Seals `bytes` where they are, and binds them to `aad`. The tag must be kept with them.
    ///
    /// # Panics
    ///
    /// For over 256 GiB.
    #[expect(clippy::expect_used, reason = "nobody has 256 GiB in one piece")]
    pub fn seal(&self, nonce: [u8; Self::NONCE], aad: &[u8], bytes: &mut [u8]) -> [u8; Self::TAG] {
        let (key, nonce) = self.subkey(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), bytes);
        let tag = tag.expect("there are too many bytes to seal");
        let mut copy = [0; Self::TAG];
        copy.copy_from_slice(tag.as_ref());
        copy
    }

    /// Opens `bytes` where they are. Whether they were sealed by this key, under this nonce, bound
    /// to this `aad`, and are as they were; if not, nothing can be said of what is in them now.
    #[must_use = "what is not authentic must not be used"]
    pub fn open(
        &self,
        nonce: [u8; Self::NONCE],
        aad: &[u8],
        bytes: &mut [u8],
        tag: [u8; Self::TAG],
    ) -> bool {
        let (key, nonce) = self.subkey(nonce);
        let tag = Tag::from(tag);
        key.open_in_place_separate_tag(nonce, Aad::from(aad), tag, bytes, 0..).is_ok()
    }

    #[expect(clippy::expect_used, reason = "the lengths are right")]
    fn subkey(&self, nonce: [u8; Self::NONCE]) -> (LessSafeKey, Nonce) {
        let (mut first, mut rest) = ([0; 16], [0; 12]);
        for (to, from) in first.iter_mut().chain(rest.iter_mut().skip(4)).zip(nonce) {
            *to = from;
        }
        let subkey: Zeroizing<[u8; 32]> =
            Zeroizing::new(hchacha::<R20>((&*self.0).into(), &first.into()).into());
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*subkey);
        let key = key.expect("a key of 32 bytes is refused");
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(rest))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::{AeadInOut as _, KeyInit as _, XChaCha20Poly1305};
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_what_the_draft_says() {
        // draft-irtf-cfrg-xchacha-03, A.3.1.
        let mut text = *b"Ladies and Gentlemen of the class of '99: If I could offer you only one \
            tip for the future, sunscreen would be it.";
        let aad = HEXLOWER.decode(b"50515253c0c1c2c3c4c5c6c7").unwrap();
        let key = SealingKey::new(std::array::from_fn(|i| 0x80 + u8::try_from(i).unwrap()));
        let nonce = std::array::from_fn(|i| 0x40 + u8::try_from(i).unwrap());
        let tag = key.seal(nonce, &aad, &mut text);
        assert_eq!(HEXLOWER.encode(&text[..16]), "bd6d179d3e83d43b9576579493c0e939");
        assert_eq!(HEXLOWER.encode(&tag), "c0875924c1c7987947deafd8780acf49");
    }

    #[test]
    fn it_is_not_shown() {
        assert_eq!(format!("{:?}", SealingKey::new([7; 32])), "SealingKey");
    }

    proptest! {
        #[test]
        fn another_library_agrees(
            key: [u8; 32],
            nonce: [u8; 24],
            aad in prop::collection::vec(any::<u8>(), 0..40),
            plain in prop::collection::vec(any::<u8>(), 0..300),
            flip in 0..8_u32,
        ) {
            let ours = SealingKey::new(key);
            let theirs = XChaCha20Poly1305::new(&key.into());
            let (mut one, mut other) = (plain.clone(), plain.clone());
            let tag = ours.seal(nonce, &aad, &mut one);
            let (their_nonce, slice) = ((&nonce).into(), other.as_mut_slice());
            let their_tag = theirs.encrypt_inout_detached(their_nonce, &aad, slice.into()).unwrap();
            prop_assert_eq!((&one, &tag[..]), (&other, &their_tag[..]));
            let mut changed = tag;
            changed[0] ^= 1 << flip;
            prop_assert!(!ours.open(nonce, &aad, &mut one.clone(), changed));
            prop_assert!(ours.open(nonce, &aad, &mut one, tag));
            prop_assert_eq!(one, plain);
        }
    }
}
