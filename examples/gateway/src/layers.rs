//! The layers, by name: the one place that knows which there are. Another layer is a name, an arm
//! in [`built`], a type in [`Slot`] and a place in [`stack`].

use std::{
    fmt,
    task::{Context, Poll},
    time::Duration,
};

use clap::ValueEnum;
use futures_util::{TryFutureExt as _, future::MapOk};
use http::{Request, Response};
use hyper::body::Incoming;
use tower::{Layer, Service, ServiceBuilder, layer::util::Stack as Both, util::Either};
use tower_keep::{
    AiCacheLayer, ConfigError, Keep, PrincipalLayer, RateLimitLayer, RequestBody, ResponseBody,
    ResponseCacheLayer, SessionLayer, Unkeyed,
};

use crate::{
    settings::{CacheSettings, Settings},
    upstream::Upstream,
};

/// A layer that can stand around the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayerName {
    /// Opens sessions, so that limits count by user
    Session,
    /// Limits requests, as `RATE_LIMIT_MAX` and `RATE_LIMIT_WINDOW` say
    RateLimit,
    /// Answers from what was stored, by RFC 9111; the --cache-… options say what is
    ResponseCache,
    /// Answers of language models, from what was stored; the --ai-cache-… options say what is
    AiCache,
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "session",
            Self::RateLimit => "rate-limit",
            Self::ResponseCache => "response-cache",
            Self::AiCache => "ai-cache",
        })
    }
}

/// One place in the stack, where any layer may stand: their types differ, and so does their order
/// from one start to the next. Nothing is boxed for it.
type Slot = Either<
    Either<Both<Alike, Nothing>, Both<Alike, SessionLayer>>,
    Either<Both<Alike, RateLimitLayer>, Either<ResponseCacheLayer, AiCacheLayer>>,
>;

fn built(name: LayerName, keep: &Keep, settings: &Settings) -> Result<Slot, ConfigError> {
    Ok(match name {
        LayerName::Session => {
            Either::Left(Either::Right(Both::new(Alike, keep.session().build()?)))
        }
        LayerName::RateLimit => {
            Either::Right(Either::Left(Both::new(Alike, keep.rate_limit().build()?)))
        }
        LayerName::ResponseCache => {
            Either::Right(Either::Right(Either::Left(cache(keep, &settings.cache)?)))
        }
        LayerName::AiCache => {
            let trusted = settings.trust_tenant_header.as_ref();
            Either::Right(Either::Right(Either::Right(settings.ai_cache.layer(
                keep,
                &settings.upstream.to_string(),
                trusted,
            )?)))
        }
    })
}

fn cache(keep: &Keep, told: &CacheSettings) -> Result<ResponseCacheLayer, ConfigError> {
    let mut builder = keep
        .response_cache()
        .targets(told.targets())
        .tag_fields(told.tag_fields.iter().cloned())
        .stale_while_revalidate(Duration::from_secs(told.stale_while_revalidate))
        .stale_if_error(Duration::from_secs(told.stale_if_error))
        .lenient_parts(told.lenient_parts)
        .set_cookie(told.set_cookie.into())
        .stale_on_failure(told.stale_on_failure)
        // The door has removed what clients say; what is left is a trusted proxy's word.
        .unkeyed(Unkeyed::Key);
    if let Some(bytes) = told.capacity {
        builder = builder.capacity(bytes);
    }
    if let Some(bytes) = told.max_body {
        builder = builder.max_body(bytes);
    }
    if let Some(at_most) = told.heuristic {
        builder = builder.heuristic(Duration::from_secs(at_most));
    }
    builder.build()
}

/// A service with a slot around it.
type In<S> = <Slot as Layer<S>>::Service;

/// The upstream with all layers around it.
pub(crate) type Stack = <PrincipalLayer as Layer<In<In<In<In<Upstream<Body>>>>>>>::Service;

/// A request's body, as far inside.
pub(crate) type Body = RequestBody<RequestBody<RequestBody<RequestBody<Incoming>>>>;

/// The layers that the settings name, around the upstream.
pub(crate) fn stack(
    keep: &Keep,
    settings: &Settings,
    upstream: Upstream<Body>,
) -> Result<Stack, ConfigError> {
    let tenant = settings.tenant.as_str();
    let principal = match &settings.trust_tenant_header {
        Some(name) => PrincipalLayer::from_header(name.as_str()).default_tenant(tenant),
        None => PrincipalLayer::fixed(tenant),
    };
    let slots: Result<Vec<Slot>, ConfigError> =
        settings.layers.iter().map(|name| built(*name, keep, settings)).collect();
    // No layer stands twice, so that there is a place for each.
    let mut slots = slots?.into_iter();
    let mut next = || slots.next().unwrap_or(Either::Left(Either::Left(Both::new(Alike, Nothing))));
    Ok(ServiceBuilder::new() // outermost first
        .layer(principal.build()?)
        .layer(next())
        .layer(next())
        .layer(next())
        .layer(next())
        .service(upstream))
}

/// An empty place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nothing;

impl<S> Layer<S> for Nothing {
    type Service = Alone<S>;

    fn layer(&self, inner: S) -> Alone<S> {
        Alone(inner)
    }
}

/// A service that no layer stands around, with the body of one around which a layer does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alone<S>(S);

impl<S, B, R> Service<Request<B>> for Alone<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = MapOk<S::Future, fn(Response<R>) -> Response<ResponseBody<R>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.0.call(request).map_ok(|response| response.map(ResponseBody::inner))
    }
}

/// Gives a service within a layer that makes no requests of its own the bodies of one within a layer
/// that does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alike;

impl<S> Layer<S> for Alike {
    type Service = Inner<S>;

    fn layer(&self, inner: S) -> Inner<S> {
        Inner(inner)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Inner<S>(S);

impl<S, B> Service<Request<B>> for Inner<S>
where
    S: Service<Request<RequestBody<B>>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.0.call(request.map(RequestBody::inner))
    }
}
