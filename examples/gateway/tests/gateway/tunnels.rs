//! Websockets.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::{accept_async, client_async, tungstenite::Message};

use crate::{program::Gateway, wire::soon};

const WISH: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\nupgrade: ";
const GRANT: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::test]
async fn websockets_pass_both_ways_and_close() {
    let mut gateway =
        Gateway::start(&[("GATEWAY_LAYERS", "session,rate-limit,response-cache")]).await;
    let address = gateway.address().to_owned();
    let stream = gateway.connect().await.into_stream();
    let echo = async {
        let upstream = gateway.upstream.accept().await.into_stream();
        let mut upstream = accept_async(upstream).await.unwrap();
        let mut heard = 0;
        while let Some(Ok(message)) = upstream.next().await {
            if message.is_text() || message.is_binary() {
                heard += 1;
                upstream.send(message).await.unwrap();
            }
        }
        heard
    };
    let client = async {
        let url = format!("ws://{address}/chat");
        let (mut client, answer) = client_async(url, stream).await.unwrap();
        assert_eq!(answer.status(), 101);
        for message in [Message::text("hello"), Message::binary(vec![7; 300_000])] {
            client.send(message.clone()).await.unwrap();
            assert_eq!(client.next().await.unwrap().unwrap(), message);
        }
        client.close(None).await.unwrap();
        while let Some(Ok(message)) = client.next().await {
            assert!(message.is_close());
        }
    };
    let (heard, ()) = soon(Box::pin(async { tokio::join!(echo, client) })).await;
    assert_eq!(heard, 2);
}

#[tokio::test]
async fn an_end_on_one_side_is_one_on_the_other() {
    let mut gateway = Gateway::start(&[]).await;
    for clients in [true, false] {
        let mut it = gateway.passes(&format!("{WISH}WebSocket\r\n\r\n")).await;
        assert_eq!((it.asked.one("connection"), it.asked.one("upgrade")), ("upgrade", "WebSocket"));
        assert_eq!(it.asked.one("sec-websocket-version"), "13");
        // What it says at once goes with the answer.
        it.upstream.send(format!("{GRANT}hello")).await;
        let head = it.client.head().await;
        assert_eq!(head.start(), "HTTP/1.1 101 Switching Protocols");
        assert_eq!((head.one("connection"), head.one("upgrade")), ("upgrade", "websocket"));
        assert_eq!(head.one("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        it.client.expect("hello").await;
        let (mut first, mut second) =
            if clients { (it.client, it.upstream) } else { (it.upstream, it.client) };
        first.send("bye").await;
        first.finish().await;
        assert_eq!(second.rest().await, "bye");
        // The other direction is open until that side ends, too.
        second.send("farewell").await;
        drop(second);
        assert_eq!(first.rest().await, "farewell");
    }
}

#[tokio::test]
async fn a_refused_wish_is_an_answer_like_any_other() {
    let mut gateway = Gateway::start(&[]).await;
    let mut it = gateway.passes(&format!("{WISH}websocket\r\n\r\n")).await;
    it.upstream.send("HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno").await;
    let (head, body) = it.client.message().await;
    assert_eq!((head.status(), body.as_str()), (426, "no"));
    it.client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    gateway.upstream.keep(it.upstream);
    let (mut upstream, _) = gateway.upstream.asked().await;
    upstream.answer("ok").await;
    assert_eq!(it.client.message().await.1, "ok");
}

/// HTTP within HTTP would be a way around all layers.
#[tokio::test]
async fn only_named_protocols_are_upgraded_to() {
    for (variables, protocol, passed) in [
        (&[][..], "websocket", true),
        (&[], "h2c", false),
        (&[], "websocket, h2c", false),
        (&[], "websocket\r\nupgrade: h2c", false),
        (&[], "raw", false),
        (&[("GATEWAY_UPGRADES", "raw,websocket")], "RAW", true),
        (&[("GATEWAY_UPGRADES", "raw")], "websocket", false),
    ] {
        let mut gateway = Gateway::start(variables).await;
        let it = gateway.passes(&format!("{WISH}{protocol}\r\n\r\n")).await;
        if passed {
            assert_eq!(it.asked.one("upgrade"), protocol);
        } else {
            it.asked.has_none(&["upgrade", "connection"]);
        }
    }
    // What was not wished for is not granted.
    let mut gateway = Gateway::start(&[("GATEWAY_UPGRADES", "raw")]).await;
    let mut it = gateway.passes(&format!("{WISH}raw\r\n\r\n")).await;
    it.upstream.send(GRANT).await;
    assert_eq!(it.client.head().await.status(), 502);
}
