//! Entries as bytes, and again as entries.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tower_keep_core::{Vault, time::UnixMillis};

use crate::{
    blob::{Flags, Header, LONGEST_META},
    corrupt::Corrupt,
    name::Name,
    value::Value,
};

/// How many times as long as the longest entry a body may be that is compressed.
const INFLATION: usize = 16;

/// What an entry says of itself.
#[derive(Serialize, Deserialize)]
struct Meta {
    /// What it is called, by a hash that nobody can find another name for.
    identity: [u8; 32],
    expires: UnixMillis,
    /// The length of its body before it was compressed.
    body: u64,
}

/// Makes blobs and reads them.
#[derive(Clone, Debug)]
pub(crate) struct Codec {
    pub(crate) vault: Option<Vault>,
    pub(crate) compress_above: usize,
    pub(crate) max_entry_bytes: usize,
}

/// What a blob turned out to be.
#[derive(Debug)]
pub(crate) enum Read<V> {
    /// An entry, and when it expires.
    Entry(V, UnixMillis),
    /// An entry that has expired.
    Expired,
    /// Somebody is making one.
    Lease,
}

impl Codec {
    /// The blob that `name` has under `key`; `None` if it is too large.
    pub(crate) fn encode<V: Value>(
        &self,
        key: &str,
        name: &Name,
        value: &V,
        expires: UnixMillis,
    ) -> Option<Bytes> {
        let (mut own, mut body) = (Vec::new(), Vec::new());
        value.encode(&mut own, &mut body);
        if body.len() > self.longest_body() || own.len() > LONGEST_META {
            return None;
        }
        let identity = name.fingerprint();
        let meta =
            postcard::to_stdvec(&Meta { identity, expires, body: body.len() as u64 }).ok()?;
        let compressed = self.compress(&body);
        let flags =
            Flags { compressed: compressed.is_some(), sealed: self.vault.is_some(), lease: false };
        let header = Header { flags, format: V::FORMAT, meta: u32::try_from(own.len()).ok()? };
        let header = header.to_bytes();
        let body = compressed.unwrap_or(body);
        let length = header.len() + meta.len() + own.len() + body.len();
        let sealing = self.vault.as_ref().map_or(0, Vault::overhead);
        if length + sealing > self.max_entry_bytes {
            return None;
        }
        let Some(vault) = &self.vault else {
            return Some([&header[..], &meta, &own, &body].concat().into());
        };
        let sealed = vault.seal(&[&meta[..], &own, &body].concat(), &associated(key, header));
        Some([&header[..], &sealed].concat().into())
    }

    /// What was put under `key` for `name`. Bytes that nobody has encoded are told from it, and
    /// never cost more memory than entries may.
    pub(crate) fn decode<V: Value>(
        &self,
        key: &str,
        name: &Name,
        blob: &Bytes,
        now: UnixMillis,
    ) -> Result<Read<V>, Corrupt> {
        let header = Header::read(blob)?;
        if header.flags.lease {
            return Ok(Read::Lease);
        }
        if header.format != V::FORMAT {
            return Err(Corrupt::Format);
        }
        let rest = blob.slice(Header::LEN..);
        let plain = match &self.vault {
            // A blob that is not sealed may be anybody's.
            Some(vault) if header.flags.sealed => {
                vault.open(&rest, &associated(key, header.to_bytes())).ok_or(Corrupt::Sealed)?
            }
            None if !header.flags.sealed => rest,
            _ => return Err(Corrupt::Sealed),
        };
        let (meta, after) =
            postcard::take_from_bytes::<Meta>(&plain).map_err(|_| Corrupt::Length)?;
        if meta.identity != name.fingerprint() {
            return Err(Corrupt::Identity);
        }
        if meta.expires <= now {
            return Ok(Read::Expired);
        }
        let own = header.meta as usize;
        let (own, packed) = after.split_at_checked(own).ok_or(Corrupt::Length)?;
        let length = usize::try_from(meta.body).map_err(|_| Corrupt::Length)?;
        let body = if header.flags.compressed {
            self.decompress(packed, length)?
        } else if packed.len() == length {
            plain.slice_ref(packed)
        } else {
            return Err(Corrupt::Length);
        };
        let value = V::decode(own, body).ok_or(Corrupt::Value)?;
        Ok(Read::Entry(value, meta.expires))
    }

    /// The body in short, if it is worth it.
    fn compress(&self, body: &[u8]) -> Option<Vec<u8>> {
        if body.len() <= self.compress_above {
            return None;
        }
        let compressed = lz4_flex::block::compress(body);
        (compressed.len() <= body.len() / 10 * 9).then_some(compressed)
    }

    fn decompress(&self, packed: &[u8], length: usize) -> Result<Bytes, Corrupt> {
        // A byte of lz4 says 255 more at most.
        let most = packed.len().saturating_mul(256).min(self.longest_body());
        if length > most {
            return Err(Corrupt::Length);
        }
        let mut body = vec![0; length];
        match lz4_flex::block::decompress_into(packed, &mut body) {
            Ok(written) if written == length => Ok(body.into()),
            _ => Err(Corrupt::Compressed),
        }
    }

    const fn longest_body(&self) -> usize {
        self.max_entry_bytes.saturating_mul(INFLATION)
    }
}

/// The blob that says that an entry is being made, by whoever has this token.
pub(crate) fn lease(token: [u8; 16]) -> Bytes {
    let flags = Flags { lease: true, ..Flags::default() };
    let header = Header { flags, format: 0, meta: 0 };
    [&header.to_bytes()[..], &token].concat().into()
}

/// What a sealed blob is bound to.
fn associated(key: &str, header: [u8; Header::LEN]) -> Vec<u8> {
    [key.as_bytes(), &header].concat()
}

#[cfg(test)]
mod tests;
