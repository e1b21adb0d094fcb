//! A process that talks to itself over the bus, and notices what it does not hear.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tower_keep::{Bus, BusEvent, BusEvents};

const EVERY: Duration = Duration::from_millis(50);
const KIND: u8 = 1;

/// Publishes a number twenty times a second, and listens; ends when it is dropped.
#[derive(Debug)]
pub struct Chatter {
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

/// What was heard since it was asked last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    /// Messages.
    pub messages: u64,
    /// Times that some may have been missed.
    pub gaps: u64,
    /// Messages that were published for certain, and missed, and no gap told of it.
    pub untold: u64,
}

#[derive(Debug, Default)]
struct State {
    heard: Heard,
    /// The last that was heard.
    last: Option<u64>,
    /// Those answered by the server that came after the last that was heard.
    published: BTreeSet<u64>,
    /// Whether a gap was told since.
    gap: bool,
}

impl Chatter {
    /// Begins to talk over this bus.
    pub fn start(bus: &Bus) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(bus.events(), Arc::clone(&state)));
        tasks.spawn(talk(bus.clone(), Arc::clone(&state)));
        Self { state, _tasks: tasks }
    }

    /// What was heard since the last time.
    pub fn take(&self) -> Heard {
        std::mem::take(&mut lock(&self.state).heard)
    }
}

async fn talk(bus: Bus, state: Arc<Mutex<State>>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        ticks.tick().await;
        if bus.publish(KIND, &number.to_be_bytes()).await.is_ok() {
            lock(&state).publish(number);
        }
    }
}

async fn listen(mut events: BusEvents, state: Arc<Mutex<State>>) {
    loop {
        match events.recv().await {
            BusEvent::Message(message) if message.is_own => {
                let number = message.payload[..].try_into().expect("our own message");
                lock(&state).hear(u64::from_be_bytes(number));
            }
            BusEvent::Message(_) => {}
            BusEvent::Gap => lock(&state).miss(),
        }
    }
}

impl State {
    fn miss(&mut self) {
        self.heard.gaps += 1;
        self.gap = true;
    }

    /// A number is published once all before it are answered, or given up.
    fn hear(&mut self, number: u64) {
        let mut missed = std::mem::take(&mut self.published);
        self.published = missed.split_off(&number);
        self.published.remove(&number);
        self.last = Some(number);
        self.heard.messages += 1;
        if !std::mem::take(&mut self.gap) {
            self.heard.untold += missed.len() as u64;
        }
    }

    /// It may have been heard before its publisher was answered.
    fn publish(&mut self, number: u64) {
        if self.last < Some(number) {
            self.published.insert(number);
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn what_is_missed_is_counted_unless_it_was_told() {
        let mut state = State::default();
        // Heard before its publisher was answered, and after.
        state.hear(0);
        state.publish(0);
        state.publish(1);
        state.hear(1);
        assert_eq!(state.heard.untold, 0);
        // Nobody knows of 2 whether it was published; 3 was, and a gap was told.
        state.publish(3);
        state.miss();
        state.publish(4);
        state.hear(4);
        assert_eq!((state.heard.untold, state.heard.gaps), (0, 1));
        // That gap says nothing of what comes after.
        state.publish(5);
        state.publish(6);
        state.hear(7);
        assert_eq!((state.heard.untold, state.heard.messages), (2, 4));
    }
}
