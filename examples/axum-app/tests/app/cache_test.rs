//! The guide's test of the cache.

use std::collections::HashSet;

use http::Method;
use serde_json::{Value, json};
use tower_keep_tests::{Flavor, Program, Server, wait_until};

use crate::{
    auth::{Client, PUBLIC, keys},
    clinic::{SUMMARY, from, kept, user},
    program::App,
};

const TEST: &str = "/api/test/cache";

async fn measure(app: &App, client: &Client, operations: u32) -> Value {
    let reply = client.post(app, TEST, &json!({ "operations": operations })).await;
    assert_eq!(reply.status, 200, "{:?} {}", reply.body, app.log());
    let told = reply.json();
    let number = |name: &str| told[name].as_u64().unwrap();
    let of = |place: &str| told["hits_from"][place].as_u64().unwrap();
    assert_eq!(of("near") + of("store"), number("hits"), "{told}");
    assert_eq!(number("operations"), u64::from(operations));
    assert_eq!(number("hits") + number("misses"), number("completed"), "{told}");
    assert_eq!(told["errors"], 0, "{told}");
    assert!(told["ops_per_second"].as_f64().unwrap() > 0.0);
    for operation in ["set", "get", "delete"] {
        let at = |part: &str| told[operation][part].as_f64().unwrap();
        assert!(at("p50_us") > 0.0 && at("p50_us") <= at("p99_us"), "{told}");
    }
    told
}

/// All hits are in `place`.
async fn rounds_are_gone(app: &App, place: &str) {
    let client = user(app, PUBLIC).await;
    kept(app, &client, SUMMARY).await;
    for operations in [1, 5, 1000] {
        let told = measure(app, &client, operations).await;
        assert_eq!((&told["completed"], &told["hits"]), (&json!(operations), &json!(operations)));
        assert_eq!(told["hits_from"][place], operations, "{told}");
    }
    assert!(from(&client.get(app, SUMMARY).await).starts_with("hit"), "others are left alone");
}

#[tokio::test]
async fn rounds_are_gone_in_memory() {
    rounds_are_gone(&App::start(&[]).await, "near").await;
}

#[tokio::test]
async fn rounds_are_gone_on_redis_and_nothing_is_left() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let app = App::connected(&server.url()).await;
        rounds_are_gone(&app, "store").await;
        let left = keys(&server, "*cache-test*").await;
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Other processes remember each name that was removed, and give up all near copies if there are
/// too many.
#[tokio::test]
async fn rounds_take_turns_with_few_names() {
    let server = Server::start(Flavor::Redis).await;
    let app = App::connected(&server.url()).await;
    let client = user(&app, PUBLIC).await;
    let mut names = HashSet::new();
    let watch = async {
        loop {
            names.extend(keys(&server, "*cache-test*").await);
        }
    };
    let runs = async {
        for operations in [1000, 2000] {
            assert_eq!(measure(&app, &client, operations).await["completed"], operations);
        }
    };
    tokio::select! { () = watch => {} () = runs => {} }
    assert!((1..=8).contains(&names.len()), "{names:?}");
}

#[tokio::test]
async fn one_run_at_a_time_for_users_only_and_bounded() {
    let app = App::start(&[]).await;
    let client = user(&app, PUBLIC).await;
    Client::NOBODY.post(&app, TEST, &json!({ "operations": 1 })).await.problem(401);
    for body in [
        json!({}),
        json!([1]),
        json!({ "operations": 0 }),
        json!({ "operations": -1 }),
        json!({ "operations": 100_001 }),
        json!({ "operations": 4_294_967_297_u64 }),
        json!({ "operations": 1.5 }),
        json!({ "operations": "1000" }),
        json!({ "operations": 1, "more": 1 }),
    ] {
        client.post(&app, TEST, &body).await.problem(400);
    }
    let request = client.sign(app.request(TEST).method(Method::POST));
    app.send(request, r#"{"operations":1}"#).await.problem(415);

    let most = json!({ "operations": 100_000 });
    let (one, two) = tokio::join!(client.post(&app, TEST, &most), client.post(&app, TEST, &most));
    let (ran, refused) = if one.status == 200 { (one, two) } else { (two, one) };
    assert_eq!(refused.problem(409)["title"], "another run is under way");
    let told = ran.json();
    assert!(told["completed"].as_u64().unwrap() > 1000, "{told}");
    let (took, most) =
        (told["seconds"].as_f64().unwrap(), told["seconds_at_most"].as_f64().unwrap());
    // It has answered before anybody has lost patience.
    assert!(took < most + 1.0 && most < 10.0, "{told}");
    measure(&app, &client, 10).await;
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_ends_and_leaves_nothing() {
    let server = Server::start(Flavor::Redis).await;
    let app = App::connected(&server.url()).await;
    let client = user(&app, PUBLIC).await;
    let most = json!({ "operations": 100_000 });
    let begun = async || !keys(&server, "*cache-test*").await.is_empty();
    let under_way = async { assert!(wait_until(Program::PATIENT, begun).await) };
    tokio::select! {
        // Dropped, with its connection, as soon as it is under way.
        reply = client.post(&app, TEST, &most) => panic!("it is done already: {:?}", reply.body),
        () = under_way => {}
    }
    let free = async || client.post(&app, TEST, &json!({ "operations": 1 })).await.status == 200;
    assert!(wait_until(Program::PATIENT, free).await, "{}", app.log());
    assert!(keys(&server, "*cache-test*").await.is_empty());
}
