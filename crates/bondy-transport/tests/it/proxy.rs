//! The PROXY protocol, by the texts of its specification.

use crate::socket::pair;
use bondy_transport::proxy::{
    HEADER_BYTES_MAX, Parsed, ProxyError, ReadHeaderError, Source, parse, read_header,
};
use bondy_transport::socket::PeerAddress;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ip(source: &str, destination: &str) -> Source {
    Source::Ip { source: address(source), destination: address(destination) }
}

fn complete(bytes: &[u8]) -> Source {
    match parse(bytes) {
        Ok(Parsed::Header { source, header_bytes }) => {
            assert_eq!(header_bytes, bytes.len());
            source
        }
        other => panic!("{other:?}"),
    }
}

fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, payload].concat()
}

fn v4_addresses() -> Vec<u8> {
    [&[192, 0, 2, 1][..], &[192, 0, 2, 2], &56324u16.to_be_bytes(), &443u16.to_be_bytes()].concat()
}

#[test]
fn version_1_names_the_client() {
    let v4 = complete(b"PROXY TCP4 255.255.255.255 192.0.2.1 65535 443\r\n");
    assert_eq!(v4, ip("255.255.255.255:65535", "192.0.2.1:443"));
    let v6 = complete(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n");
    assert_eq!(v6, ip("[2001:db8::1]:1", "[2001:db8::2]:2"));
    assert_eq!(complete(b"PROXY UNKNOWN\r\n"), Source::Unknown);
    assert_eq!(complete(b"PROXY UNKNOWN ffff::1 whatever 1\r\n"), Source::Unknown);
}

#[test]
fn version_2_names_the_client() {
    assert_eq!(complete(&v2(0x21, 0x11, &v4_addresses())), ip("192.0.2.1:56324", "192.0.2.2:443"));
    let v6 = [&[0x20; 16][..], &[0x21; 16], &[0, 9, 1, 0]].concat();
    let expected =
        ip("[2020:2020:2020:2020:2020:2020:2020:2020]:9", "[2121:2121:2121:2121:2121:2121:2121:2121]:256");
    assert_eq!(complete(&v2(0x21, 0x21, &v6)), expected);
    assert_eq!(complete(&v2(0x21, 0x31, &[b'/'; 216])), Source::Unix);
    assert_eq!(complete(&v2(0x21, 0x00, b"ignored")), Source::Unknown);
    assert_eq!(complete(&v2(0x20, 0x11, b"")), Source::Local);
}

#[test]
fn version_2_values_are_skipped_up_to_the_bound() {
    let with_value = [&v4_addresses()[..], &[0x02, 0, 4], b"host"].concat();
    assert_eq!(complete(&v2(0x21, 0x11, &with_value)), ip("192.0.2.1:56324", "192.0.2.2:443"));
    let mut longest = v4_addresses();
    longest.resize(HEADER_BYTES_MAX - 16, 0);
    complete(&v2(0x21, 0x11, &longest));
    longest.push(0);
    let header = v2(0x21, 0x11, &longest);
    assert_eq!(parse(&header[..16]), Err(ProxyError::TooLong(HEADER_BYTES_MAX + 1)));
}

#[test]
fn mapped_ipv4_addresses_are_taken_as_ipv4() {
    let source = complete(b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n");
    assert_eq!(source, ip("192.0.2.1:1", "[::1]:2"));
}

#[test]
fn the_real_peer_counts_where_the_header_names_none() {
    let real = PeerAddress::Ip(address("10.0.0.1:5"));
    assert_eq!(Source::Local.peer(real), real);
    assert_eq!(Source::Unknown.peer(real), real);
    assert_eq!(Source::Unix.peer(real), PeerAddress::Unix);
    assert_eq!(ip("192.0.2.1:1", "192.0.2.2:2").peer(real), PeerAddress::Ip(address("192.0.2.1:1")));
}

#[test]
fn malformed_headers_are_refused() {
    for line in [
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "GET / HTTP/1.1\r\n",
        "\x7f\r\n",
    ] {
        assert!(parse(line.as_bytes()).is_err(), "{line:?}");
    }
    assert_eq!(parse(&[b"PROXY ".as_slice(), &[b'x'; 101]].concat()), Err(ProxyError::V1Endless));
    assert_eq!(
        parse(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 92], b"\r\n"].concat()),
        Err(ProxyError::V1Endless)
    );
    assert_eq!(parse(&v2(0x11, 0x11, &v4_addresses())), Err(ProxyError::Version(1)));
    assert_eq!(parse(&v2(0x22, 0x11, &v4_addresses())), Err(ProxyError::Command(2)));
    assert_eq!(parse(&v2(0x21, 0x12, &v4_addresses())), Err(ProxyError::Family(0x12)));
    assert_eq!(parse(&v2(0x21, 0x11, &v4_addresses()[..11])), Err(ProxyError::TooShort(11)));
    assert_eq!(parse(&v2(0x21, 0x31, &[0; 215])), Err(ProxyError::TooShort(215)));
}

#[test]
fn any_prefix_needs_more_and_any_suffix_changes_nothing() {
    let headers = [
        b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        v2(0x21, 0x11, &v4_addresses()),
        v2(0x20, 0x00, b""),
    ];
    for header in headers {
        for end in 0..header.len() {
            assert_eq!(parse(&header[..end]), Ok(Parsed::NeedMore), "{end} of {header:?}");
        }
        assert_eq!(parse(&[&header[..], b"\r\nrest"].concat()), parse(&header));
    }
}

#[test]
fn random_changes_never_panic_nor_take_more_than_there_is() {
    let mut random = fastrand::Rng::with_seed(3);
    let bases = [b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(), v2(0x21, 0x21, &[7; 40])];
    for _ in 0..20_000 {
        let mut bytes = bases[random.usize(0..2)].clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(0..=bytes.len()));
        let whole = parse(&bytes);
        if let Ok(Parsed::Header { header_bytes, .. }) = whole {
            assert!(header_bytes <= bytes.len());
        }
        // What a part settles, the whole does not change.
        let part = parse(&bytes[..random.usize(0..=bytes.len())]);
        assert!(
            part == Ok(Parsed::NeedMore) || part == whole || (part.is_err() && whole.is_err()),
            "{bytes:?}"
        );
    }
}

#[tokio::test]
async fn reading_a_header_loses_no_byte_behind_it() {
    for step in [1, 5, 1000] {
        let (server, mut client) = pair().await;
        let sent = [&v2(0x21, 0x11, &v4_addresses())[..], b"\x7f\xf1\0\0"].concat();
        let writer = tokio::spawn(async move {
            for piece in sent.chunks(step) {
                client.write_all(piece).await.unwrap();
            }
            client
        });
        let mut received = Vec::new();
        let source = read_header(&server, &mut received).await.unwrap();
        assert_eq!(source, ip("192.0.2.1:56324", "192.0.2.2:443"));
        while received.len() < 4 {
            server.receive_some(&mut received, 4).await.unwrap();
        }
        assert_eq!(received, b"\x7f\xf1\0\0");
        drop(writer.await.unwrap());
    }
}

#[tokio::test]
async fn a_connection_that_ends_inside_a_header_is_an_error() {
    let (server, mut client) = pair().await;
    client.write_all(b"PROXY TCP4 ").await.unwrap();
    drop(client);
    let outcome = read_header(&server, &mut Vec::new()).await;
    assert!(matches!(outcome, Err(ReadHeaderError::Io(_))), "{outcome:?}");
}
