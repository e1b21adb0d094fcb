//! The service behind `SessionLayer`; plumbing only.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_keep_core::{Head, Instruments, Principal, ResponseBody, TenantId};
use tower_service::Service;

use crate::{
    carried::Carried, future::SessionFuture, handle::Session, inner::Inner,
    outcome::SessionOutcome, settings::Settings,
};

static INSTRUMENTS: Instruments<SessionOutcome> = Instruments::new();

/// Gives each request its session, and saves it before the answer begins. Made by
/// [`SessionLayer`](crate::SessionLayer).
#[derive(Clone, Debug)]
pub struct WithSession<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> WithSession<S> {
    pub(crate) const fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }

    /// The session of this request; `None` where a layer outside has given it one, and where it is
    /// to have none.
    fn begin<B>(&self, request: &mut Request<B>) -> Option<Arc<Inner>> {
        let settings = &self.settings;
        let head = Head::from(&*request);
        if settings.skip.as_ref().is_some_and(|skip| skip(&head.parts()))
            || Session::of(head.extensions()).is_some()
        {
            return None;
        }
        let tenant = Principal::of(head.extensions()).map(|principal| principal.tenant().clone());
        let asks = settings.admission.is_some();
        let address = asks.then(|| settings.proxies.client(head)).flatten();
        let session = Arc::new(Inner::new(
            Arc::clone(settings),
            tenant.clone().unwrap_or(TenantId::NONE),
            address,
            Carried::of(head),
        ));
        let verifier = Arc::clone(&session);
        let extensions = request.extensions_mut();
        if let Some(principal) = extensions.get_mut::<Principal>() {
            principal.set_session(verifier);
        } else {
            let nobody = Principal::new(TenantId::NONE).with_session(verifier);
            extensions.insert(nobody);
        }
        extensions.insert(Session { inner: Arc::clone(&session) });
        Some(session)
    }
}

impl<S, B, R> Service<Request<B>> for WithSession<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = SessionFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let begun = self.begin(&mut request).map(|session| (session, INSTRUMENTS.observe()));
        SessionFuture::new(self.inner.call(request), begun)
    }
}
