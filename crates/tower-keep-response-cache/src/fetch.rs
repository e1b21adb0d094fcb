//! The service is asked, and what is stored follows from its answer; plumbing only.

use std::future::poll_fn;

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use tower_keep_cache::Tag;
use tower_keep_core::{BoxError, Recorded, RequestBody, ResponseBody, time::UnixMillis};
use tower_service::Service;

use crate::{
    asked,
    bypass::BypassReason,
    draft::{Context, Draft},
    fill::{Fill, Flown},
    look::Old,
    outcome::ResponseCacheOutcome as Outcome,
    overrides::Overrides,
    policy::{
        key::Target,
        part::{self, Rest},
        reuse,
        status::{CacheStatus, Forward},
        storable::is_never_stored,
        validate,
    },
    reply,
    stored::Stored,
    story::{Answer, Errand, Story, View, has_conditions},
};

/// What the service was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    /// What the client asked for.
    AsIs,
    /// Whether what is stored is still so.
    Validation,
    /// What a stored part lacks.
    Rest,
}

/// What must be known of a request once the service has it.
pub(crate) struct Sent {
    tag: Tag,
    requested: UnixMillis,
}

impl<S, B, R> Story<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError> + Send,
{
    /// Asks the service, and stores what may be stored.
    pub(crate) async fn fetch(mut self, mut errand: Errand) -> Answer<R, S::Error> {
        let Some(tag) =
            self.view.target().and_then(|it| asked::target_tag(it, &self.view.settings))
        else {
            // It has a name, so it has a target.
            return self.pass(errand.forward).await;
        };
        let sent = Sent { tag, requested: self.view.now() };
        let mut parts = self.view.outgoing();
        let asking = prepare(&mut parts, errand.old.as_ref());
        let request = Request::from_parts(parts, std::mem::take(&mut self.body));
        let response = self.service.call(request).await;
        match (&errand.old, response) {
            (Some(old), Ok(response))
                if asking == Asking::Validation
                    && response.status() == StatusCode::NOT_MODIFIED =>
            {
                // What it says may be of another than what is stored.
                match old.meant(response.headers()) {
                    Some(old) => Ok(self.revalidated(errand, &sent, &old, &response)),
                    None => self.again(errand, sent).await,
                }
            }
            (Some(_), Ok(response))
                if asking == Asking::Rest && response.status() == StatusCode::PARTIAL_CONTENT =>
            {
                match self.view.joined(&mut errand, &sent, response).await {
                    Some(answer) => Ok(self.finish_with(answer, Outcome::Miss)),
                    None => self.again(errand, sent).await,
                }
            }
            // It is not as long any more, which is no answer for whoever wants all of it.
            (Some(_), Ok(response))
                if asking == Asking::Rest
                    && response.status() == StatusCode::RANGE_NOT_SATISFIABLE =>
            {
                self.again(errand, sent).await
            }
            (_, response) => self.concluded(errand, &sent, response),
        }
    }

    /// Asks for all of it, because what came back for less was of no use.
    async fn again(mut self, errand: Errand, sent: Sent) -> Answer<R, S::Error> {
        poll_fn(|cx| self.service.poll_ready(cx)).await?;
        let request = Request::from_parts(self.view.outgoing(), RequestBody::empty());
        let response = self.service.call(request).await;
        self.concluded(errand, &sent, response)
    }

    /// Without a target there is nothing to store it under.
    async fn pass(mut self, forward: Forward) -> Answer<R, S::Error> {
        let request = Request::from_parts(self.view.outgoing(), std::mem::take(&mut self.body));
        let mut answer = self.service.call(request).await?.map(ResponseBody::inner);
        let status = CacheStatus { forward: Some(forward), ..CacheStatus::default() };
        status.append(answer.headers_mut());
        Ok(self.finish_with(answer, Outcome::Uncacheable))
    }

    /// What the service has answered is the answer, unless it failed and what is stored may answer
    /// instead.
    fn concluded(
        self,
        errand: Errand,
        sent: &Sent,
        response: Result<Response<R>, S::Error>,
    ) -> Answer<R, S::Error> {
        let failed = match &response {
            Ok(response) if !response.status().is_server_error() => None,
            Ok(response) => Some(Some(response.status())),
            Err(_) => Some(None),
        };
        if let (Some(failed), Some(old)) = (failed, errand.old.as_ref().and_then(Old::chosen))
            && self.may_replace(old, failed)
        {
            let answer = self.instead(old, errand.forward, failed);
            return Ok(self.finish_with(answer, Outcome::StaleOnError));
        }
        response.map(|response| self.answered(errand, sent, response))
    }

    fn may_replace(&self, old: &Stored, failed: Option<StatusCode>) -> bool {
        let options = self.view.lookup.options(&self.view.settings);
        let directives = &self.view.lookup.directives;
        reuse::may_replace_error(&old.freshness, directives, failed, self.view.now(), options)
    }

    /// Answers with what is stored in place of an error.
    fn instead(
        &self,
        old: &Stored,
        forward: Forward,
        failed: Option<StatusCode>,
    ) -> Response<ResponseBody<R>> {
        let status = CacheStatus {
            forward: Some(forward),
            forward_status: failed,
            detail: Some("stale-if-error"),
            ..CacheStatus::default()
        };
        reply::stored(old, self.view.request(), self.view.now(), status)
    }

    /// A new answer.
    fn answered(
        self,
        errand: Errand,
        sent: &Sent,
        response: Response<R>,
    ) -> Response<ResponseBody<R>> {
        let mut status = CacheStatus { forward: Some(errand.forward), ..CacheStatus::default() };
        let drafted = self.judge(&errand, sent, &response);
        let refused = drafted.as_ref().err().copied();
        let (mut head, body) = response.into_parts();
        let (body, outcome) = match drafted {
            Ok(draft) => {
                status.stored = true;
                (Fill { draft, guard: errand.guard }.begin(body), Outcome::Miss)
            }
            Err(reason) => {
                status.detail = Some(reason.label());
                match self.view.parts.method {
                    Method::HEAD => {
                        self.view.learn_from_head(errand, sent, head.status, &head.headers);
                    }
                    _ => self.view.not_stored(errand, head.status),
                }
                (ResponseBody::inner(body), Outcome::Uncacheable)
            }
        };
        status.append(&mut head.headers);
        self.view.settings.expose_reason(refused, &mut head.extensions);
        self.finish_with(Response::from_parts(head, body), outcome)
    }

    fn judge(
        &self,
        errand: &Errand,
        sent: &Sent,
        response: &Response<R>,
    ) -> Result<Draft, BypassReason> {
        if self.view.parts.method != Method::GET {
            return Err(BypassReason::Method);
        }
        let context = self.view.context(errand, sent).ok_or(BypassReason::Target)?;
        let told = self.view.overrides(response.extensions());
        let length = response.body().size_hint().exact().or_else(|| length(response.headers()));
        context.draft(response.status(), response.headers(), told.as_ref(), length)
    }

    pub(crate) fn finish_with(
        self,
        mut answer: Response<ResponseBody<R>>,
        outcome: Outcome,
    ) -> Response<ResponseBody<R>> {
        self.view.settings.expose(outcome, &mut answer);
        if let Some(observation) = self.observation {
            observation.finish(outcome);
        }
        answer
    }
}

/// Makes a request ask for what is wanted.
fn prepare(parts: &mut Parts, old: Option<&Old>) -> Asking {
    let Parts { method, headers, .. } = parts;
    let is_get = *method == Method::GET;
    match old {
        Some(Old::Part(stored))
            if is_get
                && !headers.contains_key(header::RANGE)
                && part::ask_for_rest(headers, stored) != Rest::No =>
        {
            Asking::Rest
        }
        Some(Old::Chosen(stored)) if validate::ask(headers, stored) => Asking::Validation,
        // The client's own conditions are of what it has.
        Some(Old::Variants(variants))
            if is_get && !has_conditions(headers) && validate::ask_which(headers, variants) =>
        {
            Asking::Validation
        }
        _ => Asking::AsIs,
    }
}

impl View {
    fn target(&self) -> Option<Target<'_>> {
        Target::asked(&self.parts.uri, &self.parts.headers, &self.parts.extensions)
    }

    /// The head of the request as the service sees it.
    pub(crate) fn outgoing(&self) -> Parts {
        let mut parts = self.parts.clone();
        self.settings.strip(&parts.method, &mut parts.headers);
        parts
    }

    /// What layers around the cache and the handler say beside their fields.
    pub(crate) fn overrides(&self, answer: &Extensions) -> Option<Overrides> {
        Overrides::of(self.parts.extensions.get(), answer.get())
    }

    /// A GET was answered with what is not stored.
    fn not_stored(&self, errand: Errand, status: StatusCode) {
        let says_what_is_there = !status.is_server_error()
            && !is_never_stored(status)
            && status != StatusCode::PARTIAL_CONTENT
            && !self.lookup.directives.no_store;
        if says_what_is_there {
            // What was stored is not what the service answers any more.
            self.forget(&errand);
            errand.guard.keep_to_itself();
        } else {
            // Whoever waits asks for itself at once, and not one after the other.
            errand.guard.share(Flown::NotShared);
        }
    }

    /// The rest of a stored part has come: both together, if they are of the same whole.
    async fn joined<R>(
        &self,
        errand: &mut Errand,
        sent: &Sent,
        response: Response<R>,
    ) -> Option<Response<ResponseBody<R>>>
    where
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError> + Send,
    {
        let (head, body) = response.into_parts();
        let (_, mut recording) = ResponseBody::recorded(body, self.settings.max_body);
        recording.within(&self.settings.in_flight);
        let Recorded::Whole(body) = recording.run().await else { return None };
        let told = self.overrides(&head.extensions);
        let context = self.context(errand, sent)?;
        let draft = context.draft(head.status, &head.headers, told.as_ref(), None).ok()?;
        let page = errand.found.value.as_deref();
        let (stored, draft) = draft.complete(body, page).ok()?;
        if stored.part.is_some() {
            return None;
        }
        let status = CacheStatus {
            forward: Some(Forward::Partial),
            forward_status: Some(StatusCode::PARTIAL_CONTENT),
            stored: true,
            ..CacheStatus::default()
        };
        let answer = reply::stored(&stored, self.request(), self.now(), status);
        let guard = errand.guard.take();
        Fill { draft, guard }.renew(stored);
        Some(answer)
    }

    pub(crate) fn context<'a>(&'a self, errand: &'a Errand, sent: &Sent) -> Option<Context<'a>> {
        Some(Context {
            settings: &self.settings,
            options: self.lookup.options(&self.settings),
            name: &errand.name,
            target_tag: sent.tag,
            target: self.target()?,
            method: &self.parts.method,
            request: &self.parts.headers,
            principal: self.lookup.principal.as_ref(),
            requested: sent.requested,
            received: self.now(),
            generations: &errand.found.generations,
            page: errand.found.value.as_ref(),
        })
    }
}

/// How long a body is said to be.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
