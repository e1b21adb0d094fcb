//! What all services of one layer share: from a request's head to a decision.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::{ArcSwap, Guard};
use http::{Extensions, request::Parts};
use tower_keep_core::{Answer, LateCost, StoreError, TrustedProxies};

use crate::{
    access::AccessList,
    decision::RateLimitDecision,
    endpoint::GrpcEndpoints,
    fields::FieldChoice,
    late::{Both, Closing, Ledger},
    memory::MemoryStore,
    names::RuleNames,
    outcome::RateLimitOutcome,
    plans::Plans,
    policy::{self, Counted, Decision, Ruling},
    question::{Asked, Question},
    rules::Rules,
    skip::Skip,
    store::{LimitStore, Verdict},
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

/// Whom a layer lets pass and whom it refuses before any rule is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    pub(crate) allow: AccessList,
    pub(crate) deny: AccessList,
}

/// A layer's rules, its store, and how it deals with what it cannot count.
pub(crate) struct Limiter {
    pub(crate) rules: ArcSwap<Rules>,
    pub(crate) lists: ArcSwap<Lists>,
    pub(crate) plans: Option<Arc<dyn Plans>>,
    pub(crate) endpoints: GrpcEndpoints,
    pub(crate) store: Arc<dyn LimitStore>,
    /// Counts while the store fails. A store in this process has none: it is its own.
    pub(crate) fallback: Option<Arc<MemoryStore>>,
    pub(crate) names: Arc<RuleNames>,
    pub(crate) key_life_ms: u64,
    pub(crate) proxies: TrustedProxies,
    pub(crate) skip: Skip,
    pub(crate) on_unidentified: OnUnidentified,
    pub(crate) fields: FieldChoice,
    pub(crate) expose_outcome: bool,
    pub(crate) expose_decision: bool,
    pub(crate) warned: AtomicBool,
    /// Rules are exchanged one caller after another.
    pub(crate) reloading: Mutex<()>,
}

/// What is known of a request at once.
pub(crate) enum Begun {
    /// What is to be done with it.
    Decided(Ruling, Extras),
    /// The store has been asked; [`Limiter::conclude`] takes its answer.
    Asked(Answer<Result<Verdict, StoreError>>, Box<Pending>),
}

/// What the store was asked, and by which rules.
pub(crate) struct Pending {
    rules: Arc<Rules>,
    question: Question,
}

/// What else follows from a decision, where somebody wants it.
#[derive(Default)]
pub(crate) struct Extras(Option<Box<Attached>>);

#[derive(Default)]
struct Attached {
    inside: Option<RateLimitDecision>,
    outside: Option<RateLimitDecision>,
    closing: Option<Closing>,
}

impl Extras {
    /// Puts what the inner service is to know into its request's extensions.
    pub(crate) fn tell_inside(&self, extensions: &mut Extensions) {
        let Some(attached) = &self.0 else { return };
        if let Some(decision) = &attached.inside {
            extensions.insert(decision.clone());
        }
        if let Some(closing) = &attached.closing {
            let ledger: Arc<Ledger> = Arc::clone(&closing.0);
            let own = LateCost::new(ledger);
            // A layer outside wants to know too.
            let cost = match extensions.remove::<LateCost>() {
                None => own,
                Some(outer) => LateCost::new(Arc::new(Both(own, outer))),
            };
            extensions.insert(cost);
        }
    }

    /// Puts the decision into the answer's extensions.
    pub(crate) fn tell_outside(&mut self, extensions: &mut Extensions) {
        if let Some(decision) = self.0.as_mut().and_then(|attached| attached.outside.take()) {
            extensions.insert(decision);
        }
    }

    /// What is to go with the answer's body.
    pub(crate) fn take_closing(&mut self) -> Option<Closing> {
        self.0.as_mut().and_then(|attached| attached.closing.take())
    }
}

impl Limiter {
    /// Asks the store about a request, unless it is clear without.
    pub(crate) fn begin(&self, head: &Parts) -> Begun {
        let decided = |ruling| Begun::Decided(ruling, Extras::default());
        if self.skip.matches(head) {
            return decided(policy::pass(RateLimitOutcome::Skipped));
        }
        let subject = self.subject(head);
        let lists = self.lists.load();
        if !lists.deny.is_empty() && lists.deny.has(&subject) {
            return decided(policy::refuse_listed());
        }
        if !lists.allow.is_empty() && lists.allow.has(&subject) {
            return decided(policy::pass(RateLimitOutcome::Exempt));
        }
        let rules = self.rules.load();
        let question = Question::of(&rules, self.plans.as_deref(), head, &subject);
        if question.is_empty() {
            return decided(policy::pass(RateLimitOutcome::Skipped));
        }
        if let Some(ruling) = policy::deny_for_good(&rules, &question, self.fields) {
            return decided(ruling);
        }
        let is_unidentified = |asked: &Asked| subject.is_unidentified(asked.rule(&rules));
        if question.iter().any(is_unidentified) {
            // A rule that is watched only refuses nobody.
            let refuses = |asked: &Asked| asked.is_enforced(&rules) && is_unidentified(asked);
            if self.on_unidentified == OnUnidentified::Reject && question.iter().any(refuses) {
                return decided(policy::refuse_unidentified());
            }
            self.warn_once();
        }
        let answer = self.store.check(&question.limits(&rules, &subject), &subject.blocks());
        match answer.now() {
            Ok(result) => {
                let (ruling, extras) = self.answered(&rules, &subject, question, result);
                Begun::Decided(ruling, extras)
            }
            Err(answer) => {
                let rules = Guard::into_inner(rules);
                Begun::Asked(answer, Box::new(Pending { rules, question }))
            }
        }
    }

    /// The decision that follows from the store's answer.
    pub(crate) fn conclude(
        &self,
        head: &Parts,
        pending: Pending,
        result: Result<Verdict, StoreError>,
    ) -> (Ruling, Extras) {
        self.answered(&pending.rules, &self.subject(head), pending.question, result)
    }

    pub(crate) fn subject<'a>(&self, head: &'a Parts) -> Subject<'a> {
        Subject::of(head, &self.proxies, &self.endpoints)
    }

    fn answered(
        &self,
        rules: &Arc<Rules>,
        subject: &Subject<'_>,
        question: Question,
        result: Result<Verdict, StoreError>,
    ) -> (Ruling, Extras) {
        match result {
            Ok(verdict) => {
                self.decide(rules, subject, question, &verdict, &self.store, Counted::ByStore)
            }
            Err(_) if question.is_closed_on_failure(rules) => (policy::close(), Extras::default()),
            Err(_) => self.count_locally(rules, subject, question.locally(rules)),
        }
    }

    fn count_locally(
        &self,
        rules: &Arc<Rules>,
        subject: &Subject<'_>,
        local: Question,
    ) -> (Ruling, Extras) {
        let open = (policy::pass(RateLimitOutcome::FailedOpen), Extras::default());
        let Some(fallback) = self.fallback.as_ref().filter(|_| !local.is_empty()) else {
            return open;
        };
        let answer = fallback.check(&local.limits(rules, subject), &subject.blocks());
        match answer.now() {
            Ok(Ok(verdict)) => {
                let store: Arc<dyn LimitStore> = fallback.clone();
                self.decide(rules, subject, local, &verdict, &store, Counted::Locally)
            }
            _ => open,
        }
    }

    fn decide(
        &self,
        rules: &Arc<Rules>,
        subject: &Subject<'_>,
        question: Question,
        verdict: &Verdict,
        store: &Arc<dyn LimitStore>,
        counted: Counted,
    ) -> (Ruling, Extras) {
        let ruling = policy::decide(rules, &question, verdict, self.fields, counted);
        let outside = self
            .expose_decision
            .then(|| RateLimitDecision::of(rules, &question, verdict, |_| true))
            .flatten();
        let passes = matches!(ruling.0, Decision::Pass(_));
        let (mut inside, mut ledger) = (None, None);
        if passes {
            count_shadow_denials(rules, &question, verdict);
            let wants_decision = question.iter().any(|asked| asked.rule(rules).told_inside);
            if wants_decision {
                inside = RateLimitDecision::of(rules, &question, verdict, |asked| {
                    asked.rule(rules).told_inside
                });
            }
            if question.iter().any(|asked| asked.rule(rules).late.is_some()) {
                ledger = Ledger::open(store, rules, subject, question, verdict);
            }
        }
        if inside.is_none() && outside.is_none() && ledger.is_none() {
            return (ruling, Extras::default());
        }
        let closing = ledger.map(Closing);
        (ruling, Extras(Some(Box::new(Attached { inside, outside, closing }))))
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

/// Counts what rules that are watched only would have denied.
fn count_shadow_denials(rules: &Rules, question: &Question, verdict: &Verdict) {
    for (asked, standing) in question.iter().zip(&verdict.limits) {
        if standing.wait_ms > 0 && !asked.is_enforced(rules) {
            let rule = asked.rule(rules).name().to_owned();
            metrics::counter!(SHADOW_DENIED, "layer" => "rate_limit", "rule" => rule).increment(1);
        }
    }
}

const SHADOW_DENIED: &str = "tower_keep_shadow_denied_total";

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").field("rules", &self.rules.load()).finish_non_exhaustive()
    }
}
