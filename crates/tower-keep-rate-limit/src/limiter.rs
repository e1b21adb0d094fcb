//! What all services of one layer share: from a request's head to a decision.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::Extensions;
use tower_keep_core::{
    Answer, Head, LateCost, StoreError, TrustedProxies,
    key::{CustomPart, UserPart},
};

use crate::{
    decision::RateLimitDecision,
    endpoint::GrpcEndpoints,
    fields::{FieldChoice, Fields},
    late::{Both, Closing, Ledger},
    memory::MemoryStore,
    names::RuleNames,
    outcome::RateLimitOutcome,
    plans::Plans,
    policy::{self, Counted, Decision, Ruling},
    question::{Asked, Limits, Question},
    rules::Rules,
    setup::{Newest, Setup},
    skip::Skip,
    store::{LimitStore, Verdict},
    subject::{Subject, Wants},
};

/// What happens to a request that has not what a rule counts by: neither user nor address, or no
/// address where the rule counts by that alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnUnidentified {
    /// All such requests count together. One warning is logged.
    #[default]
    CountTogether,
    /// Such requests are answered with 403 (`PERMISSION_DENIED` over gRPC).
    Reject,
}

/// A layer's store. The one in this process is known by its type, so that a check of it need not
/// be handed from place to place.
#[derive(Clone)]
pub(crate) enum Store {
    Memory(Arc<MemoryStore>),
    Other(Arc<dyn LimitStore>),
}

impl Store {
    pub(crate) fn any(&self) -> Arc<dyn LimitStore> {
        match self {
            Self::Memory(store) => store.clone(),
            Self::Other(store) => Arc::clone(store),
        }
    }
}

/// A layer's rules, its store, and how it deals with what it cannot count.
pub(crate) struct Limiter {
    pub(crate) setup: Newest,
    pub(crate) plans: Option<Arc<dyn Plans>>,
    pub(crate) endpoints: GrpcEndpoints,
    pub(crate) store: Store,
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
}

/// What is known of a request at once.
pub(crate) enum Begun {
    /// What is to be done with it.
    Decided(Ruling),
    /// The store has been asked; [`Limiter::conclude`] takes its answer.
    Asked(Box<Pending>),
}

/// What is done to whatever answer is given. Filled in where it stays: it is large.
#[derive(Default)]
pub(crate) struct After {
    pub(crate) fields: Fields,
    pub(crate) exposed: Option<RateLimitOutcome>,
    pub(crate) extras: Extras,
}

/// What the store was asked, and by which rules, and its answer on the way.
pub(crate) struct Pending {
    pub(crate) answer: Answer<Result<Verdict, StoreError>>,
    setup: Setup,
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
    #[inline]
    pub(crate) const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Puts what the inner service is to know into its request's extensions.
    #[inline]
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
    #[inline]
    pub(crate) fn tell_outside(&mut self, extensions: &mut Extensions) {
        if let Some(decision) = self.0.as_mut().and_then(|attached| attached.outside.take()) {
            extensions.insert(decision);
        }
    }

    /// What is to go with the answer's body.
    #[inline]
    pub(crate) fn take_closing(&mut self) -> Option<Closing> {
        self.0.as_mut().and_then(|attached| attached.closing.take())
    }
}

impl Limiter {
    /// Whether a closure looks at requests' heads.
    #[inline]
    pub(crate) fn needs_parts(&self, setup: &Setup) -> bool {
        setup.rules.needs_parts || self.skip.needs_parts()
    }

    /// Asks the store about a request, unless it is clear without.
    pub(crate) fn begin(&self, setup: &Setup, head: Head<'_>, after: &mut After) -> Begun {
        let Setup { rules, lists, .. } = setup;
        let is_skipped = self.skip.matches(head);
        if is_skipped && lists.deny.is_empty() {
            return Begun::Decided(policy::pass(RateLimitOutcome::Skipped));
        }
        let subject = self.subject(setup, head);
        if !lists.deny.is_empty() && lists.deny.has(&subject) {
            return Begun::Decided(policy::refuse_listed());
        }
        if is_skipped {
            return Begun::Decided(policy::pass(RateLimitOutcome::Skipped));
        }
        if !lists.allow.is_empty() && lists.allow.has(&subject) {
            return Begun::Decided(policy::pass(RateLimitOutcome::Exempt));
        }
        if let Some(ruling) = self.count_at_once(rules, head, &subject, after) {
            return Begun::Decided(ruling);
        }
        self.ask(setup, head, &subject, after)
    }

    /// What [`ask`](Self::ask) would come to, where one rule counts the request by a counter in
    /// this process that has room for it, and nothing else follows from it: most requests, at a
    /// fraction of the cost. Else nothing is done.
    #[inline]
    fn count_at_once(
        &self,
        rules: &Rules,
        head: Head<'_>,
        subject: &Subject<'_>,
        after: &mut After,
    ) -> Option<Ruling> {
        let Store::Memory(store) = &self.store else { return None };
        if self.plans.is_some() || self.expose_decision {
            return None;
        }
        let (rule, terms) = rules.alone().filter(|(rule, _)| rule.matches(head))?;
        let key = subject.counter(rule, CustomPart::Unused);
        if key.user == UserPart::Unidentified {
            return None;
        }
        let standing = store.count_one(&key, terms)?;
        if self.fields.is_any() {
            after.fields = policy::fields_of_one(rules, rule, &standing, self.fields);
        }
        Some(policy::pass(RateLimitOutcome::Allowed))
    }

    /// Asks the store by all rules.
    fn ask(
        &self,
        setup: &Setup,
        head: Head<'_>,
        subject: &Subject<'_>,
        after: &mut After,
    ) -> Begun {
        let rules = &setup.rules;
        let mut question = Question::default();
        question.ask(rules, self.plans.as_deref(), head, subject);
        if question.is_empty() {
            return Begun::Decided(policy::pass(RateLimitOutcome::Skipped));
        }
        if let Some((ruling, fields)) = policy::deny_for_good(rules, &question, self.fields) {
            after.fields = fields;
            after.extras = self.beside_never(rules, &question);
            return Begun::Decided(ruling);
        }
        let is_unidentified = |asked: &Asked| subject.is_unidentified(asked.rule(rules));
        if question.iter().any(is_unidentified) {
            // A rule that is watched only refuses nobody.
            let refuses = |asked: &Asked| asked.is_enforced(rules) && is_unidentified(asked);
            if self.on_unidentified == OnUnidentified::Reject && question.iter().any(refuses) {
                return Begun::Decided(policy::refuse_unidentified());
            }
            self.warn_once();
        }
        let mut limits = Limits::new();
        question.put_limits(&mut limits, rules, subject);
        let blocks = subject.blocks();
        let ruling = match &self.store {
            Store::Memory(store) => {
                let mut verdict = Verdict::default();
                let result = store.decide(&limits, &blocks, &mut verdict);
                drop(limits);
                let result = result.as_ref().map(|()| &verdict);
                self.answered(rules, subject, &mut question, result, after)
            }
            Store::Other(store) => match store.check(&limits, &blocks).now() {
                Ok(result) => {
                    drop(limits);
                    self.answered(rules, subject, &mut question, result.as_ref(), after)
                }
                Err(answer) => {
                    drop(limits);
                    let pending = Pending { answer, setup: setup.clone(), question };
                    return Begun::Asked(Box::new(pending));
                }
            },
        };
        Begun::Decided(ruling)
    }

    /// The decision that follows from the store's answer.
    pub(crate) fn conclude(
        &self,
        head: Head<'_>,
        pending: Pending,
        result: &Result<Verdict, StoreError>,
        after: &mut After,
    ) -> Ruling {
        let Pending { setup, mut question, .. } = pending;
        let subject = self.subject(&setup, head);
        self.answered(&setup.rules, &subject, &mut question, result.as_ref(), after)
    }

    #[inline]
    fn subject<'a>(&self, setup: &Setup, head: Head<'a>) -> Subject<'a> {
        let wants = Wants {
            address: setup.rules.wants.address || setup.lists.has_networks(),
            route: setup.rules.wants.route,
        };
        Subject::of(head, &self.proxies, &self.endpoints, wants)
    }

    #[inline]
    fn answered(
        &self,
        rules: &Arc<Rules>,
        subject: &Subject<'_>,
        question: &mut Question,
        result: Result<&Verdict, &StoreError>,
        after: &mut After,
    ) -> Ruling {
        match result {
            Ok(verdict) => self.decide(rules, subject, question, verdict, Counted::ByStore, after),
            Err(_) if question.is_closed_on_failure(rules) => policy::close(),
            Err(_) => self.count_locally(rules, subject, question, after),
        }
    }

    #[cold]
    fn count_locally(
        &self,
        rules: &Arc<Rules>,
        subject: &Subject<'_>,
        question: &mut Question,
        after: &mut After,
    ) -> Ruling {
        let mut local = std::mem::take(question).locally(rules);
        let open = policy::pass(RateLimitOutcome::FailedOpen);
        let Some(fallback) = &self.fallback else { return open };
        if local.is_empty() {
            // Nothing is counted, and who is blocked here is blocked.
            let left = fallback.blocked_for(&subject.blocks());
            return if left > 0 { policy::block(left) } else { open };
        }
        let mut verdict = Verdict::default();
        let mut limits = Limits::new();
        local.put_limits(&mut limits, rules, subject);
        let result = fallback.decide(&limits, &subject.blocks(), &mut verdict);
        drop(limits);
        match result {
            Ok(()) => self.decide(rules, subject, &mut local, &verdict, Counted::Locally, after),
            Err(_) => open,
        }
    }

    #[inline]
    fn decide(
        &self,
        rules: &Arc<Rules>,
        subject: &Subject<'_>,
        question: &mut Question,
        verdict: &Verdict,
        counted: Counted,
        after: &mut After,
    ) -> Ruling {
        let ruling = policy::decide(rules, question, verdict, counted);
        if self.fields.is_any() {
            after.fields = policy::fields(rules, question, verdict, self.fields);
        }
        if self.expose_decision || rules.has_extras {
            let passes = matches!(ruling.0, Decision::Pass);
            after.extras = self.beside(rules, subject, question, verdict, counted, passes);
        }
        ruling
    }

    /// What else follows from a verdict. Leaves nothing of the question where something has to be
    /// settled later.
    fn beside(
        &self,
        rules: &Arc<Rules>,
        subject: &Subject<'_>,
        question: &mut Question,
        verdict: &Verdict,
        counted: Counted,
        passes: bool,
    ) -> Extras {
        let outside = self
            .expose_decision
            .then(|| RateLimitDecision::of(rules, question, verdict, |_| true))
            .flatten();
        count_shadow_denials(rules, question, verdict);
        let (mut inside, mut ledger) = (None, None);
        if passes {
            let wants_decision = question.iter().any(|asked| asked.rule(rules).told_inside);
            if wants_decision {
                inside = RateLimitDecision::of(rules, question, verdict, |asked| {
                    asked.rule(rules).told_inside
                });
            }
            if question.iter().any(|asked| asked.rule(rules).late.is_some()) {
                let question = std::mem::take(question);
                let store = match (counted, &self.fallback) {
                    (Counted::Locally, Some(fallback)) => fallback.clone(),
                    _ => self.store.any(),
                };
                ledger = Ledger::open(&store, rules, subject, question, verdict);
            }
        }
        if inside.is_none() && outside.is_none() && ledger.is_none() {
            return Extras::default();
        }
        let closing = ledger.map(Closing);
        Extras(Some(Box::new(Attached { inside, outside, closing })))
    }

    /// What else follows where the cost never fits, and no store is asked.
    fn beside_never(&self, rules: &Rules, question: &Question) -> Extras {
        let verdict = question.never(rules);
        count_shadow_denials(rules, question, &verdict);
        let enforced = |asked: &Asked| asked.is_enforced(rules);
        let outside = self
            .expose_decision
            .then(|| RateLimitDecision::of(rules, question, &verdict, enforced))
            .flatten();
        Extras(
            outside.map(|outside| {
                Box::new(Attached { outside: Some(outside), ..Attached::default() })
            }),
        )
    }

    fn warn_once(&self) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "rate limit: a request has neither user nor client address, or no address where a \
                 rule counts by that alone, so all such requests count together; let the server \
                 set `PeerAddr` (the README shows how for axum, hyper and tonic), or choose \
                 `on_unidentified(Reject)`"
            );
        }
    }
}

impl Drop for Limiter {
    /// Other layers may use the names in other ways now.
    fn drop(&mut self) {
        // To give names back is never refused.
        let _ = self.names.exchange(self.setup.get().rules.all(), &[]);
    }
}

/// Counts what rules that are watched only would have denied, as far as it is known.
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
        f.debug_struct("Limiter").field("setup", &self.setup).finish_non_exhaustive()
    }
}
