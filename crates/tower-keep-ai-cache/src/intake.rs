//! A request's body, read as far as it may be.

use std::{future::poll_fn, pin::Pin};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use tower_keep_core::RequestBody;

/// What came of reading.
pub(crate) enum Intake<B> {
    /// All of it.
    Whole(Bytes),
    /// It is longer than is read: what was read, and the rest.
    TooLarge(RequestBody<B>),
    /// It broke off.
    Broken,
}

/// Reads a body of at most so many bytes. What comes after the data, trailers, has no part in what
/// these APIs are asked, and is not sent on (RFC 9110 §6.5.1).
pub(crate) async fn read<B>(mut body: B, most: usize) -> Intake<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    loop {
        let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await else { break };
        let Ok(frame) = frame else { return Intake::Broken };
        let Ok(data) = frame.into_data() else { continue };
        if more.is_empty() && first.is_empty() {
            // A single frame is not copied.
            first = data;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&first);
            }
            more.extend_from_slice(&data);
        }
        if more.len().max(first.len()) > most {
            let read = if more.is_empty() { first } else { more.freeze() };
            return Intake::TooLarge(RequestBody::prefixed(read, body));
        }
    }
    Intake::Whole(if more.is_empty() { first } else { more.freeze() })
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        task::{Context, Poll},
    };

    use http::HeaderMap;
    use http_body::Frame;
    use http_body_util::BodyExt as _;

    use super::*;

    type Item = Result<Frame<Bytes>, &'static str>;

    #[derive(Debug)]
    struct Frames(VecDeque<Item>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Item>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    async fn take(parts: &[&'static str], most: usize, end: Option<Item>) -> Intake<Frames> {
        let data = |text: &&'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));
        read(Frames(parts.iter().map(data).chain(end).collect()), most).await
    }

    #[tokio::test]
    async fn what_is_short_is_read_whole() {
        for (parts, expected) in [
            (&[][..], ""),
            (&["abc"], "abc"),
            (&["", "a"], "a"),
            (&["a", "", "bc", "def"], "abcdef"),
        ] {
            let Intake::Whole(read) = take(parts, 6, None).await else { panic!("{parts:?}") };
            assert_eq!(read, expected);
        }
        let trailers = Some(Ok(Frame::trailers(HeaderMap::new())));
        assert!(matches!(take(&["abc"], 6, trailers).await, Intake::Whole(read) if read == "abc"));
    }

    #[tokio::test]
    async fn of_what_is_long_nothing_is_lost() {
        for parts in [&["abc"][..], &["ab", "c"], &["a", "b", "cdef"], &["ab", "cd", "ef"]] {
            let Intake::TooLarge(body) = take(parts, 2, None).await else { panic!("{parts:?}") };
            assert_eq!(body.collect().await.unwrap().to_bytes(), parts.concat());
        }
    }

    #[tokio::test]
    async fn what_breaks_off_is_not_taken_for_whole() {
        assert!(matches!(take(&["{}"], 6, Some(Err("gone"))).await, Intake::Broken));
    }
}
