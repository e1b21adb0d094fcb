//! The program, as a child of the test.

use tokio::net::TcpStream;
use tower_keep_tests::Program;

use crate::wire::{Head, Upstream, Wire};

const PROGRAM: &str = env!("CARGO_BIN_EXE_gateway");

/// A gateway before an upstream of the test's.
pub(crate) struct Gateway {
    pub(crate) program: Program,
    pub(crate) upstream: Upstream,
}

impl Gateway {
    /// Starts both.
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let upstream = Upstream::start().await;
        let program = before(&upstream.url(), variables).await;
        Self { program, upstream }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.program.url().trim_start_matches("http://")
    }

    /// A client's connection.
    pub(crate) async fn connect(&self) -> Wire {
        Wire::new(TcpStream::connect(self.address()).await.unwrap())
    }

    /// Sends a request, and tells what the upstream is asked.
    pub(crate) async fn passes(&mut self, request: &str) -> Exchange {
        let mut client = self.connect().await;
        client.send(request).await;
        let (upstream, asked) = self.upstream.asked().await;
        Exchange { client, upstream, asked }
    }

    /// Sends a request that the gateway answers itself: the status, and the body.
    pub(crate) async fn answers(&mut self, request: &str) -> (Head, String) {
        let mut client = self.connect().await;
        client.send(request).await;
        let answer = client.message().await;
        assert!(self.upstream.is_left_alone().await);
        answer
    }
}

/// A request under way.
pub(crate) struct Exchange {
    pub(crate) client: Wire,
    pub(crate) upstream: Wire,
    pub(crate) asked: Head,
}

/// A gateway before this upstream.
pub(crate) async fn before(upstream: &str, variables: &[(&str, &str)]) -> Program {
    let own = [("GATEWAY_UPSTREAM", upstream), ("GATEWAY_LISTEN", "127.0.0.1:0")];
    Program::serving(PROGRAM, &[&own, variables].concat()).await
}

/// Runs the program with these variables until it ends by itself: its exit code, and what it said.
pub(crate) async fn run(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    Program::run(PROGRAM, variables).await
}
