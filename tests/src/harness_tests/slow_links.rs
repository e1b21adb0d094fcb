//! Links on which bytes are late, stuck or lost.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{Cut, Flavor, Proxy, Resp, Server};

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(20);

async fn linked() -> (Server, Proxy, Resp) {
    let server = Server::start(Flavor::Valkey).await;
    let proxy = Proxy::start(server.port());
    let mut client = Resp::connect(proxy.port()).await.unwrap();
    client.command(&["PING"]).await.unwrap();
    (server, proxy, client)
}

#[tokio::test]
async fn a_slow_link_is_slow_either_way() {
    let (_server, proxy, mut client) = linked().await;
    for (to_server, to_client) in [(SHORT, Duration::ZERO), (Duration::ZERO, SHORT), (SHORT, SHORT)]
    {
        proxy.delay(to_server, to_client);
        let begun = Instant::now();
        client.command(&["PING"]).await.unwrap();
        assert!(begun.elapsed() >= to_server + to_client);
    }
    proxy.delay(LONG, LONG);
    proxy.heal();
    let begun = Instant::now();
    client.command(&["PING"]).await.unwrap();
    assert!(begun.elapsed() < LONG);
}

#[tokio::test]
async fn a_slow_link_is_no_narrow_link() {
    let (server, proxy, mut client) = linked().await;
    let delay = Duration::from_millis(200);
    proxy.delay(delay, delay);
    // One at a time these would take four minutes.
    let raw = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let (mut answers, mut commands) = raw.into_split();
    let begun = Instant::now();
    let sender = tokio::spawn(async move {
        for _ in 0..600 {
            commands.write_all(b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n").await.unwrap();
        }
        commands
    });
    let wanted: Vec<_> = (1..=600).map(|number| format!(":{number}\r\n")).collect();
    let wanted = wanted.concat();
    let mut got = vec![0; wanted.len()];
    answers.read_exact(&mut got).await.unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), wanted, "in order");
    assert!((2 * delay..LONG).contains(&begun.elapsed()));
    drop(sender.await.unwrap());

    // At 64 KiB a delay these would take a minute and a half.
    let begun = Instant::now();
    let big = "x".repeat(32 << 20);
    client.command(&["SET", "k", &big]).await.unwrap().ok().unwrap();
    assert!(begun.elapsed() < 2 * LONG, "{:?}", begun.elapsed());
    assert_eq!(server.command(&["STRLEN", "k"]).await.unwrap().int(), 32 << 20);
}

#[tokio::test]
async fn a_shorter_delay_overtakes_nothing() {
    let (_server, proxy, _client) = linked().await;
    let mut raw = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    proxy.delay(3 * SHORT, Duration::ZERO);
    let before = proxy.client_writes();
    raw.write_all(b"*2\r\n$4\r\nECHO\r\n$1\r\na\r\n").await.unwrap();
    assert!(crate::wait_until(LONG, || async { proxy.client_writes() > before }).await);
    proxy.heal();
    raw.write_all(b"*2\r\n$4\r\nECHO\r\n$1\r\nb\r\n").await.unwrap();
    let mut got = [0; 14];
    raw.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"$1\r\na\r\n$1\r\nb\r\n");
}

#[tokio::test]
async fn a_dead_link_tells_nobody() {
    let (mut server, proxy, mut client) = linked().await;
    let mut monitor = server.monitor().await;
    proxy.half_open();
    let mut late = Resp::connect(proxy.port()).await.unwrap();
    for dead in [&mut client, &mut late] {
        assert!(timeout(SHORT, dead.command(&["SET", "k", "v"])).await.is_err(), "no answer");
    }
    assert_eq!(monitor.count().await, 0, "the server knows nothing of it");
    assert_eq!(proxy.open_connections(), 2);
    server.restart().await;
    let mut later = Resp::connect(proxy.port()).await.unwrap();
    for dead in [&mut client, &mut late, &mut later] {
        let answer = timeout(SHORT, dead.command(&["GET", "k"])).await;
        assert!(answer.is_err(), "not even that the server has gone: {answer:?}");
    }
    proxy.heal();
    for dead in [&mut client, &mut late, &mut later] {
        let error = dead.command(&["GET", "k"]).await.unwrap_err();
        let broken = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(broken.contains(&error.kind()), "{error}");
    }
    let mut next = Resp::connect(proxy.port()).await.unwrap();
    assert!(next.command(&["GET", "k"]).await.unwrap().is_nil(), "what was swallowed never comes");
}

#[tokio::test]
async fn a_dead_link_hides_even_a_reset() {
    let (mut server, proxy, client) = linked().await;
    drop(client);
    // It is to die with commands unread: its end of the connection is then reset.
    let endless = "EVAL 'while true do end' 0\r\n".to_owned() + &"PING\r\n".repeat(20_000);
    let mut raw = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let (before, sent) = (proxy.bytes_from_clients(), endless.len() as u64);
    raw.write_all(endless.as_bytes()).await.unwrap();
    let taken = || async { proxy.bytes_from_clients() - before == sent };
    assert!(crate::wait_until(LONG, taken).await);
    proxy.half_open();
    server.kill();
    let mut late = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    for dead in [&mut raw, &mut late] {
        assert!(timeout(SHORT, dead.read_u8()).await.is_err());
    }
    proxy.heal();
    for dead in [&mut raw, &mut late] {
        assert_eq!(dead.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn what_is_under_way_on_a_link_that_dies_is_lost() {
    let (server, proxy, mut client) = linked().await;
    proxy.delay(Duration::ZERO, 20 * SHORT);
    let mut incr = Box::pin(client.command(&["INCR", "n"]));
    let mut done = false;
    while !done {
        assert!(timeout(Duration::from_millis(5), &mut incr).await.is_err(), "too early");
        done = server.command(&["EXISTS", "n"]).await.unwrap().int() == 1;
    }
    proxy.half_open();
    assert!(timeout(22 * SHORT, &mut incr).await.is_err(), "carried out, and never answered");
    proxy.cut(Cut::Close);
    assert_eq!(incr.await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_link_on_which_nothing_was_sent_survives_its_death() {
    let (_server, proxy, mut client) = linked().await;
    proxy.half_open();
    proxy.heal();
    client.command(&["PING"]).await.unwrap();
}

#[tokio::test]
async fn a_stalled_client_fills_its_socket() {
    let (server, proxy, mut client) = linked().await;
    let mut listener = Resp::connect(proxy.port()).await.unwrap();
    listener.command(&["SUBSCRIBE", "news"]).await.unwrap().ok().unwrap();
    proxy.stall_reads();
    let before = proxy.bytes_from_clients();
    let big = "x".repeat(32 << 20);
    let command = ["SET", "k", &big];
    let mut set = Box::pin(client.command(&command));
    assert!(timeout(3 * SHORT, &mut set).await.is_err(), "the socket is full");
    assert_eq!(proxy.bytes_from_clients(), before);
    assert_eq!(server.command(&["PUBLISH", "news", "n"]).await.unwrap().int(), 1);
    assert_eq!(listener.next().await.unwrap().array()[2].text(), "n", "answers still pass");
    proxy.heal();
    assert!(set.await.unwrap().ok().is_ok(), "nothing was lost");
    assert_eq!(server.command(&["STRLEN", "k"]).await.unwrap().int(), 32 << 20);
}
