//! A language model's API without a model: it answers at once, to equal requests equally, and fails
//! where the request says so. For tests, measurements, and programs that have no other upstream.
//!
//! It speaks OpenAI's `/v1/chat/completions`, `/v1/completions`, `/v1/responses` and
//! `/v1/embeddings`, Anthropic's `/v1/messages`, and `/v1/ocr` and `/v1/analyze` in JSON of its own;
//! all but the last three stream. `GET /calls` tells how often each was called, `DELETE /calls`
//! begins anew.
//!
//! What a request holds in double brackets, anywhere in it, decides how it is answered:
//!
//! | mark | what comes |
//! |---|---|
//! | `[[mock:broken]]` | half of the answer, then the connection breaks |
//! | `[[mock:truncated]]` | half of the answer, as if that were all |
//! | `[[mock:error]]` | half of a stream, then an event that says there was an error |
//! | `[[mock:400]]` … `[[mock:599]]` | that status and an error in the API's terms |
//! | `[[mock:content_filter]]` `[[mock:length]]` | an answer that ended for that reason |
//! | `[[mock:tool]]` `[[mock:refusal]]` `[[mock:reasoning]]` | an answer that holds such a thing |
//! | `[[mock:shuffle]]` | vectors in another order than their indexes |
//! | `[[mock:crlf]]` `[[mock:comments]]` | a stream that is written so |
//! | `[[mock:wait=500]]` | the answer begins that many milliseconds later |
//! | `[[mock:pause=10]]` | so many milliseconds between its pieces |
//! | `[[mock:bytes=7]]` | pieces of so many bytes, wherever that cuts events |
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use axum::{body::Body, http::Request};
//! use tower::ServiceExt as _;
//!
//! let mock = mock_llm::Mock::default();
//! let request = Request::post("/v1/chat/completions")
//!     .body(Body::from(r#"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#))
//!     .unwrap();
//! let response = mock.router().oneshot(request).await.unwrap();
//! assert_eq!((response.status().as_u16(), mock.calls()), (200, 1));
//! # }
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use serde_json::{Value, json};

mod api;
mod ask;
mod deliver;
mod marks;
mod words;

use self::{api::Api, ask::Ask, deliver::Answer};

/// The largest request, in bytes.
const MAX_REQUEST: usize = 64 << 20;

/// How answers come, unless a request says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// How long an answer takes to begin.
    pub wait: Duration,
    /// How long each further piece takes.
    pub pause: Duration,
    /// How many bytes a piece has; without, a piece is an event, or the whole.
    pub bytes: Option<usize>,
}

/// The upstream. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Mock {
    settings: Settings,
    calls: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Mock {
    /// An upstream that answers so.
    pub fn new(settings: Settings) -> Self {
        Self { settings, calls: Arc::default() }
    }

    /// How often it was called.
    pub fn calls(&self) -> u64 {
        self.counts().values().sum()
    }

    /// How often it was called, by path.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets that it was called.
    pub fn reset(&self) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// It as a service.
    pub fn router(&self) -> Router {
        let mut router = Router::new().route("/calls", get(tell).delete(forget));
        for api in Api::ALL {
            let answer =
                move |State(mock): State<Self>, body: Bytes| async move { mock.answer(api, &body) };
            router = router.route(api.path(), post(answer));
        }
        router.layer(DefaultBodyLimit::max(MAX_REQUEST)).with_state(self.clone())
    }

    fn answer(&self, api: Api, body: &Bytes) -> Response {
        let call = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            *calls.entry(api.path()).or_default() += 1;
            calls.values().sum()
        };
        let answer = match Ask::read(body) {
            Ok(ask) => match ask.marks.status {
                Some(status) => Answer::error(api, status, "as it was told"),
                None => api.answer(&ask),
            },
            Err(fault) => Answer::error(api, 400, fault),
        };
        answer.deliver(call, &self.settings)
    }
}

async fn tell(State(mock): State<Mock>) -> Json<Value> {
    Json(json!({"total": mock.calls(), "paths": mock.counts()}))
}

async fn forget(State(mock): State<Mock>) {
    mock.reset();
}
