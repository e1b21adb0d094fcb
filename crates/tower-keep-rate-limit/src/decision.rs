//! What a rule said about a request, for handlers and for whoever looks at the answer.

use std::{sync::Arc, time::Duration};

use crate::{
    question::{Asked, Question},
    rules::Rules,
    store::{NEVER, Standing, Verdict},
};

/// How one rule stands after a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleStanding {
    /// The rule's name.
    pub rule: Arc<str>,
    /// Its limit, as the tenant's plan has it.
    pub limit: u64,
    /// What the request cost.
    pub cost: u64,
    /// How much more fits now; 0 where nobody was asked, because the cost never fits.
    pub remaining: u64,
    /// In how long there is nothing more to wait for.
    pub resets_in: Duration,
    /// `None` when the cost fitted; else how long until it does, [`Duration::MAX`] for ever.
    pub wait: Option<Duration>,
    /// Whether the rule can deny; `false` for one that is watched only.
    pub is_enforced: bool,
}

/// How the rules stand that a request was checked against, in the order given to the layer. Of a
/// denial that was clear without asking the store, the rules that deny.
///
/// In the request's extensions for the rules with
/// [`tell_handlers`](crate::Rule::tell_handlers); in the response's, for all, with
/// [`expose_decision`](crate::RateLimitLayerBuilder::expose_decision).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimitDecision {
    /// One for each rule.
    pub rules: Arc<[RuleStanding]>,
}

impl RateLimitDecision {
    /// What became of the rules that are `wanted`; `None` if there is none.
    pub(crate) fn of(
        rules: &Rules,
        question: &Question,
        verdict: &Verdict,
        wanted: impl Fn(&Asked) -> bool,
    ) -> Option<Self> {
        let standings = question.iter().zip(&verdict.limits);
        let told: Arc<[_]> = standings
            // What is known without asking is known of the limits that deny alone.
            .filter(|(asked, standing)| wanted(asked) && (!verdict.known || standing.wait_ms > 0))
            .map(|(asked, standing)| RuleStanding::new(rules, asked, standing))
            .collect();
        (!told.is_empty()).then_some(Self { rules: told })
    }
}

impl RuleStanding {
    pub(crate) fn new(rules: &Rules, asked: &Asked, standing: &Standing) -> Self {
        Self {
            rule: Arc::clone(asked.rule(rules).shared_name()),
            limit: asked.limit,
            cost: asked.cost,
            remaining: standing.remaining,
            resets_in: Duration::from_millis(standing.resets_in_ms),
            wait: match standing.wait_ms {
                0 => None,
                NEVER => Some(Duration::MAX),
                wait => Some(Duration::from_millis(wait)),
            },
            is_enforced: asked.is_enforced(rules),
        }
    }
}
