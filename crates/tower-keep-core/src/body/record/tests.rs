use std::{collections::VecDeque, task::Poll};

use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use super::*;
use crate::ResponseBody;

type Item = Result<Frame<Bytes>, &'static str>;

/// A body that comes when it is told to.
struct Coming {
    frames: mpsc::UnboundedReceiver<Item>,
    hint: SizeHint,
}

impl Body for Coming {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.frames.poll_recv(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

fn coming(hint: SizeHint) -> (mpsc::UnboundedSender<Item>, Coming) {
    let (sender, frames) = mpsc::unbounded_channel();
    (sender, Coming { frames, hint })
}

#[expect(clippy::unnecessary_wraps, reason = "as the channel takes it")]
fn data(text: &'static str) -> Item {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

async fn all(body: ResponseBody<Coming>) -> Result<Bytes, BodyError> {
    body.collect().await.map(http_body_util::Collected::to_bytes)
}

#[tokio::test]
async fn its_client_and_followers_get_what_is_recorded() {
    let (sender, body) = coming(SizeHint::with_exact(6));
    let (client, recording) = ResponseBody::recorded(body, 100);
    let follow = recording.follow();
    let (early, hint) = (ResponseBody::follow(&follow), client.size_hint());
    assert_eq!(hint.exact(), Some(6));
    let run = tokio::spawn(recording.run());
    sender.send(data("one")).unwrap();
    let early = tokio::spawn(all(early));
    sender.send(data("two")).unwrap();
    drop(sender);
    assert_eq!(run.await.unwrap(), Recorded::Whole(Bytes::from_static(b"onetwo")));
    assert_eq!(all(client).await.unwrap(), "onetwo");
    assert_eq!(early.await.unwrap().unwrap(), "onetwo");
    let late = ResponseBody::follow(&follow);
    assert_eq!(late.size_hint().exact(), Some(6));
    assert_eq!(all(late).await.unwrap(), "onetwo");
}

#[tokio::test]
async fn a_frame_is_handed_out_as_soon_as_it_is_there() {
    let (sender, body) = coming(SizeHint::new());
    let (mut client, recording) = ResponseBody::recorded(body, 100);
    tokio::spawn(recording.run());
    for word in ["first", "second"] {
        sender.send(data(word)).unwrap();
        assert_eq!(client.frame().await.unwrap().unwrap().into_data().unwrap(), word);
        assert!(!client.is_end_stream());
    }
    drop(sender);
    assert!(client.frame().await.is_none());
    assert!(client.is_end_stream());
}

#[tokio::test]
async fn a_client_that_is_gone_or_slow_does_not_keep_it_waiting() {
    for gone in [true, false] {
        let (sender, body) = coming(SizeHint::new());
        let (client, recording) = ResponseBody::recorded(body, 100);
        let slow = (!gone).then_some(client);
        sender.send(data("all of it")).unwrap();
        drop(sender);
        assert_eq!(recording.run().await, Recorded::Whole(Bytes::from_static(b"all of it")));
        if let Some(slow) = slow {
            assert_eq!(all(slow).await.unwrap(), "all of it");
        }
    }
}

#[tokio::test]
async fn what_is_over_the_bound_is_left_to_its_client() {
    let (sender, body) = coming(SizeHint::new());
    let (client, recording) = ResponseBody::recorded(body, 5);
    let follower = ResponseBody::follow(&recording.follow());
    sender.send(data("abc")).unwrap();
    sender.send(data("def")).unwrap();
    assert_eq!(recording.run().await, Recorded::TooLarge);
    sender.send(data("ghi")).unwrap();
    drop(sender);
    assert_eq!(all(client).await.unwrap(), "abcdefghi");
    assert!(matches!(all(follower).await, Err(BodyError::Interrupted)));
}

#[test]
fn it_is_followed_as_long_as_anybody_may_read_along() {
    for gone in [false, true] {
        let (client, recording) = ResponseBody::recorded(coming(SizeHint::new()).1, 5);
        let client = (!gone).then_some(client);
        assert!(!recording.is_followed());
        let follow = recording.follow();
        assert!(recording.is_followed());
        let reader = ResponseBody::<Coming>::follow(&follow);
        drop(follow);
        assert!(recording.is_followed());
        drop(reader);
        assert!(!recording.is_followed());
        drop(client);
    }
}

#[tokio::test]
async fn what_is_reserved_is_recorded_though_others_take_all_the_rest() {
    let budget = Budget::new(6);
    let (sender, body) = coming(SizeHint::with_exact(6));
    let (client, mut recording) = ResponseBody::recorded(body, 100);
    recording.within(&budget);
    assert!(recording.reserve(6));
    let (_other, mut crowded) = ResponseBody::recorded(coming(SizeHint::new()).1, 100);
    crowded.within(&budget);
    assert!(!crowded.reserve(1));
    sender.send(data("abc")).unwrap();
    sender.send(data("def")).unwrap();
    drop(sender);
    assert_eq!(recording.run().await, Recorded::Whole(Bytes::from_static(b"abcdef")));
    assert_eq!(all(client).await.unwrap(), "abcdef");
}

#[tokio::test]
async fn a_body_that_fails_fails_for_its_client_with_the_cause() {
    let (sender, body) = coming(SizeHint::new());
    let (client, recording) = ResponseBody::recorded(body, 5);
    let follower = ResponseBody::follow(&recording.follow());
    sender.send(data("abc")).unwrap();
    sender.send(Err("cut off")).unwrap();
    assert_eq!(recording.run().await, Recorded::Broken);
    let Err(BodyError::Inner(cause)) = all(client).await else { panic!("it ended well") };
    assert_eq!(cause.to_string(), "cut off");
    assert!(matches!(all(follower).await, Err(BodyError::Interrupted)));
}

#[tokio::test]
async fn a_recording_that_is_dropped_leaves_its_client_the_rest() {
    let (sender, body) = coming(SizeHint::with_exact(6));
    let (client, mut recording) = ResponseBody::recorded(body, 100);
    let follower = ResponseBody::follow(&recording.follow());
    sender.send(data("abc")).unwrap();
    let polled = std::future::poll_fn(|cx| Poll::Ready(recording.poll_run(cx))).await;
    assert!(polled.is_pending());
    drop(recording);
    sender.send(data("def")).unwrap();
    drop(sender);
    assert_eq!(all(client).await.unwrap(), "abcdef");
    assert!(matches!(all(follower).await, Err(BodyError::Interrupted)));
}

#[tokio::test]
async fn shorter_or_longer_than_was_said_is_broken() {
    for text in ["short", "rather long"] {
        let (sender, body) = coming(SizeHint::with_exact(7));
        let (_client, recording) = ResponseBody::recorded(body, 100);
        sender.send(data(text)).unwrap();
        drop(sender);
        assert_eq!(recording.run().await, Recorded::Broken, "{text}");
    }
}

#[tokio::test]
async fn trailers_are_passed_on() {
    let (sender, body) = coming(SizeHint::new());
    let (client, recording) = ResponseBody::recorded(body, 100);
    let mut trailers = HeaderMap::new();
    trailers.insert("x", "y".parse().unwrap());
    sender.send(data("abc")).unwrap();
    sender.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
    assert_eq!(recording.run().await, Recorded::Trailers);
    let read = client.collect().await.unwrap();
    assert_eq!(read.trailers(), Some(&trailers));
    assert_eq!(read.to_bytes(), "abc");
}

/// All there at once.
struct Script(VecDeque<Bytes>);

impl Body for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Item>> {
        Poll::Ready(self.0.pop_front().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

#[tokio::test]
async fn what_is_there_at_once_is_recorded_at_once() {
    for frames in [vec![], vec!["abc"], vec!["abc", "", "def"]] {
        let whole = frames.concat();
        let script = Script(frames.into_iter().map(Bytes::from).collect());
        let (client, mut recording) = ResponseBody::recorded(script, 6);
        let polled = std::future::poll_fn(|cx| Poll::Ready(recording.poll_run(cx))).await;
        assert_eq!(polled, Poll::Ready(Recorded::Whole(whole.clone().into())));
        assert_eq!(client.collect().await.unwrap().to_bytes(), whole);
    }
}

/// What was seen, as text.
type Notes = Arc<Mutex<Vec<String>>>;

fn note(notes: &Notes) -> impl FnMut(Seen<'_>) + Send + 'static {
    let notes = Arc::clone(notes);
    move |seen| {
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        notes.lock().unwrap().push(match seen {
            Seen::Data(data) => text(data),
            Seen::Last(data) => format!("last {}", text(data)),
            Seen::Trailers => "trailers".to_owned(),
            Seen::BrokenOff => "broken off".to_owned(),
        });
    }
}

#[tokio::test]
async fn a_watch_sees_each_frame_and_the_end_before_anybody() {
    for (end, expected) in [
        (None, ["one", "two", "last "]),
        (Some(Ok(Frame::trailers(HeaderMap::new()))), ["one", "two", "trailers"]),
        (Some(Err("broken")), ["one", "two", "broken off"]),
    ] {
        let (sender, body) = coming(SizeHint::default());
        let (client, mut recording) = ResponseBody::recorded(body, 100);
        let (notes, follow) = (Notes::default(), recording.follow());
        let (mut note, before) = (note(&notes), Arc::clone(&notes));
        recording.watch(move |seen| {
            let stream = lock(&follow.0);
            assert_eq!(stream.frames.len(), before.lock().unwrap().len());
            assert!(stream.end.is_none());
            drop(stream);
            note(seen);
        });
        for item in [data("one"), data("two")].into_iter().chain(end) {
            sender.send(item).unwrap();
        }
        drop(sender);
        recording.run().await;
        drop(all(client).await);
        assert_eq!(*notes.lock().unwrap(), expected);
    }
    for (most, expected) in [(3, "last all"), (2, "last all")] {
        let body = http_body_util::Full::<Bytes>::from("all");
        let (_client, mut recording) = ResponseBody::recorded(body, most);
        let notes = Notes::default();
        recording.watch(note(&notes));
        recording.run().await;
        assert_eq!(*notes.lock().unwrap(), [expected]);
    }
    // Shorter than it was said to be.
    let (sender, body) = coming(SizeHint::with_exact(4));
    let (_client, mut recording) = ResponseBody::recorded(body, 100);
    let notes = Notes::default();
    recording.watch(note(&notes));
    sender.send(data("one")).unwrap();
    drop(sender);
    recording.run().await;
    assert_eq!(*notes.lock().unwrap(), ["one", "broken off"]);
    // Too long, and given up.
    for most in [2, 100] {
        let (sender, body) = coming(SizeHint::default());
        let (_client, mut recording) = ResponseBody::recorded(body, most);
        let notes = Notes::default();
        recording.watch(note(&notes));
        sender.send(data("one")).unwrap();
        let polled = std::future::poll_fn(|cx| Poll::Ready(recording.poll_run(cx))).await;
        assert_eq!(polled.is_ready(), most == 2);
        drop(recording);
        assert_eq!(*notes.lock().unwrap(), ["one", "broken off"]);
    }
}
