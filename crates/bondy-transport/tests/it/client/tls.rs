//! TLS as a client: who is trusted, who is not, and what the error says.

use super::server::{accept, serve_rawsocket, serve_websocket};
use super::{chain, connect_to, exchange, offering};
use crate::authority::{Authority, files};
use crate::socket::listen;
use bondy_transport::client::{
    ConnectCause, ConnectError, ConnectOptions, Connection, TlsOptions, TlsOptionsError,
};
use bondy_transport::socket::Listener;
use bondy_transport::tls::{CertificateFiles, TlsAcceptor, TlsError, TlsFiles};
use bondy_wamp::serializer::Serializer;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

/// A server for one connection, which stays until the client goes.
async fn serve(files: TlsFiles) -> (u16, JoinHandle<()>) {
    let (listener, port) = listen().await;
    (port, tokio::spawn(serve_one(listener, files)))
}

async fn serve_one(listener: Listener, files: TlsFiles) {
    let is_http = files.serves_http;
    let acceptor = TlsAcceptor::load(files).unwrap();
    let mut stream = acceptor.accept(Arc::new(accept(&listener).await), Vec::new()).unwrap();
    if stream.handshake().await.is_err() {
        // An end before the client has read why would take the alert with it.
        let mut rest = Vec::new();
        let _ = (&**stream.stream()).read_to_end(&mut rest).await;
    } else if is_http {
        serve_websocket(stream).await;
    } else {
        serve_rawsocket(stream, &[Serializer::Cbor]).await;
    }
}

fn options(tls: TlsOptions) -> ConnectOptions {
    ConnectOptions { tls, ..offering(&[Serializer::Cbor]) }
}

fn trusting(ca: PathBuf) -> TlsOptions {
    TlsOptions { ca_file: Some(ca), ..TlsOptions::default() }
}

/// Connects by rawsocket over TLS to a server that shows `certificate`.
async fn connect_with(
    certificate: &CertificateFiles,
    client_ca: Option<PathBuf>,
    tls: TlsOptions,
) -> Result<Connection, ConnectError> {
    let (port, server) = serve(TlsFiles { client_ca, ..files(&[certificate]) }).await;
    let outcome = connect_to(&format!("rss://127.0.0.1:{port}"), &options(tls)).await;
    server.abort();
    outcome
}

#[tokio::test]
async fn both_protocols_run_over_tls_with_an_authority_of_our_own() {
    let authority = Authority::new();
    let certificate = authority.issue("server", &["localhost", "127.0.0.1"]);
    for (scheme, host, serves_http) in [
        ("wss", "localhost", true),
        ("wss", "127.0.0.1", true),
        ("rss", "localhost", false),
        ("rss", "127.0.0.1", false),
    ] {
        let (port, server) = serve(TlsFiles { serves_http, ..files(&[&certificate]) }).await;
        let path = if serves_http { "/ws" } else { "" };
        let url = format!("{scheme}://{host}:{port}{path}");
        let mut connection = connect_to(&url, &options(trusting(authority.ca()))).await.unwrap();
        for length in [1, 100_000] {
            let message = vec![b'7'; length];
            assert_eq!(exchange(&mut connection, &message).await, message, "{url}");
        }
        assert!(connection.channel_id().is_some());
        connection.stream.shutdown().await.unwrap();
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_until_the_name_is_given() {
    let authority = Authority::new();
    let certificate = authority.issue("server", &["router.example"]);
    let error = connect_with(&certificate, None, trusting(authority.ca())).await.unwrap_err();
    let text = chain(&error);
    assert!(matches!(error.cause, ConnectCause::Tls(_)), "{text}");
    assert!(text.contains("set the server name") && text.contains("router.example"), "{text}");
    let named = TlsOptions { server_name: Some("router.example".to_owned()), ..trusting(authority.ca()) };
    assert!(connect_with(&certificate, None, named).await.is_ok());
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused_unless_told_otherwise() {
    let (authority, other) = (Authority::new(), Authority::new());
    let certificate = authority.issue("server", &["127.0.0.1"]);
    let error = connect_with(&certificate, None, trusting(other.ca())).await.unwrap_err();
    let text = chain(&error);
    assert!(
        text.contains("TLS failed; the server's certificate comes from an authority that is not"),
        "{text}"
    );
    assert!(text.contains("UnknownIssuer"), "{text}");
    // What the system trusts, if it trusts anybody, has nothing to do with ours.
    let error = connect_with(&certificate, None, TlsOptions::default()).await.unwrap_err();
    let is_refused = matches!(
        error.cause,
        ConnectCause::Tls(_) | ConnectCause::TlsOptions(TlsOptionsError::NoAuthorities(_))
    );
    assert!(is_refused, "{error:?}");
    let insecure = TlsOptions { insecure: true, ..TlsOptions::default() };
    assert!(connect_with(&certificate, None, insecure).await.is_ok());
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_the_server_asks() {
    let (authority, other) = (Authority::new(), Authority::new());
    let certificate = authority.issue("server", &["127.0.0.1"]);
    let client = authority.issue("client", &["alice"]);
    let stranger = other.issue("stranger", &["mallory"]);
    let showing = |files: &CertificateFiles| TlsOptions {
        certificate: Some((files.cert.clone(), files.key.clone())),
        ..trusting(authority.ca())
    };
    let ca = || Some(authority.ca());
    assert!(connect_with(&certificate, ca(), showing(&client)).await.is_ok());
    let error = connect_with(&certificate, ca(), trusting(authority.ca())).await.unwrap_err();
    assert!(chain(&error).contains("the server wants a client certificate"), "{}", chain(&error));
    let error = connect_with(&certificate, ca(), showing(&stranger)).await.unwrap_err();
    assert!(chain(&error).contains("does not accept the client certificate"), "{}", chain(&error));
}

#[tokio::test]
async fn options_that_cannot_be_used_are_refused_before_anything_is_sent() {
    let authority = Authority::new();
    let client = authority.issue("client", &["alice"]);
    let other = authority.issue("other", &["bob"]);
    authority.folder.write("empty.pem", "");
    let empty = authority.folder.path("empty.pem");
    let with_pair = |cert: &PathBuf, key: &PathBuf| TlsOptions {
        certificate: Some((cert.clone(), key.clone())),
        ..trusting(authority.ca())
    };
    type Expected = fn(&TlsOptionsError) -> bool;
    let cases: [(TlsOptions, Expected); 5] = [
        (trusting(authority.folder.path("missing")), |error| {
            matches!(error, TlsOptionsError::File(TlsError::Read { .. }))
        }),
        (trusting(empty.clone()), |error| matches!(error, TlsOptionsError::File(TlsError::NoCertificate(_)))),
        (with_pair(&client.cert, &empty), |error| matches!(error, TlsOptionsError::File(TlsError::NoKey(_)))),
        (with_pair(&client.cert, &other.key), |error| {
            matches!(error, TlsOptionsError::File(TlsError::Mismatch { .. }))
        }),
        (
            TlsOptions { server_name: Some("a b".to_owned()), ..trusting(authority.ca()) },
            |error| matches!(error, TlsOptionsError::ServerName(name) if name == "a b"),
        ),
    ];
    for (tls, is_expected) in cases {
        // Nobody listens there, which would be another error.
        let error = connect_to("wss://127.0.0.1:1/", &options(tls)).await.unwrap_err();
        let ConnectCause::TlsOptions(cause) = &error.cause else { panic!("{error:?}") };
        assert!(is_expected(cause), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_named_so() {
    let (listener, port) = listen().await;
    let server = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        stream.read_u8().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    let insecure = TlsOptions { insecure: true, ..TlsOptions::default() };
    let error = connect_to(&format!("wss://127.0.0.1:{port}/"), &options(insecure)).await.unwrap_err();
    assert!(chain(&error).contains("the server does not speak TLS there"), "{}", chain(&error));
    server.await.unwrap();
}

/// What both ends export, and whether the client takes it for an id of the channel.
async fn channel_ids(version: &'static SupportedProtocolVersion) -> (Option<[u8; 32]>, [u8; 32]) {
    let authority = Authority::new();
    let certificate = authority.issue("server", &["127.0.0.1"]);
    let chain = CertificateDer::pem_file_iter(&certificate.cert).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (listener, port) = listen().await;
    let server = tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let stream = acceptor.accept(accept(&listener).await).await.unwrap();
        let exported = stream.get_ref().1.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None);
        serve_rawsocket(stream, &[Serializer::Cbor]).await;
        exported.unwrap()
    });
    let url = format!("rss://127.0.0.1:{port}");
    let connection = connect_to(&url, &options(trusting(authority.ca()))).await.unwrap();
    let channel_id = connection.channel_id();
    drop(connection);
    (channel_id, server.await.unwrap())
}

#[tokio::test]
async fn channel_id_is_the_same_at_both_ends_and_only_with_tls_1_3() {
    let (at_client, at_server) = channel_ids(&rustls::version::TLS13).await;
    assert_eq!(at_client, Some(at_server));
    let (again, _) = channel_ids(&rustls::version::TLS13).await;
    assert_ne!(at_client, again, "each connection has its own");
    let (at_client, _) = channel_ids(&rustls::version::TLS12).await;
    assert_eq!(at_client, None);
}
