//! Bodies for the stacks: as strict as a body can be.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

/// A body that is sent while it is read. It has no `Default`, no `Clone` and no `Sync`.
pub(super) struct Live {
    frames: mpsc::UnboundedReceiver<Frame<Bytes>>,
    _not_sync: std::marker::PhantomData<std::cell::Cell<()>>,
}

/// Sends a [`Live`] body; it ends when this is dropped.
pub(super) struct Sender(mpsc::UnboundedSender<Frame<Bytes>>);

impl Live {
    pub(super) fn new() -> (Sender, Self) {
        let (sender, frames) = mpsc::unbounded_channel();
        (Sender(sender), Self { frames, _not_sync: std::marker::PhantomData })
    }
}

impl Sender {
    pub(super) fn data(&self, text: &'static str) {
        assert!(self.0.send(Frame::data(Bytes::from_static(text.as_bytes()))).is_ok());
    }

    pub(super) fn trailer(&self, name: &'static str, value: &'static str) {
        let mut trailers = HeaderMap::new();
        trailers.insert(name, value.parse().unwrap());
        assert!(self.0.send(Frame::trailers(trailers)).is_ok());
    }
}

impl Body for Live {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.frames.poll_recv(context).map(|frame| frame.map(Ok))
    }
}
