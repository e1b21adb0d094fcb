//! The mock, asked as its callers ask it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails where it meets what it did not expect"
)]

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use mock_llm::{Mock, Settings};
use serde_json::{Value, json};
use tower::ServiceExt as _;

struct Got {
    status: StatusCode,
    kind: String,
    frames: Vec<Bytes>,
    broke: bool,
}

impl Got {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.frames.concat()).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// What the events hold.
    fn events(&self) -> Vec<Value> {
        let text = self.text().replace("\r\n", "\n");
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]").map(|d| serde_json::from_str(d).unwrap()).collect()
    }
}

async fn ask(mock: &Mock, path: &str, body: &Value) -> Got {
    let request = Request::post(path).body(Body::from(body.to_string())).unwrap();
    let response = mock.router().oneshot(request).await.unwrap();
    let status = response.status();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let mut body = response.into_body();
    let (mut frames, mut broke) = (Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => frames.extend(frame.into_data()),
            Err(_) => broke = true,
        }
    }
    Got { status, kind, frames, broke }
}

const PATHS: [&str; 4] =
    ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"];

/// A request to any of them: each has its own member for what is asked.
fn request(text: &str) -> Value {
    let messages = json!([{"role": "user", "content": text}]);
    json!({"model": "m", "messages": messages, "prompt": text, "input": text, "max_tokens": 9})
}

fn with(text: &str, more: &Value) -> Value {
    let mut request = request(text);
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

fn stream(text: &str) -> Value {
    with(text, &json!({"stream": true}))
}

#[tokio::test]
async fn equal_requests_have_equal_answers_and_others_have_not() {
    let mock = Mock::default();
    for path in PATHS.into_iter().chain(["/v1/embeddings", "/v1/ocr", "/v1/analyze"]) {
        let (one, again) =
            (ask(&mock, path, &request("a")).await, ask(&mock, path, &request("a")).await);
        assert_eq!((one.status, one.text()), (StatusCode::OK, again.text()));
        assert_ne!(one.text(), ask(&mock, path, &request("b")).await.text(), "{path}");
        assert_eq!(mock.counts()[path], 3);
    }
    assert_eq!(mock.calls(), 21);
    let told = Request::get("/calls").body(Body::empty()).unwrap();
    let told = mock.router().oneshot(told).await.unwrap().into_body().collect().await.unwrap();
    let told: Value = serde_json::from_slice(&told.to_bytes()).unwrap();
    assert_eq!((&told["total"], &told["paths"]["/v1/ocr"]), (&json!(21), &json!(3)));
    let forget = Request::delete("/calls").body(Body::empty()).unwrap();
    assert!(mock.router().oneshot(forget).await.unwrap().status().is_success());
    assert_eq!(mock.calls(), 0);
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says() {
    let mock = Mock::default();
    let marks = "x[[mock:reasoning]]";
    let chat = PATHS[0];
    let whole = ask(&mock, chat, &with(marks, &json!({"n": 2}))).await.json();
    let more = json!({"n": 2, "stream": true, "stream_options": {"include_usage": true}});
    let got = ask(&mock, chat, &with(marks, &more)).await;
    assert_eq!(got.kind, "text/event-stream");
    assert!(got.text().ends_with("data: [DONE]\n\n"));
    let events = got.events();
    for (index, choice) in whole["choices"].as_array().unwrap().iter().enumerate() {
        for field in ["content", "reasoning_content"] {
            let of = |event: &Value| {
                let choice = &event["choices"][0];
                let text = choice["delta"][field].as_str().filter(|_| choice["index"] == index);
                text.unwrap_or_default().to_owned()
            };
            let streamed: String = events.iter().map(of).collect();
            assert_eq!(choice["message"][field], json!(streamed));
        }
    }
    assert_eq!(events.last().unwrap()["usage"], whole["usage"]);

    let whole = ask(&mock, "/v1/responses", &request(marks)).await.json();
    let events = ask(&mock, "/v1/responses", &stream(marks)).await.events();
    assert_eq!(events.last().unwrap()["response"], whole);
    let numbers: Vec<_> = events.iter().map(|event| event["sequence_number"].clone()).collect();
    assert_eq!(numbers, (0..events.len()).map(|n| json!(n)).collect::<Vec<_>>());

    let whole = ask(&mock, "/v1/messages", &request(marks)).await.json();
    let events = ask(&mock, "/v1/messages", &stream(marks)).await.events();
    let text = |event: &Value| event["delta"]["text"].as_str().unwrap_or_default().to_owned();
    assert_eq!(whole["content"][1]["text"], json!(events.iter().map(text).collect::<String>()));
    assert_eq!(events.last().unwrap()["type"], "message_stop");
}

#[tokio::test]
async fn it_fails_as_it_is_told() {
    let mock = Mock::default();
    for path in PATHS {
        let whole = ask(&mock, path, &stream("x")).await.text();
        let broken = ask(&mock, path, &stream("x[[mock:broken]]")).await;
        assert!(broken.broke && broken.status == StatusCode::OK, "{path}");
        let truncated = ask(&mock, path, &stream("x[[mock:truncated]]")).await;
        assert!(!truncated.broke && truncated.text().len() < whole.len());
        assert!(truncated.text().ends_with("\n\n"), "it is cut between events");
        let error = ask(&mock, path, &stream("x[[mock:error]]")).await.events();
        let last = error.last().unwrap();
        assert!(last["error"].is_object() || last["type"] == "error", "{path}");
        for text in ["x[[mock:broken]]", "x[[mock:truncated]]"] {
            let got = ask(&mock, path, &request(text)).await;
            assert_eq!(got.broke, text.contains("broken"));
            assert!(serde_json::from_str::<Value>(&got.text()).is_err());
        }
        for (text, status) in [("[[mock:429]]", 429), ("[[mock:500]]", 500), ("[[mock:529]]", 529)]
        {
            let got = ask(&mock, path, &stream(text)).await;
            assert_eq!((got.status.as_u16(), got.kind.as_str()), (status, "application/json"));
            assert!(got.json()["error"]["message"].is_string());
        }
    }
    let raw = Request::post("/v1/messages").body(Body::from("no JSON")).unwrap();
    assert_eq!(mock.router().oneshot(raw).await.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn answers_end_for_the_reason_that_is_asked_for() {
    let mock = Mock::default();
    for (mark, chat, responses, messages) in [
        ("", "stop", "completed", "end_turn"),
        ("[[mock:tool]]", "tool_calls", "completed", "tool_use"),
        ("[[mock:length]]", "length", "incomplete", "max_tokens"),
        ("[[mock:content_filter]]", "content_filter", "incomplete", "refusal"),
    ] {
        let got = ask(&mock, PATHS[0], &request(mark)).await.json();
        assert_eq!(got["choices"][0]["finish_reason"], chat);
        let events = ask(&mock, PATHS[0], &stream(mark)).await.events();
        assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], chat);
        let got = ask(&mock, "/v1/responses", &request(mark)).await.json();
        assert_eq!(got["status"], responses);
        let got = ask(&mock, "/v1/messages", &request(mark)).await.json();
        assert_eq!(got["stop_reason"], messages);
    }
    let tools = json!({
        "tools": [{"type": "function", "function": {"name": "weather"}}], "tool_choice": "required",
    });
    let got = ask(&mock, PATHS[0], &with("x", &tools)).await.json();
    let call = &got["choices"][0]["message"]["tool_calls"][0]["function"];
    assert_eq!(call["name"], "weather");
    assert!(serde_json::from_str::<Value>(call["arguments"].as_str().unwrap()).is_ok());
}

#[tokio::test]
async fn a_text_has_one_vector_whatever_it_is_asked_for_with() {
    let mock = Mock::default();
    let vectors = async |body: Value| ask(&mock, "/v1/embeddings", &body).await.json();
    let two = vectors(json!({"model": "m", "input": ["a", "b[[mock:shuffle]]"]})).await;
    let one = vectors(json!({"model": "m", "input": "a"})).await;
    assert_eq!((&two["data"][0]["index"], &two["data"][1]["index"]), (&json!(1), &json!(0)));
    assert_eq!(one["data"][0]["embedding"], two["data"][1]["embedding"]);
    assert_ne!(one["data"][0]["embedding"], two["data"][0]["embedding"]);
    let short = vectors(json!({"input": "a", "dimensions": 3})).await;
    assert_eq!(short["data"][0]["embedding"].as_array().unwrap().len(), 3);
    let base64 = vectors(json!({"input": [[1, 2], [3]], "encoding_format": "base64"})).await;
    assert_eq!(
        base64["data"][1]["embedding"].as_str().unwrap().len(),
        (16 * 4_usize).div_ceil(3) * 4
    );
}

#[tokio::test(start_paused = true)]
async fn answers_come_in_pieces_and_take_their_time() {
    let (wait, pause) = (Duration::from_secs(2), Duration::from_secs(1));
    let slow = Mock::new(Settings { wait, pause, bytes: Some(40) });
    let plain = ask(&Mock::default(), PATHS[0], &stream("x")).await;
    let began = tokio::time::Instant::now();
    let got = ask(&slow, PATHS[0], &stream("x")).await;
    assert_eq!(got.text(), plain.text());
    assert!(
        got.frames.iter().all(|frame| frame.len() <= 40) && plain.frames.len() < got.frames.len()
    );
    let pieces = u32::try_from(got.frames.len()).unwrap();
    // The end takes as long as a piece.
    assert_eq!(began.elapsed().as_secs(), (wait + pause * pieces).as_secs());
    let began = tokio::time::Instant::now();
    let told = ask(&slow, PATHS[0], &request("x[[mock:wait=500]][[mock:bytes=9999]]")).await;
    assert_eq!((told.frames.len(), began.elapsed().as_millis()), (1, 1500));
    let odd =
        ask(&Mock::default(), PATHS[3], &stream("x[[mock:crlf]][[mock:comments]]")).await.text();
    assert!(odd.starts_with(": mock\r\n\r\nevent: message_start\r\ndata: "));
}
