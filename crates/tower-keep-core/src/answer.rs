//! A store's answer: already here (memory) or on its way (network).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// The future that every store method returns.
///
/// A store that knows its answer at once (the embedded memory store) returns
/// [`Answer::ready`], which costs no allocation and no wait; a store behind a network returns
/// [`Answer::pending`]. Callers that can go on at once ask [`Answer::now`] first.
///
/// ```
/// use tower_keep_core::Answer;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// assert_eq!(Answer::ready(7).now().ok(), Some(7));
/// let later = Answer::pending(async { 7 });
/// assert_eq!(later.await, 7);
/// # }
/// ```
///
/// # Panics
///
/// As a future it must not be polled again once it has completed.
#[must_use = "an answer does nothing unless it is awaited or asked with `now`"]
pub struct Answer<T>(Repr<T>);

enum Repr<T> {
    Ready(Option<T>),
    Pending(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T> Answer<T> {
    /// An answer that is already here.
    pub const fn ready(value: T) -> Self {
        Self(Repr::Ready(Some(value)))
    }

    /// An answer that has to be waited for.
    pub fn pending(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Repr::Pending(Box::pin(future)))
    }

    /// The value if it is already here, else the answer back, to be awaited.
    ///
    /// # Errors
    ///
    /// The answer itself, when it is still on its way.
    pub fn now(self) -> Result<T, Self> {
        match self.0 {
            Repr::Ready(Some(value)) => Ok(value),
            other => Err(Self(other)),
        }
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Repr::Ready(_) => "Answer::Ready",
            Repr::Pending(_) => "Answer::Pending",
        })
    }
}

// No field is ever pinned structurally: the box is `Unpin`, the value is moved out whole.
impl<T> Unpin for Answer<T> {}

impl<T> Future for Answer<T> {
    type Output = T;

    #[expect(clippy::expect_used, reason = "polling a completed future is a caller's bug")]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            Repr::Ready(value) => Poll::Ready(value.take().expect("`Answer` polled twice")),
            Repr::Pending(future) => future.as_mut().poll(cx),
        }
    }
}
