//! The story of a request that may be answered from the store; plumbing only.

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header, request::Parts};
use http_body::Body;
use tower_keep_cache::{Found, Name};
use tower_keep_core::{BoxError, Head, Observation, RequestBody, ResponseBody, time::UnixMillis};
use tower_service::Service;

use crate::{
    asked::Lookup,
    bypass::BypassReason,
    fill::FillGuard,
    look::Old,
    outcome::ResponseCacheOutcome as Outcome,
    page::Page,
    policy::status::{CacheStatus, Forward},
    reply,
    settings::Settings,
    turn::Known,
};

/// A request and all that is needed to answer it.
pub(crate) struct Story<S, B> {
    pub(crate) view: View,
    /// Ready to be called once.
    pub(crate) service: S,
    pub(crate) body: RequestBody<B>,
    /// `None` for what no client waits for.
    pub(crate) observation: Option<Observation<Outcome>>,
}

/// All of a request but what is called with it.
pub(crate) struct View {
    pub(crate) settings: Arc<Settings>,
    pub(crate) parts: Parts,
    pub(crate) lookup: Lookup,
}

/// What a story ends with.
pub(crate) type Answer<R, E> = Result<Response<ResponseBody<R>>, E>;

/// Why the service is asked, by whom for whom.
pub(crate) struct Errand {
    pub(crate) name: Name,
    pub(crate) found: Found<Page>,
    pub(crate) old: Option<Old>,
    pub(crate) forward: Forward,
    pub(crate) guard: FillGuard,
}

/// How far a request has come with what is stored.
pub(crate) enum Come<R> {
    Answered(Response<ResponseBody<R>>, Outcome),
    /// It is answered, and what it was answered with is to be asked for.
    Refresh(Response<ResponseBody<R>>, Outcome, Box<Errand>),
    Fetch(Box<Errand>),
}

impl<S, B, R> Story<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError> + Send,
{
    /// Answers the request. `near` is what this process knows, where it has a name already.
    pub(crate) async fn run(mut self, near: Option<Known>) -> Answer<R, S::Error> {
        if let Some(reason) = self.view.identify().await {
            return self.bypass(reason).await;
        }
        let Some(name) = self.view.lookup.name.clone() else {
            return self.bypass(BypassReason::Target).await;
        };
        let come = self.view.come(name, near).await;
        let Some(come) = come else { return self.bypass(BypassReason::Store).await };
        match come {
            Come::Answered(answer, outcome) => Ok(self.finish_with(answer, outcome)),
            Come::Refresh(answer, outcome, errand) => {
                self.refresh(*errand);
                Ok(self.finish_with(answer, outcome))
            }
            Come::Fetch(errand) => self.fetch(*errand).await,
        }
    }

    /// Asks for what is stored, without anybody waiting for it.
    fn refresh(&self, errand: Errand) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let View { settings, parts, lookup } = &self.view;
        let mut parts = parts.clone();
        parts.method = Method::GET;
        parts.headers.remove(header::RANGE);
        for condition in CONDITIONS {
            parts.headers.remove(condition);
        }
        let longest = settings.fill_timeout;
        let (settings, lookup) = (Arc::clone(settings), lookup.clone());
        let mut story = Self {
            view: View { settings, parts, lookup },
            service: self.service.clone(),
            body: RequestBody::empty(),
            observation: None,
        };
        runtime.spawn(tokio::time::timeout(longest, async move {
            if poll_fn(|cx| story.service.poll_ready(cx)).await.is_ok() {
                // Its body is read by whoever records it, if it is to be stored.
                drop(story.fetch(errand).await);
            }
        }));
    }

    /// Lets the request pass, unless it wants what is stored or nothing.
    pub(crate) async fn bypass(mut self, reason: BypassReason) -> Answer<R, S::Error> {
        if self.view.lookup.directives.only_if_cached {
            let answer = reply::not_stored(&self.view.parts.method);
            return Ok(self.finish_with(answer, Outcome::NotStored));
        }
        let body = std::mem::take(&mut self.body);
        let request = Request::from_parts(self.view.outgoing(), body);
        let mut answer = self.service.call(request).await?;
        let status = CacheStatus {
            forward: Some(Forward::Bypass),
            detail: Some(reason.label()),
            ..CacheStatus::default()
        };
        status.append(answer.headers_mut());
        self.view.settings.expose_reason(Some(reason), answer.extensions_mut());
        let outcome =
            if reason == BypassReason::Store { Outcome::StoreFailed } else { Outcome::Bypass };
        Ok(self.finish_with(answer.map(ResponseBody::inner), outcome))
    }
}

impl View {
    pub(crate) const fn request(&self) -> (&Method, &HeaderMap) {
        (&self.parts.method, &self.parts.headers)
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.settings.clock.now()
    }

    /// Finds out whose private answers may be told, if that is not known yet.
    async fn identify(&mut self) -> Option<BypassReason> {
        if self.lookup.name.is_some() {
            return None;
        }
        if let Some(principal) = &self.lookup.principal {
            match principal.verify().await {
                Ok(user) => self.lookup.user = user,
                Err(_) => return Some(BypassReason::Unverified),
            }
        }
        let named = self.settings.name(&mut self.lookup, Head::from(&self.parts));
        (!named).then_some(BypassReason::Target)
    }
}

const CONDITIONS: [header::HeaderName; 5] = [
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_MATCH,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
];

/// Whether the answer may be something else than the whole of what is there.
pub(crate) fn has_conditions(headers: &HeaderMap) -> bool {
    headers.contains_key(header::RANGE) || CONDITIONS.iter().any(|it| headers.contains_key(it))
}
