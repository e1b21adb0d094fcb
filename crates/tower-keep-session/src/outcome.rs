//! What became of a request's session.

use tower_keep_core::Outcome;

/// What became of a request's session; counted in `tower_keep_requests_total{layer="session"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionOutcome {
    /// Nobody asked for it.
    Untouched,
    /// It was looked at.
    Read,
    /// It was touched, so that it does not end while it is used.
    Touched,
    /// It was changed, or got another id.
    Written,
    /// One was made.
    Created,
    /// It was ended.
    Ended,
    /// It was changed after it had ended: nothing was kept.
    Gone,
    /// What was changed was not kept, because the answer is a server error.
    Discarded,
    /// It could not be saved: the answer was replaced.
    Refused,
}

impl Outcome for SessionOutcome {
    const LAYER: &'static str = "session";
    const LABELS: &'static [&'static str] = &[
        "untouched",
        "read",
        "touched",
        "written",
        "created",
        "ended",
        "gone",
        "discarded",
        "refused",
    ];

    fn index(self) -> usize {
        self as usize
    }
}
