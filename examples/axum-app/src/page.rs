//! Numbers that stand in a target: pages, and ids.

use axum::extract::{Query, rejection::QueryRejection};
use serde::Deserialize;

use crate::problem::Problem;

/// How many rows a page has.
pub(crate) const PAGE: u32 = 20;
/// The last page that may be asked for.
const LAST: u32 = 100_000;

/// The query of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    pub(crate) page: Option<String>,
}

/// The parameters, if there are no others and none twice.
pub(crate) fn parameters<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    let Query(query) = query.map_err(|_| {
        Problem::bad_request("the query has a parameter that there is not, or one twice")
    })?;
    Ok(query)
}

/// A page, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(u32);

impl Number {
    pub(crate) const fn get(self) -> u32 {
        self.0
    }

    /// How many rows come before it.
    pub(crate) const fn offset(self) -> u32 {
        (self.0 - 1) * PAGE
    }
}

/// The page that is asked for: the first, if none is.
pub(crate) fn number(page: Option<&str>) -> Result<Number, Problem> {
    let number = page.map_or(Some(1), plain).filter(|page| (1..=LAST).contains(page));
    let wrong = || Problem::bad_request(format!("`page` is a number from 1 to {LAST}"));
    number.map(Number).ok_or_else(wrong)
}

/// The id, spelled in the one way that there is.
pub(crate) fn id(text: &str) -> Option<u32> {
    plain(text).filter(|id| *id > 0)
}

/// Digits alone, without zeros before them: `+7` and `07` are no numbers, so that each has one name.
fn plain(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_name_and_bounds() {
        for (text, offset) in
            [(None, 0), (Some("1"), 0), (Some("2"), 20), (Some("100000"), 1_999_980)]
        {
            assert_eq!(number(text).unwrap().offset(), offset, "{text:?}");
        }
        for wrong in
            ["", "0", "-1", "+1", "01", "1.0", "1e3", " 1", "100001", "4294967297", "one", "١"]
        {
            assert!(number(Some(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(
            (id("7"), id("4294967295"), id("0"), id("4294967296")),
            (Some(7), Some(u32::MAX), None, None)
        );
    }
}
