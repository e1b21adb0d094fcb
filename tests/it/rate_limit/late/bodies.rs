//! Bytes of an answer's body.

use http::{Method, Request};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_keep_core::CostUnit;

use super::{ALGORITHMS, ESTIMATE, Parts, counted, rule, service, used};
use crate::rate_limit::{Body, clock, get, on};

const BYTES: CostUnit = CostUnit::BYTES;

#[tokio::test]
async fn a_body_that_is_read_to_its_end_is_charged_its_bytes() {
    for algorithm in ALGORITHMS {
        for (body, bytes) in [
            (Parts::some(), 24),
            (Parts { tells_its_end: false, ..Parts::some() }, 24),
            (Parts::of([Ok("abc")]), 3),
            (Parts::of([Ok("")]), 0),
            (Parts::of([]), 0),
            (Parts { tells_its_end: false, ..Parts::of([]) }, 0),
        ] {
            let charged = counted(rule(algorithm, BYTES), async |layer| {
                let service = service(layer, body.clone(), |_| ());
                let answer = service.oneshot(get("/")).await.unwrap();
                answer.into_body().collect().await.unwrap();
            });
            assert_eq!(charged.await, bytes, "{algorithm:?} {body:?}");
        }
    }
}

/// A server that is told the end does not poll any further.
#[tokio::test]
async fn a_body_that_told_its_end_is_charged_without_being_polled_again() {
    use http_body::Body as _;

    for (body, bytes) in [(Parts::of([]), 0), (Parts::of([Ok("abc")]), 3)] {
        let layer = on(&clock()).rule(rule(ALGORITHMS[0], BYTES)).expose_decision(true);
        let layer = layer.build().unwrap();
        let answer = service(&layer, body, |_| ()).oneshot(get("/")).await.unwrap();
        let mut body = answer.into_body();
        while !body.is_end_stream() {
            assert!(body.frame().await.unwrap().is_ok());
        }
        assert_eq!(used(&layer).await, bytes, "settled while the body is still held");
        drop(body);
        assert_eq!(used(&layer).await, bytes, "and settled once");
    }
}

#[tokio::test]
async fn a_body_that_is_dropped_is_charged_the_greater_of_estimate_and_observed() {
    for algorithm in ALGORITHMS {
        // Parts of 1, 20 and 3 bytes: the first is below the estimate.
        for (frames, charged) in [(0, ESTIMATE), (1, ESTIMATE), (2, 21), (3, 24)] {
            let body = Parts { tells_its_end: false, ..Parts::some() };
            let counted = counted(rule(algorithm, BYTES), async |layer| {
                let answer = service(layer, body.clone(), |_| ()).oneshot(get("/")).await.unwrap();
                let mut body = answer.into_body();
                for _ in 0..frames {
                    body.frame().await.unwrap().unwrap();
                }
            });
            assert_eq!(counted.await, charged, "{algorithm:?}, dropped after {frames} frames");
        }
    }
}

#[tokio::test]
async fn a_body_that_fails_was_begun_and_is_paid() {
    for (parts, charged) in [
        (Parts::of([Err("broken")]), ESTIMATE),
        (Parts::of([Ok("a"), Err("broken")]), ESTIMATE),
        (Parts::of([Ok("bcdefghijklmnopqrstu"), Err("broken")]), 20),
    ] {
        let counted = counted(rule(ALGORITHMS[0], BYTES), async |layer| {
            let answer = service(layer, parts.clone(), |_| ()).oneshot(get("/")).await.unwrap();
            assert!(answer.into_body().collect().await.is_err());
        });
        assert_eq!(counted.await, charged, "{parts:?}");
    }
}

#[tokio::test]
async fn the_answer_to_head_is_no_body_whoever_drops_it() {
    for (read, parts) in [(false, Parts::some()), (true, Parts::some()), (true, Parts::of([]))] {
        let counted = counted(rule(ALGORITHMS[0], BYTES), async |layer| {
            let head = Request::builder().method(Method::HEAD).uri("/");
            let head = head.body(Body::default()).unwrap();
            let answer = service(layer, parts.clone(), |_| ()).oneshot(head).await.unwrap();
            if read {
                answer.into_body().collect().await.unwrap();
            }
        });
        assert_eq!(counted.await, 0, "read: {read}");
    }
}

#[tokio::test]
async fn several_answers_at_once_are_settled_apart() {
    for algorithm in ALGORITHMS {
        let counted = counted(rule(algorithm, BYTES), async |layer| {
            let mut bodies = Vec::new();
            for text in ["a", "abcdefghijklmnopqrstuvwxyz", "abc"] {
                let service = service(layer, Parts::of([Ok(text)]), |_| ());
                bodies.push(service.oneshot(get("/")).await.unwrap().into_body());
            }
            // Ended in another order than begun, and one dropped.
            bodies.pop();
            for body in bodies.into_iter().rev() {
                body.collect().await.unwrap();
            }
        });
        assert_eq!(counted.await, 1 + 26 + ESTIMATE, "{algorithm:?}");
    }
}
