//! Tokens that were opened lately: a client sends the same one with request after request, and to
//! open it takes much more than to see that it is the same.

use std::{
    fmt,
    hint::black_box,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use tower_keep_core::TenantId;
use zeroize::Zeroizing;

use crate::{
    keys::KeyRing,
    token::{Opened, Token},
};

/// How many are kept at most, about half a kilobyte each.
const PLACES: usize = 4096;

/// What was inside of tokens, for one ring of keys and one cookie name.
///
/// Only what one of the keys has sealed is kept: who makes texts up cannot drive anybody out. To
/// open a token asks neither a store nor a clock, so what was inside stays true for as long as the
/// ring does; whether its time is over is asked anew by every request.
pub(crate) struct Tokens {
    places: Box<[Mutex<Option<Arc<Known>>>]>,
}

/// One of them.
pub(crate) struct Known {
    tenant: TenantId,
    /// As the client sends it. Whoever has it has the session.
    text: Zeroizing<Box<[u8]>>,
    opened: Opened,
}

impl Tokens {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { places: (0..PLACES).map(|_| Mutex::default()).collect() }
    }

    /// What [`Token::open`] finds in a text.
    pub(crate) fn open(
        &self,
        text: &[u8],
        ring: &KeyRing,
        tenant: &TenantId,
        name: &str,
    ) -> Option<Arc<Known>> {
        let place = self.place(text)?;
        let known = place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.is(text, tenant)) {
            return Some(known);
        }
        let mut opened = Token::open(text, ring, tenant, name)?;
        opened.token.id.name();
        let text = Zeroizing::new(text.into());
        let known = Arc::new(Known { tenant: tenant.clone(), text, opened });
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&known));
        Some(known)
    }

    /// Where a text is kept, if it is. A token ends with a tag, which is as good as chance.
    fn place(&self, text: &[u8]) -> Option<&Mutex<Option<Arc<Known>>>> {
        let end = u64::from_le_bytes(*text.last_chunk()?);
        // The multiplier is 2^64 over the golden ratio.
        let mixed = end.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let index = usize::try_from(mixed >> 32).unwrap_or_default() % self.places.len().max(1);
        self.places.get(index)
    }
}

impl Known {
    /// Whether it is this text's. How long that takes says nothing of where two texts differ.
    fn is(&self, text: &[u8], tenant: &TenantId) -> bool {
        let pairs = || self.text.iter().zip(text);
        self.text.len() == text.len()
            && black_box(pairs().fold(0, |differs, (a, b)| differs | (a ^ b))) == 0
            && self.tenant == *tenant
    }
}

impl Deref for Known {
    type Target = Opened;

    fn deref(&self) -> &Opened {
        &self.opened
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

#[cfg(test)]
mod tests {
    use tower_keep_core::{UserId, time::UnixMillis};

    use super::*;
    use crate::id::{Origin, SessionId};

    const NAME: &str = "__Host-session";

    fn token(n: u8) -> Token {
        Token {
            id: SessionId::from_bytes([n; 16]),
            origin: Origin([n; 16]),
            user: Some(UserId::new("u").unwrap()),
            touched: UnixMillis(1),
            idle: std::time::Duration::from_secs(60),
            transient: false,
        }
    }

    #[test]
    fn the_same_text_is_opened_once_for_each_tenant() {
        let (ring, tokens) = (KeyRing::ephemeral(), Tokens::new());
        let (acme, other) = (TenantId::new("acme").unwrap(), TenantId::new("other").unwrap());
        let text = token(1).seal(&ring, &acme, NAME);
        let first = tokens.open(text.as_bytes(), &ring, &acme, NAME).unwrap();
        let second = tokens.open(text.as_bytes(), &ring, &acme, NAME).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(first.token, token(1));
        // It is nothing to another tenant, and stays what it is to its own.
        assert!(tokens.open(text.as_bytes(), &ring, &other, NAME).is_none());
        assert!(tokens.open(text.as_bytes(), &ring, &TenantId::NONE, NAME).is_none());
        assert!(tokens.open(text.as_bytes(), &ring, &acme, NAME).is_some());
    }

    #[test]
    fn nothing_but_the_whole_text_is_known() {
        let (ring, tokens) = (KeyRing::ephemeral(), Tokens::new());
        let text = token(1).seal(&ring, &TenantId::NONE, NAME);
        assert!(tokens.open(text.as_bytes(), &ring, &TenantId::NONE, NAME).is_some());
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            assert!(tokens.open(&changed, &ring, &TenantId::NONE, NAME).is_none(), "{place}");
        }
        for short in 0..text.len() {
            let (begin, end) = text.as_bytes().split_at(short);
            assert!(tokens.open(begin, &ring, &TenantId::NONE, NAME).is_none());
            assert!(short == 0 || tokens.open(end, &ring, &TenantId::NONE, NAME).is_none());
        }
    }

    #[test]
    fn who_comes_to_a_place_that_is_taken_gets_it() {
        let ring = KeyRing::ephemeral();
        let tokens = Tokens { places: Box::new([Mutex::default()]) };
        let texts = [1, 2].map(|n| token(n).seal(&ring, &TenantId::NONE, NAME));
        for _ in 0..2 {
            for (n, text) in (1..).zip(&texts) {
                let opened = tokens.open(text.as_bytes(), &ring, &TenantId::NONE, NAME);
                assert_eq!(opened.unwrap().token, token(n));
            }
        }
    }
}
