//! Keys as 128 bits: SipHash-1-3 under a secret, fed with whole words.
#![expect(
    clippy::inline_always,
    reason = "the state stays in registers; each call would write it down"
)]

use std::net::IpAddr;

use tower_keep_core::{
    TenantId,
    key::{BlockKey, CounterKey, CustomPart, EndpointPart, UserPart},
};

/// What a hash begins with. Callers choose parts of the keys; a secret keeps them from choosing
/// collisions.
#[derive(Clone, Copy)]
pub(super) struct Secret(State);

/// A tenant, hashed once for all its keys.
#[derive(Clone, Copy)]
pub(super) struct Tenant {
    state: State,
    /// How long its name is, and one more; 0 for none.
    length: usize,
}

impl Secret {
    pub(super) const fn new(k0: u64, k1: u64) -> Self {
        Self(State::new(k0, k1))
    }

    #[inline]
    pub(super) fn tenant(&self, tenant: &TenantId) -> Tenant {
        let mut state = self.0;
        let Some(name) = tenant.name() else { return Tenant { state, length: 0 } };
        state.text(name);
        Tenant { state, length: name.len() + 1 }
    }
}

impl Tenant {
    /// A number that is as likely any below 64 as any other.
    #[inline]
    pub(super) const fn sixty_fourth(&self) -> usize {
        // The multiplier is 2^64 over the golden ratio.
        let mixed = self.state.fold().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> 58) as usize
    }

    /// One of its counters.
    #[inline]
    pub(super) fn counter(&self, key: &CounterKey<'_>) -> u128 {
        let mut state = self.state;
        let mut shape = Shape { tenant: self.length, ..Shape::default() };
        shape.user(&mut state, key.user);
        if let Some(rule) = key.rule {
            state.text(rule);
            shape.rule = rule.len() + 1;
        }
        if let EndpointPart::Route(template) = key.endpoint {
            state.text(template);
            shape.endpoint = template.len();
        }
        if let CustomPart::Value(part) = key.part {
            state.text(part);
            shape.part = part.len();
        }
        let endpoint = match key.endpoint {
            EndpointPart::All => 0,
            EndpointPart::Route(_) => 1,
            EndpointPart::Unmatched => 2,
        };
        let part = match key.part {
            CustomPart::Unused => 0,
            CustomPart::Value(_) => 1,
            CustomPart::Missing => 2,
        };
        shape.kinds |= (endpoint << 3) | (part << 5);
        shape.finish(state)
    }

    /// The block of one of its callers.
    pub(super) fn block(&self, key: &BlockKey<'_>) -> u128 {
        let mut state = self.state;
        let mut shape = Shape { tenant: self.length, ..Shape::default() };
        shape.user(&mut state, key.user);
        shape.kinds |= 3 << 3;
        shape.finish(state)
    }
}

/// What kinds of parts a key has, and how long each is: it comes last, and tells where every part
/// begins, so that two different keys are never fed alike.
#[derive(Default)]
struct Shape {
    kinds: u64,
    tenant: usize,
    user: usize,
    rule: usize,
    endpoint: usize,
    part: usize,
}

impl Shape {
    #[inline(always)]
    fn user(&mut self, state: &mut State, user: UserPart<'_>) {
        self.kinds = match user {
            UserPart::All => 0,
            UserPart::Unidentified => 1,
            UserPart::User(user) => {
                state.text(user.as_str());
                self.user = user.as_str().len();
                2
            }
            UserPart::Address(address) => match address.ip() {
                IpAddr::V4(ip) => {
                    state.word(u64::from(ip.to_bits()));
                    3
                }
                IpAddr::V6(ip) => {
                    state.words(ip.octets().as_chunks().0);
                    4
                }
            },
        };
    }

    /// The kinds take 7 bits, the lengths the next 48. Longer parts have their lengths before.
    #[inline(always)]
    fn finish(&self, mut state: State) -> u128 {
        let Self { kinds, tenant, user, rule, endpoint, part } = *self;
        let lengths = [tenant, user, rule, endpoint, part].map(|length| length as u64);
        let [tenant, user, rule, endpoint, part] = lengths;
        if (tenant | user | endpoint | part) < 1 << 10 && rule < 1 << 8 {
            let packed = tenant | (user << 10) | (endpoint << 20) | (part << 30) | (rule << 40);
            return state.finish(kinds | (packed << 8));
        }
        for length in lengths {
            state.word(length);
        }
        state.finish(kinds | (1 << 7))
    }
}

/// The state of SipHash-1-3 with an output of 128 bits.
#[derive(Clone, Copy)]
struct State {
    v: [u64; 4],
    words: u64,
}

impl State {
    const fn new(k0: u64, k1: u64) -> Self {
        let v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, words: 0 }
    }

    #[inline(always)]
    const fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.v[0] ^= word;
        self.words += 1;
    }

    #[inline(always)]
    fn words(&mut self, words: &[[u8; 8]]) {
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
    }

    /// The bytes of a text, with zeros after it up to a whole word.
    #[inline(always)]
    fn text(&mut self, text: &str) {
        let (words, rest) = text.as_bytes().as_chunks();
        self.words(words);
        if !rest.is_empty() {
            self.word(short(rest));
        }
    }

    const fn fold(&self) -> u64 {
        let [v0, v1, v2, v3] = self.v;
        v0 ^ v1 ^ v2 ^ v3
    }

    /// The hash of all words, and of the seven low bytes of `tail` after them.
    #[inline(always)]
    const fn finish(mut self, tail: u64) -> u128 {
        let length = 8 * self.words + 7;
        self.word((length << 56) | tail);
        self.v[2] ^= 0xee;
        let low = self.squeeze();
        self.v[1] ^= 0xdd;
        let high = self.squeeze();
        ((high as u128) << 64) | low as u128
    }

    #[inline(always)]
    const fn squeeze(&mut self) -> u64 {
        self.round();
        self.round();
        self.round();
        self.fold()
    }

    #[inline(always)]
    const fn round(&mut self) {
        let [mut v0, mut v1, mut v2, mut v3] = self.v;
        v0 = v0.wrapping_add(v1);
        v2 = v2.wrapping_add(v3);
        v1 = v1.rotate_left(13) ^ v0;
        v3 = v3.rotate_left(16) ^ v2;
        v0 = v0.rotate_left(32).wrapping_add(v3);
        v2 = v2.wrapping_add(v1);
        v3 = v3.rotate_left(21) ^ v0;
        v1 = v1.rotate_left(17) ^ v2;
        self.v = [v0, v1, v2.rotate_left(32), v3];
    }
}

/// Up to seven bytes as a word.
#[inline(always)]
fn short(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // Both have four bytes; those that are in both fall on each other.
        let last = u64::from(u32::from_le_bytes(*last));
        return u64::from(u32::from_le_bytes(*first)) | (last << (8 * (bytes.len() - 4)));
    }
    bytes.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, hash::Hasher as _};

    use proptest::prelude::*;
    use siphasher::sip128::{Hasher128 as _, SipHasher13};
    use tower_keep_core::{ClientAddr, UserId};

    use super::*;

    #[test]
    fn a_short_word_is_its_bytes() {
        for length in 0..8 {
            let bytes = &[1, 2, 3, 4, 5, 6, 7, 0][..length];
            let mut word = [0; 8];
            word[..length].copy_from_slice(bytes);
            assert_eq!(short(bytes), u64::from_le_bytes(word));
        }
    }

    proptest! {
        /// Nothing new in cryptography: the hash is the one that everybody has.
        #[test]
        fn it_is_siphash(k0: u64, k1: u64, words in prop::collection::vec(any::<u64>(), 0..40), tail in 0_u64..1 << 56) {
            let mut state = State::new(k0, k1);
            let mut theirs = SipHasher13::new_with_keys(k0, k1);
            for word in words {
                state.word(word);
                theirs.write(&word.to_le_bytes());
            }
            theirs.write(&tail.to_le_bytes()[..7]);
            prop_assert_eq!(state.finish(tail), theirs.finish128().as_u128());
        }
    }

    #[test]
    fn keys_that_differ_have_other_fingerprints() {
        let secret = Secret::new(1, 2);
        let long = "x".repeat(5000);
        let texts =
            ["", "a", "b", "aa", "a\0", "aaaaaaa", "aaaaaaaa", "aaaaaaaa\0", &long, &long[1..]];
        let tenants: Vec<TenantId> = ["a", "aa", "~none", "aaaaaaaa"]
            .map(|name| TenantId::new(name).unwrap())
            .into_iter()
            .chain([TenantId::NONE])
            .collect();
        let users: Vec<UserId> =
            ["a", "aa", "aaaaaaa", "aaaaaaaa"].map(|id| UserId::new(id).unwrap()).into();
        let address = |text: &str| UserPart::Address(ClientAddr::new(text.parse().unwrap()));
        let mut user_parts = vec![UserPart::All, UserPart::Unidentified];
        user_parts.extend(["0.0.0.1", "192.0.2.1", "2001:db8::", "::"].map(address));
        user_parts.extend(users.iter().map(UserPart::User));
        let mut endpoints = vec![EndpointPart::All, EndpointPart::Unmatched];
        endpoints.extend(texts.map(EndpointPart::Route));
        let mut parts = vec![CustomPart::Unused, CustomPart::Missing];
        parts.extend(texts.map(CustomPart::Value));
        let mut rules = vec![None];
        rules.extend(texts.map(Some));
        let mut seen = HashMap::new();
        for tenant in &tenants {
            let hashed = secret.tenant(tenant);
            for user in &user_parts {
                let block = BlockKey { tenant, user: *user };
                let other = seen.insert(hashed.block(&block), format!("{block:?}"));
                assert_eq!(other, None, "{block:?}");
                for endpoint in &endpoints {
                    for rule in &rules {
                        for part in &parts {
                            let (user, endpoint, rule, part) = (*user, *endpoint, *rule, *part);
                            let key = CounterKey { tenant, user, endpoint, rule, part };
                            let other = seen.insert(hashed.counter(&key), String::new());
                            assert_eq!(other, None, "{:?}", key.spell(false));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn tenants_are_spread_evenly() {
        let secret = Secret::new(3, 4);
        let mut homes = [0_u32; 64];
        for n in 0..6400 {
            homes[secret.tenant(&TenantId::new(format!("tenant-{n}")).unwrap()).sixty_fourth()] +=
                1;
        }
        assert!(homes.iter().all(|home| (50..160).contains(home)), "{homes:?}");
    }
}
