//! What an answer says of the session.

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tower_keep_core::{Rejection, VerifyUser as _};

use crate::{
    carrier::{self, Via},
    commit::Committed,
    error::SessionError,
    inner::Inner,
    lifetime::Lifetimes,
    outcome::SessionOutcome,
    policy::{SaveOn, Step},
    settings::OnStoreFailure,
    state::{Intent, News, Seal, State},
    store::Change,
};

/// What is left to do once a handler has answered.
pub(crate) enum Due {
    /// Nothing.
    Nothing(SessionOutcome),
    /// To save.
    Saving,
}

/// What is left to do. The answer is that of the handler; `None` where it failed. From now on the
/// session is sealed.
pub(crate) fn due<B>(session: &Inner, answer: Option<&Response<B>>) -> Due {
    let Some(mut state) = session.seal_state() else {
        return Due::Nothing(SessionOutcome::Untouched);
    };
    state.sealed = Seal::Sealed;
    let keeps = match answer {
        // Nobody can be told of a new id. What was to end ends.
        None => {
            let ends = state.intent.ends;
            state.intent = Intent { ends, ..Intent::default() };
            false
        }
        Some(answer) => {
            let saves = session.settings.save_on == SaveOn::Always || !is_server_error(answer);
            // Where a commit has failed before, that is what the answer tells: so it stays.
            saves || (state.intent.moves() && !state.failed)
        }
    };
    let mut discarded = false;
    if !keeps {
        let dropped = std::mem::take(&mut state.change);
        let ends = state.intent.ends;
        discarded = dropped != Change::default() || (state.failed && state.intent.moves() && !ends);
        state.intent = Intent { ends, ..Intent::default() };
    }
    let plan = session.plan(&state);
    let is_due = plan.removes || plan.step != Step::None;
    // Who logs out is to be gone, whatever the store says.
    let saves = match state.lost {
        None => is_due,
        Some(_) => state.intent.ends,
    };
    // Somebody is saving now, or means to: what comes of it belongs to this answer.
    if saves || session.busy.is_held() {
        Due::Saving
    } else if discarded || is_due {
        Due::Nothing(SessionOutcome::Discarded)
    } else if session.is_accessed() {
        Due::Nothing(SessionOutcome::Read)
    } else {
        Due::Nothing(SessionOutcome::Untouched)
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether an answer says that the service has failed: over HTTP, or over gRPC by its trailers
/// alone.
fn is_server_error<B>(answer: &Response<B>) -> bool {
    // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
    let failed = |status: &HeaderValue| {
        matches!(status.as_bytes(), b"2" | b"4" | b"12" | b"13" | b"14" | b"15")
    };
    answer.status().is_server_error() || answer.headers().get(GRPC_STATUS).is_some_and(failed)
}

/// What became of it.
pub(crate) fn outcome(session: &Inner, saved: &Result<Committed, SessionError>) -> SessionOutcome {
    match saved {
        Ok(Committed::Nothing) if session.is_accessed() => SessionOutcome::Read,
        Ok(Committed::Nothing) => SessionOutcome::Untouched,
        Ok(Committed::Touched) => SessionOutcome::Touched,
        Ok(Committed::Written) => SessionOutcome::Written,
        Ok(Committed::Created) => SessionOutcome::Created,
        Ok(Committed::Ended) => SessionOutcome::Ended,
        Ok(Committed::Gone) => SessionOutcome::Gone,
        Err(error) if is_borne(session, error) => SessionOutcome::Discarded,
        Err(_) => SessionOutcome::Refused,
    }
}

/// What is answered instead, where it could not be saved.
pub(crate) fn refusal(session: &Inner, error: Option<SessionError>) -> Option<Rejection> {
    error.filter(|error| !is_borne(session, error)).map(|error| error.rejection())
}

/// Whether the program wants to go on without a store.
fn is_borne(session: &Inner, error: &SessionError) -> bool {
    let goes_on = session.settings.on_store_failure == OnStoreFailure::Anonymous;
    goes_on && matches!(error, SessionError::Store(_))
}

/// Tells the client what it must know, and caches whose answer it is.
pub(crate) fn tell<B>(session: &Inner, answer: &mut Response<B>, outcome: SessionOutcome) {
    expose(session, answer, outcome);
    if let Some(state) = session.begun() {
        write(session, &state, answer.headers_mut());
    }
}

/// Puts the outcome where the program asked for it.
pub(crate) fn expose<B>(session: &Inner, answer: &mut Response<B>, outcome: SessionOutcome) {
    if session.settings.expose_outcome {
        answer.extensions_mut().insert(outcome);
    }
}

fn write(session: &Inner, state: &State, headers: &mut HeaderMap) {
    let settings = &session.settings;
    let name = settings.cookie.cookie_name();
    if session.is_personal() {
        carrier::add_vary(headers, settings.carrier.vary());
    }
    let way = session.way();
    match (state.news, &state.token, way) {
        // It can wait for an answer that is for the client alone, but not for ever.
        (News::Renewed, ..) if carrier::is_shared(headers) && !is_urgent(session) => return,
        (News::Renewed | News::Kept | News::Token, Some(token), way) => {
            let text = token.seal(&settings.ring, &session.tenant, name);
            match way {
                Via::Bearer => carrier::set_token(headers, &text),
                Via::Cookie => {
                    let cookie = settings.cookie.set(&text, session.max_age(state, token));
                    carrier::set_cookie(headers, name, cookie);
                }
            }
        }
        (News::Ended, _, Via::Cookie) => {
            carrier::set_cookie(headers, name, settings.cookie.removal());
        }
        _ => return,
    }
    carrier::no_store(headers);
}

/// Whether the token that the client has is good for little longer.
fn is_urgent(session: &Inner) -> bool {
    session.opened().is_some_and(|opened| Lifetimes::is_urgent(&opened.token, session.now()))
}
