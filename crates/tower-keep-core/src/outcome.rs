//! What became of a request in a layer, counted, timed and logged in one way.

use std::{marker::PhantomData, sync::OnceLock, time::Instant};

use metrics::{Counter, Histogram};

/// The closed set of things that can become of a request in one layer.
pub trait Outcome: Copy + Send + Sync + 'static {
    /// The layer's name, as a metric label.
    const LAYER: &'static str;
    /// The label of each outcome, in the order of [`Outcome::index`].
    const LABELS: &'static [&'static str];

    /// This outcome's place in [`Outcome::LABELS`].
    fn index(self) -> usize;

    /// This outcome as a label.
    fn label(self) -> &'static str {
        Self::LABELS.get(self.index()).copied().unwrap_or("unknown")
    }
}

/// The metrics of one layer: `tower_keep_requests_total{layer, outcome}` and
/// `tower_keep_decision_seconds{layer}`, of the `metrics` facade. Labels come from closed sets
/// only; no tenant is ever one.
///
/// Timed is what had to be waited for. A decision that is there at once takes less time than
/// reading the clock twice would, so it is counted and not timed.
///
/// A layer has one `static` of these. The handles are taken when the first request comes, so
/// that a recorder installed at the start of the program is found.
#[derive(Debug)]
pub struct Instruments<O> {
    handles: OnceLock<Handles>,
    outcomes: PhantomData<fn(O)>,
}

struct Handles {
    // One for each outcome, then the one for `cancelled`.
    outcomes: Box<[Counter]>,
    seconds: Histogram,
}

impl std::fmt::Debug for Handles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handles")
    }
}

impl<O: Outcome> Instruments<O> {
    /// The metrics of the layer whose outcomes are `O`.
    pub const fn new() -> Self {
        Self { handles: OnceLock::new(), outcomes: PhantomData }
    }

    /// Begins to watch one request.
    pub const fn observe(&'static self) -> Observation<O> {
        Observation { instruments: self, waiting_since: None, open: true }
    }

    #[inline]
    fn record(&self, index: usize, label: &'static str, waiting_since: Option<Instant>) {
        let handles = self.handles.get_or_init(Handles::take::<O>);
        if let Some(counter) = handles.outcomes.get(index) {
            counter.increment(1);
        }
        if let Some(since) = waiting_since {
            handles.seconds.record(since.elapsed());
        }
        tracing::trace!(layer = O::LAYER, outcome = label, "decided");
    }
}

impl<O: Outcome> Default for Instruments<O> {
    fn default() -> Self {
        Self::new()
    }
}

impl Handles {
    fn take<O: Outcome>() -> Self {
        metrics::describe_counter!(
            "tower_keep_requests_total",
            "Requests by what became of them in a layer"
        );
        metrics::describe_histogram!(
            "tower_keep_decision_seconds",
            metrics::Unit::Seconds,
            "Time a layer waited for its store to decide; decisions made at once are left out"
        );
        let counter = |outcome: &'static str| metrics::counter!("tower_keep_requests_total", "layer" => O::LAYER, "outcome" => outcome);
        Self {
            outcomes: O::LABELS.iter().copied().chain([CANCELLED]).map(counter).collect(),
            seconds: metrics::histogram!("tower_keep_decision_seconds", "layer" => O::LAYER),
        }
    }
}

const CANCELLED: &str = "cancelled";

/// Watches one request until its outcome is known. Dropped before, it counts as `cancelled`.
#[derive(Debug)]
#[must_use = "a dropped observation counts as cancelled"]
pub struct Observation<O: Outcome> {
    instruments: &'static Instruments<O>,
    waiting_since: Option<Instant>,
    open: bool,
}

impl<O: Outcome> Observation<O> {
    /// The decision is not there at once: from now on it is timed.
    pub fn waits(mut self) -> Self {
        self.waiting_since = Some(Instant::now());
        self
    }

    /// The request ended thus.
    #[inline]
    pub fn finish(mut self, outcome: O) {
        self.open = false;
        self.instruments.record(outcome.index(), outcome.label(), self.waiting_since);
    }
}

impl<O: Outcome> Drop for Observation<O> {
    fn drop(&mut self) {
        if self.open {
            self.instruments.record(O::LABELS.len(), CANCELLED, self.waiting_since);
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::*;

    #[derive(Clone, Copy)]
    enum Door {
        Open,
        Shut,
    }

    impl Outcome for Door {
        const LAYER: &'static str = "door";
        const LABELS: &'static [&'static str] = &["open", "shut"];
        fn index(self) -> usize {
            self as usize
        }
    }

    #[test]
    fn outcomes_are_counted_and_a_dropped_observation_is_cancelled() {
        static INSTRUMENTS: Instruments<Door> = Instruments::new();
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        metrics::with_local_recorder(&recorder, || {
            INSTRUMENTS.observe().finish(Door::Shut);
            INSTRUMENTS.observe().finish(Door::Shut);
            INSTRUMENTS.observe().waits().finish(Door::Open);
            drop(INSTRUMENTS.observe().waits());
        });
        let mut counts = Vec::new();
        for (key, _, _, value) in snapshotter.snapshot().into_vec() {
            let outcome = key.key().labels().find(|label| label.key() == "outcome");
            match (outcome, value) {
                (Some(outcome), DebugValue::Counter(n)) => {
                    counts.push((outcome.value().to_owned(), n));
                }
                (None, DebugValue::Histogram(samples)) => assert_eq!(samples.len(), 2),
                other => panic!("unexpected metric: {other:?}"),
            }
        }
        counts.sort();
        assert_eq!(counts, [("cancelled".into(), 1), ("open".into(), 1), ("shut".into(), 2)]);
    }
}
