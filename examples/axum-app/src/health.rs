//! `GET /api/health`.

use axum::{Json, extract::State};
use serde_json::{Value, json};
use tower_keep::{BusState, ConnectionHealth, ConnectionState, Keep};

/// How the application is, as known without asking anybody: always 200, `degraded` while a
/// configured Redis is away.
pub(crate) async fn health(State(keep): State<Keep>) -> Json<Value> {
    let health = keep.health();
    Json(json!({
        "status": health.status.to_string(),
        "store": health.store.to_string(),
        "redis": health.redis.as_ref().map(redis),
        "bus": health.bus.as_ref().map(bus),
    }))
}

fn bus(state: &BusState) -> Value {
    json!({ "state": state.label(), "reason": state.reason() })
}

fn redis(health: &ConnectionHealth) -> Value {
    json!({
        "state": match health.state {
            ConnectionState::Connecting => "connecting",
            ConnectionState::Up => "up",
            ConnectionState::Down => "down",
        },
        "seconds_in_state": health.lasting.as_secs_f64(),
        "latency_ms": health.latency.map(|latency| latency.as_secs_f64() * 1000.0),
        "breaker": if health.state == ConnectionState::Up { "closed" } else { "open" },
        "breaker_openings": health.openings,
        "reconnects": health.reconnects,
        "client_replacements": health.replacements,
        "in_flight": health.in_flight,
        "last_error": health.last_error.as_ref().map(|last| json!({
            "message": last.error.to_string(),
            "seconds_ago": last.ago.as_secs_f64(),
        })),
        "bulk": health.bulk.as_deref().map(redis),
        "server": health.server.as_ref().map(|server| json!({
            "name": server.name,
            "version": server.version,
            "role": server.role.label(),
        })),
    })
}
