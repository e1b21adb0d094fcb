//! The request body that layers hand on which make requests of their own.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A request's body on its way to the inner service: the client's own, passed through frame by
    /// frame; bytes of a layer's own; none; or bytes that a layer has read already, and then the
    /// rest of the client's.
    ///
    /// ```
    /// use http_body::Body;
    /// use tower_keep_core::RequestBody;
    ///
    /// let read = RequestBody::prefixed("{", http_body_util::Full::<bytes::Bytes>::from("}"));
    /// assert_eq!(read.size_hint().exact(), Some(2));
    /// assert!(RequestBody::<http_body_util::Full<bytes::Bytes>>::empty().is_end_stream());
    /// ```
    #[derive(Debug)]
    pub struct RequestBody<B> {
        // Handed out first; `None` once it is, and where there is none.
        prefix: Option<Bytes>,
        #[pin]
        rest: Option<B>,
    }
}

impl<B> RequestBody<B> {
    /// The client's body.
    #[inline]
    pub const fn inner(body: B) -> Self {
        Self { prefix: None, rest: Some(body) }
    }

    /// Bytes of a layer's own.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self { prefix: some(bytes.into()), rest: None }
    }

    /// A body without a byte.
    pub const fn empty() -> Self {
        Self { prefix: None, rest: None }
    }

    /// Bytes that were read already, and what comes after them.
    pub fn prefixed(read: impl Into<Bytes>, rest: B) -> Self {
        Self { prefix: some(read.into()), rest: Some(rest) }
    }
}

fn some(bytes: Bytes) -> Option<Bytes> {
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

/// Without a byte.
impl<B> Default for RequestBody<B> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if let Some(bytes) = this.prefix.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match this.rest.as_pin_mut() {
            Some(rest) => rest.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.prefix.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let prefix = self.prefix.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if let Some(upper) = hint.upper().and_then(|upper| upper.checked_add(prefix)) {
            hint.set_upper(upper);
        }
        hint.set_lower(hint.lower().saturating_add(prefix).min(hint.upper().unwrap_or(u64::MAX)));
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    async fn read(body: RequestBody<Full<Bytes>>) -> Bytes {
        let exact = body.size_hint().exact();
        let ends = body.is_end_stream();
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(exact, Some(bytes.len() as u64));
        assert_eq!(ends, bytes.is_empty());
        bytes
    }

    #[tokio::test]
    async fn every_kind_is_as_long_as_it_says() {
        assert_eq!(read(RequestBody::inner(Full::from("abc"))).await, "abc");
        assert_eq!(read(RequestBody::inner(Full::from(""))).await, "");
        assert_eq!(read(RequestBody::bytes("own")).await, "own");
        assert_eq!(read(RequestBody::empty()).await, "");
        assert_eq!(read(RequestBody::prefixed("ab", Full::from("c"))).await, "abc");
        assert_eq!(read(RequestBody::prefixed("", Full::from("c"))).await, "c");
        assert_eq!(read(RequestBody::prefixed("ab", Full::from(""))).await, "ab");
    }
}
