//! Waiting for something that will be so shortly, and trying for something that is quick.

use std::{
    future::Future,
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_millis(5);
const TRIES: usize = 3;

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

/// Tries until one try says that it was as quick as is promised; panics if none of three does.
///
/// A machine that has other things to do is not quick each time. What must hold each time, a try
/// asserts itself.
pub async fn prompt_once(mut attempt: impl AsyncFnMut() -> bool) {
    for _ in 0..TRIES {
        if attempt().await {
            return;
        }
    }
    panic!("not once as quick as promised in {TRIES} tries");
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending, time::Duration};

    use super::{prompt_once, wait_until};

    #[tokio::test]
    async fn one_try_of_three_must_be_prompt() {
        let mut tries = 0;
        let third = async || {
            tries += 1;
            tries == 3
        };
        prompt_once(third).await;
        assert_eq!(tries, 3);
        assert!(tokio::spawn(prompt_once(async || false)).await.is_err(), "a fourth was allowed");
    }

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
