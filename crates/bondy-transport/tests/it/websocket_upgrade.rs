//! HTTP/1.1 until the upgrade, over memory, and once over a socket with a foreign client.

use std::time::Duration;

use bondy_transport::websocket::decoder::{Decoder, Event, MessageKind, Settings};
use bondy_transport::websocket::deflate::Inflater;
use bondy_transport::websocket::frame::{FrameHeader, Opcode, append_frame};
use bondy_transport::websocket::handshake::Policy;
use bondy_transport::websocket::upgrade::{self, Outcome};
use bondy_transport::websocket::{Role, close};
use hyper::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const SETTINGS: upgrade::Settings = upgrade::Settings {
    path: Some("/ws"),
    policy: Policy { subprotocols: &["wamp.2.json", "wamp.2.cbor"], compression: true },
    head_bytes_max: 8192,
    headers_max: 30,
    head_timeout: Duration::from_secs(10),
};

const UPGRADE: &str = "GET /ws?token=1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: x, wamp.2.cbor, wamp.2.json\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

async fn serve(
    stream: DuplexStream,
    settings: upgrade::Settings,
) -> Result<Outcome<DuplexStream>, hyper::Error> {
    let handler = async |_| Response::new("from the handler".into());
    upgrade::serve(stream, &settings, handler, std::future::pending()).await
}

/// Sends `request`, gives all that comes back until the server closes.
async fn exchange(request: &str, settings: upgrade::Settings) -> String {
    let (mut client, server) = duplex(64 << 10);
    let serving = tokio::spawn(serve(server, settings));
    client.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).await.unwrap();
    // A connection that hyper gave up is an error here, and none for this exchange.
    drop(serving.await.unwrap());
    response
}

/// `UPGRADE` with one part replaced, on a connection that ends with the response.
fn altered(from: &str, to: &str) -> String {
    assert!(UPGRADE.contains(from));
    UPGRADE.replace(from, to).replace("Connection: Upgrade", "Connection: Upgrade, close")
}

#[tokio::test]
async fn upgrade_gives_the_stream_back_with_what_was_read_after_the_request() {
    let (mut client, server) = duplex(64 << 10);
    let serving = tokio::spawn(serve(server, SETTINGS));
    let request = [UPGRADE.as_bytes(), b"\x81\x80abcd early"].concat();
    client.write_all(&request).await.unwrap();
    let Ok(Outcome::Upgraded(mut upgraded)) = serving.await.unwrap() else { panic!("no upgrade") };
    assert_eq!(&upgraded.read[..], b"\x81\x80abcd early");
    assert_eq!(upgraded.uri, "/ws?token=1");
    assert_eq!(upgraded.headers["host"], "localhost");
    assert_eq!(upgraded.subprotocol, Some("wamp.2.cbor"));
    assert!(upgraded.extension.is_some());

    upgraded.stream.write_all(b"bare").await.unwrap();
    drop(upgraded);
    let mut response = String::new();
    client.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\nbare"), "{response}");
    for header in [
        "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "sec-websocket-protocol: wamp.2.cbor",
        "sec-websocket-extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    ] {
        assert!(response.contains(&format!("{header}\r\n")), "{response}");
    }
}

#[tokio::test]
async fn refused_upgrades_are_answered_with_status_and_reason() {
    let unknown = exchange(&altered("wamp.2.cbor, wamp.2.json", "wamp.1"), SETTINGS).await;
    assert!(unknown.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{unknown}");
    assert!(unknown.contains("none of the subprotocols"), "{unknown}");
    let version = exchange(&altered("Version: 13", "Version: 8"), SETTINGS).await;
    assert!(version.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{version}");
    assert!(version.contains("sec-websocket-version: 13\r\n"), "{version}");
    let old = exchange(&UPGRADE.replace("HTTP/1.1", "HTTP/1.0"), SETTINGS).await;
    assert!(old.starts_with("HTTP/1.0 400 Bad Request\r\n"), "{old}");
}

#[tokio::test]
async fn other_requests_go_to_the_handler_and_the_connection_can_still_upgrade() {
    for request in [altered("/ws", "/other"), altered("Upgrade: websocket", "Upgrade: h2c")] {
        let response = exchange(&request, SETTINGS).await;
        assert!(response.ends_with("\r\n\r\nfrom the handler"), "{response}");
    }
    let (mut client, server) = duplex(64 << 10);
    let serving = tokio::spawn(serve(server, SETTINGS));
    let requests = format!("GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n{UPGRADE}");
    client.write_all(requests.as_bytes()).await.unwrap();
    assert!(matches!(serving.await.unwrap(), Ok(Outcome::Upgraded(_))));
}

#[tokio::test]
async fn heads_that_are_too_long_too_many_or_too_slow_are_refused() {
    let long =
        exchange(&altered("Host: localhost", &format!("Host: {}", "a".repeat(10_000))), SETTINGS).await;
    assert!(long.starts_with("HTTP/1.1 431 "), "{long}");
    let many = exchange(&altered("Host: localhost", "A: b\r\n".repeat(31).trim_end()), SETTINGS).await;
    assert!(many.starts_with("HTTP/1.1 431 "), "{many}");

    let (mut client, server) = duplex(64 << 10);
    let settings = upgrade::Settings { head_timeout: Duration::from_millis(20), ..SETTINGS };
    client.write_all(b"GET /ws HTTP/1.1\r\nHost: local").await.unwrap();
    assert!(serve(server, settings).await.is_err_and(|error| error.is_timeout()));
}

#[tokio::test]
async fn connection_that_ends_without_an_upgrade_is_closed() {
    let (client, server) = duplex(1024);
    drop(client);
    assert!(matches!(serve(server, SETTINGS).await, Ok(Outcome::Closed)));
}

#[tokio::test]
async fn shutdown_closes_a_connection_between_two_requests() {
    let (mut client, server) = duplex(64 << 10);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let handler = async |_| Response::new("from the handler".into());
        upgrade::serve(server, &SETTINGS, handler, async { drop(stopped.await) }).await
    });
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b"from the handler") {
        assert_ne!(client.read_buf(&mut response).await.unwrap(), 0, "closed too early");
    }
    stop.send(()).unwrap();
    assert!(matches!(serving.await.unwrap(), Ok(Outcome::Closed)));
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn foreign_client_shakes_hands_talks_and_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = tokio::task::spawn_blocking(move || {
        let request = tungstenite::ClientRequestBuilder::new(format!("ws://{address}/ws").parse().unwrap())
            .with_sub_protocol("wamp.2.json");
        let stream = std::net::TcpStream::connect(address).unwrap();
        let (mut socket, response) = tungstenite::client(request, stream).unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "wamp.2.json");
        socket.send(tungstenite::Message::text("grüße")).unwrap();
        assert_eq!(socket.read().unwrap(), tungstenite::Message::text("grüße"));
        socket.close(None).unwrap();
        assert_eq!(socket.read().unwrap(), tungstenite::Message::Close(None));
        assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
    });

    let (stream, _) = listener.accept().await.unwrap();
    let handler = async |_| Response::default();
    let outcome = upgrade::serve(stream, &SETTINGS, handler, std::future::pending()).await;
    let Ok(Outcome::Upgraded(mut upgraded)) = outcome else { panic!("no upgrade") };
    assert_eq!(upgraded.extension, None, "the client offers none");
    let settings = Settings {
        role: Role::Server,
        message_bytes_max: 1000,
        deflate: false,
        kind: Some(MessageKind::Text),
        check_text: true,
    };
    let (mut decoder, mut inflater) = (Decoder::new(settings), Inflater::default());
    let mut input = upgraded.read.to_vec();
    let mut is_open = true;
    while is_open {
        let mut output = Vec::new();
        let mut rest = &mut input[..];
        while let Some(event) = decoder.next(&mut rest, &mut inflater).unwrap() {
            match event {
                Event::Message { payload, .. } => {
                    append_frame(FrameHeader::whole(Opcode::Text, 0), &payload, &mut output);
                }
                Event::Close(received) => {
                    close::append_answer(&received, None, &mut output);
                    is_open = false;
                }
                Event::Ping(_) | Event::Pong(_) => panic!("the client sends none"),
            }
        }
        upgraded.stream.write_all(&output).await.unwrap();
        input.clear();
        if is_open {
            assert_ne!(upgraded.stream.read_buf(&mut input).await.unwrap(), 0, "closed too early");
        }
    }
    drop(upgraded);
    client.await.unwrap();
}
