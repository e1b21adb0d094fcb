//! The innermost service: asks the upstream.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
    request::Parts, uri::PathAndQuery,
};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, Error},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::{Instant, timeout_at};
use tower::Service;
use tower_keep::{BoxError, ForwardingHeader};

use crate::{
    connector::{Answered, Connector},
    failure::Failure,
    forwarding::Peer,
    hop,
    origin::Origin,
    sending::{Progress, Sending},
    settings::{Settings, UpstreamHost},
    tunnel::Wish,
};

/// Asks the upstream, over a pool of connections. Cheap to clone.
pub(crate) struct Upstream<B> {
    shared: Arc<Shared<B>>,
}

impl<B> Clone for Upstream<B> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<B> {
    client: Client<Connector, Sending<B>>,
    origin: Origin,
    /// Told instead of the client's `Host`, if it is to be.
    host: Option<HeaderValue>,
    forwarding: ForwardingHeader,
    via: Via,
    head_timeout: Duration,
    /// Whether the last request was not answered.
    away: AtomicBool,
}

impl<B> Upstream<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Fails if there is to be TLS and nobody is known who could vouch for the upstream.
    pub(crate) fn new(settings: &Settings, forwarding: ForwardingHeader) -> Result<Self, BoxError> {
        let origin = settings.upstream.clone();
        let connector = Connector::new(settings.connect_timeout_ms, origin.is_tls())?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.pool_idle_timeout_ms)
            .pool_max_idle_per_host(settings.pool_max_idle)
            .build(connector);
        let shared = Shared {
            client,
            host: (settings.upstream_host == UpstreamHost::Upstream).then(|| origin.host()),
            origin,
            forwarding,
            via: Via::new(&settings.via),
            head_timeout: settings.head_timeout_ms,
            away: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl<B> Service<Request<B>> for Upstream<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Incoming>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let answer = shared.ask(request).await;
            shared.note(&answer);
            answer
        })
    }
}

impl<B> Shared<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    async fn ask(&self, mut request: Request<B>) -> Result<Response<Incoming>, Failure> {
        let wish = Wish::of(&mut request);
        let (mut head, body) = request.into_parts();
        let (body, progress) = Sending::client(body);
        self.address(&mut head, &body);
        let again = (head.method.is_idempotent() && body.is_nothing()).then(|| head.clone());
        let answer = self.send(Request::from_parts(head, body), again);
        let mut response = self.in_time(answer, progress).await?;
        if let Some(answered) = response.extensions_mut().remove::<Answered>() {
            answered.set();
        }
        pass_on(response, wish)
    }

    /// Makes of the client's request the one to the upstream.
    fn address(&self, head: &mut Parts, body: &Sending<B>) {
        let path = head.uri.path_and_query().cloned();
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.origin.scheme().clone());
        parts.authority = Some(self.origin.authority().clone());
        parts.path_and_query = path.or_else(|| Some(PathAndQuery::from_static("/")));
        head.uri = Uri::from_parts(parts).unwrap_or_default();
        head.headers.append(header::VIA, self.via.of(head.version));
        head.version = Version::HTTP_11;
        head.extensions.clear();
        Peer::complete(self.forwarding, &mut head.headers);
        if let Some(host) = &self.host {
            head.headers.insert(header::HOST, host.clone());
        }
        let connection = match (
            head.headers.contains_key(header::UPGRADE),
            head.headers.contains_key(header::TE),
        ) {
            (true, true) => Some("te, upgrade"),
            (true, false) => Some("upgrade"),
            (false, true) => Some("te"),
            (false, false) => None,
        };
        if let Some(names) = connection {
            head.headers.insert(header::CONNECTION, HeaderValue::from_static(names));
        }
        frame(head, body.size_hint().exact());
    }

    /// Sends a request, and sends it once more if it went to a connection that the upstream was
    /// just closing: only what does no harm twice, and has no body (RFC 9110, 9.2.2).
    async fn send(
        &self,
        request: Request<Sending<B>>,
        again: Option<Parts>,
    ) -> Result<Response<Incoming>, Error> {
        match (self.client.request(request).await, again) {
            (Err(error), Some(head)) if was_idle(&error) => {
                tracing::debug!("a kept connection was closed, asking by another: {error}");
                self.client.request(Request::from_parts(head, Sending::nothing())).await
            }
            (answer, _) => answer,
        }
    }

    /// Waits for the answer's head, as long as the request's body still moves.
    async fn in_time(
        &self,
        answer: impl Future<Output = Result<Response<Incoming>, Error>>,
        progress: Option<Arc<Progress>>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut answer = pin!(answer);
        let mut deadline = Instant::now() + self.head_timeout;
        loop {
            if let Ok(answer) = timeout_at(deadline, answer.as_mut()).await {
                return answer.map_err(failed);
            }
            match &progress {
                Some(body) if body.last() + self.head_timeout > deadline => {
                    deadline = body.last() + self.head_timeout;
                }
                Some(body) if body.waits_for_client() => return Err(Failure::ClientLate),
                _ => return Err(Failure::Late("to answer")),
            }
        }
    }

    /// One log line for each change, not for each request.
    fn note(&self, answer: &Result<Response<Incoming>, Failure>) {
        match answer {
            Ok(_) => {
                if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!("the upstream answers again");
                }
            }
            Err(failure) if !failure.is_upstreams() => {}
            Err(failure) => {
                if self.away.swap(true, Ordering::Relaxed) {
                    tracing::debug!("the upstream does not answer: {failure}");
                } else {
                    tracing::warn!("the upstream does not answer: {failure}");
                }
            }
        }
    }
}

/// Says how long a body is, where hyper would not.
fn frame(head: &mut Parts, length: Option<u64>) {
    match length {
        None => {
            // hyper would send none of a GET's.
            head.headers.remove(header::CONTENT_LENGTH);
            head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        // Some servers want to hear it (RFC 9110, 8.6); clients of HTTP/2 need not say it.
        Some(0) if matches!(head.method, Method::POST | Method::PUT | Method::PATCH) => {
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Some(_) => {}
    }
}

/// Whether a request failed on a connection that had answered others before.
fn was_idle(error: &Error) -> bool {
    let mut extras = http::Extensions::new();
    if let Some(connection) = error.connect_info() {
        connection.get_extras(&mut extras);
    }
    extras.get::<Answered>().is_some_and(Answered::get)
}

fn failed(error: Error) -> Failure {
    let mut cause = std::error::Error::source(&error);
    let mut clients = false;
    let mut late = false;
    while let Some(error) = cause {
        clients |= error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user);
        let io = error.downcast_ref::<std::io::Error>();
        late |= io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut);
        cause = error.source();
    }
    match error.is_connect() {
        true if late => Failure::Late("to connect"),
        true => Failure::Unreachable(error.into()),
        false if clients => Failure::ClientGone,
        false => Failure::Broken(error.into()),
    }
}

/// Makes of the upstream's answer the one to the client.
fn pass_on(
    mut response: Response<Incoming>,
    wish: Option<Wish>,
) -> Result<Response<Incoming>, Failure> {
    *response.version_mut() = Version::HTTP_11;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        if !wish.is_some_and(|wish| wish.grant(&mut response)) {
            return Err(Failure::Unfit("it upgrades to what nobody has asked for"));
        }
        hop::strip(response.headers_mut());
        let upgrade = HeaderValue::from_static("upgrade");
        response.headers_mut().insert(header::CONNECTION, upgrade);
        return Ok(response);
    }
    let headers = response.headers_mut();
    if headers.contains_key(header::TRANSFER_ENCODING) {
        if hop::is_encoded(headers) {
            return Err(Failure::Unfit("it has a transfer coding that nobody has asked for"));
        }
        // Says where the body ends, whatever else is said (RFC 9112, 6.3).
        headers.remove(header::CONTENT_LENGTH);
    }
    hop::strip(headers);
    strip_wishes(headers);
    Ok(response)
}

/// What an answer that upgrades nothing has no use for.
fn strip_wishes(headers: &mut HeaderMap) {
    headers.remove(header::TE);
    headers.remove(header::UPGRADE);
}

/// The field that says who has passed on a request (RFC 9110, 7.6.3).
struct Via {
    oldest: HeaderValue,
    usual: HeaderValue,
    newest: HeaderValue,
}

impl Via {
    fn new(name: &HeaderValue) -> Self {
        let name = name.to_str().unwrap_or_default();
        let by = |version: &str| {
            let value = HeaderValue::try_from(format!("{version} {name}"));
            value.unwrap_or_else(|_| HeaderValue::from_static("1.1 -"))
        };
        Self { oldest: by("1.0"), usual: by("1.1"), newest: by("2") }
    }

    fn of(&self, received: Version) -> HeaderValue {
        match received {
            Version::HTTP_2 => self.newest.clone(),
            Version::HTTP_10 => self.oldest.clone(),
            _ => self.usual.clone(),
        }
    }
}
