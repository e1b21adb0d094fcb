//! How much each client may create of what is kept.

use std::{fmt, sync::Arc, time::Duration};

use tower_keep_core::{
    Admission, Admitted, Answer, ClientAddr, ConfigError, StoreError, TenantId,
    key::{CounterKey, CustomPart, EndpointPart, UserPart},
    time::millis,
};

use crate::{
    rule::{MAX_LIMIT, MAX_WINDOW},
    store::{Limit, LimitStore, Verdict},
};

/// Bounds how many things a client may create in a window, counted by its address and tenant: the
/// [`Admission`] that a session layer asks before it makes a session for a visitor.
///
/// A client whose address is not known is not bounded: all such clients together would bound each
/// other.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use tower_keep_core::{Admission, Admitted, ClientAddr, TenantId};
/// use tower_keep_rate_limit::{CreationLimit, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let minute = Duration::from_secs(60);
/// let limit = CreationLimit::new("new-session", 1, minute, Arc::new(MemoryStore::new()))?;
/// let (acme, client) = (TenantId::new("acme")?, ClientAddr::new([192, 0, 2, 1].into()));
/// assert_eq!(limit.admit(&acme, Some(client)).await?, Admitted::Yes);
/// assert!(matches!(limit.admit(&acme, Some(client)).await?, Admitted::No { .. }));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct CreationLimit {
    name: Arc<str>,
    most: u64,
    window_ms: u64,
    store: Arc<dyn LimitStore>,
}

impl CreationLimit {
    /// At most `most` in `window` for each client, counted in `store` together with other creation
    /// limits of this `name`, and with no [`Rule`](crate::Rule), whatever its name.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a name that no rule can have, and numbers out of a rule's bounds.
    pub fn new(
        name: &str,
        most: u64,
        window: Duration,
        store: Arc<dyn LimitStore>,
    ) -> Result<Self, ConfigError> {
        let mut error = ConfigError::default();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) {
            let message = "is 1 to 64 letters, digits, `-`, `_` and `.`";
            error.push("name", format!("the name of a creation limit {message}"));
        }
        if !(1..=MAX_LIMIT).contains(&most) {
            error.push("most", format!("`{most}` is not a number from 1 to {MAX_LIMIT}"));
        }
        if window < Duration::from_secs(1) || window > MAX_WINDOW {
            error.push("window", format!("{window:?} is not from 1 second to {MAX_WINDOW:?}"));
        }
        // No rule has a name that begins so.
        let name = format!("~{name}").into();
        error.into_result(Self { name, most, window_ms: millis(window), store })
    }
}

impl Admission for CreationLimit {
    fn admit(
        &self,
        tenant: &TenantId,
        address: Option<ClientAddr>,
    ) -> Answer<Result<Admitted, StoreError>> {
        let Some(address) = address else { return Answer::ready(Ok(Admitted::Yes)) };
        let key = CounterKey {
            tenant,
            user: UserPart::Address(address),
            endpoint: EndpointPart::All,
            rule: Some(&self.name),
            part: CustomPart::Unused,
        };
        let limit = Limit::new(key, self.most, self.window_ms);
        match self.store.check(&[limit], &[]).now() {
            Ok(verdict) => Answer::ready(verdict.map(|verdict| admitted(&verdict))),
            Err(later) => Answer::pending(async move { Ok(admitted(&later.await?)) }),
        }
    }
}

fn admitted(verdict: &Verdict) -> Admitted {
    if verdict.allowed {
        return Admitted::Yes;
    }
    let wait_ms = verdict.limits.first().map_or(0, |standing| standing.wait_ms);
    Admitted::No { retry_after: Duration::from_millis(wait_ms) }
}

impl fmt::Debug for CreationLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreationLimit")
            .field("name", &self.name)
            .field("most", &self.most)
            .field("window_ms", &self.window_ms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tower_keep_core::time::{Clock, UnixMillis};

    use super::*;
    use crate::memory::MemoryStore;

    #[tokio::test]
    async fn each_address_of_each_tenant_has_its_own_bound_and_waiting_is_enough() {
        let clock = Clock::manual(UnixMillis(1_000));
        let store = Arc::new(MemoryStore::new().with_clock(clock.clone()));
        let limit = CreationLimit::new("new", 2, Duration::from_secs(60), store).unwrap();
        let tenant = |name| TenantId::new(name).unwrap();
        let client = |last| Some(ClientAddr::new([192, 0, 2, last].into()));
        for _ in 0..2 {
            assert_eq!(limit.admit(&tenant("a"), client(1)).await.unwrap(), Admitted::Yes);
        }
        let denied = limit.admit(&tenant("a"), client(1)).await.unwrap();
        let Admitted::No { retry_after } = denied else { panic!("a third was admitted") };
        assert_eq!(limit.admit(&tenant("a"), client(2)).await.unwrap(), Admitted::Yes);
        assert_eq!(limit.admit(&tenant("b"), client(1)).await.unwrap(), Admitted::Yes);
        for _ in 0..5 {
            assert_eq!(limit.admit(&tenant("a"), None).await.unwrap(), Admitted::Yes);
        }
        clock.advance(retry_after);
        assert_eq!(limit.admit(&tenant("a"), client(1)).await.unwrap(), Admitted::Yes);
    }

    #[tokio::test]
    async fn no_rule_counts_with_it() {
        let store = Arc::new(MemoryStore::new());
        let (tenant, client) =
            (TenantId::new("acme").unwrap(), ClientAddr::new([192, 0, 2, 1].into()));
        let of_rule = CounterKey {
            tenant: &tenant,
            user: UserPart::Address(client),
            endpoint: EndpointPart::All,
            rule: Some("new"),
            part: CustomPart::Unused,
        };
        assert!(store.check(&[Limit::new(of_rule, 1, 60_000)], &[]).await.unwrap().allowed);
        let limit = CreationLimit::new("new", 1, Duration::from_secs(60), store.clone()).unwrap();
        assert_eq!(limit.admit(&tenant, Some(client)).await.unwrap(), Admitted::Yes);
        let one_more = CreationLimit::new("new", 1, Duration::from_secs(60), store).unwrap();
        let admitted = one_more.admit(&tenant, Some(client)).await.unwrap();
        assert_ne!(admitted, Admitted::Yes, "another creation limit of that name does");
    }

    #[test]
    fn what_cannot_be_is_said_at_once() {
        let store = Arc::new(MemoryStore::new());
        let error = CreationLimit::new("a b", 0, Duration::ZERO, store).unwrap_err();
        assert_eq!(error.problems().len(), 3);
    }
}
