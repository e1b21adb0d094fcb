use data_encoding::{BASE64, BASE64_NOPAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{self, Spelled};

fn of(text: &str) -> Vec<u8> {
    value(&Node::read(text.as_bytes()).unwrap())
}

fn of_json(value: &Value) -> Vec<u8> {
    of(&value.to_string())
}

#[test]
fn spellings_are_one_and_values_are_not() {
    for (one, other, same) in [
        (r#"{"a":1,"b":2}"#, "{ \"b\" : 2.0,\n\"a\":1e0 }", true),
        (r#"{"a":"\u00e9\/"}"#, r#"{"a":"é/"}"#, true),
        (r#""a""#, r#""A""#, false),
        (r#""a""#, r#""a ""#, false),
        (r#"["a","b"]"#, r#"["b","a"]"#, false),
        (r#"["a","b"]"#, r#"["a\",\"b"]"#, false),
        ("1", r#""1""#, false),
        ("null", "{}", false),
        (r#"{"a":null}"#, "{}", false),
        ("9007199254740993", "9007199254740992", false),
        ("\"\u{e9}\"", "\"e\u{301}\"", false),
    ] {
        assert_eq!(of(one) == of(other), same, "{one} and {other}");
    }
}

#[test]
fn members_are_left_out_of_the_object_itself_only() {
    let root = br#"{"user":"u","model":"m","deep":{"user":"v"}}"#;
    let out = object(&Node::read(root).unwrap(), |name| name == "user");
    assert_eq!(out, br#"{"deep":{"user":"v"},"model":"m"}"#);
}

fn chat(url: &str) -> Value {
    json!({"content": [{"type": "image_url", "image_url": {"url": url}}]})
}

#[test]
fn a_file_is_known_by_its_bytes_however_they_are_encoded() {
    let bytes: Vec<u8> = (0..3000_u32).map(|i| (i * 7 % 251) as u8).collect();
    let (plain, bare) = (BASE64.encode(&bytes[..2999]), BASE64_NOPAD.encode(&bytes[..2999]));
    let lines = plain.as_bytes().chunks(76).map(|l| str::from_utf8(l).unwrap());
    let broken = lines.collect::<Vec<_>>().join("\r\n");
    assert_ne!(plain, bare);
    let url = |encoded: &str| of_json(&chat(&format!("data:image/png;base64,{encoded}")));
    assert!(url(&plain).len() < 200, "it is short");
    assert_eq!(url(&plain), url(&bare));
    assert_eq!(url(&plain), url(&broken));
    assert_ne!(url(&plain), url(&BASE64.encode(&bytes)), "other bytes");
    let jpeg = of_json(&chat(&format!("data:image/jpeg;base64,{plain}")));
    assert_ne!(url(&plain), jpeg, "another media type");

    let responses =
        |data: &str| of_json(&json!({"input": [{"type": "input_image", "image_url": data}]}));
    let anthropic = |kind: &str, data: &str| {
        of_json(&json!({"source": {"type": kind, "media_type": "image/png", "data": data}}))
    };
    let audio = |data: &str| of_json(&json!({"input_audio": {"data": data, "format": "wav"}}));
    let file = |data: &str| of_json(&json!({"file": {"file_data": data}}));
    for short in [
        responses(&format!("data:image/png;base64,{plain}")),
        anthropic("base64", &plain),
        audio(&plain),
        file(&format!("data:application/pdf;base64,{plain}")),
    ] {
        assert!(short.len() < 250, "{}", String::from_utf8_lossy(&short));
    }
    assert_ne!(audio(&plain), audio(&BASE64.encode(&bytes)));
    assert_eq!(anthropic("base64", &plain), anthropic("base64", &broken));
    assert_ne!(anthropic("text", &plain), anthropic("text", &broken), "that is text");
}

#[test]
fn what_is_no_file_stands_for_itself() {
    let plain = BASE64.encode(&[7; 2999]);
    let url = format!("data:image/png;base64,{plain}");
    let small = format!("data:image/png;base64,{}", BASE64.encode(&[7; 1000]));
    let bad = format!("data:image/png;base64,{}!!!!", BASE64.encode(&[7; 3000]));
    // The last character has bits that are not of any byte.
    let loose = format!("data:image/png;base64,{}B==", &BASE64.encode(&[7; 3001])[..4001]);
    let far = "https://example.com/".to_owned() + &"x".repeat(2000);
    for text in [&small, &bad, &loose, &far] {
        assert!(of_json(&chat(text)).len() > text.len(), "{text:.60}");
    }
    for request in [
        json!({"messages": [{"role": "user", "content": url}]}),
        json!({"messages": [{"content": [{"type": "text", "text": url}]}]}),
        json!({"tools": [{"parameters": {"default": {"url": url}}}]}),
        json!({"data": plain}),
    ] {
        assert!(of_json(&request).len() > plain.len(), "{request:.60}");
    }
}

proptest! {
    #[test]
    fn all_spellings_of_a_value_are_one(
        value in testing::any_value(), one in any::<u64>(), other in any::<u64>(),
    ) {
        let (one, other) = (Spelled::new(one).spell(&value), Spelled::new(other).spell(&value));
        prop_assert_eq!(of(&one), of(&other));
    }

    #[test]
    fn every_change_of_a_value_shows(value in testing::any_value()) {
        let form = of_json(&value);
        for other in testing::changed(&value) {
            prop_assert_ne!(&form, &of_json(&other), "{} and {}", &value, &other);
        }
    }

    #[test]
    fn two_values_share_no_form(one in testing::any_value(), other in testing::any_value()) {
        // Numbers compare by value: 1 and 1.0 are two to serde_json.
        let floats = |v: &Value| serde_json::from_str::<Value>(
            &Spelled::new(1).spell(v)).map(|v| format!("{v:?}"));
        if floats(&one).unwrap() != floats(&other).unwrap() && of_json(&one) == of_json(&other) {
            let number = |v: &Value| v.as_f64();
            prop_assert!(number(&one).is_some() && number(&one) == number(&other));
        }
    }
}
