//! Questions to a language model.

use serde_json::{Value, json};
use tower_keep_tests::{Certificates, Flavor, Server, TlsFront};

use crate::{
    auth::{Client, PUBLIC},
    clinic::user,
    program::{App, Reply, run},
};

const QUERY: &str = "/api/ai/query";

async fn ask(app: &App, client: &Client, body: &Value) -> Reply {
    let reply = client.post(app, QUERY, body).await;
    assert_eq!(reply.status, 200, "{:?} {}", reply.body, app.log());
    assert_eq!(reply.header("cache-control"), "private, no-store");
    reply
}

async fn answers_are_kept(app: &App) {
    let client = user(app, PUBLIC).await;
    let question = json!({ "query": "What is glaucoma?", "useCache": true });
    let first = ask(app, &client, &question).await;
    assert_eq!(first.header("x-ai-cache"), "MISS");
    assert_eq!(first.header("x-ai-upstream"), "embedded mock");
    let (told, again) = (first.json(), ask(app, &client, &question).await);
    assert!(told["answer"].as_str().unwrap().contains("What is glaucoma?"), "{told}");
    assert_eq!((&told["cache"], &told["upstream"]), (&json!("MISS"), &json!("embedded mock")));
    assert_eq!(again.header("x-ai-cache"), "HIT");
    let again = again.json();
    assert_eq!((&again["answer"], &again["usage"]), (&told["answer"], &told["usage"]));
    assert_eq!(again["tokensSaved"], told["usage"]["total_tokens"]);
    // Others, and other things.
    let refused = json!({ "query": "What is glaucoma?", "useCache": false });
    assert_eq!(ask(app, &client, &refused).await.header("x-ai-cache"), "BYPASS");
    let other = json!({ "query": "What is glaucoma?", "model": "other" });
    assert_eq!(ask(app, &client, &other).await.header("x-ai-cache"), "MISS");
    let globex = user(app, "globex").await;
    assert_eq!(ask(app, &globex, &question).await.header("x-ai-cache"), "MISS");
    let stream = json!({ "query": "What is glaucoma?", "stream": true });
    let streams = [ask(app, &client, &stream).await, ask(app, &client, &stream).await];
    assert_eq!(streams.each_ref().map(|it| it.header("x-ai-cache")), ["MISS", "HIT"]);
    assert_eq!(streams[0].header("content-type"), "text/event-stream");
    assert_eq!(streams[0].body, streams[1].body);
}

#[tokio::test]
async fn answers_are_kept_in_memory_and_on_redis() {
    answers_are_kept(&App::start(&[]).await).await;
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        answers_are_kept(&App::connected(&server.url()).await).await;
    }
}

#[tokio::test]
async fn questions_are_for_users_and_have_a_form() {
    let app = App::start(&[]).await;
    let question = json!({ "query": "Hello" });
    Client::NOBODY.post(&app, QUERY, &question).await.problem(401);
    let client = user(&app, PUBLIC).await;
    for (body, status) in [
        (json!({}), 400),
        (json!(["Hello"]), 400),
        (json!({ "query": 7 }), 400),
        (json!({ "query": "a", "usecache": true }), 400),
        (json!({ "query": "a", "useCache": "yes" }), 400),
        (json!({ "query": " " }), 422),
        (json!({ "query": "a", "model": "" }), 422),
        (json!({ "query": "a", "model": "m".repeat(101) }), 422),
        (json!({ "query": "a".repeat(9000) }), 413),
    ] {
        client.post(&app, QUERY, &body).await.problem(status);
    }
    for (mark, status) in [("[[mock:500]]", 502), ("[[mock:429]]", 503), ("[[mock:broken]]", 502)] {
        client.post(&app, QUERY, &json!({ "query": mark })).await.problem(status);
    }
}

#[tokio::test]
async fn the_model_is_where_it_is_said_to_be() {
    let mock = mock_llm::Mock::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = mock.router();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let app = App::start(&[("AI_UPSTREAM_URL", &url)]).await;
    let client = user(&app, PUBLIC).await;
    let question = json!({ "query": "Hello" });
    for cache in ["MISS", "HIT"] {
        let reply = ask(&app, &client, &question).await;
        assert_eq!((reply.header("x-ai-cache"), reply.header("x-ai-upstream")), (cache, &*url));
    }
    assert_eq!(mock.calls(), 1);
    serving.abort();
    let _ = serving.await;
    // What is kept needs no model.
    assert_eq!(ask(&app, &client, &question).await.header("x-ai-cache"), "HIT");
    let other = json!({ "query": "Are you there?" });
    client.post(&app, QUERY, &other).await.problem(502);
}

#[tokio::test]
async fn the_model_is_asked_over_tls() {
    let (certificates, others) = (Certificates::generate(), Certificates::generate());
    let mock = mock_llm::Mock::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = mock.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let front = TlsFront::start(port, &certificates, false).await;
    let url = format!("https://localhost:{}", front.port());
    let question = json!({ "query": "Hello" });
    for (authority, known) in [(certificates.ca_file(), true), (others.ca_file(), false)] {
        let trusts = ("SSL_CERT_FILE", authority.to_str().unwrap());
        let app = App::start(&[("AI_UPSTREAM_URL", &url), trusts]).await;
        let client = user(&app, PUBLIC).await;
        if known {
            for cache in ["MISS", "HIT"] {
                let reply = ask(&app, &client, &question).await;
                assert_eq!(
                    (reply.header("x-ai-cache"), reply.header("x-ai-upstream")),
                    (cache, &*url)
                );
            }
            assert_eq!((mock.calls(), front.named()), (1, vec!["localhost".to_owned()]));
        } else {
            client.post(&app, QUERY, &question).await.problem(502);
            let log = app.log();
            assert!(log.contains("invalid peer certificate"), "{log}");
            assert_eq!(mock.calls(), 1);
        }
    }
    let nobody = ("SSL_CERT_FILE", "/nowhere/ca.pem");
    let (code, said) = run(&[("AI_UPSTREAM_URL", &url), nobody]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("AI_UPSTREAM_URL") && said.contains("/nowhere/ca.pem"), "{said}");
}
