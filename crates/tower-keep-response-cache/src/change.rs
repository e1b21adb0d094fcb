//! A request that may change what is stored; plumbing only.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, request::Parts, response};
use http_body::Body;
use tower_keep_cache::{Name, Purge, Tag};
use tower_keep_core::{
    BoxError, Observation, Principal, RequestBody, ResponseBody, TenantId, time::UnixMillis,
};
use tower_service::Service;

use crate::{
    asked,
    draft::Context,
    fill::{Fill, FillGuard},
    outcome::ResponseCacheOutcome as Outcome,
    overrides::Overrides,
    policy::{
        groups, invalidate,
        key::{self, Target},
        status::{CacheStatus, Forward},
    },
    settings::Settings,
    story::Answer,
};

/// A request with a method that is not for looking only.
pub(crate) struct Change<S, B> {
    pub(crate) settings: Arc<Settings>,
    /// Ready to be called once.
    pub(crate) service: S,
    pub(crate) parts: Parts,
    pub(crate) body: RequestBody<B>,
    pub(crate) tenant: TenantId,
    pub(crate) observation: Observation<Outcome>,
}

impl<S, B, R> Change<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError> + Send,
{
    /// Passes it on, and makes invalid what its answer says is.
    pub(crate) async fn run(mut self) -> Answer<R, S::Error> {
        let requested = self.settings.clock.now();
        self.settings.strip(&self.parts.method, &mut self.parts.headers);
        let sent = self.parts.clone();
        let request = Request::from_parts(self.parts, self.body);
        let (mut head, body) = self.service.call(request).await?.into_parts();
        let settings = self.settings;
        let mut status = CacheStatus { forward: Some(Forward::Method), ..CacheStatus::default() };
        let tags = settings.changed(&sent, &head);
        let mut outcome = Outcome::Bypass;
        if !tags.is_empty() {
            outcome = Outcome::Invalidated;
            // Whoever changed it looks at it next: they wait until it is so.
            if let Err(error) = settings.cache.purge(&self.tenant, &Purge::tags(tags)).await {
                tracing::warn!(%error, "what a request has changed may be served until it is stale");
                status.detail = Some("invalidation-failed");
            }
        }
        let length = body.size_hint().exact();
        let body = match settings.kept(&self.tenant, &sent, &head, requested, length).await {
            Some(fill) => {
                status.stored = true;
                fill.begin(body)
            }
            None => ResponseBody::inner(body),
        };
        status.append(&mut head.headers);
        let mut answer = Response::from_parts(head, body);
        settings.expose(outcome, &mut answer);
        self.observation.finish(outcome);
        Ok(answer)
    }
}

impl Settings {
    /// What an answer to an unsafe request makes invalid.
    fn changed(&self, sent: &Parts, answer: &response::Parts) -> Vec<Tag> {
        let Some(target) = target(sent) else { return Vec::new() };
        // Groups are named by an answer that knows, although the request may have failed.
        let groups = groups::invalidated(&sent.method, &answer.headers, target);
        if !invalidate::invalidates(&sent.method, answer.status) {
            return groups;
        }
        let named = invalidate::named(target, &answer.headers);
        let others = named.iter().filter_map(|it| asked::target_tag(it.in_origin_of(target), self));
        asked::target_tag(target, self).into_iter().chain(others).chain(groups).collect()
    }

    /// An answer to POST that says that it is what a GET would get (RFC 9110 §9.3.3), if it is to
    /// be stored.
    async fn kept(
        self: &Arc<Self>,
        tenant: &TenantId,
        sent: &Parts,
        answer: &response::Parts,
        requested: UnixMillis,
        length: Option<u64>,
    ) -> Option<Fill> {
        if sent.method != Method::POST || !self.may_keep(sent) {
            return None;
        }
        let target = target(sent)?;
        if !invalidate::names_itself(target, &answer.headers) {
            return None;
        }
        let name = Name::new(tenant, key::canonical(target, &self.query, None)?);
        // After what was stored before has become invalid.
        let generations = self.cache.generations(tenant).await.ok()?;
        let context = Context {
            settings: self,
            options: &self.options,
            name: &name,
            target_tag: asked::target_tag(target, self)?,
            target,
            method: &sent.method,
            request: &sent.headers,
            principal: Principal::of(&sent.extensions),
            requested,
            received: self.clock.now(),
            generations: &generations,
            page: None,
        };
        let told = Overrides::of(sent.extensions.get(), answer.extensions.get());
        let draft = context.draft(answer.status, &answer.headers, told.as_ref(), length).ok()?;
        let settings = Arc::clone(self);
        Some(Fill { draft, guard: FillGuard { settings, name, leader: None, lease: None } })
    }
}

fn target(sent: &Parts) -> Option<Target<'_>> {
    Target::asked(&sent.uri, &sent.headers, &sent.extensions)
}
