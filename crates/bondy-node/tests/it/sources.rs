//! Who may join from where, and by which method.

use serde_json::{Value, json};

use crate::node::Setup;
use crate::peer::{self, Dial, Peer, until_end};

/// Realms open to one family of addresses each, to both, and to everybody without asking.
pub(crate) const REALMS: &str = "
  - uri: v4
    authmethods: [anonymous]
    sources: [{usernames: [anonymous], authmethod: anonymous, cidr: 0.0.0.0/0}]
    grants: &all
      - permissions: [wamp.register, wamp.unregister, wamp.call, wamp.cancel, wamp.subscribe, wamp.unsubscribe, wamp.publish]
        resources: [{uri: '*'}]
        roles: [anonymous]
  - uri: v6
    authmethods: [anonymous]
    sources: [{usernames: [anonymous], authmethod: anonymous, cidr: '::/0'}]
    grants: *all
  - uri: both
    authmethods: [anonymous]
    sources:
      - {usernames: [anonymous], authmethod: anonymous, cidr: 0.0.0.0/0}
      - {usernames: [anonymous], authmethod: anonymous, cidr: '::/0'}
    grants: *all
  - {uri: open, authmethods: [anonymous], security_enabled: false}";

/// Joins, or says why not.
#[track_caller]
fn try_join(dial: &Dial, hello: &Value) -> Result<Peer, String> {
    let mut wire = dial.open();
    wire.send_value(hello);
    Peer::welcomed(wire).map_err(|message| message[2].as_str().unwrap_or_default().to_owned())
}

#[track_caller]
fn outcomes(dial: &Dial) -> Vec<bool> {
    let join = |realm: &&str| match try_join(dial, &peer::hello(realm)) {
        Ok(_) => true,
        Err(reason) => {
            assert_eq!(reason, "wamp.error.authentication_denied");
            false
        }
    };
    ["v4", "v6", "both", "open"].iter().map(join).collect()
}

#[test]
fn an_address_family_that_is_not_named_is_refused() {
    let node = Setup::new()
        .realms(REALMS)
        .listener("v4", "serve: [rawsocket, websocket]")
        .listener_at("v6", "[::1]:0", "serve: [rawsocket, websocket]")
        .listener("proxied", "serve: [rawsocket], proxy_protocol: true")
        .unix("local", "serve: [rawsocket]")
        .start();
    let (only_v4, only_v6) = ([true, false, true, true], [false, true, true, true]);
    assert_eq!(outcomes(&node.rawsocket("v4")), only_v4);
    assert_eq!(outcomes(&node.websocket("v4")), only_v4);
    assert_eq!(outcomes(&node.rawsocket("v6")), only_v6);
    assert_eq!(outcomes(&node.websocket("v6")), only_v6);
    assert_eq!(outcomes(&node.rawsocket("local")), only_v4, "a Unix socket counts as 127.0.0.1");
    let proxied = |line: &str| {
        let preface = format!("PROXY {line} 4711 80\r\n").into_bytes();
        outcomes(&Dial { preface, ..node.rawsocket("proxied") })
    };
    assert_eq!(proxied("TCP6 2001:db8::1 2001:db8::2"), only_v6);
    assert_eq!(proxied("TCP6 ::ffff:203.0.113.7 ::1"), only_v4, "a mapped address is an IPv4 address");
}

#[test]
fn a_refused_client_is_told_by_abort_and_closed() {
    let node = Setup::new().realms(REALMS).listener("all", "serve: [rawsocket, websocket]").start();
    for dial in [node.rawsocket("all"), node.websocket("all")] {
        let mut wire = dial.open();
        wire.send_value(&peer::hello("v6"));
        let (messages, code) = until_end(&mut wire);
        assert_eq!((messages.len(), &messages[0][0]), (1, &json!(peer::ABORT)));
        assert!(messages[0][1]["message"].is_string());
        assert!(matches!(code, None | Some(1000)));
    }
}

#[test]
fn a_client_whose_methods_leave_out_anonymous_is_refused() {
    let node = Setup::new().realms(REALMS).listener("tcp", "serve: [rawsocket]").start();
    let with = |methods: Value| {
        let mut hello = peer::hello("both");
        hello[2]["authmethods"] = methods;
        try_join(&node.rawsocket("tcp"), &hello).map(|peer| peer.welcome["authmethod"].clone())
    };
    let none = Err("wamp.error.no_matching_auth_method".to_owned());
    assert_eq!(with(json!(["wampcra", "ticket"])), none);
    for accepted in [json!(["wampcra", "anonymous"]), json!([]), json!(null)] {
        assert_eq!(with(accepted), Ok(json!("anonymous")));
    }
}

#[test]
fn welcome_says_who_the_session_is() {
    let node = Setup::new().realms(REALMS).listener("all", "serve: [rawsocket, websocket]").start();
    let mut authids = Vec::new();
    for dial in [node.rawsocket("all"), node.websocket("all")] {
        let peer = dial.join("both");
        let welcome = &peer.welcome;
        assert!((1..=1 << 53).contains(&peer.session));
        assert_eq!(welcome["realm"], "both");
        assert_eq!(welcome["authrole"], "anonymous");
        assert_eq!(welcome["authmethod"], "anonymous");
        assert!(welcome["authprovider"].is_string() && welcome["agent"].is_string());
        for role in ["broker", "dealer"] {
            let features = welcome["roles"][role]["features"].as_object().expect("features");
            assert!(!features.is_empty() && features.values().all(|flag| flag.is_boolean()), "{role}");
        }
        authids.push(welcome["authid"].clone());
    }
    assert_ne!(authids[0], authids[1], "an anonymous session gets an authid of its own");
}

#[test]
fn nothing_of_one_realm_is_seen_in_another() {
    let node = Setup::new().realms(REALMS).listener("tcp", "serve: [rawsocket]").start();
    let (mut here, mut there) = (node.rawsocket("tcp").join("both"), node.rawsocket("tcp").join("open"));
    here.register("com.example.echo");
    here.subscribe("com.example.topic");
    assert_eq!(there.call("com.example.echo", &json!([])), Err("wamp.error.no_such_procedure".to_owned()));
    there.publish("com.example.topic", &json!([]));
    let request = there.begin_call("wamp.session.get", &json!([here.session]));
    assert_eq!(there.end_call(request), Err("wamp.error.no_such_session".to_owned()));
    assert_eq!(there.call("wamp.session.list", &json!([])), Ok(json!([[there.session]])));
    // Its own event would have come before the answer to this call.
    here.call("wamp.session.count", &json!([])).expect("an answer");
    assert!(here.try_receive(std::time::Duration::from_millis(1)).is_none(), "no event of another realm");
}
