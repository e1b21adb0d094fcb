//! What the fuzz targets of `fuzz/` call, and the tests that replay their seeds.

use bytes::Bytes;
use tower_keep_core::TenantId;

use crate::{keys::KeyRing, record::Record, token::Token};

/// A token as a client sends it, which nobody can make up; and what is sealed in one, which is
/// sealed and opened again as the same.
pub fn session_token(data: &[u8]) {
    const NAME: &str = "__Host-session";
    let Ok(ring) = KeyRing::new(&["a secret of at least thirty-two bytes"]) else { return };
    assert_eq!(Token::open(data, &ring, &TenantId::NONE, NAME), None);
    if let Some(token) = Token::from_plain(data) {
        let text = token.seal(&ring, &TenantId::NONE, NAME);
        let opened = Token::open(text.as_bytes(), &ring, &TenantId::NONE, NAME);
        assert_eq!(opened.map(|opened| opened.token), Some(token));
    }
}

/// A session as it lies in a store. What is read is written and read again as the same.
pub fn session_record(data: &[u8]) {
    if let Ok(record) = Record::decode(&Bytes::copy_from_slice(data)) {
        assert_eq!(Record::decode(&record.encode()), Ok(record));
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn seeds_are_replayed() {
        replay("session_token", session_token);
        replay("session_record", session_record);
    }
}
