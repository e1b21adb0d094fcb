//! An attempt to log in, as the body tells it.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::{FromRequest as _, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use tower_keep::{Session, TenantId};

use crate::{auth::Auth, problem::Problem};

/// How long the body may be, in bytes.
pub(crate) const MAX_BODY: usize = 8 * 1024;
/// The longest address that mail can be sent to, in bytes.
const MAX_EMAIL: usize = 254;
/// Long enough for any phrase, in bytes.
const MAX_PASSWORD: usize = 1024;

/// What was sent, and whose account it is about.
pub(crate) struct Attempt {
    /// In lower case.
    pub(crate) email: String,
    pub(crate) password: String,
    /// What the account is called by the limits.
    pub(crate) account: String,
}

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: String,
}

/// Reads the body, so that the limits inside know whose account it is about: puts an
/// `Arc<Attempt>` in the request's extensions.
pub(crate) async fn read(
    State(auth): State<Auth>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if !is_json(request.headers()) {
        let title = "the body is no JSON";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, title)
            .detail("send it with `Content-Type: application/json`"));
    }
    let (head, body) = request.into_parts();
    let tenant = Session::of(&head.extensions).map_or(TenantId::NONE, |s| s.tenant().clone());
    // With the route's limit, which it takes from the extensions.
    let mut whole = Request::new(body);
    *whole.extensions_mut() = head.extensions.clone();
    let too_long = || {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long")
            .detail(format!("it has at most {MAX_BODY} bytes"))
    };
    // What says so itself need not be waited for.
    if usize::try_from(whole.body().size_hint().lower()).map_or(true, |bytes| bytes > MAX_BODY) {
        return Err(too_long());
    }
    let body = Bytes::from_request(whole, &()).await.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_long(),
        _ => Problem::bad_request("the body did not arrive"),
    })?;
    let Credentials { email, password } = parse(&body).map_err(Problem::bad_request)?;
    let email = email.to_lowercase();
    let account = auth.key.name(&tenant, &email);
    let mut request = Request::from_parts(head, Body::empty());
    request.extensions_mut().insert(Arc::new(Attempt { email, password, account }));
    Ok(next.run(request).await)
}

/// Whether the body says that it is JSON. A form, which any page can send anywhere, does not.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(kind), None) = (types.next(), types.next()) else { return false };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

/// The credentials, or what is wrong with them. Nothing of the body is repeated.
fn parse(body: &[u8]) -> Result<Credentials, &'static str> {
    const SHAPE: &str = r#"the body is {"email":"…","password":"…"}"#;
    // A list of the two would be taken for them.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(SHAPE);
    }
    let credentials: Credentials = serde_json::from_slice(body).map_err(|_| SHAPE)?;
    if !(1..=MAX_EMAIL).contains(&credentials.email.len()) {
        return Err("`email` has 1 to 254 bytes");
    }
    if !(1..=MAX_PASSWORD).contains(&credentials.password.len()) {
        return Err("`password` has 1 to 1024 bytes");
    }
    Ok(credentials)
}
