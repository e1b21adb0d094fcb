//! Patients and their prescriptions: what the query cache keeps. Only who is signed in may see it,
//! of their own tenant.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRef},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use sqlx::SqlitePool;
use tower_keep::{
    Cacheable, ConfigError, Keep, LoadError, QueryCache, QueryKey, Source, TenantId, TtlClass,
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
mod overdue;
mod patients;
mod prescriptions;

use self::overdue::Overdue;

/// What the routes need.
#[derive(Clone)]
pub(crate) struct Clinic {
    pool: SqlitePool,
    identity: Arc<str>,
    cache: QueryCache,
    classes: Arc<Classes>,
    overdue: Overdue,
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
pub(crate) fn router(keep: &Keep, auth: Auth, database: &Database) -> Result<Router, ConfigError> {
    let cache = keep.query_cache().build()?;
    let classes = Classes {
        query: keep.ttl_class("query"),
        patient: keep.ttl_class("patient").negative(ABSENT),
        prescription: keep.ttl_class("prescription").negative(ABSENT),
        analytics: keep.ttl_class("analytics"),
    };
    let clinic = Clinic {
        pool: database.pool.clone(),
        identity: database.identity.as_str().into(),
        overdue: Overdue::of(cache.clone()),
        cache,
        classes: Arc::new(classes),
        auth,
    };
    Ok(Router::new()
        .route("/api/patients", get(patients::search).post(adding::add))
        .route("/api/patients/{id}", get(patients::one))
        .route("/api/prescriptions/{id}", get(prescriptions::one))
        .route("/api/analytics/summary", get(analytics::summary))
        .route_layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(clinic))
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
    ) -> Result<Found<T>, Problem>
    where
        T: Cacheable,
        F: Future<Output = sqlx::Result<Option<T>>> + Send + 'static,
    {
        let pool = self.pool.clone();
        if self.overdue.concerns(key.tenant()) {
            let value = load(pool).await.map_err(|error| failed(&error))?.map(Arc::new);
            return Ok(Found { value, status: BYPASS });
        }
        let sought = self.cache.find_or_load(key, class, move || load(pool)).await;
        let sought = sought.map_err(|error| match error {
            LoadError::Loader(error) => failed(&error),
            _ => Problem::busy("too many ask the database"),
        })?;
        Ok(Found { value: sought.value, status: told(sought.source) })
    }
}

/// What there is, if anything.
struct Found<T> {
    value: Option<Arc<T>>,
    status: CacheStatus<'static>,
}

impl<T: Serialize> Found<T> {
    fn answer(self, unknown: &'static str) -> Response {
        let mut response = match self.value {
            Some(value) => Json(&*value).into_response(),
            None => Problem::not_found(unknown).into_response(),
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

/// What became of a request whose tenant has something to be invalidated yet.
const BYPASS: CacheStatus<'static> = CacheStatus {
    hit: false,
    forward: Some(Forward::Bypass),
    forward_status: None,
    ttl: None,
    stored: false,
    collapsed: false,
    key: None,
    detail: None,
};

/// Where the value came from, in the words of RFC 9211.
fn told(source: Source) -> CacheStatus<'static> {
    let detail = Some(source.label());
    if source.is_hit() {
        return CacheStatus { hit: true, detail, ..CacheStatus::default() };
    }
    let collapsed = source == Source::Shared;
    CacheStatus { forward: Some(Forward::Miss), collapsed, ..CacheStatus::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_came_from_is_told() {
        for (source, said) in [
            (Source::Near, "tower-keep; hit; detail=near"),
            (Source::Store, "tower-keep; hit; detail=store"),
            (Source::Stale, "tower-keep; hit; detail=stale"),
            (Source::Loaded, "tower-keep; fwd=miss"),
            (Source::Shared, "tower-keep; fwd=miss; collapsed"),
        ] {
            assert_eq!(told(source).value(), said);
        }
        assert_eq!(BYPASS.value(), "tower-keep; fwd=bypass");
    }
}
