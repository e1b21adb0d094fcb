//! `GET /api/analytics/summary`.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use tower_keep::TenantId;

use crate::{auth::SignedIn, clinic::Clinic, problem::Problem};

/// The type that it is invalidated by.
pub(super) const ANALYTICS: &str = "analytics";

#[derive(Serialize, Deserialize)]
struct Summary {
    patients: i64,
    prescriptions: i64,
    cost_cents: i64,
    wards: Vec<Ward>,
    products: Vec<Product>,
    months: Vec<Month>,
}

#[derive(Serialize, Deserialize)]
struct Ward {
    name: String,
    patients: i64,
    prescriptions: i64,
    cost_cents: i64,
}

#[derive(Serialize, Deserialize)]
struct Product {
    id: i64,
    name: String,
    prescriptions: i64,
    cost_cents: i64,
}

#[derive(Serialize, Deserialize)]
struct Month {
    #[serde(rename = "month")]
    name: String,
    prescriptions: i64,
    cost_cents: i64,
}

/// The wards with the most patients: anybody may name one.
const WARDS: &str = "SELECT p.ward, count(DISTINCT p.id) AS patients, count(r.id),
        coalesce(sum(r.per_day * r.days * m.price_cents), 0)
    FROM patients p
    LEFT JOIN prescriptions r ON r.tenant = ?1 AND r.patient = p.id
    LEFT JOIN products m ON m.tenant = ?1 AND m.id = r.product
    WHERE p.tenant = ?1
    GROUP BY p.ward ORDER BY patients DESC, p.ward LIMIT 20";
const PRODUCTS: &str =
    "SELECT m.id, m.name, count(*), sum(r.per_day * r.days * m.price_cents) AS cost
    FROM prescriptions r
    JOIN products m ON m.tenant = ?1 AND m.id = r.product
    WHERE r.tenant = ?1
    GROUP BY m.id ORDER BY cost DESC, m.id LIMIT 10";
const MONTHS: &str =
    "SELECT substr(r.issued, 1, 7) AS month, count(*), sum(r.per_day * r.days * m.price_cents)
    FROM prescriptions r
    JOIN products m ON m.tenant = ?1 AND m.id = r.product
    WHERE r.tenant = ?1
    GROUP BY month ORDER BY month";
const PATIENTS: &str = "SELECT count(*) FROM patients WHERE tenant = ?1";

/// Goes through all that the tenant has, four times.
pub(super) async fn summary(
    State(clinic): State<Clinic>,
    SignedIn { session, .. }: SignedIn,
) -> Result<Response, Problem> {
    let tenant = session.tenant().clone();
    let key = clinic.query(&tenant, "summary", 1)?.of_type(ANALYTICS);
    let load = async move |pool| load(&pool, &tenant).await.map(Some);
    let found = clinic.find(&key, &clinic.classes.analytics, load).await;
    Ok(found.answer("no summary"))
}

async fn load(pool: &SqlitePool, tenant: &TenantId) -> sqlx::Result<Summary> {
    let tenant = tenant.as_str();
    // All of it as it was at one time.
    let mut step = pool.begin().await?;
    let patients = sqlx::query_scalar(PATIENTS).bind(tenant).fetch_one(&mut *step).await?;
    let wards: Vec<(String, i64, i64, i64)> =
        sqlx::query_as(WARDS).bind(tenant).fetch_all(&mut *step).await?;
    let products: Vec<(i64, String, i64, i64)> =
        sqlx::query_as(PRODUCTS).bind(tenant).fetch_all(&mut *step).await?;
    let months: Vec<(String, i64, i64)> =
        sqlx::query_as(MONTHS).bind(tenant).fetch_all(&mut *step).await?;
    step.commit().await?;
    Ok(Summary {
        patients,
        prescriptions: months.iter().map(|(_, prescriptions, _)| prescriptions).sum(),
        cost_cents: months.iter().map(|(_, _, cost)| cost).sum(),
        wards: wards
            .into_iter()
            .map(|(name, patients, prescriptions, cost_cents)| Ward {
                name,
                patients,
                prescriptions,
                cost_cents,
            })
            .collect(),
        products: products
            .into_iter()
            .map(|(id, name, prescriptions, cost_cents)| Product {
                id,
                name,
                prescriptions,
                cost_cents,
            })
            .collect(),
        months: months
            .into_iter()
            .map(|(name, prescriptions, cost_cents)| Month { name, prescriptions, cost_cents })
            .collect(),
    })
}
