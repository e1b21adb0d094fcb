//! Tower's clone-and-replace rule, in one place.

use std::mem;

/// Takes the service that `poll_ready` vouched for, and leaves a clone in its place.
///
/// `Service::call` may only be made on the very value that was polled ready, so a `call` that
/// has to wait before it calls its inner service carries this one away. A refused call drops it,
/// which gives back what readiness had reserved (a concurrency permit, a buffer's place).
///
/// ```
/// # use tower_keep_core::take_ready;
/// let mut inner = tower::service_fn(|(): ()| async { Ok::<_, std::convert::Infallible>(()) });
/// let ready = take_ready(&mut inner);
/// # let _ = (ready, inner);
/// ```
pub fn take_ready<S: Clone>(inner: &mut S) -> S {
    let clone = inner.clone();
    mem::replace(inner, clone)
}
