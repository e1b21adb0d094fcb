//! Who asks the store for a request's session: one at a time.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Held while the store is asked. Unlike a mutex, it tells whether somebody has it.
#[derive(Debug)]
pub(crate) struct Busy(Semaphore);

impl Busy {
    pub(crate) const fn new() -> Self {
        Self(Semaphore::const_new(1))
    }

    /// Waits for whoever came before.
    pub(crate) async fn hold(&self) -> Option<SemaphorePermit<'_>> {
        match self.0.try_acquire() {
            Ok(permit) => Some(permit),
            // It is never closed.
            Err(_) => self.0.acquire().await.ok(),
        }
    }

    /// Whether somebody has it, or waits for it.
    pub(crate) fn is_held(&self) -> bool {
        self.0.available_permits() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_has_it_at_a_time() {
        let busy = Busy::new();
        assert!(!busy.is_held());
        let held = busy.hold().await;
        assert!(held.is_some() && busy.is_held());
        let second = busy.hold();
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("two have it"),
            () = std::future::ready(()) => {}
        }
        drop(held);
        assert!(busy.is_held(), "it is the second's turn");
        drop(second.await);
        assert!(!busy.is_held());
    }
}
