//! Certificates and keys from PEM files, checked before anything uses them.

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, InconsistentKeys, RootCertStore};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A PEM file larger than this is some other file.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate first, then those between it and the authority.
    pub cert: PathBuf,
    /// PEM: the private key, not encrypted (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// Why TLS could not be configured. After a failed reload the old configuration stays in use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The listener names no certificate.
    #[error("TLS needs a certificate: set `tls.cert` and `tls.key`")]
    NoCertificateNamed,
    /// A file cannot be read.
    #[error("cannot read {path}; check that it exists and that this process may read it")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("{path} is not a PEM file: {reason}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong; never a part of the file, which may be secret.
        reason: String,
    },
    /// A file has no certificate.
    #[error("{0} holds no certificate; it must have a section `BEGIN CERTIFICATE`")]
    NoCertificate(PathBuf),
    /// A file has no private key.
    #[error("{0} holds no private key; it must have a section `BEGIN PRIVATE KEY`, not encrypted")]
    NoKey(PathBuf),
    /// A certificate cannot be used.
    #[error("the certificate in {path} cannot be used; issue it again")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// A key cannot be used.
    #[error("the private key in {path} cannot be used; RSA, ECDSA and Ed25519 keys can")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Key and certificate are not a pair.
    #[error(
        "the private key in {key} does not belong to the first certificate in {cert}; they must be a pair"
    )]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate's time is over.
    #[error("the certificate in {0} has expired; renew it")]
    Expired(PathBuf),
    /// The certificate's time has not come.
    #[error("the certificate in {0} is not valid yet; check this host's clock")]
    NotYetValid(PathBuf),
    /// The client certificate authorities cannot be used.
    #[error("the client certificate authorities in {path} cannot be used")]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
    /// The provider refused the protocol versions or could not make ticket keys.
    #[error("TLS cannot be set up")]
    Provider(#[source] rustls::Error),
}

/// Reads a chain and its key, and checks that they are a pair and in their time.
pub(crate) fn read_certified_key(
    files: &CertificateFiles,
    provider: &CryptoProvider,
    now: UnixTime,
) -> Result<CertifiedKey, TlsError> {
    let chain = read_certificates(&files.cert)?;
    check_end_entity(&chain, provider, now, &files.cert)?;
    let key = read_key(&files.key)?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|source| TlsError::Key { path: files.key.clone(), source })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // Unknown: the key cannot tell its public half, which proves nothing.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone() })
        }
        Err(source) => Err(TlsError::Certificate { path: files.cert.clone(), source }),
    }
}

/// The validity period comes first in the verification of a chain, so an empty list of authorities asks for it
/// without a certificate parser of our own. That no authority is found is the expected outcome.
fn check_end_entity(
    chain: &[CertificateDer<'static>],
    provider: &CryptoProvider,
    now: UnixTime,
    path: &Path,
) -> Result<(), TlsError> {
    let Some((first, intermediates)) = chain.split_first() else {
        return Err(TlsError::NoCertificate(path.to_owned()));
    };
    let failed = |source| TlsError::Certificate { path: path.to_owned(), source };
    let parsed = ParsedCertificate::try_from(first).map_err(failed)?;
    let nobody = RootCertStore::empty();
    let algorithms = provider.signature_verification_algorithms.all;
    match verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, intermediates, now, algorithms) {
        Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => Err(TlsError::Expired(path.to_owned())),
        Err(rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => Err(TlsError::NotYetValid(path.to_owned())),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads the certificate authorities that the other side's certificate must come from.
pub(crate) fn read_authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|source| TlsError::Certificate { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| pem_error(path, &error))?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(certificates)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    match PrivateKeyDer::from_pem_slice(&read(path)?) {
        Err(pem::Error::NoItemsFound) => Err(TlsError::NoKey(path.to_owned())),
        outcome => outcome.map_err(|error| pem_error(path, &error)),
    }
}

fn pem_error(path: &Path, error: &pem::Error) -> TlsError {
    let reason = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a section's first line is malformed",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be decoded",
    };
    TlsError::Pem { path: path.to_owned(), reason: reason.to_owned() }
}

#[expect(clippy::disallowed_methods, reason = "certificates are files")]
fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(TlsError::Pem { path: path.to_owned(), reason: "it is over 4 MiB".to_owned() });
    }
    Ok(bytes)
}
