//! What is asked for at about the same time, gathered to be sent as one.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::runtime::Id;

/// How long those that came wait for whoever is to take them, once somebody else comes: its thread
/// may do something else for long.
const PATIENCE: Duration = Duration::from_millis(25);

/// Those that wait to be taken along.
#[derive(Debug)]
pub(super) struct Gathering<J> {
    waiting: Mutex<Waiting<J>>,
    /// So many are enough.
    enough: usize,
}

#[derive(Debug)]
struct Waiting<J> {
    all: Vec<J>,
    /// When the first of them came, and to which runtime.
    first: Option<(Instant, Id)>,
}

/// What is to be done after one more has come.
#[derive(Debug)]
pub(super) enum Next<J> {
    /// Nothing: somebody will take it along.
    Wait,
    /// It is the first. Let others come, then take all.
    TakeSoon(Turn<J>),
    /// To take these: they are enough, or whoever was to take them does not get to it.
    Go(Vec<J>),
}

/// The duty to take those that wait. Whoever is dropped with it lets them go unasked, so that
/// nobody waits for ever.
#[derive(Debug)]
pub(super) struct Turn<J>(Option<Arc<Gathering<J>>>);

impl<J> Gathering<J> {
    pub(super) fn new(enough: usize) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::new(Waiting { all: Vec::new(), first: None }), enough })
    }

    /// One more has come `now`, to this runtime.
    pub(super) fn add(self: &Arc<Self>, one: J, now: Instant, runtime: Id) -> Next<J> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.all.push(one);
        // Nobody waits for a runtime that is not theirs: it may be driven by nobody.
        let (since, whose) = *waiting.first.get_or_insert((now, runtime));
        let is_held_up = whose != runtime || now.saturating_duration_since(since) > PATIENCE;
        if is_held_up || waiting.all.len() >= self.enough {
            return Next::Go(waiting.take());
        }
        if waiting.all.len() == 1 {
            Next::TakeSoon(Turn(Some(Arc::clone(self))))
        } else {
            Next::Wait
        }
    }

    fn take(&self) -> Vec<J> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<J> Waiting<J> {
    fn take(&mut self) -> Vec<J> {
        self.first = None;
        mem::take(&mut self.all)
    }
}

impl<J> Turn<J> {
    /// All that wait; nobody, where there were enough meanwhile.
    pub(super) fn take(mut self) -> Vec<J> {
        // Once it is done, those who come later are somebody else's.
        self.0.take().map(|gathering| gathering.take()).unwrap_or_default()
    }
}

impl<J> Drop for Turn<J> {
    fn drop(&mut self) {
        drop(self.0.take().map(|gathering| gathering.take()));
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn the_first_takes_all_along() {
        let (gathering, now, here) = (Gathering::new(9), Instant::now(), runtime().handle().id());
        let Next::TakeSoon(turn) = gathering.add(1, now, here) else { panic!("it is the first") };
        assert!(matches!(gathering.add(2, now, here), Next::Wait));
        assert_eq!(turn.take(), [1, 2]);
        assert!(matches!(gathering.add(3, now, here), Next::TakeSoon(_)));
    }

    #[test]
    fn enough_go_at_once_and_leave_nobody_behind() {
        let (gathering, now, here) = (Gathering::new(2), Instant::now(), runtime().handle().id());
        let add = |one| gathering.add(one, now, here);
        let Next::TakeSoon(turn) = add(1) else { panic!("it is the first") };
        let Next::Go(both) = add(2) else { panic!("they are enough") };
        assert_eq!(both, [1, 2]);
        let Next::TakeSoon(other) = add(3) else { panic!("it is the first again") };
        assert_eq!(turn.take(), [3], "whoever comes first takes it");
        assert!(other.take().is_empty());
    }

    #[test]
    fn whoever_is_held_up_is_waited_for_a_moment_only() {
        let (gathering, now, here) = (Gathering::new(9), Instant::now(), runtime().handle().id());
        let Next::TakeSoon(turn) = gathering.add(1, now, here) else { panic!("it is the first") };
        assert!(matches!(gathering.add(2, now + PATIENCE, here), Next::Wait));
        let late = now + PATIENCE + Duration::from_millis(1);
        let Next::Go(all) = gathering.add(3, late, here) else { panic!("two wait for too long") };
        assert_eq!(all, [1, 2, 3]);
        assert!(turn.take().is_empty());
        let anew = gathering.add(4, late, here);
        assert!(matches!(anew, Next::TakeSoon(_)));
        assert!(matches!(gathering.add(5, late + PATIENCE, here), Next::Wait), "it begins anew");
    }

    #[test]
    fn nobody_waits_for_another_runtime() {
        let (gathering, now, one, other) =
            (Gathering::new(9), Instant::now(), runtime(), runtime());
        let next = gathering.add(1, now, one.handle().id());
        let Next::Go(both) = gathering.add(2, now, other.handle().id()) else { panic!("it waits") };
        assert_eq!(both, [1, 2]);
        drop(next);
    }

    #[test]
    fn nobody_is_lost_among_many_threads() {
        let (gathering, now, here) = (Gathering::new(4), Instant::now(), runtime().handle().id());
        let taken = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (gathering, taken) = (&gathering, &taken);
                scope.spawn(move || {
                    for turn in 0..5000 {
                        match gathering.add(thread * 5000 + turn, now, here) {
                            Next::Wait => {}
                            Next::TakeSoon(turn) => taken.lock().unwrap().extend(turn.take()),
                            Next::Go(all) => taken.lock().unwrap().extend(all),
                        }
                    }
                });
            }
        });
        let mut taken = taken.into_inner().unwrap();
        taken.sort_unstable();
        assert_eq!(taken, (0..20_000).collect::<Vec<_>>());
    }

    #[test]
    fn nobody_waits_for_one_that_is_gone() {
        let (gathering, now, here) = (Gathering::new(9), Instant::now(), runtime().handle().id());
        let waits = Arc::new(());
        let next = gathering.add(Arc::clone(&waits), now, here);
        gathering.add(Arc::clone(&waits), now, here);
        drop(next);
        assert_eq!(Arc::strong_count(&waits), 1);
        assert!(matches!(gathering.add(waits, now, here), Next::TakeSoon(_)));
    }
}
