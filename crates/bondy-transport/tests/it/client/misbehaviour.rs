//! Servers that are none, or break off, or lie: each is told apart, nothing hangs and nothing is believed.

use super::{chain, connect_to, offering};
use bondy_transport::client::{
    ConnectCause, ConnectError, ConnectOptions, HeadError, HeaderError, Phase, UpgradeError,
};
use bondy_transport::rawsocket::{HandshakeError, RefusalCode};
use bondy_transport::websocket::handshake::accept_key;
use bondy_wamp::serializer::Serializer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Runs `server` for one connection, and connects to it.
async fn meet<F>(url_of: impl Fn(u16) -> String, server: impl FnOnce(TcpStream) -> F) -> ConnectError
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url_of(listener.local_addr().unwrap().port());
    let options = offering(&[Serializer::Json]);
    let connecting = tokio::spawn(async move { connect_to(&url, &options).await });
    let serving = tokio::spawn(server(listener.accept().await.unwrap().0));
    let error = connecting.await.unwrap().unwrap_err();
    serving.abort();
    error
}

fn websocket_url(port: u16) -> String {
    format!("ws://127.0.0.1:{port}/ws")
}

fn rawsocket_url(port: u16) -> String {
    format!("rs://127.0.0.1:{port}")
}

/// Reads the request; gives the right `Sec-WebSocket-Accept`.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    accept_key(key)
}

fn good_answer(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: wamp.2.json\r\n\r\n"
    )
}

/// The error after an answer that `answer` makes of the right accept key, on a connection that stays open.
async fn after_answer(answer: impl FnOnce(String) -> String + Send + 'static) -> ConnectError {
    meet(websocket_url, async move |mut stream: TcpStream| {
        let accept = read_request(&mut stream).await;
        stream.write_all(answer(accept).as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn answers_that_open_no_websocket_are_told_apart() {
    type Change = fn(String) -> String;
    let cases: [(Change, UpgradeError); 9] = [
        (|_| good_answer("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), UpgradeError::AcceptKey),
        (|accept| good_answer(&accept).replace("Sec-WebSocket-Accept", "X-Accept"), UpgradeError::AcceptKey),
        (
            |accept| good_answer(&accept).replace("wamp.2.json", "wamp.2.cbor"),
            UpgradeError::Subprotocol("wamp.2.cbor".to_owned()),
        ),
        (
            |accept| good_answer(&accept).replace("Sec-WebSocket-Protocol: wamp.2.json\r\n", ""),
            UpgradeError::NoSubprotocol,
        ),
        (
            |accept| good_answer(&accept).replace("wamp.2.json", "wamp.2.json\r\nSec-WebSocket-Protocol: x"),
            UpgradeError::NoSubprotocol,
        ),
        (
            |accept| good_answer(&accept).replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n"),
            UpgradeError::Extension("x".to_owned()),
        ),
        (
            |accept| good_answer(&accept).replace("Upgrade: websocket", "Upgrade: h2c"),
            UpgradeError::NotWebSocket,
        ),
        (|accept| good_answer(&accept).replace("n: Upgrade", "n: close"), UpgradeError::NotWebSocket),
        (|accept| good_answer(&accept).replace("HTTP/1.1", "HTTP/1.0"), UpgradeError::Version),
    ];
    for (change, expected) in cases {
        let error = after_answer(change).await;
        assert!(matches!(&error.cause, ConnectCause::Upgrade(cause) if *cause == expected), "{error:?}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_refused_by_its_first_bytes() {
    for garbage in [&b"\x15\x03\x03\0\x02\x02\x28"[..], b"\x7f\xf1\0\0", b"SSH-2.0-x\r\n", b"\0"] {
        let error = meet(websocket_url, async move |mut stream: TcpStream| {
            read_request(&mut stream).await;
            stream.write_all(garbage).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        assert!(
            matches!(error.cause, ConnectCause::Upgrade(UpgradeError::Head(HeadError::NotHttp(_)))),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn endless_headers_are_cut_off() {
    let error = meet(websocket_url, async |mut stream: TcpStream| {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n").await.unwrap();
        while stream.write_all(b"X-More: and more\r\n").await.is_ok() {}
    })
    .await;
    assert!(
        matches!(error.cause, ConnectCause::Upgrade(UpgradeError::Head(HeadError::TooLong))),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_a_lost_connection() {
    let whole_bytes = good_answer(&accept_key("")).len();
    for end in 0..whole_bytes {
        let error = meet(websocket_url, async move |mut stream: TcpStream| {
            let accept = read_request(&mut stream).await;
            stream.write_all(&good_answer(&accept).as_bytes()[..end]).await.unwrap();
        })
        .await;
        let is_lost = matches!(error.cause, ConnectCause::Lost { phase: Phase::WebSocketHandshake, .. });
        assert!(is_lost, "cut at {end}: {error:?}");
    }
}

#[tokio::test]
async fn refusals_show_status_reason_body_and_what_to_do() {
    let cases = [
        (
            "404 Not Found\r\nContent-Length: 9\r\n\r\nno\r\nroute!",
            "HTTP 404 Not Found: no route!; check the path",
        ),
        ("302 Found\r\nLocation: wss://b/ws\r\nContent-Length: 0\r\n\r\n", "it redirects to \"wss://b/ws\""),
        ("301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "it redirects to \"/x\""),
        (
            "401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
            "HTTP 401 Unauthorized; what stands in between wants",
        ),
        ("500\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nouch\r\n0\r\n\r\n", "HTTP 500: ouch"),
        ("200 OK\r\nContent-Length: 3\r\n\r\n\x1b[m", "HTTP 200 OK: [m; an ordinary web page"),
    ];
    for (answer, expected) in cases {
        let error = after_answer(move |_| format!("HTTP/1.1 {answer}")).await;
        let text = chain(&error);
        assert!(text.contains(expected) && text.contains("/ws: the server answered"), "{text}");
        assert!(!text.contains(char::is_control), "{text}");
    }
    let error =
        after_answer(|_| format!("HTTP/1.1 400 Bad\r\nContent-Length: 9000\r\n\r\n{}", "x".repeat(9000)))
            .await;
    assert!(chain(&error).len() < 1300, "a long body is cut");
}

#[tokio::test]
async fn a_refusal_whose_body_never_ends_is_told_all_the_same() {
    let error = after_answer(|_| "HTTP/1.1 503 Busy\r\n\r\ncome later".to_owned()).await;
    assert!(chain(&error).ends_with("HTTP 503 Busy: come later"), "{}", chain(&error));
    let error = meet(websocket_url, async |mut stream: TcpStream| {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 503 Busy\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 1000]).await.is_ok() {}
    })
    .await;
    assert!(chain(&error).len() < 1300, "a long body is cut");
}

#[tokio::test]
async fn rawsocket_refusals_are_told_apart() {
    let cases = [
        (1, RefusalCode::SerializerUnsupported, "serializer unsupported"),
        (2, RefusalCode::LengthUnacceptable, "maximum message length unacceptable"),
        (3, RefusalCode::ReservedBitsUsed, "reserved bits used"),
        (4, RefusalCode::TooManyConnections, "maximum connection count reached"),
        (9, RefusalCode::Other(9), "undefined error 9"),
    ];
    for (number, code, text) in cases {
        let error = meet(rawsocket_url, async move |mut stream: TcpStream| {
            stream.read_exact(&mut [0; 4]).await.unwrap();
            stream.write_all(&[0x7f, number << 4, 0, 0]).await.unwrap();
        })
        .await;
        let expected = HandshakeError::Refused(code);
        assert!(matches!(error.cause, ConnectCause::RawSocket(cause) if cause == expected), "{error:?}");
        assert!(chain(&error).ends_with(&format!("the server refused: {text}")), "{}", chain(&error));
    }
}

#[tokio::test]
async fn what_is_not_rawsocket_is_refused_by_its_first_byte() {
    let cases = [
        (b'H', "the server speaks HTTP, use ws://"),
        (0x15, "the server speaks TLS, use rss:// or wss://"),
        (0, "the first octet is 0x00, not 0x7f"),
    ];
    for (first, expected) in cases {
        let error = meet(rawsocket_url, async move |mut stream: TcpStream| {
            stream.read_exact(&mut [0; 4]).await.unwrap();
            stream.write_all(&[first]).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        assert!(chain(&error).contains(expected), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_rawsocket_answer_cut_at_any_byte_is_a_lost_connection() {
    for end in 0..4 {
        let error = meet(rawsocket_url, async move |mut stream: TcpStream| {
            stream.read_exact(&mut [0; 4]).await.unwrap();
            stream.write_all(&[0x7f, 0xf1, 0, 0][..end]).await.unwrap();
        })
        .await;
        let is_lost = matches!(error.cause, ConnectCause::Lost { phase: Phase::RawSocketHandshake, .. });
        assert!(is_lost, "cut at {end}: {error:?}");
    }
}

#[tokio::test]
async fn headers_that_cannot_be_sent_are_refused_before_anything_is() {
    let cases = [
        (("", "x"), HeaderError::Name(String::new())),
        (("a b", "x"), HeaderError::Name("a b".to_owned())),
        (("A", "x\r\nB: y"), HeaderError::Value("A".to_owned())),
        (("Sec-WebSocket-Key", "x"), HeaderError::Own("Sec-WebSocket-Key".to_owned())),
        (("hOsT", "x"), HeaderError::Own("hOsT".to_owned())),
    ];
    let long = "x".repeat(9000);
    for ((name, value), expected) in cases.into_iter().chain([(("A", long.as_str()), HeaderError::TooLong)]) {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let options = ConnectOptions { headers, ..ConnectOptions::default() };
        let error = connect_to("ws://127.0.0.1:1/", &options).await.unwrap_err();
        assert!(matches!(&error.cause, ConnectCause::Header(cause) if *cause == expected), "{error:?}");
    }
}

#[tokio::test]
async fn headers_of_the_user_reach_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = websocket_url(listener.local_addr().unwrap().port());
    let headers = vec![("X-Token".to_owned(), "a b".to_owned())];
    let options = ConnectOptions { headers, ..ConnectOptions::default() };
    let connecting = tokio::spawn(async move { connect_to(&url, &options).await });
    let (mut stream, peer) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let host = format!("\r\nHost: {}\r\n", listener.local_addr().unwrap());
    assert!(request.starts_with("GET /ws HTTP/1.1\r\n") && request.contains(&host), "{request}, {peer}");
    assert!(request.contains("\r\nX-Token: a b\r\n"), "{request}");
    assert!(
        request.contains("\r\nSec-WebSocket-Protocol: wamp.2.msgpack, wamp.2.cbor, wamp.2.json\r\n"),
        "{request}"
    );
    assert!(!request.contains("Extensions"), "no compression is offered: {request}");
    connecting.abort();
}
