//! `POST /api/ai/query`: a question to a language model, answered through the AI cache.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, FromRef, State, rejection::JsonRejection},
    response::{IntoResponse as _, Response},
    routing::post,
};
use bytes::Bytes;
use futures_util::TryFutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _, service_fn, util::BoxCloneSyncService};
use tower_http::timeout::TimeoutLayer;
use tower_keep::{
    AiCacheOutcome, BoxError, ConfigError, Keep, LateCost, Principal, RequestBody, ResponseBody,
};

use crate::{
    auth::{Auth, SignedIn},
    body::{self, MAX_BODY},
    problem::Problem,
    settings::Model,
};

const DEFAULT_MODEL: &str = "gpt-4o-mini";
const LONGEST_MODEL: usize = 100;
/// Models take their time.
const LONGEST: Duration = Duration::from_secs(120);
/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 4 << 20;

/// Says who has answered.
const UPSTREAM: HeaderName = HeaderName::from_static("x-ai-upstream");
/// What the cache says of an answer.
const TOLD: [HeaderName; 3] =
    [HeaderName::from_static("x-ai-cache"), HeaderName::from_static("cache-status"), header::AGE];

type Ask = Request<Full<Bytes>>;
type Inner = BoxCloneSyncService<Request<RequestBody<Full<Bytes>>>, Response, BoxError>;
type Cached = BoxCloneSyncService<Ask, Response<ResponseBody<Body>>, BoxError>;

#[derive(Clone)]
struct Assistant {
    cached: Cached,
    /// Where the model is, and what it wants to see.
    target: Arc<str>,
    key: Option<HeaderValue>,
    upstream: HeaderValue,
    auth: Auth,
}

impl FromRef<Assistant> for Auth {
    fn from_ref(assistant: &Assistant) -> Self {
        assistant.auth.clone()
    }
}

/// The route, to be put inside a principal and a session layer.
pub(crate) fn router(keep: &Keep, auth: Auth, model: &Model) -> Result<Router, ConfigError> {
    let (inner, upstream): (Inner, _) = match &model.url {
        Some(url) => (remote(url)?, url.as_str()),
        None => (embedded(), "embedded mock"),
    };
    let cached = keep.ai_cache().upstream(upstream).build()?.layer(inner);
    let assistant = Assistant {
        cached: BoxCloneSyncService::new(cached),
        target: format!("{}/v1/chat/completions", model.url.as_deref().unwrap_or_default()).into(),
        key: model.key.clone(),
        upstream: HeaderValue::from_str(upstream)
            .unwrap_or_else(|_| HeaderValue::from_static("remote")),
        auth,
    };
    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LONGEST);
    Ok(Router::new()
        .route("/api/ai/query", post(query))
        .route_layer(DefaultBodyLimit::max(MAX_BODY))
        .route_layer(timeout)
        .with_state(assistant))
}

/// A model without a model, in this process.
fn embedded() -> Inner {
    let mock = mock_llm::Mock::default().router();
    let asked = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
        mock.clone().oneshot(request).map_err(|never: Infallible| match never {})
    });
    BoxCloneSyncService::new(asked)
}

/// A model that is asked over HTTP.
fn remote(url: &str) -> Result<Inner, ConfigError> {
    let connector = connector(url).map_err(|error| {
        ConfigError::new("AI_UPSTREAM_URL", format!("it wants TLS, but {error}"))
    })?;
    let client: Client<_, RequestBody<Full<Bytes>>> =
        Client::builder(TokioExecutor::new()).build(connector);
    let client = client.map_err(BoxError::from).map_response(|response| response.map(Body::new));
    Ok(BoxCloneSyncService::new(client))
}

/// Connects with TLS where the scheme is `https`. Then a model must show a certificate of an
/// authority that the system trusts, or of one in the file that `SSL_CERT_FILE` names.
fn connector(url: &str) -> Result<HttpsConnector<HttpConnector>, BoxError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let tls = url.parse::<Uri>()?.scheme() == Some(&Scheme::HTTPS);
    let config = if tls {
        config.with_native_roots()?
    } else {
        config.with_root_certificates(RootCertStore::empty())
    };
    let config = config.with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
    Ok(connector.enable_http1().build())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wish {
    query: String,
    use_cache: Option<bool>,
    model: Option<String>,
    #[serde(default)]
    stream: bool,
}

impl Wish {
    fn check(&self) -> Result<(), Problem> {
        if self.query.trim().is_empty() {
            return Err(Problem::unprocessable("`query` asks nothing"));
        }
        let named = self.model.as_deref().unwrap_or(DEFAULT_MODEL);
        if named.is_empty() || named.len() > LONGEST_MODEL {
            let detail = format!("`model` has 1 to {LONGEST_MODEL} bytes");
            return Err(Problem::unprocessable(detail));
        }
        Ok(())
    }

    /// The same, as the model is asked.
    fn body(self) -> String {
        let mut body = json!({
            "model": self.model.as_deref().unwrap_or(DEFAULT_MODEL),
            "messages": [{ "role": "user", "content": self.query }],
            "stream": self.stream,
        });
        if let (Some(members), Some(wanted)) = (body.as_object_mut(), self.use_cache) {
            members.insert("useCache".to_owned(), wanted.into());
        }
        body.to_string()
    }
}

/// Asks the model, unless the same was asked before in this tenant. A stream is passed on as it
/// comes; else the answer's text is told.
async fn query(
    State(assistant): State<Assistant>,
    SignedIn { .. }: SignedIn,
    Extension(principal): Extension<Principal>,
    cost: Option<Extension<LateCost>>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Response, Problem> {
    let wish: Wish = body::object(
        body,
        r#"the body is {"query":"What is glaucoma?"}, perhaps with `useCache`, `model` and `stream`"#,
    )?;
    wish.check()?;
    let stream = wish.stream;
    let request = assistant.request(wish, principal, cost.map(|Extension(cost)| cost))?;
    let answer = assistant.cached.clone().oneshot(request).await.map_err(|error| {
        tracing::warn!(error, "the language model was not reached");
        Problem::new(StatusCode::BAD_GATEWAY, "the language model was not reached")
    })?;
    if !answer.status().is_success() {
        return Err(refused(answer.status()));
    }
    let mut told = assistant.told(answer.headers());
    if stream {
        if let Some(kind) = answer.headers().get(header::CONTENT_TYPE) {
            told.insert(header::CONTENT_TYPE, kind.clone());
        }
        return Ok((told, Body::new(answer.into_body())).into_response());
    }
    let outcome = answer.extensions().get::<AiCacheOutcome>().copied();
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
    let nonsense = || Problem::new(StatusCode::BAD_GATEWAY, "the language model's answer is none");
    let body = body.map_err(|_| nonsense())?.to_bytes();
    let whole: Value = serde_json::from_slice(&body).map_err(|_| nonsense())?;
    let text = whole.pointer("/choices/0/message/content").and_then(Value::as_str);
    let told_as_well = json!({
        "answer": text.ok_or_else(nonsense)?,
        "model": whole.get("model"),
        "usage": whole.get("usage"),
        "cache": outcome.map(|outcome| outcome.status.as_str()),
        "tokensSaved": outcome.map(|outcome| outcome.tokens_saved),
        "upstream": assistant.upstream.to_str().unwrap_or_default(),
    });
    Ok((told, Json(told_as_well)).into_response())
}

/// What the model refuses is not the caller's to mend.
fn refused(status: StatusCode) -> Problem {
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Problem::busy("the language model has too much to do");
    }
    let detail = format!("it answered with the status {}", status.as_u16());
    Problem::new(StatusCode::BAD_GATEWAY, "the language model refused").detail(detail)
}

impl Assistant {
    fn request(
        &self,
        wish: Wish,
        principal: Principal,
        cost: Option<LateCost>,
    ) -> Result<Ask, Problem> {
        let mut request = Request::post(&*self.target)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .extension(principal);
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, key.clone());
        }
        if let Some(cost) = cost {
            request = request.extension(cost);
        }
        let nowhere = |_| Problem::new(StatusCode::BAD_GATEWAY, "the language model is nowhere");
        request.body(Full::from(wish.body())).map_err(nowhere)
    }

    fn told(&self, answer: &HeaderMap) -> HeaderMap {
        let mut told = HeaderMap::new();
        for name in TOLD {
            if let Some(value) = answer.get(&name) {
                told.insert(name, value.clone());
            }
        }
        // What was asked is nobody else's.
        told.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        told.insert(UPSTREAM, self.upstream.clone());
        told
    }
}
