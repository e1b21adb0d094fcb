//! What the layer does as a whole, around a service that is told what to answer.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, ServiceExt as _, service_fn, util::BoxCloneSyncService};
use tower_keep_core::{
    RequestBody,
    time::{Clock, UnixMillis},
};

use crate::{ResponseCacheLayer, ResponseCacheLayerBuilder};

mod basics;
mod changes;
mod lengths;
mod model;
mod parts;
mod safety;
mod sharing;
mod streaming;
mod validation;

/// Midnight at the beginning of 2026.
const NOW: UnixMillis = UnixMillis(1_767_225_600_000);

type Answer = Response<Full<Bytes>>;
type Script = dyn Fn(&Request<()>, usize) -> Answer + Send + Sync;

type Cached = BoxCloneSyncService<
    Request<Full<Bytes>>,
    Response<tower_keep_core::ResponseBody<Full<Bytes>>>,
    Infallible,
>;

/// A cache before a service that answers by a script, and counts.
#[derive(Clone)]
struct Site {
    service: Cached,
    seen: Arc<Mutex<Vec<Request<()>>>>,
    clock: Clock,
}

/// What a client got.
#[derive(Debug)]
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

fn site(script: impl Fn(&Request<()>, usize) -> Answer + Send + Sync + 'static) -> Site {
    site_with(|builder| builder, script)
}

fn site_with(
    change: impl FnOnce(ResponseCacheLayerBuilder) -> ResponseCacheLayerBuilder,
    script: impl Fn(&Request<()>, usize) -> Answer + Send + Sync + 'static,
) -> Site {
    let clock = Clock::manual(NOW);
    let builder = ResponseCacheLayer::builder().memory().clock(clock.clone());
    let layer = change(builder).build().unwrap();
    let seen: Arc<Mutex<Vec<Request<()>>>> = Arc::default();
    let script: Arc<Script> = Arc::new(script);
    let log = Arc::clone(&seen);
    let inner = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
        let (script, log) = (Arc::clone(&script), Arc::clone(&log));
        async move {
            let request = request.map(|_| ());
            let number = {
                let mut log = log.lock().unwrap();
                log.push(request.clone());
                log.len()
            };
            // Others come in between.
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(script(&request, number))
        }
    });
    Site { service: BoxCloneSyncService::new(layer.layer(inner)), seen, clock }
}

impl Site {
    async fn get(&self, path: &str) -> Got {
        self.ask(Method::GET, path, &[]).await
    }

    async fn ask(&self, method: Method, path: &str, fields: &[(&str, &str)]) -> Got {
        let mut request = Request::builder().method(method).uri(path).header("host", "example.com");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::default()).unwrap()).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Got {
        let answer = self.service.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Got { status: head.status, headers: head.headers, body }
    }

    /// How often the service was asked.
    fn asked(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

impl Got {
    fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn status_of_cache(&self) -> &str {
        self.field("cache-status").unwrap()
    }

    fn is_hit(&self) -> bool {
        self.status_of_cache().contains("; hit")
    }
}

/// An answer with these fields, whose body is the number of the request.
fn answer(fields: &[(&str, &str)], number: usize) -> Answer {
    let mut answer = Response::builder();
    for (name, value) in fields {
        answer = answer.header(*name, *value);
    }
    answer.body(Full::from(number.to_string())).unwrap()
}

/// A counter that counts from one.
fn next(counter: &AtomicUsize) -> usize {
    counter.fetch_add(1, Ordering::SeqCst) + 1
}
