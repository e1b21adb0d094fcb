//! Waiting for a session's end.

use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use crate::{id::PublicId, revoked::RevocationEvent, token::Token};

/// How often it is looked for although nobody has said anything.
const LOOK: Duration = Duration::from_secs(60);
/// How long after a failed look it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Within what time all look for their sessions once something may have been missed.
const SPREAD_MS: u64 = 2000;

/// How long this one waits: what is missed by one is missed by all, who are not to look at once.
fn turn(id: PublicId) -> Duration {
    let [a, b, c, d, ..] = id.to_bytes();
    Duration::from_millis(u64::from(u32::from_be_bytes([a, b, c, d])) % SPREAD_MS)
}

impl Session {
    /// Waits until the session is there no more under the id that it has: it was logged out or
    /// revoked, in this process or another, another request gave it a new id, or its time is over. For streams and `WebSocket`s, which outlive their request.
    ///
    /// A logout and a revocation are known at once where the processes have a bus, two seconds after
    /// it was broken, else within a minute; so is all else. Never returns for a client without a session. While the store is away nothing is known, and nothing returns.
    pub async fn revoked(&self) {
        // Before looking, so that nothing falls between.
        let mut events = self.inner.settings.store.revocations().listen();
        let Some(token) = self.inner.state().token.clone() else {
            return std::future::pending().await;
        };
        let place = token.place(&self.inner.tenant);
        let key = place.key.spell();
        loop {
            let pause = match self.is_there(&token).await {
                Some(true) => LOOK,
                Some(false) => return,
                None => AGAIN,
            };
            let look = tokio::time::sleep(pause);
            tokio::pin!(look);
            loop {
                tokio::select! {
                    event = events.recv() => match event {
                        RevocationEvent::Ended(ended) => {
                            if ended.concerns(&key, place.id.to_bytes()) {
                                return;
                            }
                        }
                        RevocationEvent::Gap => {
                            let soon = Instant::now() + turn(place.id);
                            let first = soon.min(look.deadline());
                            look.as_mut().reset(first);
                        }
                    },
                    () = &mut look => break,
                }
            }
        }
    }

    /// Whether the store has it; `None` when it cannot tell.
    async fn is_there(&self, token: &Token) -> Option<bool> {
        let found = self.inner.settings.store.load(token.place(&self.inner.tenant)).await;
        found.ok().map(|record| record.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;

    #[test]
    fn those_who_may_have_missed_something_look_one_after_the_other() {
        let mut turns: Vec<_> = (0..1000).map(|_| turn(SessionId::random().public())).collect();
        turns.sort_unstable();
        assert!(turns.iter().all(|turn| *turn < Duration::from_millis(SPREAD_MS)));
        let within = |turns: &[Duration]| turns[turns.len() - 1].abs_diff(turns[0]);
        let busiest = turns.windows(100).map(within).min().unwrap();
        assert!(busiest > Duration::from_millis(SPREAD_MS / 20), "{busiest:?}");
    }
}
