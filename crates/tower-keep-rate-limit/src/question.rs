//! What the rules of a layer ask of the store about one request.

use arrayvec::ArrayVec;
use http::Method;
use tower_keep_core::{Head, key::CustomPart};

use crate::{
    algorithm::Algorithm,
    caller::Caller,
    plans::Plans,
    rule::{Mode, OnStoreError, Rule},
    rules::{Matched, Rules},
    store::{Limit, MAX_LIMITS, NEVER, Standing, Verdict},
    subject::Subject,
};

/// What is asked of a store.
pub(crate) type Limits<'a> = ArrayVec<Limit<'a>, MAX_LIMITS>;

/// One rule that is to be asked.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Which rule.
    index: usize,
    /// Its limit for this tenant.
    pub(crate) limit: u64,
    /// The most at once.
    pub(crate) burst: u64,
    /// What the request costs.
    pub(crate) cost: u64,
    part: Part,
}

/// An owned [`CustomPart`].
#[derive(Debug)]
enum Part {
    Unused,
    Value(String),
    Missing,
}

/// The rules that a request is to be checked against, in the order given to the layer.
#[derive(Debug, Default)]
pub(crate) struct Question {
    asked: ArrayVec<Asked, MAX_LIMITS>,
    matched: Matched,
    /// Whether a plan has other limits than the rules.
    pub(crate) planned: bool,
    /// Whether the request's method is HEAD.
    is_head: bool,
}

impl Asked {
    #[expect(clippy::indexing_slicing, reason = "made from these very rules")]
    pub(crate) fn rule<'r>(&self, rules: &'r Rules) -> &'r Rule {
        &rules.all()[self.index]
    }

    /// Whether the rule can deny.
    pub(crate) fn is_enforced(&self, rules: &Rules) -> bool {
        self.rule(rules).mode == Mode::Enforce
    }

    /// Whether the request costs more than can ever be admitted.
    pub(crate) fn never_fits(&self, rules: &Rules) -> bool {
        let most = if self.rule(rules).algorithm == Algorithm::Gcra && self.limit > 0 {
            self.burst
        } else {
            self.limit
        };
        self.cost > most
    }

    /// What is asked of the store.
    #[inline]
    pub(crate) fn limit<'a>(&'a self, rules: &'a Rules, subject: &Subject<'a>) -> Limit<'a> {
        let rule = self.rule(rules);
        let part = match &self.part {
            Part::Unused => CustomPart::Unused,
            Part::Value(part) => CustomPart::Value(part),
            Part::Missing => CustomPart::Missing,
        };
        Limit {
            key: subject.counter(rule, part),
            algorithm: rule.algorithm,
            quota: self.limit,
            window_ms: rule.window_ms(),
            burst: self.burst,
            life_ms: rules.life_ms(rule, self.limit, self.burst),
            cost: self.cost,
            shadow: rule.mode == Mode::Shadow,
            late: rule.late.is_some(),
        }
    }
}

impl Question {
    /// Adds the rules that match this request, with the limits that its tenant has. In place: a
    /// question is large. A layer has no more rules than there are places.
    #[inline]
    pub(crate) fn ask(
        &mut self,
        rules: &Rules,
        plans: Option<&dyn Plans>,
        head: Head<'_>,
        subject: &Subject<'_>,
    ) {
        self.is_head = *head.method() == Method::HEAD;
        let matching = rules.all().iter().enumerate().filter(|(_, rule)| rule.matches(head));
        self.asked.extend(matching.filter_map(|(index, rule)| {
            let quota = plans.and_then(|plans| plans.quota(subject.tenant(), rule.name()));
            self.planned |= quota.is_some();
            let (limit, burst) = rule.granted(quota)?;
            self.matched.add(index);
            let part = match &rule.part {
                None => Part::Unused,
                Some(part) => part.ask(head).map_or(Part::Missing, Part::Value),
            };
            Some(Asked { index, limit, burst, cost: rule.cost_of(head), part })
        }));
    }

    /// The rules that count this caller, as far as it is named; nothing is counted by asking.
    pub(crate) fn about(rules: &Rules, plans: Option<&dyn Plans>, caller: &Caller) -> Self {
        let mut question = Self::default();
        let subject = caller.subject();
        for (index, rule) in rules.all().iter().enumerate() {
            let part = match (&rule.part, caller.part_for(rule.name())) {
                (None, _) | (Some(_), Some(CustomPart::Unused)) => Part::Unused,
                (Some(_), Some(CustomPart::Value(part))) => Part::Value(part.to_owned()),
                (Some(_), Some(CustomPart::Missing)) => Part::Missing,
                (Some(_), None) => continue,
            };
            let is_named = !rule.scope.endpoint || caller.has_endpoint();
            if rule.mode == Mode::Off || subject.is_unidentified(rule) || !is_named {
                continue;
            }
            let quota = plans.and_then(|plans| plans.quota(subject.tenant(), rule.name()));
            let Some((limit, burst)) = rule.granted(quota) else { continue };
            question.push(Asked { index, limit, burst, cost: 0, part });
        }
        question
    }

    #[inline]
    fn push(&mut self, asked: Asked) {
        self.matched.add(asked.index);
        // A layer has no more rules than that.
        let _ = self.asked.try_push(asked);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Asked> + Clone {
        self.asked.iter()
    }

    pub(crate) const fn is_head(&self) -> bool {
        self.is_head
    }

    pub(crate) const fn matched(&self) -> Matched {
        self.matched
    }

    /// What is clear without asking anybody: which costs never fit.
    pub(crate) fn never(&self, rules: &Rules) -> Verdict {
        let standing = |asked: &Asked| {
            let wait_ms = if asked.never_fits(rules) { NEVER } else { 0 };
            Standing { wait_ms, ..Standing::default() }
        };
        let limits = self.iter().map(standing).collect();
        Verdict { allowed: false, blocked_ms: 0, known: true, at_ms: 0, limits }
    }

    /// Whether a rule that can deny wants the door closed when the store fails.
    pub(crate) fn is_closed_on_failure(&self, rules: &Rules) -> bool {
        let closed = |asked: &&Asked| asked.rule(rules).on_store_error == OnStoreError::Closed;
        self.iter().filter(|asked| asked.is_enforced(rules)).any(|asked| closed(&asked))
    }

    /// What is left to be asked in this process when the store fails.
    pub(crate) fn locally(self, rules: &Rules) -> Self {
        let (planned, is_head) = (self.planned, self.is_head);
        let mut local = Self { planned, is_head, ..Self::default() };
        for asked in self.asked {
            if asked.rule(rules).on_store_error == OnStoreError::Local {
                local.push(asked);
            }
        }
        local
    }

    /// Puts what is asked of the store into `limits`, which are empty. In place: they are large.
    #[inline]
    pub(crate) fn put_limits<'a>(
        &'a self,
        limits: &mut Limits<'a>,
        rules: &'a Rules,
        subject: &Subject<'a>,
    ) {
        limits.extend(self.asked.iter().map(|asked| asked.limit(rules, subject)));
    }
}
