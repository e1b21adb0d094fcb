//! The one place that spells Redis keys.
//!
//! Ids keep `A-Z a-z 0-9 . _ ~ @ / -`; every other byte is percent-encoded, and so is a leading
//! `~`, because what begins with `~` is ours: `~h…` (a long part's hash), `~ip-…` (an address),
//! `~none`, `~unmatched`. A part over 96 bytes, as written, becomes `~h` and 32 hexadecimal
//! digits of its SHA-256. So two different ids never share a key, no id holds a `:`, a hash tag
//! or a glob, and a key's length is bounded.

use std::{fmt::Write as _, net::IpAddr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use crate::{ClientAddr, TenantId, UserId};

/// Everything but the characters that ids keep.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'~').remove(b'@').remove(b'/').remove(b'-');

/// The channel on which processes that share a Redis tell each other what changed.
pub const BUS: &str = "keep:bus";

/// The kind of message on [`BUS`] that says: what you know of denied callers may be wrong.
pub const BUS_LIMITS: u8 = 1;

/// The kind of message on [`BUS`] that says which sessions have ended: a
/// [`Revocation`](crate::Revocation).
pub const BUS_SESSIONS: u8 = 2;

/// The kind of message on [`BUS`] that says what was purged from caches: an
/// [`Invalidation`](crate::Invalidation).
pub const BUS_CACHES: u8 = 3;

/// The name of the rule whose keys carry no rule name.
pub const DEFAULT_RULE: &str = "default";

/// The longest part written as it is, in bytes.
const MAX_PART: usize = 96;

/// The user part of a counter's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UserPart<'a> {
    /// Every user together: `*`.
    All,
    /// A user by id.
    User(&'a UserId),
    /// A client address: `~ip-192.0.2.1`, `~ip-2001%3Adb8%3A%3A/64`.
    Address(ClientAddr),
    /// Neither user nor address is known: `~none`.
    Unidentified,
}

/// The endpoint part of a counter's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndpointPart<'a> {
    /// Every endpoint together: `*`.
    All,
    /// A route by its template, such as `/items/{id}`.
    Route(&'a str),
    /// No route matched: `~unmatched`.
    Unmatched,
}

/// The part of a counter's key that a rule makes of the request itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CustomPart<'a> {
    /// The rule makes none.
    #[default]
    Unused,
    /// What it made.
    Value(&'a str),
    /// It found nothing to make one of: `~none`.
    Missing,
}

/// The name of a rate-limit counter: `ratelimit:{tenant}:{user}:{endpoint}`, followed by
/// `:{rule}` for every rule but the one called `default`, and by `:{rule}:{part}` where the rule
/// makes a part of its own.
///
/// ```
/// use tower_keep_core::{TenantId, UserId, key::{CounterKey, CustomPart, EndpointPart, UserPart}};
///
/// let (tenant, user) = (TenantId::new("acme")?, UserId::new("42")?);
/// let key = CounterKey {
///     tenant: &tenant,
///     user: UserPart::User(&user),
///     endpoint: EndpointPart::Route("/items/{id}"),
///     rule: Some("burst"),
///     part: CustomPart::Unused,
/// };
/// assert_eq!(key.spell(false), "ratelimit:acme:42:/items/%7Bid%7D:burst");
/// assert_eq!(key.spell(true), "ratelimit:{acme}:42:/items/%7Bid%7D:burst");
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CounterKey<'a> {
    /// Whose counter it is.
    pub tenant: &'a TenantId,
    /// Which user's, if it is kept by user.
    pub user: UserPart<'a>,
    /// Which endpoint's, if it is kept by endpoint.
    pub endpoint: EndpointPart<'a>,
    /// The rule's name, unless it is the default rule. Made of characters that ids keep.
    pub rule: Option<&'a str>,
    /// What the rule makes of the request, if it does.
    pub part: CustomPart<'a>,
}

/// The name of a caller's block: `ratelimit:{tenant}:{user}:*:~block`.
///
/// ```
/// use tower_keep_core::{TenantId, key::{BlockKey, UserPart}};
///
/// let tenant = TenantId::new("acme")?;
/// let whole_tenant = BlockKey { tenant: &tenant, user: UserPart::All };
/// assert_eq!(whole_tenant.spell(false), "ratelimit:acme:*:*:~block");
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockKey<'a> {
    /// Whose caller it is.
    pub tenant: &'a TenantId,
    /// Which user or address, or all.
    pub user: UserPart<'a>,
}

/// The name of what keeps a holder's sessions: `session:{tenant}:{user}`, a hash with a field for
/// each session of the user; or `session:{tenant}:~h{hash}`, with the one session that has no user
/// yet.
///
/// ```
/// use tower_keep_core::{TenantId, UserId, key::{Holder, SessionKey}};
///
/// let (tenant, user) = (TenantId::new("acme")?, UserId::new("42")?);
/// let key = SessionKey { tenant: &tenant, holder: Holder::User(&user) };
/// assert_eq!(key.spell(), "session:acme:42");
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey<'a> {
    /// Whose sessions they are.
    pub tenant: &'a TenantId,
    /// Who holds them.
    pub holder: Holder<'a>,
}

/// The name of something cached: `cache:{tenant}:{kind}:{hash}`.
///
/// ```
/// use tower_keep_core::{TenantId, key::CacheKey};
///
/// let tenant = TenantId::new("acme")?;
/// let key = CacheKey { tenant: &tenant, kind: "http", hash: [0xab; 16] };
/// assert_eq!(key.spell(), "cache:acme:http:abababababababababababababababab");
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey<'a> {
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// What kind of thing it is, in characters that ids keep: `http` for responses.
    pub kind: &'a str,
    /// A hash of what it answers. It only names the entry: who reads it compares the whole.
    pub hash: [u8; 16],
}

impl CacheKey<'_> {
    /// The key.
    pub fn spell(&self) -> String {
        let mut key = begun("cache", self.tenant);
        key.push(':');
        push_id(&mut key, self.kind);
        key.push(':');
        push_hex(&mut key, &self.hash);
        key
    }
}

/// The name of a cached query's result: `query:{tenant}:{hash}`.
///
/// ```
/// use tower_keep_core::{TenantId, key::QueryKey};
///
/// let tenant = TenantId::new("acme")?;
/// let key = QueryKey { tenant: &tenant, hash: [0xab; 16] };
/// assert_eq!(key.spell(), "query:acme:abababababababababababababababab");
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueryKey<'a> {
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// A hash of the query and its parameters. It only names the entry: who reads it compares the
    /// whole.
    pub hash: [u8; 16],
}

impl QueryKey<'_> {
    /// The key.
    pub fn spell(self) -> String {
        let mut key = begun("query", self.tenant);
        key.push(':');
        push_hex(&mut key, &self.hash);
        key
    }
}

/// The name of a cached answer of a language model: `ai:{tenant}:{model}:{hash}`, with `~none` where
/// a request names no model.
///
/// ```
/// use tower_keep_core::{TenantId, key::AiKey};
///
/// let tenant = TenantId::new("acme")?;
/// let key = AiKey { tenant: &tenant, model: "gpt-5", hash: [0xab; 16] };
/// assert_eq!(key.spell(), "ai:acme:gpt-5:abababababababababababababababab");
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AiKey<'a> {
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// Which model's, as the request spells it; empty where it names none.
    pub model: &'a str,
    /// A hash of the request. It only names the entry: who reads it compares the whole.
    pub hash: [u8; 16],
}

impl AiKey<'_> {
    /// The key.
    pub fn spell(self) -> String {
        let mut key = begun("ai", self.tenant);
        key.push(':');
        if self.model.is_empty() {
            key.push_str("~none");
        } else {
            push_id(&mut key, self.model);
        }
        key.push(':');
        push_hex(&mut key, &self.hash);
        key
    }
}

/// The name of something cached that has an id: `cache:{tenant}:{kind}:{id}`.
///
/// ```
/// use tower_keep_core::{TenantId, key::NamedKey};
///
/// let tenant = TenantId::new("acme")?;
/// let key = NamedKey { tenant: &tenant, kind: "prescription", id: "17:a" };
/// assert_eq!(key.spell(), "cache:acme:prescription:17%3Aa");
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NamedKey<'a> {
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// What kind of thing it is.
    pub kind: &'a str,
    /// Which of them.
    pub id: &'a str,
}

impl NamedKey<'_> {
    /// The key.
    pub fn spell(self) -> String {
        let mut key = begun("cache", self.tenant);
        key.push(':');
        push_id(&mut key, self.kind);
        key.push(':');
        push_id(&mut key, self.id);
        key
    }
}

/// The name of a tenant's generations, which say what of its caches was purged:
/// `cache:{tenant}:~gen`.
///
/// ```
/// use tower_keep_core::{TenantId, key::GenerationsKey};
///
/// let tenant = TenantId::new("acme")?;
/// assert_eq!(GenerationsKey { tenant: &tenant }.spell(), "cache:acme:~gen");
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GenerationsKey<'a> {
    /// Whose caches they are about.
    pub tenant: &'a TenantId,
}

impl GenerationsKey<'_> {
    /// The key.
    pub fn spell(self) -> String {
        let mut key = begun("cache", self.tenant);
        key.push_str(":~gen");
        key
    }
}

/// Who holds sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder<'a> {
    /// A user.
    User(&'a UserId),
    /// Nobody known: the one session with this public id.
    Anonymous([u8; 16]),
}

impl SessionKey<'_> {
    /// The key as text. It is the only one that a command touches, so it needs no hash tag.
    pub fn spell(&self) -> String {
        let mut key = begun("session", self.tenant);
        key.push(':');
        match self.holder {
            Holder::User(user) => push_id(&mut key, user.as_str()),
            Holder::Anonymous(id) => push_hash(&mut key, &id),
        }
        key
    }
}

impl BlockKey<'_> {
    /// The key as text; see [`CounterKey::spell`].
    pub fn spell(&self, tagged: bool) -> String {
        let mut key = caller(self.tenant, self.user, tagged);
        key.push_str(":*:~block");
        key
    }
}

impl CounterKey<'_> {
    /// The key as text. `tagged` puts the tenant in a hash tag, so that in a cluster all
    /// counters of a tenant lie in one slot and one script can touch several.
    pub fn spell(&self, tagged: bool) -> String {
        let mut key = caller(self.tenant, self.user, tagged);
        key.push(':');
        match self.endpoint {
            EndpointPart::All => key.push('*'),
            EndpointPart::Route(template) => push_id(&mut key, template),
            EndpointPart::Unmatched => key.push_str("~unmatched"),
        }
        if self.rule.is_some() || self.part != CustomPart::Unused {
            key.push(':');
            push_id(&mut key, self.rule.unwrap_or(DEFAULT_RULE));
        }
        match self.part {
            CustomPart::Unused => {}
            CustomPart::Value(part) => {
                key.push(':');
                push_id(&mut key, part);
            }
            CustomPart::Missing => key.push_str(":~none"),
        }
        key
    }
}

/// The beginning that all keys of one caller share: `ratelimit:{tenant}:{user}`.
fn caller(tenant: &TenantId, user: UserPart<'_>, tagged: bool) -> String {
    let mut key = String::with_capacity(64);
    key.push_str(if tagged { "ratelimit:{" } else { "ratelimit:" });
    push_tenant(&mut key, tenant);
    key.push_str(if tagged { "}:" } else { ":" });
    match user {
        UserPart::All => key.push('*'),
        UserPart::User(user) => push_id(&mut key, user.as_str()),
        UserPart::Address(address) => push_address(&mut key, address),
        UserPart::Unidentified => key.push_str("~none"),
    }
    key
}

/// The beginning of a key: its area, and whose it is.
fn begun(area: &str, tenant: &TenantId) -> String {
    let mut key = String::with_capacity(64);
    key.push_str(area);
    key.push(':');
    push_tenant(&mut key, tenant);
    key
}

fn push_tenant(key: &mut String, tenant: &TenantId) {
    match tenant.name() {
        Some(name) => push_id(key, name),
        None => key.push_str("~none"),
    }
}

fn push_id(key: &mut String, id: &str) {
    let start = key.len();
    let rest = match id.strip_prefix('~') {
        Some(rest) => {
            key.push_str("%7E");
            rest
        }
        None => id,
    };
    key.extend(utf8_percent_encode(rest, ESCAPED));
    if key.len() - start > MAX_PART {
        key.truncate(start);
        push_hash(key, &Sha256::digest(id));
    }
}

/// What stands for something that is known by its hash only.
fn push_hash(key: &mut String, digest: &[u8]) {
    key.push_str("~h");
    push_hex(key, digest.first_chunk::<16>().unwrap_or(&[0; 16]));
}

/// By hand: formatting would cost more than all else of a key.
fn push_hex(key: &mut String, bytes: &[u8; 16]) {
    let digit = |nibble: u8| char::from(nibble + if nibble < 10 { b'0' } else { b'a' - 10 });
    key.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

fn push_address(key: &mut String, address: ClientAddr) {
    key.push_str("~ip-");
    match address.ip() {
        IpAddr::V4(ip) => {
            let _ = write!(key, "{ip}");
        }
        IpAddr::V6(ip) => {
            key.extend(utf8_percent_encode(&ip.to_string(), ESCAPED));
            key.push_str("/64");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn part(id: &str) -> String {
        let mut key = String::new();
        push_id(&mut key, id);
        key
    }

    #[test]
    fn ids_keep_plain_characters_and_escape_the_rest() {
        for (id, spelled) in [
            ("acme", "acme"),
            ("a.b_c~d@e/f-9", "a.b_c~d@e/f-9"),
            ("a:b", "a%3Ab"),
            ("{x}*?[]", "%7Bx%7D%2A%3F%5B%5D"),
            ("100%", "100%25"),
            ("~none", "%7Enone"),
            ("~", "%7E"),
            ("ü ", "%C3%BC%20"),
        ] {
            assert_eq!(part(id), spelled);
        }
    }

    #[test]
    fn long_parts_become_a_hash_of_the_whole() {
        assert_eq!(part(&"x".repeat(96)), "x".repeat(96));
        // echo -n xxx… | sha256sum | cut -c1-32
        let hashed = part(&"x".repeat(97));
        assert_eq!(hashed.len(), 2 + 32);
        assert!(hashed.starts_with("~h"));
        assert_ne!(hashed, part(&"x".repeat(98)));
        assert!(part(&"é".repeat(17)).starts_with("~h"), "counted as written");
        assert_eq!(part(&"é".repeat(16)), "%C3%A9".repeat(16));
    }

    #[test]
    fn every_kind_of_part_is_spelled_as_documented() {
        let none = TenantId::NONE;
        let key = |user, endpoint| CounterKey {
            tenant: &none,
            user,
            endpoint,
            rule: None,
            part: CustomPart::Unused,
        };
        let v4 = ClientAddr::new("192.0.2.1".parse().unwrap());
        let v6 = ClientAddr::new("2001:db8::7".parse().unwrap());
        for (user, endpoint, spelled) in [
            (UserPart::All, EndpointPart::All, "ratelimit:~none:*:*"),
            (UserPart::Unidentified, EndpointPart::Unmatched, "ratelimit:~none:~none:~unmatched"),
            (UserPart::Address(v4), EndpointPart::Route("/x"), "ratelimit:~none:~ip-192.0.2.1:/x"),
            (
                UserPart::Address(v6),
                EndpointPart::Route("/x/{id}"),
                "ratelimit:~none:~ip-2001%3Adb8%3A%3A/64:/x/%7Bid%7D",
            ),
        ] {
            assert_eq!(key(user, endpoint).spell(false), spelled);
        }
        let all = key(UserPart::All, EndpointPart::All);
        assert_eq!(all.spell(true), "ratelimit:{~none}:*:*");
        for (rule, part, spelled) in [
            (None, CustomPart::Value("gpt:4"), "ratelimit:~none:*:*:default:gpt%3A4"),
            (Some("model"), CustomPart::Value("~none"), "ratelimit:~none:*:*:model:%7Enone"),
            (Some("model"), CustomPart::Missing, "ratelimit:~none:*:*:model:~none"),
        ] {
            assert_eq!(CounterKey { rule, part, ..all }.spell(false), spelled);
        }
        let block = BlockKey { tenant: &none, user: UserPart::Address(v4) };
        assert_eq!(block.spell(true), "ratelimit:{~none}:~ip-192.0.2.1:*:~block");
    }

    #[test]
    fn sessions_lie_under_their_user_or_under_their_own_hash() {
        let tenant = TenantId::new("a:c").unwrap();
        let user = UserId::new("~h00").unwrap();
        let key = |holder| SessionKey { tenant: &tenant, holder }.spell();
        assert_eq!(key(Holder::User(&user)), "session:a%3Ac:%7Eh00");
        let anonymous = "session:a%3Ac:~h0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";
        assert_eq!(key(Holder::Anonymous([10; 16])), anonymous);
        let none = SessionKey { tenant: &TenantId::NONE, holder: Holder::User(&user) };
        assert_eq!(none.spell(), "session:~none:%7Eh00");
    }

    #[test]
    fn a_model_cannot_shift_the_parts_of_a_key_or_make_it_long() {
        let tenant = TenantId::new("a").unwrap();
        let key = |model| AiKey { tenant: &tenant, model, hash: [0; 16] }.spell();
        let zeros = "0".repeat(32);
        for (model, spelled) in
            [("gpt-4o", "gpt-4o"), ("x:y", "x%3Ay"), ("", "~none"), ("~none", "%7Enone")]
        {
            assert_eq!(key(model), format!("ai:a:{spelled}:{zeros}"));
        }
        assert!(key(&"é".repeat(4000)).len() < 80);
    }

    #[test]
    fn ours_cannot_be_imitated() {
        for ours in ["~none", "~unmatched", "~ip-192.0.2.1", "*"] {
            assert_ne!(part(ours), ours);
        }
        let long = part(&"x".repeat(200));
        assert_ne!(part(&long), long);
    }

    proptest! {
        #[test]
        fn different_parts_never_share_a_key(
            ids in prop::collection::vec("[a-c:{}%~*/é]{1,12}", 2..30),
        ) {
            let mut seen = HashMap::new();
            for pair in ids.windows(2) {
                let [tenant, user] = pair else { continue };
                let (tenant, user) = (TenantId::new(tenant).unwrap(), UserId::new(user).unwrap());
                let key = CounterKey {
                    tenant: &tenant,
                    user: UserPart::User(&user),
                    endpoint: EndpointPart::Route("/x"),
                    rule: None,
                    part: CustomPart::Unused,
                };
                let text = key.spell(true);
                // The tag is the whole tenant and nothing else.
                let tag = &text[text.find('{').unwrap() + 1..text.find('}').unwrap()];
                prop_assert_eq!(tag, part(tenant.as_str()));
                let names = (tenant.clone(), user.clone());
                if let Some(other) = seen.insert(text, names.clone()) {
                    prop_assert_eq!(other, names);
                }
            }
        }
    }
}
