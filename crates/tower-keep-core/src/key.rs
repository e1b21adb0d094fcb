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
    match tenant.name() {
        Some(name) => push_id(&mut key, name),
        None => key.push_str("~none"),
    }
    key.push_str(if tagged { "}:" } else { ":" });
    match user {
        UserPart::All => key.push('*'),
        UserPart::User(user) => push_id(&mut key, user.as_str()),
        UserPart::Address(address) => push_address(&mut key, address),
        UserPart::Unidentified => key.push_str("~none"),
    }
    key
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
        key.push_str("~h");
        for byte in Sha256::digest(id).iter().take(16) {
            // Writing to a `String` cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
    }
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
