//! The client's address behind HTTP proxies: `Forwarded` (RFC 7239) and `X-Forwarded-For`.
//!
//! Each proxy appends the address that it saw, so only what trusted proxies wrote can be believed: from the right,
//! the first hop that is not itself a trusted proxy is the client. Everything left of it may be invented.
//!
//! Invariant: a client cannot make itself look like an address of its choice, also not like the proxy's own. Where
//! the headers leave room for that they are refused, and the request should be answered with 400.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The longest chain of proxies that is followed. The hops behind it are invented or a loop.
const HOPS_MAX: usize = 64;

/// An IP network: an address and the number of leading bits that count.
///
/// IPv4 networks and IPv6 networks never match each other, except that IPv4-mapped addresses and networks
/// (`::ffff:0:0/96` and inside) are taken as the IPv4 ones that they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpNetwork {
    address: IpAddr,
    prefix_bits: u8,
}

/// Text that is not an IP network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IpNetworkError {
    /// The part before the slash is no address.
    #[error("{0:?} is not an IP network: write an address such as 10.0.0.0/8 or ::1")]
    Address(String),
    /// The part behind the slash is no length of this family's addresses.
    #[error("{0:?} is not an IP network: the prefix length is at most 32 bits for IPv4 and 128 for IPv6")]
    PrefixLength(String),
}

impl IpNetwork {
    /// Parses `address/bits`, or an address alone, which is a network of one. Bits behind the prefix are ignored.
    pub fn parse(text: &str) -> Result<IpNetwork, IpNetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| IpNetworkError::Address(text.to_owned()))?;
        let address_bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match bits {
            None => Some(address_bits),
            Some(digits) if digits.bytes().all(|one| one.is_ascii_digit()) => digits.parse::<u8>().ok(),
            Some(_) => None,
        };
        let prefix_bits = prefix_bits
            .filter(|bits| *bits <= address_bits)
            .ok_or_else(|| IpNetworkError::PrefixLength(text.to_owned()))?;
        Ok(IpNetwork::canonical(address, prefix_bits))
    }

    fn canonical(address: IpAddr, prefix_bits: u8) -> IpNetwork {
        match address.to_canonical() {
            IpAddr::V4(v4) if address.is_ipv6() && prefix_bits >= 96 => {
                IpNetwork { address: v4.into(), prefix_bits: prefix_bits - 96 }
            }
            IpAddr::V4(_) | IpAddr::V6(_) => IpNetwork { address, prefix_bits },
        }
    }

    /// Whether `address` is inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.prefix_bits);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// The number of leading bits that count; the more, the narrower the network.
    pub const fn prefix_bits(&self) -> u8 {
        self.prefix_bits
    }
}

impl std::fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

/// The values of a request's forwarding headers, one per header line, in the order of the lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForwardingHeaders<'a> {
    /// The `Forwarded` lines.
    pub forwarded: &'a [&'a [u8]],
    /// The `X-Forwarded-For` lines.
    pub x_forwarded_for: &'a [&'a [u8]],
}

/// Headers from a trusted proxy that do not tell who the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardedError {
    /// `Forwarded` breaks RFC 7239's grammar, so that what the proxy wrote cannot be told from what came before.
    #[error("the Forwarded header is malformed")]
    Malformed,
    /// Both headers are there and name different clients: one of them came from the client.
    #[error(
        "Forwarded and X-Forwarded-For name different clients; let the proxy remove the one that it does not set"
    )]
    Conflict,
}

/// The address of the client, where `peer` is the other end of the connection.
///
/// The headers count only if `peer` is in `trusted`. From the right, the first hop outside `trusted` is the client;
/// if all are inside, the leftmost. A hop that is no address (`unknown`, an obfuscated name, garbage) ends the
/// search: the trusted proxy that reported it is then the nearest that is known.
pub fn client_address(
    peer: IpAddr,
    trusted: &[IpNetwork],
    headers: ForwardingHeaders<'_>,
) -> Result<IpAddr, ForwardedError> {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return Ok(peer);
    }
    let by_forwarded = match headers.forwarded {
        [] => None,
        lines => Some(nearest_untrusted(peer, trusted, forwarded_hops(lines)?)),
    };
    let by_x_forwarded_for = match headers.x_forwarded_for {
        [] => None,
        lines => Some(nearest_untrusted(peer, trusted, x_forwarded_for_hops(lines))),
    };
    match (by_forwarded, by_x_forwarded_for) {
        (Some(one), Some(other)) if one != other => Err(ForwardedError::Conflict),
        (Some(one), _) | (None, Some(one)) => Ok(one),
        (None, None) => Ok(peer),
    }
}

fn is_trusted(address: IpAddr, trusted: &[IpNetwork]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// Follows the hops, nearest first.
fn nearest_untrusted(
    peer: IpAddr,
    trusted: &[IpNetwork],
    hops: impl IntoIterator<Item = Option<IpAddr>>,
) -> IpAddr {
    let mut nearest = peer;
    for hop in hops.into_iter().take(HOPS_MAX) {
        let Some(address) = hop else { break };
        nearest = address;
        if !is_trusted(address, trusted) {
            break;
        }
    }
    nearest
}

/// The hops of `X-Forwarded-For`, nearest first; `None` for one that is no address. Octets that are not text spoil
/// their own hop only, or a client could hide what the proxy appended behind them.
fn x_forwarded_for_hops<'a>(lines: &'a [&'a [u8]]) -> impl Iterator<Item = Option<IpAddr>> + 'a {
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(|octet| *octet == b','));
    let hops = hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty());
    hops.map(|hop| std::str::from_utf8(hop).ok().and_then(address_of))
}

/// The hops of `Forwarded`, nearest first; `None` for one that is no address.
fn forwarded_hops(lines: &[&[u8]]) -> Result<Vec<Option<IpAddr>>, ForwardedError> {
    let mut hops = Vec::new();
    for line in lines {
        let line = std::str::from_utf8(line).map_err(|_| ForwardedError::Malformed)?;
        append_elements(line, &mut hops).ok_or(ForwardedError::Malformed)?;
    }
    hops.reverse();
    Ok(hops)
}

/// RFC 7239, section 4: elements between commas, each of pairs between semicolons. Empty elements do not count
/// (RFC 9110, section 5.6.1.2). `None` if the line breaks the grammar.
fn append_elements(line: &str, hops: &mut Vec<Option<IpAddr>>) -> Option<()> {
    let mut rest = trim_start(line);
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix(',') {
            rest = trim_start(behind);
            continue;
        }
        let (hop, behind) = split_element(rest)?;
        hops.push(hop);
        rest = behind;
    }
    Some(())
}

/// The address of one element, and what follows it: nothing, or text that starts with a comma.
fn split_element(text: &str) -> Option<(Option<IpAddr>, &str)> {
    let mut hop = None;
    let mut rest = text;
    loop {
        if !rest.starts_with([';', ',']) && !rest.is_empty() {
            let (name, behind) = split_token(rest)?;
            let (value, behind) = split_value(behind.strip_prefix('=')?)?;
            // A parameter must not occur twice in an element.
            if name.eq_ignore_ascii_case("for") && hop.replace(address_of(&value)).is_some() {
                return None;
            }
            rest = trim_start(behind);
        }
        match rest.strip_prefix(';') {
            Some(behind) => rest = trim_start(behind),
            None if rest.is_empty() || rest.starts_with(',') => return Some((hop.flatten(), rest)),
            None => return None,
        }
    }
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

fn split_token(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|one: char| !is_token_char(one)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// RFC 9110, section 5.6.2; besides, `:`, `[` and `]`, because many proxies do not quote addresses.
fn is_token_char(one: char) -> bool {
    one.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:[]".contains(one)
}

/// A token or a quoted string, and what follows it.
fn split_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return split_token(text).map(|(value, rest)| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((index, one)) = chars.next() {
        match one {
            '"' => return Some((value, &quoted[index + 1..])),
            '\\' => value.push(chars.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address_of(node: &str) -> Option<IpAddr> {
    let bracketed = || node.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    let with_port = || node.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address = node.parse::<IpAddr>().ok().or_else(bracketed).or_else(with_port)?;
    Some(address.to_canonical())
}
