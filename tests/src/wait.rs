//! Waiting for something that will be so shortly.

use std::{
    future::Future,
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_millis(5);

/// Asks until the answer is yes; `false` if it still is not after `timeout`.
///
/// The question is asked at least once, and a question that hangs counts as a no.
#[must_use = "a wait that ran out of time is a failed test"]
pub async fn wait_until<F>(timeout: Duration, mut question: impl FnMut() -> F) -> bool
where
    F: Future<Output = bool>,
{
    let begun = Instant::now();
    loop {
        let left = timeout.saturating_sub(begun.elapsed()).max(PAUSE);
        if let Ok(true) = tokio::time::timeout(left, question()).await {
            return true;
        }
        if begun.elapsed() >= timeout {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending, time::Duration};

    use super::wait_until;

    #[tokio::test]
    async fn it_waits_no_longer_than_needed_and_no_longer_than_told() {
        let asked = Cell::new(0);
        let third = || async {
            asked.set(asked.get() + 1);
            asked.get() == 3
        };
        assert!(wait_until(Duration::from_secs(60), third).await);
        assert_eq!(asked.get(), 3);
        assert!(!wait_until(Duration::from_millis(20), || async { false }).await);
        assert!(!wait_until(Duration::from_millis(20), pending).await, "a question that hangs");
        assert!(wait_until(Duration::ZERO, || async { true }).await, "asked at least once");
    }
}
