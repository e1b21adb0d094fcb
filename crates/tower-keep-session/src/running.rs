//! Work that is seen through although nobody waits for it any more.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{runtime::Handle, task::JoinHandle};

/// A piece of work. What is not done at once goes on in a task of its own, so that dropping this
/// does not end it.
pub(crate) struct Running<T>(Place<T>);

enum Place<T> {
    Here(Pin<Box<dyn Future<Output = T> + Send>>),
    There(JoinHandle<T>),
    Done,
}

impl<T: Send + 'static> Running<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Place::Here(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for Running<T> {
    /// `None` when its task was ended, with the runtime.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            match std::mem::replace(&mut self.0, Place::Done) {
                Place::Here(mut work) => {
                    if let Poll::Ready(done) = work.as_mut().poll(cx) {
                        return Poll::Ready(Some(done));
                    }
                    // Outside a runtime there is only the caller to do it.
                    let Ok(runtime) = Handle::try_current() else {
                        self.0 = Place::Here(work);
                        return Poll::Pending;
                    };
                    self.0 = Place::There(runtime.spawn(work));
                }
                Place::There(mut task) => {
                    return match Pin::new(&mut task).poll(cx) {
                        Poll::Ready(done) => Poll::Ready(done.ok()),
                        Poll::Pending => {
                            self.0 = Place::There(task);
                            Poll::Pending
                        }
                    };
                }
                Place::Done => return Poll::Ready(None),
            }
        }
    }
}

impl<T> fmt::Debug for Running<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::sync::Notify;

    use super::*;

    #[test]
    fn what_is_done_at_once_needs_no_runtime() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut running = Running::new(async { 7 });
        assert_eq!(Pin::new(&mut running).poll(&mut cx), Poll::Ready(Some(7)));
    }

    #[tokio::test]
    async fn what_was_begun_goes_on_when_it_is_dropped() {
        let (begin, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (wait, tell) = (Arc::clone(&begin), Arc::clone(&done));
        let running = Running::new(async move {
            wait.notified().await;
            tell.notify_one();
        });
        assert!(tokio::time::timeout(Duration::from_millis(20), running).await.is_err());
        begin.notify_one();
        tokio::time::timeout(Duration::from_secs(10), done.notified()).await.unwrap();
    }

    #[tokio::test]
    async fn what_waits_tells_what_it_found() {
        let running = Running::new(async {
            tokio::task::yield_now().await;
            7
        });
        assert_eq!(running.await, Some(7));
    }
}
