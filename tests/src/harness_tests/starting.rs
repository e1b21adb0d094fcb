//! Options, credentials, and what happens when a server does not come up.

use std::{net::TcpListener, path::Path};

use crate::{AnyServer, Flavor, Resp, Server, Value, server::Launch};

#[tokio::test]
async fn a_server_is_our_child_and_leaves_nothing_behind() {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let info = server.command(&["INFO", "server"]).await.unwrap().text();
        let pid = server.pid().unwrap();
        assert!(info.contains(&format!("process_id:{pid}\r\n")), "{info}");
        assert!(info.contains(&format!("tcp_port:{}\r\n", server.port())), "{info}");
        assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
        let dir = server.command(&["CONFIG", "GET", "dir"]).await.unwrap();
        let dir = dir.array()[1].text();
        let port = server.port();
        drop(server);
        assert!(!Path::new(&dir).exists(), "its files are gone");
        assert!(!Path::new("/proc").join(pid.to_string()).exists(), "it is reaped");
        assert!(Resp::connect(port).await.is_err(), "its port is free");
    }
}

#[tokio::test]
async fn options_reach_the_server() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor).arg("--maxmemory", "7mb").start().await;
        let got = server.command(&["CONFIG", "GET", "maxmemory"]).await.unwrap();
        assert_eq!(got.array()[1].text(), (7 * 1024 * 1024).to_string());
        let got = server.command(&["CONFIG", "GET", "save"]).await.unwrap();
        assert_eq!(got.array()[1].text(), "", "nothing is saved");
    }
}

#[tokio::test]
async fn a_password_is_asked_for() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor).password("se:cret/@").start().await;
        let mut stranger = Resp::connect(server.port()).await.unwrap();
        let refused = stranger.command(&["GET", "k"]).await.unwrap();
        assert!(refused.text().starts_with("NOAUTH"), "{refused:?}");
        assert!(stranger.auth(None, "wrong").await.is_err());
        stranger.auth(None, "se:cret/@").await.unwrap();
        assert!(stranger.command(&["GET", "k"]).await.unwrap().is_nil());
        let mut known = server.connect().await.unwrap();
        assert_eq!(known.command(&["PING"]).await.unwrap(), Value::Simple("PONG".into()));
    }
}

#[tokio::test]
async fn an_acl_user_may_do_what_its_rules_say() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor)
            .password("root")
            .acl_user("app", "pass", "~app:* &* +@all -@dangerous")
            .arg("--databases", "2")
            .start()
            .await;
        let mut app = Resp::connect(server.port()).await.unwrap();
        app.auth(Some("app"), "pass").await.unwrap();
        app.command(&["SET", "app:k", "v"]).await.unwrap().ok().unwrap();
        for denied in [["SET", "k", "v"].as_slice(), &["FLUSHALL"]] {
            let text = app.command(denied).await.unwrap().text();
            assert!(text.starts_with("NOPERM"), "{text}");
        }
        assert_eq!(server.url_as("app"), format!("redis://app:pass@127.0.0.1:{}", server.port()));
    }
}

#[tokio::test]
async fn a_server_that_refuses_its_options_shows_its_log() {
    for flavor in Flavor::ALL {
        let started = Server::builder(flavor).arg("--no-such-option", "1").try_start().await;
        let error = started.unwrap_err().to_string();
        assert!(error.contains("no-such-option"), "{error}");
        assert!(error.contains("ended with exit status"), "{error}");
    }
}

#[tokio::test]
async fn a_taken_port_is_a_clash_whoever_has_it() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let foreign = Server::start(Flavor::Redis).await;
    for flavor in Flavor::ALL {
        for port in [silent.local_addr().unwrap().port(), foreign.port()] {
            let program = crate::binary::find(flavor).unwrap();
            let mut server = Server::prepare(&Server::builder(flavor), program, port).unwrap();
            assert!(matches!(server.launch().await, Err(Launch::Clash(_))), "{flavor}");
            assert_eq!(server.pid(), None);
        }
    }
}

#[tokio::test]
async fn the_wrong_program_is_refused() {
    let program = crate::binary::find(Flavor::Valkey).unwrap();
    let port = crate::free_port().unwrap();
    let mut server = Server::prepare(&Server::builder(Flavor::Redis), program, port).unwrap();
    let Err(Launch::Failed(error)) = server.launch().await else { panic!("accepted") };
    assert!(error.to_string().contains("is not Redis"), "{error}");
}

#[tokio::test]
async fn an_external_server_is_taken_as_it_is() {
    let server = Server::builder(Flavor::Redis).password("s").start().await;
    let url = format!("{}/1", server.url());
    let external = AnyServer::external(url.clone()).await.unwrap();
    assert_eq!(external.url(), url);
    external.command(&["SET", "k", "v"]).await.unwrap().ok().unwrap();
    assert_eq!(server.command(&["EXISTS", "k"]).await.unwrap().int(), 0, "it is in database 1");
    drop(server);
    assert!(AnyServer::external(url).await.is_err());
}

#[tokio::test]
async fn every_kind_of_reply_is_read() {
    let server = Server::start(Flavor::Redis).await;
    let mut resp = server.connect().await.unwrap();
    let script = "return {1, 'a\\r\\nb', {}, false, {ok='fine'}, {err='ERR bad'}}";
    let got = resp.command(&["EVAL", script, "0"]).await.unwrap();
    let wanted = [
        Value::Integer(1),
        Value::Bulk(Some(b"a\r\nb".to_vec())),
        Value::Array(Some(Vec::new())),
        Value::Bulk(None),
        Value::Simple("fine".into()),
        Value::Error("ERR bad".into()),
    ];
    assert_eq!(got.array(), wanted);
    let big = vec![0xff; 1 << 20];
    resp.command(&[b"SET".as_slice(), b"k", &big]).await.unwrap().ok().unwrap();
    assert_eq!(resp.command(&["GET", "k"]).await.unwrap(), Value::Bulk(Some(big)));
    assert!(resp.command(&["BLPOP", "none", "0.01"]).await.unwrap().is_nil());
    assert!(resp.command(&["NONSENSE"]).await.unwrap().ok().is_err());
}
