//! Replaces clients that are stuck: fred says that they are connected, or about to be, and yet
//! nothing is answered. Seen on a full socket that nobody reads, with an attempt to connect that
//! hangs, and where fred has given up for good.
//!
//! While the connection is not up and fred is silent, fresh clients try beside those in use: some
//! in a hurry, which on a link that swallows packets begin a new attempt twice a second, and some
//! patient, which take the whole connect timeout on a slow one. Whichever is answered first is
//! used from then on, unless those in use were answered meanwhile.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::watch, time::sleep};

use crate::{breaker::ConnectionState, clients::Clients, probe, shared::Shared};

/// Time without a word from fred after which it is taken to be stuck. While it cannot connect, it
/// says so at least every 250 ms.
const SILENCE: Duration = Duration::from_millis(750);
/// How often the spares are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Waits for trouble, and for its end, until the last handle is gone.
pub(crate) async fn guard(shared: Weak<Shared>, mut states: watch::Receiver<ConnectionState>) {
    let mut pace = Pace::default();
    loop {
        if *states.borrow_and_update() == ConnectionState::Up {
            if states.changed().await.is_err() {
                return;
            }
            continue;
        }
        let mut spares = Spares::default();
        while *states.borrow_and_update() != ConnectionState::Up {
            tokio::select! {
                changed = states.changed() => if changed.is_err() { return } else { continue },
                () = sleep(LOOK) => {}
            }
            let Some(shared) = shared.upgrade() else { return };
            spares.0.retain(|spare| !spare.has_ended());
            if !spares.0.is_empty() {
                spares.try_each(&shared).await;
            } else if shared.is_stuck(Instant::now()) && pace.allows(Instant::now()) {
                spares = Spares::begin(&shared);
            }
        }
    }
}

impl Shared {
    /// Whether there is no hope that the clients in use come back by themselves soon. Asked only
    /// while the connection is not up.
    fn is_stuck(&self, now: Instant) -> bool {
        let clients = self.clients.load();
        let since = self.breaker.since();
        // What clients in a hurry tell is only that they were in a hurry; and with sentinels fred
        // goes on asking the first that takes a connection, whatever that one says.
        let talk = clients.is_hasty() || self.config.deployment.sentinel().is_some();
        let word = if talk { since } else { since.max(self.vitals.heard()) };
        clients.has_ended() || now.saturating_duration_since(word) >= SILENCE
    }
}

/// Clients that try beside those in use. Dropped, they are gone at once.
#[derive(Default)]
struct Spares(Vec<Arc<Clients>>);

impl Spares {
    fn begin(shared: &Shared) -> Self {
        let Some(blueprint) = &shared.blueprint else { return Self::default() };
        // The settings were good once: they still are.
        let built = blueprint.hasty().into_iter().chain([blueprint.patient()]);
        let spares: Vec<_> = built.filter_map(Result::ok).map(Arc::new).collect();
        for spare in &spares {
            spare.connect(Handle::current());
        }
        Self(spares)
    }

    /// Puts the first that is answered in place of those in use.
    async fn try_each(&mut self, shared: &Arc<Shared>) {
        for (index, spare) in self.0.iter().enumerate() {
            if !spare.is_connected() {
                continue;
            }
            let events = probe::listen(spare);
            if shared.ping(spare).await.is_err() {
                continue;
            }
            // The server answers: those in use may have been waiting for nothing else.
            if shared.probe().await.is_err() && shared.breaker.state() != ConnectionState::Up {
                shared.replace(self.0.swap_remove(index));
                probe::attend(shared, events, &Handle::current());
            }
            return;
        }
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.0.iter().for_each(|spare| spare.abandon());
    }
}

/// How often spares are begun at most: once a second at first, every five seconds if that is not
/// enough.
#[derive(Debug, Default)]
struct Pace {
    last: Option<Instant>,
    wait: Duration,
}

impl Pace {
    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(5);
    /// After this long without, it begins anew.
    const CALM: Duration = Duration::from_secs(20);

    fn allows(&mut self, now: Instant) -> bool {
        let past = self.last.map(|last| now.saturating_duration_since(last));
        self.wait = match past {
            Some(past) if past < self.wait => return false,
            Some(past) if past < Self::CALM => (self.wait * 2).min(Self::LONGEST),
            _ => Self::SHORTEST,
        };
        self.last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spares_are_begun_less_and_less_often() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let mut begun = Vec::new();
        for second in 0..20 {
            for tenth in 0..10 {
                let past = second * 1000 + tenth * 100;
                if pace.allows(start + Duration::from_millis(past)) {
                    begun.push(past);
                }
            }
        }
        assert_eq!(begun, [0, 1000, 3000, 7000, 12_000, 17_000]);
        assert!(pace.allows(start + Duration::from_secs(40)));
        assert!(!pace.allows(start + Duration::from_millis(40_900)));
        assert!(pace.allows(start + Duration::from_secs(41)));
    }
}
