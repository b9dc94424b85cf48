//! Listeners, connection options and streams, over loopback and Unix sockets.

use crate::folder::Folder;
use bondy_transport::socket::{
    AcceptBackoff, AcceptVerdict, Accepted, BindAddress, BindError, Listener, PeerAddress, Prefixed,
    SocketOptions, Stream,
};
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) async fn listen() -> (Listener, u16) {
    let listener = Listener::bind(&BindAddress::parse("127.0.0.1:0").unwrap()).await.unwrap();
    match listener.address() {
        BindAddress::Tcp { port, .. } => {
            let port = *port;
            (listener, port)
        }
        BindAddress::Unix { .. } => unreachable!("asked for TCP"),
    }
}

/// An accepted TCP connection and its other end.
pub(crate) async fn pair() -> (Stream, TcpStream) {
    let (listener, port) = listen().await;
    let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let server = listener.accept().await.unwrap().register(&SocketOptions::default()).unwrap();
    (server, client)
}

fn unix(path: &Path) -> BindAddress {
    BindAddress::Unix { path: path.to_owned(), mode: 0o600 }
}

#[test]
fn addresses_are_parsed_and_printed_alike() {
    for text in ["127.0.0.1:18080", "[::1]:0", "[::]:18080", "localhost:18080", "unix:./bondy.sock"] {
        assert_eq!(BindAddress::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for text in [
        "",
        "18080",
        ":18080",
        "::1:18080",
        "[::1]",
        "host:",
        "host:65536",
        "host:+1",
        "unix:",
        "[host]:1",
        "http://a:1",
    ] {
        let error = BindAddress::parse(text).unwrap_err();
        assert!(error.to_string().contains("HOST:PORT"), "{text:?}");
    }
}

#[tokio::test]
async fn port_0_is_replaced_by_what_the_system_chose() {
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        let listener = Listener::bind(&BindAddress::parse(&format!("{host}:0")).unwrap()).await.unwrap();
        let bound = listener.address().to_string();
        let client = TcpStream::connect(&bound).await.unwrap();
        let accepted = listener.accept().await.unwrap();
        assert_eq!(accepted.peer(), PeerAddress::Ip(client.local_addr().unwrap()));
    }
}

#[tokio::test]
async fn an_ipv4_client_of_an_ipv6_listener_has_an_ipv4_address() {
    let listener = Listener::bind(&BindAddress::parse("[::]:0").unwrap()).await.unwrap();
    let BindAddress::Tcp { port, .. } = listener.address() else { unreachable!() };
    let client = TcpStream::connect(("127.0.0.1", *port)).await.unwrap();
    let expected = PeerAddress::Ip(client.local_addr().unwrap());
    let accepted = listener.accept().await.unwrap();
    assert_eq!(accepted.peer(), expected);
    let stream = accepted.register(&SocketOptions::default()).unwrap();
    assert_eq!(stream.peer_address().unwrap(), expected);
}

#[tokio::test]
async fn two_listeners_on_one_port_are_refused() {
    let (_listener, port) = listen().await;
    let again = BindAddress::parse(&format!("127.0.0.1:{port}")).unwrap();
    let error = Listener::bind(&again).await.unwrap_err();
    assert!(matches!(&error, BindError::InUse(address) if *address == again), "{error:?}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")));
}

#[tokio::test]
async fn dead_peer_options_are_set_on_accepted_and_connected_sockets() {
    let (listener, port) = listen().await;
    let options = SocketOptions::probing_after(Some(Duration::from_secs(7)));
    let client = Stream::connect_tcp(([127, 0, 0, 1], port).into(), &options).await.unwrap();
    let server = listener.accept().await.unwrap().register(&options).unwrap();
    for stream in [&client, &server] {
        let Stream::Tcp(tcp) = stream else { unreachable!() };
        let socket = SockRef::from(tcp);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(7));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(3));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(7 + 3 * 3 - 1)));
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 64 * 1024);
    }
    let options = SocketOptions::probing_after(None);
    let Stream::Tcp(client) = Stream::connect_tcp(([127, 0, 0, 1], port).into(), &options).await.unwrap()
    else {
        unreachable!()
    };
    assert!(!SockRef::from(&client).keepalive().unwrap(), "off is off");
}

#[tokio::test]
async fn a_unix_socket_is_private_and_vanishes_with_its_listener() {
    let folder = Folder::new();
    let path = folder.path("bondy.sock");
    let listener = Listener::bind(&unix(&path)).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let client = Stream::connect_unix(&path).await.unwrap();
    let accepted = listener.accept().await.unwrap();
    assert_eq!(accepted.peer(), PeerAddress::Unix);
    let server = accepted.register(&SocketOptions::default()).unwrap();
    assert_eq!(client.try_write(b"hi").unwrap(), 2);
    let mut received = Vec::new();
    server.receive_some(&mut received, 16).await.unwrap();
    assert_eq!(received, b"hi");
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn the_permissions_of_a_unix_socket_can_be_chosen() {
    let folder = Folder::new();
    let path = folder.path("bondy.sock");
    let _listener = Listener::bind(&BindAddress::Unix { path: path.clone(), mode: 0o660 }).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
}

#[tokio::test]
async fn a_stale_unix_socket_is_replaced() {
    let folder = Folder::new();
    let path = folder.path("bondy.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _listener = Listener::bind(&unix(&path)).await.unwrap();
    Stream::connect_unix(&path).await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_that_is_listened_on_is_left_alone() {
    let folder = Folder::new();
    let path = folder.path("bondy.sock");
    let first = Listener::bind(&unix(&path)).await.unwrap();
    let error = Listener::bind(&unix(&path)).await.unwrap_err();
    assert!(matches!(error, BindError::InUse(_)), "{error:?}");
    Stream::connect_unix(&path).await.unwrap();
    drop(first);
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_never_deleted() {
    let folder = Folder::new();
    let path = folder.path("precious");
    std::fs::write(&path, "data").unwrap();
    let error = Listener::bind(&unix(&path)).await.unwrap_err();
    assert!(matches!(error, BindError::NotASocket(_)), "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
}

#[tokio::test]
async fn a_listener_does_not_remove_the_file_that_took_its_place() {
    let folder = Folder::new();
    let path = folder.path("bondy.sock");
    let first = Listener::bind(&unix(&path)).await.unwrap();
    std::fs::rename(&path, folder.path("old.sock")).unwrap();
    let _second = Listener::bind(&unix(&path)).await.unwrap();
    drop(first);
    Stream::connect_unix(&path).await.unwrap();
}

#[tokio::test]
async fn any_thread_writes_through_a_shared_stream() {
    let (server, mut client) = pair().await;
    // A fresh socket counts as writable once its runtime has seen it.
    server.writable().await.unwrap();
    let server = Arc::new(server);
    let foreign = Arc::clone(&server);
    let written = tokio::task::spawn_blocking(move || {
        foreign.try_write_vectored(&[IoSlice::new(b"one "), IoSlice::new(b"two")]).unwrap()
    });
    assert_eq!(written.await.unwrap(), 7);
    let mut received = [0; 7];
    client.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"one two");
}

#[tokio::test]
async fn a_full_socket_says_so_and_becomes_writable_again() {
    let (server, mut client) = pair().await;
    let piece = vec![7; 256 * 1024];
    server.writable().await.unwrap();
    let mut sent = 0;
    loop {
        match server.try_write(&piece) {
            Ok(count) => sent += count,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                break;
            }
        }
    }
    assert!(sent > 0);
    let reader = tokio::spawn(async move {
        let mut received = vec![0; sent];
        client.read_exact(&mut received).await.unwrap();
        client
    });
    server.writable().await.unwrap();
    reader.await.unwrap();
}

#[tokio::test]
async fn shutdown_ends_the_peers_stream_and_may_be_repeated() {
    let (server, mut client) = pair().await;
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    client.write_all(b"still").await.unwrap();
    let mut received = Vec::new();
    server.receive_some(&mut received, 16).await.unwrap();
    server.shutdown(Shutdown::Both).unwrap();
    server.shutdown(Shutdown::Both).unwrap();
    drop(client);
    server.shutdown(Shutdown::Both).unwrap();
}

#[tokio::test]
async fn receiving_takes_at_most_what_was_asked_for() {
    let (server, mut client) = pair().await;
    client.write_all(b"abcdef").await.unwrap();
    let mut received = b"!".to_vec();
    server.receive_some(&mut received, 2).await.unwrap();
    assert_eq!(received, b"!ab");
    drop(client);
    while server.receive_some(&mut received, 2).await.is_ok() {}
    assert_eq!(received, b"!abcdef");
}

#[tokio::test]
async fn bytes_read_by_detection_are_read_again() {
    let (server, mut client) = pair().await;
    client.write_all(b" / HTTP/1.1").await.unwrap();
    let mut stream = Prefixed::new(&server, b"GET".to_vec());
    let mut start = [0; 2];
    stream.read_exact(&mut start).await.unwrap();
    let mut rest = [0; 12];
    stream.read_exact(&mut rest).await.unwrap();
    assert_eq!([&start[..], &rest[..]].concat(), b"GET / HTTP/1.1");
    stream.write_all(b"ok").await.unwrap();
    let mut answer = [0; 2];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ok");
    let (_, left) = stream.into_parts();
    assert!(left.is_empty());
}

#[tokio::test]
async fn what_was_not_read_again_comes_back() {
    let (server, _client) = pair().await;
    let mut stream = Prefixed::new(&server, b"abc".to_vec());
    stream.read_exact(&mut [0; 1]).await.unwrap();
    assert_eq!(stream.into_parts().1, b"bc");
}

#[tokio::test]
async fn an_accepted_connection_moves_to_another_runtime() {
    let (listener, port) = listen().await;
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let accepted: Accepted = listener.accept().await.unwrap();
    let echo = tokio::task::spawn_blocking(move || {
        let worker = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        worker.block_on(async {
            let stream = accepted.register(&SocketOptions::default()).unwrap();
            let mut received = Vec::new();
            stream.receive_some(&mut received, 16).await.unwrap();
            stream.try_write(&received).unwrap();
        });
    });
    client.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ping");
    echo.await.unwrap();
}

#[test]
fn accept_errors_are_waited_out_or_passed_over() {
    let mut backoff = AcceptBackoff::default();
    let (too_many_files, aborted, bad_descriptor) = (24, 103, 9);
    let judge = |backoff: &mut AcceptBackoff, code| backoff.judge(&io::Error::from_raw_os_error(code));
    assert_eq!(judge(&mut backoff, aborted), AcceptVerdict::Continue);
    let waits: Vec<AcceptVerdict> = (0..10).map(|_| judge(&mut backoff, too_many_files)).collect();
    assert_eq!(waits[0], AcceptVerdict::Wait(Duration::from_millis(10)));
    assert_eq!(waits[1], AcceptVerdict::Wait(Duration::from_millis(20)));
    assert_eq!(waits[9], AcceptVerdict::Wait(Duration::from_secs(1)));
    backoff.succeeded();
    assert_eq!(judge(&mut backoff, too_many_files), AcceptVerdict::Wait(Duration::from_millis(10)));
    assert_eq!(judge(&mut backoff, bad_descriptor), AcceptVerdict::Stop);
}
