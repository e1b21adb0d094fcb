//! What requests cost.

use tower_keep_core::{CostUnit, LateCost, SettleCost};

use super::*;

#[derive(Default)]
struct Ledger(Mutex<Vec<(&'static str, u64)>>);

impl SettleCost for Ledger {
    fn add(&self, _: CostUnit, _: u64) {}

    fn settle(&self, unit: CostUnit, total: u64) {
        self.0.lock().unwrap().push((unit.name(), total));
    }
}

/// A request whose cost somebody wants to know; what they were told when its answer had ended.
async fn cost(cached: &Cached, mut request: Request<Full<Bytes>>) -> Vec<(&'static str, u64)> {
    let ledger = Arc::new(Ledger::default());
    request.extensions_mut().insert(LateCost::new(Arc::clone(&ledger) as Arc<_>));
    let answer = cached.ask(request).await;
    let _ = answer.into_body().collect().await;
    ledger.0.lock().unwrap().clone()
}

const ALL: [(&str, u64); 3] = [("tokens", 14), ("input-tokens", 5), ("output-tokens", 9)];
const NOTHING: [(&str, u64); 3] = [("tokens", 0), ("input-tokens", 0), ("output-tokens", 0)];

#[tokio::test]
async fn an_answer_costs_what_it_says_and_a_hit_nothing() {
    let cached = Cached::new();
    cached.upstream.json(ANSWER);
    assert_eq!(cost(&cached, chat(CHAT)).await, ALL);
    assert_eq!(cost(&cached, chat(CHAT)).await, NOTHING);
    let usage =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":9}}\n\n";
    let events = [EVENTS[0], EVENTS[1], usage, EVENTS[2]].concat();
    cached.upstream.answers(200, "text/event-stream", &events);
    assert_eq!(cost(&cached, chat(STREAMING)).await, ALL);
    assert_eq!(cost(&cached, chat(STREAMING)).await, NOTHING);
}

#[tokio::test]
async fn what_the_cache_has_no_part_in_costs_what_it_says_too() {
    let cached = Cached::new();
    cached.upstream.json(ANSWER);
    assert_eq!(cost(&cached, with(chat(CHAT), "cache-control", "no-store")).await, ALL);
}

/// Both calls are to be paid, of which the first was in vain.
#[tokio::test]
async fn vectors_that_do_not_go_together_cost_twice() {
    let vector = |tokens, model| {
        format!(
            r#"{{"data":[{{"index":0,"embedding":[1]}}],"model":"{model}","usage":{{"prompt_tokens":{tokens}}}}}"#
        )
    };
    let cached = Cached::new();
    cached.upstream.json(&vector(3, "e"));
    let one = r#"{"model":"e","input":["a"]}"#;
    assert_eq!(cost(&cached, post("/v1/embeddings", one)).await[0], ("tokens", 3));
    cached.upstream.json(&vector(4, "another"));
    let both = r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[2]}],"model":"another","usage":{"prompt_tokens":8}}"#;
    cached.upstream.json(both);
    let request = post("/v1/embeddings", r#"{"model":"e","input":["a","b"]}"#);
    assert_eq!(cost(&cached, request).await[0], ("tokens", 12));
    assert_eq!(cached.upstream.calls(), 3);
}

#[tokio::test]
async fn an_error_costs_nothing_and_of_what_breaks_off_nobody_knows() {
    let cached = Cached::new();
    for field in ["no-cache", "no-store"] {
        cached.upstream.answers(500, "application/json", "{}");
        assert_eq!(cost(&cached, with(chat(CHAT), "cache-control", field)).await, NOTHING);
    }
    cached.upstream.answers(200, "text/event-stream", EVENTS[0]);
    assert_eq!(cost(&cached, chat(STREAMING)).await, []);
}

#[tokio::test]
async fn what_counts_no_tokens_does_not_say_that_there_were_none() {
    let cached = Cached::new();
    for field in ["no-cache", "no-store"] {
        cached.upstream.answers(200, "text/event-stream", &EVENTS.concat());
        assert_eq!(cost(&cached, with(chat(STREAMING), "cache-control", field)).await, []);
    }
}

#[tokio::test]
async fn what_was_cut_at_its_most_tokens_has_to_be_paid() {
    let cached = Cached::new();
    let usage =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":9}}\n\n";
    let events = [EVENTS[0], &EVENTS[1].replace("stop", "length"), usage, EVENTS[2]].concat();
    for field in ["no-cache", "no-store"] {
        for reason in ["length", "content_filter"] {
            cached.upstream.json(&ANSWER.replace("stop", reason));
            assert_eq!(cost(&cached, with(chat(CHAT), "cache-control", field)).await, ALL);
        }
        cached.upstream.answers(200, "text/event-stream", &events);
        assert_eq!(cost(&cached, with(chat(STREAMING), "cache-control", field)).await, ALL);
    }
}

/// Longer than what is stored, or with no room beside others, or for too long: to be paid all the
/// same, whoever reads it.
#[tokio::test]
async fn what_is_not_recorded_to_its_end_costs_what_it_says_too() {
    let usage =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":9}}\n\n";
    let events = [EVENTS[0], EVENTS[1], usage, EVENTS[2]];
    let long = EVENTS[0].len() + EVENTS[1].len();
    for cached in [
        Cached::with(|builder| builder.max_response(long)),
        Cached::with(|builder| builder.max_in_flight(1)),
    ] {
        let stream = cached.upstream.streams();
        let ledger = Arc::new(Ledger::default());
        let mut request = chat(STREAMING);
        request.extensions_mut().insert(LateCost::new(Arc::clone(&ledger) as Arc<_>));
        let answer = cached.ask(request).await;
        for event in events {
            stream.send(Ok(event.into())).unwrap();
            tokio::task::yield_now().await;
        }
        drop(stream);
        assert_eq!(read(answer).await, events.concat());
        assert_eq!(*ledger.0.lock().unwrap(), ALL);
    }
}

/// A budget is not spared by a request that the cache does not understand.
#[tokio::test]
async fn what_the_cache_does_not_understand_costs_what_it_says() {
    let twice = CHAT.replace("{\"model\"", "{\"a\":1,\"a\":2,\"model\"");
    let long = CHAT.replace("hi", &"x".repeat(200));
    let chunked = |request: Request<Full<Bytes>>| {
        let mut request = request;
        request.headers_mut().remove("content-length");
        request
    };
    for (request, limit) in [
        (chat(&twice), 8 << 20),
        (chat(&long), 100),
        (chunked(chat(&long)), 100),
        (with(chat(CHAT), "content-encoding", "gzip"), 8 << 20),
    ] {
        let cached = Cached::with(|builder| builder.max_request(limit));
        cached.upstream.json(ANSWER);
        let again = Request::from_parts(request.clone().into_parts().0, request.body().clone());
        assert_eq!(cost(&cached, request).await, ALL);
        cached.upstream.answers(500, "application/json", "{}");
        assert_eq!(cost(&cached, again).await, NOTHING);
    }
}
