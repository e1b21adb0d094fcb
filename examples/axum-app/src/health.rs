//! `GET /api/health`.

use axum::{Json, extract::State};
use serde_json::{Value, json};
use tower_keep::Keep;

/// How the application is: always 200, `degraded` while a configured Redis is away.
pub(crate) async fn health(State(keep): State<Keep>) -> Json<Value> {
    let health = keep.health();
    Json(json!({
        "status": health.status.to_string(),
        "store": health.store.to_string(),
        "last_error": health.last_error,
    }))
}
