use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tower_keep_core::{ResponseBody, TenantId};

use super::*;
use crate::{CachedResponses, Selection};

type Item = Result<Frame<Bytes>, &'static str>;
type Sender = mpsc::UnboundedSender<Item>;

/// A body that comes when it is sent.
struct Coming {
    frames: mpsc::UnboundedReceiver<Item>,
    length: Option<u64>,
}

impl Body for Coming {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.frames.poll_recv(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

type Stream = BoxCloneSyncService<Request<Full<Bytes>>, Response<ResponseBody<Coming>>, Infallible>;

/// A cache before a service whose bodies are sent by the test, one for each request.
struct Studio {
    service: Stream,
    responses: CachedResponses,
    bodies: mpsc::UnboundedReceiver<Sender>,
}

impl Studio {
    fn new(length: Option<u64>, max_body: usize) -> Self {
        Self::with(length, |builder| builder.max_body(max_body))
    }

    fn with(
        length: Option<u64>,
        change: impl FnOnce(ResponseCacheLayerBuilder) -> ResponseCacheLayerBuilder,
    ) -> Self {
        let layer = change(ResponseCacheLayer::builder().memory()).build().unwrap();
        let (begun, bodies) = mpsc::unbounded_channel();
        let inner = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
            let (sender, frames) = mpsc::unbounded_channel();
            begun.send(sender).unwrap();
            let answer = Response::builder().header("cache-control", "max-age=60");
            let answer = answer.body(Coming { frames, length }).unwrap();
            async move { Ok::<_, Infallible>(answer) }
        });
        let service = BoxCloneSyncService::new(layer.layer(inner));
        Self { service, responses: layer.responses(), bodies }
    }

    async fn get(&self) -> Response<ResponseBody<Coming>> {
        self.get_at("/a").await
    }

    async fn get_at(&self, path: &str) -> Response<ResponseBody<Coming>> {
        let request = Request::get(path).header("host", "x").body(Full::default()).unwrap();
        self.service.clone().oneshot(request).await.unwrap()
    }

    async fn sender(&mut self) -> Sender {
        self.bodies.recv().await.unwrap()
    }

    fn is_asked(&mut self) -> bool {
        self.bodies.try_recv().is_ok()
    }

    /// Waits until what was sent is stored.
    async fn is_stored(&mut self) -> bool {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        let answer = self.get().await;
        let hit = answer.headers()["cache-status"].to_str().unwrap().contains("; hit");
        while self.is_asked() {}
        hit
    }
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

async fn read(answer: Response<ResponseBody<Coming>>) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn the_first_byte_is_not_kept_back() {
    let mut studio = Studio::new(None, 100);
    let mut answer = studio.get().await;
    let sender = studio.sender().await;
    sender.send(Ok(data("one"))).unwrap();
    let frame = answer.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "one");
    sender.send(Ok(data("two"))).unwrap();
    drop(sender);
    assert_eq!(read(answer).await, "two");
    assert!(studio.is_stored().await);
    assert_eq!(read(studio.get().await).await, "onetwo");
}

#[tokio::test]
async fn a_client_that_does_not_read_or_is_gone_keeps_nobody_from_what_it_asked_for() {
    for gone in [true, false] {
        let mut studio = Studio::new(None, 100);
        let answer = studio.get().await;
        let sender = studio.sender().await;
        let unread = (!gone).then_some(answer);
        sender.send(Ok(data("all of it"))).unwrap();
        drop(sender);
        assert!(studio.is_stored().await, "gone: {gone}");
        drop(unread);
    }
}

#[tokio::test]
async fn a_body_over_the_bound_passes_unstored() {
    let mut studio = Studio::new(None, 5);
    let answer = studio.get().await;
    let sender = studio.sender().await;
    for part in ["abc", "def", "ghi"] {
        sender.send(Ok(data(part))).unwrap();
    }
    drop(sender);
    assert_eq!(read(answer).await, "abcdefghi");
    assert!(!studio.is_stored().await);
    // One that says so is not even recorded.
    let mut studio = Studio::new(Some(6), 5);
    let answer = studio.get().await;
    let status = answer.headers()["cache-status"].to_str().unwrap().to_owned();
    assert!(status.contains("detail=too-large"), "{status}");
    drop(studio.sender().await);
}

#[tokio::test]
async fn what_breaks_off_or_ends_with_trailers_is_not_stored() {
    let broken: [fn(&Sender); 3] = [
        |sender| sender.send(Err("cut off")).unwrap(),
        |sender| sender.send(Ok(Frame::trailers(HeaderMap::new()))).unwrap(),
        |_| {},
    ];
    for (index, end) in broken.into_iter().enumerate() {
        // The last is shorter than it says.
        let mut studio = Studio::new((index == 2).then_some(10), 100);
        let answer = studio.get().await;
        let sender = studio.sender().await;
        sender.send(Ok(data("part"))).unwrap();
        end(&sender);
        drop(sender);
        let read = answer.into_body().collect().await;
        assert_eq!(read.is_err(), index == 0);
        assert!(!studio.is_stored().await, "{index}");
    }
}

#[tokio::test]
async fn those_who_come_while_it_comes_read_along() {
    let mut studio = Studio::new(Some(6), 100);
    let first = studio.get().await;
    let sender = studio.sender().await;
    sender.send(Ok(data("abc"))).unwrap();
    let mut second = studio.get().await;
    let status = second.headers()["cache-status"].to_str().unwrap().to_owned();
    assert!(status.contains("collapsed"), "{status}");
    let frame = second.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "abc");
    sender.send(Ok(data("def"))).unwrap();
    drop(sender);
    assert_eq!((read(first).await, read(second).await), ("abcdef".into(), "def".into()));
    assert!(!studio.is_asked());
}

#[tokio::test(start_paused = true)]
async fn those_who_read_along_get_all_of_it_though_it_takes_too_long_to_be_stored() {
    for gone in [false, true] {
        let limit = Duration::from_secs(30);
        let mut studio = Studio::with(Some(6), |builder| builder.fill_timeout(limit));
        let first = studio.get().await;
        let sender = studio.sender().await;
        sender.send(Ok(data("abc"))).unwrap();
        let second = studio.get().await;
        assert!(!studio.is_asked());
        let first = (!gone).then_some(first);
        tokio::time::sleep(limit * 3).await;
        // Who comes now asks for itself.
        let third = studio.get().await;
        studio.sender().await.send(Ok(data("ABCDEF"))).unwrap();
        assert_eq!(read(third).await, "ABCDEF");
        sender.send(Ok(data("def"))).unwrap();
        drop(sender);
        assert_eq!(read(second).await, "abcdef");
        if let Some(first) = first {
            assert_eq!(read(first).await, "abcdef");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_and_nobody_reads_is_not_read_on() {
    let limit = Duration::from_secs(30);
    let mut studio = Studio::with(Some(6), |builder| builder.fill_timeout(limit));
    let first = studio.get().await;
    let sender = studio.sender().await;
    let second = studio.get().await;
    tokio::time::sleep(limit * 3).await;
    drop((first, second));
    tokio::time::timeout(limit * 2, sender.closed()).await.unwrap();
}

#[tokio::test]
async fn those_who_read_along_get_all_of_it_though_others_take_all_the_room() {
    let mut studio = Studio::with(Some(6), |builder| builder.max_in_flight(8));
    let first = studio.get().await;
    let sender = studio.sender().await;
    sender.send(Ok(data("abc"))).unwrap();
    let second = studio.get().await;
    // All the room that was left when it came.
    let mut other = studio.get_at("/b").await;
    let others = studio.sender().await;
    others.send(Ok(data("ABCDE"))).unwrap();
    let frame = other.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "ABCDE");
    sender.send(Ok(data("def"))).unwrap();
    drop(sender);
    assert_eq!((read(first).await, read(second).await), ("abcdef".into(), "abcdef".into()));
    others.send(Ok(data("F"))).unwrap();
    drop(others);
    assert_eq!(read(other).await, "F");
}

#[tokio::test]
async fn what_was_purged_while_it_comes_is_not_for_those_who_ask_later() {
    for soft in [false, true] {
        let mut studio = Studio::new(Some(6), 100);
        let first = studio.get().await;
        let sender = studio.sender().await;
        sender.send(Ok(data("abc"))).unwrap();
        let all = Selection::everything();
        let all = if soft { all.soft() } else { all };
        studio.responses.purge(&TenantId::NONE, &all).await.unwrap();
        let second = studio.get().await;
        let status = second.headers()["cache-status"].to_str().unwrap();
        assert!(!status.contains("collapsed"), "{status}");
        sender.send(Ok(data("def"))).unwrap();
        drop(sender);
        studio.sender().await.send(Ok(data("ABCDEF"))).unwrap();
        assert_eq!((read(first).await, read(second).await), ("abcdef".into(), "ABCDEF".into()));
    }
}

#[tokio::test]
async fn a_leader_that_goes_away_leaves_the_way_to_the_next() {
    let layer = ResponseCacheLayer::builder().memory().build().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let inner = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let number = next(&count);
        async move {
            if number == 1 {
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(answer(&[("cache-control", "max-age=60")], number))
        }
    });
    let service = BoxCloneSyncService::new(layer.layer(BoxCloneSyncService::new(inner)));
    let ask = |service: BoxCloneSyncService<_, _, _>| {
        let request = Request::get("/a").header("host", "x").body(Full::default()).unwrap();
        tokio::spawn(service.oneshot(request))
    };
    let leader = ask(service.clone());
    while calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let follower = ask(service.clone());
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    leader.abort();
    let got = follower.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!((got.as_ref(), calls.load(Ordering::SeqCst)), (&b"2"[..], 2));
}
