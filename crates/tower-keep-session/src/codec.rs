//! How a session is written for a server: a header of fixed length, then its values as a msgpack
//! map from names to values. Values are bytes, and written as msgpack's text, because the server's
//! library knows no other kind; they are read as either. The scripts beside `redis.rs` read and write the same.

use bytes::Bytes;
use rmp::{
    Marker,
    decode::{self, RmpRead as _},
    encode,
};
use tower_keep_core::time::UnixMillis;

use crate::{
    id::Origin,
    record::{Data, Header, MAX_NAME, Record},
};

/// The only format there is.
const FORMAT: u8 = 1;
/// Format, five numbers, origin.
const HEADER: usize = 1 + 5 * 8 + 16;

/// What somebody else, or a later version, has written, or only half of it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no session")]
pub struct Undecodable;

impl Header {
    /// Its bytes: format, `version`, `created`, `expires`, `seen`, `idle_ms`, `origin`; numbers
    /// begin with their highest byte.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.push(FORMAT);
        let times = [self.created, self.expires, self.seen].map(|time| time.0);
        bytes.extend(self.version.to_be_bytes());
        bytes.extend(times.iter().flat_map(|time| time.to_be_bytes()));
        bytes.extend(self.idle_ms.to_be_bytes());
        bytes.extend(self.origin.0);
        bytes
    }

    /// The header at the beginning of `bytes`, and what follows it.
    ///
    /// # Errors
    ///
    /// [`Undecodable`] if there is none.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), Undecodable> {
        let read = || {
            let rest = bytes.strip_prefix(&[FORMAT])?;
            let (numbers, rest) = rest.split_first_chunk::<40>()?;
            let (origin, rest) = rest.split_first_chunk::<16>()?;
            let mut numbers = numbers.as_chunks::<8>().0.iter().copied().map(u64::from_be_bytes);
            let header = Self {
                version: numbers.next()?,
                created: UnixMillis(numbers.next()?),
                expires: UnixMillis(numbers.next()?),
                seen: UnixMillis(numbers.next()?),
                idle_ms: numbers.next()?,
                origin: Origin(*origin),
            };
            Some((header, rest))
        };
        read().ok_or(Undecodable)
    }
}

impl Record {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut bytes = self.header.encode();
        write_map(&mut bytes, &self.data);
        bytes.into()
    }

    /// The session that these bytes are. Its values are slices of them: nothing is copied, and
    /// all of them stay in memory for as long as one value does.
    ///
    /// # Errors
    ///
    /// [`Undecodable`] for anything but a whole session and nothing after it.
    pub fn decode(bytes: &Bytes) -> Result<Self, Undecodable> {
        let (header, map) = Header::decode(bytes)?;
        let mut map = decode::Bytes::new(map);
        let mut data = Data::new();
        for _ in 0..read_map(&mut map).ok_or(Undecodable)? {
            let name = read_text(&mut map).and_then(|name| str::from_utf8(name).ok());
            let name = name.filter(|name| (1..=MAX_NAME).contains(&name.len()));
            let (name, value) = name.zip(read_value(&mut map)).ok_or(Undecodable)?;
            if data.insert(name.into(), bytes.slice_ref(value)).is_some() {
                return Err(Undecodable);
            }
        }
        if map.remaining_slice().is_empty() { Ok(Self { header, data }) } else { Err(Undecodable) }
    }
}

/// Values by name, as a script takes them.
#[cfg(any(feature = "redis", test))]
pub(crate) fn map(data: &Data) -> Bytes {
    let mut bytes = Vec::with_capacity(128);
    write_map(&mut bytes, data);
    bytes.into()
}

/// Names, as a script takes them.
#[cfg(any(feature = "redis", test))]
pub(crate) fn names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Bytes {
    let mut bytes = Vec::with_capacity(32);
    // Writing to memory cannot fail.
    let _ = encode::write_array_len(&mut bytes, length(names.len()));
    for name in names {
        let _ = encode::write_str(&mut bytes, name);
    }
    bytes.into()
}

fn write_map(bytes: &mut Vec<u8>, data: &Data) {
    // Writing to memory cannot fail.
    let _ = encode::write_map_len(bytes, length(data.len()));
    for (name, value) in data {
        let _ = encode::write_str(bytes, name);
        let _ = encode::write_str_len(bytes, length(value.len()));
        bytes.extend_from_slice(value);
    }
}

/// Memory ends before there are that many.
fn length(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

/// How many entries follow. The server's library cannot tell an empty map from an empty array.
fn read_map(from: &mut decode::Bytes<'_>) -> Option<u32> {
    let (entries, is_map) = match decode::read_marker(from).ok()? {
        Marker::FixMap(entries) => (entries.into(), true),
        Marker::Map16 => (from.read_data_u16().ok()?.into(), true),
        Marker::Map32 => (from.read_data_u32().ok()?, true),
        Marker::FixArray(entries) => (entries.into(), false),
        Marker::Array16 => (from.read_data_u16().ok()?.into(), false),
        Marker::Array32 => (from.read_data_u32().ok()?, false),
        _ => return None,
    };
    (is_map || entries == 0).then_some(entries)
}

/// Bytes, or text that may be any bytes.
fn read_value<'a>(from: &mut decode::Bytes<'a>) -> Option<&'a [u8]> {
    let marker = decode::read_marker(from).ok()?;
    let same = match marker {
        Marker::Bin8 => Marker::Str8,
        Marker::Bin16 => Marker::Str16,
        Marker::Bin32 => Marker::Str32,
        other => other,
    };
    read_after(same, from)
}

/// Text that may be any bytes.
fn read_text<'a>(from: &mut decode::Bytes<'a>) -> Option<&'a [u8]> {
    read_after(decode::read_marker(from).ok()?, from)
}

/// What follows a text's marker. Nothing is reserved for the length that is declared.
fn read_after<'a>(marker: Marker, from: &mut decode::Bytes<'a>) -> Option<&'a [u8]> {
    let length = match marker {
        Marker::FixStr(length) => length.into(),
        Marker::Str8 => from.read_data_u8().ok()?.into(),
        Marker::Str16 => from.read_data_u16().ok()?.into(),
        Marker::Str32 => from.read_data_u32().ok()?,
        _ => return None,
    };
    let (bytes, rest) = from.remaining_slice().split_at_checked(usize::try_from(length).ok()?)?;
    *from = decode::Bytes::new(rest);
    Some(bytes)
}

#[cfg(test)]
mod tests;
