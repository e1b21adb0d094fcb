//! What a request turned out to cost: kept from its admission to the end of its answer, and
//! settled once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use arrayvec::ArrayVec;
use bytes::Bytes;
use tower_keep_core::{CostUnit, LateCost, SettleCost, WatchBody};

use crate::{
    question::Question,
    rules::Rules,
    store::{LimitStore, MAX_LIMITS, Settlement, Verdict},
    subject::{OwnedSubject, Subject},
};

/// What one request has reserved.
pub(crate) struct Ledger {
    store: Arc<dyn LimitStore>,
    rules: Arc<Rules>,
    subject: OwnedSubject,
    question: Question,
    /// One for each rule of the question; `None` where the cost was known at once.
    accounts: ArrayVec<Option<Account>, MAX_LIMITS>,
}

/// What one rule has reserved, and was told since.
#[derive(Debug)]
struct Account {
    unit: CostUnit,
    reserved: u64,
    window: u64,
    told: AtomicBool,
    used: AtomicU64,
    settled: AtomicBool,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    Dropped,
}

impl Account {
    /// By how much the reservation was wrong; 0 if it has been settled already.
    fn close(&self, end: End) -> i64 {
        if self.settled.swap(true, Ordering::AcqRel) {
            return 0;
        }
        let used = self.used.load(Ordering::Acquire);
        let told = self.told.load(Ordering::Acquire);
        difference(charge(end, self.reserved, told.then_some(used)), self.reserved)
    }

    fn is_open_in(&self, unit: CostUnit) -> bool {
        self.unit == unit && !self.settled.load(Ordering::Acquire)
    }
}

/// What is charged: what was told, or what was reserved if nothing was. For an answer that was
/// dropped before its end the greater of the two, because what was begun has to be paid.
fn charge(end: End, reserved: u64, told: Option<u64>) -> u64 {
    match (end, told) {
        (_, None) => reserved,
        (End::Complete, Some(used)) => used,
        (End::Dropped, Some(used)) => used.max(reserved),
    }
}

fn difference(charged: u64, reserved: u64) -> i64 {
    let (charged, reserved) = (i128::from(charged), i128::from(reserved));
    i64::try_from(charged - reserved).unwrap_or(i64::MAX)
}

impl Ledger {
    /// What an admitted request has reserved, if a rule wants to know its cost later.
    pub(crate) fn open(
        store: &Arc<dyn LimitStore>,
        rules: &Arc<Rules>,
        subject: &Subject<'_>,
        question: Question,
        verdict: &Verdict,
    ) -> Option<Arc<Self>> {
        let counted = question.iter().zip(&verdict.limits);
        let accounts: ArrayVec<_, MAX_LIMITS> = counted
            .map(|(asked, standing)| {
                // A rule that is watched only may not have counted it.
                let unit = asked.rule(rules).late.filter(|_| standing.wait_ms == 0)?;
                let limit = asked.limit(rules, subject);
                Some(Account {
                    unit,
                    reserved: asked.cost,
                    window: Settlement::window(&limit, standing, verdict.at_ms),
                    // Bytes are counted here, and none is a number.
                    told: AtomicBool::new(unit == CostUnit::BYTES),
                    used: AtomicU64::new(0),
                    settled: AtomicBool::new(false),
                })
            })
            .collect();
        accounts.iter().any(Option::is_some).then(|| {
            let (store, rules) = (Arc::clone(store), Arc::clone(rules));
            Arc::new(Self { store, rules, subject: (*subject).to_owned(), question, accounts })
        })
    }

    fn in_unit(&self, unit: CostUnit) -> impl Iterator<Item = &Account> {
        self.accounts.iter().flatten().filter(move |account| account.is_open_in(unit))
    }

    fn end(&self, end: End) {
        self.correct(|account| account.close(end));
    }

    /// Settles what `close` says of each account, in one step.
    fn correct(&self, close: impl Fn(&Account) -> i64) {
        let subject = self.subject.borrow();
        let accounts = self.question.iter().zip(&self.accounts);
        let settlements: ArrayVec<Settlement<'_>, MAX_LIMITS> = accounts
            .filter_map(|(asked, account)| {
                let account = account.as_ref()?;
                let difference = close(account);
                let limit = asked.limit(&self.rules, &subject);
                let settlement = Settlement { limit, difference, window: account.window };
                (difference != 0).then_some(settlement)
            })
            .collect();
        if !settlements.is_empty() {
            // It goes on by itself, and says by itself if it fails.
            drop(self.store.settle(&settlements));
        }
    }
}

impl SettleCost for Ledger {
    fn add(&self, unit: CostUnit, more: u64) {
        for account in self.in_unit(unit) {
            let add = |used: u64| Some(used.saturating_add(more));
            let _ = account.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
            account.told.store(true, Ordering::Release);
        }
    }

    fn settle(&self, unit: CostUnit, total: u64) {
        for account in self.in_unit(unit) {
            account.used.store(total, Ordering::Release);
            account.told.store(true, Ordering::Release);
        }
        self.correct(|account| if account.unit == unit { account.close(End::Complete) } else { 0 });
    }
}

/// Two that take note: of a layer, and of the one outside it.
pub(crate) struct Both(pub(crate) LateCost, pub(crate) LateCost);

impl SettleCost for Both {
    fn add(&self, unit: CostUnit, more: u64) {
        self.0.add(unit, more);
        self.1.add(unit, more);
    }

    fn settle(&self, unit: CostUnit, total: u64) {
        self.0.settle(unit, total);
        self.1.settle(unit, total);
    }
}

/// Closes a ledger with the answer it stands for.
pub(crate) struct Closing(pub(crate) Arc<Ledger>);

impl Closing {
    /// The head of the answer is there. To HEAD that is all: servers drop the body unread.
    pub(crate) fn answered(self) -> Self {
        if self.0.question.is_head() {
            self.0.end(End::Complete);
        }
        self
    }
}

impl WatchBody for Closing {
    fn data(&self, data: &Bytes) {
        self.0.add(CostUnit::BYTES, data.len() as u64);
    }

    fn end(&self) {
        self.0.end(End::Complete);
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.end(End::Dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_has_to_be_paid() {
        for (end, reserved, told, charged) in [
            (End::Complete, 10, None, 10),
            (End::Complete, 10, Some(3), 3),
            (End::Complete, 10, Some(30), 30),
            (End::Complete, 10, Some(0), 0),
            (End::Dropped, 10, None, 10),
            (End::Dropped, 10, Some(3), 10),
            (End::Dropped, 10, Some(30), 30),
        ] {
            assert_eq!(charge(end, reserved, told), charged, "{end:?} {reserved} {told:?}");
        }
        assert_eq!(difference(0, 10), -10);
        assert_eq!(difference(u64::MAX, 0), i64::MAX);
    }
}
