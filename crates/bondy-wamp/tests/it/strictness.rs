//! What the specification calls a protocol violation is refused with an error that says what; what it tolerates
//! is accepted. The cases are written in JSON and tried in every serializer.

use bondy_wamp::feature::{Feature, WampRole};
use bondy_wamp::id::{RequestId, SessionId};
use bondy_wamp::message::{self, CancelMode, Hello, Message, MessageType};
use bondy_wamp::serializer::{DEPTH_MAX, Decoder, ParseErrorKind, Serializer};
use bondy_wamp::uri::MatchPolicy;

/// The same list in a serializer.
fn bytes(json: &str, serializer: Serializer) -> Vec<u8> {
    let mut decoder = Decoder::message(Serializer::Json, json.as_bytes()).unwrap();
    decoder.value().unwrap_or_else(|error| panic!("{error}: {json}")).to_bytes(serializer)
}

/// The error of a message, which must be the same in every serializer.
fn refusal(json: &str) -> String {
    let texts = Serializer::ALL.map(|serializer| {
        let error = message::parse(serializer, &bytes(json, serializer)).expect_err(json);
        assert_eq!(error.request, None);
        error.kind.to_string()
    });
    assert_eq!(texts[0], texts[1], "{json}");
    assert_eq!(texts[0], texts[2], "{json}");
    texts[0].clone()
}

/// Calls `check` with the message as parsed in every serializer.
fn accepted(json: &str, check: impl Fn(Message<'_>)) {
    for serializer in Serializer::ALL {
        let bytes = bytes(json, serializer);
        check(
            message::parse(serializer, &bytes)
                .unwrap_or_else(|error| panic!("{error}: {json} in {serializer}")),
        );
    }
}

fn tolerated(json: &str) {
    accepted(json, |_| ());
}

#[test]
fn what_is_no_message_is_refused() {
    for (json, expected) in [
        ("{}", "a list as message expected"),
        ("null", "a list as message expected"),
        ("[]", "malformed: a message must not be an empty list"),
        ("[[]]", "an integer as message type expected"),
        ("[48.0]", "an integer as message type expected"),
        ("[true]", "an integer as message type expected"),
        ("[-1]", "an integer as message type expected"),
        ("[\"48\"]", "an integer as message type expected"),
        ("[0]", "unknown message type 0"),
        ("[7,1]", "unknown message type 7"),
        ("[337,1]", "unknown message type 337"),
        ("[99999999999999,1]", "unknown message type 99999999999999"),
    ] {
        assert_eq!(refusal(json), expected, "{json}");
    }
}

#[test]
fn every_message_has_its_number_of_elements() {
    for (least, most) in [
        ("[1,\"r\",{}]", "[1,\"r\",{}]"),
        ("[2,1,{}]", "[2,1,{}]"),
        ("[3,{},\"a\"]", "[3,{},\"a\",[],{}]"),
        ("[4,\"m\",{}]", "[4,\"m\",{}]"),
        ("[5,\"s\",{}]", "[5,\"s\",{}]"),
        ("[6,{},\"a\"]", "[6,{},\"a\"]"),
        ("[8,48,1,{},\"e\"]", "[8,48,1,{},\"e\",[],{}]"),
        ("[16,1,{},\"t\"]", "[16,1,{},\"t\",[],{}]"),
        ("[17,1,2]", "[17,1,2]"),
        ("[32,1,{},\"t\"]", "[32,1,{},\"t\"]"),
        ("[33,1,2]", "[33,1,2]"),
        ("[34,1,2]", "[34,1,2]"),
        ("[35,1]", "[35,0,{\"subscription\":1}]"),
        ("[36,1,2,{}]", "[36,1,2,{},[],{}]"),
        ("[48,1,{},\"p\"]", "[48,1,{},\"p\",[],{}]"),
        ("[49,1,{}]", "[49,1,{}]"),
        ("[50,1,{}]", "[50,1,{},[],{}]"),
        ("[64,1,{},\"p\"]", "[64,1,{},\"p\"]"),
        ("[65,1,2]", "[65,1,2]"),
        ("[66,1,2]", "[66,1,2]"),
        ("[67,1]", "[67,0,{\"registration\":1,\"reason\":\"x\"}]"),
        ("[68,1,2,{}]", "[68,1,2,{},[],{}]"),
        ("[69,1,{}]", "[69,1,{}]"),
        ("[70,1,{}]", "[70,1,{},[],{}]"),
    ] {
        tolerated(least);
        tolerated(most);
        let shorter = format!("{}]", &least[..least.rfind(',').unwrap()]);
        assert!(refusal(&shorter).ends_with("has too few elements"), "{shorter}");
        let longer = format!("{},1]", &most[..most.len() - 1]);
        assert!(refusal(&longer).ends_with("has too many elements"), "{longer}");
    }
}

#[test]
fn request_ids_are_integers_from_1_to_2_to_the_53() {
    for id in ["0", "-1", "1.0", "true", "null", "\"1\"", "9007199254740993", "[]", "{}"] {
        let expected = "CALL: Request must be an integer from 1 to 2^53";
        assert_eq!(refusal(&format!("[48,{id},{{}},\"p\"]")), expected, "{id}");
        for code in [16, 32, 64] {
            assert!(refusal(&format!("[{code},{id},{{}},\"p\"]")).contains("Request"), "{id}");
        }
        for code in [34, 49, 66, 70] {
            assert!(refusal(&format!("[{code},{id},{{}}]")).contains("Request"), "{id}");
        }
    }
    for id in ["1", "9007199254740992", "4294967296"] {
        tolerated(&format!("[48,{id},{{}},\"p\"]"));
    }
}

#[test]
fn other_ids_may_be_integral_floats() {
    accepted("[34,1,7.0]", |message| match message {
        Message::Unsubscribe(message) => assert_eq!(message.subscription.0, 7),
        other => panic!("{other:?}"),
    });
    assert_eq!(refusal("[34,1,7.5]"), "UNSUBSCRIBE: Subscription must be an id");
    assert_eq!(refusal("[66,1,-7]"), "UNREGISTER: Registration must be an id");
    assert_eq!(refusal("[66,1,true]"), "UNREGISTER: Registration must be an id");
}

#[test]
fn elements_have_their_types() {
    for (json, expected) in [
        ("[48,1,[],\"p\"]", "CALL: Options must be a dictionary"),
        ("[48,1,null,\"p\"]", "CALL: Options must be a dictionary"),
        ("[48,1,{},1]", "CALL: Procedure must be a string"),
        ("[48,1,{},null]", "CALL: Procedure must be a string"),
        ("[48,1,{},\"p\",{}]", "CALL: Arguments must be a list"),
        ("[48,1,{},\"p\",\"x\"]", "CALL: Arguments must be a list"),
        ("[48,1,{},\"p\",[],[]]", "CALL: ArgumentsKw must be a dictionary"),
        ("[1,1,{}]", "HELLO: Realm must be a string"),
        ("[1,\"r\",[]]", "HELLO: Details must be a dictionary"),
        ("[5,1,{}]", "AUTHENTICATE: Signature must be a string"),
        ("[6,[],\"a\"]", "GOODBYE: Details must be a dictionary"),
        ("[6,{},1]", "GOODBYE: Reason must be a string"),
        ("[8,7,1,{},\"e\"]", "ERROR: REQUEST.Type must be the type of a message"),
        ("[8,68.0,1,{},\"e\"]", "ERROR: REQUEST.Type must be the type of a message"),
        ("[70,1,1]", "YIELD: Options must be a dictionary"),
    ] {
        assert_eq!(refusal(json), expected, "{json}");
    }
}

#[test]
fn null_arguments_count_as_absent() {
    for json in ["[48,1,{},\"p\",null]", "[48,1,{},\"p\",null,null]", "[48,1,{},\"p\"]"] {
        accepted(json, |message| match message {
            Message::Call(message) => assert!(message.payload.is_empty(), "{json}"),
            other => panic!("{other:?}"),
        });
    }
    accepted("[48,1,{},\"p\",null,{\"k\":1}]", |message| match message {
        Message::Call(message) => {
            assert!(message.payload.args.is_empty());
            assert_eq!(message.payload.elements(), 2, "an empty list takes the place");
        }
        other => panic!("{other:?}"),
    });
}

#[test]
fn known_options_have_their_types_and_the_error_names_the_key() {
    let flags = [
        (16, "acknowledge"),
        (16, "exclude_me"),
        (16, "disclose_me"),
        (16, "retain"),
        (32, "get_retained"),
        (48, "receive_progress"),
        (48, "progress"),
        (48, "disclose_me"),
        (64, "force_reregister"),
        (64, "disclose_caller"),
        (64, "forward_timeout"),
        (48, "x_acknowledged_delivery"),
    ];
    for (code, key) in flags {
        for value in ["1", "0", "\"true\"", "1.0", "[]", "{}"] {
            let text = refusal(&format!("[{code},1,{{\"{key}\":{value}}},\"a.b\"]"));
            assert!(text.ends_with(&format!("option `{key}` must be a boolean")), "{text}");
        }
        tolerated(&format!("[{code},1,{{\"{key}\":null}},\"a.b\"]"));
    }
    for value in ["-1", "1.5", "\"1\"", "true", "[]"] {
        let expected = "CALL: option `timeout` must be a non-negative integer";
        assert_eq!(refusal(&format!("[48,1,{{\"timeout\":{value}}},\"a.b\"]")), expected);
    }
    for key in ["ppt_scheme", "ppt_serializer", "ppt_cipher", "ppt_keyid", "transaction_hash", "enc_key"] {
        assert!(refusal(&format!("[48,1,{{\"{key}\":1}},\"a.b\"]")).contains(key));
        assert!(refusal(&format!("[70,1,{{\"{key}\":[]}}]")).contains(key));
    }
}

#[test]
fn closed_sets_are_closed() {
    let policies = "must be `exact`, `prefix` or `wildcard`";
    for code in [32, 64] {
        for value in ["\"regex\"", "\"Exact\"", "1", "true", "\"\""] {
            let text = refusal(&format!("[{code},1,{{\"match\":{value}}},\"a.b\"]"));
            assert!(text.ends_with(policies) || text.ends_with("must be text"), "{text}");
            assert!(text.contains("`match`"), "{text}");
        }
    }
    for code in [49, 69] {
        assert!(refusal(&format!("[{code},1,{{\"mode\":\"abort\"}}]")).contains("`mode`"));
        assert!(refusal(&format!("[{code},1,{{\"mode\":1}}]")).contains("`mode`"));
    }
    assert!(refusal("[16,1,{\"enc_algo\":\"rot13\"},\"a\"]").contains("`enc_algo`"));
    tolerated("[16,1,{\"enc_algo\":\"x_rot13\"},\"a\"]");
    // The invocation policy is the dealer's to judge.
    tolerated("[64,1,{\"invoke\":\"nonsense\"},\"a\"]");
}

#[test]
fn lists_of_receivers_have_their_types() {
    for key in ["exclude", "eligible"] {
        for value in ["1", "[\"a\"]", "[null]", "[-1]", "[[]]", "[1.5]", "{}"] {
            assert!(refusal(&format!("[16,1,{{\"{key}\":{value}}},\"a\"]")).contains(key), "{value}");
        }
        tolerated(&format!("[16,1,{{\"{key}\":[1,2.0]}},\"a\"]"));
    }
    for key in ["exclude_authid", "exclude_authrole", "eligible_authid", "eligible_authrole"] {
        for value in ["\"a\"", "[1]", "[null]", "[[\"a\"]]", "[{}]"] {
            assert!(refusal(&format!("[16,1,{{\"{key}\":{value}}},\"a\"]")).contains(key), "{value}");
        }
    }
    for value in ["\"a\"", "[1]", "[[]]", "{}"] {
        assert!(refusal(&format!("[16,1,{{\"forward_for\":{value}}},\"a\"]")).contains("forward_for"));
    }
    accepted("[16,1,{\"eligible\":[],\"exclude\":null,\"exclude_authid\":[\"a\"]},\"a\"]", |message| {
        let Message::Publish(message) = message else { panic!("{message:?}") };
        let receivers = message.options.receivers.unwrap();
        assert_eq!((receivers.eligible, receivers.exclude), (Some(vec![]), None));
        assert_eq!(receivers.exclude_authid, Some(vec!["a".to_owned()]));
    });
}

#[test]
fn null_options_count_as_absent_and_unknown_ones_are_dropped() {
    accepted("[48,1,{\"timeout\":null,\"rkey\":null,\"_x\":null,\"whatever\":[{}]},\"a\"]", |message| {
        let Message::Call(message) = message else { panic!("{message:?}") };
        assert_eq!(message.options.timeout_ms, 0);
        assert!(message.options.rkey.is_empty());
        assert!(message.options.attributes.entries.is_empty());
    });
    accepted("[32,1,{\"match\":null,\"x_custom\":1,\"forward_for\":[]},\"a\"]", |message| {
        let Message::Subscribe(message) = message else { panic!("{message:?}") };
        assert_eq!(message.options.match_policy, MatchPolicy::Exact);
    });
    accepted("[49,1,{\"mode\":null}]", |message| {
        let Message::Cancel(message) = message else { panic!("{message:?}") };
        assert_eq!(message.mode, CancelMode::KillNoWait);
    });
}

#[test]
fn attributes_that_are_passed_on_are_kept() {
    let options = "{\"x_b\":[1],\"_a\":\"t\",\"ppt_other\":1,\"enc_other\":2,\"other\":3,\"forward_for\":[],\"_dropped\":9}";
    let check = |keys: Vec<String>| assert_eq!(keys, ["_a", "enc_other", "forward_for", "ppt_other", "x_b"]);
    let keys = |attributes: &message::Attributes<'_>| {
        attributes.entries.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>()
    };
    accepted(&format!("[48,1,{options},\"a\"]"), |message| match message {
        Message::Call(message) => check(keys(&message.options.attributes)),
        other => panic!("{other:?}"),
    });
    accepted(&format!("[16,1,{options},\"a\"]"), |message| match message {
        Message::Publish(message) => check(keys(&message.options.attributes)),
        other => panic!("{other:?}"),
    });
    accepted(&format!("[70,1,{options}]"), |message| match message {
        Message::Yield(message) => check(keys(&message.options)),
        other => panic!("{other:?}"),
    });
    accepted(&format!("[8,68,1,{options},\"e\"]"), |message| match message {
        Message::Error(message) => check(keys(&message.details)),
        other => panic!("{other:?}"),
    });
}

fn hello(json: &str, check: impl Fn(Hello)) {
    accepted(json, |message| match message {
        Message::Hello(message) => check(*message),
        other => panic!("{other:?}"),
    });
}

#[test]
fn hello_announces_roles_and_features() {
    let json = "[1,\"r\",{\"roles\":{\"callee\":{\"features\":{\"call_cancelling\":true,\"shared_registration\":false,\
                \"unknown\":1,\"call_timeout\":null}},\"caller\":{},\"broker\":{\"features\":7},\"publisher\":null}}]";
    hello(json, |hello| {
        let features = hello.details.features;
        assert!(features.has_role(WampRole::Callee) && features.has_role(WampRole::Caller));
        assert!(!features.has_role(WampRole::Publisher) && !features.has_role(WampRole::Subscriber));
        assert!(features.has(Feature::CalleeCanceling) && !features.has(Feature::CallerCanceling));
        assert!(!features.has(Feature::CalleeShared) && !features.has(Feature::CalleeTimeout));
    });
    for roles in ["{}", "{\"roles\":{}}", "{\"roles\":null}", "{\"roles\":{\"dealer\":{}}}"] {
        hello(&format!("[1,\"r\",{roles}]"), |hello| assert!(!hello.details.features.has_any_role()));
    }
}

#[test]
fn hello_details_have_their_types() {
    for (details, key) in [
        ("{\"roles\":[]}", "roles"),
        ("{\"roles\":{\"caller\":1}}", "caller"),
        ("{\"roles\":{\"caller\":{\"features\":[]}}}", "features"),
        ("{\"roles\":{\"caller\":{\"features\":{\"call_timeout\":1}}}}", "call_timeout"),
        ("{\"authmethods\":\"anonymous\"}", "authmethods"),
        ("{\"authmethods\":[1]}", "authmethods"),
        ("{\"authid\":1}", "authid"),
        ("{\"authrole\":[]}", "authrole"),
        ("{\"authextra\":[]}", "authextra"),
        ("{\"agent\":1}", "agent"),
    ] {
        let text = refusal(&format!("[1,\"r\",{details}]"));
        assert!(text.contains(&format!("`{key}`")), "{text}");
    }
}

#[test]
fn what_is_disclosed_in_part_is_kept_in_part() {
    accepted("[36,1,2,{\"publisher\":7.0}]", |message| {
        let Message::Event(message) = message else { panic!("{message:?}") };
        let publisher = message.details.publisher.unwrap();
        assert_eq!((publisher.session, &*publisher.authid), (SessionId(7), ""));
    });
    assert!(refusal("[68,1,2,{\"caller\":\"x\"}]").contains("`caller`"));
}

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

#[test]
fn values_nest_64_deep_and_no_deeper() {
    for prefix in ["[48,1,{},\"p\",[", "[48,1,{\"_x\":", "[48,1,{\"unknown\":", "[48,1,{},\"p\",[],{\"k\":"] {
        let suffix = if prefix.ends_with('[') {
            "]]"
        } else if prefix.contains("\"p\"") {
            "}]"
        } else {
            "},\"p\"]"
        };
        tolerated(&format!("{prefix}{}{suffix}", nested(DEPTH_MAX)));
        for levels in [DEPTH_MAX + 1, 100_000] {
            for serializer in Serializer::ALL {
                let deep = match serializer {
                    Serializer::Json => nested(levels).into_bytes(),
                    Serializer::MessagePack => [vec![0x91; levels - 1], vec![0x90]].concat(),
                    Serializer::Cbor => [vec![0x81; levels - 1], vec![0x80]].concat(),
                };
                let shallow = bytes(&format!("{prefix}\"HERE\"{suffix}"), serializer);
                let here = match serializer {
                    Serializer::Json => b"\"HERE\"".as_slice(),
                    Serializer::MessagePack => b"\xa4HERE",
                    Serializer::Cbor => b"\x64HERE",
                };
                let at = shallow.windows(here.len()).position(|window| window == here).unwrap();
                let whole = [&shallow[..at], &deep, &shallow[at + here.len()..]].concat();
                let error = message::parse(serializer, &whole).unwrap_err();
                assert_eq!(error.kind, ParseErrorKind::TooDeep, "{levels} levels in {prefix}");
            }
        }
    }
}

#[test]
fn wide_lists_and_dictionaries_are_no_matter() {
    let items = vec!["1"; 100_000].join(",");
    tolerated(&format!("[48,1,{{}},\"p\",[{items}]]"));
}

#[test]
fn keys_of_options_and_kwargs_must_be_text_and_those_inside_values_need_not() {
    // [48, 1, {1: 2}, "p"], then [48, 1, {}, "p", [], {1: 2}], then [48, 1, {}, "p", [{1: 2}]].
    let msgpack: [&[u8]; 3] = [
        b"\x94\x30\x01\x81\x01\x02\xa1p",
        b"\x96\x30\x01\x80\xa1p\x90\x81\x01\x02",
        b"\x95\x30\x01\x80\xa1p\x91\x81\x01\x02",
    ];
    let cbor: [&[u8]; 3] = [
        b"\x84\x18\x30\x01\xa1\x01\x02\x61p",
        b"\x86\x18\x30\x01\xa0\x61p\x80\xa1\x01\x02",
        b"\x85\x18\x30\x01\xa0\x61p\x81\xa1\x01\x02",
    ];
    for (serializer, [options, kwargs, inside]) in
        [(Serializer::MessagePack, msgpack), (Serializer::Cbor, cbor)]
    {
        for refused in [options, kwargs] {
            let error = message::parse(serializer, refused).unwrap_err();
            assert_eq!(error.kind, ParseErrorKind::Malformed("a key must be text"));
        }
        message::parse(serializer, inside).unwrap();
    }
}

#[test]
fn a_lone_surrogate_in_the_payload_can_be_answered() {
    for (json, message_type) in [
        ("[48,7,{},\"p\",[\"\\ud800\"]]", MessageType::Call),
        ("[48,7,{},\"p\",[],{\"k\":\"\\udc00\"}]", MessageType::Call),
        ("[70,7,{},[],{\"\\ud800x\":1}]", MessageType::Yield),
        ("[16,7,{},\"t\",[[\"\\ud800\\ud800\"]]]", MessageType::Publish),
    ] {
        let error = message::parse(Serializer::Json, json.as_bytes()).unwrap_err();
        assert_eq!(error.kind, ParseErrorKind::LoneSurrogate, "{json}");
        assert_eq!(error.request, Some((message_type, RequestId(7))), "{json}");
    }
    for json in ["[48,7,{\"\\ud800\":1},\"p\"]", "[48,7,{},\"\\ud800\"]", "[48,7,{\"_x\":\"\\ud800\"},\"p\"]"]
    {
        let error = message::parse(Serializer::Json, json.as_bytes()).unwrap_err();
        assert_eq!((error.kind, error.request), (ParseErrorKind::LoneSurrogate, None), "{json}");
    }
}

#[test]
fn bad_utf8_is_told_from_all_other_errors() {
    let cases: [(Serializer, &[u8]); 5] = [
        (Serializer::Json, b"[48,1,{},\"\xff\"]"),
        (Serializer::Json, b"[48,1,{},\"p\",[\"\xc3\"]]"),
        (Serializer::MessagePack, b"\x94\x30\x01\x80\xa1\xff"),
        (Serializer::MessagePack, b"\x95\x30\x01\x80\xa1p\x91\xa2\xed\xa0"),
        (Serializer::Cbor, b"\x85\x18\x30\x01\xa0\x61p\x81\x62\xc0\x80"),
    ];
    for (serializer, bytes) in cases {
        let error = message::parse(serializer, bytes).unwrap_err();
        assert_eq!(error.kind, ParseErrorKind::InvalidUtf8, "{bytes:02x?}");
    }
}

#[test]
fn an_opaque_payload_is_one_binary_and_only_with_its_algorithm() {
    let opaque = "\"\\u0000AQID\"";
    tolerated(&format!("[16,1,{{\"enc_algo\":\"cryptobox\"}},\"t\",{opaque}]"));
    assert!(refusal(&format!("[16,1,{{}},\"t\",{opaque}]")).contains("Arguments"));
    assert!(refusal("[16,1,{\"enc_algo\":\"mqtt\"},\"t\",\"text\"]").contains("Arguments"));
    assert!(refusal(&format!("[16,1,{{\"enc_algo\":\"mqtt\"}},\"t\",{opaque},{{}}]")).contains("too many"));
}

#[test]
fn errors_say_what_and_where() {
    let error = message::parse(Serializer::Json, b"[48,1,{\"timeout\":-1},\"p\"]").unwrap_err();
    assert_eq!(error.to_string(), "CALL: option `timeout` must be a non-negative integer (at byte 17)");
}
