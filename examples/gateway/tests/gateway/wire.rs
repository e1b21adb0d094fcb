//! One end of a connection, spoken to by hand: the client's, or the upstream's.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use tokio::{
    io::{
        AsyncBufRead as _, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
    },
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower_keep_tests::Program;

/// Waits for what is to come, not for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Program::PATIENT, what).await.expect("it did not come")
}

/// An upstream that answers as each test says.
pub(crate) struct Upstream {
    listener: TcpListener,
    /// Connections that nobody asks anything by at the moment.
    idle: Vec<Wire>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self::on(0).await
    }

    pub(crate) async fn on(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        Self { listener, idle: Vec::new() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// Takes back a connection that the next request may come by.
    pub(crate) fn keep(&mut self, wire: Wire) {
        self.idle.push(wire);
    }

    /// The next request, by a new connection or one that was kept.
    pub(crate) async fn asked(&mut self) -> (Wire, Head) {
        let mut wire = soon(self.next()).await;
        let head = wire.head().await;
        (wire, head)
    }

    /// The next connection, whatever comes by it.
    pub(crate) async fn accept(&mut self) -> Wire {
        Wire::new(soon(self.listener.accept()).await.unwrap().0)
    }

    /// Where the next request comes. What has come is not lost if this is dropped.
    async fn next(&mut self) -> Wire {
        poll_fn(|cx| {
            while let Poll::Ready(new) = self.listener.poll_accept(cx) {
                self.idle.push(Wire::new(new.unwrap().0));
            }
            let mut index = 0;
            while let Some(wire) = self.idle.get_mut(index) {
                match Pin::new(&mut wire.stream).poll_fill_buf(cx) {
                    Poll::Pending => index += 1,
                    Poll::Ready(Ok([_, ..])) => return Poll::Ready(self.idle.swap_remove(index)),
                    Poll::Ready(_) => drop(self.idle.swap_remove(index)),
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Whether nobody asks anything for a moment. Only to show what other signs show too.
    pub(crate) async fn is_left_alone(&mut self) -> bool {
        let moment = Duration::from_millis(50);
        match timeout(moment, self.next()).await {
            Ok(wire) => {
                self.keep(wire);
                false
            }
            Err(_) => true,
        }
    }
}

pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
    /// How many heads have been read.
    heads: usize,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), heads: 0 }
    }

    /// Whether it was used before the last head was read.
    pub(crate) fn was_kept(&self) -> bool {
        self.heads > 1
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next message's head.
    pub(crate) async fn head(&mut self) -> Head {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            soon(self.stream.read_line(&mut line)).await.unwrap();
            match line.trim_end() {
                "" => break,
                text => lines.push(text.to_owned()),
            }
        }
        self.heads += 1;
        Head { lines }
    }

    /// A message with a `Content-Length`.
    pub(crate) async fn message(&mut self) -> (Head, String) {
        let head = self.head().await;
        let length = head.one("content-length").parse().unwrap();
        let body = self.exactly(length).await;
        (head, body)
    }

    pub(crate) async fn exactly(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        soon(self.stream.read_exact(&mut bytes)).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// As many bytes as `wanted` has: these.
    pub(crate) async fn expect(&mut self, wanted: &str) {
        assert_eq!(self.exactly(wanted.len()).await, wanted);
    }

    /// Everything until the other side ends the connection, in good order or not.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = soon(self.stream.read_to_end(&mut bytes)).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Says that it has no more to say.
    pub(crate) async fn finish(&mut self) {
        self.stream.get_mut().shutdown().await.unwrap();
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        assert!(self.stream.buffer().is_empty());
        self.stream.into_inner()
    }

    /// Answers a request with this body.
    pub(crate) async fn answer(&mut self, body: &str) {
        let length = body.len();
        self.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")).await;
    }
}

/// A message's head.
#[derive(Debug)]
pub(crate) struct Head {
    lines: Vec<String>,
}

impl Head {
    /// The request line or status line.
    pub(crate) fn start(&self) -> &str {
        self.lines.first().map_or("", String::as_str)
    }

    pub(crate) fn status(&self) -> u16 {
        self.start().split(' ').nth(1).unwrap_or_default().parse().expect("no answer")
    }

    /// The values of a field, line by line.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.lines.iter().skip(1).map(|line| line.split_once(':').unwrap());
        fields
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, it)| it.trim())
            .collect()
    }

    /// The value of a field that is there once.
    pub(crate) fn one(&self, name: &str) -> &str {
        match self.all(name)[..] {
            [value] => value,
            ref other => panic!("{name}: {other:?} in {self:?}"),
        }
    }

    /// Whether none of these fields is there.
    pub(crate) fn has_none(&self, names: &[&str]) {
        for name in names {
            assert!(self.all(name).is_empty(), "{name} in {self:?}");
        }
    }
}
