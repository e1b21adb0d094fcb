//! What can become of a request in this layer.

use tower_keep_core::Outcome;

/// What became of a request in the rate-limit layer. A metric label, and with
/// [`expose_outcome`](crate::RateLimitLayerBuilder::expose_outcome) an extension of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RateLimitOutcome {
    /// Not counted: skipped, or no rule matched.
    Skipped,
    /// Admitted, and counted by the store.
    Allowed,
    /// Over a limit.
    Denied,
    /// The store failed; admitted, and counted in this process.
    LocalAllowed,
    /// The store failed; over a limit as counted in this process.
    LocalDenied,
    /// The store failed; let through uncounted.
    FailedOpen,
    /// The store failed; answered with 503.
    FailedClosed,
    /// Refused, because what a rule counts by was not known: user or client address.
    Unidentified,
    /// Over a limit, and refused without asking the store, which had said so before.
    DeniedKnown,
    /// Refused, because somebody has blocked the caller.
    Blocked,
    /// Refused, because the caller is on the deny list.
    Refused,
    /// Not counted, because the caller is on the allow list.
    Exempt,
}

impl Outcome for RateLimitOutcome {
    const LAYER: &'static str = "rate_limit";
    const LABELS: &'static [&'static str] = &[
        "skipped",
        "allowed",
        "denied",
        "local_allowed",
        "local_denied",
        "failed_open",
        "failed_closed",
        "unidentified",
        "denied_known",
        "blocked",
        "refused",
        "exempt",
    ];

    fn index(self) -> usize {
        self as usize
    }
}
