//! Which sessions have ended before their time: what processes tell each other of it.

use sha2::{Digest as _, Sha256};

/// Sessions that were ended: by their users, by somebody who may, or to make room.
///
/// It names nobody: a holder is told by a hash of the key that its sessions are kept under.
///
/// ```
/// use tower_keep_core::{Revocation, Revoked};
///
/// let ended = Revocation::new("session:acme:42", Revoked::AllBut([7; 16]));
/// assert_eq!(Revocation::decode(&ended.encode()), Some(ended));
/// assert!(ended.concerns("session:acme:42", [8; 16]));
/// assert!(!ended.concerns("session:acme:42", [7; 16]));
/// assert!(!ended.concerns("session:acme:43", [8; 16]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    holder: [u8; 16],
    which: Revoked,
}

/// Which sessions of a holder have ended, by their public ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// All.
    All,
    /// This one.
    One([u8; 16]),
    /// All but this one.
    AllBut([u8; 16]),
}

impl Revocation {
    /// Of the sessions that are kept under `key`, these.
    pub fn new(key: &str, which: Revoked) -> Self {
        Self { holder: holder(key), which }
    }

    /// Whether it has ended the session `id` that is kept under `key`.
    pub fn concerns(&self, key: &str, id: [u8; 16]) -> bool {
        let ended = match self.which {
            Revoked::All => true,
            Revoked::One(one) => one == id,
            Revoked::AllBut(spared) => spared != id,
        };
        ended && self.holder == holder(key)
    }

    /// As a message on the bus, of the kind [`BUS_SESSIONS`](crate::key::BUS_SESSIONS).
    pub fn encode(&self) -> Vec<u8> {
        let (letter, id): (u8, &[u8]) = match &self.which {
            Revoked::All => (b'a', &[]),
            Revoked::One(id) => (b'o', id),
            Revoked::AllBut(id) => (b'b', id),
        };
        [&self.holder[..], &[letter], id].concat()
    }

    /// What a message says; `None` if it is none.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let (&holder, rest) = message.split_first_chunk::<16>()?;
        let (letter, id) = rest.split_first()?;
        let which = match (letter, <[u8; 16]>::try_from(id)) {
            (b'a', _) if id.is_empty() => Revoked::All,
            (b'o', Ok(id)) => Revoked::One(id),
            (b'b', Ok(id)) => Revoked::AllBut(id),
            _ => return None,
        };
        Some(Self { holder, which })
    }
}

fn holder(key: &str) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(key).into();
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_way_and_nothing_else_is_taken() {
        for which in [Revoked::All, Revoked::One([1; 16]), Revoked::AllBut([2; 16])] {
            let sent = Revocation::new("session:t:u", which);
            let message = sent.encode();
            assert_eq!(Revocation::decode(&message), Some(sent));
            for end in 0..message.len() {
                assert_eq!(Revocation::decode(&message[..end]), None, "{which:?} cut at {end}");
            }
            assert_eq!(Revocation::decode(&[&message[..], b"x"].concat()), None);
        }
        assert_eq!(Revocation::decode(&[b'z'; 33]), None);
    }
}
