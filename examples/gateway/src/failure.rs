//! How the gateway says no, and what it says when the upstream does not answer.

use std::fmt;

use http::StatusCode;
use tower_keep::{BoxError, GrpcCode, Rejection};

/// Why there is no answer from the upstream. It reaches the layers as an error, so that they can
/// tell an upstream that says no from one that says nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection can be had.
    Unreachable(BoxError),
    /// It has closed the connection, or what it says is not HTTP.
    Broken(BoxError),
    /// It says something that cannot be passed on.
    Unfit(&'static str),
    /// It takes too long, for this.
    Late(&'static str),
    /// The client does not send the rest of its request.
    ClientLate,
    /// The client has broken off in its request.
    ClientGone,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "it cannot be reached: {}", chain(error)),
            Self::Broken(error) => write!(f, "it broke off: {}", chain(error)),
            Self::Unfit(what) => write!(f, "its answer cannot be passed on: {what}"),
            Self::Late(what) => write!(f, "it takes too long {what}"),
            Self::ClientLate => f.write_str("the client takes too long over its request"),
            Self::ClientGone => f.write_str("the client broke off in its request"),
        }
    }
}

impl std::error::Error for Failure {}

/// An error and all of its causes: the outermost alone says little.
fn chain(error: &BoxError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

impl Failure {
    /// Whether the upstream is to blame.
    pub(crate) const fn is_upstreams(&self) -> bool {
        !matches!(self, Self::ClientLate | Self::ClientGone)
    }

    /// What the client is told: not where the upstream is.
    pub(crate) fn rejection(&self) -> Rejection {
        let (status, title, detail) = match self {
            Self::Unreachable(_) => {
                (StatusCode::BAD_GATEWAY, "bad gateway", "the upstream cannot be reached")
            }
            Self::Broken(_) => (StatusCode::BAD_GATEWAY, "bad gateway", "the upstream broke off"),
            Self::Unfit(_) => (
                StatusCode::BAD_GATEWAY,
                "bad gateway",
                "the upstream's answer cannot be passed on",
            ),
            Self::Late(_) => {
                (StatusCode::GATEWAY_TIMEOUT, "gateway timeout", "the upstream takes too long")
            }
            Self::ClientLate => (
                StatusCode::REQUEST_TIMEOUT,
                "request timeout",
                "the request's body takes too long",
            ),
            Self::ClientGone => {
                (StatusCode::BAD_REQUEST, "bad request", "the request's body is not complete")
            }
        };
        Rejection::new(status, GrpcCode::Unavailable, title).detail(detail)
    }
}

/// A request that is not passed on.
pub(crate) fn refuse(status: StatusCode, detail: &'static str) -> Box<Rejection> {
    let title = status.canonical_reason().unwrap_or("refused");
    Box::new(Rejection::new(status, GrpcCode::InvalidArgument, title).detail(detail))
}
