//! Looking at limits, and acting on them, from beside the requests.

use std::{sync::Arc, time::Duration};

use tower_keep_core::{
    StoreError,
    key::{CounterKey, CustomPart, EndpointPart, UserPart},
    time::millis,
};

use crate::{
    caller::Caller,
    decision::{RateLimitDecision, RuleStanding},
    layer::RateLimitLayer,
    limiter::Limiter,
    question::{Limits, Question},
    rule::MAX_WINDOW,
    store::{Limit, LimitStore as _},
};

/// How a caller stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallerStanding {
    /// One for each rule that counts it, as far as the caller is named.
    pub rules: Arc<[RuleStanding]>,
    /// For how long it is blocked, if it is.
    pub blocked_for: Option<Duration>,
}

/// A handle on the limits of one layer, and of all that share its store and rules: for support
/// desks, abuse detection and tests. Cheap to clone.
///
/// What is done here is done for all processes on the same Redis. Callers who are known to be
/// denied are let in at once, as far as the bus reaches.
///
/// ```
/// use std::time::Duration;
/// use tower_keep_core::TenantId;
/// use tower_keep_rate_limit::{Caller, RateLimitLayer, Rule};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = RateLimitLayer::builder()
///     .memory()
///     .rule(Rule::per_tenant(100, Duration::from_secs(60)))
///     .build()?;
/// let limits = layer.limits();
/// let acme = Caller::tenant(TenantId::new("acme")?);
/// assert_eq!(limits.peek(&acme).await?.rules[0].remaining, 100);
/// limits.block(&acme, Duration::from_secs(600)).await?;
/// assert!(limits.peek(&acme).await?.blocked_for.is_some());
/// limits.unblock(&acme).await?;
/// assert_eq!(limits.reset(&acme).await?, 1, "the one rule that counts it");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RateLimits {
    limiter: Arc<Limiter>,
}

impl RateLimitLayer {
    /// A handle on this layer's limits.
    pub fn limits(&self) -> RateLimits {
        RateLimits { limiter: Arc::clone(&self.limiter) }
    }
}

impl RateLimits {
    /// How the caller stands now. Nothing is counted by asking.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store failed.
    pub async fn peek(&self, caller: &Caller) -> Result<CallerStanding, StoreError> {
        let limiter = &self.limiter;
        let rules = Arc::clone(&limiter.setup.get().rules);
        let question = Question::about(&rules, limiter.plans.as_deref(), caller);
        let answer = {
            let subject = caller.subject();
            let mut limits = Limits::new();
            question.put_limits(&mut limits, &rules, &subject);
            if limits.is_empty() {
                // Blocks are looked at beside a limit: one that nobody has, at no cost.
                let key = CounterKey {
                    tenant: subject.tenant(),
                    user: UserPart::All,
                    endpoint: EndpointPart::All,
                    rule: Some("~none"),
                    part: CustomPart::Unused,
                };
                limits.push(Limit { cost: 0, ..Limit::new(key, 1, 1) });
            }
            limiter.store.any().check(&limits, &subject.blocks())
        };
        let verdict = answer.await?;
        let decision = RateLimitDecision::of(&rules, &question, &verdict, |_| true);
        Ok(CallerStanding {
            rules: decision.map(|decision| decision.rules).unwrap_or_default(),
            blocked_for: Some(verdict.blocked_ms)
                .filter(|left| *left > 0)
                .map(Duration::from_millis),
        })
    }

    /// Forgets what was counted for the caller, by every rule that counts it as far as it is
    /// named: the full limits are there at once. Tells how many rules that were; of a caller
    /// without an [`endpoint`](Caller::endpoint), none that counts by endpoint.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store failed, or the others could not be told.
    pub async fn reset(&self, caller: &Caller) -> Result<usize, StoreError> {
        let limiter = &self.limiter;
        let rules = Arc::clone(&limiter.setup.get().rules);
        let question = Question::about(&rules, limiter.plans.as_deref(), caller);
        let (reached, answer) = {
            let mut limits = Limits::new();
            question.put_limits(&mut limits, &rules, &caller.subject());
            let keys: Vec<_> = limits.iter().map(|limit| limit.key).collect();
            if let Some(fallback) = &limiter.fallback {
                drop(fallback.reset(&keys));
            }
            (keys.len(), limiter.store.any().reset(&keys))
        };
        answer.await?;
        Ok(reached)
    }

    /// Refuses the caller for so long, at most a year, whatever its limits, with 429 and
    /// `Retry-After` (`RESOURCE_EXHAUSTED` over gRPC): the user or address that is named, or else
    /// the whole tenant. A block that is there already is replaced.
    ///
    /// A block is looked at beside the limits, in the same command. So it holds for no request that
    /// no rule counts, and an address's only for requests that claim no user: whoever may make up
    /// users has to be blocked in front of what verifies them.
    ///
    /// While the store fails, a block holds in the process that made it. In memory up to 100,000
    /// hold at once; of more, the one that would end soonest is forgotten.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store failed, or the others could not be told.
    pub async fn block(&self, caller: &Caller, length: Duration) -> Result<(), StoreError> {
        self.set_block(caller, millis(length.min(MAX_WINDOW)).max(1)).await
    }

    /// Ends the caller's block, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store failed, or the others could not be told.
    pub async fn unblock(&self, caller: &Caller) -> Result<(), StoreError> {
        self.set_block(caller, 0).await
    }

    async fn set_block(&self, caller: &Caller, for_ms: u64) -> Result<(), StoreError> {
        let answer = {
            let blocks = caller.subject().blocks();
            // The narrowest that is named.
            let Some(block) = blocks.last() else { return Ok(()) };
            if let Some(fallback) = &self.limiter.fallback {
                drop(fallback.block(*block, for_ms));
            }
            self.limiter.store.any().block(*block, for_ms)
        };
        answer.await
    }
}
