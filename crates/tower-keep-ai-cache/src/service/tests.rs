//! The layer around an upstream that the tests write the answers of.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::{mpsc, oneshot};
use tower::{ServiceExt as _, service_fn, util::BoxCloneService};
use tower_keep_core::{
    Principal, RequestBody, ResponseBody, TenantId,
    time::{Clock, UnixMillis},
};

use tower_layer::Layer as _;

use crate::{AiCacheLayer, AiCacheLayerBuilder, AiCacheOutcome, AiCacheStatus, BypassReason};

mod batches;
mod control;
mod costs;
mod flights;
mod hits;
mod streams;

/// A body that comes when it is told to.
#[derive(Debug)]
pub(super) struct Coming(mpsc::UnboundedReceiver<Item>, SizeHint);

type Item = Result<Bytes, &'static str>;

impl Body for Coming {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.0.poll_recv(cx).map(|item| item.map(|data| data.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.1
    }
}

/// What the upstream was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

type Reply = Pin<Box<dyn Future<Output = Result<Response<Coming>, &'static str>> + Send>>;

/// An upstream that answers as it is told, in the order it is told.
#[derive(Clone, Default)]
pub(super) struct Upstream {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Upstream {
    pub(super) fn reply(
        &self,
        reply: impl Future<Output = Result<Response<Coming>, &'static str>> + Send + 'static,
    ) {
        self.replies.lock().unwrap().push_back(Box::pin(reply));
    }

    /// The next answer, all of it at once.
    pub(super) fn answers(&self, status: u16, content_type: &str, body: &str) {
        let response = response(status, content_type, &[body]);
        self.reply(async move { Ok(response) });
    }

    pub(super) fn json(&self, body: &str) {
        self.answers(200, "application/json", body);
    }

    /// The next answer, when and as it comes.
    pub(super) fn streams(&self) -> mpsc::UnboundedSender<Item> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let response = Response::builder().header("content-type", "text/event-stream");
        let response = response.body(Coming(receiver, SizeHint::default())).unwrap();
        self.reply(async move { Ok(response) });
        sender
    }

    /// The next answer waits until it is let go.
    pub(super) fn held(&self, body: &'static str) -> oneshot::Sender<()> {
        let (go, gone) = oneshot::channel();
        self.reply(async move {
            let _ = gone.await;
            Ok(response(200, "application/json", &[body]))
        });
        go
    }

    /// Takes back the next answer.
    pub(super) fn drop_reply(&self) {
        drop(self.replies.lock().unwrap().pop_front());
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn calls(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// Waits until it was asked so often.
    pub(super) async fn is_asked(&self, calls: usize) {
        while self.calls() < calls {
            tokio::task::yield_now().await;
        }
    }

    fn service(
        &self,
    ) -> BoxCloneService<Request<RequestBody<Full<Bytes>>>, Response<Coming>, &'static str> {
        let upstream = self.clone();
        let service = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
            let upstream = upstream.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = String::from_utf8(body.to_vec()).unwrap();
                upstream.asked.lock().unwrap().push(Asked { headers: parts.headers, body });
                let reply = upstream.replies.lock().unwrap().pop_front();
                reply.expect("more was asked than there are answers to").await
            }
        });
        BoxCloneService::new(service)
    }
}

pub(super) fn response(status: u16, content_type: &str, parts: &[&str]) -> Response<Coming> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for part in parts {
        sender.send(Ok(Bytes::copy_from_slice(part.as_bytes()))).unwrap();
    }
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .header("set-cookie", "secret=1")
        .header("x-request-id", "r-1")
        .header("x-ratelimit-remaining-requests", "7")
        .header("retry-after", "3")
        .body(Coming(receiver, SizeHint::default()))
        .unwrap()
}

pub(super) type Answer = Response<ResponseBody<Coming>>;

/// A layer around an upstream.
#[derive(Clone)]
pub(super) struct Cached {
    pub(super) layer: AiCacheLayer,
    pub(super) upstream: Upstream,
    pub(super) clock: Clock,
}

impl Cached {
    pub(super) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(super) fn with(change: impl FnOnce(AiCacheLayerBuilder) -> AiCacheLayerBuilder) -> Self {
        let clock = Clock::manual(UnixMillis(1_000_000));
        let builder = AiCacheLayer::builder().memory().clock(clock.clone()).jitter(0.0);
        let layer = change(builder).build().unwrap();
        Self { layer, upstream: Upstream::default(), clock }
    }

    pub(super) fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, &'static str>> + Send>> {
        Box::pin(self.layer.layer(self.upstream.service()).oneshot(request))
    }

    pub(super) async fn ask(&self, request: Request<Full<Bytes>>) -> Answer {
        self.send(request).await.unwrap()
    }

    /// Asks in a task of its own.
    pub(super) fn spawn(&self, request: Request<Full<Bytes>>) -> tokio::task::JoinHandle<Answer> {
        let sent = self.send(request);
        tokio::spawn(async move { sent.await.unwrap() })
    }
}

pub(super) const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
pub(super) const STREAMING: &str =
    r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
pub(super) const ANSWER: &str = r#"{"choices":[{"index":0,"finish_reason":"stop","message":{"content":"hello"}}],"usage":{"prompt_tokens":5,"completion_tokens":9}}"#;
pub(super) const EVENTS: [&str; 3] = [
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hel\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
];

pub(super) fn post(path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .extension(Principal::new(TenantId::new("acme").unwrap()))
        .body(Full::from(body.to_owned()))
        .unwrap()
}

pub(super) fn chat(body: &str) -> Request<Full<Bytes>> {
    post("/v1/chat/completions", body)
}

pub(super) fn with(
    mut request: Request<Full<Bytes>>,
    name: &'static str,
    value: &str,
) -> Request<Full<Bytes>> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

pub(super) async fn read(answer: Answer) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// What the cache says it did, in all three ways.
pub(super) fn did(answer: &Answer) -> AiCacheStatus {
    let outcome = answer.extensions().get::<AiCacheOutcome>().unwrap();
    assert_eq!(answer.headers()["x-ai-cache"], outcome.status.as_str());
    let status = answer.headers()["cache-status"].to_str().unwrap();
    let expected = match outcome.status {
        AiCacheStatus::Hit => "tower-keep; hit",
        AiCacheStatus::Miss | AiCacheStatus::Coalesced => "tower-keep; fwd=uri-miss",
        AiCacheStatus::Partial => "tower-keep; fwd=partial",
        AiCacheStatus::Refresh => "tower-keep; fwd=request",
        AiCacheStatus::Bypass => "tower-keep; fwd=bypass; detail=",
    };
    assert!(status.starts_with(expected), "{status}");
    outcome.status
}

pub(super) fn why(answer: &Answer) -> BypassReason {
    assert_eq!(did(answer), AiCacheStatus::Bypass);
    answer.extensions().get::<AiCacheOutcome>().unwrap().bypass.unwrap()
}
