//! Embeddings, text by text.

use serde_json::{Value, json};

use super::*;

const TEXTS: [&str; 4] = ["a", "b", "c", "d"];

fn embeddings(texts: &[&str]) -> Request<Full<Bytes>> {
    post("/v1/embeddings", &json!({"model": "e", "input": texts}).to_string())
}

/// A vector that says which text it is of.
fn vector(text: &str) -> f64 {
    f64::from(u32::from(text.as_bytes()[0])) / 8.0
}

/// What an upstream answers to these texts, the last first.
fn answer(texts: &[&str], model: &str) -> String {
    let mut data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(i, text)| json!({"object": "embedding", "index": i, "embedding": [vector(text), 0.5]}))
        .collect();
    data.reverse();
    let tokens = 3 * texts.len();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    json!({"object": "list", "data": data, "model": model, "usage": usage}).to_string()
}

async fn vectors(answer: Answer) -> (Vec<f64>, u64) {
    let body: Value = serde_json::from_str(&read(answer).await).unwrap();
    let data = body["data"].as_array().unwrap();
    let mut vectors: Vec<_> = data
        .iter()
        .map(|element| {
            (element["index"].as_u64().unwrap(), element["embedding"][0].as_f64().unwrap())
        })
        .collect();
    vectors.sort_by_key(|(index, _)| *index);
    assert!(vectors.iter().enumerate().all(|(i, (index, _))| i as u64 == *index));
    let tokens = body["usage"]["total_tokens"].as_u64().unwrap();
    (vectors.into_iter().map(|(_, vector)| vector).collect(), tokens)
}

fn expected(texts: &[&str]) -> (Vec<f64>, u64) {
    (texts.iter().map(|text| vector(text)).collect(), 3 * texts.len() as u64)
}

#[tokio::test]
async fn only_what_is_not_known_is_asked_for() {
    let cached = Cached::new();
    for (texts, asked, status) in [
        (&["a", "b"][..], &["a", "b"][..], AiCacheStatus::Miss),
        (&["b", "a"], &[], AiCacheStatus::Hit),
        (&["a"], &[], AiCacheStatus::Hit),
        (&["c", "a", "d", "b", "c"], &["c", "d"], AiCacheStatus::Partial),
        (&TEXTS, &[], AiCacheStatus::Hit),
    ] {
        if !asked.is_empty() {
            cached.upstream.json(&answer(asked, "e"));
        }
        let calls = cached.upstream.calls();
        let told = cached.ask(embeddings(texts)).await;
        assert_eq!(did(&told), status, "{texts:?}");
        let saved = told.extensions().get::<AiCacheOutcome>().unwrap().tokens_saved;
        let known = texts.iter().filter(|text| !asked.contains(text)).count() as u64;
        assert_eq!(saved, 3 * known);
        assert_eq!(told.headers()["content-type"], "application/json");
        assert_eq!(vectors(told).await, expected(texts));
        if asked.is_empty() {
            assert_eq!(cached.upstream.calls(), calls);
        } else {
            let sent: Value =
                serde_json::from_str(&cached.upstream.asked().pop().unwrap().body).unwrap();
            assert_eq!(sent, json!({"model": "e", "input": asked}));
        }
    }
}

/// As old as the oldest of its vectors, and good as long as the first to end.
#[tokio::test]
async fn a_hit_says_how_old_it_is() {
    let cached = Cached::new();
    cached.upstream.json(&answer(&["a"], "e"));
    vectors(cached.ask(embeddings(&["a"])).await).await;
    cached.clock.advance(Duration::from_secs(100));
    cached.upstream.json(&answer(&["b"], "e"));
    let partial = cached.ask(embeddings(&["a", "b"])).await;
    assert_eq!((did(&partial), partial.headers().get("age")), (AiCacheStatus::Partial, None));
    vectors(partial).await;
    cached.clock.advance(Duration::from_secs(20));
    for (texts, age) in [(&["a"], 120), (&["b"], 20)] {
        let hit = cached.ask(embeddings(texts)).await;
        assert_eq!(hit.headers()["age"], age.to_string());
        let told = hit.extensions().get::<AiCacheOutcome>().unwrap().age;
        assert_eq!(told, Some(Duration::from_secs(age)));
        let status = format!("tower-keep; hit; ttl={}", 1800 - age);
        assert_eq!(hit.headers()["cache-status"], status);
    }
    let both = cached.ask(embeddings(&["a", "b"])).await;
    assert_eq!((did(&both), &both.headers()["age"]), (AiCacheStatus::Hit, &"120".parse().unwrap()));
}

/// Who wants new vectors does not share an answer that has old ones in it.
#[tokio::test]
async fn who_follows_gets_none_that_are_too_old() {
    let cached = Cached::new();
    cached.upstream.json(&answer(&["a"], "e"));
    vectors(cached.ask(embeddings(&["a"])).await).await;
    cached.clock.advance(Duration::from_secs(100));
    for (age, expected) in [("300", AiCacheStatus::Coalesced), ("50", AiCacheStatus::Partial)] {
        let texts = ["a", if age == "50" { "c" } else { "b" }];
        let (go, gone) = oneshot::channel::<()>();
        let body = answer(&texts[1..], "e");
        cached.upstream.reply(async move {
            let _ = gone.await;
            Ok(response(200, "application/json", &[&body]))
        });
        let calls = cached.upstream.calls();
        let first = cached.spawn(embeddings(&texts));
        cached.upstream.is_asked(calls + 1).await;
        let follower =
            cached.spawn(with(embeddings(&texts), "cache-control", &format!("max-age={age}")));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        cached.upstream.json(&answer(&["a"], "e"));
        go.send(()).unwrap();
        assert_eq!(did(&first.await.unwrap()), AiCacheStatus::Partial);
        let told = follower.await.unwrap();
        assert_eq!(did(&told), expected, "{age}");
        vectors(told).await;
        if expected == AiCacheStatus::Coalesced {
            cached.upstream.drop_reply();
        }
    }
}

/// An error is told to all who wait for the missing ones.
#[tokio::test]
async fn an_error_for_the_missing_ones_is_told_to_those_who_wait() {
    let cached = Cached::new();
    cached.upstream.json(&answer(&["a"], "e"));
    vectors(cached.ask(embeddings(&["a"])).await).await;
    let (go, gone) = oneshot::channel::<()>();
    cached.upstream.reply(async move {
        let _ = gone.await;
        Ok(response(429, "application/json", &["{}"]))
    });
    let asked: Vec<_> = (0..20).map(|_| cached.spawn(embeddings(&["a", "b"]))).collect();
    cached.upstream.is_asked(2).await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    for answer in asked {
        assert_eq!(answer.await.unwrap().status(), 429);
    }
    assert_eq!(cached.upstream.calls(), 2);
}

#[tokio::test]
async fn vectors_may_come_compressed() {
    let cached = Cached::new();
    cached.upstream.json(&answer(&["a"], "e"));
    vectors(cached.ask(embeddings(&["a"])).await).await;
    let mut response = response(200, "application/json", &[]);
    let (sender, receiver) = mpsc::unbounded_channel();
    sender.send(Ok(crate::coding::gzipped(answer(&["b"], "e").as_bytes()).into())).unwrap();
    response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    let response = response.map(|_| Coming(receiver, SizeHint::default()));
    cached.upstream.reply(async move { Ok(response) });
    drop(sender);
    let told = cached.ask(embeddings(&["a", "b"])).await;
    assert_eq!(
        (did(&told), told.headers().get("content-encoding")),
        (AiCacheStatus::Partial, None)
    );
    assert_eq!(vectors(told).await, expected(&["a", "b"]));
}

#[tokio::test]
async fn a_text_that_comes_twice_is_stored_once() {
    let cached = Cached::new();
    cached.upstream.json(&answer(&["a", "a", "b"], "e"));
    let told = cached.ask(embeddings(&["a", "a", "b"])).await;
    assert_eq!(did(&told), AiCacheStatus::Miss);
    assert_eq!(vectors(told).await, expected(&["a", "a", "b"]));
    let told = cached.ask(embeddings(&["b", "a"])).await;
    assert_eq!((did(&told), vectors(told).await.0), (AiCacheStatus::Hit, expected(&["b", "a"]).0));
}

#[tokio::test]
async fn what_does_not_go_together_is_asked_for_as_a_whole() {
    for partial in [
        answer(&["b"], "another"),
        answer(&["b"], "e").replace(",0.5]", ",0.5,1]"),
        answer(&["b", "c"], "e"),
        answer(&["b"], "e").replace("\"index\":0", "\"index\":1"),
        "{".to_owned(),
    ] {
        let cached = Cached::new();
        cached.upstream.json(&answer(&["a"], "e"));
        vectors(cached.ask(embeddings(&["a"])).await).await;
        cached.upstream.json(&partial);
        cached.upstream.json(&answer(&["a", "b"], "e"));
        let told = cached.ask(embeddings(&["a", "b"])).await;
        assert_eq!(did(&told), AiCacheStatus::Miss);
        assert_eq!(vectors(told).await, expected(&["a", "b"]));
        let sent: Value =
            serde_json::from_str(&cached.upstream.asked().pop().unwrap().body).unwrap();
        assert_eq!(sent["input"], json!(["a", "b"]));
        let told = cached.ask(embeddings(&["b", "a"])).await;
        assert_eq!((did(&told), vectors(told).await), (AiCacheStatus::Hit, expected(&["b", "a"])));
    }
}

#[tokio::test]
async fn an_error_is_told_as_it_is_and_nothing_of_it_is_stored() {
    let cached = Cached::new();
    cached.upstream.json(&answer(&["a"], "e"));
    vectors(cached.ask(embeddings(&["a"])).await).await;
    for _ in 0..2 {
        cached.upstream.answers(429, "application/json", "{\"error\":{}}");
        let told = cached.ask(embeddings(&["a", "b"])).await;
        assert_eq!((did(&told), told.status().as_u16()), (AiCacheStatus::Miss, 429));
        assert_eq!(told.headers()["retry-after"], "3");
        assert_eq!(read(told).await, "{\"error\":{}}");
    }
    cached.upstream.json(&answer(&["b"], "e"));
    assert_eq!(did(&cached.ask(embeddings(&["a", "b"])).await), AiCacheStatus::Partial);
}

#[tokio::test]
async fn many_who_want_the_same_ask_once() {
    for known in [&[][..], &["a"]] {
        let cached = Cached::new();
        if !known.is_empty() {
            cached.upstream.json(&answer(known, "e"));
            vectors(cached.ask(embeddings(known)).await).await;
        }
        let missing: Vec<_> = ["a", "b"].into_iter().filter(|text| !known.contains(text)).collect();
        let (go, gone) = oneshot::channel::<()>();
        let body = answer(&missing, "e");
        cached.upstream.reply(async move {
            let _ = gone.await;
            Ok(response(200, "application/json", &[&body]))
        });
        let asking: Vec<_> = (0..50).map(|_| cached.spawn(embeddings(&["a", "b"]))).collect();
        cached.upstream.is_asked(1 + known.len()).await;
        go.send(()).unwrap();
        for told in asking {
            assert_eq!(vectors(told.await.unwrap()).await, expected(&["a", "b"]));
        }
        assert_eq!(cached.upstream.calls(), 1 + known.len());
    }
}

#[tokio::test]
async fn numbers_and_base64_are_kept_apart_and_tokens_are_kept_as_a_whole() {
    let cached = Cached::new();
    cached.upstream.json(&answer(&["a"], "e"));
    vectors(cached.ask(embeddings(&["a"])).await).await;
    let base64 = r#"{"model":"e","input":"a","encoding_format":"base64"}"#;
    let encoded = answer(&["a"], "e").replace("[12.125,0.5]", "\"AAAA\"");
    assert!(encoded.contains("AAAA"));
    let tokens = r#"{"model":"e","input":[1,2,3]}"#;
    for (request, body) in [(base64, encoded.as_str()), (tokens, &answer(&["x"], "e"))] {
        for status in [AiCacheStatus::Miss, AiCacheStatus::Hit] {
            if status == AiCacheStatus::Miss {
                cached.upstream.json(body);
            }
            let told = cached.ask(post("/v1/embeddings", request)).await;
            assert_eq!(did(&told), status, "{request}");
            let told: Value = serde_json::from_str(&read(told).await).unwrap();
            assert_eq!(told, serde_json::from_str::<Value>(body).unwrap());
        }
    }
}

#[tokio::test]
async fn who_wants_new_ones_gets_them_and_they_are_stored() {
    let cached = Cached::new();
    cached.upstream.json(&answer(&["a"], "e"));
    vectors(cached.ask(embeddings(&["a"])).await).await;
    cached.upstream.json(&answer(&["a", "b"], "e2"));
    let told = cached.ask(with(embeddings(&["a", "b"]), "cache-control", "no-cache")).await;
    assert_eq!(did(&told), AiCacheStatus::Refresh);
    read(told).await;
    let told = cached.ask(embeddings(&["a"])).await;
    assert_eq!(did(&told), AiCacheStatus::Hit);
    assert!(read(told).await.contains("\"e2\""));
}

#[tokio::test]
async fn an_answer_for_the_missing_ones_is_never_told_as_the_whole() {
    for (kind, field) in [
        ("text/plain", None),
        ("application/json", Some(("cache-control", "no-store"))),
        ("application/json", Some(("content-encoding", "x"))),
    ] {
        let cached = Cached::new();
        cached.upstream.json(&answer(&["a"], "e"));
        vectors(cached.ask(embeddings(&["a"])).await).await;
        let mut partial = response(200, kind, &[&answer(&["b"], "e")]);
        if let Some((name, value)) = field {
            partial.headers_mut().insert(name, value.parse().unwrap());
        }
        cached.upstream.reply(async move { Ok(partial) });
        cached.upstream.json(&answer(&["a", "b"], "e"));
        let told = cached.ask(embeddings(&["a", "b"])).await;
        assert_eq!(vectors(told).await, expected(&["a", "b"]));
    }
}

#[tokio::test]
async fn what_is_said_of_each_of_many_texts_is_bounded() {
    let cached = Cached::new();
    let texts: Vec<String> = (0..2000).map(|i| i.to_string()).collect();
    let long = json!({"model": "e", "input": texts, "x": "x".repeat(100_000)}).to_string();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for status in [AiCacheStatus::Miss, AiCacheStatus::Hit] {
        if status == AiCacheStatus::Miss {
            cached.upstream.json(&answer(&texts, "e"));
        }
        let told = cached.ask(post("/v1/embeddings", &long)).await;
        assert_eq!(did(&told), status);
        assert_eq!(vectors(told).await.0.len(), 2000);
    }
    let model = format!(r#"{{"model":"{}","input":["a"]}}"#, "m".repeat(1000));
    cached.upstream.json("{}");
    assert_eq!(why(&cached.ask(post("/v1/embeddings", &model)).await), BypassReason::Malformed);
}
