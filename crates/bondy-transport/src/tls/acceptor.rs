//! The server's side of TLS for one listener.

use super::certificate::{CertificateFiles, TlsError, read_authorities, read_certified_key};
use super::sni::BySni;
use super::stream::TlsStream;
use crate::socket::Stream;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// At least one; the first is the default for names that none is valid for.
    pub certificates: Vec<CertificateFiles>,
    /// PEM: where client certificates must come from. If set, a client without one is refused.
    pub client_ca: Option<PathBuf>,
    /// Whether the listener serves HTTP, so also WebSocket: then `http/1.1` is offered by ALPN (RFC 7301).
    pub serves_http: bool,
}

/// A listener's TLS configuration, which can be read anew from its files.
#[derive(Debug)]
pub struct TlsAcceptor {
    files: TlsFiles,
    current: ArcSwap<ServerConfig>,
}

impl TlsAcceptor {
    /// Reads and checks the files: keys and certificates that are not pairs or out of their time are refused.
    /// It blocks on the file system.
    pub fn load(files: TlsFiles) -> Result<TlsAcceptor, TlsError> {
        let current = ArcSwap::from_pointee(configure(&files)?);
        Ok(TlsAcceptor { files, current })
    }

    /// Reads the same files anew, for connections from now on; open ones keep what they have. Nothing changes on an
    /// error. Earlier sessions cannot be resumed afterwards, so a client of a removed authority is out.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(configure(&self.files)?));
        Ok(())
    }

    /// The files that it was loaded from.
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// Begins a connection; `received` is what was already read from `stream`. Next comes
    /// [`TlsStream::handshake`].
    pub fn accept(&self, stream: Arc<Stream>, received: Vec<u8>) -> Result<TlsStream, TlsError> {
        TlsStream::new(self.current.load_full(), stream, received).map_err(TlsError::Provider)
    }
}

fn configure(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let now = UnixTime::now();
    let keys = files.certificates.iter().map(|one| read_certified_key(one, &provider, now).map(Arc::new));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Err(TlsError::NoCertificateNamed);
    }
    let verifier = client_verifier(files.client_ca.as_deref(), &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Provider)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(BySni::new(keys)));
    if files.serves_http {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    // Stateless tickets: a reconnecting crowd resumes cheaply, and the node keeps nothing for those who do not come
    // back. One per connection, because our clients open one connection at a time.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Provider)?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn client_verifier(
    client_ca: Option<&Path>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(path) = client_ca else { return Ok(WebPkiClientVerifier::no_client_auth()) };
    let roots = Arc::new(read_authorities(path)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
    verifier.map_err(|source| TlsError::ClientCa { path: path.to_owned(), source })
}
