//! A request's body on its way to the upstream.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;

/// How far a body has come.
#[derive(Debug)]
pub(crate) struct Progress {
    begun: Instant,
    /// Milliseconds from then to the last sign of life.
    moved: AtomicU64,
    /// Whether the next piece is the client's to send.
    waits: AtomicBool,
}

impl Progress {
    fn new() -> Self {
        Self { begun: Instant::now(), moved: AtomicU64::new(0), waits: AtomicBool::new(false) }
    }

    fn note(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
        if !waits {
            let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.moved.store(since, Ordering::Relaxed);
        }
    }

    /// When something last moved.
    pub(crate) fn last(&self) -> Instant {
        self.begun + Duration::from_millis(self.moved.load(Ordering::Relaxed))
    }

    /// Whether it is the client that everybody waits for.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }
}

pin_project! {
    /// The body of a request to the upstream: the client's, or none.
    #[derive(Debug)]
    pub(crate) struct Sending<B> {
        #[pin]
        body: Option<B>,
        progress: Option<Arc<Progress>>,
    }
}

impl<B: Body> Sending<B> {
    /// No body.
    pub(crate) const fn nothing() -> Self {
        Self { body: None, progress: None }
    }

    /// The client's body, and how far it has come.
    pub(crate) fn client(body: B) -> (Self, Option<Arc<Progress>>) {
        if body.is_end_stream() {
            return (Self::nothing(), None);
        }
        let progress = Arc::new(Progress::new());
        (Self { body: Some(body), progress: Some(Arc::clone(&progress)) }, Some(progress))
    }

    pub(crate) const fn is_nothing(&self) -> bool {
        self.body.is_none()
    }
}

impl<B: Body<Data = Bytes>> Body for Sending<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else { return Poll::Ready(None) };
        let frame = body.poll_frame(cx);
        if let Some(progress) = this.progress {
            progress.note(frame.is_pending());
        }
        Poll::Ready(ready!(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
