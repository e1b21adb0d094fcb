use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    answer::{Answer, Form, Vector},
    merge::merge,
    *,
};
use crate::Flaw;

fn root(text: &Bytes) -> Node<'_> {
    Node::read(text).unwrap()
}

fn body(value: &Value) -> Bytes {
    value.to_string().into()
}

fn batch(text: &Bytes) -> Option<Batch> {
    Batch::of(&root(text), |name| name == "user")
}

/// What an upstream answers: a vector that tells its text.
fn vector_of(text: &str) -> Value {
    let sum: u32 = text.bytes().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    json!([text.len() / 2, sum, -1.5e-7])
}

fn answer(request: &Value, order: impl Fn(usize) -> usize) -> Value {
    let texts = request["input"].as_array().unwrap();
    let mut data: Vec<(usize, Value)> = texts
        .iter()
        .enumerate()
        .map(|(i, text)| {
            let vector = vector_of(text.as_str().unwrap());
            (order(i), json!({"object": "embedding", "index": i, "embedding": vector, "x": [i]}))
        })
        .collect();
    data.sort_by_key(|(place, _)| *place);
    let data: Vec<_> = data.into_iter().map(|(_, element)| element).collect();
    let tokens = texts.len() * 3;
    json!({
        "object": "list", "data": data, "model": "m-1",
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "details": {"a": 1}}, "id": "i",
    })
}

#[test]
fn a_batch_is_split_into_texts() {
    let one = body(&json!({"model": "m", "input": "a", "user": "u"}));
    let two = body(&json!({"input": ["b", "a", "b"], "model": "m"}));
    let (one, two) = (batch(&one).unwrap(), batch(&two).unwrap());
    assert_eq!((one.places, two.places), (vec![0], vec![0, 1, 0]));
    assert_eq!(one.texts[0].canonical, two.texts[1].canonical, "one or many, it is the same text");
    assert_eq!((one.texts.len(), two.texts.len()), (1, 2));
    assert_ne!(two.texts[0].canonical, two.texts[1].canonical);
    for (name, value) in [
        ("dimensions", json!(256)),
        ("encoding_format", json!("base64")),
        ("model", json!("n")),
        ("input_type", json!("query")),
    ] {
        let mut other = json!({"model": "m", "input": "a"});
        other[name] = value;
        let other = batch(&body(&other)).unwrap();
        assert_ne!(other.texts[0].canonical, one.texts[0].canonical, "{name}");
    }
}

#[test]
fn what_is_not_texts_passes_as_a_whole() {
    let many: Vec<String> = (0..2049).map(|i| i.to_string()).collect();
    for input in
        [json!([1, 2]), json!([[1], [2]]), json!([]), json!({}), json!(["a", 1]), json!(many)]
    {
        assert!(batch(&body(&json!({"input": input}))).is_none());
    }
    assert!(batch(&body(&json!({"model": "m"}))).is_none());
}

#[test]
fn only_what_is_wanted_is_asked_for_and_the_rest_stays_as_it_came() {
    let text = Bytes::from_static(
        br#"{ "useCache":true, "model" : "m","input":[ "a", "\u0062" ,"c\"]" ], "dimensions":2 }"#,
    );
    let request = batch(&text).unwrap().request(&text, &root(&text), &[1, 2], |n| n == "useCache");
    assert_eq!(request, &br#"{ "model" : "m","input":["\u0062","c\"]"], "dimensions":2 }"#[..]);
}

#[test]
fn an_answer_must_have_each_index_once_and_vectors_of_one_form() {
    let element = |index: Value, embedding: Value| json!({"index": index, "embedding": embedding});
    let e = |index: u64| element(json!(index), json!([0.5, 1]));
    for (data, flaw) in [
        (json!([e(0)]), Some(Flaw::Parts)),
        (json!([e(0), e(1), e(2)]), Some(Flaw::Parts)),
        (json!([e(0), e(0)]), Some(Flaw::Parts)),
        (json!([e(1), e(2)]), Some(Flaw::Parts)),
        (json!([e(0), element(json!(-1), json!([1, 2]))]), Some(Flaw::Parts)),
        (json!([e(0), element(Value::Null, json!([1, 2]))]), Some(Flaw::Malformed)),
        (json!([e(0), element(json!(1), json!([1]))]), Some(Flaw::Malformed)),
        (json!([e(0), element(json!(1), json!("AAAA"))]), Some(Flaw::Malformed)),
        (json!([e(0), element(json!(1), json!([1, null]))]), Some(Flaw::Malformed)),
        (json!([e(0), element(json!(1), json!([1, [2]]))]), Some(Flaw::Malformed)),
        (
            json!([element(json!(1), json!([])), element(json!(0), json!([]))]),
            Some(Flaw::Malformed),
        ),
        (
            json!([element(json!(1), json!("")), element(json!(0), json!(""))]),
            Some(Flaw::Malformed),
        ),
        (Value::Null, Some(Flaw::Malformed)),
        (json!([e(1), e(0)]), None),
        (json!([element(json!(1), json!("AA==")), element(json!(0), json!("AB=="))]), None),
    ] {
        let text = json!({"data": data}).to_string();
        assert_eq!(Answer::read(text.as_bytes(), 2).err(), flaw, "{text}");
    }
    let error = br#"{"error":{"message":"no"}}"#;
    assert_eq!(Answer::read(error, 1).err(), Some(Flaw::Error));
}

#[test]
fn vectors_of_two_models_or_forms_are_never_mixed() {
    let text = json!({"data": [{"index": 0, "embedding": [1.0]}], "model": "m"}).to_string();
    let vector = Answer::read(text.as_bytes(), 1).unwrap().vectors(&[1]).remove(0);
    let merged =
        |other: &Vector| merge(&[0, 1], &[Some(vector.clone()), Some(other.clone())], None);
    assert!(merged(&vector).is_some());
    assert!(merged(&Vector { model: "n".into(), ..vector.clone() }).is_none());
    assert!(merged(&Vector { form: Form::Floats(2), ..vector.clone() }).is_none());
    assert!(merged(&Vector { hole: 10_000, ..vector.clone() }).is_none());
    assert!(merge(&[0, 1], &[Some(vector.clone()), None], None).is_none());
    assert!(merge(&[0, 2], &[Some(vector.clone()), Some(vector)], None).is_none());
}

proptest! {
    /// Whatever is known already, and in whatever order the upstream answers.
    #[test]
    fn each_text_has_its_own_vector(
        texts in prop::collection::vec("[a-d\"é ]{0,3}", 1..12),
        known in any::<u16>(),
        order in any::<usize>(),
    ) {
        let request = json!({"model": "m", "input": texts});
        let text = body(&request);
        let batch = batch(&text).unwrap();
        let all: Vec<usize> = (0..batch.texts.len()).collect();
        let (stored, wanted): (Vec<_>, Vec<_>) =
            all.iter().partition(|i| known & (1 << (**i % 16)) != 0);
        let shuffle = |i: usize| i.wrapping_mul(order | 1).rotate_left(7) ^ order;
        let mut vectors = vec![None; all.len()];
        for wanted in [&stored, &wanted] {
            if wanted.is_empty() { continue; }
            let sent = batch.request(&text, &root(&text), wanted, |_| false);
            let sent: Value = serde_json::from_slice(&sent).unwrap();
            let answer = body(&answer(&sent, shuffle));
            let answer = Answer::read(&answer, wanted.len()).unwrap();
            let lengths = vec![1; wanted.len()];
            let tokens: u64 = answer.vectors(&lengths).iter().map(|vector| vector.tokens).sum();
            prop_assert_eq!(tokens, answer.usage().input);
            for (place, vector) in wanted.iter().zip(answer.vectors(&lengths)) {
                vectors[*place] = Some(vector);
            }
        }
        let sent = batch.request(&text, &root(&text), &wanted, |_| false);
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        let last = body(&answer(&sent, shuffle));
        let last = Answer::read(&last, wanted.len()).unwrap();
        let asked = (!wanted.is_empty()).then_some(&last);
        let merged = merge(&batch.places, &vectors, asked).unwrap();
        let merged: Value = serde_json::from_slice(&merged).unwrap();
        let data = merged["data"].as_array().unwrap();
        prop_assert_eq!(data.len(), texts.len());
        for (i, (element, text)) in data.iter().zip(&texts).enumerate() {
            prop_assert_eq!(&element["index"], &json!(i));
            prop_assert_eq!(&element["embedding"], &vector_of(text));
        }
        prop_assert_eq!(&merged["model"], &json!("m-1"));
        prop_assert_eq!(&merged["usage"]["prompt_tokens"], &json!(texts.len() * 3));
        prop_assert_eq!(&merged["usage"]["total_tokens"], &json!(texts.len() * 3));
        prop_assert_eq!(merged.get("id").is_some(), asked.is_some());
    }

    #[test]
    fn no_answer_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), n in 0_usize..3) {
        let _ = Answer::read(&bytes, n);
    }
}
