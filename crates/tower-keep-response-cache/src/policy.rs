//! The decisions: pure functions that are given the time.

pub(crate) mod answer;
pub(crate) mod condition;
pub(crate) mod date;
pub(crate) mod directives;
pub(crate) mod freshen;
pub(crate) mod groups;
pub(crate) mod head;
pub(crate) mod invalidate;
pub(crate) mod key;
pub(crate) mod lifetime;
pub(crate) mod part;
pub(crate) mod range;
pub(crate) mod request;
pub(crate) mod reuse;
pub(crate) mod storable;
pub(crate) mod targeted;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod unkeyed;
pub(crate) mod validate;
pub(crate) mod validator;
pub(crate) mod vary;

pub(crate) use tower_keep_core::cache_status as status;
