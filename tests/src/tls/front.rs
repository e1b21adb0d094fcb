//! TLS before a server that was built without.

use std::{
    io,
    net::Ipv4Addr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use super::{Certificates, issue};

/// A port on loopback that speaks TLS and passes on what it is told to a server that does not.
/// What clients see of TLS is what a server of that kind would show.
#[derive(Debug)]
pub struct TlsFront {
    port: u16,
    named: Named,
    task: AbortHandle,
}

/// The names that clients have asked for (SNI).
type Named = Arc<Mutex<Vec<String>>>;

impl TlsFront {
    /// Opens a port that leads to this one; with `mutual`, only for who shows a certificate of the
    /// same CA. Panics if there is none.
    pub async fn start(target: u16, certificates: &Certificates, mutual: bool) -> Self {
        let config = server_config(certificates.0.folder.path(), mutual);
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("no TLS server")));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("no port");
        let port = listener.local_addr().expect("no port").port();
        let named = Named::default();
        let noted = Arc::clone(&named);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(serve(client, target, acceptor.clone(), Arc::clone(&noted)));
            }
        });
        Self { port, named, task: task.abort_handle() }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The names that clients have asked for (SNI), one for each connection; of an address there is
    /// none.
    pub fn named(&self) -> Vec<String> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    client: TcpStream,
    target: u16,
    acceptor: TlsAcceptor,
    named: Named,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = acceptor.accept(client).await?;
    if let Some(name) = client.get_ref().1.server_name() {
        named.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
    }
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

fn server_config(folder: &Path, mutual: bool) -> io::Result<ServerConfig> {
    let verifier = issue::client_verifier(folder)?;
    let builder = ServerConfig::builder_with_provider(issue::provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = if mutual {
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let (certificate, key) = issue::identity(folder, "server")?;
    let mut config = builder.with_single_cert(vec![certificate], key).map_err(io::Error::other)?;
    // Whoever offers HTTP/2 gets it, and is not understood by a server that speaks HTTP/1.1.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
