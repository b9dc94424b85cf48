//! The client's address behind HTTP proxies.

use bondy_transport::forwarded::{ForwardedError, ForwardingHeaders, IpNetwork, client_address};
use std::net::IpAddr;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn trusted() -> Vec<IpNetwork> {
    ["10.0.0.0/8", "2001:db8:1::/48"].map(|one| IpNetwork::parse(one).unwrap()).to_vec()
}

fn ask(peer: &str, forwarded: &[&[u8]], x_forwarded_for: &[&[u8]]) -> Result<IpAddr, ForwardedError> {
    client_address(ip(peer), &trusted(), ForwardingHeaders { forwarded, x_forwarded_for })
}

fn by_x(value: &str) -> IpAddr {
    ask("10.0.0.1", &[], &[value.as_bytes()]).unwrap()
}

fn by_forwarded(value: &str) -> Result<IpAddr, ForwardedError> {
    ask("10.0.0.1", &[value.as_bytes()], &[])
}

#[test]
fn networks_contain_their_addresses_only() {
    let inside = |network: &str, address: &str| IpNetwork::parse(network).unwrap().contains(ip(address));
    assert!(inside("10.0.0.0/8", "10.255.0.1"));
    assert!(!inside("10.0.0.0/8", "11.0.0.1"));
    assert!(inside("10.1.2.3/8", "10.9.9.9"));
    assert!(inside("0.0.0.0/0", "203.0.113.9"));
    assert!(inside("192.0.2.1", "192.0.2.1"));
    assert!(!inside("192.0.2.1", "192.0.2.2"));
    assert!(inside("2001:db8::/32", "2001:db8:ffff::1"));
    assert!(!inside("2001:db8::/32", "2001:db9::1"));
    assert!(inside("::1", "::1"));
}

#[test]
fn address_families_meet_only_in_mapped_addresses() {
    let inside = |network: &str, address: &str| IpNetwork::parse(network).unwrap().contains(ip(address));
    assert!(!inside("::/0", "192.0.2.1"));
    assert!(!inside("0.0.0.0/0", "2001:db8::1"));
    assert!(inside("10.0.0.0/8", "::ffff:10.1.1.1"));
    assert!(inside("::ffff:10.0.0.0/104", "10.1.1.1"));
    assert!(!inside("::ffff:10.0.0.0/104", "11.1.1.1"));
    assert!(inside("::ffff:0:0/96", "192.0.2.1"));
}

#[test]
fn what_is_no_network_is_refused() {
    for text in
        ["", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/-1", "10.0.0/8", "::/129", "host/8"]
    {
        assert!(IpNetwork::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn headers_of_untrusted_peers_do_not_count() {
    assert_eq!(ask("192.0.2.9", &[b"for=1.2.3.4"], &[b"1.2.3.4"]), Ok(ip("192.0.2.9")));
    assert_eq!(ask("192.0.2.9", &[b"for=\""], &[]), Ok(ip("192.0.2.9")));
    assert_eq!(ask("::ffff:192.0.2.9", &[], &[]), Ok(ip("192.0.2.9")));
    assert_eq!(ask("10.0.0.1", &[], &[]), Ok(ip("10.0.0.1")));
}

#[test]
fn the_rightmost_untrusted_hop_wins() {
    assert_eq!(by_x("192.0.2.7"), ip("192.0.2.7"));
    assert_eq!(by_x("1.1.1.1, 192.0.2.7"), ip("192.0.2.7"));
    assert_eq!(by_x("1.1.1.1, 192.0.2.7, 10.0.0.2,10.0.0.3"), ip("192.0.2.7"));
    assert_eq!(by_x("10.0.0.9, 10.0.0.2"), ip("10.0.0.9"));
    assert_eq!(by_x("2001:db8::7, 2001:db8:1::1"), ip("2001:db8::7"));
    assert_eq!(by_x("::ffff:192.0.2.7"), ip("192.0.2.7"));
    assert_eq!(by_x("192.0.2.7:4711"), ip("192.0.2.7"));
    assert_eq!(by_x("[2001:db8::7]:4711"), ip("2001:db8::7"));
    assert_eq!(ask("10.0.0.1", &[], &[b"1.1.1.1", b"192.0.2.7, 10.0.0.2"]), Ok(ip("192.0.2.7")));
}

#[test]
fn garbage_left_of_the_client_is_never_looked_at() {
    assert_eq!(ask("10.0.0.1", &[], &[b"\xff\xfe,,\"; 192.0.2.7"]), Ok(ip("10.0.0.1")));
    assert_eq!(ask("10.0.0.1", &[], &[b"\xff\xfe,,\";=, 192.0.2.7"]), Ok(ip("192.0.2.7")));
    assert_eq!(by_x(&format!("{}192.0.2.7", "x,".repeat(10_000))), ip("192.0.2.7"));
    assert_eq!(by_x("garbage, 10.0.0.2"), ip("10.0.0.2"));
    assert_eq!(by_x(", ,"), ip("10.0.0.1"));
}

#[test]
fn forwarded_elements_are_parsed_by_the_grammar() {
    assert_eq!(by_forwarded("for=192.0.2.7"), Ok(ip("192.0.2.7")));
    assert_eq!(by_forwarded("For=\"[2001:db8::7]:4711\""), Ok(ip("2001:db8::7")));
    assert_eq!(by_forwarded("proto=http;by=203.0.113.43 ; for=192.0.2.7;"), Ok(ip("192.0.2.7")));
    assert_eq!(by_forwarded("for=1.1.1.1, for=192.0.2.7;proto=https , for=10.0.0.2"), Ok(ip("192.0.2.7")));
    assert_eq!(by_forwarded("for=1.1.1.1,for=192.0.2.7,,"), Ok(ip("192.0.2.7")));
    assert_eq!(by_forwarded("for=\"a,b\\\"c\", for=192.0.2.7"), Ok(ip("192.0.2.7")));
    assert_eq!(by_forwarded("for=unknown"), Ok(ip("10.0.0.1")));
    assert_eq!(by_forwarded("for=192.0.2.7, for=_hidden, for=10.0.0.2"), Ok(ip("10.0.0.2")));
    assert_eq!(by_forwarded(""), Ok(ip("10.0.0.1")));
}

#[test]
fn a_client_cannot_swallow_what_the_proxy_appends() {
    // The proxy appends `, for=192.0.2.7` to whatever came.
    for invented in [
        "for=\"",
        "for=\"x",
        "for",
        "=",
        "for=1.1.1.1;for=2.2.2.2",
        "a b",
        "for=\"a\"b",
        "for=\"\\",
        "\u{e9}=1",
    ] {
        let value = format!("{invented}, for=192.0.2.7");
        assert_eq!(by_forwarded(&value), Err(ForwardedError::Malformed), "{value}");
    }
    let quote_spans_both = "for=\"a, for=192.0.2.7;by=\"10.0.0.1\"";
    assert_eq!(by_forwarded(quote_spans_both), Err(ForwardedError::Malformed));
    assert_eq!(ask("10.0.0.1", &[b"for=\xff, for=192.0.2.7"], &[]), Err(ForwardedError::Malformed));
}

#[test]
fn two_headers_must_agree() {
    assert_eq!(ask("10.0.0.1", &[b"for=192.0.2.7"], &[b"192.0.2.7"]), Ok(ip("192.0.2.7")));
    assert_eq!(ask("10.0.0.1", &[b"for=1.1.1.1"], &[b"192.0.2.7"]), Err(ForwardedError::Conflict));
}

#[test]
fn random_headers_never_panic() {
    let mut random = fastrand::Rng::with_seed(5);
    let alphabet = b"for=\";, 10.2:[]\\_x\xff";
    for _ in 0..20_000 {
        let bytes: Vec<u8> =
            (0..random.usize(0..40)).map(|_| alphabet[random.usize(0..alphabet.len())]).collect();
        let _ = ask("10.0.0.1", &[&bytes], &[]);
        // The hop that a proxy appends is always found.
        let appended = [&bytes[..], b",192.0.2.7"].concat();
        assert_eq!(ask("10.0.0.1", &[], &[&appended]), Ok(ip("192.0.2.7")));
        let appended = [&bytes[..], b",for=192.0.2.7"].concat();
        let found = ask("10.0.0.1", &[&appended], &[]);
        assert!(
            matches!(found, Ok(address) if address == ip("192.0.2.7"))
                || found == Err(ForwardedError::Malformed)
        );
    }
}
