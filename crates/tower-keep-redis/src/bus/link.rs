//! One connection that has subscribed. It is used until the first trouble and never mended: the
//! next one is made from scratch, so that there is one place where a gap can be.

use std::time::Duration;

use bytes::Bytes;
use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::{ClientLike, EventInterface, PubsubInterface},
    types::{
        Builder, ConnectHandle, CustomCommand, Message, RespVersion, Value,
        config::{Config, Options, ServerConfig},
    },
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    task::JoinError,
    time::{sleep, timeout},
};
use tower_keep_core::key::BUS;

use crate::{error::Failure, server::turned};

/// How long an answer may take while the link is made.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it may take until there is something to ask.
const OPENING: Duration = Duration::from_secs(5);
/// After this long without a message the server is asked whether it is still there.
const SILENCE: Duration = Duration::from_millis(400);
/// How long it may take to say so: both together are less than a second.
const ANSWER: Duration = Duration::from_millis(500);
/// Messages that wait here before some are lost.
const WAITING: usize = 1024;

#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    task: ConnectHandle,
    messages: Receiver<Message>,
    clustered: bool,
}

/// What came in.
#[derive(Debug)]
pub(super) enum Heard {
    Message(Bytes),
    /// More than could wait.
    TooMuch,
}

/// Why there is no link.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is no connection, or no more.
    Lost(Failure),
    /// There is, and the server does not let us subscribe.
    Forbidden(Failure),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Lost(error.into())
    }
}

impl Link {
    /// Connects to where `pattern` is connected to, and subscribes. Each `turn` begins with
    /// another host.
    pub(super) async fn open(pattern: &Client, turn: usize) -> Result<Self, Trouble> {
        let client = Builder::from_config(config(pattern, turn))
            .with_connection_config(|fred| {
                *fred = pattern.connection_config().clone();
                fred.connection_timeout = fred.connection_timeout.clamp(PATIENCE, OPENING);
                fred.internal_command_timeout = PATIENCE;
                fred.max_command_attempts = 1;
                fred.max_command_buffer_len = 0;
            })
            .with_performance_config(|fred| {
                fred.default_command_timeout = PATIENCE;
                fred.broadcast_channel_capacity = WAITING;
            })
            // Without a policy: its task ends with the connection.
            .build()?;
        let messages = client.message_rx();
        let task = client.connect();
        let mut link = Self { client, task, messages, clustered: pattern.is_clustered() };
        tokio::select! {
            biased;
            outcome = &mut link.task => Err(end_of(outcome)),
            connected = timeout(OPENING, link.client.wait_for_connect()) => {
                connected.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "no connection")))
            }
        }?;
        link.subscribe().await?;
        link.ask(PATIENCE).await?;
        Ok(link)
    }

    /// The next message. Dropping the future loses none.
    pub(super) async fn hear(&mut self) -> Result<Heard, Trouble> {
        loop {
            tokio::select! {
                biased;
                message = self.messages.recv() => return match message {
                    Ok(message) => Ok(Heard::Message(message.value.convert().unwrap_or_default())),
                    Err(RecvError::Lagged(_)) => Ok(Heard::TooMuch),
                    Err(RecvError::Closed) => Err(lost().into()),
                },
                outcome = &mut self.task => return Err(end_of(outcome).into()),
                () = sleep(SILENCE) => self.ask(ANSWER).await?,
            }
        }
    }

    /// fred takes `SUBSCRIBE` for done once it is written, and drops both kinds of answer to it.
    /// So a `PING` goes after it, before any answer can be read: whatever comes back first that is
    /// no push is taken for the answer to that, and is the refusal if there is one.
    #[expect(clippy::disallowed_methods, reason = "nothing reconnects here, and one write is it")]
    async fn subscribe(&self) -> Result<(), Trouble> {
        let both = self.client.pipeline();
        both.subscribe(BUS).await?;
        let _: Value = both.ping(None).await?;
        let outcome: Result<Value, Error> = both.last().await;
        outcome.map(drop).map_err(answered)
    }

    /// Whether it can still be heard here. A cluster node may be well and yet cut off from those
    /// where others publish.
    async fn ask(&self, patience: Duration) -> Result<(), Trouble> {
        let options = Options { timeout: Some(patience), ..Options::default() };
        let client = self.client.with_options(&options);
        if !self.clustered {
            let answer: Result<Value, Error> = client.ping(None).await;
            return answer.map(drop).map_err(answered);
        }
        let command = CustomCommand::new_static("CLUSTER", None, false);
        let info: Result<String, Error> = client.custom(command, vec!["INFO"]).await;
        if info.map_err(answered)?.contains("cluster_state:ok") {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Cluster, "the node is cut off from its cluster").into())
        }
    }
}

/// What a failure says that was the answer to a question of ours.
fn answered(error: Error) -> Trouble {
    let failure = Failure::from(error);
    if failure.is_refused() && failure.is_lasting() {
        Trouble::Forbidden(failure)
    } else {
        Trouble::Lost(failure)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Of a cluster one node is enough: what is published on any is heard on each.
fn config(pattern: &Client, turn: usize) -> Config {
    let mut config = turned(&pattern.client_config());
    config.fail_fast = true;
    config.version = RespVersion::RESP3;
    // There is one channel for all databases.
    config.database = None;
    if let ServerConfig::Clustered { hosts, .. } = &mut config.server {
        let mut nodes = pattern.active_connections();
        nodes.append(hosts);
        let turn = turn.checked_rem(nodes.len()).unwrap_or(0);
        if turn < nodes.len() {
            config.server = ServerConfig::Centralized { server: nodes.swap_remove(turn) };
        }
    }
    config
}

fn end_of(outcome: Result<Result<(), Error>, JoinError>) -> Error {
    match outcome {
        Ok(Ok(())) => lost(),
        Ok(Err(error)) => error,
        Err(error) => error.into(),
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::IO, "the connection is lost")
}
