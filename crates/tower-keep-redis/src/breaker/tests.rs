//! The breaker, step by step and against a model.

use proptest::prelude::*;

use super::{ConnectionState::*, *};

fn at(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

#[test]
fn nothing_goes_out_before_the_first_answer() {
    let start = Instant::now();
    let breaker = Breaker::new(Connecting, start);
    assert_eq!(breaker.admit(), None);
    let change = breaker.close(at(start, 7)).unwrap();
    assert_eq!(change, Change { from: Connecting, to: Up, lasted: Duration::from_millis(7) });
    assert!(breaker.admit().is_some());
    assert_eq!(breaker.close(at(start, 8)), None);
}

#[test]
fn five_failures_in_a_row_open_it() {
    let start = Instant::now();
    let breaker = Breaker::new(Up, start);
    let ticket = breaker.admit().unwrap();
    for _ in 0..4 {
        assert_eq!(breaker.failed(ticket, start), None);
    }
    breaker.succeeded(ticket);
    for _ in 0..4 {
        assert_eq!(breaker.failed(ticket, start), None);
    }
    let change = breaker.failed(ticket, at(start, 9)).unwrap();
    assert_eq!(change, Change { from: Up, to: Down, lasted: Duration::from_millis(9) });
    assert_eq!(breaker.admit(), None);
    assert_eq!(breaker.open(start), None);
}

#[test]
fn late_failures_of_the_outage_do_not_open_it_again() {
    let start = Instant::now();
    let breaker = Breaker::new(Up, start);
    let old = breaker.admit().unwrap();
    breaker.open(start).unwrap();
    breaker.close(start).unwrap();
    for _ in 0..100 {
        assert_eq!(breaker.failed(old, start), None);
    }
    assert_eq!(breaker.state(), Up);
}

#[test]
fn flapping_slows_the_probes_and_never_beyond_600_ms() {
    let start = Instant::now();
    let breaker = Breaker::new(Up, start);
    let longest = |breaker: &Breaker| {
        (0..2000).map(|random| breaker.probe_delay(random)).max().unwrap().as_millis()
    };
    breaker.open(at(start, 60_000)).unwrap();
    assert_eq!(longest(&breaker), 150);
    for (cycle, expected) in [(1, 300), (2, 600), (3, 600), (4, 600)] {
        breaker.close(at(start, 60_000 + cycle * 1000)).unwrap();
        breaker.open(at(start, 60_000 + cycle * 1000 + 500)).unwrap();
        assert_eq!(longest(&breaker), expected);
    }
    breaker.close(at(start, 70_000)).unwrap();
    breaker.open(at(start, 76_000)).unwrap();
    assert_eq!(longest(&breaker), 150);
}

#[derive(Clone, Debug)]
enum Event {
    Success,
    Failure,
    Late,
    Open,
    Close,
}

proptest! {
    /// Against a model without atomics: a counter and a flag.
    #[test]
    fn it_is_the_model(events in prop::collection::vec(
        prop_oneof![
            4 => Just(Event::Failure), 1 => Just(Event::Success), 1 => Just(Event::Late),
            1 => Just(Event::Open), 2 => Just(Event::Close),
        ], 0..200)) {
        let start = Instant::now();
        let breaker = Breaker::new(Up, start);
        let (mut up, mut failures, mut stale) = (true, 0, None);
        for event in events {
            let ticket = breaker.admit();
            prop_assert_eq!(ticket.is_some(), up);
            match (event, ticket) {
                (Event::Success, Some(ticket)) => {
                    breaker.succeeded(ticket);
                    failures = 0;
                }
                (Event::Failure, Some(ticket)) => {
                    failures += 1;
                    let opened = breaker.failed(ticket, start).is_some();
                    prop_assert_eq!(opened, failures == 5);
                    if opened {
                        (up, failures, stale) = (false, 0, Some(ticket));
                    }
                }
                (Event::Late, _) => {
                    if let Some(stale) = stale {
                        prop_assert_eq!(breaker.failed(stale, start), None);
                        breaker.succeeded(stale);
                    }
                }
                (Event::Open, _) => {
                    prop_assert_eq!(breaker.open(start).is_some(), up);
                    if let (true, Some(ticket)) = (up, ticket) {
                        stale = Some(ticket);
                    }
                    (up, failures) = (false, 0);
                }
                (Event::Close, _) => {
                    prop_assert_eq!(breaker.close(start).is_some(), !up);
                    failures = if up { failures } else { 0 };
                    up = true;
                }
                (Event::Success | Event::Failure, None) => {}
            }
        }
    }
}
