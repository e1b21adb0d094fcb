//! A request, read.

use bytes::Bytes;
use serde_json::Value;

use crate::{
    marks::Marks,
    words::{self, Seed},
};

/// A request.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) body: Value,
    pub(crate) marks: Marks,
    /// Of all that it asks, but not of how the answer is to come.
    pub(crate) seed: Seed,
    pub(crate) stream: bool,
    /// A stream is to tell its usage.
    pub(crate) usage: bool,
    pub(crate) model: String,
    /// What reading it costs.
    pub(crate) tokens: u64,
}

impl Ask {
    pub(crate) fn read(bytes: &Bytes) -> Result<Self, &'static str> {
        let body: Value = serde_json::from_slice(bytes).map_err(|_| "the body is not JSON")?;
        let Value::Object(members) = &body else { return Err("the body is no object") };
        let model = match body.get("model") {
            None => "mock".to_owned(),
            Some(Value::String(model)) => model.clone(),
            Some(_) => return Err("the model is no string"),
        };
        let mut asked = members.clone();
        asked.retain(|name, _| name != "stream" && name != "stream_options");
        let text = Value::Object(asked).to_string();
        let is_true = |value: Option<&Value>| value.and_then(Value::as_bool).unwrap_or_default();
        Ok(Self {
            marks: Marks::of(&text),
            seed: Seed::of(text.as_bytes()),
            stream: is_true(body.get("stream")),
            usage: is_true(body.pointer("/stream_options/include_usage")),
            tokens: words::tokens(&text),
            model,
            body,
        })
    }

    /// How many answers it asks for.
    pub(crate) fn count(&self) -> usize {
        let n = self.body.get("n").and_then(Value::as_u64).unwrap_or(1);
        usize::try_from(n).unwrap_or(1).clamp(1, 128)
    }

    /// The last text in it that somebody has written.
    pub(crate) fn prompt(&self) -> &str {
        let of = |name| self.body.get(name).and_then(last_text);
        of("messages").or_else(|| of("input")).or_else(|| of("prompt")).unwrap_or_default()
    }

    /// The answer of that number.
    pub(crate) fn text(&self, number: usize) -> String {
        let seed = self.seed.sub(number as u64);
        let asked: String = self.prompt().chars().take(80).collect();
        format!("You asked: “{asked}” The mock says {}: {}.", seed.id(""), seed.words(12))
    }

    /// Whether it is to be answered by a call of a tool: `None` if not, else which.
    pub(crate) fn tool(&self) -> Option<String> {
        let is_forced = match self.body.get("tool_choice") {
            Some(Value::String(choice)) => choice == "required",
            Some(Value::Object(choice)) => {
                choice.get("type").is_some_and(|kind| kind != "auto" && kind != "none")
            }
            _ => false,
        };
        if !is_forced && !self.marks.has("tool") {
            return None;
        }
        let first = self.body.pointer("/tools/0");
        let name =
            first.and_then(|tool| tool.get("name").or_else(|| tool.pointer("/function/name")));
        Some(name.and_then(Value::as_str).unwrap_or("mock_tool").to_owned())
    }

    /// What the tool is called with.
    pub(crate) fn arguments(&self) -> String {
        format!(r#"{{"city": "{}"}}"#, self.seed.words(1))
    }
}

fn last_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(elements) => elements.iter().rev().find_map(last_text),
        Value::Object(members) => {
            ["content", "text"].into_iter().find_map(|n| last_text(members.get(n)?))
        }
        _ => None,
    }
}
