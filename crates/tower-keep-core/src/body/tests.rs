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
    fn data(&self, data: &Bytes) {
        self.0.lock().unwrap().push(data.len());
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
    assert_eq!(seen(vec![data("four"), data("ab"), trailers]).await, [4, 2, usize::MAX]);
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
    let error =
        ResponseBody::inner(Script(VecDeque::from([Err("cut off")]))).collect().await.unwrap_err();
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

#[tokio::test]
async fn bytes_are_cut_as_they_are_to_be() {
    for (text, frames) in [
        ("a,b,,c", vec!["a,", "b,", ",", "c"]),
        ("a,", vec!["a,"]),
        (",", vec![","]),
        ("abc", vec!["abc"]),
        ("", vec![]),
    ] {
        let comma = |rest: &[u8]| rest.iter().position(|byte| *byte == b',').map(|at| at + 1);
        let mut body = ResponseBody::<Script>::cut(text, comma);
        let mut left = text.len() as u64;
        for frame in frames {
            assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(left), false));
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), frame);
            left -= frame.len() as u64;
        }
        assert!(body.is_end_stream() && body.frame().await.is_none(), "{text}");
    }
    // Wherever it is told to be cut, no byte is lost.
    for cut in [|_: &[u8]| Some(0), |_: &[u8]| Some(99)] {
        let body = ResponseBody::<Script>::cut("abc", cut);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
    }
}
