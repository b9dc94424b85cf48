//! What each serializer's grammar allows and what it does not, item by item: reading and skipping agree.

use bondy_wamp::serializer::{DEPTH_MAX, Decoder, Kind, ParseErrorKind, Serializer, decode_value};
use bondy_wamp::value::Value;

/// The kind of error of an item that must be refused, both when it is read and when it is skipped.
fn refusal(serializer: Serializer, bytes: &[u8]) -> ParseErrorKind {
    let read = decode_value(serializer, bytes).expect_err(&format!("{bytes:02x?}"));
    let skipped = Decoder::new(serializer, bytes).and_then(|mut decoder| {
        decoder.skip()?;
        decoder.end()
    });
    let skipped = skipped.expect_err(&format!("{bytes:02x?}")).kind;
    let both_malformed =
        matches!((skipped, read.kind), (ParseErrorKind::Malformed(_), ParseErrorKind::Malformed(_)));
    assert!(both_malformed || skipped == read.kind, "{skipped} is not {}: {bytes:02x?}", read.kind);
    read.kind
}

fn accepted(serializer: Serializer, bytes: &[u8]) -> Value {
    let mut decoder = Decoder::new(serializer, bytes).unwrap();
    let skipped = decoder.skip().unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
    assert_eq!(skipped, bytes);
    decode_value(serializer, bytes).unwrap()
}

fn json(text: &str) -> Value {
    let mut decoder = Decoder::new(Serializer::Json, text.as_bytes()).unwrap();
    decoder.skip().unwrap_or_else(|error| panic!("{error}: {text}"));
    decode_value(Serializer::Json, text.as_bytes()).unwrap()
}

#[test]
fn json_numbers() {
    assert_eq!(json("0"), Value::Integer(0));
    assert_eq!(json(" -1 "), Value::Integer(-1));
    assert_eq!(json("18446744073709551615"), Value::from(u64::MAX));
    assert_eq!(json("-9223372036854775808"), Value::Integer(i64::MIN.into()));
    assert_eq!(json("18446744073709551616"), Value::Float(18_446_744_073_709_551_616.0));
    assert_eq!(json("-9223372036854775809"), Value::Float(-9_223_372_036_854_775_808.0));
    assert_eq!(json("1.0"), Value::Float(1.0));
    assert_eq!(json("1e2"), Value::Float(100.0));
    assert_eq!(json("-0.25E-2"), Value::Float(-0.0025));
    assert_eq!(json("1E+400"), Value::Float(f64::INFINITY));
    let Value::Float(zero) = json("-0") else { panic!() };
    assert_eq!(zero.to_bits(), (-0.0f64).to_bits());
    for text in [
        "00", "01", "-01", "+1", "1.", ".5", "1.e5", "1e", "1e+", "-", "- 1", "0x10", "1_000", "NaN",
        "Infinity",
    ] {
        refusal(Serializer::Json, text.as_bytes());
        refusal(Serializer::Json, format!("[{text}]").as_bytes());
    }
}

#[test]
fn json_strings() {
    let escaped = r#""\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud834\udd1e\u0000""#;
    assert_eq!(json(escaped), Value::from("\"\\/\u{8}\u{c}\n\r\tAé€𝄞\0"));
    assert_eq!(json("\"é€𝄞\u{7f}\u{2028}\""), Value::from("é€𝄞\u{7f}\u{2028}"));
    for text in [
        "\"",
        "\"\\\"",
        "\"\\u12\"",
        "\"\\u123g\"",
        "\"\\x\"",
        "\"\\U0041\"",
        "\"a\nb\"",
        "\"\0\"",
        "'a'",
        "\"\t\"",
    ] {
        refusal(Serializer::Json, text.as_bytes());
    }
    for text in [
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\ud800\"",
        "\"\\ud800x\"",
        "\"\\udc00\\ud800\"",
        "\"\\ud800\\n1234\"",
    ] {
        assert_eq!(refusal(Serializer::Json, text.as_bytes()), ParseErrorKind::LoneSurrogate, "{text}");
    }
}

#[test]
fn json_strings_of_every_length_end_where_they_end() {
    for len in 0..200 {
        let plain = "x".repeat(len);
        assert_eq!(json(&format!("\"{plain}\"")), Value::from(plain.as_str()));
        for special in ["\\n", "é", "\\\\"] {
            for at in [0, len / 2, len] {
                let text = format!("[\"{}{special}{}\",\"end\"]", &plain[..at], &plain[at..]);
                let Value::List(items) = json(&text) else { panic!() };
                assert_eq!(items[1], Value::from("end"));
            }
        }
        for bad in [0x00, 0x1f] {
            for at in 0..=len {
                let text = [b"\"", &plain.as_bytes()[..at], &[bad], &plain.as_bytes()[at..], b"\""].concat();
                let error = decode_value(Serializer::Json, &text).unwrap_err();
                assert_eq!(
                    (error.kind, error.offset),
                    (ParseErrorKind::Malformed("a control character in a string"), at + 1)
                );
            }
        }
    }
}

#[test]
fn json_structure() {
    assert_eq!(json(" [ ] "), Value::List(vec![]));
    assert_eq!(json("\r\n{\t}"), Value::from([]));
    assert_eq!(json("{\"a\" : [ 1 , {\"b\":null} ] }").entry("a").unwrap().as_list().unwrap().len(), 2);
    assert_eq!(json("{\"a\":1,\"a\":2}"), Value::from([("a", Value::from(2))]));
    for text in [
        "",
        " ",
        "[",
        "]",
        "{",
        "}",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{1:2}",
        "{\"a\" 1}",
        "{\"a\":1]",
        "[1]]",
        "1 2",
        "tru",
        "nul",
        "truefalse",
        "True",
        "[\u{c}1]",
        "[1,\u{a0}2]",
        "/**/1",
        "\u{feff}1",
        "{\"a\":1 \"b\":2}",
        "{null:1}",
        "[1,,2]",
        ",",
        ":",
    ] {
        refusal(Serializer::Json, text.as_bytes());
    }
}

#[test]
fn json_is_utf8() {
    let overlong_surrogate_beyond: [&[u8]; 5] =
        [b"\"\xc0\x80\"", b"\"\xed\xa0\x80\"", b"\"\xf4\x90\x80\x80\"", b"\"\xe9\"", b"[\xff]"];
    for bytes in overlong_surrogate_beyond {
        assert_eq!(refusal(Serializer::Json, bytes), ParseErrorKind::InvalidUtf8);
    }
}

#[test]
fn msgpack_scalars_of_every_width() {
    let cases: [(&[u8], Value); 24] = [
        (b"\x00", Value::Integer(0)),
        (b"\x7f", Value::Integer(127)),
        (b"\xff", Value::Integer(-1)),
        (b"\xe0", Value::Integer(-32)),
        (b"\xcc\xff", Value::Integer(255)),
        (b"\xcd\x01\x00", Value::Integer(256)),
        (b"\xce\xff\xff\xff\xff", Value::Integer(0xffff_ffff)),
        (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", Value::from(u64::MAX)),
        (b"\xd0\x80", Value::Integer(-128)),
        (b"\xd0\x01", Value::Integer(1)),
        (b"\xd1\x80\x00", Value::Integer(-32768)),
        (b"\xd2\x80\x00\x00\x00", Value::Integer(i32::MIN.into())),
        (b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", Value::Integer(i64::MIN.into())),
        (b"\xca\x3f\x80\x00\x00", Value::Float(1.0)),
        (b"\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", Value::Float(0.1)),
        (b"\xc0", Value::Null),
        (b"\xc2", Value::Bool(false)),
        (b"\xd9\x01a", Value::from("a")),
        (b"\xda\x00\x01a", Value::from("a")),
        (b"\xdb\x00\x00\x00\x01a", Value::from("a")),
        (b"\xc4\x01\xff", Value::Binary(vec![255])),
        (b"\xc6\x00\x00\x00\x01\xff", Value::Binary(vec![255])),
        (b"\xd4\x05\xff", Value::Binary(vec![255])),
        (b"\xc7\x02\x05\xff\xfe", Value::Binary(vec![255, 254])),
    ];
    for (bytes, value) in cases {
        assert_eq!(accepted(Serializer::MessagePack, bytes), value, "{bytes:02x?}");
    }
}

#[test]
fn msgpack_refuses_what_is_not_msgpack() {
    let malformed: [&[u8]; 4] = [b"\xc1", b"\x91\xc1", b"\x81\x90\x01", b"\x81\x80\x01"];
    for bytes in malformed {
        assert!(
            matches!(refusal(Serializer::MessagePack, bytes), ParseErrorKind::Malformed(_)),
            "{bytes:02x?}"
        );
    }
    let truncated: [&[u8]; 8] = [
        b"",
        b"\x91",
        b"\x81\xa1k",
        b"\xa2a",
        b"\xdd\xff\xff\xff\xff\x00",
        b"\xdf\x80\x00\x00\x00\x00",
        b"\xc6\xff\xff\xff\xff",
        b"\xd8\x01",
    ];
    for bytes in truncated {
        assert_eq!(refusal(Serializer::MessagePack, bytes), ParseErrorKind::Truncated, "{bytes:02x?}");
    }
    assert_eq!(refusal(Serializer::MessagePack, b"\xa2\xc3\x28"), ParseErrorKind::InvalidUtf8);
    assert_eq!(refusal(Serializer::MessagePack, b"\x00\x00"), ParseErrorKind::TrailingBytes);
}

#[test]
fn cbor_scalars_of_every_width() {
    let cases: [(&[u8], Value); 26] = [
        (b"\x17", Value::Integer(23)),
        (b"\x18\x01", Value::Integer(1)),
        (b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", Value::from(u64::MAX)),
        (b"\x20", Value::Integer(-1)),
        (b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff", Value::Integer(-(1 << 64))),
        (b"\xf6", Value::Null),
        (b"\xf7", Value::Null),
        (b"\xf5", Value::Bool(true)),
        (b"\xf9\x3c\x00", Value::Float(1.0)),
        (b"\xf9\x00\x01", Value::Float(5.960_464_477_539_063e-8)),
        (b"\xf9\x04\x00", Value::Float(0.000_061_035_156_25)),
        (b"\xf9\x7b\xff", Value::Float(65504.0)),
        (b"\xf9\xfc\x00", Value::Float(f64::NEG_INFINITY)),
        (b"\xfa\x3f\x80\x00\x00", Value::Float(1.0)),
        (b"\xfb\x3f\xb9\x99\x99\x99\x99\x99\x9a", Value::Float(0.1)),
        (b"\x61a", Value::from("a")),
        (b"\x7f\x61a\x60\x62bc\xff", Value::from("abc")),
        (b"\x7f\xff", Value::from("")),
        (b"\x5f\x41\x01\x42\x02\x03\xff", Value::Binary(vec![1, 2, 3])),
        (b"\xd9\xd9\xf7\x01", Value::Integer(1)),
        (b"\xc1\x1a\x51\x4b\x67\xb0", Value::Integer(1_363_896_240)),
        (b"\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00", Value::Float(18_446_744_073_709_551_616.0)),
        (b"\xc2\x42\x01\x00", Value::Integer(256)),
        (b"\xc3\x41\x00", Value::Integer(-1)),
        (b"\xc2\x5f\x41\x01\x41\x00\xff", Value::Integer(256)),
        (b"\xc2\x40", Value::Integer(0)),
    ];
    for (bytes, value) in cases {
        assert_eq!(accepted(Serializer::Cbor, bytes), value, "{bytes:02x?}");
    }
    let long = [b"\xc2\x51".as_slice(), &[1; 17]].concat();
    assert_eq!(accepted(Serializer::Cbor, &long), Value::Binary(vec![1; 17]));
}

#[test]
fn cbor_containers_of_either_length() {
    assert_eq!(accepted(Serializer::Cbor, b"\x9f\xff"), Value::List(vec![]));
    assert_eq!(accepted(Serializer::Cbor, b"\xbf\xff"), Value::from([]));
    let nested = b"\xbf\x61a\x9f\x01\xbf\xff\x02\xff\x61b\xa1\x01\x02\xff";
    let inner = Value::List(vec![Value::from(1), Value::from([]), Value::from(2)]);
    let expected = Value::from([("a", inner), ("b", Value::from([("1", Value::from(2))]))]);
    assert_eq!(accepted(Serializer::Cbor, nested), expected);
}

#[test]
fn cbor_refuses_what_is_not_cbor() {
    let malformed: [&[u8]; 19] = [
        b"\xff",
        b"\x81\xff",
        b"\xa1\x01\xff",
        b"\xbf\x01\xff",
        b"\x1c",
        b"\x3d",
        b"\x1f",
        b"\x3f",
        b"\xdf\x01",
        b"\x7f\x41\x01\xff",
        b"\x7f\x7f\x61a\xff\xff",
        b"\x5f\x01\xff",
        b"\xa1\x80\x01",
        b"\xbf\xa0\x01\xff",
        b"\xa1\xc1\x80\x01",
        b"\xe0",
        b"\xf8\x14",
        b"\xf8\x20",
        b"\xfc",
    ];
    for bytes in malformed {
        assert!(matches!(refusal(Serializer::Cbor, bytes), ParseErrorKind::Malformed(_)), "{bytes:02x?}");
    }
    let truncated: [&[u8]; 10] = [
        b"",
        b"\x18",
        b"\x81",
        b"\xa1\x01",
        b"\x9f\x01",
        b"\x7f\x61a",
        b"\xc1",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ];
    for bytes in truncated {
        assert_eq!(refusal(Serializer::Cbor, bytes), ParseErrorKind::Truncated, "{bytes:02x?}");
    }
    for bytes in [b"\x62\xc3\x28".as_slice(), b"\x7f\x61\xc3\x61\xa9\xff"] {
        assert_eq!(refusal(Serializer::Cbor, bytes), ParseErrorKind::InvalidUtf8, "{bytes:02x?}");
    }
    assert_eq!(refusal(Serializer::Cbor, b"\x00\x00"), ParseErrorKind::TrailingBytes);
}

#[test]
fn cbor_tags_nest_no_deeper_than_lists() {
    let tags = |number: usize| [vec![0xc1; number], vec![0x01]].concat();
    accepted(Serializer::Cbor, &tags(DEPTH_MAX));
    assert_eq!(refusal(Serializer::Cbor, &tags(DEPTH_MAX + 2)), ParseErrorKind::TooDeep);
    assert_eq!(refusal(Serializer::Cbor, &tags(1_000_000)), ParseErrorKind::TooDeep);
}

#[test]
fn a_decoder_pulls_typed_values_and_says_what_it_expected() {
    for serializer in Serializer::ALL {
        let value = Value::from([
            ("flag", Value::from(true)),
            ("list", Value::List(vec![Value::from(1), Value::Integer(-2), Value::Float(0.5), Value::Null])),
            ("text", Value::from("é\n")),
        ]);
        let bytes = value.to_bytes(serializer);
        let mut decoder = Decoder::new(serializer, &bytes).unwrap();
        assert_eq!(decoder.kind().unwrap(), Kind::Dict);
        let mut entries = decoder.dict().unwrap();
        assert_eq!(decoder.next_key(&mut entries).unwrap().as_deref(), Some("flag"));
        assert!(decoder.bool().unwrap());
        assert_eq!(decoder.next_key(&mut entries).unwrap().as_deref(), Some("list"));
        let mut items = decoder.list().unwrap();
        assert!(decoder.next_item(&mut items).unwrap());
        assert_eq!(decoder.unsigned().unwrap(), 1);
        assert!(decoder.next_item(&mut items).unwrap());
        assert_eq!(decoder.integer().unwrap(), -2);
        assert!(decoder.next_item(&mut items).unwrap());
        assert_eq!(decoder.kind().unwrap(), Kind::Float);
        assert_eq!(decoder.float().unwrap(), 0.5);
        assert!(decoder.next_item(&mut items).unwrap());
        decoder.null().unwrap();
        assert!(!decoder.next_item(&mut items).unwrap());
        assert!(!decoder.next_item(&mut items).unwrap(), "a list that is left stays left");
        assert_eq!(decoder.next_key(&mut entries).unwrap().as_deref(), Some("text"));
        assert_eq!(decoder.clone().bool().unwrap_err().kind, ParseErrorKind::Expected("a boolean"));
        assert_eq!(decoder.clone().skip().unwrap(), Value::from("é\n").to_bytes(serializer));
        assert_eq!(decoder.string().unwrap(), "é\n");
        assert_eq!(decoder.next_key(&mut entries).unwrap(), None);
        decoder.end().unwrap();
        assert_eq!(decoder.offset(), bytes.len());
    }
}
