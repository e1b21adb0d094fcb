//! The one response body of the workspace.

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
    /// So many bytes of data have gone by.
    fn data(&self, bytes: usize);

    /// The body has come to its end. May be called more than once; not called for a body that
    /// fails or is dropped before.
    fn end(&self);
}

/// What watches a body, if anything does.
type Watch = Option<Box<dyn WatchBody>>;

pin_project! {
    /// The response body of every layer: the inner service's, passed through frame by frame
    /// (trailers included), or a few bytes of a layer's own.
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
    }
}

impl<B> ResponseBody<B> {
    /// The inner service's body.
    pub const fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body }, watch: None }
    }

    /// The inner service's body, watched on its way.
    pub fn watched(body: B, watch: impl WatchBody) -> Self {
        Self { kind: Kind::Inner { body }, watch: Some(Box::new(watch)) }
    }

    /// A layer's own bytes.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = Some(bytes.into()).filter(|bytes| !bytes.is_empty());
        Self { kind: Kind::Own { bytes }, watch: None }
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
            KindProjection::Own { bytes } => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
        };
        if let Some(watch) = this.watch {
            match &frame {
                Some(Ok(frame)) => watch.data(frame.data_ref().map_or(0, Bytes::len)),
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
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http::HeaderMap;
    use http_body_util::BodyExt as _;

    use super::*;

    /// Hands out frames one by one, then ends or fails.
    struct Script(VecDeque<Result<Frame<Bytes>, &'static str>>);

    impl Body for Script {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            Poll::Ready(self.0.pop_front())
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(41)
        }
    }

    /// Notes what it is told.
    struct Notes(std::sync::Arc<std::sync::Mutex<Vec<usize>>>);

    impl WatchBody for Notes {
        fn data(&self, bytes: usize) {
            self.0.lock().unwrap().push(bytes);
        }

        fn end(&self) {
            self.0.lock().unwrap().push(usize::MAX);
        }
    }

    #[tokio::test]
    async fn a_watch_sees_the_bytes_and_the_end() {
        let seen = |frames: Vec<Result<Frame<Bytes>, &'static str>>| async {
            let notes = std::sync::Arc::default();
            let watch = Notes(std::sync::Arc::clone(&notes));
            let _ = ResponseBody::watched(Script(frames.into()), watch).collect().await;
            notes.lock().unwrap().clone()
        };
        let data = |text: &'static str| Ok(Frame::data(text.into()));
        assert_eq!(seen(vec![]).await, [usize::MAX]);
        let trailers = Ok(Frame::trailers(HeaderMap::new()));
        assert_eq!(seen(vec![data("four"), data("ab"), trailers]).await, [4, 2, 0, usize::MAX]);
        assert_eq!(seen(vec![data("four"), Err("broken")]).await, [4]);
        let notes = std::sync::Arc::default();
        let watch = Notes(std::sync::Arc::clone(&notes));
        assert!(ResponseBody::watched(Script(VecDeque::new()), watch).is_end_stream());
        assert_eq!(*notes.lock().unwrap(), [usize::MAX], "an empty body is never polled");
    }

    #[tokio::test]
    async fn an_inner_body_passes_through_with_its_trailers_and_hints() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let inner = Script(VecDeque::from([
            Ok(Frame::data(Bytes::from_static(b"data"))),
            Ok(Frame::trailers(trailers.clone())),
        ]));
        let body = ResponseBody::inner(inner);
        assert_eq!(body.size_hint().exact(), Some(41));
        assert!(!body.is_end_stream());
        let whole = body.collect().await.unwrap();
        assert_eq!(whole.trailers(), Some(&trailers));
        assert_eq!(whole.to_bytes(), "data");
    }

    #[tokio::test]
    async fn an_inner_error_keeps_its_cause() {
        let error = ResponseBody::inner(Script(VecDeque::from([Err("cut off")])))
            .collect()
            .await
            .unwrap_err();
        assert_eq!(error.source().unwrap().to_string(), "cut off");
    }

    #[tokio::test]
    async fn own_bytes_are_handed_out_once_and_no_bytes_end_the_stream() {
        let body = ResponseBody::<Script>::bytes("refused");
        assert_eq!(body.size_hint().exact(), Some(7));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "refused");
        for body in [ResponseBody::<Script>::bytes(""), ResponseBody::empty()] {
            assert!(body.is_end_stream());
            assert_eq!(body.size_hint().exact(), Some(0));
            assert_eq!(body.collect().await.unwrap().to_bytes(), "");
        }
    }
}
