//! TLS: which servers are trusted, and how we show who we are.

use std::{fmt, fs, path::PathBuf, sync::Arc};

use fred::{
    rustls::{
        ClientConfig, RootCertStore,
        crypto::{CryptoProvider, ring::default_provider},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        sign::CertifiedKey,
    },
    rustls_native_certs::load_native_certs,
};
use tower_keep_core::ConfigError;

pub(crate) const CA: &str = "REDIS_TLS_CA_FILE";
pub(crate) const CERTIFICATE: &str = "REDIS_TLS_CERT_FILE";
pub(crate) const KEY: &str = "REDIS_TLS_KEY_FILE";

/// How an error begins that says that one side does not trust the other.
pub(crate) const DISTRUST: &str = "TLS: the server";
/// What a server objects to before it listens to anything.
const ALERTS: [&str; 6] = [
    "Certificate",
    "UnknownCA",
    "HandshakeFailure",
    "ProtocolVersion",
    "DecryptError",
    "AccessDenied",
];

/// Such an error in words, if these details of one of fred's are one.
pub(crate) fn distrust(details: &str) -> Option<String> {
    let inside = |what| {
        let (_, rest) = details.split_once(what)?;
        rest.rsplit_once(')').map(|(inside, _)| inside)
    };
    if let Some(why) = inside("InvalidCertificate(") {
        return Some(format!("{DISTRUST}'s certificate is not trusted: {why}"));
    }
    let alert = inside("AlertReceived(")?;
    ALERTS
        .iter()
        .any(|known| alert.contains(known))
        .then(|| format!("{DISTRUST} refuses us: {alert}; see {CERTIFICATE}"))
}

/// Certificates or a private key in PEM: as text, or in a file.
///
/// A file is read when a connection is built, and not again. Its `Debug` shows neither text nor path.
///
/// ```
/// use tower_keep_redis::{Pem, RedisConfig};
///
/// let config = RedisConfig::from_url("rediss://cache.internal")?
///     .with_tls_ca(Pem::file("/etc/redis/ca.pem"))
///     .with_tls_client_certificate(
///         Pem::file("/etc/redis/app.crt"),
///         Pem::file("/etc/redis/app.key"),
///     );
/// # let _ = config;
/// # Ok::<(), tower_keep_redis::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Pem(Source);

#[derive(Clone, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Text(Arc<[u8]>),
}

impl Pem {
    /// What is in this file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// This text.
    pub fn text(pem: impl Into<Vec<u8>>) -> Self {
        Self(Source::Text(pem.into().into()))
    }

    /// The path is not repeated: who puts the key itself where its path belongs is not to find it
    /// in the log.
    fn read(&self) -> Result<Arc<[u8]>, String> {
        match &self.0 {
            Source::Text(text) => Ok(Arc::clone(text)),
            Source::File(path) => fs::read(path)
                .map(Arc::from)
                .map_err(|error| format!("the file cannot be read: {}", error.kind())),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let text = self.read()?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let found = found.map_err(|error| format!("it is not PEM: {error}"))?;
        if found.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(found) }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, String> {
        let text = self.read()?;
        PrivateKeyDer::from_pem_slice(&text)
            .map_err(|_| "there is no private key in it, or one with a passphrase".to_owned())
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::File(_) => "Pem(file)",
            Source::Text(_) => "Pem(text)",
        })
    }
}

/// What TLS is told beside the server's name.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Certificates {
    /// Whom to trust, in place of the system's roots.
    pub(crate) ca: Option<Pem>,
    /// Our certificate, its chain, and its key.
    pub(crate) own: Option<(Pem, Pem)>,
}

impl Certificates {
    /// Notes what is wrong with them.
    pub(crate) fn check(&self, tls: bool, found: &mut ConfigError) {
        if tls {
            if let Some(ca) = &self.ca {
                note(found, CA, roots_of(ca));
            }
            if let Some((certificate, key)) = &self.own {
                identity(certificate, key, &default_provider(), found);
            }
            return;
        }
        let given = [(CA, self.ca.is_some()), (CERTIFICATE, self.own.is_some())];
        for (name, _) in given.into_iter().filter(|(_, given)| *given) {
            found.push(name, "is given, but the connection is without TLS: write `rediss://`");
        }
    }

    /// By a provider named here: left to choose, rustls panics in a program that links two.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, ConfigError> {
        let mut found = ConfigError::default();
        let provider = Arc::new(default_provider());
        let roots = match &self.ca {
            Some(ca) => note(&mut found, CA, roots_of(ca)),
            None => note(&mut found, "REDIS_TLS", system_roots()),
        };
        let own = self.own.as_ref();
        let own = own.map(|(cert, key)| identity(cert, key, &provider, &mut found));
        found.into_result(())?;
        let refused = |name: &str, why: &dyn fmt::Display| ConfigError::new(name, why.to_string());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refused("REDIS_TLS", &error))?
            .with_root_certificates(roots.unwrap_or_else(RootCertStore::empty));
        match own.flatten() {
            Some((certificates, key)) => builder
                .with_client_auth_cert(certificates, key)
                .map_err(|error| refused(KEY, &error)),
            None => Ok(builder.with_no_client_auth()),
        }
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A certificate and its key, if they belong together.
fn identity(
    certificate: &Pem,
    key: &Pem,
    provider: &CryptoProvider,
    found: &mut ConfigError,
) -> Option<Identity> {
    let certificates = note(found, CERTIFICATE, certificate.certificates());
    let key = note(found, KEY, key.key());
    let (certificates, key) = (certificates?, key?);
    let pair = CertifiedKey::from_der(certificates.clone(), key.clone_key(), provider);
    note(found, KEY, pair.map_err(|error| format!("not the certificate's key: {error}")))?;
    Some((certificates, key))
}

fn roots_of(ca: &Pem) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in ca.certificates()? {
        roots.add(certificate).map_err(|error| format!("a certificate in it is bad: {error}"))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(load_native_certs().certs);
    if added == 0 {
        return Err(format!("the system has no root certificates to check a server by; name {CA}"));
    }
    Ok(roots)
}

fn note<T>(found: &mut ConfigError, name: &str, outcome: Result<T, String>) -> Option<T> {
    outcome.map_err(|why| found.push(name, why)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_text_nor_path_is_shown() {
        for pem in [Pem::file("/run/hunter2"), Pem::text("hunter2")] {
            assert!(!format!("{pem:?}").contains("hunter2"));
            let error = pem.certificates().unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(!pem.key().unwrap_err().contains("hunter2"));
        }
    }

    #[test]
    fn distrust_is_told_from_all_other_errors() {
        let told = |details: &str| distrust(details).unwrap_or_default();
        let unknown = "Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }";
        assert!(told(unknown).ends_with("not trusted: UnknownIssuer"));
        let required = "Custom { kind: InvalidData, error: AlertReceived(CertificateRequired) }";
        assert!(told(required).contains("refuses us: CertificateRequired;"));
        for other in ["AlertReceived(InternalError)", "Connection closed.", "InvalidCertificate"] {
            assert_eq!(distrust(other), None);
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let empty = Pem::text("");
        assert!(empty.certificates().unwrap_err().contains("no certificate"));
        assert!(empty.key().unwrap_err().contains("no private key"));
        assert!(Pem::file("/nowhere").key().unwrap_err().contains("cannot be read"));
        let broken = Pem::text("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
        assert!(broken.certificates().unwrap_err().contains("not PEM"));
    }
}
