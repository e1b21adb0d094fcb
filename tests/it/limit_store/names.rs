//! Whose counter is whose.

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
        long("y", 1) + &long("x", 999),
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

    let mut keys = Vec::new();
    for (index, tenant) in tenants.iter().enumerate() {
        for user in &users {
            let endpoint = EndpointPart::Route("b");
            keys.push(CounterKey { tenant, user: *user, endpoint, rule: None });
        }
        for endpoint in &endpoints {
            // "b" with "b" is above already.
            let user = UserPart::User(&ids[index % 2]);
            keys.push(CounterKey { tenant, user, endpoint: *endpoint, rule: Some("burst") });
        }
    }
    for user in &users {
        for endpoint in &endpoints {
            keys.push(CounterKey {
                tenant: &tenants[0],
                user: *user,
                endpoint: *endpoint,
                rule: Some("r"),
            });
        }
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
