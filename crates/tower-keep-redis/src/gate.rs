//! How many commands may be under way.

use std::time::Instant;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout_at,
};
use tower_keep_core::StoreError;

/// A cap on the commands in flight. Over it commands queue in order, each within its own
/// deadline: a burst is served, and a stuck server gathers no more than this.
#[derive(Debug)]
pub(crate) struct Gate {
    free: Semaphore,
    places: usize,
}

impl Gate {
    pub(crate) fn new(places: usize) -> Self {
        Self { free: Semaphore::new(places), places }
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.places.saturating_sub(self.free.available_permits())
    }

    /// A place, if there is one and nobody waits for it.
    pub(crate) fn try_enter(&self) -> Option<SemaphorePermit<'_>> {
        self.free.try_acquire().ok()
    }

    /// Waits for a place. Running out of time here says nothing about the server.
    pub(crate) async fn enter(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, StoreError> {
        match timeout_at(deadline.into(), self.free.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(StoreError::not_sent("too many commands in flight for the whole deadline")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower_keep_core::ErrorClass;

    use super::*;

    #[tokio::test]
    async fn one_waits_within_its_deadline() {
        let gate = Gate::new(1);
        let begun = Instant::now();
        let place = gate.enter(begun).await.unwrap();
        let late = gate.enter(begun + Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(late.class(), ErrorClass::NotSent);
        assert_eq!(gate.taken(), 1);
        assert!(begun.elapsed() >= Duration::from_millis(20));
        let patient = gate.enter(begun + Duration::from_secs(60));
        let (place_2, ()) = tokio::join!(patient, async { drop(place) });
        assert!(place_2.is_ok());
        drop(place_2);
        assert_eq!(gate.taken(), 0);
    }
}
