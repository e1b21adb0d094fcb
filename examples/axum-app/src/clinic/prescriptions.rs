//! `GET /api/prescriptions/{id}`.

use axum::{
    extract::{Path, State},
    response::Response,
};
use serde::{Deserialize, Serialize};

use crate::{auth::SignedIn, clinic::Clinic, page, problem::Problem};

/// The type that a prescription is invalidated by.
pub(super) const PRESCRIPTION: &str = "prescription";

#[derive(Serialize, Deserialize)]
struct Prescription {
    id: i64,
    patient: Named,
    product: Named,
    per_day: i64,
    days: i64,
    issued: String,
}

#[derive(Serialize, Deserialize)]
struct Named {
    id: i64,
    name: String,
}

type Row = (i64, i64, String, i64, String, i64, i64, String);

impl From<Row> for Prescription {
    fn from((id, patient, of, product, called, per_day, days, issued): Row) -> Self {
        let patient = Named { id: patient, name: of };
        let product = Named { id: product, name: called };
        Self { id, patient, product, per_day, days, issued }
    }
}

const ONE: &str =
    "SELECT r.id, p.id, p.name, m.id, m.name, r.per_day, r.days, r.issued FROM prescriptions r
    JOIN patients p ON p.tenant = ?1 AND p.id = r.patient
    JOIN products m ON m.tenant = ?1 AND m.id = r.product
    WHERE r.tenant = ?1 AND r.id = ?2";

const UNKNOWN: &str = "no such prescription";

/// What was prescribed stays so, and its class lets it be kept for hours; what it is called now may
/// change, which makes it invalid.
pub(super) async fn one(
    State(clinic): State<Clinic>,
    SignedIn { session, .. }: SignedIn,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let Some(id) = page::id(&id) else { return Err(Problem::not_found(UNKNOWN)) };
    let tenant = session.tenant().clone();
    let key = clinic.named(&tenant, PRESCRIPTION, id);
    let load = async move |pool: sqlx::SqlitePool| {
        let row = sqlx::query_as(ONE).bind(tenant.as_str()).bind(id);
        let row: Option<Row> = row.fetch_optional(&pool).await?;
        Ok(row.map(Prescription::from))
    };
    let found = clinic.find(&key, &clinic.classes.prescription, load).await;
    Ok(found.answer(UNKNOWN))
}
