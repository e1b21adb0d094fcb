//! Keeps a link for as long as there is somebody to listen.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep};
use tracing::{info, warn};

use super::{
    BusEvent, BusState, Inner, LATE,
    link::{Heard, Link, Trouble},
    message::decode,
};

/// Time between two attempts: doubled each time up to the longest, half of it jitter.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(400);
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
    let mut wait = SHORTEST;
    for turn in 0.. {
        let Some(strong) = bus.upgrade() else { return };
        let pattern = strong.connection.client();
        drop(strong);
        let trouble = match Link::open(&pattern, turn).await {
            Ok(link) => {
                wait = SHORTEST;
                drop(pattern);
                relay(bus, link).await
            }
            Err(trouble) => Some(trouble),
        };
        let (Some(trouble), Some(strong)) = (trouble, bus.upgrade()) else { return };
        let pause = strong.silenced(&trouble, wait);
        drop(strong);
        wait = (wait * 2).min(LONGEST);
        let jitter = (random.hash_one(Instant::now()) % 512) as u32;
        sleep(pause / 2 + pause * jitter / 1024).await;
    }
}

/// Passes on what is heard, until the link is lost; `None` when nobody is left to listen.
async fn relay(bus: &Weak<Inner>, mut link: Link) -> Option<Trouble> {
    bus.upgrade()?.live();
    loop {
        let heard = match link.hear().await {
            Ok(heard) => heard,
            Err(trouble) => return Some(trouble),
        };
        bus.upgrade()?.heard(heard);
    }
}

impl Inner {
    fn live(&self) {
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
        let before = self.state();
        let was_off = matches!(before, BusState::Off { .. });
        let endpoint = self.connection.endpoint();
        let failure = match trouble {
            // Until it is allowed there is nothing to lose.
            Trouble::Lost(_) if was_off => return wait,
            Trouble::Lost(failure) | Trouble::Forbidden(failure) => failure.error(),
        };
        let reason = failure.message();
        if let Trouble::Forbidden(_) = trouble {
            self.state.send_replace(BusState::Off { reason: reason.into() });
            if !was_off {
                warn!(endpoint, reason, "may not listen to other processes: {LATE}");
            }
            return FORBIDDEN;
        }
        self.state.send_replace(BusState::Lost);
        if before != BusState::Lost {
            warn!(endpoint, reason, "cannot listen to other processes for now: {LATE}");
        }
        if before == BusState::Live {
            self.tell(BusEvent::Gap);
        }
        wait
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
