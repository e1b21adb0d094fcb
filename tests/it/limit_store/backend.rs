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
    key::{BlockKey, CounterKey, CustomPart, EndpointPart, UserPart},
    time::Clock,
};
use tower_keep_rate_limit::{Algorithm, Limit, LimitStore, Settlement, Standing, Verdict};

/// A window that no test outlives.
pub(crate) const HOUR: u64 = 3_600_000;

pub(crate) const ALGORITHMS: [Algorithm; 3] =
    [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::Gcra];

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

    /// The same for a caller that may be blocked.
    pub(crate) async fn check_caller(
        &self,
        counters: &[&Counter],
        callers: &[BlockKey<'_>],
    ) -> Verdict {
        let limits: Vec<_> = counters.iter().map(|counter| counter.limit()).collect();
        self.store.check(&limits, callers).await.unwrap()
    }

    pub(crate) async fn block(&self, caller: BlockKey<'_>, for_ms: u64) {
        self.store.block(caller, for_ms).await.unwrap();
    }

    /// Corrects what a check has counted, each counter in the window that `window` makes of the
    /// one it was counted in.
    pub(crate) async fn settle(
        &self,
        (verdict, counters): (&Verdict, &[&Counter]),
        difference: i64,
        window: impl Fn(u64) -> u64,
    ) {
        let counted = counters.iter().map(|counter| counter.limit()).zip(&verdict.limits);
        let settlements: Vec<_> = counted
            .map(|(limit, standing)| {
                let counted_in = Settlement::window(&limit, standing, verdict.at_ms);
                Settlement { limit, difference, window: window(counted_in) }
            })
            .collect();
        self.store.settle(&settlements).await.unwrap();
    }

    /// How much more fits, which is asked at no cost.
    pub(crate) async fn left(&self, counter: &Counter) -> u64 {
        let verdict = self.check(&[&counter.cost(0)]).await;
        assert!(verdict.allowed, "what costs nothing always fits");
        only(&verdict).remaining
    }

    /// Whether time passes only as the test says.
    pub(crate) const fn is_by_hand(&self) -> bool {
        self.clock.is_some()
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
    pub(crate) algorithm: Algorithm,
    pub(crate) quota: u64,
    pub(crate) window: u64,
    burst: Option<u64>,
    cost: u64,
    shadow: bool,
    life: u64,
}

impl Counter {
    /// The whole tenant's.
    pub(crate) fn new(tenant: &str, quota: u64, window: u64) -> Self {
        Self {
            tenant: TenantId::new(tenant).unwrap(),
            user: None,
            route: None,
            rule: None,
            algorithm: Algorithm::FixedWindow,
            quota,
            window,
            burst: None,
            cost: 1,
            shadow: false,
            life: 0,
        }
    }

    /// One for each algorithm, which share no key.
    pub(crate) fn of_each_algorithm(tenant: &str, quota: u64, window: u64) -> [Self; 3] {
        ALGORITHMS.map(|algorithm| {
            let counter = Self::new(tenant, quota, window).rule(format!("{algorithm:?}"));
            Self { algorithm, ..counter }
        })
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

    pub(crate) fn algorithm(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// For GCRA, the most at once if that is not the quota.
    pub(crate) fn burst(self, burst: u64) -> Self {
        Self { burst: Some(burst), ..self }
    }

    /// Watched only.
    pub(crate) fn shadow(self) -> Self {
        Self { shadow: true, ..self }
    }

    /// Keeps the key for longer than it counts.
    pub(crate) fn life(self, life: u64) -> Self {
        Self { life, ..self }
    }

    pub(crate) fn quota(&self, quota: u64) -> Self {
        Self { quota, ..self.clone() }
    }

    pub(crate) fn window(&self, window: u64) -> Self {
        Self { window, ..self.clone() }
    }

    pub(crate) fn cost(&self, cost: u64) -> Self {
        Self { cost, ..self.clone() }
    }

    /// For GCRA, the time between two requests in microseconds.
    pub(crate) fn interval(&self) -> u64 {
        (self.window * 1000).div_ceil(self.quota.max(1))
    }

    /// For how long something counts at most.
    pub(crate) fn memory(&self) -> u64 {
        match self.algorithm {
            Algorithm::FixedWindow => self.window,
            Algorithm::SlidingWindow => 2 * self.window,
            Algorithm::Gcra => (self.burst.unwrap_or(self.quota) * self.interval()).div_ceil(1000),
        }
    }

    pub(crate) fn limit(&self) -> Limit<'_> {
        let key = CounterKey {
            tenant: &self.tenant,
            user: self.user.as_ref().map_or(UserPart::All, UserPart::User),
            endpoint: self.route.map_or(EndpointPart::All, EndpointPart::Route),
            rule: self.rule.as_deref(),
            part: CustomPart::Unused,
        };
        Limit {
            algorithm: self.algorithm,
            burst: self.burst.unwrap_or(self.quota),
            life_ms: self.life.max(self.memory()),
            cost: self.cost,
            shadow: self.shadow,
            ..Limit::new(key, self.quota, self.window)
        }
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
