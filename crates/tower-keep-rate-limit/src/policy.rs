//! What is answered, given what was asked and what the store said. No clock, no store, no wire.

use std::num::NonZeroU64;

use http::StatusCode;
use tower_keep_core::{GrpcCode, Rejection};

use crate::{
    fields::{FieldChoice, Fields, Told},
    outcome::RateLimitOutcome,
    rule::{OnStoreError, Rule},
    rules::{Matched, Rules},
    store::Verdict,
};

const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const REDUCED_CAPACITY: &str =
    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Call the inner service, and add these fields to its answer.
    Pass(Fields),
    /// Refuse, with these fields.
    Refuse(Box<Rejection>, Fields),
}

/// Who counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// The layer's store.
    ByStore,
    /// This process, because the store failed.
    Locally,
}

/// What to do when the store failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Answer 503.
    Close,
    /// Let these rules count in this process; if none, let the request pass.
    CountLocally(Matched),
}

/// What the rules that matched want done when the store failed. One rule that wants the door
/// closed closes it.
pub(crate) fn on_failure(rules: &Rules, matched: Matched) -> Failure {
    let closed = rules.subset(matched, |rule| rule.on_store_error == OnStoreError::Closed);
    if closed.is_empty() {
        Failure::CountLocally(
            rules.subset(matched, |rule| rule.on_store_error == OnStoreError::Local),
        )
    } else {
        Failure::Close
    }
}

/// The decision that follows from a verdict over the rules in `matched`.
pub(crate) fn decide(
    rules: &Rules,
    matched: Matched,
    verdict: &Verdict,
    choice: FieldChoice,
    counted: Counted,
) -> (Decision, RateLimitOutcome) {
    let told = || {
        rules
            .iter(matched)
            .zip(&verdict.limits)
            .map(|(rule, standing)| Told { rule, standing: Some(*standing) })
    };
    let policy = rules.policy(matched);
    if verdict.allowed {
        let fields = Fields::new(choice, policy, told().min_by(tighter));
        let outcome = match counted {
            Counted::ByStore => RateLimitOutcome::Allowed,
            Counted::Locally => RateLimitOutcome::LocalAllowed,
        };
        return (Decision::Pass(fields), outcome);
    }
    let is_violated = |told: &Told<'_>| told.standing.is_some_and(|limit| limit.remaining == 0);
    let longest = told().filter(is_violated).max_by_key(Told::resets_in);
    let names = told().filter(is_violated).map(|told| told.rule.name());
    let mut rejection = exceeded(names);
    // Waiting this long is enough for every limit that was violated.
    let wait = longest.and_then(|told| told.resets_in()).unwrap_or_default();
    rejection = rejection.retry_after(NonZeroU64::new(wait).unwrap_or(NonZeroU64::MIN));
    let fields = Fields::new(choice, policy, longest);
    let outcome = match counted {
        Counted::ByStore => RateLimitOutcome::Denied,
        Counted::Locally => RateLimitOutcome::LocalDenied,
    };
    (Decision::Refuse(Box::new(rejection), fields), outcome)
}

/// The decision when a rule in `matched` has a limit of 0, if one has: denied for good, so there
/// is no time to come back at.
pub(crate) fn deny_zero(
    rules: &Rules,
    matched: Matched,
    choice: FieldChoice,
) -> Option<(Decision, RateLimitOutcome)> {
    let zeros = || rules.iter(matched).filter(|rule| rule.limit == 0);
    let first = zeros().next()?;
    let told = Told { rule: first, standing: None };
    let fields = Fields::new(choice, rules.policy(matched), Some(told));
    let rejection = exceeded(zeros().map(Rule::name));
    Some((Decision::Refuse(Box::new(rejection), fields), RateLimitOutcome::Denied))
}

/// The decision when the store failed and a rule wants the door closed.
pub(crate) fn close() -> (Decision, RateLimitOutcome) {
    let rejection = Rejection::new(
        StatusCode::SERVICE_UNAVAILABLE,
        GrpcCode::Unavailable,
        "rate limits cannot be checked at the moment",
    )
    .kind(REDUCED_CAPACITY)
    .retry_after(NonZeroU64::MIN);
    (Decision::Refuse(Box::new(rejection), Fields::default()), RateLimitOutcome::FailedClosed)
}

/// The decision when nobody knows whom to count for and the layer wants such callers refused.
pub(crate) fn refuse_unidentified() -> (Decision, RateLimitOutcome) {
    let rejection = Rejection::new(
        StatusCode::FORBIDDEN,
        GrpcCode::PermissionDenied,
        "the client cannot be identified",
    );
    (Decision::Refuse(Box::new(rejection), Fields::default()), RateLimitOutcome::Unidentified)
}

/// The limit that is nearest to its end; of two, the one that resets later.
fn tighter(a: &Told<'_>, b: &Told<'_>) -> std::cmp::Ordering {
    let rank = |told: &Told<'_>| {
        told.standing.map(|limit| (limit.remaining, u64::MAX - limit.resets_in_ms))
    };
    rank(a).cmp(&rank(b))
}

fn exceeded<'a>(violated: impl Iterator<Item = &'a str>) -> Rejection {
    Rejection::new(
        StatusCode::TOO_MANY_REQUESTS,
        GrpcCode::ResourceExhausted,
        "the request exceeds a quota",
    )
    .kind(QUOTA_EXCEEDED)
    .member("violated-policies", violated.collect::<Vec<_>>())
}
