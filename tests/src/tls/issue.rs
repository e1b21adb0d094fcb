//! Making the certificates, and a client out of them.

use std::{fs, io, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

/// Writes all files; the server has these names.
pub(super) fn write(folder: &Path, names: &[&str]) -> io::Result<()> {
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let mut params = named("CA of a test", &[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let ca = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
    fs::write(folder.join("ca.crt"), ca.pem())?;
    // Servers are each other's clients.
    let both = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    for (name, names, uses) in [("server", names, both.as_slice()), ("client", &[], &both[1..])] {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = named(name, names)?;
        params.extended_key_usages = uses.to_vec();
        let certificate = params.signed_by(&key, &ca).map_err(io::Error::other)?;
        fs::write(folder.join(format!("{name}.crt")), certificate.pem())?;
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
    }
    Ok(())
}

fn named(name: &str, names: &[&str]) -> io::Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// A client that trusts the CA, and shows a certificate if it is to be known.
pub(super) fn client_config(folder: &Path, known: bool) -> io::Result<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots(folder)?);
    if !known {
        return Ok(config.with_no_client_auth());
    }
    let (certificate, key) = identity(folder, "client")?;
    config.with_client_auth_cert(vec![certificate], key).map_err(io::Error::other)
}

/// Takes clients that the CA knows, and no others.
pub(super) fn client_verifier(folder: &Path) -> io::Result<Arc<dyn ClientCertVerifier>> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(folder)?), provider())
        .build()
        .map_err(io::Error::other)
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificate and the key of one of the two.
pub(super) fn identity(
    folder: &Path,
    name: &str,
) -> io::Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key")));
    Ok((certificate(folder, name)?, key.map_err(io::Error::other)?))
}

fn roots(folder: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(folder, "ca")?).map_err(io::Error::other)?;
    Ok(roots)
}

fn certificate(folder: &Path, name: &str) -> io::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(folder.join(format!("{name}.crt"))).map_err(io::Error::other)
}
