//! A client's side of TLS: whom it trusts, and what it shows.

use super::error::{ConnectCause, Phase, lost};
use crate::socket::Stream;
use crate::tls::{CertificateFiles, TlsError, read_authorities, read_certified_key};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore, SignatureScheme};
use std::path::PathBuf;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

pub(super) type TlsStream = tokio_rustls::client::TlsStream<Stream>;

/// How TLS is spoken, where it is. All files are PEM and are read anew for each connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The authorities that the server's certificate must come from, instead of those that the system trusts
    /// (on Linux also `SSL_CERT_FILE` and `SSL_CERT_DIR`).
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate, followed by those between it and the authority, and its private key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Accepts any certificate, whatever `ca_file` says, so that anybody on the way can read and change everything. For
    /// tests.
    pub insecure: bool,
    /// The name that the server's certificate must be valid for, instead of the URL's host.
    pub server_name: Option<String>,
}

/// TLS options that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsOptionsError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] TlsError),
    /// The name is neither a host's nor an address.
    #[error("{0:?} is no server name; write a host name or an IP address")]
    ServerName(String),
    /// The system trusts nobody.
    #[error(
        "this system has no certificate authorities{0}; install them (often the package ca-certificates) or name a file with the router's"
    )]
    NoAuthorities(String),
    /// The authorities cannot be used.
    #[error("the certificate authorities cannot be used")]
    Authorities(#[source] rustls::client::VerifierBuilderError),
}

/// What is needed to begin TLS with one server.
#[derive(Clone)]
pub(super) struct TlsSetup {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsSetup {
    /// Reads the files, away from the runtime's thread: the system's authorities are a hundred and more.
    pub(super) async fn load(
        options: &TlsOptions,
        host: &str,
        speaks_http: bool,
    ) -> Result<TlsSetup, ConnectCause> {
        let (options, host) = (options.clone(), host.to_owned());
        let loading = tokio::task::spawn_blocking(move || load(&options, &host, speaks_http));
        match loading.await {
            Ok(outcome) => outcome.map_err(ConnectCause::TlsOptions),
            // The runtime is shutting down.
            Err(error) => Err(lost(Phase::TlsHandshake, error.into())),
        }
    }

    pub(super) async fn handshake(&self, stream: Stream) -> Result<TlsStream, ConnectCause> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let shaken = connector.connect(self.name.clone(), stream).await;
        shaken.map_err(|source| lost(Phase::TlsHandshake, source))
    }
}

fn load(options: &TlsOptions, host: &str, speaks_http: bool) -> Result<TlsSetup, TlsOptionsError> {
    let host = options.server_name.as_deref().unwrap_or(host);
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| TlsOptionsError::ServerName(host.to_owned()))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(options, &provider)?;
    let identity = identity(options, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Provider)?
        // Each of our verifiers decides by certificates; `insecure` is the one that does not.
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(identity),
        None => builder.with_no_client_auth(),
    };
    if speaks_http {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    Ok(TlsSetup { config: Arc::new(config), name })
}

fn verifier(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsOptionsError> {
    if options.insecure {
        return Ok(Arc::new(TrustsAnybody(Arc::clone(provider))));
    }
    let roots = match &options.ca_file {
        Some(path) => read_authorities(path)?,
        None => system_authorities()?,
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    Ok(verifier.map_err(TlsOptionsError::Authorities)?)
}

fn system_authorities() -> Result<RootCertStore, TlsOptionsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system's store may hold certificates that cannot be parsed; the others still count.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first().map(|error| format!(" ({error})"));
        return Err(TlsOptionsError::NoAuthorities(reason.unwrap_or_default()));
    }
    Ok(roots)
}

fn identity(
    options: &TlsOptions,
    provider: &CryptoProvider,
) -> Result<Option<Arc<dyn ResolvesClientCert>>, TlsOptionsError> {
    let Some((cert, key)) = &options.certificate else { return Ok(None) };
    let files = CertificateFiles { cert: cert.clone(), key: key.clone() };
    let certified = read_certified_key(&files, provider, UnixTime::now())?;
    Ok(Some(Arc::new(SingleCertAndKey::from(certified))))
}

/// A name for this connection that both ends know and nobody else can make (RFC 9266). Only TLS 1.3 has one for
/// certain: in TLS 1.2 it depends on an extension, without which it binds nothing.
pub(super) fn channel_id(stream: &TlsStream) -> Option<[u8; 32]> {
    let (_, connection) = stream.get_ref();
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).ok()
}

/// Accepts any certificate. That the server has its key is still checked.
#[derive(Debug)]
struct TrustsAnybody(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustsAnybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
