//! A store under test, and its time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::yield_now, time::sleep};
use tower_keep::{StoreError, TenantId, UserId};
use tower_keep_core::{
    key::{CounterKey, CustomPart, EndpointPart, UserPart},
    time::Clock,
};
use tower_keep_rate_limit::LimitStore;
use tower_keep_rate_limit::{Limit, Standing, Verdict};

/// A window that no test outlives.
pub(crate) const HOUR: u64 = 3_600_000;

/// A store, and tenants of the behaviour's own in it.
#[derive(Clone)]
pub(crate) struct Backend {
    store: Arc<dyn LimitStore>,
    /// The store's clock if it is moved by hand.
    clock: Option<Clock>,
    behaviour: &'static str,
    tenants: Arc<AtomicUsize>,
}

impl Backend {
    pub(crate) fn new(
        store: Arc<dyn LimitStore>,
        clock: Option<Clock>,
        behaviour: &'static str,
    ) -> Self {
        Self { store, clock, behaviour, tenants: Arc::default() }
    }

    /// A name that was not used before.
    pub(crate) fn tenant(&self) -> String {
        format!("{}-{}", self.behaviour, self.tenants.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) async fn check(&self, counters: &[&Counter]) -> Verdict {
        self.try_check(counters).await.unwrap()
    }

    pub(crate) fn try_check(
        &self,
        counters: &[&Counter],
    ) -> impl Future<Output = Result<Verdict, StoreError>> + Send + use<> {
        let limits: Vec<_> = counters.iter().map(|counter| counter.limit()).collect();
        self.store.check(&limits, &[])
    }

    /// The same for a key of any form.
    pub(crate) fn check_key(
        &self,
        key: CounterKey<'_>,
    ) -> impl Future<Output = Result<Verdict, StoreError>> + Send + use<> {
        self.store.check(&[Limit::new(key, 1, HOUR)], &[])
    }

    /// Lets exactly so much of the store's time pass, or as little more as can be.
    pub(crate) async fn wait(&self, millis: u64) {
        let duration = Duration::from_millis(millis);
        if let Some(clock) = &self.clock {
            clock.advance(duration);
            return;
        }
        let end = Instant::now() + duration;
        // A sleep overshoots by about a millisecond.
        sleep(duration.saturating_sub(Duration::from_millis(2))).await;
        while Instant::now() < end {
            yield_now().await;
        }
    }
}

/// One limit on one counter.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    tenant: TenantId,
    user: Option<UserId>,
    route: Option<&'static str>,
    rule: Option<String>,
    pub(crate) quota: u64,
    pub(crate) window: u64,
    life: u64,
}

impl Counter {
    /// The whole tenant's.
    pub(crate) fn new(tenant: &str, quota: u64, window: u64) -> Self {
        let tenant = TenantId::new(tenant).unwrap();
        Self { tenant, user: None, route: None, rule: None, quota, window, life: 0 }
    }

    pub(crate) fn user(self, user: &str) -> Self {
        Self { user: Some(UserId::new(user).unwrap()), ..self }
    }

    pub(crate) fn route(self, route: &'static str) -> Self {
        Self { route: Some(route), ..self }
    }

    pub(crate) fn rule(self, rule: impl Into<String>) -> Self {
        Self { rule: Some(rule.into()), ..self }
    }

    /// Keeps the key for longer than the window.
    pub(crate) fn life(self, life: u64) -> Self {
        Self { life, ..self }
    }

    pub(crate) fn quota(&self, quota: u64) -> Self {
        Self { quota, ..self.clone() }
    }

    pub(crate) fn window(&self, window: u64) -> Self {
        Self { window, ..self.clone() }
    }

    pub(crate) fn limit(&self) -> Limit<'_> {
        let key = CounterKey {
            tenant: &self.tenant,
            user: self.user.as_ref().map_or(UserPart::All, UserPart::User),
            endpoint: self.route.map_or(EndpointPart::All, EndpointPart::Route),
            rule: self.rule.as_deref(),
            part: CustomPart::Unused,
        };
        let life_ms = self.life.max(self.window);
        Limit { life_ms, ..Limit::new(key, self.quota, self.window) }
    }
}

/// How a check over one limit ended.
pub(crate) fn only(verdict: &Verdict) -> Standing {
    assert_eq!(verdict.limits.len(), 1);
    verdict.limits[0]
}

pub(crate) fn remaining(verdict: &Verdict) -> Vec<u64> {
    verdict.limits.iter().map(|standing| standing.remaining).collect()
}

pub(crate) fn resets(verdict: &Verdict) -> Vec<u64> {
    verdict.limits.iter().map(|standing| standing.resets_in_ms).collect()
}

/// Tells whether what was done since `start` was certainly done within one window.
pub(crate) struct Watch {
    begun: Instant,
    window: u64,
}

impl Watch {
    pub(crate) fn start(window: u64) -> Self {
        Self { begun: Instant::now(), window }
    }

    pub(crate) fn in_time(&self) -> bool {
        // The store's clock has whole milliseconds.
        self.begun.elapsed() + Duration::from_millis(2) < Duration::from_millis(self.window)
    }

    /// What was seen, if that was in time.
    pub(crate) fn done<T>(&self, seen: T) -> Option<T> {
        self.in_time().then_some(seen)
    }
}

/// Makes an attempt with a window of `first` milliseconds, and longer ones while it fails for want
/// of time. What it saw is judged only afterwards, so a slow machine repeats a test but does not
/// fail it.
pub(crate) async fn in_time<T>(first: u64, attempt: impl AsyncFn(u64) -> Option<T>) -> (T, u64) {
    let mut window = first;
    loop {
        if let Some(seen) = attempt(window).await {
            return (seen, window);
        }
        window *= 2;
        assert!(window < 30_000, "never in time: even {} ms are not enough", window / 2);
    }
}
