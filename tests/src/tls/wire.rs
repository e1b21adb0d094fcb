//! The harness's own connections, with or without TLS.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, pki_types::ServerName},
};

/// A connection's bytes, with or without TLS.
pub(crate) trait Wire: AsyncRead + AsyncWrite + fmt::Debug + Send + Sync + Unpin {
    /// The address of this end.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

impl Wire for TcpStream {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Wire for TlsStream<Box<dyn Wire>> {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().0.local_addr()
    }
}

/// TLS to a server on loopback.
pub(crate) async fn handshake(
    config: Arc<ClientConfig>,
    stream: Box<dyn Wire>,
) -> io::Result<Box<dyn Wire>> {
    let name = ServerName::try_from("127.0.0.1").map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(config).connect(name, stream).await?))
}
