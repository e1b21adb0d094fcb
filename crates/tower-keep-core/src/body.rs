//! The one response body of the workspace, and the one request body.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::BoxError;

mod budget;
mod record;
mod request;

use self::record::Shared;
pub use self::{
    budget::Budget,
    record::{Follow, Recorded, Recording, Seen},
    request::RequestBody,
};

/// Why a body broke off.
#[derive(Debug)]
pub enum BodyError {
    /// The inner service's body failed with this error.
    Inner(BoxError),
    /// The stream this body followed ended before it was complete.
    Interrupted,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inner(_) => "the response body failed",
            Self::Interrupted => "the response body was interrupted before it was complete",
        })
    }
}

impl StdError for BodyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Inner(error) => Some(&**error),
            Self::Interrupted => None,
        }
    }
}

/// Watches a response's body on its way out; dropped with it.
pub trait WatchBody: Send + Sync + 'static {
    /// Data is about to go by.
    fn data(&self, data: &Bytes);

    /// The body has come to its end. May be called more than once; not called for a body that
    /// fails or is dropped before.
    fn end(&self);
}

/// What watches a body, if anything does.
type Watch = Option<Box<dyn WatchBody>>;

/// Where the first frame of some bytes ends; `None` for at their end.
type Cut = fn(&[u8]) -> Option<usize>;

pin_project! {
    /// The response body of every layer: the inner service's, passed through frame by frame
    /// (trailers included), bytes of a layer's own, or a stream that is being recorded.
    ///
    /// Its [`Body::size_hint`] and [`Body::is_end_stream`] are those of what it holds.
    ///
    /// ```
    /// use http_body::Body;
    /// use tower_keep_core::ResponseBody;
    ///
    /// let own = ResponseBody::<http_body_util::Empty<bytes::Bytes>>::bytes("refused");
    /// assert_eq!(own.size_hint().exact(), Some(7));
    /// ```
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
        watch: Watch,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<B> {
        Inner { #[pin] body: B },
        // `None` once handed out, and from the start when there are no bytes.
        Own { bytes: Option<Bytes> },
        // What is left; `cut` says where its next frame ends.
        Cut { bytes: Bytes, cut: Cut },
        // Boxed: it is rare, and bodies are moved a lot.
        Shared { shared: Box<Shared<B>> },
    }
}

impl<B> ResponseBody<B> {
    /// The inner service's body.
    #[inline]
    pub const fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body }, watch: None }
    }

    /// The inner service's body, watched on its way.
    pub fn watched(body: B, watch: impl WatchBody) -> Self {
        Self { kind: Kind::Inner { body }, watch: Some(Box::new(watch)) }
    }

    /// The same body, watched on its way.
    #[must_use]
    pub fn and_watch(mut self, watch: impl WatchBody) -> Self {
        self.watch = Some(Box::new(watch));
        self
    }

    /// A layer's own bytes.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = Some(bytes.into()).filter(|bytes| !bytes.is_empty());
        Self { kind: Kind::Own { bytes }, watch: None }
    }

    /// A layer's own bytes in several frames, each of which ends where `cut` says for what is left;
    /// at the end of all where it says nothing.
    ///
    /// ```
    /// # use http_body_util::{BodyExt, Empty};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use tower_keep_core::ResponseBody;
    ///
    /// let mut body = ResponseBody::<Empty<bytes::Bytes>>::cut("one two", |rest| {
    ///     rest.iter().position(|byte| *byte == b' ').map(|space| space + 1)
    /// });
    /// let first = body.frame().await.unwrap().unwrap();
    /// assert_eq!(first.into_data().unwrap(), "one ");
    /// assert_eq!(body.collect().await.unwrap().to_bytes(), "two");
    /// # }
    /// ```
    pub fn cut(bytes: impl Into<Bytes>, cut: fn(&[u8]) -> Option<usize>) -> Self {
        Self { kind: Kind::Cut { bytes: bytes.into(), cut }, watch: None }
    }

    /// The inner service's body as it is recorded, up to `most` bytes: the recording reads it, as
    /// fast as it comes, and this body hands out what the recording has got. So a slow reader does
    /// not keep the recording waiting, nor does one that goes away.
    ///
    /// The recording must be run for the body to go on; see [`Recording::run`].
    pub fn recorded(body: B, most: usize) -> (Self, Recording<B>)
    where
        B: Body,
    {
        let (shared, recording) = record::begin(body, most);
        (Self { kind: Kind::Shared { shared: Box::new(shared) }, watch: None }, recording)
    }

    /// What somebody else's [`Recording`] gets. Ends with [`BodyError::Interrupted`] if that does
    /// not come to its end.
    pub fn follow(follow: &Follow) -> Self {
        Self { kind: Kind::Shared { shared: Box::new(Shared::follow(follow)) }, watch: None }
    }

    /// A body without a byte.
    pub const fn empty() -> Self {
        Self { kind: Kind::Own { bytes: None }, watch: None }
    }
}

impl<B: fmt::Debug> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// An empty body; some layers of tower-http answer with one (`Timeout`, `Cors`).
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.project();
        let frame = match this.kind.project() {
            KindProjection::Inner { body } => {
                let frame = ready!(body.poll_frame(cx));
                frame.map(|frame| frame.map_err(|error| BodyError::Inner(error.into())))
            }
            KindProjection::Cut { bytes, cut } => {
                let end = cut(bytes).filter(|end| (1..bytes.len()).contains(end));
                let frame = bytes.split_to(end.unwrap_or(bytes.len()));
                (!frame.is_empty()).then(|| Ok(Frame::data(frame)))
            }
            KindProjection::Own { bytes } => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            KindProjection::Shared { shared } => ready!(shared.poll(cx)),
        };
        if let Some(watch) = this.watch {
            match &frame {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        watch.data(data);
                    }
                }
                Some(Err(_)) => {}
                None => watch.end(),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let ended = match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Own { bytes } => bytes.is_none(),
            Kind::Cut { bytes, .. } => bytes.is_empty(),
            Kind::Shared { shared } => shared.is_at_end(),
        };
        // Whoever hears of the end here does not poll any further.
        if let (true, Some(watch)) = (ended, &self.watch) {
            watch.end();
        }
        ended
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Own { bytes } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::Cut { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
            Kind::Shared { shared } => shared.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests;
