use proptest::prelude::*;

use super::*;
use crate::testing::{self, Spelled};

fn canonical(text: &str) -> String {
    let mut out = Vec::new();
    Node::read(text.as_bytes()).unwrap().as_number().unwrap().write_canonical(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_number_has_one_canonical_form_and_loses_no_digit() {
    for (spellings, form) in [
        (&["0", "-0", "0.0", "0e9", "-0.000E-3"][..], "0"),
        (&["1", "1.0", "10e-1", "0.1e1", "1E0", "1e+0"], "1"),
        (&["0.7", "7e-1", "0.70", "70E-2"], "7e-1"),
        (&["100", "1e2", "1E+2", "100.00"], "1e2"),
        (&["-1.25", "-125e-2"], "-125e-2"),
        (&["12345678901234567891"], "12345678901234567891"),
        (&["12345678901234567892"], "12345678901234567892"),
        (&["1e999"], "1e999"),
    ] {
        for spelling in spellings {
            assert_eq!(canonical(spelling), form, "{spelling}");
        }
    }
}

#[test]
fn a_whole_number_is_one_however_it_is_written() {
    for (text, value) in [
        ("0", Some(0)),
        ("-0.0", Some(0)),
        ("3", Some(3)),
        ("3.0", Some(3)),
        ("30e-1", Some(3)),
        ("2e3", Some(2000)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("1e400", None),
        ("-3", None),
        ("0.5", None),
    ] {
        assert_eq!(Node::read(text.as_bytes()).unwrap().as_u64(), value, "{text}");
    }
}

#[test]
fn what_readers_could_take_for_different_things_is_refused() {
    for (text, fault) in [
        (&b"{\"a\":1,\"a\":2}"[..], Fault::Duplicate),
        (b"{\"a\":1,\"\\u0061\":2}", Fault::Duplicate),
        (b"[{\"x\":{\"b\":1,\"c\":1,\"b\":1}}]", Fault::Duplicate),
        (b"\"\xff\"", Fault::Text),
        (b"\"\\ud800\"", Fault::Text),
        (b"\"\\ud800\\u0041\"", Fault::Text),
        (b"\"\\udc00\"", Fault::Text),
        (b"1e100001", Fault::Number),
        (b"1e99999999999999999999", Fault::Number),
        (b"", Fault::Syntax),
        (b"{} {}", Fault::Syntax),
        (b"{\"a\":1,}", Fault::Syntax),
        (b"[1,]", Fault::Syntax),
        (b"{a:1}", Fault::Syntax),
        (b"'a'", Fault::Syntax),
        (b"01", Fault::Syntax),
        (b"+1", Fault::Syntax),
        (b".5", Fault::Syntax),
        (b"5.", Fault::Syntax),
        (b"1e", Fault::Syntax),
        (b"1-2", Fault::Syntax),
        (b"NaN", Fault::Syntax),
        (b"tru", Fault::Syntax),
        (b"\"a\nb\"", Fault::Syntax),
        (b"\"\\x\"", Fault::Syntax),
        (b"\"\\u+041\"", Fault::Syntax),
        (b"\"open", Fault::Syntax),
        (b"\xef\xbb\xbf{}", Fault::Syntax),
        (b"/**/{}", Fault::Syntax),
    ] {
        let found = Node::read(text).err();
        assert_eq!(found, Some(fault), "{}", String::from_utf8_lossy(text));
    }
    let many = (0..100).map(|i| format!("\"k{i}\":0,")).collect::<Vec<_>>().concat();
    assert!(Node::read(format!("{{{many}\"z\":0}}").as_bytes()).is_ok());
    let twice = format!("{{{many}\"k7\":0}}");
    assert_eq!(Node::read(twice.as_bytes()).err(), Some(Fault::Duplicate));
    assert!(Node::read(("[".repeat(128) + &"]".repeat(128)).as_bytes()).is_ok());
    let values = |n: usize| format!("[{}0]", "0,".repeat(n - 1));
    assert!(Node::read(values(1 << 19).as_bytes()).is_ok());
    assert_eq!(Node::read(values((1 << 19) + 1).as_bytes()).err(), Some(Fault::Many));
    let deep = "[".repeat(1_000_000);
    assert_eq!(Node::read(deep.as_bytes()).err(), Some(Fault::Depth));
}

#[test]
fn spans_are_where_values_are_written() {
    let text = br#" { "a" : [ 1 , "x\"" ] , "b":null} "#;
    let root = Node::read(text).unwrap();
    let [a, b] = root.members() else { panic!() };
    assert_eq!(a.value.span.of(text), br#"[ 1 , "x\"" ]"#);
    assert_eq!(a.value.elements()[1].span.of(text), br#""x\"""#);
    assert_eq!(b.value.span.of(text), b"null");
    assert_eq!(text[b.start], b'"');
    assert!(root.get("b").is_none(), "null is as good as none");
}

#[test]
fn a_text_is_skimmed_to_a_depth() {
    let text = br#"{"data":[{"v":[1,2,{"a":[3]}],"i":0}]}"#;
    let root = Node::skim(text, 1).unwrap();
    let element = &root.get("data").unwrap().elements()[0];
    let vector = element.get("v").unwrap();
    assert_eq!((vector.elements().len(), element.get("i").unwrap().as_u64()), (0, Some(0)));
    assert_eq!(vector.span.of(text), br#"[1,2,{"a":[3]}]"#);
    assert!(Node::skim(br#"{"data":[[1,]]}"#, 0).is_err(), "it is read all the same");
}

fn same(node: &Node<'_>, value: &serde_json::Value) -> bool {
    use serde_json::Value as V;
    match (&node.kind, value) {
        (Kind::Null, V::Null) | (Kind::Number(_), V::Number(_)) => true,
        (Kind::Bool(one), V::Bool(other)) => one == other,
        (Kind::String(one), V::String(other)) => one == other,
        (Kind::Array(one), V::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
        }
        (Kind::Object(one), V::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|m| other.get(&*m.name).is_some_and(|v| same(&m.value, v)))
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Node::read(&bytes);
    }

    #[test]
    fn nor_do_bytes_that_look_like_json(text in r#"[\[\]{}",:\\ue0-9+.a-f \n-]{0,60}"#) {
        let ours = Node::read(text.as_bytes());
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        match (&ours, &theirs) {
            (Ok(node), Ok(value)) => prop_assert!(same(node, value)),
            // What we read and they do not is a number that no float holds.
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("out of range")),
            (Err(fault), Ok(_)) => prop_assert!(matches!(fault, Fault::Duplicate | Fault::Number)),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn what_is_written_is_read(value in testing::any_value(), seed in any::<u64>()) {
        let text = Spelled::new(seed).spell(&value);
        prop_assert!(same(&Node::read(text.as_bytes()).unwrap(), &value));
    }
}
