//! Links that are slow, cut, deaf and dumb.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Cut, Flavor, Proxy, Resp, Server, prompt_once, wait_until};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

/// A server with a proxy before it, and a client through that.
async fn linked() -> (Server, Proxy, Resp) {
    let server = Server::start(Flavor::Redis).await;
    let proxy = Proxy::start(server.port());
    let client = Resp::connect(proxy.port()).await.unwrap();
    (server, proxy, client)
}

#[tokio::test]
async fn it_passes_and_counts_everything() {
    let (server, proxy, mut client) = linked().await;
    assert_eq!(proxy.url(), format!("redis://127.0.0.1:{}", proxy.port()));
    assert_eq!(proxy.url_for(&server.url()), proxy.url());
    for round in 1..=200 {
        assert_eq!(client.command(&["PING"]).await.unwrap().text(), "PONG");
        assert_eq!(proxy.client_writes(), round, "one write, one read");
    }
    assert_eq!(proxy.bytes_from_clients(), 200 * "*1\r\n$4\r\nPING\r\n".len() as u64);
    assert_eq!(proxy.bytes_from_server(), 200 * "+PONG\r\n".len() as u64);
    let big = "x".repeat(3 << 20);
    client.command(&["SET", "k", &big]).await.unwrap().ok().unwrap();
    assert_eq!(client.command(&["GET", "k"]).await.unwrap().text(), big);

    let writes = proxy.client_writes();
    let second = Resp::connect(proxy.port()).await.unwrap();
    assert!(wait_until(LONG, || async { proxy.accepted() == 2 }).await);
    assert_eq!(proxy.open_connections(), 2);
    drop((client, second));
    assert!(wait_until(LONG, || async { proxy.open_connections() == 0 }).await);
    assert_eq!(proxy.accepted(), 2);
    assert_eq!(proxy.client_writes(), writes, "an end is no write");
}

#[tokio::test]
async fn writes_in_a_row_are_not_taken_for_one() {
    let (_server, proxy, _client) = linked().await;
    let mut raw = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    raw.set_nodelay(true).unwrap();
    prompt_once(async || {
        let before = proxy.client_writes();
        let writes = || proxy.client_writes() - before;
        for round in 1..=500 {
            for part in ["*1\r\n", "$4\r\n", "PING\r\n"] {
                raw.write_all(part.as_bytes()).await.unwrap();
            }
            let mut answer = [0; 7];
            raw.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"+PONG\r\n");
            assert!(writes() <= 3 * round, "never more than there were");
        }
        // Reads would be hardly more than 500; a kernel that is busy may join some.
        assert!(writes() > 700, "{}", writes());
        writes() >= 1_400
    })
    .await;
}

#[tokio::test]
async fn a_server_that_ends_is_seen_to_end() {
    let (mut server, proxy, mut client) = linked().await;
    client.command(&["PING"]).await.unwrap();
    server.kill();
    assert!(client.command(&["PING"]).await.is_err());
    assert!(wait_until(LONG, || async { proxy.open_connections() == 0 }).await);
    let late = async || TcpStream::connect(("127.0.0.1", proxy.port())).await?.read_u8().await;
    let error = late().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "there is nobody behind it");
    server.restart().await;
    let mut client = Resp::connect(proxy.port()).await.unwrap();
    client.command(&["PING"]).await.unwrap();
}

#[tokio::test]
async fn a_stopped_server_is_felt_by_the_sender() {
    let (mut server, proxy, mut client) = linked().await;
    client.command(&["PING"]).await.unwrap();
    server.pause();
    let set = tokio::spawn(async move {
        let big = "x".repeat(64 << 20);
        client.command(&["SET", "k", &big]).await
    });
    let stuck = || async {
        let before = proxy.bytes_from_clients();
        tokio::time::sleep(SHORT).await;
        before > 1 << 20 && proxy.bytes_from_clients() == before
    };
    assert!(wait_until(LONG, stuck).await);
    let taken = proxy.bytes_from_clients();
    assert!(taken < 32 << 20, "the proxy is no bottomless pit: {taken}");
    assert!(!set.is_finished());
    server.resume();
    assert!(set.await.unwrap().unwrap().ok().is_ok());
}

#[tokio::test]
async fn connections_can_be_cut() {
    let (server, proxy, _) = linked().await;
    for (how, wanted) in
        [(Cut::Reset, ErrorKind::ConnectionReset), (Cut::Close, ErrorKind::UnexpectedEof)]
    {
        let mut cut = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        cut.write_all(b"*1\r\n$4\r\nPING\r\n").await.unwrap();
        cut.read_exact(&mut [0; 7]).await.unwrap();
        // Bytes on their way make no difference, wherever they are.
        let before = proxy.client_writes();
        cut.write_all(b"*1\r\n").await.unwrap();
        assert!(wait_until(LONG, || async { proxy.client_writes() > before }).await);
        proxy.stall_reads();
        cut.write_all(b"$4\r\nPING\r\n").await.unwrap();
        proxy.cut(how);
        proxy.heal();
        assert_eq!(proxy.open_connections(), 0, "{how:?}");
        assert_eq!(cut.read_u8().await.unwrap_err().kind(), wanted, "{how:?}");
        let alone = || async { clients(&server).await == 1 };
        assert!(wait_until(LONG, alone).await, "the server has lost them too");

        let mut next = Resp::connect(proxy.port()).await.unwrap();
        next.command(&["PING"]).await.unwrap();
    }
}

/// How many clients the server has, the one that asks included.
async fn clients(server: &Server) -> usize {
    server.command(&["CLIENT", "LIST"]).await.unwrap().text().lines().count()
}

#[tokio::test]
async fn new_connections_can_be_refused() {
    let (_server, proxy, mut client) = linked().await;
    client.command(&["PING"]).await.unwrap();
    for _ in 0..3 {
        proxy.refuse();
        let refused = Resp::connect(proxy.port()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        client.command(&["PING"]).await.unwrap();
        proxy.refuse();
        proxy.accept();
        proxy.accept();
        let mut next = Resp::connect(proxy.port()).await.unwrap();
        next.command(&["PING"]).await.unwrap();
    }
    proxy.refuse();
    proxy.heal();
    Resp::connect(proxy.port()).await.unwrap().command(&["PING"]).await.unwrap();
}

#[tokio::test]
async fn nothing_is_left_of_a_dropped_proxy() {
    let (server, proxy, mut client) = linked().await;
    client.command(&["PING"]).await.unwrap();
    proxy.half_open();
    let port = proxy.port();
    drop(proxy);
    assert!(client.command(&["PING"]).await.is_err());
    assert_eq!(Resp::connect(port).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert!(wait_until(LONG, || async { clients(&server).await == 1 }).await);
}

#[tokio::test]
async fn a_proxy_does_not_need_the_tests_own_runtime() {
    let (_server, proxy, mut client) = linked().await;
    client.command(&["PING"]).await.unwrap();
    let writes = proxy.client_writes();
    let mut raw = std::net::TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    std::io::Write::write_all(&mut raw, b"*1\r\n$4\r\nPING\r\n").unwrap();
    let begun = Instant::now();
    // On purpose without an await: this thread's runtime does nothing meanwhile.
    while proxy.client_writes() == writes {
        assert!(begun.elapsed() < LONG);
        std::hint::spin_loop();
    }
}

/// To a client it is open once the kernel says so, which may be before the proxy has seen it.
#[tokio::test]
async fn who_has_just_come_is_in() {
    let (_server, proxy, _) = linked().await;
    for round in 0..60 {
        let mut fresh = Resp::connect(proxy.port()).await.unwrap();
        match round % 3 {
            0 => proxy.swallow(),
            1 => proxy.refuse(),
            _ => proxy.cut(Cut::Close),
        }
        let answer = fresh.command(&["PING"]).await;
        assert_eq!(answer.is_err(), round % 3 == 2, "{round}: {answer:?}");
        proxy.accept();
    }
}

#[tokio::test]
async fn attempts_to_connect_are_dropped_without_a_word() {
    let (_server, proxy, mut client) = linked().await;
    for round in 0..3 {
        proxy.swallow();
        // Who comes before the queue is full may still find a place in it.
        tokio::time::sleep(SHORT).await;
        let attempts: Vec<_> = (0..20).map(|_| tokio::spawn(Resp::connect(proxy.port()))).collect();
        tokio::time::sleep(SHORT).await;
        assert!(attempts.iter().all(|attempt| !attempt.is_finished()), "somebody was answered");
        assert_eq!(client.command(&["PING"]).await.unwrap().text(), "PONG", "who is in stays in");
        if round == 1 {
            proxy.refuse();
            let refused = Resp::connect(proxy.port()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        }
        attempts.iter().for_each(tokio::task::JoinHandle::abort);
        let accepted = proxy.accepted();
        proxy.accept();
        let begun = Instant::now();
        let mut late = Resp::connect(proxy.port()).await.unwrap();
        assert_eq!(late.command(&["PING"]).await.unwrap().text(), "PONG");
        assert!(begun.elapsed() < 3 * SHORT, "{:?}", begun.elapsed());
        assert_eq!(proxy.accepted(), accepted + 1, "only clients are counted");
    }
}
