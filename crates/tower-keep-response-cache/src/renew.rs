//! What is stored, renewed or taken away by what the service says of it; plumbing only.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
};
use http_body::Body;
use tower_keep_core::{BoxError, RequestBody, ResponseBody};
use tower_service::Service;

use crate::{
    bypass::BypassReason,
    draft::{Context, Draft},
    fetch::Sent,
    fill::{Fill, Flown},
    look::Old,
    options::SetCookie,
    outcome::ResponseCacheOutcome as Outcome,
    page::Page,
    policy::{
        date,
        freshen::{self, ByHead},
        part,
        status::CacheStatus,
    },
    reply,
    stored::Stored,
    story::{Errand, Story, View},
};

impl<S, B, R> Story<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError> + Send,
{
    /// What is stored is still so (RFC 9111 §4.3.4), or what another variant is as well.
    pub(crate) fn revalidated(
        self,
        errand: Errand,
        sent: &Sent,
        old: &Stored,
        response: &Response<R>,
    ) -> Response<ResponseBody<R>> {
        let mut headers = self.view.dated(response.headers());
        // A cookie is for this client alone, whatever becomes of the rest.
        let never = self.view.lookup.options(&self.view.settings).set_cookie == SetCookie::Never;
        let cookies = if never { take(&mut headers, &header::SET_COOKIE) } else { Vec::new() };
        let headers = freshen::apply(old, &headers);
        let drafted = self.view.redraft(&errand, sent, old, &headers, response.extensions());
        let mut status = CacheStatus {
            forward: Some(errand.forward),
            forward_status: Some(StatusCode::NOT_MODIFIED),
            ..CacheStatus::default()
        };
        let (request, now) = (self.view.request(), self.view.now());
        let mut answer = match drafted {
            Ok(draft) => {
                status.stored = true;
                let stored = draft.with_body_of(old);
                let answer = reply::stored(&stored, request, now, status);
                Fill { draft, guard: errand.guard }.renew(stored);
                answer
            }
            Err(reason) => {
                status.detail = Some(reason.label());
                let mut once = Stored::clone(old);
                // As it came with the answer: no time has passed for it.
                once.headers = headers;
                once.freshness.received = now;
                once.freshness.initial_age = 0;
                if reason == BypassReason::RequestNoStore {
                    // It is still so for everybody else.
                    errand.guard.share(Flown::NotShared);
                } else {
                    self.view.forget(&errand);
                    errand.guard.keep_to_itself();
                }
                reply::stored(&once, request, now, status)
            }
        };
        for cookie in cookies {
            answer.headers_mut().append(header::SET_COOKIE, cookie);
        }
        self.finish_with(answer, Outcome::Revalidated)
    }
}

impl View {
    /// What an answer to HEAD says of what is stored (RFC 9111 §4.3.5).
    pub(crate) fn learn_from_head(
        &self,
        errand: Errand,
        sent: &Sent,
        status: StatusCode,
        headers: &HeaderMap,
    ) {
        let Some(old) = errand.old.as_ref().and_then(Old::chosen).map(Arc::clone) else { return };
        match status {
            StatusCode::OK => match freshen::by_head(&old, &self.dated(headers)) {
                ByHead::Untold => {}
                ByHead::Changed => self.forget(&errand),
                ByHead::Update(headers) => {
                    let nothing = Extensions::new();
                    if let Ok(draft) = self.redraft(&errand, sent, &old, &headers, &nothing) {
                        let stored = draft.with_body_of(&old);
                        Fill { draft, guard: errand.guard }.renew(stored);
                    }
                }
            },
            StatusCode::NOT_FOUND | StatusCode::GONE => self.forget(&errand),
            _ => {}
        }
    }

    /// What is stored, judged anew with the fields that it has now: as what GET gets, whichever
    /// method has brought them.
    fn redraft(
        &self,
        errand: &Errand,
        sent: &Sent,
        old: &Stored,
        headers: &HeaderMap,
        said: &Extensions,
    ) -> Result<Draft, BypassReason> {
        let context = self.context(errand, sent).ok_or(BypassReason::Target)?;
        let context = Context { method: &Method::GET, ..context };
        let placed = old.part.map(|part| part::placed(headers, part));
        let headers = placed.as_ref().unwrap_or(headers);
        context.draft(old.status, headers, self.overrides(said).as_ref(), None)
    }

    /// It was made now, if it does not say when: not when what is stored was.
    fn dated(&self, headers: &HeaderMap) -> HeaderMap {
        let mut headers = headers.clone();
        headers.entry(header::DATE).or_insert_with(|| date::format(self.now()));
        headers
    }

    /// Takes away what would have been chosen for the request.
    pub(crate) fn forget(&self, errand: &Errand) {
        let options = self.lookup.options(&self.settings);
        let chosen =
            |page: &Page| page.without(|selecting| selecting.matches(&self.parts.headers, options));
        let Some(page) = errand.found.value.as_deref().and_then(chosen) else { return };
        // Both are seen through although nobody waits for them.
        if page.is_empty() {
            drop(self.settings.cache.remove(&errand.name));
        } else {
            drop(self.settings.put(&errand.name, Arc::new(page)));
        }
    }
}

/// Takes a field out of a head.
fn take(headers: &mut HeaderMap, name: &HeaderName) -> Vec<HeaderValue> {
    let lines = headers.get_all(name).iter().cloned().collect();
    headers.remove(name);
    lines
}
