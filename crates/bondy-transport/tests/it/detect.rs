//! The protocol of a connection by its first octets.

use bondy_transport::detect::{DETECT_BYTES_MAX, Detection, detect};

#[test]
fn the_first_octet_tells_the_protocol() {
    assert_eq!(detect(&[0x7f, 0xf1, 0, 0], false), Detection::RawSocket);
    assert_eq!(detect(&[0x16, 3, 1], false), Detection::Tls);
    assert_eq!(detect(b"GET /ws HTTP/1.1", false), Detection::Http);
    assert_eq!(detect(b"P", false), Detection::Http);
    assert_eq!(detect(b"", false), Detection::NeedMore);
    assert_eq!(detect(b"get", false), Detection::Unknown(b'g'));
    assert_eq!(detect(&[0], false), Detection::Unknown(0));
}

#[test]
fn a_proxy_header_is_taken_for_http_or_garbage_where_it_is_not_expected() {
    assert_eq!(detect(b"PROXY TCP4 ", false), Detection::Http);
    assert_eq!(detect(b"\r\n\r\n\0\r\nQUIT\n", false), Detection::Unknown(b'\r'));
}

#[test]
fn an_expected_proxy_header_is_required() {
    assert_eq!(detect(b"PROXY TCP4 ", true), Detection::ProxyProtocol);
    assert_eq!(detect(b"\r\n\r\n\0\r\nQUIT\n!", true), Detection::ProxyProtocol);
    assert_eq!(detect(b"POST / HTTP/1.1", true), Detection::Unknown(b'O'));
    assert_eq!(detect(&[0x7f], true), Detection::Unknown(0x7f));
    assert_eq!(detect(&[0x16], true), Detection::Unknown(0x16));
}

#[test]
fn an_expected_proxy_header_may_come_octet_by_octet() {
    for header in [&b"PROXY "[..], b"\r\n\r\n\0\r\nQUIT\n"] {
        for end in 0..header.len() {
            assert_eq!(detect(&header[..end], true), Detection::NeedMore, "{end} octets");
        }
        assert!(header.len() <= DETECT_BYTES_MAX);
        assert_eq!(detect(header, true), Detection::ProxyProtocol);
    }
}
