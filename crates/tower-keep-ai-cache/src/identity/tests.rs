use std::collections::HashMap;

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    provider::{Asked, route::Routes},
    testing::{self, Spelled},
};

mod requests;

/// The identity of a request as the service makes it.
fn of(api: Api, text: &str, keying: &Keying) -> Vec<u8> {
    let root = Node::read(text.as_bytes()).unwrap();
    let stream = root.get("stream").and_then(Node::as_bool).unwrap_or_default();
    let identity = Identity {
        api,
        origin: Origin::default(),
        path: "/v1/x",
        query: None,
        model: root.get("model").and_then(Node::as_str).unwrap_or_default(),
        variant: &Variant::of(&root, stream),
        scope: Scope::default(),
        epoch: 0,
        terms: b"",
        canonical: &keying.canonical(api, &root),
    };
    identity.bytes(&keying.headers, &HeaderMap::new())
}

fn plain(api: Api, body: &Value) -> Vec<u8> {
    of(api, &body.to_string(), &Keying::default())
}

/// Members that tell no requests apart: the list of the documentation, written once more. In the
/// Responses API only the first three do not: its answers say the others again.
const LEFT_OUT: [&str; 9] = [
    "stream_options",
    "useCache",
    "cache",
    "user",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "safety_identifier",
];

#[test]
fn every_field_changed_once_is_another_request_unless_it_is_on_the_list() {
    let mut changes = 0;
    for (api, body) in requests::all() {
        let before = plain(api, &body);
        for (name, value) in body.as_object().unwrap() {
            let with = |value: Option<Value>| {
                let mut body = body.clone();
                let members = body.as_object_mut().unwrap();
                match value {
                    Some(value) => members.insert(name.clone(), value),
                    None => members.remove(name),
                };
                body
            };
            let removed = std::iter::once(with(None));
            for other in testing::changed(value).into_iter().map(|v| with(Some(v))).chain(removed) {
                if name == "stream" || (name == "cache" && !other[name].is_object()) {
                    continue;
                }
                let is_same = plain(api, &other) == before;
                let is_known = api != Api::Json || matches!(&**name, "useCache" | "cache");
                let list = if api == Api::OpenAiResponses { &LEFT_OUT[..3] } else { &LEFT_OUT };
                let left_out = list.contains(&&**name)
                    && is_known
                    && !(name == "cache" && other[name].get("~new").is_some());
                assert_eq!(is_same, left_out, "{api:?} {name}: {}", other[name]);
                changes += 1;
            }
        }
    }
    assert!(changes > 700, "{changes}");
}

#[test]
fn a_field_that_nobody_knows_makes_another_request() {
    for (api, mut body) in requests::all() {
        let mut seen = HashMap::new();
        seen.insert(plain(api, &body), Value::Null);
        for value in [json!(1), json!(2), json!("1"), json!([1]), json!({}), json!(false)] {
            body["some_new_knob"] = value.clone();
            assert_eq!(seen.insert(plain(api, &body), value.clone()), None, "{api:?} {value}");
        }
    }
}

#[test]
fn what_is_left_out_can_be_chosen() {
    let body = json!({"model": "m", "user": "u", "trace": 1, "prompt_cache_key": "k"});
    let by_user = Keying { by_user: true, ..Keying::default() };
    let untraced = Keying { unkeyed: vec!["trace".into()], ..Keying::default() };
    for (name, keying, same) in [
        ("user", &by_user, false),
        ("metadata", &by_user, false),
        ("safety_identifier", &by_user, false),
        ("prompt_cache_key", &by_user, true),
        ("trace", &by_user, false),
        ("trace", &untraced, true),
        ("user", &untraced, true),
    ] {
        let mut other = body.clone();
        other[name] = json!("other");
        let (one, other) = (body.to_string(), other.to_string());
        let api = Api::OpenAiChat;
        assert_eq!(of(api, &one, keying) == of(api, &other, keying), same, "{name}");
    }
}

/// What was stored before the operator changed their mind is no answer after it.
#[test]
fn other_terms_are_other_answers() {
    let keying = |change: &dyn Fn(&mut Keying)| {
        let mut keying = Keying::default();
        change(&mut keying);
        keying
    };
    let header = |name: &'static str| HeaderName::from_static(name);
    let mut all = vec![
        Keying::default().terms(false),
        Keying::default().terms(true),
        keying(&|it| it.by_user = true).terms(false),
        keying(&|it| it.unkeyed.push("a".into())).terms(false),
        keying(&|it| it.unkeyed.extend(["a".into(), "b".into()])).terms(false),
        keying(&|it| it.headers.push(header("a"))).terms(false),
        keying(&|it| it.headers.extend([header("a"), header("b")])).terms(false),
    ];
    assert_eq!(all[0], b"", "what everybody has is not said");
    let turned = keying(&|it| it.unkeyed.extend(["b".into(), "a".into(), "b".into()]));
    assert_eq!(turned.terms(false), all[4], "their order is of no account");
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn a_stream_is_another_answer_and_so_is_one_with_more_in_it() {
    let variant = |body: Value| {
        let text = body.to_string();
        let root = Node::read(text.as_bytes()).unwrap();
        Variant::of(&root, root.get("stream").and_then(Node::as_bool).unwrap_or_default())
    };
    let with = |options: Value| variant(json!({"stream": true, "stream_options": options}));
    let bare = variant(json!({"stream": true}));
    assert_eq!(variant(json!({})), Variant::Json);
    assert_eq!(
        variant(json!({"stream": false, "stream_options": {"include_usage": true}})),
        Variant::Json
    );
    for (options, is_bare) in [
        (json!(null), true),
        (json!({}), true),
        (json!({"include_usage": false}), true),
        (json!({"include_usage": null, "include_obfuscation": null}), true),
        (json!({"include_usage": true}), false),
        // On unless it is said.
        (json!({"include_obfuscation": false}), false),
        (json!({"include_obfuscation": true}), false),
        (json!({"something": true}), false),
        (json!("x"), false),
    ] {
        assert_eq!(with(options.clone()) == bare, is_bare, "{options}");
    }
    assert_ne!(with(json!({"include_usage": true})), with(json!({"something": true})));
}

#[test]
fn each_part_of_an_identity_tells_it_from_others() {
    let fields = |fields: &[(&'static str, &str)]| {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    };
    let (json, events, usage) = (Variant::Json, Variant::Events(vec![]), Variant::Events(vec![1]));
    let base = Identity {
        origin: Origin::default(),
        api: Api::OpenAiChat,
        path: "/v1/chat/completions",
        query: None,
        model: "m",
        variant: &json,
        scope: Scope::default(),
        epoch: 0,
        terms: b"",
        canonical: b"{}",
    };
    let long = [vec![b'a'; 5000], vec![b'b'; 5000], vec![b'a'; 5001]];
    let scope = |credential, user| Scope { credential, user };
    let mut identities = vec![
        base.clone(),
        Identity { path: "/v1/chat/completion", model: "sm", ..base.clone() },
        Identity { origin: Origin { upstream: "a", host: b"" }, ..base.clone() },
        Identity { origin: Origin { upstream: "", host: b"a" }, ..base.clone() },
        Identity { query: Some(""), ..base.clone() },
        Identity { query: Some("api-version=1"), ..base.clone() },
        Identity { model: "n", ..base.clone() },
        Identity { variant: &events, ..base.clone() },
        Identity { variant: &usage, ..base.clone() },
        Identity { variant: &Variant::Vector, ..base.clone() },
        Identity { scope: scope(Some([0; 32]), None), ..base.clone() },
        Identity { scope: scope(Some([1; 32]), None), ..base.clone() },
        Identity { scope: scope(None, Some("")), ..base.clone() },
        Identity { scope: scope(None, Some("u")), ..base.clone() },
        Identity { epoch: 1, ..base.clone() },
        Identity { terms: b"other", ..base.clone() },
        Identity { canonical: b"{ }", ..base.clone() },
    ];
    identities.extend(long.iter().map(|canonical| Identity { canonical, ..base.clone() }));
    let digest = Sha256::digest(&long[0]);
    identities.push(Identity { canonical: &digest, ..base.clone() });
    for api in [
        Api::OpenAiCompletions,
        Api::OpenAiResponses,
        Api::OpenAiEmbeddings,
        Api::AnthropicMessages,
        Api::Json,
    ] {
        identities.push(Identity { api, ..base.clone() });
    }
    let mut all: Vec<Vec<u8>> =
        identities.iter().map(|identity| identity.bytes(&SHAPING, &HeaderMap::new())).collect();
    let shaping = [
        fields(&[("anthropic-beta", "a")]),
        fields(&[("anthropic-beta", "a,b")]),
        fields(&[("anthropic-beta", "a"), ("anthropic-beta", "b")]),
        fields(&[("anthropic-beta", "")]),
        fields(&[("anthropic-version", "a")]),
        fields(&[("openai-beta", "a")]),
        fields(&[("openai-organization", "a")]),
        fields(&[("openai-project", "a")]),
        fields(&[("openai-organization", "a"), ("openai-project", "a")]),
    ];
    all.extend(shaping.iter().map(|headers| base.bytes(&SHAPING, headers)));
    assert!(all.iter().all(|bytes| bytes.len() < 400), "long requests stand by their hash");
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
    let other = fields(&[("x-request-id", "7"), ("accept", "*/*")]);
    assert_eq!(base.bytes(&SHAPING, &other), base.bytes(&SHAPING, &HeaderMap::new()));
}

#[test]
fn the_requests_of_this_test_are_known_to_their_apis() {
    for (api, body) in requests::all() {
        let text = body.to_string();
        let root = Node::read(text.as_bytes()).unwrap();
        assert!(Asked::of(api, &root, false).is_some(), "{api:?}");
    }
    assert!(
        Routes::default().find(&http::Method::POST, "/v1/messages", &HeaderMap::new()).is_none()
    );
}

proptest! {
    #[test]
    fn all_spellings_of_a_request_are_one(seed in any::<u64>()) {
        for (api, body) in requests::all() {
            let spelled = Spelled::new(seed).spell(&body);
            prop_assert_eq!(of(api, &spelled, &Keying::default()), plain(api, &body));
        }
    }

    #[test]
    fn parts_never_flow_into_one_another(
        one in prop::collection::vec("[ab]{0,2}", 4), other in prop::collection::vec("[ab]{0,2}", 4),
    ) {
        let bytes = |parts: &[String]| {
            let [path, model, user, canonical] = parts else { panic!() };
            let identity = Identity {
                origin: Origin::default(),
                api: Api::Json, path, query: None, model, variant: &Variant::Json,
                scope: Scope { credential: None, user: Some(user) }, epoch: 0, terms: b"",
                canonical: canonical.as_bytes(),
            };
            identity.bytes(&[], &HeaderMap::new())
        };
        prop_assert_eq!(bytes(&one) == bytes(&other), one == other);
    }
}
