//! Callers that are blocked.

use tower_keep::{TenantId, UserId};
use tower_keep_core::key::{BlockKey, UserPart};

use super::backend::{Backend, Counter, HOUR, remaining};

/// A tenant, and two of its users.
struct Callers {
    name: String,
    tenant: TenantId,
    users: [UserId; 2],
}

impl Callers {
    fn new(backend: &Backend) -> Self {
        let name = backend.tenant();
        let users = ["a", "b"].map(|user| UserId::new(user).unwrap());
        Self { tenant: TenantId::new(&name).unwrap(), name, users }
    }

    fn everybody(&self) -> BlockKey<'_> {
        BlockKey { tenant: &self.tenant, user: UserPart::All }
    }

    fn user(&self, index: usize) -> BlockKey<'_> {
        BlockKey { tenant: &self.tenant, user: UserPart::User(&self.users[index]) }
    }

    /// The blocks that may hold for a user.
    fn of(&self, index: usize) -> [BlockKey<'_>; 2] {
        [self.everybody(), self.user(index)]
    }
}

pub(super) async fn a_blocked_user_is_denied_and_counted_by_none(backend: Backend) {
    let callers = Callers::new(&backend);
    let counters = Counter::of_each_algorithm(&callers.name, 10, HOUR);
    let shadow = Counter::new(&callers.name, 10, HOUR).rule("watched").shadow();
    let all = [&counters[0], &counters[1], &counters[2], &shadow];
    assert!(backend.check_caller(&all, &callers.of(0)).await.allowed);
    backend.block(callers.user(0), HOUR).await;
    for _ in 0..5 {
        let denied = backend.check_caller(&all, &callers.of(0)).await;
        assert!(!denied.allowed);
        assert!((HOUR - 60_000..=HOUR).contains(&denied.blocked_ms), "{}", denied.blocked_ms);
        assert_eq!(remaining(&denied), [9; 4], "nothing is counted, by watched limits neither");
    }
    let other = backend.check_caller(&all, &callers.of(1)).await;
    assert_eq!((other.allowed, other.blocked_ms), (true, 0));
    assert_eq!(remaining(&other), [8; 4]);
    backend.block(callers.user(0), 0).await;
    let freed = backend.check_caller(&all, &callers.of(0)).await;
    assert_eq!((freed.allowed, freed.blocked_ms), (true, 0));
}

pub(super) async fn a_block_of_the_tenant_holds_for_every_user(backend: Backend) {
    let callers = Callers::new(&backend);
    let counter = Counter::new(&callers.name, 10, HOUR);
    backend.block(callers.everybody(), HOUR).await;
    backend.block(callers.user(1), 3 * HOUR).await;
    for (user, hours) in [(0, 1), (1, 3)] {
        let denied = backend.check_caller(&[&counter], &callers.of(user)).await;
        assert!(!denied.allowed);
        let (blocked, most) = (denied.blocked_ms, hours * HOUR);
        assert!((most - 60_000..=most).contains(&blocked), "the longer one is told: {blocked}");
    }
    backend.block(callers.everybody(), 0).await;
    assert!(backend.check_caller(&[&counter], &callers.of(0)).await.allowed);
    assert!(!backend.check_caller(&[&counter], &callers.of(1)).await.allowed);
    // A tenant of the same name but for a letter is another one.
    let others = Callers::new(&backend);
    let counter = Counter::new(&others.name, 10, HOUR);
    assert!(backend.check_caller(&[&counter], &others.of(1)).await.allowed);
}

pub(super) async fn a_block_ends_by_itself_when_told_and_when_ended(backend: Backend) {
    let callers = Callers::new(&backend);
    let counter = Counter::new(&callers.name, 1000, HOUR);
    for for_ms in [1, 7, 60, 250] {
        backend.block(callers.user(0), for_ms).await;
        let verdict = backend.check_caller(&[&counter], &callers.of(0)).await;
        assert_eq!(verdict.allowed, verdict.blocked_ms == 0);
        assert!(verdict.blocked_ms <= for_ms);
        assert!(!backend.is_by_hand() || verdict.blocked_ms == for_ms);
        backend.wait(verdict.blocked_ms).await;
        let verdict = backend.check_caller(&[&counter], &callers.of(0)).await;
        assert!(verdict.allowed, "{verdict:?} after {for_ms} ms");
    }
    // The last word holds, be it shorter.
    backend.block(callers.user(0), HOUR).await;
    backend.block(callers.user(0), 20).await;
    backend.wait(20).await;
    assert!(backend.check_caller(&[&counter], &callers.of(0)).await.allowed);
}
