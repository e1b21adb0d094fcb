//! Images and other files inside a request, by the SHA-256 of their bytes: an identity stays short,
//! and base64 of the same bytes is the same however it is written.

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};

/// Less than this stands for itself.
const MIN_BYTES: usize = 1024;

/// Where a string stands. Elsewhere than where files are it is text, which a model reads as it is
/// written, base64 or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The member that holds the object.
    pub(super) parent: Option<&'a str>,
    /// The object's member that the string is.
    pub(super) name: &'a str,
    /// The object says of itself that its type is `base64`.
    pub(super) is_base64: bool,
}

impl Place<'_> {
    /// What is written instead of a string that is a file: no JSON begins like it, so nobody can
    /// send it.
    pub(super) fn digest(self, text: &str) -> Option<String> {
        let (kind, encoded) = self.encoded(text)?;
        let bytes = decode(encoded)?;
        if bytes.len() < MIN_BYTES {
            return None;
        }
        let hash = HEXLOWER.encode(&Sha256::digest(&bytes));
        // A media type in which a `#` could stand for something else ends with the digest.
        Some(format!("#{}#{kind}#{hash}", kind.len()))
    }

    /// The media type as far as the string says it, and the base64 of the file.
    fn encoded(self, text: &str) -> Option<(&str, &str)> {
        let is_url = match self.name {
            "url" => matches!(self.parent, Some("image_url" | "video_url" | "audio_url")),
            "image_url" | "file_data" => true,
            _ => false,
        };
        if is_url {
            return text.strip_prefix("data:")?.split_once(";base64,");
        }
        let is_data = self.name == "data"
            && (self.parent == Some("input_audio")
                || (self.parent == Some("source") && self.is_base64));
        is_data.then_some(("", text))
    }
}

/// Only what has one meaning: bits that are left over are 0.
fn decode(encoded: &str) -> Option<Vec<u8>> {
    if encoded.len() < MIN_BYTES {
        return None;
    }
    let unbroken;
    let mut text = encoded.as_bytes();
    if text.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        unbroken = encoded.replace(['\r', '\n'], "");
        text = unbroken.as_bytes();
    }
    let encoding = if text.len().is_multiple_of(4) { BASE64 } else { BASE64_NOPAD };
    encoding.decode(text).ok()
}
