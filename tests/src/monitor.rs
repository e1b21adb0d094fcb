//! Counting commands as clients send them.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{Line, Resp, Server, Value, hidden::Hidden};

/// The commands that clients sent to one server, or to all nodes of a cluster, since it was opened
/// or last drained.
///
/// Left out are what scripts call (lines tagged `lua`), the harness's own hand
/// ([`Server::command`]) and the `AUTH` of [`Server::connect`]. The server itself leaves out
/// administrative commands (`CONFIG`, `ACL`, `MONITOR` …) and everything that it refused before
/// running it (`MOVED`, `NOAUTH`, `NOPERM`, `OOM`, wrong arguments).
///
/// Counting is exact: every reading first sends a marker of its own and waits until that is seen.
/// So a command that was answered before the reading is in it.
#[derive(Debug)]
pub struct Monitor {
    taps: Vec<Tap>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Tap {
    stream: Resp,
    marker: Resp,
    hidden: Hidden,
}

impl Monitor {
    /// Watches these servers together.
    pub async fn over<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Self {
        let mut taps = Vec::new();
        for server in servers {
            taps.push(Tap::open(server).await.expect("the server could not be monitored"));
        }
        Self { taps, lines: Vec::new() }
    }

    /// Counts nothing of this connection, neither later nor what is still unread.
    pub fn ignore(&self, resp: &Resp) {
        for tap in &self.taps {
            tap.hidden.all_of(resp).expect("a connection has an address");
        }
    }

    /// Reads everything sent so far; panics if a server is gone or does not answer.
    pub async fn settle(&mut self) {
        for tap in &mut self.taps {
            let seen = tap.settle().await.expect("the monitor has lost its server");
            self.lines.extend(seen);
        }
        self.lines.sort_by_key(Line::micros);
    }

    /// What was sent since the start or the last `drain`, oldest first.
    pub async fn lines(&mut self) -> &[Line] {
        self.settle().await;
        &self.lines
    }

    /// The same, and begins anew.
    pub async fn drain(&mut self) -> Vec<Line> {
        self.settle().await;
        std::mem::take(&mut self.lines)
    }

    /// How many commands were sent since the start or the last `drain`.
    pub async fn count(&mut self) -> usize {
        self.lines().await.len()
    }

    /// The names of these commands, in capitals.
    pub async fn names(&mut self) -> Vec<String> {
        self.lines().await.iter().map(Line::name).collect()
    }
}

impl Tap {
    async fn open(server: &Server) -> io::Result<Self> {
        let marker = server.connect_unseen().await?;
        let mut stream = server.connect_unseen().await?;
        stream.command(&["MONITOR"]).await?.ok()?;
        Ok(Self { stream, marker, hidden: server.hidden.clone() })
    }

    async fn settle(&mut self) -> io::Result<Vec<Line>> {
        static MARKERS: AtomicU64 = AtomicU64::new(0);
        let number = MARKERS.fetch_add(1, Ordering::Relaxed);
        let marker = format!("marker-{}-{number}", std::process::id());
        let own = self.marker.local_addr()?.to_string();
        self.marker.command(&["ECHO", &marker]).await?.ok()?;
        let mut lines = Vec::new();
        loop {
            let line = parse(&self.stream.next().await?)?;
            if line.source() == own
                && line.args().get(1).is_some_and(|arg| arg == marker.as_bytes())
            {
                return Ok(lines);
            }
            if !line.is_from_lua() && !self.hidden.hides(&line) {
                lines.push(line);
            }
        }
    }
}

fn parse(value: &Value) -> io::Result<Line> {
    let line = match value {
        Value::Simple(text) => Line::parse(text),
        _ => None,
    };
    let strange = || io::Error::new(io::ErrorKind::InvalidData, format!("no line: {value:?}"));
    line.ok_or_else(strange)
}
