//! Replaces clients that are stuck: fred says that they are connected, or about to be, and yet
//! nothing is answered. Seen on a full socket that nobody reads, with an attempt to connect that
//! hangs, and where fred has given up for good.
//!
//! While the connection is not up and fred is silent, fresh clients try beside those in use: some
//! in a hurry, which on a link that swallows packets begin a new attempt twice a second, and some
//! patient, which take the whole connect timeout on a slow one. Whichever is answered first is
//! used from then on, unless those in use were answered meanwhile. Those that get nowhere are
//! themselves replaced.
//!
//! While it is up, a pool of which one client has ended is replaced as well.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::watch, time::sleep};

use crate::{breaker::ConnectionState, clients::Clients, probe, shared::Shared};

/// Time without a word from fred after which it is taken to be stuck. While it cannot connect, it
/// says so at least every 250 ms.
const SILENCE: Duration = Duration::from_millis(600);
/// How often the spares are looked at, and how often all is when there is nothing to do.
const LOOK: Duration = Duration::from_millis(50);
const GLANCE: Duration = Duration::from_secs(1);
/// How many spares there are at most.
const MOST: usize = 5;
/// How long an answer is waited for at first, before others have their turn.
const TURN: Duration = Duration::from_secs(1);

/// Waits for trouble, and for its end, until the last handle is gone.
pub(crate) async fn guard(shared: Weak<Shared>, mut states: watch::Receiver<ConnectionState>) {
    let mut pace = Pace::default();
    let mut spares = Spares::default();
    let mut wait = LOOK;
    loop {
        tokio::select! {
            // Only a word to look oneself.
            changed = states.changed() => if changed.is_err() { return },
            () = sleep(wait) => {}
        }
        let Some(shared) = shared.upgrade() else { return };
        let now = Instant::now();
        let need = shared.need(now);
        wait = match need {
            Need::Nothing => GLANCE,
            Need::Patience | Need::Spares | Need::Relief => LOOK,
        };
        if need == Need::Nothing || !spares.are_fresh(&shared, now) {
            spares = Spares::default();
        }
        if !spares.sets.is_empty() {
            spares.try_each(&shared, need).await;
        } else if matches!(need, Need::Spares | Need::Relief) && pace.allows(now) {
            spares = Spares::begin(&shared, need, now);
        }
    }
}

/// What is to be done for the clients in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    /// They may come back by themselves.
    Patience,
    /// They are stuck.
    Spares,
    /// They work, but one of them has ended.
    Relief,
}

impl Shared {
    fn need(&self, now: Instant) -> Need {
        let clients = self.clients.load();
        match (self.breaker.state(), clients.has_ended()) {
            (ConnectionState::Up, false) => Need::Nothing,
            (ConnectionState::Up, true) => Need::Relief,
            (_, true) => Need::Spares,
            _ if self.is_silent(&clients, now) => Need::Spares,
            _ => Need::Patience,
        }
    }

    /// Whether there is no hope that these come back by themselves soon.
    fn is_silent(&self, clients: &Clients, now: Instant) -> bool {
        let since = self.breaker.since();
        // What clients in a hurry tell is only that they were in a hurry; and with sentinels fred
        // goes on asking the first that takes a connection, whatever that one says.
        let talk = clients.is_hasty() || self.config.deployment.sentinel().is_some();
        let word = if talk { since } else { since.max(self.vitals.heard()) };
        now.saturating_duration_since(word) >= SILENCE
    }
}

/// Clients that try beside those in use. Dropped, they are gone at once.
#[derive(Default)]
struct Spares {
    sets: Vec<Arc<Clients>>,
    begun: Option<Instant>,
    /// How often they were tried in vain.
    vain: u32,
}

impl Spares {
    fn begin(shared: &Shared, need: Need, now: Instant) -> Self {
        let Some(blueprint) = &shared.blueprint else { return Self::default() };
        // Each begins with another sentinel, and of those all but one may be silent.
        let sentinels =
            shared.config.deployment.sentinel().map_or(0, |_| shared.config.hosts.len());
        let more = if need == Need::Relief { 0 } else { sentinels.clamp(2, MOST) - 1 };
        let hasty = (0..more).filter_map(|_| blueprint.hasty());
        // The settings were good once: they still are.
        let built = hasty.chain([blueprint.patient()]);
        let sets: Vec<_> = built.filter_map(Result::ok).map(Arc::new).collect();
        for set in &sets {
            set.connect(Handle::current());
        }
        Self { sets, begun: Some(now), vain: 0 }
    }

    /// Whether they may still be about to be answered. What has connected may hang by now, as that
    /// does which they are to replace.
    fn are_fresh(&mut self, shared: &Shared, now: Instant) -> bool {
        let config = &shared.config;
        let longest = config.connect_timeout + config.timeout + 2 * TURN;
        self.sets.retain(|set| !set.has_ended());
        self.begun.is_some_and(|begun| now.saturating_duration_since(begun) < longest)
    }

    /// Puts the first that is answered in place of those in use.
    async fn try_each(&mut self, shared: &Arc<Shared>, need: Need) {
        let patience = shared.config.timeout.min(TURN * 2_u32.saturating_pow(self.vain));
        for (index, set) in self.sets.iter().enumerate() {
            if !set.is_connected() {
                continue;
            }
            let events = probe::listen(set);
            if shared.ping(set, Instant::now() + patience).await.is_err() {
                self.vain += 1;
                continue;
            }
            // The server answers: those in use may have been waiting for nothing else. They need
            // no longer than these did.
            if need == Need::Relief {
                shared.relieve(self.sets.swap_remove(index));
            } else if !shared.revives(patience).await
                && shared.breaker.state() != ConnectionState::Up
            {
                shared.replace(self.sets.swap_remove(index));
            } else {
                return;
            }
            probe::attend(shared, events, &Handle::current());
            return;
        }
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.sets.iter().for_each(|set| set.abandon());
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
