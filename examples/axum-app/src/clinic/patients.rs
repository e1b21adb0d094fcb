//! `GET /api/patients` and `GET /api/patients/{id}`.

use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    response::Response,
};
use serde::{Deserialize, Serialize};

use crate::{
    auth::SignedIn,
    clinic::Clinic,
    page::{self, PAGE},
    problem::Problem,
};

/// The type that pages of patients are invalidated by.
pub(super) const PAGES: &str = "patient-page";
/// The type that a patient is invalidated by.
pub(super) const PATIENT: &str = "patient";

/// The longest text that is searched for, in bytes.
const MAX_SEARCH: usize = 100;

/// A patient, and what was prescribed for them.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Patient {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) born: String,
    pub(super) ward: String,
    pub(super) prescriptions: i64,
    pub(super) cost_cents: i64,
    pub(super) last_prescribed: Option<String>,
}

pub(super) type Row = (i64, String, String, String, i64, i64, Option<String>);

impl From<Row> for Patient {
    fn from((id, name, born, ward, prescriptions, cost_cents, last_prescribed): Row) -> Self {
        Self { id, name, born, ward, prescriptions, cost_cents, last_prescribed }
    }
}

#[derive(Serialize, Deserialize)]
struct Found {
    page: u32,
    pages: i64,
    total: i64,
    patients: Vec<Patient>,
}

/// The costly ones first, so that what all of them cost has to be known for each page.
const SEARCH: &str =
    "SELECT p.id, p.name, p.born, p.ward, count(r.id), coalesce(sum(r.per_day * r.days * m.price_cents), 0) AS cost,
        max(r.issued)
    FROM patients p
    LEFT JOIN prescriptions r ON r.tenant = ?1 AND r.patient = p.id
    LEFT JOIN products m ON m.tenant = ?1 AND m.id = r.product
    WHERE p.tenant = ?1 AND p.name LIKE ?2 ESCAPE '!'
    GROUP BY p.id ORDER BY cost DESC, p.id LIMIT ?3 OFFSET ?4";
const COUNT: &str = "SELECT count(*) FROM patients WHERE tenant = ?1 AND name LIKE ?2 ESCAPE '!'";
const ONE: &str = "SELECT p.id, p.name, p.born, p.ward, count(r.id),
        coalesce(sum(r.per_day * r.days * m.price_cents), 0), max(r.issued)
    FROM patients p
    LEFT JOIN prescriptions r ON r.tenant = ?1 AND r.patient = p.id
    LEFT JOIN products m ON m.tenant = ?1 AND m.id = r.product
    WHERE p.tenant = ?1 AND p.id = ?2
    GROUP BY p.id";

/// What is looked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    search: Option<String>,
    page: Option<String>,
}

/// `GET /api/patients?search=&page=`: those whose name holds the text, all if there is none.
pub(super) async fn search(
    State(clinic): State<Clinic>,
    SignedIn { session, .. }: SignedIn,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Response, Problem> {
    let wish = page::parameters(wish)?;
    let page = page::number(wish.page.as_deref())?;
    // As the database compares: who asks for `SMITH` gets what is kept for `smith`.
    let text = wish.search.unwrap_or_default().trim().to_ascii_lowercase();
    if text.len() > MAX_SEARCH || text.contains(char::is_control) {
        let detail = format!("`search` has at most {MAX_SEARCH} bytes, and no control characters");
        return Err(Problem::bad_request(detail));
    }
    let tenant = session.tenant().clone();
    let key = clinic.query(&tenant, SEARCH, (&text, page.get()))?.of_type(PAGES);
    let load = async move |pool: sqlx::SqlitePool| {
        let pattern = format!("%{}%", literal(&text));
        let rows = sqlx::query_as(SEARCH).bind(tenant.as_str()).bind(&pattern);
        let rows: Vec<Row> = rows.bind(PAGE).bind(page.offset()).fetch_all(&pool).await?;
        let total = sqlx::query_scalar(COUNT).bind(tenant.as_str()).bind(&pattern);
        let total: i64 = total.fetch_one(&pool).await?;
        let pages = (total + i64::from(PAGE) - 1) / i64::from(PAGE);
        let patients = rows.into_iter().map(Patient::from).collect();
        Ok(Some(Found { page: page.get(), pages, total, patients }))
    };
    let found = clinic.find(&key, &clinic.classes.query, load).await;
    Ok(found.answer("no such page"))
}

/// The text as a pattern that only it is like.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern
}

/// `GET /api/patients/{id}`.
pub(super) async fn one(
    State(clinic): State<Clinic>,
    SignedIn { session, .. }: SignedIn,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let Some(id) = page::id(&id) else { return Err(Problem::not_found(UNKNOWN)) };
    let tenant = session.tenant().clone();
    let key = clinic.named(&tenant, PATIENT, id);
    let load = async move |pool: sqlx::SqlitePool| {
        let row = sqlx::query_as(ONE).bind(tenant.as_str()).bind(id);
        let row: Option<Row> = row.fetch_optional(&pool).await?;
        Ok(row.map(Patient::from))
    };
    let found = clinic.find(&key, &clinic.classes.patient, load).await;
    Ok(found.answer(UNKNOWN))
}

const UNKNOWN: &str = "no such patient";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_only_characters() {
        for (text, pattern) in
            [("smith", "smith"), ("50%", "50!%"), ("a_b!", "a!_b!!"), ("\\", "\\")]
        {
            assert_eq!(literal(text), pattern);
        }
    }
}
