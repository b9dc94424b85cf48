//! The rules of `docs/wire-transcoding.md`, one test each.

use bondy_wamp::serializer::{Serializer, transcode};

const JSON: Serializer = Serializer::Json;
const MSGPACK: Serializer = Serializer::MessagePack;
const CBOR: Serializer = Serializer::Cbor;

fn converted(source: Serializer, item: &[u8], target: Serializer) -> Vec<u8> {
    let mut out = Vec::new();
    transcode(source, item, target, &mut out).unwrap();
    out
}

fn to_json(source: Serializer, item: &[u8]) -> String {
    String::from_utf8(converted(source, item, JSON)).unwrap()
}

#[test]
fn floats_keep_every_bit() {
    let awkward = [
        0.1,
        -0.0,
        f64::MIN_POSITIVE / 2.0,
        5e-324,
        f64::MAX,
        1.0 / 3.0,
        2f64.powi(53) + 2.0,
        1e21,
        1e22,
        1e23,
        123_456_789.123_456_78,
    ];
    for float in awkward {
        let msgpack = [b"\xcb".as_slice(), &float.to_be_bytes()].concat();
        let json = to_json(MSGPACK, &msgpack);
        assert!(json.contains(['.', 'e']), "a float stays a float: {json}");
        assert_eq!(converted(JSON, json.as_bytes(), MSGPACK), msgpack);
        let cbor = converted(MSGPACK, &msgpack, CBOR);
        assert_eq!(cbor, [b"\xfb".as_slice(), &float.to_be_bytes()].concat());
        assert_eq!(converted(CBOR, &cbor, MSGPACK), msgpack);
    }
    assert_eq!(to_json(MSGPACK, b"\xcb\x40\x14\x00\x00\x00\x00\x00\x00"), "5.0");
}

#[test]
fn shorter_floats_are_widened_exactly() {
    assert_eq!(converted(CBOR, b"\xf9\x3e\x00", MSGPACK), b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00");
    assert_eq!(converted(CBOR, b"\xfa\x3d\xcc\xcc\xcd", MSGPACK), b"\xcb\x3f\xb9\x99\x99\xa0\x00\x00\x00");
    assert_eq!(converted(MSGPACK, b"\xca\x3d\xcc\xcc\xcd", CBOR), b"\xfb\x3f\xb9\x99\x99\xa0\x00\x00\x00");
    assert_eq!(to_json(CBOR, b"\xf9\x00\x01"), "5.960464477539063e-8");
}

#[test]
fn integers_of_64_bits_are_exact() {
    for (json, msgpack, cbor) in [
        (
            "18446744073709551615",
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
        (
            "9007199254740993",
            b"\xcf\x00\x20\x00\x00\x00\x00\x00\x01",
            b"\x1b\x00\x20\x00\x00\x00\x00\x00\x01",
        ),
        (
            "-9223372036854775808",
            b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
            b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff",
        ),
    ] {
        assert_eq!(converted(JSON, json.as_bytes(), MSGPACK), msgpack);
        assert_eq!(converted(JSON, json.as_bytes(), CBOR), cbor);
        assert_eq!(to_json(MSGPACK, msgpack), json);
        assert_eq!(to_json(CBOR, cbor), json);
        assert_eq!(converted(MSGPACK, msgpack, CBOR), cbor);
        assert_eq!(converted(CBOR, cbor, MSGPACK), msgpack);
    }
}

#[test]
fn longer_integers_become_the_nearest_float_where_there_is_no_such_integer() {
    assert_eq!(converted(JSON, b"18446744073709551616", CBOR), b"\xfb\x43\xf0\x00\x00\x00\x00\x00\x00");
    assert_eq!(converted(JSON, b"-9223372036854775809", MSGPACK), b"\xcb\xc3\xe0\x00\x00\x00\x00\x00\x00");
    // CBOR's own integers go to -2^64, and so does JSON's text.
    let lowest = b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff";
    assert_eq!(to_json(CBOR, lowest), "-18446744073709551616");
    assert_eq!(converted(CBOR, lowest, MSGPACK), b"\xcb\xc3\xf0\x00\x00\x00\x00\x00\x00");
}

#[test]
fn bignums_become_integers_if_they_fit_and_else_floats() {
    assert_eq!(to_json(CBOR, b"\xc2\x48\xff\xff\xff\xff\xff\xff\xff\xff"), "18446744073709551615");
    assert_eq!(to_json(CBOR, b"\xc3\x41\x63"), "-100");
    assert_eq!(to_json(CBOR, b"\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00"), "1.8446744073709552e19");
    assert_eq!(converted(CBOR, b"\xc3\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00", MSGPACK)[..1], [0xcb]);
    let long = [b"\xc2\x51".as_slice(), &[0; 17]].concat();
    assert_eq!(to_json(CBOR, &long), "\"\\u0000AAAAAAAAAAAAAAAAAAAAAAA=\"");
}

#[test]
fn what_json_has_no_number_for_becomes_null() {
    for msgpack in
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(|value| [&[0xcb][..], &value.to_be_bytes()].concat())
    {
        assert_eq!(to_json(MSGPACK, &msgpack), "null");
        let cbor = converted(MSGPACK, &msgpack, CBOR);
        assert_eq!(cbor[1..], msgpack[1..], "between the others they stay what they are");
    }
    // A number beyond every float is infinite.
    assert_eq!(converted(JSON, b"1e400", MSGPACK), b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00");
}

#[test]
fn binary_is_a_marked_base64_string_in_json_and_back() {
    for (bytes, base64) in
        [(b"".as_slice(), ""), (b"\x00", "AA=="), (b"\x01\x02\x03", "AQID"), (b"\xfb\xff", "+/8=")]
    {
        let json = format!("\"\\u0000{base64}\"");
        let msgpack = [&[0xc4, bytes.len() as u8], bytes].concat();
        let cbor = [&[0x40 + bytes.len() as u8], bytes].concat();
        assert_eq!(to_json(MSGPACK, &msgpack), json);
        assert_eq!(to_json(CBOR, &cbor), json);
        assert_eq!(converted(JSON, json.as_bytes(), MSGPACK), msgpack);
        assert_eq!(converted(JSON, json.as_bytes(), CBOR), cbor);
        assert_eq!(converted(MSGPACK, &msgpack, CBOR), cbor);
    }
    // Some encoders escape the slash.
    assert_eq!(converted(JSON, b"\"\\u0000+\\/8=\"", CBOR), b"\x42\xfb\xff");
}

#[test]
fn a_marked_string_that_is_not_base64_stays_text() {
    for rest in ["A", "A===", "AA", "AB==", "A A=", "AA==\\n", "é", "-_8="] {
        let json = format!("\"\\u0000{rest}\"");
        let msgpack = converted(JSON, json.as_bytes(), MSGPACK);
        assert_eq!(msgpack[0] & 0xe0, 0xa0, "{rest}");
        assert_eq!(msgpack[1], 0);
        assert_eq!(to_json(MSGPACK, &msgpack), json);
    }
    // The mark counts only at the beginning.
    assert_eq!(converted(JSON, b"\"x\\u0000AQID\"", MSGPACK), b"\xa6x\x00AQID");
}

#[test]
fn long_binary_is_converted_whole() {
    for len in [0, 1, 2, 3, 255, 256, 1000, 65_535, 65_536, 100_000] {
        let bytes: Vec<u8> = (0..len).map(|index| (index * 7) as u8).collect();
        let msgpack = bondy_wamp::value::Value::Binary(bytes).to_bytes(MSGPACK);
        let json = converted(MSGPACK, &msgpack, JSON);
        assert_eq!(converted(JSON, &json, MSGPACK), msgpack);
        let cbor = converted(MSGPACK, &msgpack, CBOR);
        assert_eq!(converted(CBOR, &cbor, JSON), json);
        assert_eq!(converted(JSON, &json, CBOR), cbor);
    }
}

#[test]
fn keys_that_are_not_text_become_their_text_in_json_only() {
    assert_eq!(
        to_json(MSGPACK, b"\x84\x01\xc0\xff\xc0\xc3\xc0\xc0\xc0"),
        r#"{"1":null,"-1":null,"true":null,"null":null}"#
    );
    assert_eq!(to_json(CBOR, b"\xa1\xf9\x3e\x00\x01"), r#"{"1.5":1}"#);
    assert_eq!(to_json(CBOR, b"\xa1\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00\x01"), r#"{"null":1}"#);
    assert_eq!(to_json(CBOR, b"\xa1\x41\x00\x01"), r#"{"\u0000AA==":1}"#);
    assert_eq!(converted(MSGPACK, b"\x82\x01\xc0\xc4\x01\x07\xc2", CBOR), b"\xa2\x01\xf6\x41\x07\xf4");
    assert_eq!(converted(CBOR, b"\xa1\x20\x01", MSGPACK), b"\x81\xff\x01");
}

#[test]
fn keys_in_json_stay_text_whatever_they_look_like() {
    assert_eq!(converted(JSON, b"{\"1\":1}", CBOR), b"\xba\x00\x00\x00\x01\x61\x31\x01");
    assert_eq!(converted(JSON, b"{\"\\u0000AA==\":1}", CBOR), b"\xba\x00\x00\x00\x01\x65\x00AA==\x01");
    assert_eq!(converted(JSON, b"{\"\\u00e9\\n\":1}", MSGPACK), b"\xdf\x00\x00\x00\x01\xa3\xc3\xa9\n\x01");
}

#[test]
fn msgpack_extensions_become_the_binary_of_their_data() {
    assert_eq!(converted(MSGPACK, b"\xd6\xff\x01\x02\x03\x04", CBOR), b"\x44\x01\x02\x03\x04");
    assert_eq!(converted(MSGPACK, b"\xc7\x03\x05\x01\x02\x03", CBOR), b"\x43\x01\x02\x03");
    assert_eq!(to_json(MSGPACK, b"\xc7\x00\x05"), "\"\\u0000\"");
}

#[test]
fn cbor_tags_are_dropped_and_their_content_is_kept() {
    assert_eq!(to_json(CBOR, b"\xc0\x74\x32\x30\x31\x33-03-21T20:04:00Z"), "\"2013-03-21T20:04:00Z\"");
    assert_eq!(converted(CBOR, b"\xd9\xd9\xf7\x82\xc1\x01\xd8\x20\x61a", MSGPACK), b"\x92\x01\xa1a");
    assert_eq!(converted(CBOR, b"\xa1\xc1\x01\xc1\x02", MSGPACK), b"\x81\x01\x02");
}

#[test]
fn undefined_becomes_null() {
    assert_eq!(to_json(CBOR, b"\xf7"), "null");
    assert_eq!(converted(CBOR, b"\xf7", MSGPACK), b"\xc0");
    // MessagePack has none, but JavaScript's libraries write this extension for it.
    assert_eq!(to_json(MSGPACK, b"\xd4\x00\x00"), "null");
    assert_eq!(to_json(MSGPACK, b"\xd4\x00\x01"), "\"\\u0000AQ==\"");
}

#[test]
fn indefinite_lengths_become_definite() {
    let item = b"\xbf\x7f\x61a\x62\xc3\xa9\xff\x9f\x5f\x41\x01\x43\x02\x03\x04\xff\xbf\xff\xff\xff";
    assert_eq!(to_json(CBOR, item), r#"{"aé":["\u0000AQIDBA==",{}]}"#);
    let msgpack =
        b"\xdf\x00\x00\x00\x01\xa3a\xc3\xa9\xdd\x00\x00\x00\x02\xc4\x04\x01\x02\x03\x04\xdf\x00\x00\x00\x00";
    assert_eq!(converted(CBOR, item, MSGPACK), msgpack);
}

#[test]
fn text_is_escaped_for_json_and_unescaped_from_it() {
    let json = r#""\"\\\b\f\n\r\t\u0001\u001f/é€𝄞""#;
    let msgpack = converted(JSON, json.as_bytes(), MSGPACK);
    assert_eq!(to_json(MSGPACK, &msgpack), json);
    assert_eq!(to_json(CBOR, &converted(MSGPACK, &msgpack, CBOR)), json);
    assert_eq!(converted(JSON, br#""\ud834\udd1e\u00e9\/""#, MSGPACK), "\u{a7}𝄞é/".as_bytes()[1..]);
}

#[test]
fn duplicate_keys_pass_as_they_are() {
    assert_eq!(converted(JSON, b"{\"a\":1,\"a\":2}", CBOR), b"\xba\x00\x00\x00\x02\x61a\x01\x61a\x02");
    assert_eq!(to_json(MSGPACK, b"\x82\xa1a\x01\xa1a\x02"), r#"{"a":1,"a":2}"#);
}

#[test]
fn the_same_serializer_means_the_same_bytes() {
    assert_eq!(converted(JSON, b" [ 1 ] ", JSON), b" [ 1 ] ");
}

#[test]
fn malformed_items_are_errors_that_leave_nothing_behind() {
    for (source, item) in [
        (JSON, b"[1,".as_slice()),
        (MSGPACK, b"\x92\x01"),
        (CBOR, b"\x82\x01"),
        (JSON, b""),
        (CBOR, b"\x01\x01"),
    ] {
        for target in Serializer::ALL.into_iter().filter(|target| *target != source) {
            let mut out = vec![9];
            transcode(source, item, target, &mut out).unwrap_err();
            assert_eq!(out, [9]);
        }
    }
}
