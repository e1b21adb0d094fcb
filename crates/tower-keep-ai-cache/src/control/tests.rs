use http::HeaderValue;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let fields = fields.iter().map(|(name, value)| {
        (name.parse::<http::HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
    });
    // `extend`, not `collect`: a field may come twice.
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(name, value);
    }
    map
}

fn run(
    body: &Value,
    fields: &[(&str, &str)],
    policy: &Policy,
    api: Api,
) -> Result<Plan, BypassReason> {
    let (text, headers) = (body.to_string(), headers(fields));
    let root = Node::read(text.as_bytes()).unwrap();
    let asked = Asked::of(api, &root, false).unwrap();
    decide(&root, &asked, &headers, &Wishes::of(&root, &headers), policy)
}

fn chat(body: &Value, fields: &[(&str, &str)]) -> Result<Plan, BypassReason> {
    run(body, fields, &Policy::default(), Api::OpenAiChat)
}

const PLAIN: Plan = Plan { read: true, oldest: None, ttl: None };
const REFRESH: Plan = Plan { read: false, oldest: None, ttl: None };

fn oldest(seconds: u64) -> Plan {
    Plan { read: seconds > 0, oldest: Some(Duration::from_secs(seconds)), ..PLAIN }
}

fn ttl(seconds: u64) -> Plan {
    Plan { ttl: Some(Duration::from_secs(seconds)), ..PLAIN }
}

#[test]
fn fields_of_the_request_are_heeded() {
    let cc = "cache-control";
    for (fields, expected) in [
        (&[][..], Ok(PLAIN)),
        (&[(cc, "no-cache")], Ok(REFRESH)),
        (&[(cc, "No-Cache")], Ok(REFRESH)),
        (&[(cc, "no-store")], Err(BypassReason::NoStore)),
        (&[(cc, "no-cache, no-store")], Err(BypassReason::NoStore)),
        (&[(cc, "x"), (cc, "max-stale, NO-STORE=1")], Err(BypassReason::NoStore)),
        (&[(cc, "x=\"a, no-store\"")], Err(BypassReason::NoStore)),
        (&[(cc, "max-age=60")], Ok(oldest(60))),
        (&[(cc, "max-age=\"60\" , max-age=50")], Ok(oldest(50))),
        (&[(cc, "max-age=0")], Ok(oldest(0))),
        (&[(cc, "max-age=-1")], Ok(oldest(0))),
        (&[(cc, "max-age")], Ok(oldest(0))),
        (&[(cc, "max-age=99999999999999999999")], Ok(oldest(u64::MAX))),
        (&[(cc, "only-if-cached, foo=bar,,")], Ok(PLAIN)),
        (&[("x-ai-cache-ttl", "60")], Ok(ttl(60))),
        (&[("x-ai-cache-ttl", "60"), ("x-ai-cache-ttl", "30")], Ok(ttl(30))),
        (&[("x-ai-cache-ttl", "soon")], Err(BypassReason::Control)),
        (&[("x-ai-cache-ttl", "1.5")], Err(BypassReason::Control)),
        (&[("content-encoding", "gzip")], Err(BypassReason::Encoded)),
    ] {
        assert_eq!(chat(&json!({"model": "m"}), fields), expected, "{fields:?}");
    }
}

#[test]
fn members_of_the_body_are_heeded() {
    for (body, expected) in [
        (json!({"useCache": true}), Ok(PLAIN)),
        (json!({"useCache": null}), Ok(PLAIN)),
        (json!({"useCache": false}), Err(BypassReason::Refused)),
        (json!({"useCache": "no"}), Err(BypassReason::Control)),
        (json!({"useCache": 0}), Err(BypassReason::Control)),
        (json!({"cache": {"no-cache": true}}), Ok(REFRESH)),
        (json!({"cache": {"no-store": true}}), Err(BypassReason::NoStore)),
        (json!({"cache": {"no-store": false, "ttl": 9}}), Ok(ttl(9))),
        (json!({"cache": {"s-maxage": 7, "max-age": 9.0}}), Ok(oldest(7))),
        (json!({"cache": {}}), Ok(PLAIN)),
        (json!({"cache": {"no-store": true, "other": 1}}), Ok(PLAIN)),
        (json!({"cache": true}), Ok(PLAIN)),
    ] {
        assert_eq!(chat(&body, &[]), expected, "{body}");
    }
    let stricter = chat(&json!({"cache": {"ttl": 9}}), &[("x-ai-cache-ttl", "5")]);
    assert_eq!(stricter, Ok(ttl(5)));
}

#[test]
fn only_what_is_ours_is_no_part_of_the_request() {
    for (body, ours) in [
        (json!({"cache": {"ttl": 1}}), true),
        (json!({"cache": null}), true),
        (json!({"cache": {"ttl": -1}}), false),
        (json!({"cache": {"namespace": "x"}}), false),
        (json!({"cache": "ephemeral"}), false),
    ] {
        let text = body.to_string();
        let root = Node::read(text.as_bytes()).unwrap();
        assert_eq!(Wishes::is_wish(&root, "cache"), ours, "{body}");
        assert!(Wishes::is_wish(&root, "useCache") && !Wishes::is_wish(&root, "user"));
    }
}

#[test]
fn what_does_not_stand_for_itself_is_left_alone() {
    for (body, expected) in [
        (json!({"background": true}), Some(BypassReason::Background)),
        (json!({"background": false, "store": false}), None),
        (json!({"previous_response_id": "r"}), Some(BypassReason::Stateful)),
        (json!({"previous_response_id": null, "conversation": null}), None),
        (json!({"conversation": {"id": "c"}}), Some(BypassReason::Stateful)),
        (json!({"container": "c"}), Some(BypassReason::Stateful)),
        (json!({"store": true}), Some(BypassReason::Stored)),
        (json!({"store": "yes"}), Some(BypassReason::Stored)),
        (json!({"tools": [{"type": "function"}, {"type": "mcp"}]}), Some(BypassReason::Acting)),
        (json!({"tools": [{"type": "function"}], "mcp_servers": []}), None),
        (json!({"mcp_servers": [{"url": "x"}]}), Some(BypassReason::Acting)),
        (json!({"tools": [{"container": "c"}]}), Some(BypassReason::Stateful)),
        (json!({"tools": [{"container": {"type": "auto"}}]}), None),
        (json!({"input": [{"type": "item_reference", "id": "i"}]}), Some(BypassReason::Stateful)),
        (json!({"input": [{"type": "message"}]}), None),
        (json!({"messages": [{"audio": {"id": "a"}}]}), Some(BypassReason::Stateful)),
    ] {
        for api in [Api::OpenAiChat, Api::OpenAiResponses, Api::AnthropicMessages] {
            let found = run(&body, &[], &Policy::default(), api).err();
            assert_eq!(found, expected, "{body}");
            // Elsewhere such words may mean anything.
            assert_eq!(run(&body, &[], &Policy::default(), Api::Json), Ok(PLAIN));
            // Not even for those who ask for it.
            let mut body = body.clone();
            body["useCache"] = json!(true);
            assert_eq!(run(&body, &[], &Policy::default(), api).err(), expected, "{body}");
        }
    }
}

#[test]
fn the_operator_says_which_requests_are_cached() {
    let when_asked = Policy { unless_refused: false, ..Policy::default() };
    let deaf = Policy { heed_wishes: false, ..Policy::default() };
    let cold = Policy { sampled: false, max_choices: 1, ..Policy::default() };
    let all = Policy::default();
    let chat = Api::OpenAiChat;
    for (policy, api, body, expected) in [
        (&when_asked, chat, json!({}), Err(BypassReason::NotAsked)),
        (&when_asked, chat, json!({"useCache": true}), Ok(PLAIN)),
        (&when_asked, chat, json!({"useCache": false}), Err(BypassReason::Refused)),
        (&deaf, chat, json!({"useCache": false, "cache": {"no-store": true}}), Ok(PLAIN)),
        (&deaf, chat, json!({"useCache": 7, "cache": {"ttl": 1}}), Ok(PLAIN)),
        (&all, chat, json!({"temperature": 2, "n": 128}), Ok(PLAIN)),
        (&all, chat, json!({"n": 129}), Err(BypassReason::Choices)),
        (&cold, chat, json!({}), Err(BypassReason::Sampled)),
        (&cold, chat, json!({"temperature": 0.1}), Err(BypassReason::Sampled)),
        (&cold, chat, json!({"temperature": 0.0}), Ok(PLAIN)),
        (&cold, chat, json!({"temperature": 1, "seed": 3}), Ok(PLAIN)),
        (&cold, chat, json!({"temperature": 0, "n": 2}), Err(BypassReason::Choices)),
        (&cold, chat, json!({"useCache": true, "n": 2}), Ok(PLAIN)),
        (&cold, Api::OpenAiEmbeddings, json!({"input": ["a", "b"]}), Ok(PLAIN)),
        (&cold, Api::Json, json!({}), Ok(PLAIN)),
    ] {
        assert_eq!(run(&body, &[], policy, api), expected, "{policy:?} {body}");
    }
}

proptest! {
    #[test]
    fn no_store_is_seen_wherever_it_stands(
        before in "[ -~]{0,12}", after in "[ -~]{0,12}", name in "[nN][oO]-[sS][tT][oO][rR][eE]",
    ) {
        let said = format!("{before},{name} ,{after}");
        prop_assert_eq!(chat(&json!({}), &[("cache-control", &said)]), Err(BypassReason::NoStore));
    }
}
