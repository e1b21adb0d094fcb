//! What the tests of several modules need.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Some JSON value.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-1000_i64..1000).prop_map(Value::from),
        (-1000_i32..1000).prop_map(|n| Value::from(f64::from(n) / 8.0)),
        "[ a-zA-Zé\"\\\\\n\u{1}😀]{0,8}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            any_members(inner).prop_map(Value::Object),
        ]
    })
}

/// Some JSON object.
pub(crate) fn any_object() -> impl Strategy<Value = Value> {
    any_members(any_value()).prop_map(Value::Object)
}

fn any_members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map("[a-eé\"]{1,3}", value, 0..5)
        .prop_map(|members| members.into_iter().collect())
}

/// Every way to change a value a little.
pub(crate) fn changed(value: &Value) -> Vec<Value> {
    let mut all = vec![match value {
        Value::Null => json!(false),
        Value::Bool(b) => json!(!b),
        Value::Number(n) => json!(n.as_f64().unwrap() + 1.0),
        Value::String(s) => json!(format!("{s} ")),
        Value::Array(a) => Value::Array(a.iter().cloned().chain([Value::Null]).collect()),
        Value::Object(o) => {
            let mut o = o.clone();
            o.insert("~new".into(), Value::Null);
            Value::Object(o)
        }
    }];
    match value {
        Value::String(s) => {
            // Nothing is trimmed, and letters are not folded.
            all.extend([json!(format!(" {s}")), json!(s.to_uppercase()), json!(s.to_lowercase())]);
            all.retain(|other| other != value);
        }
        Value::Array(a) => {
            if a.first() != a.last() {
                all.push(Value::Array(a.iter().rev().cloned().collect()));
            }
            for (i, element) in a.iter().enumerate() {
                all.extend(changed(element).into_iter().map(|element| {
                    let mut a = a.clone();
                    a[i] = element;
                    Value::Array(a)
                }));
            }
        }
        Value::Object(o) => {
            for (name, member) in o {
                let mut less = o.clone();
                less.remove(name);
                all.push(Value::Object(less));
                all.extend(changed(member).into_iter().map(|member| {
                    let mut o = o.clone();
                    o.insert(name.clone(), member);
                    Value::Object(o)
                }));
            }
        }
        _ => {}
    }
    all
}

/// Spells a value in some way: order of members, white space, escapes, numbers.
pub(crate) struct Spelled(u64);

impl Spelled {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// Xorshift: enough to shuffle with.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % bound as u64).unwrap()
    }

    fn space(&mut self, out: &mut String) {
        out.push_str(["", "", " ", "\n", "\t ", "\r\n"][self.below(6)]);
    }

    pub(crate) fn spell(&mut self, value: &Value) -> String {
        let mut out = String::new();
        self.space(&mut out);
        self.value(value, &mut out);
        self.space(&mut out);
        out
    }

    fn value(&mut self, value: &Value, out: &mut String) {
        match value {
            Value::Number(number) => out.push_str(&self.number(number)),
            Value::String(text) => self.string(text, out),
            Value::Array(elements) => {
                out.push('[');
                for (i, element) in elements.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    self.space(out);
                    self.value(element, out);
                    self.space(out);
                }
                out.push(']');
            }
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                for i in (1..members.len()).rev() {
                    let other = self.below(i + 1);
                    members.swap(i, other);
                }
                out.push('{');
                for (i, (name, value)) in members.into_iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    self.space(out);
                    self.string(name, out);
                    self.space(out);
                    out.push(':');
                    self.space(out);
                    self.value(value, out);
                    self.space(out);
                }
                out.push('}');
            }
            Value::Null | Value::Bool(_) => out.push_str(&value.to_string()),
        }
    }

    fn number(&mut self, number: &serde_json::Number) -> String {
        let plain = number.to_string();
        match self.below(4) {
            0 => plain,
            1 if plain.contains('.') => plain + "00",
            1 => plain + ".0",
            2 => plain + "e0",
            _ => plain + "E+00",
        }
    }

    fn string(&mut self, text: &str, out: &mut String) {
        out.push('"');
        for character in text.chars() {
            let must = matches!(character, '"' | '\\') || character < ' ';
            if must || self.below(4) == 0 {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04X}").unwrap();
                }
            } else {
                out.push(character);
            }
        }
        out.push('"');
    }
}
