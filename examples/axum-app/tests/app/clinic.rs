//! What is kept of the database: where it came from, whose it is, and what makes it invalid.

use std::collections::HashSet;

use http::Method;
use serde_json::{Value, json};
use tower_keep_tests::{Flavor, Program, Server, free_port, wait_until};

use crate::{
    auth::{Client, GLOBEX, PUBLIC, USER, keys, login_to},
    program::{App, Reply},
};

pub(crate) const PATIENTS: &str = "/api/patients";
pub(crate) const SUMMARY: &str = "/api/analytics/summary";

/// As a program of the tenant's user.
pub(crate) async fn user(app: &App, tenant: &'static str) -> Client {
    login_to(app, tenant, USER).await.1
}

/// What the answer says of where it came from.
pub(crate) fn from(reply: &Reply) -> &str {
    assert!(matches!(reply.status.as_u16(), 200 | 404), "{:?}", reply.body);
    assert_eq!(reply.header("cache-control"), "private, no-store");
    assert_eq!(reply.headers.get_all("cache-status").iter().count(), 1, "one cache speaks");
    assert_eq!(reply.header("age"), "");
    reply.header("cache-status").strip_prefix("tower-keep; ").unwrap()
}

async fn asked(app: &App, client: &Client, path: &str) -> (String, Value) {
    let reply = client.get(app, path).await;
    (from(&reply).to_owned(), reply.json())
}

/// Asks until it is kept: it is stored beside the first answer.
pub(crate) async fn kept(app: &App, client: &Client, path: &str) -> (String, Value) {
    let hit = async || asked(app, client, path).await.0.starts_with("hit");
    assert!(wait_until(Program::PATIENT, hit).await, "{path} is not kept: {}", app.log());
    asked(app, client, path).await
}

fn ids(pages: &Value) -> Vec<i64> {
    let patients = pages["patients"].as_array().unwrap();
    patients.iter().map(|patient| patient["id"].as_i64().unwrap()).collect()
}

async fn add(app: &App, client: &Client, name: &str) -> i64 {
    let body = json!({ "name": name, "born": "1970-12-31", "ward": "Surgery" });
    let reply = client.post(app, PATIENTS, &body).await;
    assert_eq!(reply.status, 201, "{:?} {}", reply.body, app.log());
    let id = reply.json()["id"].as_i64().unwrap();
    assert_eq!(reply.header("location"), format!("{PATIENTS}/{id}"));
    assert_eq!(reply.header("cache-control"), "private, no-store");
    assert_eq!(reply.header("cache-status"), "tower-keep; fwd=method");
    id
}

/// By which somebody was given what they were given by no other.
const PRESCRIBED: &str = "/api/prescriptions/4711";

async fn change(app: &App, product: &str, name: &str, price: i64) {
    let body = json!({ "name": name, "price_cents": price }).to_string();
    let request = app.request(product).method(Method::PUT);
    let reply = app.send(request.header("content-type", "application/json"), body).await;
    assert_eq!(reply.status, 200, "{:?} {}", reply.body, app.log());
}

/// A product's new name and price are told wherever the old ones were.
async fn a_changed_product_is_seen_at_once(app: &App) {
    let (client, other) = (user(app, PUBLIC).await, user(app, GLOBEX).await);
    let (_, before) = kept(app, &client, PRESCRIBED).await;
    let name = |of: &str| before[of]["name"].as_str().unwrap().to_lowercase().replace(' ', "%20");
    let (patient, id) = (before["patient"]["id"].as_i64().unwrap(), &before["product"]["id"]);
    let one = format!("{PATIENTS}/{patient}");
    let page = format!("{PATIENTS}?search={}", name("patient"));
    let product = format!("/api/products/{id}");
    change(app, &product, "Water", 1).await;
    let cost = async |path: &str| {
        let (how, value) = kept(app, &client, path).await;
        let all = value["patients"].as_array().cloned().unwrap_or_default();
        let theirs = all.into_iter().find(|one| one["id"] == patient).unwrap_or(value);
        (how, theirs["cost_cents"].as_i64().unwrap())
    };
    let (_, of_one) = cost(&one).await;
    let (_, of_page) = cost(&page).await;
    let (_, of_all) = cost(SUMMARY).await;
    assert_eq!(of_one, of_page);
    let (_, theirs) = kept(app, &other, SUMMARY).await;

    // Dear enough to be what most is spent on.
    change(app, &product, "Elixir", 100_000_000).await;
    let changed = async |path: &str| {
        let (how, value) = asked(app, &client, path).await;
        assert!(how.starts_with("fwd="), "{path}: {how}");
        value
    };
    let after = changed(PRESCRIBED).await;
    assert_eq!(after["product"], json!({ "id": id, "name": "Elixir" }));
    let doses = after["per_day"].as_i64().unwrap() * after["days"].as_i64().unwrap();
    let more = doses * (100_000_000 - 1);
    assert_eq!(changed(&one).await["cost_cents"], of_one + more);
    assert_eq!(ids(&changed(&page).await)[0], patient, "who costs most comes first");
    let summary = changed(SUMMARY).await;
    assert_eq!(summary["products"][0]["name"], "Elixir");
    assert!(summary["cost_cents"].as_i64().unwrap() >= of_all + more);
    let (how, still) = asked(app, &other, SUMMARY).await;
    assert!(how.starts_with("hit") && still == theirs, "{how}");
}

async fn hits_follow_misses(app: &App, shared: bool) {
    let client = user(app, PUBLIC).await;
    for path in [
        PATIENTS,
        "/api/patients?search=smith&page=2",
        "/api/patients/17",
        "/api/prescriptions/4711",
        SUMMARY,
        "/api/patients/4000000000",
        "/api/prescriptions/30001",
    ] {
        let (first, value) = asked(app, &client, path).await;
        assert_eq!(first, "fwd=miss", "{path}");
        let (second, again) = kept(app, &client, path).await;
        let near = second == "hit; detail=near";
        assert!(near || (shared && second == "hit; detail=store"), "{path}: {second}");
        assert_eq!(again, value, "{path}");
    }
    // The same search, spelled otherwise.
    let (third, _) = asked(app, &client, "/api/patients?page=2&search=%20SMITH").await;
    assert!(third.starts_with("hit"), "{third}");
}

async fn a_newcomer_is_seen_at_once(app: &App) {
    let (client, other) = (user(app, PUBLIC).await, user(app, GLOBEX).await);
    let name = "Newcomer 100%_!\\ Müller";
    let search = "/api/patients?search=newcomer";
    let (_, before) = asked(app, &client, search).await;
    let (_, total) = asked(app, &client, SUMMARY).await;
    let next = 6001 + before["total"].as_i64().unwrap();
    let path = format!("{PATIENTS}/{next}");
    // That there is nobody is kept, too.
    kept(app, &client, &path).await;
    client.get(app, &path).await.problem(404);
    let (_, theirs) = kept(app, &other, SUMMARY).await;
    let (_, old) = kept(app, &client, "/api/patients/5").await;

    let id = add(app, &client, &format!("  {name} ")).await;
    assert_eq!(id, next);
    let (how, page) = asked(app, &client, search).await;
    assert_eq!((&*how, &page["total"], ids(&page)[0]), ("fwd=miss", &json!(1), id));
    let (how, patient) = asked(app, &client, &path).await;
    assert_eq!((&*how, &patient["name"]), ("fwd=miss", &json!(name)));
    assert_eq!(patient, page["patients"][0], "one patient, wherever they are told of");
    let (how, summary) = asked(app, &client, SUMMARY).await;
    assert_eq!(how, "fwd=miss");
    assert_eq!(summary["patients"].as_i64(), total["patients"].as_i64().map(|before| before + 1));
    assert_eq!(summary["prescriptions"], total["prescriptions"]);
    // What has not changed is kept, and another tenant's too.
    let (how, still) = asked(app, &client, "/api/patients/5").await;
    assert!(how.starts_with("hit") && still == old, "{how}");
    let (how, still) = asked(app, &other, SUMMARY).await;
    assert!(how.starts_with("hit") && still == theirs, "{how}");
    other.get(app, &path).await.problem(404);
}

/// What the wildcards of SQL would find, they do not.
async fn a_search_is_taken_literally(app: &App) {
    let client = user(app, PUBLIC).await;
    for (search, total) in [
        ("100%25", 1),
        ("%25_!", 1),
        ("100%25_!%5C", 1),
        ("1%25%25", 0),
        ("10_%25", 0),
        ("%25ller", 0),
        ("'", -1),
        ("", -1),
    ] {
        let (_, page) = asked(app, &client, &format!("{PATIENTS}?search={search}")).await;
        let found = page["total"].as_i64().unwrap();
        assert!(if total < 0 { found > 20 } else { found == total }, "{search}: {page}");
    }
}

/// No request of one tenant shows what is another's, kept or not.
async fn tenants_do_not_meet(app: &App) {
    let (ours, theirs) = (user(app, PUBLIC).await, user(app, GLOBEX).await);
    let mut seen = HashSet::new();
    for path in
        [PATIENTS, "/api/patients?search=smith", "/api/patients/3", "/api/prescriptions/3", SUMMARY]
    {
        for _ in 0..2 {
            let ((_, our), (_, their)) =
                (asked(app, &ours, path).await, asked(app, &theirs, path).await);
            assert_ne!(our, their, "{path}");
            seen.insert(our.to_string());
            seen.insert(their.to_string());
        }
    }
    assert_eq!(seen.len(), 10, "each is always the same");
    // There are more of ours.
    let newcomer = add(app, &ours, "Only ours").await;
    for path in
        [&*format!("{PATIENTS}/{newcomer}"), "/api/patients/4001", "/api/prescriptions/20001"]
    {
        assert_eq!(ours.get(app, path).await.status, 200, "{path}");
        theirs.get(app, path).await.problem(404);
    }
    let (_, none) = asked(app, &theirs, "/api/patients?search=only%20ours").await;
    assert_eq!((&none["total"], ids(&none).len()), (&json!(0), 0));
    // A session is its tenant's: naming the other does not help, nor does asking for a third.
    for tenant in [GLOBEX, "acme"] {
        for path in [PATIENTS, "/api/patients/3", "/api/prescriptions/3", SUMMARY] {
            let request = ours.sign(app.request(path)).header("x-tenant-id", tenant);
            app.ask(request).await.problem(401);
        }
    }
}

async fn only_users_are_answered(app: &App) {
    for path in [PATIENTS, "/api/patients/3", "/api/prescriptions/3", SUMMARY, "/api/patients/x"] {
        let refused = Client::NOBODY.get(app, path).await;
        refused.problem(401);
        assert_eq!(refused.header("cache-status"), "tower-keep; fwd=bypass");
    }
    let refused = Client::NOBODY.post(app, PATIENTS, &json!({})).await;
    refused.problem(401);
    assert_eq!(refused.header("cache-status"), "tower-keep; fwd=method");
}

async fn pages_follow_each_other(app: &App) {
    let client = user(app, GLOBEX).await;
    let (_, first) = asked(app, &client, PATIENTS).await;
    let pages = first["pages"].as_u64().unwrap();
    assert_eq!(pages, first["total"].as_u64().unwrap().div_ceil(20));
    let (_, same) = asked(app, &client, "/api/patients?page=1&search=").await;
    assert_eq!(first, same);
    let (_, second) = asked(app, &client, "/api/patients?page=2").await;
    let (_, last) = asked(app, &client, &format!("{PATIENTS}?page={pages}")).await;
    let all: HashSet<i64> = [&first, &second, &last].into_iter().flat_map(ids).collect();
    assert_eq!(all.len(), 40 + ids(&last).len());
    for beyond in [pages + 1, 100_000] {
        let (_, none) = asked(app, &client, &format!("{PATIENTS}?page={beyond}")).await;
        assert_eq!((ids(&none).len(), &none["total"]), (0, &first["total"]));
    }
}

async fn all(app: &App, shared: bool) {
    only_users_are_answered(app).await;
    hits_follow_misses(app, shared).await;
    a_newcomer_is_seen_at_once(app).await;
    a_changed_product_is_seen_at_once(app).await;
    a_search_is_taken_literally(app).await;
    tenants_do_not_meet(app).await;
    pages_follow_each_other(app).await;
}

#[tokio::test]
async fn in_memory() {
    all(&App::start(&[]).await, false).await;
}

#[tokio::test]
async fn on_redis() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let app = App::connected(&server.url()).await;
        all(&app, true).await;
        let all = keys(&server, "*").await;
        // Whose each is stands in it; the response cache has nothing of it.
        for start in [["query", PUBLIC], ["query", GLOBEX], ["cache", PUBLIC], ["cache", GLOBEX]] {
            assert!(
                all.iter().any(|key| key.split(':').collect::<Vec<_>>().starts_with(&start)),
                "{start:?} in {all:?}"
            );
        }
        assert!(!all.iter().any(|key| key.split(':').nth(2) == Some("http")), "{all:?}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let app = App::start(&[]).await;
    let client = user(&app, PUBLIC).await;
    for query in [
        "page=0",
        "page=-1",
        "page=x",
        "page=",
        "page=1.5",
        "page=01",
        "page=100001",
        "page=1&page=2",
        "serach=a",
        "search=a&search=b",
        "search=%00",
        "search=a%0Ab",
    ] {
        let refused = client.get(&app, &format!("{PATIENTS}?{query}")).await;
        refused.problem(400);
        assert_eq!(refused.header("cache-status"), "tower-keep; fwd=bypass");
    }
    let long = "x".repeat(101);
    client.get(&app, &format!("{PATIENTS}?search={long}")).await.problem(400);
    for id in ["0", "-1", "x", "01", "+1", "1.0", "4294967296", "%00", "1%20", "..%2F1"] {
        for path in [format!("{PATIENTS}/{id}"), format!("/api/prescriptions/{id}")] {
            client.get(&app, &path).await.problem(404);
        }
    }
    let good = json!({ "name": "A", "born": "2000-02-29", "ward": "B" });
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (body, status) in [
        (json!({}), 400),
        (json!([]), 400),
        (json!(["A", "2000-02-29", "B"]), 400),
        (json!({ "name": "A", "born": "2000-02-29" }), 400),
        (with("id", json!(1)), 400),
        (with("tenant", json!(GLOBEX)), 400),
        (with("name", json!(7)), 400),
        (with("name", json!("")), 422),
        (with("name", json!(" ")), 422),
        (with("name", json!("x".repeat(101))), 422),
        (with("name", json!("a\u{0}b")), 422),
        (with("ward", json!("x".repeat(51))), 422),
        (with("born", json!("2001-02-29")), 422),
        (with("born", json!("9999-12-31")), 422),
        (with("born", json!("yesterday")), 422),
        (with("name", json!("x".repeat(9000))), 413),
    ] {
        let refused = client.post(&app, PATIENTS, &body).await;
        assert_eq!(refused.header("cache-status"), "tower-keep; fwd=method");
        let problem = refused.problem(status);
        assert!(problem["detail"].is_string(), "{problem}");
    }
    let send = async |kind: &str, body: &str| {
        let request = client.sign(app.request(PATIENTS).method(Method::POST));
        app.send(request.header("content-type", kind), body.to_owned()).await
    };
    send("application/json", "{").await.problem(400);
    send("text/plain", &good.to_string()).await.problem(415);
    let (_, page) = asked(&app, &client, PATIENTS).await;
    assert_eq!(page["total"], 6000, "nobody was added");
    assert_eq!(client.post(&app, PATIENTS, &good).await.status, 201);
}

#[tokio::test]
async fn while_redis_is_away_the_database_answers_and_afterwards_nothing_is_old() {
    let mut server = Server::start(Flavor::Redis).await;
    // Sessions in memory: they are to outlive the server.
    let variables =
        [("REDIS_URL", &*server.url()), ("REDIS_TIMEOUT_MS", "1000"), ("SESSION_STORE", "memory")];
    let app = App::start(&variables).await;
    assert!(wait_until(Program::PATIENT, || app.is("ok")).await, "{}", app.log());
    let client = user(&app, PUBLIC).await;
    let (_, old) = asked(&app, &client, SUMMARY).await;
    kept(&app, &client, SUMMARY).await;
    // What it has it keeps meanwhile.
    server.pause();
    let degraded = async || {
        asked(&app, &client, "/api/patients?search=lars").await;
        app.is("degraded").await
    };
    assert!(wait_until(Program::PATIENT, degraded).await, "{}", app.log());
    for _ in 0..2 {
        let (how, _) = asked(&app, &client, "/api/patients?search=lars").await;
        assert_eq!(how, "fwd=miss", "it is loaded, and not kept");
    }
    add(&app, &client, "While it was away").await;
    let (how, new) = asked(&app, &client, SUMMARY).await;
    assert!(how.starts_with("fwd="), "{how}");
    assert_eq!(new["patients"].as_i64(), old["patients"].as_i64().map(|before| before + 1));
    server.resume();
    let back = async || {
        let (how, summary) = asked(&app, &client, SUMMARY).await;
        assert_eq!(summary, new, "{how}: what is old came back");
        how.starts_with("hit")
    };
    assert!(wait_until(Program::PATIENT, back).await, "{}", app.log());
}

#[tokio::test]
async fn a_product_that_changed_while_redis_was_away_is_not_told_as_it_was() {
    let mut server = Server::start(Flavor::Redis).await;
    let url = server.url();
    let variables =
        [("REDIS_URL", &*url), ("REDIS_TIMEOUT_MS", "1000"), ("SESSION_STORE", "memory")];
    let app = App::start(&variables).await;
    assert!(wait_until(Program::PATIENT, || app.is("ok")).await, "{}", app.log());
    let client = user(&app, PUBLIC).await;
    let (_, old) = kept(&app, &client, PRESCRIBED).await;
    server.pause();
    change(&app, &format!("/api/products/{}", old["product"]["id"]), "Elixir", 1).await;
    let (how, new) = asked(&app, &client, PRESCRIBED).await;
    assert_eq!((&*how, &new["product"]["name"]), ("fwd=bypass", &json!("Elixir")));
    server.resume();
    let back = async || {
        let (how, value) = asked(&app, &client, PRESCRIBED).await;
        assert_eq!(value, new, "{how}: what is old came back");
        how.starts_with("hit")
    };
    assert!(wait_until(Program::PATIENT, back).await, "{}", app.log());
}

#[tokio::test]
async fn without_redis_from_the_start_the_database_answers() {
    let url = format!("redis://127.0.0.1:{}", free_port().unwrap());
    let app = App::start(&[("REDIS_URL", &url), ("SESSION_STORE", "memory")]).await;
    let client = user(&app, PUBLIC).await;
    for path in [PATIENTS, "/api/patients/17", "/api/prescriptions/4711", SUMMARY] {
        assert_eq!(asked(&app, &client, path).await.0, "fwd=miss", "{path}");
    }
    add(&app, &client, "Nobody else").await;
    let (how, page) = asked(&app, &client, "/api/patients?search=nobody%20else").await;
    assert_eq!((&*how, &page["total"]), ("fwd=bypass", &json!(1)));
}

#[tokio::test]
async fn an_answer_without_a_session_says_that_nothing_was_looked_up() {
    let mut server = Server::start(Flavor::Redis).await;
    let app = App::connected(&server.url()).await;
    let client = user(&app, PUBLIC).await;
    server.kill();
    let refused = client.get(&app, SUMMARY).await;
    refused.problem(503);
    assert_eq!(refused.header("cache-status"), "tower-keep; fwd=bypass");
}
