//! What is answered, given what was asked and what the store said. No clock, no store, no wire.

use std::num::NonZeroU64;

use http::{HeaderValue, StatusCode};
use tower_keep_core::{GrpcCode, Rejection};

use crate::{
    fields::{FieldChoice, Fields, Told},
    outcome::RateLimitOutcome,
    question::{Asked, Question},
    rule::Rule,
    rules::{Matched, Rules, is_told, policy_of},
    store::{NEVER, Standing, Verdict},
};

const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const REDUCED_CAPACITY: &str =
    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
const ABNORMAL_USAGE: &str =
    "https://iana.org/assignments/http-problem-types#abnormal-usage-detected";

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Call the inner service.
    Pass,
    /// Refuse.
    Refuse(Box<Rejection>),
}

/// A decision, and what to call it.
pub(crate) type Ruling = (Decision, RateLimitOutcome);

/// Who counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// The layer's store.
    ByStore,
    /// This process, because the store failed.
    Locally,
}

/// The decision that follows from a verdict over what was asked.
pub(crate) fn decide(
    rules: &Rules,
    question: &Question,
    verdict: &Verdict,
    counted: Counted,
) -> Ruling {
    let all = || question.iter().zip(&verdict.limits);
    let violated =
        || all().filter(|(asked, standing)| asked.is_enforced(rules) && standing.wait_ms > 0);
    // Waiting as long as the longest is enough for every limit that was violated.
    let longest = || violated().map(|(_, standing)| standing.wait_ms).max().unwrap_or_default();
    if verdict.blocked_ms > 0 {
        return block(verdict.blocked_ms.max(longest()));
    }
    if verdict.allowed {
        let outcome = match counted {
            Counted::ByStore => RateLimitOutcome::Allowed,
            Counted::Locally => RateLimitOutcome::LocalAllowed,
        };
        return (Decision::Pass, outcome);
    }
    let outcome = match counted {
        Counted::ByStore if verdict.known => RateLimitOutcome::DeniedKnown,
        Counted::ByStore => RateLimitOutcome::Denied,
        Counted::Locally => RateLimitOutcome::LocalDenied,
    };
    let told = violated().filter(|(asked, _)| is_told(asked.rule(rules)));
    let names = told.map(|(asked, _)| asked.rule(rules).name());
    let rejection = wait(exceeded(names), longest());
    (Decision::Refuse(Box::new(rejection)), outcome)
}

/// The fields that tell how the limits stand, whatever was decided over them.
pub(crate) fn fields(
    rules: &Rules,
    question: &Question,
    verdict: &Verdict,
    choice: FieldChoice,
) -> Fields {
    if verdict.blocked_ms > 0 {
        return Fields::default();
    }
    let all = question.iter().zip(&verdict.limits);
    let told = all.filter(|(asked, _)| is_told(asked.rule(rules)));
    let told = if verdict.allowed {
        told.map(|(asked, standing)| stands(rules, asked, standing)).min_by(tighter)
    } else {
        let violated = told.filter(|(_, standing)| standing.wait_ms > 0);
        let latest = violated.max_by_key(|(_, standing)| standing.wait_ms);
        latest.map(|(asked, standing)| Told {
            resets_in_ms: Some(standing.wait_ms).filter(|wait| *wait != NEVER),
            ..stands(rules, asked, standing)
        })
    };
    Fields::new(choice, policy(rules, question), told)
}

/// The fields that tell how the only rule stands after a request that it has admitted.
pub(crate) fn fields_of_one(
    rules: &Rules,
    rule: &Rule,
    standing: &Standing,
    choice: FieldChoice,
) -> Fields {
    let told = Told {
        rule,
        limit: rule.limit,
        remaining: standing.remaining,
        resets_in_ms: Some(standing.resets_in_ms),
    };
    let told = Some(told).filter(|_| is_told(rule));
    Fields::new(choice, rules.policy(Matched::FIRST).cloned(), told)
}

/// The decision when the request costs more than a rule can ever admit, if it does: denied for
/// good, so there is no time to come back at, and no store has to be asked.
#[inline]
pub(crate) fn deny_for_good(
    rules: &Rules,
    question: &Question,
    choice: FieldChoice,
) -> Option<(Ruling, Fields)> {
    let mut all = question.iter();
    let never = all.any(|asked| asked.never_fits(rules) && asked.is_enforced(rules));
    never.then(|| denied_for_good(rules, question, choice))
}

#[cold]
fn denied_for_good(rules: &Rules, question: &Question, choice: FieldChoice) -> (Ruling, Fields) {
    let never = question.iter().filter(|asked| asked.is_enforced(rules) && asked.never_fits(rules));
    let told = never.filter(|asked| is_told(asked.rule(rules)));
    // How a limit above 0 stands is not known.
    let none_left = told.clone().find(|asked| asked.limit == 0).map(|asked| Told {
        rule: asked.rule(rules),
        limit: 0,
        remaining: 0,
        resets_in_ms: None,
    });
    let fields = Fields::new(choice, policy(rules, question), none_left);
    let rejection = exceeded(told.map(|asked| asked.rule(rules).name()));
    ((Decision::Refuse(Box::new(rejection)), RateLimitOutcome::Denied), fields)
}

/// The decision when the store failed and a rule wants the door closed.
pub(crate) fn close() -> Ruling {
    let rejection = Rejection::new(
        StatusCode::SERVICE_UNAVAILABLE,
        GrpcCode::Unavailable,
        "rate limits cannot be checked at the moment",
    )
    .kind(REDUCED_CAPACITY)
    .retry_after(NonZeroU64::MIN);
    (Decision::Refuse(Box::new(rejection)), RateLimitOutcome::FailedClosed)
}

/// The decision when nobody knows whom to count for and the layer wants such callers refused.
pub(crate) fn refuse_unidentified() -> Ruling {
    (forbid("the client cannot be identified"), RateLimitOutcome::Unidentified)
}

/// The decision about a caller on the deny list.
pub(crate) fn refuse_listed() -> Ruling {
    (forbid("the client is not admitted"), RateLimitOutcome::Refused)
}

/// A request that no rule has to do with.
pub(crate) fn pass(outcome: RateLimitOutcome) -> Ruling {
    (Decision::Pass, outcome)
}

/// The decision about a caller that is blocked, and can come back after so many milliseconds.
pub(crate) fn block(for_ms: u64) -> Ruling {
    let rejection = Rejection::new(
        StatusCode::TOO_MANY_REQUESTS,
        GrpcCode::ResourceExhausted,
        "the client is blocked for a while",
    )
    .kind(ABNORMAL_USAGE);
    let rejection = wait(rejection, for_ms);
    (Decision::Refuse(Box::new(rejection)), RateLimitOutcome::Blocked)
}

fn forbid(why: &'static str) -> Decision {
    let rejection = Rejection::new(StatusCode::FORBIDDEN, GrpcCode::PermissionDenied, why);
    Decision::Refuse(Box::new(rejection))
}

/// The refusal with the time to come back at, unless there is none.
fn wait(rejection: Rejection, millis: u64) -> Rejection {
    if millis == NEVER {
        return rejection;
    }
    let seconds = NonZeroU64::new(millis.div_ceil(1000)).unwrap_or(NonZeroU64::MIN);
    rejection.retry_after(seconds)
}

fn stands<'a>(rules: &'a Rules, asked: &Asked, standing: &Standing) -> Told<'a> {
    Told {
        rule: asked.rule(rules),
        limit: asked.limit,
        remaining: standing.remaining,
        resets_in_ms: Some(standing.resets_in_ms),
    }
}

/// The `RateLimit-Policy` field of what was asked.
fn policy(rules: &Rules, question: &Question) -> Option<HeaderValue> {
    if !question.planned {
        return rules.policy(question.matched()).cloned();
    }
    let told = question.iter().map(|asked| (asked.rule(rules), asked.limit));
    policy_of(told.filter(|(rule, _)| is_told(rule)))
}

/// The limit that is nearest to its end; of two, the one that resets later.
fn tighter(a: &Told<'_>, b: &Told<'_>) -> std::cmp::Ordering {
    let rank = |told: &Told<'_>| (told.remaining, u64::MAX - told.resets_in_ms.unwrap_or_default());
    rank(a).cmp(&rank(b))
}

fn exceeded<'a>(violated: impl Iterator<Item = &'a str>) -> Rejection {
    let violated: Vec<_> = violated.collect();
    let rejection = Rejection::new(
        StatusCode::TOO_MANY_REQUESTS,
        GrpcCode::ResourceExhausted,
        "the request exceeds a quota",
    )
    .kind(QUOTA_EXCEEDED);
    // All of them are hidden.
    if violated.is_empty() { rejection } else { rejection.member("violated-policies", violated) }
}
