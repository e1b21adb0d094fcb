//! Suites of behaviours that every store of a kind has.

use std::pin::Pin;

use tokio::task::{LocalSet, spawn_local};

/// A behaviour, which fails by a panic.
pub(crate) type Behaviour<B> = fn(B) -> Pin<Box<dyn Future<Output = ()>>>;

/// Names the behaviours of a suite for stores of this kind.
macro_rules! suite {
    ($backend:ty: $($module:ident :: $behaviour:ident),* $(,)?) => {
        const SUITE: &[(&str, suite::Behaviour<$backend>)] =
            &[$((stringify!($behaviour), |backend| Box::pin($module::$behaviour(backend)))),*];
    };
}

pub(crate) use suite;

/// Runs a whole suite at once, each behaviour on what `backend` makes for it, and says which have
/// failed.
pub(crate) async fn run<B: 'static>(
    suite: &[(&'static str, Behaviour<B>)],
    backend: impl Fn(&'static str) -> B,
) {
    let local = LocalSet::new();
    let start = |(name, behaviour): &(&'static str, Behaviour<B>)| {
        (*name, local.spawn_local(behaviour(backend(name))))
    };
    let running: Vec<_> = suite.iter().map(start).collect();
    let join = async {
        let mut failed = Vec::new();
        for (name, behaviour) in running {
            if behaviour.await.is_err() {
                failed.push(name);
            }
        }
        failed
    };
    let failed = local.run_until(async { spawn_local(join).await.unwrap() }).await;
    assert!(failed.is_empty(), "these failed, their reasons are above: {failed:#?}");
}
