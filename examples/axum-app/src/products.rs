//! `/api/products`: what caches may keep, and what makes it invalid.

use axum::{
    Extension, Json, Router,
    extract::{
        DefaultBodyLimit, Path, Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderName, HeaderValue, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::SqlitePool;
use tower_keep::{Principal, TenantId};

use crate::{
    body::{self, MAX_BODY},
    clinic::Kept,
    database::failed,
    page::{self, PAGE, Page},
    problem::Problem,
};

/// Which groups an answer belongs to, and which it makes invalid (RFC 9875).
const GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const INVALIDATES: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// Everybody's, for a minute: the cache of this program may keep it, and so may browsers.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// The longest name, in bytes.
const MAX_NAME: usize = 200;
/// The highest price, in cents.
const MAX_PRICE: i64 = 100_000_000;

/// Something that is sold.
#[derive(Serialize)]
struct Product {
    id: String,
    name: String,
    price_cents: i64,
}

type Row = (i64, String, i64);

impl From<Row> for Product {
    fn from((id, name, price_cents): Row) -> Self {
        Self { id: id.to_string(), name, price_cents }
    }
}

/// What of a product can be changed: all of it at once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    name: String,
    price_cents: i64,
}

/// A tenant that has changed nothing has the samples.
const ALL: &str = "SELECT id, name, price_cents FROM products WHERE tenant = ?1
    UNION ALL SELECT id, name, price_cents FROM sample_products
        WHERE NOT EXISTS (SELECT 1 FROM products WHERE tenant = ?1)
    ORDER BY id LIMIT ?2 OFFSET ?3";
const ONE: &str = "SELECT id, name, price_cents FROM products WHERE tenant = ?1 AND id = ?2
    UNION ALL SELECT id, name, price_cents FROM sample_products
        WHERE NOT EXISTS (SELECT 1 FROM products WHERE tenant = ?1) AND id = ?2";
/// Makes the samples the tenant's own, if it has nothing yet.
const TAKE: &str = "INSERT OR IGNORE INTO products
    SELECT ?1, id, name, price_cents FROM sample_products
        WHERE NOT EXISTS (SELECT 1 FROM products WHERE tenant = ?1)";
const CHANGE: &str = "UPDATE products SET name = ?3, price_cents = ?4 WHERE tenant = ?1 AND id = ?2
    RETURNING id, name, price_cents";

/// What the routes need.
#[derive(Clone)]
struct Shop {
    pool: SqlitePool,
    kept: Kept,
}

/// The routes, to be put inside a principal and a response-cache layer. What is `kept` of products
/// elsewhere is made invalid with them.
pub(crate) fn router(pool: SqlitePool, kept: Kept) -> Router {
    Router::new()
        .route("/api/products", get(list))
        .route("/api/products/{id}", get(one).put(change))
        .route_layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Shop { pool, kept })
}

/// `GET /api/products?page=`.
async fn list(
    State(Shop { pool, .. }): State<Shop>,
    Extension(caller): Extension<Principal>,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Problem> {
    let page = page::number(page::parameters(query)?.page.as_deref())?;
    let rows = sqlx::query_as(ALL).bind(caller.tenant().as_str()).bind(PAGE).bind(page.offset());
    let rows: Vec<Row> = rows.fetch_all(&pool).await.map_err(|error| failed(&error))?;
    let all: Vec<Product> = rows.into_iter().map(Product::from).collect();
    let groups = HeaderValue::from_static(r#""products", "product-list""#);
    Ok(([(header::CACHE_CONTROL, CACHED), (GROUPS, groups)], Json(all)).into_response())
}

/// `GET /api/products/{id}`.
async fn one(
    State(Shop { pool, .. }): State<Shop>,
    Extension(caller): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = page::id(&id).ok_or_else(unknown)?;
    let row = sqlx::query_as(ONE).bind(caller.tenant().as_str()).bind(id);
    let row: Option<Row> = row.fetch_optional(&pool).await.map_err(|error| failed(&error))?;
    let product = Product::from(row.ok_or_else(unknown)?);
    let groups = group(&format!(r#""products", "product-{}""#, product.id));
    Ok(([(header::CACHE_CONTROL, CACHED), (GROUPS, groups)], Json(product)).into_response())
}

/// `PUT /api/products/{id}`: neither it nor the list is answered from the cache any more as it was,
/// nor what tells of it beside patients. The other products are.
async fn change(
    State(shop): State<Shop>,
    Extension(caller): Extension<Principal>,
    Path(id): Path<String>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Response, Problem> {
    let change = parse(body)?;
    let (id, tenant) = (page::id(&id).ok_or_else(unknown)?, caller.tenant().clone());
    // Seen through also if nobody waits for it any more: what is changed is made known.
    let changed = tokio::spawn(async move { shop.change(&tenant, id, change).await });
    let gone = |_| Problem::busy("it is not known what came of it");
    let product = changed.await.map_err(gone)??;
    let groups = group(&format!(r#""product-list", "product-{}""#, product.id));
    Ok(([(INVALIDATES, groups)], Json(product)).into_response())
}

impl Shop {
    async fn change(&self, tenant: &TenantId, id: u32, to: Change) -> Result<Product, Problem> {
        let take = sqlx::query(TAKE).bind(tenant.as_str());
        take.execute(&self.pool).await.map_err(|error| failed(&error))?;
        let row = sqlx::query_as(CHANGE).bind(tenant.as_str()).bind(id);
        let row = row.bind(to.name).bind(to.price_cents).fetch_optional(&self.pool).await;
        let row: Option<Row> = row.map_err(|error| failed(&error))?;
        let product = Product::from(row.ok_or_else(unknown)?);
        self.kept.product_changed(tenant).await;
        Ok(product)
    }
}

/// Ids are plain, so this never fails.
fn group(list: &str) -> HeaderValue {
    HeaderValue::from_str(list).unwrap_or(HeaderValue::from_static(""))
}

fn unknown() -> Problem {
    Problem::not_found("no such product")
}

/// The change, if it is one.
fn parse(body: Result<Json<Value>, JsonRejection>) -> Result<Change, Problem> {
    let change: Change = body::object(body, r#"the body is {"name":"…","price_cents":…}"#)?;
    if change.name.trim().is_empty() || change.name.len() > MAX_NAME {
        return Err(Problem::bad_request("`name` has 1 to 200 bytes"));
    }
    if !(0..=MAX_PRICE).contains(&change.price_cents) {
        return Err(Problem::bad_request("`price_cents` is from 0 to 100000000"));
    }
    Ok(change)
}
