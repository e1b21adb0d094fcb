//! Whose counter is whose.

use std::collections::HashSet;

use tokio::task::JoinSet;
use tower_keep::{ClientAddr, StoreError, TenantId, UserId};
use tower_keep_core::key::{CounterKey, EndpointPart, UserPart};

use super::backend::Backend;

/// Names that look like parts of a key, like ours, like patterns, or like each other.
const NAMES: &[&str] = &[
    "a",
    "A",
    "b",
    "c",
    "a:b",
    "b:c",
    "a:b:c",
    "a:burst",
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
    "[a]",
    "~",
    "~~",
    "~none",
    "~all",
    "~unmatched",
    "~gen",
    "~ip-192.0.2.1",
    "~ip-2001:db8::/64",
    "%7Enone",
    " ",
    "a b",
    "a ",
    " a",
    "/",
    "/a",
    "a/",
    "@",
    "-",
    ".",
    "..",
    "\"",
    "\\",
    "ü",
    "u\u{308}",
    "日本",
    "🏰",
];

fn names() -> Vec<String> {
    let long = |unit: &str, bytes: usize| unit.repeat(bytes / unit.len());
    let mut names: Vec<String> = NAMES.iter().map(ToString::to_string).collect();
    names.extend([96, 97, 999, 1000].map(|bytes| long("x", bytes)));
    names.extend([
        long("é", 1000),
        long(":", 1000),
        long("x", 999) + "y",
        "y".to_owned() + &long("x", 999),
    ]);
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

    // Every two parts of a key in every combination.
    let (some_tenant, some_user) = (&tenants[0], users[0]);
    let mut keys = HashSet::new();
    let mut add = |tenant, user, endpoint, rule| {
        keys.insert(CounterKey { tenant, user, endpoint, rule });
    };
    for tenant in &tenants {
        for user in &users {
            add(tenant, *user, EndpointPart::Route("b"), None);
        }
        for endpoint in &endpoints {
            add(tenant, some_user, *endpoint, None);
        }
    }
    for endpoint in &endpoints {
        for user in &users {
            add(some_tenant, *user, *endpoint, None);
        }
        add(some_tenant, some_user, *endpoint, Some("burst"));
    }
    for first in [true, false] {
        let mut checks = JoinSet::new();
        for key in &keys {
            let (check, told) = (backend.check_key(*key), format!("{key:?}"));
            checks.spawn(async move {
                let verdict = check.await?;
                Ok::<_, StoreError>((verdict.allowed == first).then_some(()).ok_or(told))
            });
        }
        for outcome in checks.join_all().await {
            let said = if first { "shares a counter" } else { "has no counter" };
            outcome.unwrap().unwrap_or_else(|key| panic!("{said}: {key}"));
        }
    }
}
