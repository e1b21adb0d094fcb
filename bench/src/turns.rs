//! Cases that take turns within one run, in batches, timed by the thread's clock.

use std::{
    cell::RefCell,
    convert::Infallible,
    hint::black_box,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use axum::body::Body;
use http::{Request, Response};
use tower::Service;

use crate::{median, quantile, thread_nanos};

/// Something that is done over and over: once for each number.
pub struct Case<'a> {
    pub name: &'static str,
    /// Makes ready for so many operations; not timed.
    pub prepare: Box<dyn FnMut(usize) + 'a>,
    pub once: Box<dyn FnMut(usize) + 'a>,
}

impl<'a> Case<'a> {
    pub fn new(name: &'static str, once: impl FnMut(usize) + 'a) -> Self {
        Self { name, prepare: Box::new(|_| {}), once: Box::new(once) }
    }

    /// Sends `service` a request, which was made beforehand.
    pub fn sender<S, B>(
        name: &'static str,
        mut service: S,
        request: impl Fn() -> Request<Body> + 'a,
    ) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + 'a,
    {
        let stock = Rc::new(RefCell::new(Vec::new()));
        let filled = Rc::clone(&stock);
        let prepare = move |size| filled.borrow_mut().resize_with(size, &request);
        let once = move |_| {
            let request = stock.borrow_mut().pop().expect("filled before each batch");
            let mut context = Context::from_waker(Waker::noop());
            assert!(service.poll_ready(&mut context).is_ready());
            match pin!(service.call(request)).poll(&mut context) {
                Poll::Ready(answer) => assert_eq!(black_box(answer).unwrap().status(), 200),
                Poll::Pending => panic!("memory answers at once"),
            }
        };
        Self { name, prepare: Box::new(prepare), once: Box::new(once) }
    }
}

/// What was measured of a case.
pub struct Figure {
    pub name: &'static str,
    /// Per operation, one for each round.
    pub nanos: Vec<f64>,
    /// Per operation.
    pub allocations: i64,
}

impl Figure {
    /// How much more than `base`, for each round.
    pub fn over(&self, base: &Self) -> Vec<f64> {
        self.nanos.iter().zip(&base.nanos).map(|(own, base)| own - base).collect()
    }

    /// The ratio of the medians, of what comes on top of `base`.
    pub fn ratio(&self, peer: &Self, base: Option<&Self>) -> f64 {
        let nanos = |figure: &Self| match base {
            Some(base) => median(&figure.over(base)),
            None => median(&figure.nanos),
        };
        nanos(self) / nanos(peer)
    }

    pub fn spread(&self) -> String {
        let part = |part| quantile(&self.nanos, part);
        format!("{:.0} ({:.0}..{:.0})", part(0.5), part(0.1), part(0.9))
    }
}

/// Measures all cases in turns.
pub fn measure(cases: &mut [Case<'_>], rounds: usize, batch: usize, warm: usize) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut turn = 0;
    for case in &mut *cases {
        (case.prepare)(warm + 100);
        (0..warm).for_each(|turn| (case.once)(turn * 7_919 % warm));
        let counted = allocation_counter::measure(|| (0..100).for_each(|turn| (case.once)(turn)));
        let allocations = (counted.count_total as i64 + 50) / 100;
        figures.push(Figure { name: case.name, nanos: Vec::new(), allocations });
    }
    for round in 0..rounds {
        // Each round begins with another case, so that none always follows the same one.
        for place in 0..cases.len() {
            let index = (round + place) % cases.len();
            (cases[index].prepare)(batch);
            let before = thread_nanos();
            for offset in 0..batch {
                (cases[index].once)(turn + offset);
            }
            figures[index].nanos.push((thread_nanos() - before) / batch as f64);
        }
        turn += batch;
    }
    figures
}
