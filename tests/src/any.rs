//! A plain server, whoever runs it.

use std::io;

use crate::{
    Flavor, Resp, Server, Value,
    address::{Address, external_url},
};

/// A server that a suite may use but not break; [`Server::external_or_start`] makes one.
///
/// It may be shared and hold data already: use names of your own and never `FLUSHALL`.
#[derive(Debug)]
pub struct AnyServer(Kind);

#[derive(Debug)]
enum Kind {
    Own(Box<Server>),
    External { url: String, address: Address },
}

impl AnyServer {
    pub(crate) async fn take(flavor: Flavor) -> Self {
        let Some(url) = external_url() else {
            return Self(Kind::Own(Box::new(Server::start(flavor).await)));
        };
        match Self::external(url).await {
            Ok(server) => server,
            Err(error) => panic!("the server named by REDIS_URL cannot be used: {error}"),
        }
    }

    /// An external server that answers.
    pub(crate) async fn external(url: String) -> io::Result<Self> {
        let address = Address::parse(&url)?;
        address.connect().await?.command(&["PING"]).await?.ok()?;
        Ok(Self(Kind::External { url, address }))
    }

    /// Where it is, with the credentials.
    pub fn url(&self) -> String {
        match &self.0 {
            Kind::Own(server) => server.url(),
            Kind::External { url, .. } => url.clone(),
        }
    }

    /// A new connection, authenticated if the server wants it.
    pub async fn connect(&self) -> io::Result<Resp> {
        match &self.0 {
            Kind::Own(server) => server.connect().await,
            Kind::External { address, .. } => address.connect().await,
        }
    }

    /// Sends one command on a connection of its own.
    pub async fn command<A: AsRef<[u8]>>(&self, args: &[A]) -> io::Result<Value> {
        self.connect().await?.command(args).await
    }
}
