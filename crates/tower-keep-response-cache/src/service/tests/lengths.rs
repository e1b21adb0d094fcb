//! How long a body is said to be, and is.

use http_body::Body;
use tokio::sync::mpsc;
use tower_keep_core::ResponseBody;

use super::*;

/// A body whose frames come when the test sends them.
struct Coming {
    frames: mpsc::UnboundedReceiver<Bytes>,
    length: Option<u64>,
}

impl Body for Coming {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.frames.poll_recv(cx).map(|frame| frame.map(|it| Ok(http_body::Frame::data(it))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.length.map_or_else(http_body::SizeHint::default, http_body::SizeHint::with_exact)
    }
}

type Stream = BoxCloneSyncService<Request<Full<Bytes>>, Response<ResponseBody<Coming>>, Infallible>;
type Senders = mpsc::UnboundedReceiver<mpsc::UnboundedSender<Bytes>>;

/// A service whose bodies have this length, and say so by their hint, by a field, or not.
fn stream(hint: Option<u64>, field: Option<&'static str>) -> (Stream, Senders) {
    let layer = ResponseCacheLayer::builder().memory().build().unwrap();
    let (asked, senders) = mpsc::unbounded_channel();
    let inner = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let (sender, frames) = mpsc::unbounded_channel();
        asked.send(sender).unwrap();
        let mut answer = Response::builder().header("cache-control", "max-age=60");
        if let Some(field) = field {
            answer = answer.header("content-length", field);
        }
        let answer = answer.body(Coming { frames, length: hint }).unwrap();
        async move { Ok::<_, Infallible>(answer) }
    });
    (BoxCloneSyncService::new(layer.layer(inner)), senders)
}

async fn get(service: &Stream) -> Response<ResponseBody<Coming>> {
    let request = Request::get("/a").header("host", "x").body(Full::default()).unwrap();
    service.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn who_reads_along_is_told_how_long_it_is() {
    for field in [None, Some("6")] {
        let (service, mut senders) = stream(Some(6), field);
        let first = get(&service).await;
        let sender = senders.recv().await.unwrap();
        sender.send(Bytes::from_static(b"abc")).unwrap();
        let second = get(&service).await;
        let status = second.headers()["cache-status"].to_str().unwrap();
        assert!(status.contains("collapsed"), "{status}");
        let told = second.headers().get("content-length");
        assert_eq!(told.map(|it| it.to_str().unwrap()), Some("6"), "{field:?}");
        sender.send(Bytes::from_static(b"def")).unwrap();
        drop(sender);
        for answer in [first, second] {
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "abcdef");
        }
    }
}

#[tokio::test]
async fn what_is_not_as_long_as_its_field_says_is_not_stored() {
    for (field, stored) in
        [("6", true), ("5", false), ("7", false), ("0", false), ("x", false), ("6, 6", false)]
    {
        let (service, mut senders) = stream(None, Some(field));
        let first = get(&service).await;
        let sender = senders.recv().await.unwrap();
        sender.send(Bytes::from_static(b"abcdef")).unwrap();
        drop(sender);
        assert_eq!(first.into_body().collect().await.unwrap().to_bytes(), "abcdef");
        tokio::task::yield_now().await;
        let second = get(&service).await;
        let status = second.headers()["cache-status"].to_str().unwrap();
        assert_eq!(status.contains("; hit"), stored, "{field}: {status}");
    }
}
