//! The outermost service: what of a request is let in, and what a client is told where there is no
//! answer.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts,
};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::{Service, ServiceExt as _, util::Oneshot};
use tower_keep::{Dialect, Keep, PeerAddr, Rejection, ResponseBody};

use crate::{
    failure::{self, Failure},
    forwarding::Peer,
    health, hop,
    settings::Settings,
    target,
};

/// What all connections share.
pub(crate) struct Rules {
    keep: Keep,
    settings: Settings,
    own_host: HeaderValue,
}

impl Rules {
    pub(crate) fn new(keep: Keep, settings: Settings) -> Self {
        let own_host = settings.upstream.host();
        Self { keep, settings, own_host }
    }

    /// Makes of what a client has sent the request that all layers and the upstream see; they see
    /// the same one, so that a cache never tells apart what the upstream does not, nor the other
    /// way round.
    fn admit(&self, head: &mut Parts, peer: &Peer) -> Result<(), Box<Rejection>> {
        target::settle(head, &self.own_host)?;
        if hop::is_coded(&head.headers) {
            let what = "no transfer coding but chunked is known";
            return Err(failure::refuse(StatusCode::NOT_IMPLEMENTED, what));
        }
        let upgrade = self.upgrade(head);
        let trailers = hop::lists(&head.headers, &header::TE, "trailers");
        hop::strip(&mut head.headers);
        keep_or_remove(&mut head.headers, header::UPGRADE, upgrade);
        let te = trailers.then_some(HeaderValue::from_static("trailers"));
        keep_or_remove(&mut head.headers, header::TE, te);
        // After that, so that nobody can have ours removed.
        peer.write(&mut head.headers);
        if let Some(name) = &self.settings.trust_tenant_header
            && !peer.trusted
        {
            head.headers.remove(name);
        }
        if head.version == Version::HTTP_2 {
            join_cookies(&mut head.headers);
        }
        head.extensions.insert(PeerAddr(peer.address));
        Ok(())
    }

    /// The protocol that a client may upgrade to and asks for. Not HTTP itself, by whatever name:
    /// that would be a way around all layers.
    fn upgrade(&self, head: &Parts) -> Option<HeaderValue> {
        let mut wishes = head.headers.get_all(header::UPGRADE).iter();
        let (Some(wish), None) = (wishes.next(), wishes.next()) else { return None };
        let may = head.version == Version::HTTP_11
            && hop::lists(&head.headers, &header::CONNECTION, "upgrade")
            && self.settings.may_upgrade(wish);
        may.then(|| wish.clone())
    }

    /// What the gateway answers itself.
    fn own<B>(&self, head: &mut Parts) -> Option<Response<ResponseBody<B>>> {
        if self.settings.health_path.as_deref() == Some(head.uri.path()) {
            return Some(health::answer(&self.keep, &head.method));
        }
        (head.method == Method::OPTIONS).then(|| last_hop(&mut head.headers)).flatten()
    }
}

fn keep_or_remove(headers: &mut HeaderMap, name: header::HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}

/// The cookies of HTTP/2 may come on lines of their own, those of HTTP/1.1 may not (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let header::Entry::Occupied(mut cookies) = headers.entry(header::COOKIE) else { return };
    if cookies.iter().nth(1).is_some() {
        let lines: Vec<&[u8]> = cookies.iter().map(HeaderValue::as_bytes).collect();
        if let Ok(all) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
            cookies.insert(all);
        }
    }
}

/// Counts `Max-Forwards` down; the answer, where this is as far as the request was to go
/// (RFC 9110, 7.6.2).
fn last_hop<B>(headers: &mut HeaderMap) -> Option<Response<ResponseBody<B>>> {
    let left = headers.get_mut(header::MAX_FORWARDS)?;
    let number: u32 = left.to_str().ok()?.trim().parse().ok()?;
    if let Some(fewer) = number.checked_sub(1) {
        *left = HeaderValue::from(fewer);
        return None;
    }
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Some(response)
}

/// The service of one connection.
pub(crate) struct Door<S> {
    stack: S,
    rules: Arc<Rules>,
    peer: Peer,
}

impl<S> Door<S> {
    pub(crate) const fn new(stack: S, rules: Arc<Rules>, peer: Peer) -> Self {
        Self { stack, rules, peer }
    }
}

impl<S, R> hyper::service::Service<Request<Incoming>> for Door<S>
where
    S: Service<Request<Incoming>, Response = Response<ResponseBody<R>>, Error = Failure> + Clone,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Answering<S, R>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let dialect = Dialect::of(&head);
        let state = match self.rules.admit(&mut head, &self.peer) {
            Err(rejection) => State::Answered { answer: Some(rejection.into_response(dialect)) },
            Ok(()) => {
                if let Some(answer) = self.rules.own(&mut head) {
                    State::Answered { answer: Some(answer) }
                } else {
                    let request = Request::from_parts(head, body);
                    State::Asking { answer: self.stack.clone().oneshot(request) }
                }
            }
        };
        Answering { state, dialect }
    }
}

pin_project! {
    /// An answer on its way.
    pub(crate) struct Answering<S, R>
    where
        S: Service<Request<Incoming>>,
    {
        #[pin]
        state: State<S, R>,
        dialect: Dialect,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, R>
    where
        S: Service<Request<Incoming>>,
    {
        Asking { #[pin] answer: Oneshot<S, Request<Incoming>> },
        Answered { answer: Option<Response<ResponseBody<R>>> },
    }
}

impl<S, R> Future for Answering<S, R>
where
    S: Service<Request<Incoming>, Response = Response<ResponseBody<R>>, Error = Failure>,
{
    type Output = Result<Response<ResponseBody<R>>, Infallible>;

    #[expect(clippy::expect_used, reason = "polling a completed future is a caller's bug")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(Ok(match this.state.project() {
            StateProjection::Answered { answer } => answer.take().expect("polled after completion"),
            StateProjection::Asking { answer } => match ready!(answer.poll(cx)) {
                Ok(answer) => answer,
                Err(failure) => failure.rejection().into_response(*this.dialect),
            },
        }))
    }
}
