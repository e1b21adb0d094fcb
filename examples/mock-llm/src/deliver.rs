//! An answer on its way: at once or in pieces, whole or not.

use std::{io, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};

use crate::{
    Settings,
    api::Api,
    ask::Ask,
    marks::{End, Marks},
};

/// How long what was sent has to leave, before the connection is broken.
const FLUSH: Duration = Duration::from_millis(20);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    is_stream: bool,
    pieces: Vec<Bytes>,
    marks: Marks,
}

impl Answer {
    /// An error in the API's terms.
    pub(crate) fn error(api: Api, status: u16, message: &str) -> Self {
        let body = api.error(status, message).to_string();
        Self { status, is_stream: false, pieces: vec![body.into()], marks: Marks::default() }
    }

    /// The whole at once.
    pub(crate) fn json(ask: &Ask, body: &Value) -> Self {
        let pieces = vec![body.to_string().into()];
        Self { status: 200, is_stream: false, pieces, marks: ask.marks.clone() }
    }

    /// As events, with `error` for the one that says that there was an error.
    pub(crate) fn events(ask: &Ask, events: Vec<String>, error: String) -> Self {
        let marks = ask.marks.clone();
        let mut events = events;
        if marks.end != End::Whole {
            events.truncate(events.len() / 2);
        }
        if marks.end == End::Error {
            events.push(error);
        }
        if marks.has("comments") {
            events = events.into_iter().map(|event| format!(": mock\n\n{event}")).collect();
        }
        if marks.has("crlf") {
            events = events.into_iter().map(|event| event.replace('\n', "\r\n")).collect();
        }
        let pieces = events.into_iter().map(Bytes::from).collect();
        Self { status: 200, is_stream: true, pieces, marks }
    }

    pub(crate) fn deliver(mut self, call: u64, settings: &Settings) -> Response {
        if !self.is_stream && matches!(self.marks.end, End::Broken | End::Truncated) {
            let whole = self.pieces.concat();
            self.pieces =
                vec![Bytes::copy_from_slice(whole.get(..whole.len() / 2).unwrap_or_default())];
        }
        if let Some(bytes) = self.marks.bytes.or(settings.bytes) {
            let whole = self.pieces.concat();
            self.pieces = whole.chunks(bytes.max(1)).map(Bytes::copy_from_slice).collect();
        }
        let (wait, pause) =
            (self.marks.wait.unwrap_or(settings.wait), self.marks.pause.unwrap_or(settings.pause));
        let is_whole = !self.is_stream && self.pieces.len() == 1 && self.marks.end == End::Whole;
        let body = if is_whole && wait.is_zero() {
            Body::from(self.pieces.concat())
        } else {
            in_pieces(self.pieces, wait, pause, self.marks.end == End::Broken)
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or_default();
        let kind = if self.is_stream { "text/event-stream" } else { "application/json" };
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        // What an upstream says of one call only, and no cache may say again.
        let number = HeaderValue::from(call);
        fields.insert("x-request-id", number.clone());
        fields.insert("x-ratelimit-remaining-requests", number);
        fields.insert(header::SET_COOKIE, HeaderValue::from_static("mock=1"));
        if self.status == 429 {
            fields.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// An event; with its name, where the API names them.
pub(crate) fn event(name: Option<&str>, data: &Value) -> String {
    match name {
        Some(name) => format!("event: {name}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
    }
}

/// An event that says its own name.
pub(crate) fn named(data: &Value) -> String {
    event(data.get("type").and_then(Value::as_str), data)
}

/// Tokens, as OpenAI counts them.
pub(crate) fn usage(read: u64, written: u64) -> Value {
    json!({"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written})
}

fn in_pieces(pieces: Vec<Bytes>, wait: Duration, pause: Duration, breaks: bool) -> Body {
    let mut pieces = pieces.into_iter().map(Ok::<Bytes, io::Error>).collect::<Vec<_>>();
    if breaks {
        pieces.push(Err(io::Error::other("the mock breaks the connection")));
    }
    let pieces = pieces.into_iter();
    Body::from_stream(stream::unfold((pieces, wait), move |(mut pieces, time)| async move {
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        let next = pieces.next()?;
        if next.is_err() {
            // What was sent before goes out.
            tokio::time::sleep(FLUSH).await;
        }
        Some((next, (pieces, pause)))
    }))
}
