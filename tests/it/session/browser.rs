//! A client that keeps cookies.

use std::{convert::Infallible, sync::Mutex};

use http::{HeaderMap, Request, Response, StatusCode, header};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep::{Principal, TenantId};
use tower_keep_session::{Session, SessionLayer, SessionOutcome};

/// One client of one tenant, with a jar for the one cookie.
#[derive(Clone, Debug, Default)]
pub(crate) struct Browser {
    pub(crate) tenant: Option<&'static str>,
    pub(crate) cookie: Option<String>,
    pub(crate) bearer: Option<String>,
    pub(crate) content_type: Option<&'static str>,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Visit<T> {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) outcome: Option<SessionOutcome>,
    /// What the handler made; `None` if it was not asked.
    pub(crate) value: Option<T>,
}

impl<T> Visit<T> {
    /// All `Set-Cookie` lines.
    pub(crate) fn cookies(&self) -> Vec<&str> {
        let all = self.headers.get_all(header::SET_COOKIE).iter();
        all.map(|value| value.to_str().unwrap()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Browser {
    pub(crate) fn of(tenant: &'static str) -> Self {
        Self { tenant: Some(tenant), ..Self::default() }
    }

    pub(crate) fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        if let Some(tenant) = self.tenant {
            let tenant = TenantId::new(tenant).unwrap();
            request.extensions_mut().insert(Principal::new(tenant));
        }
        let mut put = |name, value: String| {
            request.headers_mut().insert(name, value.parse().unwrap());
        };
        if let Some(cookie) = &self.cookie {
            put(header::COOKIE, cookie.clone());
        }
        if let Some(token) = &self.bearer {
            put(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(content_type) = self.content_type {
            put(header::CONTENT_TYPE, content_type.to_owned());
        }
        request
    }

    /// Asks, and keeps the cookie that it is given.
    pub(crate) async fn visit<T, F>(
        &mut self,
        layer: &SessionLayer,
        handler: impl FnOnce(Session) -> F,
    ) -> Visit<T>
    where
        F: Future<Output = T>,
    {
        self.answered(layer, async |session| (StatusCode::OK, handler(session).await)).await
    }

    /// The same with a handler that chooses its status.
    pub(crate) async fn answered<T>(
        &mut self,
        layer: &SessionLayer,
        handler: impl AsyncFnOnce(Session) -> (StatusCode, T),
    ) -> Visit<T> {
        let (handler, value) = (Mutex::new(Some(handler)), Mutex::new(None));
        let service = service_fn(async |request: Request<()>| {
            let session = Session::of(request.extensions()).unwrap().clone();
            let handler = handler.lock().unwrap().take().unwrap();
            let (status, made) = handler(session).await;
            *value.lock().unwrap() = Some(made);
            let mut answer = Response::new(());
            *answer.status_mut() = status;
            Ok::<_, Infallible>(answer)
        });
        let answer = layer.layer(service).oneshot(self.request()).await.unwrap();
        let (head, _) = answer.into_parts();
        self.keep(&head.headers);
        let outcome = head.extensions.get().copied();
        let value = value.into_inner().unwrap();
        Visit { status: head.status, headers: head.headers, outcome, value }
    }

    /// Does with `Set-Cookie` and `x-session-token` what a client does.
    pub(crate) fn keep(&mut self, headers: &HeaderMap) {
        for value in headers.get_all(header::SET_COOKIE) {
            let value = value.to_str().unwrap();
            let pair = value.split(';').next().unwrap();
            let gone = pair.ends_with('=') && value.contains("Max-Age=0");
            self.cookie = (!gone).then(|| pair.to_owned());
        }
        if let Some(token) = headers.get("x-session-token") {
            self.bearer = Some(token.to_str().unwrap().to_owned());
        }
    }
}
