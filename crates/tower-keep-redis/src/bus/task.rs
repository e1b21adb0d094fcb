//! Keeps a link for as long as there is somebody to listen.

use std::{
    hash::{BuildHasher, RandomState},
    pin::pin,
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use fred::error::{Error, ErrorKind};
use tokio::{
    sync::watch,
    time::{interval, sleep},
};
use tracing::{info, warn};

use super::{
    BusEvent, BusState, Inner, LATE,
    link::{Heard, Link, Trouble},
    message::decode,
};

/// Time between two attempts: doubled each time up to the longest, half of it jitter.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(400);
/// A link that has lived this long was one: the next attempt is made soon.
const STEADY: Duration = Duration::from_secs(5);
/// The longest time between links that live no longer than a moment. Each is two log lines and two
/// gaps.
const FLAPPING: Duration = Duration::from_secs(10);
/// How often to look whether the commands have another connection.
const GLANCE: Duration = Duration::from_millis(200);
/// Rights come back by hand.
const FORBIDDEN: Duration = Duration::from_secs(30);

/// Runs until the last handle is gone.
pub(super) async fn run(bus: Weak<Inner>, states: watch::Receiver<BusState>) {
    tokio::select! {
        () = ended(states) => {}
        () = listen(&bus) => {}
    }
}

async fn listen(bus: &Weak<Inner>) {
    let random = RandomState::new();
    let mut wait = SHORTEST / 2;
    for turn in 0.. {
        let Some(strong) = bus.upgrade() else { return };
        let pattern = strong.connection.client();
        let moves = strong.moves();
        drop(strong);
        let (trouble, lived) = match Link::open(&pattern, turn).await {
            Ok(link) => {
                drop(pattern);
                let begun = Instant::now();
                (relay(bus, link, moves).await, Some(begun.elapsed()))
            }
            Err(trouble) => (Some(trouble), None),
        };
        let (Some(trouble), Some(strong)) = (trouble, bus.upgrade()) else { return };
        wait = next_wait(wait, lived);
        let pause = strong.silenced(&trouble, wait);
        drop(strong);
        let jitter = (random.hash_one(Instant::now()) % 512) as u32;
        sleep(pause / 2 + pause * jitter / 1024).await;
    }
}

/// How long to wait after the last wait was this long, and the link lived so long if there was one.
fn next_wait(last: Duration, lived: Option<Duration>) -> Duration {
    match lived {
        Some(lived) if lived >= STEADY => SHORTEST,
        Some(_) => (last * 2).min(FLAPPING),
        None => (last * 2).min(LONGEST).max(last),
    }
}

/// Passes on what is heard, until the link is lost or the commands may go to another server;
/// `None` when nobody is left to listen.
async fn relay(bus: &Weak<Inner>, mut link: Link, moves: Option<u64>) -> Option<Trouble> {
    bus.upgrade()?.live();
    let mut glance = interval(GLANCE);
    loop {
        let mut hearing = pin!(link.hear());
        let heard = loop {
            tokio::select! {
                biased;
                heard = &mut hearing => break heard,
                _ = glance.tick() => if bus.upgrade()?.moves() != moves {
                    return Some(moved().into());
                }
            }
        };
        match heard {
            Ok(heard) => bus.upgrade()?.heard(heard),
            Err(trouble) => return Some(trouble),
        }
    }
}

fn moved() -> Error {
    Error::new(ErrorKind::Canceled, "the sentinels may have named another primary")
}

impl Inner {
    /// How often the commands have been given a new connection, where that may lead to another
    /// server: a primary that was replaced may go on as if nothing were, and who listens to it
    /// hears nothing of what is published to the new one.
    fn moves(&self) -> Option<u64> {
        let shared = &self.connection.shared;
        shared
            .config
            .deployment
            .sentinel()
            .map(|_| shared.vitals.reconnects.get() + shared.vitals.replacements.get())
    }

    fn live(&self) {
        let number = self.links.fetch_add(1, Ordering::Relaxed) + 1;
        self.link.store(number, Ordering::Release);
        let before = self.state.send_replace(BusState::Live);
        let endpoint = self.connection.endpoint();
        match before {
            BusState::Live => {}
            BusState::Connecting => info!(endpoint, "listening to other processes"),
            _ => info!(endpoint, "listening to other processes again"),
        }
        self.tell(BusEvent::Gap);
    }

    fn heard(&self, heard: Heard) {
        match heard {
            Heard::TooMuch => self.tell(BusEvent::Gap),
            Heard::Message(bytes) => match decode(&bytes, self.sender) {
                Some(message) => self.tell(BusEvent::Message(message)),
                None => drop(self.ignored.fetch_add(1, Ordering::Relaxed)),
            },
        }
    }

    /// There is no link (any more). How long to wait before the next attempt.
    fn silenced(&self, trouble: &Trouble, wait: Duration) -> Duration {
        self.link.store(0, Ordering::Release);
        let before = self.state();
        let was_off = matches!(before, BusState::Off { .. });
        let endpoint = self.connection.endpoint();
        let failure = match trouble {
            // Until it is allowed there is nothing to lose.
            Trouble::Lost(_) if was_off => return wait,
            Trouble::Lost(failure) | Trouble::Forbidden(failure) => failure.error(),
        };
        let reason: Arc<str> = failure.message().into();
        let forbidden = matches!(trouble, Trouble::Forbidden(_));
        if forbidden && !was_off {
            warn!(endpoint, %reason, "may not listen to other processes: {LATE}");
        } else if !forbidden && !matches!(before, BusState::Lost { .. }) {
            warn!(endpoint, %reason, "cannot listen to other processes for now: {LATE}");
        }
        let after = if forbidden { BusState::Off { reason } } else { BusState::Lost { reason } };
        self.state.send_replace(after);
        if before == BusState::Live {
            self.tell(BusEvent::Gap);
        }
        if forbidden { FORBIDDEN } else { wait }
    }

    /// It is nobody's loss if nobody listens.
    fn tell(&self, event: BusEvent) {
        let _ = self.events.send(event);
    }
}

/// Returns when the last handle is gone.
async fn ended(mut states: watch::Receiver<BusState>) {
    while states.changed().await.is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_must_live_to_be_made_again_at_once() {
        let waits = |lived: Option<Duration>, mut wait: Duration| {
            std::iter::repeat_with(|| {
                wait = next_wait(wait, lived);
                wait.as_millis()
            })
            .take(11)
            .collect::<Vec<_>>()
        };
        let start = SHORTEST / 2;
        assert_eq!(waits(None, start), [20, 40, 80, 160, 320, 400, 400, 400, 400, 400, 400]);
        let dying = waits(Some(Duration::from_millis(1)), start);
        assert_eq!(dying, [20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000, 10_000]);
        assert_eq!(waits(Some(STEADY), FLAPPING), [20; 11]);
        assert_eq!(next_wait(FLAPPING, None), FLAPPING, "not sooner because it is worse");
    }
}
