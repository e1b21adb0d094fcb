//! A minimal RESP2 client: the tests' own hand, independent of the client under test.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream, ToSocketAddrs},
    time::timeout,
};
use tokio_rustls::rustls::ClientConfig;

use crate::{
    Value,
    port::source_port,
    tls::{self, Wire},
};

const PATIENCE: Duration = Duration::from_secs(10);
/// How many other source ports are tried.
const SOURCES: usize = 100;

/// One connection to a server.
///
/// A command whose future was dropped leaves its reply behind: drop the connection with it.
#[derive(Debug)]
pub struct Resp {
    stream: BufReader<Box<dyn Wire>>,
}

impl Resp {
    /// Connects to a port on loopback.
    pub async fn connect(port: u16) -> io::Result<Self> {
        Self::open((Ipv4Addr::LOCALHOST, port)).await
    }

    /// Connects to a TLS port on loopback.
    pub async fn connect_tls(port: u16, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::open((Ipv4Addr::LOCALHOST, port)).await?.secured(Some(config)).await
    }

    /// Connects to any address.
    pub async fn open(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::over(within(PATIENCE, TcpStream::connect(address)).await?)
    }

    /// Connects to a port on loopback from a port of the harness's own.
    pub(crate) async fn connect_unseen(port: u16) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            match within(PATIENCE, connect_from(source_port()?, port)).await {
                Ok(stream) => return Self::over(stream),
                Err(error) if tries < SOURCES && is_taken(&error) => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(Box::new(stream)) })
    }

    /// The same connection with TLS on it, if there is a configuration for that.
    pub(crate) async fn secured(self, config: Option<Arc<ClientConfig>>) -> io::Result<Self> {
        let Some(config) = config else { return Ok(self) };
        let stream = within(PATIENCE, tls::handshake(config, self.stream.into_inner())).await?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Authenticates; without a user name it is the `default` user's password.
    pub async fn auth(&mut self, user: Option<&str>, password: &str) -> io::Result<()> {
        let args: Vec<&str> = ["AUTH"].into_iter().chain(user).chain([password]).collect();
        self.command(&args).await?.ok().map(drop)
    }

    /// Sends a command and waits for its reply. An error reply is `Ok(Value::Error(_))`; `Err` is
    /// a broken connection, or no reply within ten seconds.
    pub async fn command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        let request = encode(args);
        within(PATIENCE, async {
            self.stream.write_all(&request).await?;
            self.stream.flush().await?;
            self.read().await
        })
        .await
    }

    /// The address of this end; it is how `MONITOR` names the connection.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().local_addr()
    }

    /// The next line of `MONITOR`.
    pub(crate) async fn next(&mut self) -> io::Result<Value> {
        within(PATIENCE, self.read()).await
    }

    async fn read(&mut self) -> io::Result<Value> {
        let line = self.read_line().await?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| garbage("an empty line"))?;
        match kind {
            "+" => Ok(Value::Simple(rest.to_owned())),
            "-" => Ok(Value::Error(rest.to_owned())),
            ":" => Ok(Value::Integer(number(rest)?)),
            "$" => match usize::try_from(number(rest)?) {
                Err(_) => Ok(Value::Bulk(None)),
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes).await?;
                    bytes.truncate(length);
                    Ok(Value::Bulk(Some(bytes)))
                }
            },
            "*" => match usize::try_from(number(rest)?) {
                Err(_) => Ok(Value::Array(None)),
                Ok(length) => {
                    let mut values = Vec::with_capacity(length.min(1024));
                    for _ in 0..length {
                        values.push(Box::pin(self.read()).await?);
                    }
                    Ok(Value::Array(Some(values)))
                }
            },
            _ => Err(garbage(&line)),
        }
    }

    async fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).await?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up")),
        }
    }
}

async fn connect_from(source: u16, port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, source).into())?;
    socket.connect((Ipv4Addr::LOCALHOST, port).into()).await
}

/// Whether the source port will not do: another process took it just now, or an earlier connection
/// between the same two ports has not been forgotten yet.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args.iter().map(AsRef::as_ref) {
        request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        request.extend_from_slice(arg);
        request.extend_from_slice(b"\r\n");
    }
    request
}

async fn within<T>(limit: Duration, io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, io).await.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}")))
    })
}

fn number(digits: &str) -> io::Result<i64> {
    digits.parse().map_err(|_| garbage(digits))
}

fn garbage(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("this is no RESP: {line:?}"))
}
