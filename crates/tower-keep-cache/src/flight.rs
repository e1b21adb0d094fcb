//! Single flight: of those who miss the same thing at the same time, one fetches it and the others
//! wait for what it brings.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

/// What is under way, each thing once. Cheap to clone; clones share it.
///
/// It is bounded: over so many flights, or so many who wait for one, a caller is told that it is
/// [`Alone`](Turn::Alone). No caller waits for a place.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::time::Duration;
/// use tower_keep_cache::{Flights, Landed, Turn};
///
/// let flights = Flights::new(1024, 1024);
/// let Turn::Lead(leader) = flights.join(b"weather") else { unreachable!() };
/// let Turn::Follow(follower) = flights.join(b"weather") else { unreachable!() };
/// leader.land("sunny");
/// assert_eq!(follower.wait(Duration::from_secs(5)).await, Landed::Value("sunny"));
/// # }
/// ```
pub struct Flights<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    under_way: Mutex<UnderWay<T>>,
    most: usize,
    most_followers: usize,
}

type UnderWay<T> = HashMap<Arc<[u8]>, Arc<Flight<T>>>;

/// Its receivers are the followers, so that they are counted for as long as they are there.
type Flight<T> = watch::Sender<Option<T>>;

/// What a caller is to do.
#[derive(Debug)]
pub enum Turn<T> {
    /// Fetch it for all: look first whether it is there by now, since somebody else may have
    /// landed between the caller's miss and this.
    Lead(Leader<T>),
    /// Wait for it.
    Follow(Follower<T>),
    /// Fetch it for itself: there are too many already.
    Alone,
}

/// Who fetches. When it is dropped without having landed, its followers are told at once; so it
/// is when it panics, or when its caller goes away.
#[must_use = "dropped, it tells its followers that nothing will come"]
pub struct Leader<T> {
    shared: Arc<Shared<T>>,
    key: Arc<[u8]>,
    flight: Arc<Flight<T>>,
    ended: bool,
}

/// Who waits. It may be dropped at any time.
#[must_use = "it does nothing unless it waits"]
pub struct Follower<T> {
    flight: watch::Receiver<Option<T>>,
}

/// What came of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landed<T> {
    /// What the leader brought.
    Value(T),
    /// The leader went away without. Whoever joins again may be the next to lead.
    Abandoned,
    /// The time is over; the leader is still on its way.
    TimedOut,
}

impl<T> Flights<T> {
    /// At most so many flights, and so many followers of each.
    pub fn new(most: usize, most_followers: usize) -> Self {
        let shared = Shared { under_way: Mutex::default(), most, most_followers };
        Self { shared: Arc::new(shared) }
    }

    /// Joins those who want what is called `key`.
    pub fn join(&self, key: &[u8]) -> Turn<T> {
        let mut under_way = self.shared.lock();
        if let Some(flight) = under_way.get(key) {
            return if flight.receiver_count() < self.shared.most_followers {
                Turn::Follow(Follower { flight: flight.subscribe() })
            } else {
                Turn::Alone
            };
        }
        if under_way.len() >= self.shared.most {
            return Turn::Alone;
        }
        let (key, flight) = (Arc::from(key), Arc::new(Flight::new(None)));
        under_way.insert(Arc::clone(&key), Arc::clone(&flight));
        Turn::Lead(Leader { shared: Arc::clone(&self.shared), key, flight, ended: false })
    }

    /// How many flights are under way.
    pub fn under_way(&self) -> usize {
        self.shared.lock().len()
    }
}

impl<T> Shared<T> {
    /// Nothing in it can be left half done.
    fn lock(&self) -> MutexGuard<'_, UnderWay<T>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Leader<T> {
    /// Hands `value` to all who wait. Whoever comes from now on is no follower of this flight, so
    /// put it where they look before.
    pub fn land(mut self, value: T) {
        self.end();
        // From here on nobody follows who did not before.
        if self.followers() > 0 {
            self.flight.send_replace(Some(value));
        }
    }

    /// Hands `value` to all who wait, and to those who come until this leader is dropped or lands.
    pub fn share(&self, value: T) {
        self.flight.send_replace(Some(value));
    }

    /// How many wait.
    pub fn followers(&self) -> usize {
        self.flight.receiver_count()
    }

    /// Nobody else ends this flight, and none of the same name begins before: it is this one that
    /// is removed. Done again, there may be another one.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.shared.lock().remove(&*self.key);
        }
    }
}

/// With it goes the last sender, which is what followers are told by.
impl<T> Drop for Leader<T> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<T: Clone> Follower<T> {
    /// Waits for the leader, at most so long.
    pub async fn wait(mut self, patience: Duration) -> Landed<T> {
        self.value(patience).await
    }

    /// The same, for whoever may find the value to be of no use, and then [waits on](Self::ended).
    pub async fn value(&mut self, patience: Duration) -> Landed<T> {
        match timeout(patience, self.flight.wait_for(Option::is_some)).await {
            Ok(Ok(value)) => value.clone().map_or(Landed::Abandoned, Landed::Value),
            Ok(Err(_)) => Landed::Abandoned,
            Err(_) => Landed::TimedOut,
        }
    }

    /// Waits until the leader is gone, at most so long, whatever it has brought before. Then the next
    /// one to join leads. `false` if the time is over.
    pub async fn ended(mut self, patience: Duration) -> bool {
        timeout(patience, async { while self.flight.changed().await.is_ok() {} }).await.is_ok()
    }
}

/// 10,000 flights, and as many followers of each.
impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self::new(10_000, 10_000)
    }
}

impl<T> Clone for Flights<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("under_way", &self.under_way()).finish_non_exhaustive()
    }
}

/// Without its key: it may be a secret.
impl<T> fmt::Debug for Leader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader").field("followers", &self.followers()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Follower<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
