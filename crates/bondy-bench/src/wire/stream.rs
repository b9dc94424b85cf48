//! A connected socket, TCP or Unix, plain or under TLS.
//!
//! The load believes every certificate: it measures servers that are started for the purpose, with certificates
//! that nobody signed. The command line asks for `--insecure` before it lets a secret go there.

use crate::endpoint::{Address, Endpoint};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use socket2::Socket;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A connected socket.
#[derive(Debug)]
pub enum Stream {
    /// As it is.
    Plain(Socket),
    /// Under TLS.
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Stream {
    /// Connects to an address of `endpoint`. A TLS handshake happens with the first write.
    pub fn connect(
        address: &Address,
        endpoint: &Endpoint,
        source: Option<Ipv4Addr>,
    ) -> anyhow::Result<Stream> {
        let socket = address.connect(source)?;
        if !endpoint.tls {
            return Ok(Stream::Plain(socket));
        }
        static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        let config = match CONFIG.get() {
            Some(config) => Arc::clone(config),
            None => {
                let config = Arc::new(credulous_config()?);
                Arc::clone(CONFIG.get_or_init(|| config))
            }
        };
        let name = ServerName::try_from(endpoint.host().to_owned())?;
        let connection = ClientConnection::new(config, name)?;
        Ok(Stream::Tls(Box::new(StreamOwned::new(connection, socket))))
    }

    /// The socket below.
    pub fn socket(&self) -> &Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// Whether a read that fills less than its buffer has emptied the socket.
    pub fn short_read_empties(&self) -> bool {
        matches!(self, Stream::Plain(_))
    }

    /// Waits until there is something to read, at most `timeout`, which is exact to microseconds, unlike the timeouts
    /// of sockets.
    pub fn wait_readable(&mut self, timeout: Duration) -> io::Result<bool> {
        if self.has_plaintext() {
            return Ok(true);
        }
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        let mut descriptors = [PollFd::new(self.socket(), PollFlags::IN)];
        match poll(&mut descriptors, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether decrypted octets wait above the socket.
    pub(super) fn has_plaintext(&mut self) -> bool {
        match self {
            Stream::Plain(_) => false,
            // A broken stream says so at the next read.
            Stream::Tls(stream) => {
                stream.conn.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

fn credulous_config() -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Credulous(Arc::clone(&provider)));
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// Believes every certificate.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
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
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
