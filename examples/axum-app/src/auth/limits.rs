//! How often a password may be tried.

use std::{sync::Arc, time::Duration};

use tower_keep::{Algorithm, ConfigError, Keep, RateLimitLayer, Rule, Scope};

use crate::auth::attempt::Attempt;

const WINDOW: Duration = Duration::from_secs(900);
/// From one address, whatever the accounts.
const PER_ADDRESS: u64 = 60;
/// On one account, wherever from. Its owner may have to wait for somebody else who tries.
const PER_ACCOUNT: u64 = 20;

/// Counts attempts, good ones too. Goes around what finds an [`Attempt`] in its request.
pub(crate) fn of_attempts(keep: &Keep) -> Result<RateLimitLayer, ConfigError> {
    let account = Rule::per(Scope::tenant(), PER_ACCOUNT, WINDOW)
        .named("login-account")
        .algorithm(Algorithm::SlidingWindow)
        // Nobody is told how often others have tried.
        .hidden()
        .by(|head| head.extensions.get::<Arc<Attempt>>().map(|attempt| attempt.account.clone()));
    let address = Rule::per(Scope::tenant().address(), PER_ADDRESS, WINDOW)
        .named("login-address")
        .algorithm(Algorithm::SlidingWindow);
    keep.rate_limit().rule(address).rule(account).build()
}
