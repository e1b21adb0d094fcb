//! Answers that come compressed although they were asked for as they are.

use std::io::Write as _;

use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use http::{HeaderMap, header};

use crate::provider::Flaw;

/// What is read at once of what is compressed: what it can become is a thousand times as long.
const BITE: usize = 1024;

/// How an answer is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Not at all.
    Plain,
    /// By gzip (RFC 1952).
    Gzip,
    /// In some way that is not read here.
    Other,
}

impl Coding {
    /// What the head says (RFC 9110 §8.4).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::CONTENT_ENCODING).iter();
        let names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let is = |name: &[u8], known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let mut codings =
            names.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty() && !is(name, "identity"));
        match (codings.next(), codings.next()) {
            (None, _) => Self::Plain,
            (Some(name), None) if is(name, "gzip") || is(name, "x-gzip") => Self::Gzip,
            _ => Self::Other,
        }
    }

    /// What a whole body says.
    pub(crate) fn read(self, body: Bytes, most: usize) -> Result<Bytes, Flaw> {
        let Some(mut reader) = Gunzip::of(self, most) else { return Ok(body) };
        let mut all = BytesMut::from(&reader.take(&body)?[..]);
        all.extend_from_slice(&reader.end()?);
        Ok(all.freeze())
    }
}

/// Reads what is compressed, as it comes.
pub(crate) struct Gunzip {
    decoder: MultiGzDecoder<Vec<u8>>,
    read: usize,
    /// No more is read than becomes so long.
    most: usize,
}

impl Gunzip {
    /// Of an answer that is encoded so.
    pub(crate) fn of(coding: Coding, most: usize) -> Option<Self> {
        let decoder = || MultiGzDecoder::new(Vec::new());
        (coding == Coding::Gzip).then(|| Self { decoder: decoder(), read: 0, most })
    }

    /// What these bytes say that come next.
    pub(crate) fn take(&mut self, data: &[u8]) -> Result<Bytes, Flaw> {
        for bite in data.chunks(BITE) {
            self.decoder.write_all(bite).map_err(|_| Flaw::Malformed)?;
            if self.read.saturating_add(self.decoder.get_ref().len()) > self.most {
                return Err(Flaw::TooLarge);
            }
        }
        self.decoder.flush().map_err(|_| Flaw::Malformed)?;
        self.out()
    }

    /// What is left to say when no more comes.
    pub(crate) fn end(&mut self) -> Result<Bytes, Flaw> {
        self.decoder.try_finish().map_err(|_| Flaw::Truncated)?;
        self.out()
    }

    fn out(&mut self) -> Result<Bytes, Flaw> {
        let out = std::mem::take(self.decoder.get_mut());
        self.read = self.read.saturating_add(out.len());
        if self.read > self.most { Err(Flaw::TooLarge) } else { Ok(out.into()) }
    }
}

#[cfg(test)]
pub(crate) fn gzipped(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_head_says_how_it_is_encoded() {
        for (lines, expected) in [
            (&[][..], Coding::Plain),
            (&["identity"], Coding::Plain),
            (&["", ","], Coding::Plain),
            (&["GZip"], Coding::Gzip),
            (&["x-gzip, identity"], Coding::Gzip),
            (&["gzip", "gzip"], Coding::Other),
            (&["br"], Coding::Other),
            (&["gzip;q=1"], Coding::Other),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(line));
            }
            assert_eq!(Coding::of(&headers), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_is_cut_or_broken_or_too_long_is_not_read() {
        let whole = gzipped(&[b'a'; 5000]);
        let read = |bytes: &[u8], most| Coding::Gzip.read(Bytes::copy_from_slice(bytes), most);
        assert_eq!(read(&whole, 5000).unwrap(), [b'a'; 5000][..]);
        assert_eq!(read(&whole, 4999), Err(Flaw::TooLarge));
        for end in 0..whole.len() {
            assert!(read(&whole[..end], 5000).is_err(), "{end}");
        }
        let mut broken = whole.clone();
        let last = broken.len() - 6;
        broken[last] ^= 1;
        assert!(read(&broken, 5000).is_err(), "its checksum is another");
        assert_eq!(read(b"plain text", 5000), Err(Flaw::Malformed));
        // Much is said by little.
        let bomb = gzipped(&vec![0; 64 << 20]);
        assert_eq!(read(&bomb, 1 << 20), Err(Flaw::TooLarge));
    }

    proptest! {
        #[test]
        fn it_says_the_same_however_it_is_cut(
            text in proptest::collection::vec(any::<u8>(), 0..4000),
            step in 1_usize..600,
        ) {
            let mut reader = Gunzip::of(Coding::Gzip, 4000).unwrap();
            let mut read = Vec::new();
            for piece in gzipped(&text).chunks(step) {
                read.extend_from_slice(&reader.take(piece).unwrap());
            }
            read.extend_from_slice(&reader.end().unwrap());
            prop_assert_eq!(read, text);
        }
    }
}
