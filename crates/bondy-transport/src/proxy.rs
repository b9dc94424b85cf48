//! The PROXY protocol, versions 1 and 2: who the client of a load balancer in front of us really is.
//!
//! Specification: "The PROXY protocol", HAProxy, 2020. A listener either demands the header or does not know it;
//! guessing would let any client forge its address (section 2). A listener with the header must be reachable for
//! the load balancer alone.
//!
//! What it does not do: interpret the type-length-values of version 2 (they are skipped) or decide whom to trust.
//!
//! Invariant: [`parse`] never takes a byte behind the header, and never waits for more than
//! [`HEADER_BYTES_MAX`] bytes.

use crate::socket::{PeerAddress, Stream};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The start of a version 1 header.
pub const V1_PREFIX: &[u8] = b"PROXY ";

/// The start of a version 2 header.
pub const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest version 1 header with its line end (section 2.1).
pub const V1_BYTES_MAX: usize = 107;

/// The longest header of either version. Version 2 could say 64 KiB; addresses and the values that load balancers
/// send (names, certificate subjects, endpoint ids) take a few hundred bytes, and strangers may send this header.
pub const HEADER_BYTES_MAX: usize = 4096;

const V2_FIXED_BYTES: usize = 16;

/// Where a connection comes from, according to the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The load balancer itself opened the connection, as for a health check: the real peer counts.
    Local,
    /// The load balancer does not know the client's address: the real peer counts.
    Unknown,
    /// A client over TCP.
    Ip {
        /// The client.
        source: SocketAddr,
        /// What the client connected to.
        destination: SocketAddr,
    },
    /// A client over a Unix socket.
    Unix,
}

impl Source {
    /// The address that counts as the peer's, where `real` is the address of the connection itself.
    pub fn peer(self, real: PeerAddress) -> PeerAddress {
        match self {
            Source::Local | Source::Unknown => real,
            Source::Ip { source, .. } => PeerAddress::Ip(source),
            Source::Unix => PeerAddress::Unix,
        }
    }
}

/// A header, or the request for more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The header is complete.
    Header {
        /// What it says.
        source: Source,
        /// How many bytes it took.
        header_bytes: usize,
    },
    /// Not complete yet.
    NeedMore,
}

/// What is wrong with a header; the connection must be closed without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Neither version 1 nor version 2.
    #[error("the connection does not start with a PROXY protocol header; does the load balancer send one?")]
    Missing,
    /// A version 1 line that does not end in time.
    #[error("PROXY header version 1 does not end within 107 bytes")]
    V1Endless,
    /// A version 1 line that does not say what it should.
    #[error("PROXY header version 1: {0} is missing or malformed")]
    V1Field(&'static str),
    /// Version 2's signature with another version.
    #[error("PROXY header has version {0}, not 2")]
    Version(u8),
    /// Neither LOCAL nor PROXY.
    #[error("PROXY header has command {0}, which is not defined")]
    Command(u8),
    /// Not a stream over IPv4, IPv6 or Unix.
    #[error("PROXY header has address family and transport {0:#04x}, which a stream cannot have")]
    Family(u8),
    /// Longer than [`HEADER_BYTES_MAX`].
    #[error("PROXY header of {0} bytes is over the maximum of 4096 bytes")]
    TooLong(usize),
    /// Too short for the addresses.
    #[error("PROXY header has {0} bytes of addresses, too few for its family")]
    TooShort(usize),
}

/// Parses the header at the start of `received`. Any longer input with the same start gives the same answer.
pub fn parse(received: &[u8]) -> Result<Parsed, ProxyError> {
    match received.first() {
        None => Ok(Parsed::NeedMore),
        Some(b'P') if agree(received, V1_PREFIX) => parse_v1(received),
        Some(b'\r') if agree(received, V2_SIGNATURE) => parse_v2(received),
        Some(_) => Err(ProxyError::Missing),
    }
}

fn agree(received: &[u8], expected: &[u8]) -> bool {
    received.iter().zip(expected).all(|(one, other)| one == other)
}

fn parse_v1(received: &[u8]) -> Result<Parsed, ProxyError> {
    let window = &received[..received.len().min(V1_BYTES_MAX)];
    let Some(line_bytes) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if window.len() == V1_BYTES_MAX { Err(ProxyError::V1Endless) } else { Ok(Parsed::NeedMore) };
    };
    let line = std::str::from_utf8(&window[..line_bytes]).map_err(|_| ProxyError::V1Field("ASCII text"))?;
    let source = v1_source(line.get(V1_PREFIX.len()..).ok_or(ProxyError::V1Field("the protocol"))?)?;
    Ok(Parsed::Header { source, header_bytes: line_bytes + 2 })
}

fn v1_source(rest: &str) -> Result<Source, ProxyError> {
    let mut fields = rest.split(' ');
    let (source, destination) = match fields.next() {
        // Whatever follows UNKNOWN must be ignored.
        Some("UNKNOWN") => return Ok(Source::Unknown),
        Some("TCP4") => (v1_ip::<Ipv4Addr>(fields.next())?, v1_ip::<Ipv4Addr>(fields.next())?),
        Some("TCP6") => (v1_ip::<Ipv6Addr>(fields.next())?, v1_ip::<Ipv6Addr>(fields.next())?),
        Some(_) | None => return Err(ProxyError::V1Field("the protocol")),
    };
    let (source_port, destination_port) = (v1_port(fields.next())?, v1_port(fields.next())?);
    if fields.next().is_some() {
        return Err(ProxyError::V1Field("the line end"));
    }
    let (source, destination) =
        (socket_address(source, source_port), socket_address(destination, destination_port));
    Ok(Source::Ip { source, destination })
}

fn v1_ip<A: FromStr + Into<IpAddr>>(field: Option<&str>) -> Result<IpAddr, ProxyError> {
    field.and_then(|text| text.parse::<A>().ok()).map(Into::into).ok_or(ProxyError::V1Field("an address"))
}

fn v1_port(field: Option<&str>) -> Result<u16, ProxyError> {
    let digits = field.filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or(ProxyError::V1Field("a port"))
}

fn parse_v2(received: &[u8]) -> Result<Parsed, ProxyError> {
    let Some(fixed) = received.first_chunk::<V2_FIXED_BYTES>() else { return Ok(Parsed::NeedMore) };
    let [.., version_and_command, family, high, low] = *fixed;
    let header_bytes = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if version_and_command >> 4 != 2 {
        return Err(ProxyError::Version(version_and_command >> 4));
    }
    if version_and_command & 0x0f > 1 {
        return Err(ProxyError::Command(version_and_command & 0x0f));
    }
    if header_bytes > HEADER_BYTES_MAX {
        return Err(ProxyError::TooLong(header_bytes));
    }
    let Some(addresses) = received.get(V2_FIXED_BYTES..header_bytes) else { return Ok(Parsed::NeedMore) };
    let local = version_and_command & 0x0f == 0;
    let source = if local { Source::Local } else { v2_source(family, addresses)? };
    Ok(Parsed::Header { source, header_bytes })
}

fn v2_source(family: u8, addresses: &[u8]) -> Result<Source, ProxyError> {
    match family {
        0x00 => Ok(Source::Unknown),
        0x11 => v2_ip(addresses, v4),
        0x21 => v2_ip(addresses, v6),
        // Two paths of 108 bytes; which ones tells nothing about the client.
        0x31 if addresses.len() >= 216 => Ok(Source::Unix),
        0x31 => Err(ProxyError::TooShort(addresses.len())),
        other => Err(ProxyError::Family(other)),
    }
}

fn v4(bytes: [u8; 4]) -> IpAddr {
    Ipv4Addr::from(bytes).into()
}

fn v6(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).into()
}

/// Source address, destination address, source port, destination port.
fn v2_ip<const N: usize>(addresses: &[u8], ip: fn([u8; N]) -> IpAddr) -> Result<Source, ProxyError> {
    let parsed = (|| {
        let (source, rest) = addresses.split_first_chunk::<N>()?;
        let (destination, rest) = rest.split_first_chunk::<N>()?;
        let (source_port, rest) = rest.split_first_chunk::<2>()?;
        let destination_port = rest.first_chunk::<2>()?;
        Some(Source::Ip {
            source: socket_address(ip(*source), u16::from_be_bytes(*source_port)),
            destination: socket_address(ip(*destination), u16::from_be_bytes(*destination_port)),
        })
    })();
    parsed.ok_or(ProxyError::TooShort(addresses.len()))
}

/// IPv4 addresses that come as IPv6 count as what they are, or networks would not match them.
fn socket_address(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip.to_canonical(), port)
}

/// Why a header could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadHeaderError {
    /// The connection broke, or ended before the header did.
    #[error("the connection failed before the PROXY protocol header was complete")]
    Io(#[source] io::Error),
    /// The header is bad.
    #[error(transparent)]
    Header(#[from] ProxyError),
}

/// Reads until the header is complete and removes it from `received`, where every byte that came behind it stays.
///
/// The caller bounds the time. It may be dropped and called again with the same `received`.
pub async fn read_header(stream: &Stream, received: &mut Vec<u8>) -> Result<Source, ReadHeaderError> {
    loop {
        if let Parsed::Header { source, header_bytes } = parse(received)? {
            received.drain(..header_bytes);
            return Ok(source);
        }
        // Incomplete means shorter than the maximum, so there is always room.
        let room_bytes = HEADER_BYTES_MAX.saturating_sub(received.len()).max(1);
        stream.receive_some(received, room_bytes).await.map_err(ReadHeaderError::Io)?;
    }
}
