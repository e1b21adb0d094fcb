//! What a request cost, when that is known only later. The limiter reserves an estimate; whoever
//! finds out tells it here, without knowing the limiter.

use std::{fmt, sync::Arc};

use http::Extensions;

/// What a cost is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CostUnit(&'static str);

impl CostUnit {
    /// Tokens of a language model, in and out.
    pub const TOKENS: Self = Self::new("tokens");
    /// Tokens of a language model that were asked.
    pub const INPUT_TOKENS: Self = Self::new("input-tokens");
    /// Tokens of a language model that were answered.
    pub const OUTPUT_TOKENS: Self = Self::new("output-tokens");
    /// Bytes of the response's body.
    pub const BYTES: Self = Self::new("bytes");

    /// A unit of the program's own.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// Takes note of late costs. A limiter is one.
pub trait SettleCost: Send + Sync + 'static {
    /// So much more was used.
    fn add(&self, unit: CostUnit, more: u64);

    /// So much was used in all, and no more will be.
    fn settle(&self, unit: CostUnit, total: u64);
}

/// Request extension: where to tell what the request turns out to cost. There is one where a rule
/// asks for it.
///
/// What was reserved stands until the answer has ended, or the total is told. An answer that ends
/// is charged with what was told, or with what was reserved if nothing was. One that is dropped
/// before its end is charged with the greater of the two, because what was begun has to be paid.
///
/// ```
/// use http::Request;
/// use tower_keep_core::{CostUnit, LateCost};
///
/// fn answered<B>(request: &Request<B>, tokens: u64) {
///     if let Some(cost) = LateCost::of(request.extensions()) {
///         cost.settle(CostUnit::TOKENS, tokens);
///     }
/// }
/// # answered(&Request::new(()), 5);
/// ```
#[derive(Clone)]
pub struct LateCost(Arc<dyn SettleCost>);

impl LateCost {
    /// A handle on what takes note.
    pub fn new(ledger: Arc<dyn SettleCost>) -> Self {
        Self(ledger)
    }

    /// The handle of a request, if somebody wants to know.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// So much more was used. Costs in a unit that no rule counts are ignored.
    pub fn add(&self, unit: CostUnit, more: u64) {
        self.0.add(unit, more);
    }

    /// So much was used in all: the difference is settled now. What is told of that unit afterwards
    /// is ignored.
    pub fn settle(&self, unit: CostUnit, total: u64) {
        self.0.settle(unit, total);
    }
}

impl fmt::Debug for LateCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LateCost")
    }
}
