//! `POST /api/patients`.

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use tower_keep::{Invalidate, TenantId};

use crate::{
    auth::SignedIn,
    body,
    clinic::{
        Clinic,
        analytics::ANALYTICS,
        patients::{PAGES, PATIENT, Patient},
        private,
    },
    database::failed,
    problem::Problem,
};

/// The longest name, in characters.
const MAX_NAME: usize = 100;
/// The longest name of a ward, in characters.
const MAX_WARD: usize = 50;
/// Nobody is older.
const FIRST_YEAR: u32 = 1900;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Newcomer {
    name: String,
    born: String,
    ward: String,
}

/// The next number of the tenant's, unless they are not born yet where the sun rises first. As one
/// step, so that no two get the same.
const ADD: &str = "INSERT INTO patients (tenant, id, name, born, ward)
    SELECT ?1, coalesce(max(id), 0) + 1, ?2, ?3, ?4 FROM patients WHERE tenant = ?1
    HAVING ?3 <= date('now', '+14 hours')
    RETURNING id";

/// Adds a patient, and makes invalid what does not know them: pages, the summary, and that there is
/// nobody of their number.
pub(super) async fn add(
    State(clinic): State<Clinic>,
    SignedIn { session, .. }: SignedIn,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Response, Problem> {
    let newcomer =
        body::object(body, r#"the body is {"name":"…","born":"1970-12-31","ward":"…"}"#)?;
    let newcomer = check(newcomer)?;
    // Seen through also if nobody waits for it any more: what is added is made known.
    let added = tokio::spawn(async move { clinic.add(session.tenant(), newcomer).await });
    let gone = |_| Problem::busy("it is not known what came of it");
    let patient = added.await.map_err(gone)??;
    let location = [(header::LOCATION, format!("/api/patients/{}", patient.id))];
    let mut response = (StatusCode::CREATED, location, Json(patient)).into_response();
    private(&mut response);
    Ok(response)
}

impl Clinic {
    async fn add(&self, tenant: &TenantId, newcomer: Newcomer) -> Result<Patient, Problem> {
        let Newcomer { name, born, ward } = newcomer;
        let id = sqlx::query_scalar(ADD).bind(tenant.as_str()).bind(&name).bind(&born).bind(&ward);
        let id: Option<i64> =
            id.fetch_optional(&self.pool).await.map_err(|error| failed(&error))?;
        let id =
            id.ok_or_else(|| Problem::unprocessable("`born` is a day that has not come yet"))?;
        let key = self.named(tenant, PATIENT, u32::try_from(id).unwrap_or(u32::MAX));
        let stale = [Invalidate::Type(PAGES), Invalidate::Type(ANALYTICS), Invalidate::Key(&key)];
        self.kept.invalidate(tenant, stale).await;
        let (prescriptions, cost_cents, last_prescribed) = (0, 0, None);
        Ok(Patient { id, name, born, ward, prescriptions, cost_cents, last_prescribed })
    }
}

/// The newcomer, without blanks around the names, or what is wrong with them. Nothing of the body is
/// repeated.
fn check(Newcomer { name, born, ward }: Newcomer) -> Result<Newcomer, Problem> {
    let name = text(&name, MAX_NAME).ok_or_else(|| {
        Problem::unprocessable("`name` has 1 to 100 characters, and no control characters")
    })?;
    let ward = text(&ward, MAX_WARD).ok_or_else(|| {
        Problem::unprocessable("`ward` has 1 to 50 characters, and no control characters")
    })?;
    if !is_date(&born) {
        return Err(Problem::unprocessable("`born` is a day from 1900 on, like 1970-12-31"));
    }
    Ok(Newcomer { name, born, ward })
}

fn text(text: &str, longest: usize) -> Option<String> {
    let text = text.trim();
    let good = (1..=longest).contains(&text.chars().count()) && !text.contains(char::is_control);
    good.then(|| text.to_owned())
}

/// Whether there is such a day, and it is spelled in the one way that sorts.
fn is_date(text: &str) -> bool {
    let digits = |text: &str, length| {
        let plain = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| plain)
    };
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    let (Some(year), Some(month), Some(day), None) = (year, month, day, parts.next()) else {
        return false;
    };
    let (Some(year), Some(month), Some(day)) = (digits(year, 4), digits(month, 2), digits(day, 2))
    else {
        return false;
    };
    let leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leaps => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    year >= FIRST_YEAR && (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_one_that_there_is() {
        for good in ["1900-01-01", "1970-12-31", "2000-02-29", "2024-02-29", "2023-04-30"] {
            assert!(is_date(good), "{good}");
        }
        for bad in [
            "",
            "1899-12-31",
            "1900-02-29",
            "2023-02-29",
            "2023-04-31",
            "2023-13-01",
            "2023-00-10",
            "2023-01-00",
            "2023-1-01",
            "23-01-01",
            "2023-01-01-",
            "2023-01",
            "+023-01-01",
            "2023-01-01T00:00",
            " 2023-01-01",
            "yesterday",
            "١٩٧٠-01-01",
        ] {
            assert!(!is_date(bad), "{bad}");
        }
    }

    #[test]
    fn names_are_trimmed_and_bounded() {
        let longest = "ü".repeat(5);
        assert_eq!(text(&format!(" {longest}\n"), 5).as_deref(), Some(&*longest));
        for bad in ["", " ", "abcdef", "a\u{7}b", "a\nb"] {
            assert_eq!(text(bad, 5), None, "{bad:?}");
        }
    }
}
