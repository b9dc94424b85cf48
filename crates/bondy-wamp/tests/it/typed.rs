//! Typed values: what each type becomes, that other implementations agree, and what errors say.

use std::collections::BTreeMap;

use bondy_wamp::payload::Payload;
use bondy_wamp::serde::{ErrorKind, decode, decode_payload, encode, encode_payload};
use bondy_wamp::serializer::{DEPTH_MAX, Encoder, Serializer};
use bondy_wamp::value::Value;
use fastrand::Rng;
use serde::de::DeserializeOwned;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize};

use crate::differential::{finite, text};
use crate::oracle;
use crate::oracle::typed::{Axis, Bytes, Figure, Meters, Sample, to_bytes};

/// Random samples for each comparison.
const SAMPLES: usize = 500;

fn json<T: Serialize>(value: &T) -> String {
    String::from_utf8(to_bytes(Serializer::Json, value).unwrap()).unwrap()
}

fn sample(rng: &mut Rng, levels: u8) -> Sample {
    let maybe = (levels > 0 && rng.bool()).then(|| Box::new(sample(rng, levels - 1)));
    Sample {
        flag: rng.bool(),
        small: rng.i8(..),
        signed: rng.i64(..) >> rng.u8(..63),
        unsigned: rng.u64(..) >> rng.u8(..63),
        float: finite(rng),
        single: f32::from(rng.i16(..)) / 7.0,
        letter: rng.char(..),
        text: text(rng),
        nothing: (),
        maybe,
        shapes: (0..rng.u8(..5)).map(|_| figure(rng)).collect(),
        pair: (rng.u8(..), text(rng)),
        wrapped: Meters(rng.i32(..)),
        by_name: (0..rng.u8(..5)).map(|_| (text(rng), rng.i32(..))).collect(),
        by_figure: [(Axis::Y, rng.u16(..)), (Axis::X, 0)].into_iter().take(rng.usize(..3)).collect(),
        absent: rng.bool().then(|| rng.u32(..)),
    }
}

fn figure(rng: &mut Rng) -> Figure {
    match rng.u8(..4) {
        0 => Figure::Empty,
        1 => Figure::Round(f64::from(rng.i32(..)) / 3.0),
        2 => Figure::Pair(rng.i32(..), text(rng)),
        _ => Figure::Named { width: rng.u8(..), height: rng.bool().then(|| rng.i16(..)) },
    }
}

#[test]
fn samples_survive_every_serializer_and_mean_the_same_in_all() {
    let mut rng = Rng::with_seed(1);
    for _ in 0..SAMPLES {
        let sample = sample(&mut rng, 3);
        let meaning = Value::decode(Serializer::Cbor, &to_bytes(Serializer::Cbor, &sample).unwrap()).unwrap();
        for serializer in Serializer::ALL {
            let bytes = to_bytes(serializer, &sample).unwrap();
            assert_eq!(decode::<Sample>(serializer, &bytes).as_ref(), Ok(&sample));
            let value: Value = decode(serializer, &bytes).unwrap();
            // JSON alone cannot tell text that begins with NUL and goes on with base64 from bytes.
            if !(serializer == Serializer::Json && format!("{value:?}").contains("Binary")) {
                assert!(oracle::same(&value, &meaning), "{value:?} is not {meaning:?}");
            }
            let payload = encode_payload(&sample, serializer).unwrap();
            assert_eq!(decode_payload::<Sample>(payload.as_payload()).as_ref(), Ok(&sample));
        }
    }
}

#[test]
fn serde_json_reads_what_we_write_and_writes_what_we_read() {
    let mut rng = Rng::with_seed(2);
    for _ in 0..SAMPLES {
        let sample = sample(&mut rng, 3);
        let ours = to_bytes(Serializer::Json, &sample).unwrap();
        assert_eq!(serde_json::from_slice::<Sample>(&ours).unwrap(), sample);
        let theirs = serde_json::to_vec(&sample).unwrap();
        assert_eq!(decode::<Sample>(Serializer::Json, &theirs).unwrap(), sample);
        let numbers: BTreeMap<i64, u8> = (0..5).map(|_| (rng.i64(..), rng.u8(..))).collect();
        assert_eq!(json(&numbers), serde_json::to_string(&numbers).unwrap());
    }
}

#[test]
fn ciborium_reads_what_we_write_and_writes_what_we_read() {
    let mut rng = Rng::with_seed(3);
    for _ in 0..SAMPLES {
        let sample = (sample(&mut rng, 3), Bytes((0..rng.u8(..)).collect()));
        let ours = to_bytes(Serializer::Cbor, &sample).unwrap();
        assert_eq!(ciborium::from_reader::<(Sample, Bytes), _>(ours.as_slice()).unwrap(), sample);
        let mut theirs = Vec::new();
        ciborium::into_writer(&sample, &mut theirs).unwrap();
        assert_eq!(decode::<(Sample, Bytes)>(Serializer::Cbor, &theirs).unwrap(), sample);
        // Theirs are integers as keys.
        let numbers: BTreeMap<i64, u8> = (0..5).map(|_| (rng.i64(..), rng.u8(..))).collect();
        let mut theirs = Vec::new();
        ciborium::into_writer(&numbers, &mut theirs).unwrap();
        assert_eq!(decode::<BTreeMap<i64, u8>>(Serializer::Cbor, &theirs).unwrap(), numbers);
    }
}

#[test]
fn rmpv_agrees_on_what_we_write() {
    let mut rng = Rng::with_seed(4);
    for _ in 0..SAMPLES {
        oracle::parse_msgpack(&to_bytes(Serializer::MessagePack, &sample(&mut rng, 3)).unwrap());
    }
}

#[test]
fn each_kind_of_type_has_its_form() {
    assert_eq!(json(&()), "null");
    assert_eq!(json(&Some(5)), "5");
    assert_eq!(json(&None::<u8>), "null");
    assert_eq!(json(&Meters(-5)), "-5");
    assert_eq!(json(&0.5f32), "0.5");
    assert_eq!(json(&f64::NAN), "null");
    assert_eq!(json(&'é'), "\"é\"");
    assert_eq!(json(&Bytes(vec![1, 2, 3])), "\"\\u0000AQID\"");
    assert_eq!(json(&Figure::Empty), "\"Empty\"");
    assert_eq!(json(&Figure::Round(1.0)), "{\"Round\":1.0}");
    assert_eq!(json(&Figure::Pair(1, "a".into())), "{\"Pair\":[1,\"a\"]}");
    assert_eq!(json(&Figure::Named { width: 1, height: None }), "{\"Named\":{\"width\":1,\"height\":null}}");
    assert_eq!(json(&BTreeMap::from([(-5, true)])), "{\"-5\":true}");
    assert_eq!(json(&BTreeMap::from([('k', [1, 2])])), "{\"k\":[1,2]}");
    assert_eq!(json(&(u64::MAX, i64::MIN)), "[18446744073709551615,-9223372036854775808]");
    assert_eq!(json(&i128::from(u64::MAX)), "18446744073709551615");
    // What has a text form is text everywhere.
    let address = std::net::Ipv4Addr::LOCALHOST;
    for serializer in Serializer::ALL {
        assert_eq!(to_bytes(serializer, &address).unwrap(), Value::from("127.0.0.1").to_bytes(serializer));
    }
}

/// Items whose number is not known ahead.
struct Unannounced(u16);

impl Serialize for Unannounced {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for number in 0..self.0 {
            map.serialize_entry(&number, &Numbers(number))?;
        }
        map.end()
    }
}

struct Numbers(u16);

impl Serialize for Numbers {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        (0..self.0).try_for_each(|number| seq.serialize_element(&number))?;
        seq.end()
    }
}

#[test]
fn lists_and_dictionaries_need_not_know_their_length() {
    let expected: BTreeMap<u16, Vec<u16>> = (0..300).map(|number| (number, (0..number).collect())).collect();
    for serializer in Serializer::ALL {
        let bytes = to_bytes(serializer, &Unannounced(300)).unwrap();
        assert_eq!(decode::<BTreeMap<u16, Vec<u16>>>(serializer, &bytes).as_ref(), Ok(&expected));
        let empty = to_bytes(serializer, &Unannounced(0)).unwrap();
        assert_eq!(decode::<BTreeMap<u16, Vec<u16>>>(serializer, &empty), Ok(BTreeMap::new()));
    }
}

#[test]
fn a_flattened_struct_with_an_untagged_enum_survives() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
        Bytes(Bytes),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        name: String,
        #[serde(flatten)]
        rest: BTreeMap<String, Either>,
    }
    let rest = BTreeMap::from([
        ("n".to_owned(), Either::Number(-3)),
        ("s".to_owned(), Either::Text("x\n".to_owned())),
        ("b".to_owned(), Either::Bytes(Bytes(vec![0, 255]))),
    ]);
    let outer = Outer { name: "é".to_owned(), rest };
    for serializer in Serializer::ALL {
        let bytes = to_bytes(serializer, &outer).unwrap();
        assert_eq!(decode::<Outer>(serializer, &bytes).as_ref(), Ok(&outer));
    }
}

#[test]
fn text_and_bytes_are_borrowed_where_they_stand_in_one_piece() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Borrowed<'a> {
        text: &'a str,
        #[serde(default)]
        bytes: Option<&'a [u8]>,
    }
    let value = Value::from([("text", Value::from("Grüße")), ("bytes", Value::Binary(vec![1, 2]))]);
    for serializer in [Serializer::MessagePack, Serializer::Cbor] {
        let bytes = value.to_bytes(serializer);
        let read: Borrowed<'_> = decode(serializer, &bytes).unwrap();
        assert_eq!(read, Borrowed { text: "Grüße", bytes: Some(&[1, 2]) });
        assert!(bytes.as_ptr_range().contains(&read.text.as_ptr()));
    }
    assert_eq!(decode::<Borrowed<'_>>(Serializer::Json, b"{\"text\":\"a\"}").unwrap().text, "a");
}

#[test]
fn reading_is_lenient_where_peers_differ() {
    assert_eq!(decode::<Vec<u8>>(Serializer::Json, b"\"\\u0000AQID\""), Ok(vec![1, 2, 3]));
    assert_eq!(decode::<[u8; 3]>(Serializer::Cbor, &[0x43, 1, 2, 3]), Ok([1, 2, 3]));
    assert!(decode::<[u8; 2]>(Serializer::Cbor, &[0x43, 1, 2, 3]).is_err());
    assert_eq!(decode::<u32>(Serializer::Json, b"5.0"), Ok(5));
    assert_eq!(decode::<i8>(Serializer::Json, b"-5.0"), Ok(-5));
    assert!(decode::<u32>(Serializer::Json, b"5.5").is_err());
    assert!(decode::<u32>(Serializer::Json, b"-1.0").is_err());
    assert!(decode::<u64>(Serializer::Json, b"1e300").is_err());
    assert_eq!(decode::<String>(Serializer::Json, b"\"\\u0000AQID\"").unwrap(), "\0AQID");
    assert_eq!(decode::<f64>(Serializer::Json, b"5"), Ok(5.0));
    // MessagePack's extension 0 is JavaScript's undefined; CBOR has that and tags.
    assert_eq!(decode::<Option<u8>>(Serializer::MessagePack, &[0xd4, 0, 0]), Ok(None));
    assert_eq!(decode::<Option<u8>>(Serializer::Cbor, &[0xf7]), Ok(None));
    assert_eq!(decode::<Option<u8>>(Serializer::Cbor, &[0xc5, 0x07]), Ok(Some(7)));
    assert_eq!(decode::<Option<f64>>(Serializer::Cbor, &[0xf9, 0x3c, 0]), Ok(Some(1.0)));
}

fn message<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
    decode::<T>(Serializer::Json, text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn an_error_in_reading_says_what_and_where() {
    assert_eq!(
        message::<Vec<Figure>>("[\"Empty\", {\"Pair\": [1, 2]}]"),
        "[1].Pair[1]: invalid type: integer `2`, expected a string (at byte 22)"
    );
    assert_eq!(
        message::<Vec<Figure>>("[{\"Named\": {\"height\": 1}}]"),
        "[0].Named: missing field `width` (at byte 10)"
    );
    assert_eq!(
        message::<BTreeMap<String, u8>>("{\"a\": {}, \"a\": 1}"),
        "a: invalid type: map, expected u8 (at byte 5)"
    );
    assert_eq!(message::<u8>("[1"), "invalid type: sequence, expected u8 (at byte 0)");
    assert_eq!(message::<Value>("[1"), "the bytes end inside a value (at byte 2)");
    assert_eq!(message::<u8>("1 2"), "bytes follow after the end of the value (at byte 2)");
    assert_eq!(message::<(u8, u8)>("[1,2,3]"), "there are more items than the type takes (at byte 5)");
    assert_eq!(message::<(u8, u8)>("[1]"), "invalid length 1, expected a tuple of size 2 (at byte 0)");
    assert_eq!(
        message::<Figure>("{\"Round\": 1, \"Empty\": null}"),
        "there are more items than the type takes (at byte 12)"
    );
    assert_eq!(message::<Figure>("{}"), "the name of a variant expected (at byte 2)");
    assert_eq!(message::<Figure>("5"), "the name of a variant, or a dictionary of it, expected (at byte 0)");
    assert_eq!(
        message::<BTreeMap<u8, u8>>("{\"01\": 1}"),
        "invalid type: string \"01\", expected u8 (at byte 1)"
    );
    assert!(message::<Figure>("\"Square\"").starts_with("unknown variant `Square`, expected one of"));
}

#[test]
fn an_error_quotes_only_the_beginning_of_what_a_peer_sent() {
    let long = "ü".repeat(100_000);
    let error = decode::<u8>(Serializer::Json, format!("\"{long}\"").as_bytes()).unwrap_err();
    assert!(error.to_string().len() < 500);
    let keyed = format!("{{\"{long}\":[]}}");
    let error = decode::<BTreeMap<String, u8>>(Serializer::Json, keyed.as_bytes()).unwrap_err();
    assert!(error.to_string().len() < 600);
}

fn refusal<T: Serialize>(value: &T) -> String {
    let messages: Vec<String> = Serializer::ALL
        .into_iter()
        .map(|serializer| to_bytes(serializer, value).unwrap_err().to_string())
        .collect();
    assert_eq!(messages[0], messages[1]);
    assert_eq!(messages[0], messages[2]);
    messages[0].clone()
}

#[test]
fn an_error_in_writing_says_what_and_where() {
    assert_eq!(
        refusal(&BTreeMap::from([("a", 1), ("b\n", i128::MAX)])),
        "b\n: the integer 170141183460469231731687303715884105727 is outside of the 64-bit range, -2^63 to 2^64-1"
    );
    assert_eq!(
        refusal(&(1, vec![BTreeMap::from([(true, 1)])])),
        "[1][0]: a key of a dictionary must be text or an integer, not a boolean"
    );
    assert!(refusal(&u128::MAX).starts_with("the integer 3402"));
    assert!(refusal(&BTreeMap::from([(i128::MIN, 1)])).starts_with("the integer -1701"));
    assert!(refusal(&BTreeMap::from([((), 1)])).ends_with("not null"));
    assert!(refusal(&BTreeMap::from([([1], 1)])).ends_with("not a tuple"));
    #[derive(Serialize)]
    enum Content {
        Of { wide: u128 },
    }
    assert!(refusal(&Content::Of { wide: u128::MAX }).starts_with("Of.wide: the integer"));
}

#[test]
fn a_type_that_miscounts_is_refused() {
    struct Liar;
    impl Serialize for Liar {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(Some(3))?;
            seq.serialize_element(&1)?;
            seq.end()
        }
    }
    assert_eq!(refusal(&vec![Liar]), "[0]: 3 items were announced and 1 written");
}

/// Lists in each other.
struct Nested(usize);

impl Serialize for Nested {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 => serializer.serialize_none(),
            levels => [Nested(levels - 1)].serialize(serializer),
        }
    }
}

/// Enum variants in each other, a hundred.
enum Variant {
    Inner(usize),
}

impl Serialize for Variant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Variant::Inner(levels) = self;
        match levels {
            0 => serializer.serialize_none(),
            levels => serializer.serialize_newtype_variant("", 0, "Inner", &Variant::Inner(levels - 1)),
        }
    }
}

#[test]
fn nesting_is_limited_in_writing_as_in_reading() {
    for serializer in Serializer::ALL {
        assert!(to_bytes(serializer, &Nested(DEPTH_MAX)).is_ok());
        let too_deep = to_bytes(serializer, &Nested(DEPTH_MAX + 1)).unwrap_err();
        assert_eq!(too_deep.kind(), &ErrorKind::TooDeep);
        assert!(to_bytes(serializer, &Variant::Inner(DEPTH_MAX)).is_ok());
        assert!(to_bytes(serializer, &Variant::Inner(DEPTH_MAX + 1)).is_err());
        // Positional arguments are no nesting of their own, and what is written can be read.
        let payload = encode_payload(&(Nested(DEPTH_MAX),), serializer).unwrap();
        assert!(decode_payload::<(Value,)>(payload.as_payload()).is_ok());
        assert!(encode_payload(&(Nested(DEPTH_MAX + 1),), serializer).is_err());
        assert!(encode_payload(&vec![Nested(DEPTH_MAX - 1)], serializer).is_ok());
        assert!(encode_payload(&vec![Nested(DEPTH_MAX)], serializer).is_err());
    }
}

#[test]
fn an_item_that_cannot_be_written_leaves_the_encoder_as_it_was() {
    for serializer in Serializer::ALL {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(serializer, &mut bytes);
        encoder.begin_list(1);
        assert!(encode(&(1, u128::MAX), &mut encoder).is_err());
        encode(&2, &mut encoder).unwrap();
        encoder.end_list();
        assert_eq!(bytes, to_bytes(serializer, &[2]).unwrap());
    }
}

fn arguments<T: Serialize>(value: &T) -> String {
    let stored = encode_payload(value, Serializer::Json).unwrap();
    assert!(stored.as_payload().kwargs.is_empty());
    String::from_utf8(stored.as_payload().args.to_vec()).unwrap()
}

#[test]
fn a_value_becomes_arguments() {
    #[derive(Serialize)]
    struct Nothing;
    assert_eq!(arguments(&()), "");
    assert_eq!(arguments(&Nothing), "");
    assert_eq!(arguments(&(1, "a")), "[1,\"a\"]");
    assert_eq!(arguments(&((1, 2),)), "[[1,2]]");
    assert_eq!(arguments(&Some((1, 2))), "[1,2]");
    assert_eq!(arguments(&vec![1, 2]), "[[1,2]]");
    assert_eq!(arguments(&5), "[5]");
    assert_eq!(arguments(&None::<u8>), "[null]");
    assert_eq!(arguments(&Value::Null), "[null]");
    assert_eq!(arguments(&Figure::Pair(1, String::new())), "[{\"Pair\":[1,\"\"]}]");
    assert_eq!(arguments(&BTreeMap::from([("a", ())])), "[{\"a\":null}]");
    for serializer in [Serializer::MessagePack, Serializer::Cbor] {
        let pair = encode_payload(&(1, 2), serializer).unwrap();
        assert_eq!(pair.as_payload().args, to_bytes(serializer, &[1, 2]).unwrap());
    }
    let error = encode_payload(&(1, u128::MAX), Serializer::Json).unwrap_err();
    assert_eq!(error.path(), "args[1]");
    assert_eq!(encode_payload(&vec![u128::MAX], Serializer::Json).unwrap_err().path(), "args[0][0]");
}

fn read<T: DeserializeOwned>(args: &str, kwargs: &str) -> Result<T, String> {
    let payload = Payload { serializer: Serializer::Json, args: args.as_bytes(), kwargs: kwargs.as_bytes() };
    decode_payload(payload).map_err(|error| error.to_string())
}

#[test]
fn arguments_become_a_value() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        x: i32,
        y: i32,
    }
    let point = Ok(Point { x: 1, y: 2 });
    assert_eq!(read("[1, 2]", "{\"a\":1}"), Ok(()));
    assert_eq!(read::<u8>("[5]", ""), Ok(5));
    assert_eq!(read::<u8>("[5]", "{\"besides\": 1}"), Ok(5));
    assert_eq!(read::<(u8, String)>("[5,\"a\"]", ""), Ok((5, "a".to_owned())));
    assert_eq!(read::<Vec<u8>>("[[5,6]]", ""), Ok(vec![5, 6]));
    assert_eq!(read::<Point>("", "{\"x\":1,\"y\":2}"), point);
    assert_eq!(read::<Point>("[]", "{\"x\":1,\"y\":2}"), point);
    assert_eq!(read::<Point>("[{\"x\":1,\"y\":2}]", "{}"), point);
    assert_eq!(read::<Option<Point>>("[]", "{\"x\":1,\"y\":2}"), point.map(Some));
    assert_eq!(read::<Option<u8>>("", ""), Ok(None));
    assert_eq!(read::<Option<u8>>("[]", "{}"), Ok(None));
    assert_eq!(read::<Option<u8>>("[null]", ""), Ok(None));
    assert_eq!(read::<Option<u8>>("[7]", ""), Ok(Some(7)));
    assert_eq!(read::<Value>("[7]", ""), Ok(Value::from(7)));
    assert_eq!(read::<Figure>("[\"Empty\"]", ""), Ok(Figure::Empty));
    assert_eq!(read::<BTreeMap<String, u8>>("", "{}"), Ok(BTreeMap::new()));
}

#[test]
fn arguments_that_do_not_fit_are_an_error_that_says_so() {
    let none = "args: one argument expected, and there is none";
    assert_eq!(read::<u8>("", "").unwrap_err(), none.trim_start_matches("args: "));
    assert_eq!(
        read::<u8>("[]", "{\"x\":1}").unwrap_err(),
        "one positional argument expected, and there are only keyword arguments; \
        they can be read as a struct or a map"
    );
    assert_eq!(
        read::<u8>("[1,2]", "").unwrap_err(),
        "one positional argument expected, and there are 2; several can be read as a tuple"
    );
    assert_eq!(
        read::<u8>("[\"a\",2,3]", "").unwrap_err(),
        "one positional argument expected, and there are 3; several can be read as a tuple"
    );
    assert_eq!(
        read::<u8>("[-1]", "").unwrap_err(),
        "args[0]: invalid value: integer `-1`, expected u8 (at byte 1)"
    );
    assert_eq!(read::<(u8, u8)>("", "").unwrap_err(), "args: invalid length 0, expected a tuple of size 2");
    assert_eq!(
        read::<(u8,)>("[1,2]", "").unwrap_err(),
        "args: there are more items than the type takes (at byte 3)"
    );
    assert_eq!(
        read::<BTreeMap<String, u8>>("", "{\"a\":[]}").unwrap_err(),
        "kwargs.a: invalid type: sequence, expected u8 (at byte 5)"
    );
    for kwargs in ["", "{}", "{\"a\":1}"] {
        let no_list = "args: a list expected (at byte 0)";
        assert_eq!(read::<u8>("5", kwargs).unwrap_err(), no_list);
        assert_eq!(read::<Option<u8>>("5", kwargs).unwrap_err(), no_list);
        assert_eq!(read::<BTreeMap<String, u8>>("5", kwargs).unwrap_err(), no_list);
    }
    assert!(read::<Option<u8>>("", "[]").is_err());
    assert!(read::<Option<u8>>("[null,null]", "").unwrap_err().contains("there are 2"));
}

#[test]
fn values_are_serde_types_in_other_formats_too() {
    let value = Value::from([
        ("list", Value::List(vec![Value::Null, Value::from(true), Value::Integer(-1), Value::Float(0.5)])),
        ("big", Value::from(u64::MAX)),
    ]);
    let text = serde_json::to_string(&value).unwrap();
    assert_eq!(text, "{\"big\":18446744073709551615,\"list\":[null,true,-1,0.5]}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
}
