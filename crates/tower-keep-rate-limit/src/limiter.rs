//! What all services of one layer share: from a request's head to a decision.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arrayvec::ArrayVec;
use http::request::Parts;
use tower_keep_core::{Answer, StoreError, TrustedProxies};

use crate::{
    fields::{FieldChoice, Fields},
    memory::MemoryStore,
    outcome::RateLimitOutcome,
    policy::{self, Counted, Decision, Failure},
    rules::{Matched, Rules},
    skip::Skip,
    store::{Limit, LimitStore, MAX_LIMITS, Verdict},
    subject::Subject,
};

/// What happens to a request that a rule counts by user or address when neither is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnUnidentified {
    /// All such requests count together. One warning is logged.
    #[default]
    CountTogether,
    /// Such requests are answered with 403 (`PERMISSION_DENIED` over gRPC).
    Reject,
}

/// A layer's rules, its store, and how it deals with what it cannot count.
pub(crate) struct Limiter {
    pub(crate) rules: Rules,
    pub(crate) store: Arc<dyn LimitStore>,
    /// Counts while the store fails. A store in this process has none: it is its own.
    pub(crate) fallback: Option<Arc<MemoryStore>>,
    pub(crate) proxies: TrustedProxies,
    pub(crate) skip: Skip,
    pub(crate) on_unidentified: OnUnidentified,
    pub(crate) fields: FieldChoice,
    pub(crate) expose_outcome: bool,
    pub(crate) warned: AtomicBool,
}

/// What is known of a request at once.
pub(crate) enum Begun {
    /// What is to be done with it.
    Decided(Decision, RateLimitOutcome),
    /// The store has been asked; [`Limiter::conclude`] takes its answer.
    Asked(Answer<Result<Verdict, StoreError>>, Matched),
}

impl Limiter {
    /// Asks the store about a request, unless it is clear without.
    pub(crate) fn begin(&self, head: &Parts) -> Begun {
        let matched = self.rules.matching(&head.method);
        if matched.is_empty() || self.skip.matches(head) {
            let pass = Decision::Pass(Fields::default());
            return Begun::Decided(pass, RateLimitOutcome::Skipped);
        }
        if let Some((decision, outcome)) = policy::deny_zero(&self.rules, matched, self.fields) {
            return Begun::Decided(decision, outcome);
        }
        let subject = Subject::of(head, &self.proxies);
        if self.rules.iter(matched).any(|rule| subject.is_unidentified(rule)) {
            if self.on_unidentified == OnUnidentified::Reject {
                let (decision, outcome) = policy::refuse_unidentified();
                return Begun::Decided(decision, outcome);
            }
            self.warn_once();
        }
        match self.check(&*self.store, &subject, matched).now() {
            Ok(result) => {
                let (decision, outcome) = self.conclude(head, matched, result);
                Begun::Decided(decision, outcome)
            }
            Err(answer) => Begun::Asked(answer, matched),
        }
    }

    /// The decision that follows from the store's answer.
    pub(crate) fn conclude(
        &self,
        head: &Parts,
        matched: Matched,
        result: Result<Verdict, StoreError>,
    ) -> (Decision, RateLimitOutcome) {
        match result {
            Ok(verdict) => self.decide(matched, &verdict, Counted::ByStore),
            Err(_) => match policy::on_failure(&self.rules, matched) {
                Failure::Close => policy::close(),
                Failure::CountLocally(local) => self.count_locally(head, local),
            },
        }
    }

    fn count_locally(&self, head: &Parts, local: Matched) -> (Decision, RateLimitOutcome) {
        let open = (Decision::Pass(Fields::default()), RateLimitOutcome::FailedOpen);
        let Some(fallback) = self.fallback.as_ref().filter(|_| !local.is_empty()) else {
            return open;
        };
        let subject = Subject::of(head, &self.proxies);
        match self.check(&**fallback, &subject, local).now() {
            Ok(Ok(verdict)) => self.decide(local, &verdict, Counted::Locally),
            _ => open,
        }
    }

    fn decide(
        &self,
        matched: Matched,
        verdict: &Verdict,
        counted: Counted,
    ) -> (Decision, RateLimitOutcome) {
        policy::decide(&self.rules, matched, verdict, self.fields, counted)
    }

    fn check(
        &self,
        store: &dyn LimitStore,
        subject: &Subject<'_>,
        matched: Matched,
    ) -> Answer<Result<Verdict, StoreError>> {
        let limits: ArrayVec<Limit<'_>, MAX_LIMITS> = self
            .rules
            .iter(matched)
            .map(|rule| Limit {
                key: subject.counter(rule),
                quota: rule.limit,
                window_ms: rule.window_ms(),
                life_ms: self.rules.life_ms(rule),
            })
            .collect();
        store.check(&limits)
    }

    fn warn_once(&self) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "rate limit: a request has neither user nor client address, so all such requests \
                 count together; let the server set `PeerAddr` (the README shows how for axum, hyper and \
                 tonic), or choose `on_unidentified(Reject)`"
            );
        }
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").field("rules", &self.rules).finish_non_exhaustive()
    }
}
