//! Patients and their prescriptions: what the query cache keeps. Only who is signed in may see it,
//! of their own tenant.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRef, Request},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use sqlx::SqlitePool;
use tower_keep::{
    Cacheable, Keep, LoadError, QueryKey, Source, TenantId, TtlClass,
    cache_status::{CacheStatus, Forward},
};

use crate::{
    auth::Auth,
    body::MAX_BODY,
    database::{Database, failed},
    problem::Problem,
};

mod adding;
mod analytics;
mod kept;
mod overdue;
mod patients;
mod prescriptions;

pub(crate) use self::kept::Kept;

/// What the routes need.
#[derive(Clone)]
pub(crate) struct Clinic {
    pool: SqlitePool,
    identity: Arc<str>,
    kept: Kept,
    classes: Arc<Classes>,
    auth: Auth,
}

/// How long what is kept.
struct Classes {
    /// Pages of patients.
    query: TtlClass,
    patient: TtlClass,
    prescription: TtlClass,
    analytics: TtlClass,
}

/// The routes, to be put inside a principal and a session layer, and beside the response cache: they
/// are nobody else's to keep.
pub(crate) fn router(keep: &Keep, kept: Kept, auth: Auth, database: &Database) -> Router {
    let classes = Classes {
        query: keep.ttl_class("query"),
        patient: keep.ttl_class("patient").negative(ABSENT),
        prescription: keep.ttl_class("prescription").negative(ABSENT),
        analytics: keep.ttl_class("analytics"),
    };
    let clinic = Clinic {
        pool: database.pool.clone(),
        identity: database.identity.as_str().into(),
        kept,
        classes: Arc::new(classes),
        auth,
    };
    Router::new()
        .route("/api/patients", get(patients::search).post(adding::add))
        .route("/api/patients/{id}", get(patients::one))
        .route("/api/prescriptions/{id}", get(prescriptions::one))
        .route("/api/analytics/summary", get(analytics::summary))
        .route_layer(DefaultBodyLimit::max(MAX_BODY))
        .route_layer(from_fn(tell))
        .with_state(clinic)
}

/// Says of what is answered without a look at what is kept that it is so.
async fn tell(request: Request, next: Next) -> Response {
    let looked_up = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = next.run(request).await;
    if !response.headers().contains_key("cache-status") {
        let forward = Some(if looked_up { Forward::Bypass } else { Forward::Method });
        CacheStatus { forward, ..CacheStatus::default() }.append(response.headers_mut());
    }
    response
}

/// For how long it is remembered that there is nothing of an id.
const ABSENT: std::time::Duration = std::time::Duration::from_secs(10);

impl FromRef<Clinic> for Auth {
    fn from_ref(clinic: &Clinic) -> Self {
        clinic.auth.clone()
    }
}

impl Clinic {
    /// A thing of an id. Its name tells of which database it is: processes on one Redis may have
    /// several, and a new one may follow an old one.
    fn named(&self, tenant: &TenantId, kind: &str, id: u32) -> QueryKey {
        QueryKey::named(tenant, kind, format_args!("{}-{id}", self.identity))
    }

    /// What a query brings, with its parameters.
    fn query(
        &self,
        tenant: &TenantId,
        query: &str,
        parameters: impl Serialize,
    ) -> Result<QueryKey, Problem> {
        QueryKey::query(tenant, query, &(&*self.identity, parameters)).map_err(|error| {
            tracing::error!("{error}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "this cannot be asked for")
        })
    }

    /// The value, kept or loaded, and where it came from.
    async fn find<T, F>(
        &self,
        key: &QueryKey,
        class: &TtlClass,
        load: impl FnOnce(SqlitePool) -> F + Send + 'static,
    ) -> Found<T>
    where
        T: Cacheable,
        F: Future<Output = sqlx::Result<Option<T>>> + Send + 'static,
    {
        let pool = self.pool.clone();
        let (sought, bypassed) = self.kept.find(key, class, move || load(pool)).await;
        let source = sought.as_ref().map_or(Source::Loaded, |sought| sought.source);
        let value = sought.map(|sought| sought.value).map_err(|error| match error {
            LoadError::Loader(error) => failed(&error),
            _ => Problem::busy("too many ask the database"),
        });
        Found { value, status: told(source, bypassed) }
    }
}

/// What there is, if anything, or why that is not known.
struct Found<T> {
    value: Result<Option<Arc<T>>, Problem>,
    status: CacheStatus<'static>,
}

impl<T: Serialize> Found<T> {
    fn answer(self, unknown: &'static str) -> Response {
        let mut response = match self.value {
            Ok(Some(value)) => Json(&*value).into_response(),
            Ok(None) => Problem::not_found(unknown).into_response(),
            Err(problem) => problem.into_response(),
        };
        self.status.append(response.headers_mut());
        private(&mut response);
        response
    }
}

/// It is about people: nobody on the way keeps it, nor does a browser.
fn private(response: &mut Response) {
    let value = HeaderValue::from_static("private, no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, value);
}

/// Where the value came from, in the words of RFC 9211. What is kept is bypassed while the tenant has
/// something to be invalidated yet.
fn told(source: Source, bypassed: bool) -> CacheStatus<'static> {
    let detail = Some(source.label());
    if source.is_hit() {
        return CacheStatus { hit: true, detail, ..CacheStatus::default() };
    }
    let forward = Some(if bypassed { Forward::Bypass } else { Forward::Miss });
    let collapsed = source == Source::Shared;
    CacheStatus { forward, collapsed, ..CacheStatus::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_came_from_is_told() {
        for (source, bypassed, said) in [
            (Source::Near, false, "tower-keep; hit; detail=near"),
            (Source::Store, false, "tower-keep; hit; detail=store"),
            (Source::Stale, false, "tower-keep; hit; detail=stale"),
            (Source::Loaded, false, "tower-keep; fwd=miss"),
            (Source::Shared, false, "tower-keep; fwd=miss; collapsed"),
            (Source::Loaded, true, "tower-keep; fwd=bypass"),
            (Source::Shared, true, "tower-keep; fwd=bypass; collapsed"),
        ] {
            assert_eq!(told(source, bypassed).value(), said);
        }
    }

    #[test]
    fn what_could_not_be_loaded_was_looked_up() {
        let status = told(Source::Loaded, false);
        let found = Found::<()> { value: Err(Problem::busy("the database is away")), status };
        let answer = found.answer("nothing");
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["cache-status"], "tower-keep; fwd=miss");
    }
}
