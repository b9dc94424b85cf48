//! The client's end: against this crate's own server half, and against servers that misbehave.

mod codec;
mod misbehaviour;
mod server;
mod tls;

use bondy_transport::client::{
    ConnectCause, ConnectError, ConnectOptions, Connection, Endpoint, Received, connect, connect_stream,
};
use bondy_transport::rawsocket::{HandshakeError, RefusalCode};
use bondy_wamp::serializer::Serializer;
use server::{echo_rawsocket, echo_websocket};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::folder::Folder;
use crate::socket::listen;

/// Nothing here takes as long, unless something hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// The error with all its causes, as a person reads it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

async fn connect_to(url: &str, options: &ConnectOptions) -> Result<Connection, ConnectError> {
    let endpoint = Endpoint::parse(url).unwrap();
    let connecting = connect(&endpoint, options);
    tokio::time::timeout(DEADLINE, connecting).await.expect("connecting ends in time")
}

fn offering(serializers: &[Serializer]) -> ConnectOptions {
    ConnectOptions { serializers: serializers.to_vec(), ..ConnectOptions::default() }
}

/// Sends a message and gives the next one that comes, answering pings on the way.
async fn exchange(connection: &mut Connection, message: &[u8]) -> Vec<u8> {
    let Connection { stream, codec, received } = connection;
    let mut out = Vec::new();
    codec.append_message(message, &mut out).unwrap();
    stream.write_all(&out).await.unwrap();
    stream.flush().await.unwrap();
    loop {
        let whole = received.len();
        let mut rest = &mut received[..];
        let answer = match codec.next(&mut rest).unwrap() {
            Received::Message(message) => Some(message.into_owned()),
            Received::Ping(payload) => {
                let mut pong = Vec::new();
                codec.append_pong(&payload, &mut pong).unwrap();
                stream.write_all(&pong).await.unwrap();
                None
            }
            Received::Incomplete { .. } | Received::Pong(_) => None,
            Received::Close(close) => panic!("closed: {close:?}"),
        };
        let taken = whole - rest.len();
        received.drain(..taken);
        if let Some(answer) = answer {
            return answer;
        }
        if taken == 0 || received.is_empty() {
            let reading = tokio::time::timeout(DEADLINE, stream.read_buf(received));
            assert_ne!(reading.await.expect("an answer comes in time").unwrap(), 0, "the server is gone");
        }
    }
}

#[tokio::test]
async fn websocket_opens_with_the_first_serializer_that_the_server_knows() {
    let orders = [
        (vec![Serializer::Json, Serializer::Cbor], Serializer::Json),
        (vec![Serializer::Cbor, Serializer::Json], Serializer::Cbor),
        (vec![Serializer::MessagePack, Serializer::Cbor], Serializer::MessagePack),
    ];
    for (serializers, agreed) in orders {
        let (listener, port) = listen().await;
        let server = tokio::spawn(echo_websocket(listener));
        let url = format!("ws://127.0.0.1:{port}/ws?token=1");
        let mut connection = connect_to(&url, &offering(&serializers)).await.unwrap();
        assert_eq!(connection.serializer(), agreed);
        for length in [1, 125, 126, 65_535, 65_536, 200_000] {
            let message = vec![b'7'; length];
            assert_eq!(exchange(&mut connection, &message).await, message);
        }
        drop(connection);
        assert_eq!(server.await.unwrap(), "/ws?token=1");
    }
}

#[tokio::test]
async fn rawsocket_opens_over_tcp_and_over_a_unix_socket() {
    let folder = Folder::new();
    let unix = format!("unix:{}", folder.path("s").display());
    for bind in ["127.0.0.1:0", "[::1]:0", "localhost:0", unix.as_str()] {
        let (listener, url) = server::bind(bind).await;
        let server = tokio::spawn(echo_rawsocket(listener, &[Serializer::Json, Serializer::Cbor]));
        let mut connection = connect_to(&url, &offering(&[Serializer::Cbor])).await.unwrap();
        assert_eq!(connection.serializer(), Serializer::Cbor);
        for length in [1, 1 << 16, 1 << 20] {
            let message = vec![b'7'; length];
            assert_eq!(exchange(&mut connection, &message).await, message);
        }
        drop(connection);
        server.await.unwrap();
    }
}

#[tokio::test]
async fn rawsocket_asks_for_the_next_serializer_on_a_fresh_connection() {
    let (listener, url) = server::bind("127.0.0.1:0").await;
    let server = tokio::spawn(echo_rawsocket(listener, &[Serializer::Json]));
    let options = offering(&[Serializer::MessagePack, Serializer::Cbor, Serializer::Json]);
    let mut connection = connect_to(&url, &options).await.unwrap();
    assert_eq!(connection.serializer(), Serializer::Json);
    assert_eq!(exchange(&mut connection, b"[1]").await, b"[1]");
    drop(connection);
    server.await.unwrap();
}

#[tokio::test]
async fn a_server_without_any_of_the_serializers_is_an_error_that_says_so() {
    let (listener, url) = server::bind("127.0.0.1:0").await;
    let server = tokio::spawn(echo_rawsocket(listener, &[Serializer::Json]));
    let error = connect_to(&url, &offering(&[Serializer::MessagePack, Serializer::Cbor])).await.unwrap_err();
    let unsupported = HandshakeError::Refused(RefusalCode::SerializerUnsupported);
    assert!(matches!(error.cause, ConnectCause::RawSocket(cause) if cause == unsupported), "{error:?}");
    server.abort();
    for url in [&url, "ws://127.0.0.1:1/"] {
        let error = connect_to(url, &offering(&[])).await.unwrap_err();
        assert!(matches!(error.cause, ConnectCause::NoSerializer), "{error:?}");
    }
}

#[tokio::test]
async fn a_stream_in_memory_speaks_rawsocket() {
    let (near, mut far) = tokio::io::duplex(64);
    let server = tokio::spawn(async move {
        let mut request = [0; 4];
        far.read_exact(&mut request).await.unwrap();
        far.write_all(&[0x7f, 0x01, 0, 0]).await.unwrap();
        // A frame that comes with the handshake.
        far.write_all(b"\0\0\0\x03[7]").await.unwrap();
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.unwrap();
        (request, rest)
    });
    let options = ConnectOptions { message_bytes_max: 1000, ..offering(&[Serializer::Json]) };
    let mut connection = connect_stream(near.into(), &options).await.unwrap();
    assert_eq!(connection.codec.message_bytes_max(), 512);
    assert_eq!(exchange(&mut connection, b"[1]").await, b"[7]");
    drop(connection);
    assert_eq!(server.await.unwrap(), ([0x7f, 0x01, 0, 0], b"\0\0\0\x03[1]".to_vec()));
}

#[tokio::test]
async fn where_nobody_listens_the_error_names_the_place_and_what_to_do() {
    let (listener, port) = listen().await;
    drop(listener);
    let error =
        connect_to(&format!("ws://127.0.0.1:{port}/ws?token=secret"), &ConnectOptions::default()).await;
    let text = chain(&error.unwrap_err());
    let place =
        format!("cannot connect to ws://127.0.0.1:{port}/ws: no connection to 127.0.0.1:{port}; check");
    assert!(text.starts_with(&place) && text.contains("refused") && !text.contains("secret"), "{text}");
    let error = connect_to("unix:/nowhere/bondy.sock", &ConnectOptions::default()).await.unwrap_err();
    assert!(chain(&error).contains("/nowhere/bondy.sock"), "{error:?}");
}

#[tokio::test]
async fn dropping_the_future_closes_the_socket() {
    for scheme in ["ws", "rs"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let connecting = tokio::spawn(async move { connect_to(&url, &ConnectOptions::default()).await });
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.read_u8().await.unwrap();
        connecting.abort();
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).await.unwrap();
    }
}
