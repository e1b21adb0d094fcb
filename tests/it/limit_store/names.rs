//! Whose counter is whose.

use std::collections::HashSet;

use tokio::task::JoinSet;
use tower_keep::{ClientAddr, TenantId, UserId};
use tower_keep_core::key::{CounterKey, CustomPart, EndpointPart, UserPart};

use super::backend::Backend;

/// Names that look like parts of a key, like ours, like patterns, or like each other.
const NAMES: &[&str] = &[
    "a",
    "A",
    "b",
    "a:b",
    "b:c",
    "a:b:c",
    "b:burst",
    ":",
    "{a}",
    "{",
    "}",
    "}{",
    "a}b{c",
    "%",
    "%3A",
    "a%3Ab",
    "a%3ab",
    "*",
    "a*",
    "?",
    "~",
    "~~",
    "~none",
    "~all",
    "~unmatched",
    "~ip-192.0.2.1",
    "~ip-2001:db8::/64",
    "%7Enone",
    " ",
    "a b",
    "a ",
    "/",
    "/a",
    "@",
    "-",
    ".",
    "\"",
    "\\",
    "ü",
    "u\u{308}",
    "日本",
    "🏰",
];

fn names() -> Vec<String> {
    let mut names: Vec<String> = NAMES.iter().map(ToString::to_string).collect();
    names.extend([96, 97, 999, 1000].map(|bytes| "x".repeat(bytes)));
    names.extend(["é".repeat(500), "x".repeat(999) + "y", "y".to_owned() + &"x".repeat(999)]);
    // What the hash of a long name could be taken for.
    names.push(format!("~h{}", "0".repeat(32)));
    names
}

pub(super) async fn different_names_never_share(backend: Backend) {
    let names = names();
    let mut tenants: Vec<_> = names.iter().map(|name| TenantId::new(name).unwrap()).collect();
    tenants.push(TenantId::NONE);
    let ids: Vec<_> = names.iter().map(|name| UserId::new(name).unwrap()).collect();
    let mut users: Vec<_> = ids.iter().map(UserPart::User).collect();
    let address = |text: &str| UserPart::Address(ClientAddr::new(text.parse().unwrap()));
    users.extend(["192.0.2.1", "192.0.2.11", "2001:db8::", "2001:db8:0:1::"].map(address));
    users.extend([UserPart::All, UserPart::Unidentified]);
    let mut endpoints: Vec<_> = names.iter().map(|name| EndpointPart::Route(name)).collect();
    endpoints.extend([EndpointPart::All, EndpointPart::Unmatched]);

    // Every two parts that are neighbours in a key, in every combination.
    let mut keys = HashSet::new();
    let mut add = |tenant, user, endpoint, rule| {
        keys.insert(CounterKey { tenant, user, endpoint, rule, part: CustomPart::Unused });
    };
    for user in &users {
        for tenant in &tenants {
            add(tenant, *user, EndpointPart::Route("b"), None);
        }
        for endpoint in &endpoints {
            add(&tenants[0], *user, *endpoint, None);
        }
    }
    for endpoint in &endpoints {
        add(&tenants[0], users[0], *endpoint, Some("burst"));
    }
    let keys: Vec<_> = keys.into_iter().collect();
    for first in [true, false] {
        for some in keys.chunks(64) {
            let mut checks = JoinSet::new();
            for (index, key) in some.iter().enumerate() {
                let check = backend.check_key(*key);
                checks.spawn(async move { (index, check.await) });
            }
            for (index, outcome) in checks.join_all().await {
                let said = if first { "shares a counter" } else { "has no counter" };
                assert_eq!(outcome.unwrap().allowed, first, "{said}: {:?}", some[index]);
            }
        }
    }
}
