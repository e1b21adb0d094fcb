//! A user's sessions, looked at and ended.

use http::Method;

use tower_keep_tests::{Flavor, Server, Value};

use super::{ADMIN, Client, USER, keys, login};
use crate::program::App;

const SESSIONS: &str = "/api/auth/sessions";

/// The ids of the client's sessions in the order they were begun, and which is its own.
async fn sessions(app: &App, client: &Client) -> (Vec<String>, usize) {
    let reply = client.ask(app, Method::GET, SESSIONS).await;
    assert_eq!(reply.status, 200);
    let list: Vec<serde_json::Value> = serde_json::from_slice(&reply.body).unwrap();
    for session in &list {
        let time = |name: &str| session[name].as_u64().unwrap();
        assert!(time("created") <= time("seen") && time("seen") < time("expires"), "{session}");
        assert_eq!(time("expires") - time("seen"), 86400, "Unix seconds: {session}");
    }
    let own: Vec<usize> = (0..list.len()).filter(|at| list[*at]["current"] == true).collect();
    assert_eq!(own.len(), 1, "{list:?}");
    (list.iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect(), own[0])
}

async fn ends(app: &App) {
    let end = async |client: &Client, rest: &str| {
        let reply = client.ask(app, Method::DELETE, &format!("{SESSIONS}{rest}")).await;
        let forgets = reply.header("set-cookie").contains("Max-Age=0");
        (reply.status.as_u16(), forgets)
    };
    let (first, _) = login(app, USER).await;
    let (second, _) = login(app, USER).await;
    let (third, program) = login(app, USER).await;
    let (other, _) = login(app, ADMIN).await;
    let (ids, own) = sessions(app, &first).await;
    assert_eq!((ids.len(), own), (3, 0));
    assert_eq!(sessions(app, &program).await, (ids.clone(), 2));

    // Somebody else's, and none at all, look the same.
    assert_eq!(end(&other, &format!("/{}", ids[0])).await, (404, false));
    for id in ["AAAAAAAAAAAAAAAAAAAAAA", "x", "%00", "%ff", "..%2F..", &"A".repeat(4000)] {
        assert_eq!(end(&first, &format!("/{id}")).await, (404, false), "{id}");
    }
    assert_eq!(end(&first, &format!("/{}", ids[1])).await, (204, false));
    assert_eq!(end(&first, &format!("/{}", ids[1])).await, (404, false), "it is gone");
    assert_eq!([first.is(app).await, second.is(app).await, third.is(app).await], [200, 401, 200]);
    assert_eq!(end(&first, &format!("/{}", ids[0])).await, (204, true), "its own");
    assert_eq!((first.is(app).await, third.is(app).await), (401, 200));

    let (fourth, _) = login(app, USER).await;
    for slip in ["?expect=current", "?except=others", "?except"] {
        assert_eq!(end(&fourth, slip).await, (400, false), "{slip}");
    }
    assert_eq!(end(&fourth, "?except=current").await, (204, false));
    assert_eq!((third.is(app).await, fourth.is(app).await), (401, 200));
    let (fifth, _) = login(app, USER).await;
    assert_eq!(end(&fifth, "").await, (204, true));
    assert_eq!((fourth.is(app).await, fifth.is(app).await), (401, 401));
    assert_eq!(other.is(app).await, 200, "somebody else's stay");
    for (method, path) in [(Method::GET, ""), (Method::DELETE, ""), (Method::DELETE, "/x")] {
        let reply = fifth.ask(app, method, &format!("{SESSIONS}{path}")).await;
        reply.problem(401);
        assert_eq!(reply.header("set-cookie"), "");
    }
}

#[tokio::test]
async fn one_session_all_others_or_all_are_ended() {
    ends(&App::start(&[]).await).await;
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        ends(&App::connected(&server.url()).await).await;
    }
}

#[tokio::test]
async fn a_user_is_logged_out_everywhere_by_hand() {
    let server = Server::start(Flavor::Redis).await;
    let (one, two) = (App::connected(&server.url()).await, App::connected(&server.url()).await);
    let ((first, _), (second, _)) = (login(&one, USER).await, login(&two, USER).await);
    let id = first.me(&one).await.json()["user"]["id"].as_str().unwrap().to_owned();
    let keys = keys(&server, &format!("*{id}")).await;
    assert_eq!(keys[0].split(':').collect::<Vec<_>>(), ["session", "public", &id], "{keys:?}");
    assert_eq!(server.command(&["DEL", &keys[0]]).await.unwrap(), Value::Integer(1));
    assert_eq!((first.is(&two).await, second.is(&one).await), (401, 401));
}
