//! TLS over loopback, against rustls' own client.

use crate::authority::{Authority, files};
use crate::socket::listen;
use bondy_transport::socket::{Listener, SocketOptions, Stream};
use bondy_transport::tls::{CertificateFiles, TlsAcceptor, TlsError, TlsFiles, TlsStream};
use bondy_transport::websocket::handshake::Policy;
use bondy_transport::websocket::upgrade::{self, Outcome};
use rcgen::{CertificateParams, KeyPair, SigningKey};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{JoinHandle, spawn_blocking};

type Client = StreamOwned<ClientConnection, TcpStream>;

/// Connects on a thread of its own, so that the blocking client does not stop the server.
fn connect(port: u16, config: ClientConfig, name: &'static str) -> JoinHandle<io::Result<Client>> {
    spawn_blocking(move || {
        let connection =
            ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
        let mut client = StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", port))?);
        client.flush()?;
        Ok(client)
    })
}

async fn accept(listener: &Listener, acceptor: &TlsAcceptor) -> io::Result<TlsStream> {
    let stream = listener.accept().await?.register(&SocketOptions::default())?;
    let mut stream = acceptor.accept(Arc::new(stream), Vec::new()).unwrap();
    stream.handshake().await?;
    Ok(stream)
}

/// A connected client and server.
async fn pair(authority: &Authority, acceptor: &TlsAcceptor) -> (TlsStream, Client) {
    let (listener, port) = listen().await;
    let client = connect(port, authority.client_config(None), "localhost");
    let server = accept(&listener, acceptor).await.unwrap();
    (server, client.await.unwrap().unwrap())
}

/// What the client saw of the server.
fn served(client: &Client) -> CertificateDer<'static> {
    client.conn.peer_certificates().unwrap()[0].clone()
}

fn certificate(files: &CertificateFiles) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&files.cert).unwrap()
}

async fn read_plain(stream: &mut TlsStream, bytes: usize) -> Vec<u8> {
    let mut received = vec![0; bytes];
    let mut filled = 0;
    while filled < bytes {
        match stream.try_read_plain(&mut received[filled..]) {
            Ok(count) => {
                assert!(count > 0, "ended after {filled} bytes");
                filled += count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let below: Arc<Stream> = Arc::clone(stream.stream());
                below.readable().await.unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    received
}

/// The outcome of reading once the stream has something to say.
async fn read_outcome(stream: &mut TlsStream) -> io::Result<usize> {
    loop {
        match stream.try_read_plain(&mut [0; 64]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let below = Arc::clone(stream.stream());
                below.readable().await.unwrap();
            }
            outcome => return outcome,
        }
    }
}

async fn write_plain(stream: &mut TlsStream, mut bytes: &[u8]) {
    loop {
        let count = stream.queue_plain(bytes).unwrap();
        bytes = &bytes[count..];
        if stream.try_flush().unwrap() {
            if bytes.is_empty() {
                return;
            }
        } else {
            let below = Arc::clone(stream.stream());
            below.writable().await.unwrap();
        }
    }
}

/// Sends `message` from both ends and checks that it arrives.
async fn exchange(server: &mut TlsStream, mut client: Client, message: Vec<u8>) -> Client {
    let length = message.len();
    let sent = message.clone();
    let client = spawn_blocking(move || {
        client.write_all(&sent).unwrap();
        client.flush().unwrap();
        let mut received = vec![0; length];
        client.read_exact(&mut received).unwrap();
        assert!(received == sent, "echo differs");
        client
    });
    let received = read_plain(server, length).await;
    assert!(received == message, "received differs");
    write_plain(server, &received).await;
    client.await.unwrap()
}

#[tokio::test]
async fn messages_of_every_size_pass_both_ways() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    let (mut server, mut client) = pair(&authority, &acceptor).await;
    for bytes in [1, 100, 16 * 1024, 16 * 1024 + 1, 70_000, 3_000_000] {
        let message = (0..bytes).map(|at| (at % 251) as u8).collect();
        client = exchange(&mut server, client, message).await;
    }
}

#[tokio::test]
async fn both_protocol_versions_are_served() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (listener, port) = listen().await;
        let client = connect(port, authority.client_config_for(None, &[version]), "localhost");
        let mut server = accept(&listener, &acceptor).await.unwrap();
        assert_eq!(server.version(), Some(version.version));
        exchange(&mut server, client.await.unwrap().unwrap(), b"hello".to_vec()).await;
    }
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffer() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    let (mut server, client) = pair(&authority, &acceptor).await;
    assert_eq!(server.buffered_bytes(), 0);
    let _client = exchange(&mut server, client, vec![7; 200_000]).await;
    let outcome = server.try_read_plain(&mut [0; 16]);
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(server.buffered_bytes(), 0);
    assert!(!server.has_plain() && !server.wants_write());
}

#[tokio::test]
async fn plaintext_that_does_not_fit_the_readers_buffer_is_kept() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    let (mut server, mut client) = pair(&authority, &acceptor).await;
    let writer = spawn_blocking(move || {
        client.write_all(b"0123456789").unwrap();
        client.flush().unwrap();
        client
    });
    let _client = writer.await.unwrap();
    assert_eq!(read_plain(&mut server, 1).await, b"0");
    assert!(server.has_plain());
    assert_eq!(read_plain(&mut server, 4).await, b"1234");
    assert_eq!(read_plain(&mut server, 5).await, b"56789");
    assert!(!server.has_plain());
}

#[tokio::test]
async fn a_peer_that_does_not_read_bounds_what_is_encrypted() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    let (mut server, mut client) = pair(&authority, &acceptor).await;
    let piece = vec![9; 32 * 1024];
    let mut queued = 0;
    // Until neither TLS nor the socket takes any more.
    loop {
        let count = server.queue_plain(&piece).unwrap();
        queued += count;
        if !server.try_flush().unwrap() && count == 0 {
            break;
        }
        assert!(server.buffered_bytes() < 512 * 1024);
    }
    let reader = spawn_blocking(move || {
        let mut received = vec![0; queued];
        client.read_exact(&mut received).unwrap();
        assert!(received.iter().all(|one| *one == 9));
        client
    });
    write_plain(&mut server, &[]).await;
    reader.await.unwrap();
}

#[tokio::test]
async fn a_clean_end_differs_from_a_cut_connection() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    let (mut server, mut client) = pair(&authority, &acceptor).await;
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(read_outcome(&mut server).await.unwrap(), 0);
    let (mut server, client) = pair(&authority, &acceptor).await;
    client.sock.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_outcome(&mut server).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn close_notify_ends_the_clients_stream() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    let (mut server, mut client) = pair(&authority, &acceptor).await;
    server.close_notify().unwrap();
    server.close_notify().unwrap();
    assert!(server.try_flush().unwrap());
    let end = spawn_blocking(move || client.read(&mut [0; 8]));
    assert_eq!(end.await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn the_stream_serves_asynchronous_reading_and_writing() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    let (mut server, mut client) = pair(&authority, &acceptor).await;
    let client = spawn_blocking(move || {
        client.write_all(&[5; 300_000]).unwrap();
        client.flush().unwrap();
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        received
    });
    let mut received = vec![0; 300_000];
    server.read_exact(&mut received).await.unwrap();
    assert!(received.iter().all(|one| *one == 5));
    server.write_all(&received).await.unwrap();
    server.shutdown().await.unwrap();
    assert!(client.await.unwrap() == received);
}

#[tokio::test]
async fn bytes_read_by_detection_begin_the_handshake() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    let (listener, port) = listen().await;
    let client = connect(port, authority.client_config(None), "localhost");
    let stream = listener.accept().await.unwrap().register(&SocketOptions::default()).unwrap();
    let mut received = Vec::new();
    stream.receive_some(&mut received, 1).await.unwrap();
    assert_eq!(received, [0x16]);
    let mut server = acceptor.accept(Arc::new(stream), received).unwrap();
    server.handshake().await.unwrap();
    exchange(&mut server, client.await.unwrap().unwrap(), b"hello".to_vec()).await;
}

#[tokio::test]
async fn a_websocket_upgrade_gives_the_stream_back_for_the_steady_phase() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    let (server, mut client) = pair(&authority, &acceptor).await;
    let client = spawn_blocking(move || {
        let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n";
        client.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            client.read_exact(&mut octet).unwrap();
            head.push(octet[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        client
    });
    let settings = upgrade::Settings {
        path: Some("/ws"),
        policy: Policy { subprotocols: &["wamp.2.json"], compression: false },
        head_bytes_max: 8192,
        headers_max: 30,
        head_timeout: Duration::from_secs(10),
    };
    let handler = async |_| hyper::Response::new("not here".into());
    let outcome = upgrade::serve(server, &settings, handler, std::future::pending()).await.unwrap();
    let Outcome::Upgraded(upgraded) = outcome else { panic!("no upgrade") };
    let mut server = upgraded.stream;
    assert!(upgraded.read.is_empty());
    assert_eq!(server.buffered_bytes(), 0);
    exchange(&mut server, client.await.unwrap(), vec![3; 20_000]).await;
}

#[tokio::test]
async fn the_certificate_is_chosen_by_name_with_the_first_as_default() {
    let authority = Authority::new();
    let first = authority.issue("first", &["localhost"]);
    let second = authority.issue("second", &["b.example", "*.wild.example"]);
    let acceptor = TlsAcceptor::load(files(&[&first, &second])).unwrap();
    let cases = [("localhost", &first), ("b.example", &second), ("x.wild.example", &second)];
    for (name, expected) in cases {
        let (listener, port) = listen().await;
        let client = connect(port, authority.client_config(None), name);
        accept(&listener, &acceptor).await.unwrap();
        assert!(served(&client.await.unwrap().unwrap()) == certificate(expected), "{name}");
    }
    // The default is not valid for this name, which the client notices.
    let (listener, port) = listen().await;
    let client = connect(port, authority.client_config(None), "unknown.example");
    assert!(accept(&listener, &acceptor).await.is_err());
    assert!(client.await.unwrap().is_err());
}

#[tokio::test]
async fn reload_serves_new_connections_and_leaves_open_ones() {
    let authority = Authority::new();
    let old = authority.issue("a", &["localhost"]);
    let old_certificate = certificate(&old);
    let acceptor = TlsAcceptor::load(files(&[&old])).unwrap();
    let (mut server, client) = pair(&authority, &acceptor).await;
    assert!(served(&client) == old_certificate);

    let new = authority.issue("a", &["localhost"]);
    acceptor.reload().unwrap();
    let (_new_server, new_client) = pair(&authority, &acceptor).await;
    assert!(served(&new_client) == certificate(&new));
    assert!(certificate(&new) != old_certificate);
    exchange(&mut server, client, b"still here".to_vec()).await;
}

#[tokio::test]
async fn a_failed_reload_keeps_the_old_certificate() {
    let authority = Authority::new();
    let good = authority.issue("a", &["localhost"]);
    let expected = certificate(&good);
    let acceptor = TlsAcceptor::load(files(&[&good])).unwrap();
    std::fs::write(&good.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let error = acceptor.reload().unwrap_err();
    assert!(matches!(error, TlsError::Mismatch { .. }), "{error:?}");
    let (_server, client) = pair(&authority, &acceptor).await;
    assert!(served(&client) == expected);
}

#[tokio::test]
async fn client_certificates_are_required_where_an_authority_is_set() {
    let authority = Authority::new();
    let server_files = authority.issue("server", &["localhost"]);
    let right = authority.issue("client", &["client.example"]);
    let stranger = Authority::new();
    let wrong = stranger.issue("client", &["client.example"]);
    let acceptor =
        TlsAcceptor::load(TlsFiles { client_ca: Some(authority.ca()), ..files(&[&server_files]) }).unwrap();

    let (listener, port) = listen().await;
    let client = connect(port, authority.client_config(Some(&right)), "localhost");
    let mut server = accept(&listener, &acceptor).await.unwrap();
    assert_eq!(server.peer_certificates(), [certificate(&right)]);
    exchange(&mut server, client.await.unwrap().unwrap(), b"hello".to_vec()).await;

    for identity in [None, Some(&wrong)] {
        let client = connect(port, authority.client_config(identity), "localhost");
        let error = accept(&listener, &acceptor).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        // With TLS 1.3 the client learns of it when it reads: by the alert, not by a reset.
        let alert = match client.await.unwrap() {
            Ok(mut client) => spawn_blocking(move || client.read(&mut [0; 1])).await.unwrap().unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(alert.kind(), io::ErrorKind::InvalidData, "{alert}");
    }
}

#[tokio::test]
async fn a_listener_that_serves_http_offers_http_1_1() {
    let authority = Authority::new();
    let certificate = authority.issue("a", &["localhost"]);
    let acceptor = TlsAcceptor::load(TlsFiles { serves_http: true, ..files(&[&certificate]) }).unwrap();
    let (listener, port) = listen().await;
    for (offered, chosen) in [(vec!["h2", "http/1.1"], Some("http/1.1")), (vec![], None)] {
        let mut config = authority.client_config(None);
        config.alpn_protocols = offered.iter().map(|one| one.as_bytes().to_vec()).collect();
        let client = connect(port, config, "localhost");
        let server = accept(&listener, &acceptor).await.unwrap();
        assert_eq!(server.alpn_protocol(), chosen.map(str::as_bytes));
        client.await.unwrap().unwrap();
    }
    let mut config = authority.client_config(None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let client = connect(port, config, "localhost");
    assert!(accept(&listener, &acceptor).await.is_err());
    assert!(client.await.unwrap().is_err());
}

#[tokio::test]
async fn a_returning_client_resumes_its_session() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    let (listener, port) = listen().await;
    let config = authority.client_config(None);
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let client = connect(port, config.clone(), "localhost");
        let mut server = accept(&listener, &acceptor).await.unwrap();
        let client = exchange(&mut server, client.await.unwrap().unwrap(), b"hello".to_vec()).await;
        kinds.push(client.conn.handshake_kind());
    }
    assert_eq!(kinds, [Some(rustls::HandshakeKind::Full), Some(rustls::HandshakeKind::Resumed)]);
}

/// Writes at most a few bytes at once.
struct Trickle {
    socket: TcpStream,
    bytes_max: usize,
}

impl Write for Trickle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(&bytes[..bytes.len().min(self.bytes_max)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }
}

#[tokio::test]
async fn the_handshake_may_arrive_in_any_pieces_and_records() {
    let authority = Authority::new();
    let identity = authority.issue("client", &["client.example"]);
    let server_files = authority.issue("server", &["localhost"]);
    let acceptor =
        TlsAcceptor::load(TlsFiles { client_ca: Some(authority.ca()), ..files(&[&server_files]) }).unwrap();
    let (listener, port) = listen().await;
    let cases = [(1, None), (3, Some(32)), (7, Some(33)), (1000, Some(64)), (100_000, Some(40))];
    for (version, (bytes_max, fragment_bytes_max)) in
        rustls::ALL_VERSIONS.iter().flat_map(|version| cases.map(|case| (*version, case)))
    {
        let mut config = authority.client_config_for(Some(&identity), &[version]);
        config.max_fragment_size = fragment_bytes_max;
        let client = spawn_blocking(move || {
            let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
            socket.set_nodelay(true).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let connection = ClientConnection::new(Arc::new(config), name).unwrap();
            let mut client = StreamOwned::new(connection, Trickle { socket, bytes_max });
            client.write_all(b"hello").unwrap();
            client.flush().unwrap();
            client
        });
        let mut server = accept(&listener, &acceptor).await.unwrap();
        assert_eq!(read_plain(&mut server, 5).await, b"hello", "{bytes_max} {fragment_bytes_max:?}");
        client.await.unwrap();
    }
}

#[tokio::test]
async fn renewed_traffic_keys_are_followed() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    let (mut server, mut client) = pair(&authority, &acceptor).await;
    for round in 0..3 {
        client.conn.refresh_traffic_keys().unwrap();
        client = exchange(&mut server, client, vec![round; 50_000]).await;
    }
}

#[tokio::test]
async fn garbage_ends_the_handshake_with_an_error() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    let (listener, port) = listen().await;
    let mut random = fastrand::Rng::with_seed(13);
    for round in 0..200 {
        let mut bytes: Vec<u8> = (0..random.usize(5..400)).map(|_| random.u8(..)).collect();
        if round % 2 == 0 {
            // A record header that is in order, and garbage inside.
            let length = u16::try_from(bytes.len() - 5).unwrap().to_be_bytes();
            bytes[..5].copy_from_slice(&[0x16, 3, 1, length[0], length[1]]);
        }
        let mut client = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        client.write_all(&bytes).await.unwrap();
        client.shutdown().await.unwrap();
        assert!(accept(&listener, &acceptor).await.is_err(), "round {round}");
    }
}

#[tokio::test]
async fn corrupted_records_fail_the_connection_for_good() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    let mut random = fastrand::Rng::with_seed(17);
    for round in 0..20 {
        let (mut server, mut client) = pair(&authority, &acceptor).await;
        let mut wire = Vec::new();
        client.conn.writer().write_all(b"hello").unwrap();
        client.conn.write_tls(&mut wire).unwrap();
        let at = random.usize(5..wire.len());
        wire[at] ^= 1 << random.u32(0..8);
        client.sock.write_all(&wire).unwrap();
        let error = read_outcome(&mut server).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "round {round}");
        let again = server.try_read_plain(&mut [0; 16]).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::InvalidData, "round {round}");
        assert!(server.queue_plain(b"x").is_err());
        let alert = spawn_blocking(move || client.read(&mut [0; 1]));
        assert_eq!(alert.await.unwrap().unwrap_err().kind(), io::ErrorKind::InvalidData, "round {round}");
    }
}

#[tokio::test]
async fn records_may_arrive_in_any_pieces() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::load(files(&[&authority.issue("a", &["localhost"])])).unwrap();
    let mut random = fastrand::Rng::with_seed(19);
    let (mut server, mut client) = pair(&authority, &acceptor).await;
    for round in 0..50u8 {
        let message = vec![round; random.usize(1..5000)];
        let mut wire = Vec::new();
        for part in message.chunks(random.usize(1..2000)) {
            client.conn.writer().write_all(part).unwrap();
        }
        while client.conn.wants_write() {
            client.conn.write_tls(&mut wire).unwrap();
        }
        let mut received = Vec::new();
        while !wire.is_empty() {
            let piece: Vec<u8> = wire.drain(..random.usize(1..=wire.len())).collect();
            client.sock.write_all(&piece).unwrap();
            // As far as it goes; whatever is not there yet comes with the next piece.
            let mut buffer = vec![0; random.usize(1..3000)];
            while let Ok(count) = server.try_read_plain(&mut buffer) {
                received.extend_from_slice(&buffer[..count]);
            }
        }
        received.extend(read_plain(&mut server, message.len() - received.len()).await);
        assert!(received == message, "round {round}");
    }
}

fn load_error(files: TlsFiles) -> String {
    TlsAcceptor::load(files).unwrap_err().to_string()
}

#[test]
fn errors_name_the_file_and_what_to_do() {
    let authority = Authority::new();
    let good = authority.issue("good", &["localhost"]);
    let missing = CertificateFiles { cert: authority.folder.path("none.pem"), ..good.clone() };
    let text = load_error(files(&[&missing]));
    assert!(text.contains("none.pem") && text.contains("exists"), "{text}");

    let swapped = CertificateFiles { cert: good.key.clone(), key: good.key.clone() };
    let text = load_error(files(&[&swapped]));
    assert!(text.contains("good.key holds no certificate"), "{text}");
    let no_key = CertificateFiles { cert: good.cert.clone(), key: good.cert.clone() };
    let text = load_error(files(&[&no_key]));
    assert!(text.contains("good.pem holds no private key"), "{text}");

    let torn = authority.write("torn", "-----BEGIN CERTIFICATE-----\nAAAA\n", "");
    let text = load_error(files(&[&torn]));
    assert!(text.contains("torn.pem") && text.contains("no end"), "{text}");
    let nonsense =
        authority.write("nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "");
    let text = load_error(files(&[&nonsense]));
    assert!(text.contains("nonsense.pem cannot be used"), "{text}");

    let other = authority.issue("other", &["localhost"]);
    let crossed = CertificateFiles { cert: good.cert.clone(), key: other.key };
    let text = load_error(files(&[&crossed]));
    assert!(text.contains("other.key") && text.contains("good.pem"), "{text}");
    assert!(load_error(files(&[])).contains("tls.cert"));
    let text =
        load_error(TlsFiles { client_ca: Some(authority.folder.path("no-ca.pem")), ..files(&[&good]) });
    assert!(text.contains("no-ca.pem"), "{text}");
}

#[test]
fn certificates_out_of_their_time_are_refused() {
    let authority = Authority::new();
    let expired = authority.issue_with("expired", &["localhost"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let text = load_error(files(&[&expired]));
    assert!(text.contains("expired.pem has expired"), "{text}");
    let early = authority.issue_with("early", &["localhost"], |params| {
        params.not_before = rcgen::date_time_ymd(2999, 1, 1);
        params.not_after = rcgen::date_time_ymd(3000, 1, 1);
    });
    let text = load_error(files(&[&early]));
    assert!(text.contains("early.pem is not valid yet"), "{text}");
}

#[test]
fn a_self_signed_certificate_can_be_used() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    assert!(!key.sign(b"").unwrap().is_empty());
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let own = authority.write("own", &params.self_signed(&key).unwrap().pem(), &key.serialize_pem());
    TlsAcceptor::load(files(&[&own])).unwrap();
}
