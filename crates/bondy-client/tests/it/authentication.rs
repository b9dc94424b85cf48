//! Proving who one is, to a router that checks.

use bondy_client::{
    Anonymous, Builder, Client, ConnectError, ConnectionState, Cryptosign, EndReason, Scram, Ticket, WampCra,
};
use bondy_wamp::auth::scram::{Credential, Exchange};
use bondy_wamp::auth::{Kdf, cra, cryptosign};
use bondy_wamp::id::SessionId;
use bondy_wamp::message::{self, Authenticate, Challenge, Hello, Message, Welcome};
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;
use serde_json::json;

use crate::node::{in_time, run};
use crate::script::{Peer, Script};

fn hello_of(message: &serde_json::Value) -> Hello {
    match message::parse(Serializer::Json, message.to_string().as_bytes()).unwrap() {
        Message::Hello(hello) => *hello,
        other => panic!("{other:?}"),
    }
}

fn authenticate_of(message: &serde_json::Value) -> Authenticate {
    match message::parse(Serializer::Json, message.to_string().as_bytes()).unwrap() {
        Message::Authenticate(authenticate) => authenticate,
        other => panic!("{other:?}"),
    }
}

/// Challenges a client that connects, and returns HELLO and AUTHENTICATE.
async fn challenged(
    script: &Script,
    authmethod: &str,
    extra: impl FnOnce(&Hello) -> Value,
) -> (Peer, Hello, Authenticate) {
    let mut peer = script.accept().await;
    let hello = hello_of(&peer.receive().await);
    let challenge = Challenge { authmethod: authmethod.to_owned(), extra: extra(&hello) };
    peer.send_message(&Message::Challenge(challenge)).await;
    let authenticate = authenticate_of(&peer.receive().await);
    (peer, hello, authenticate)
}

async fn welcome(peer: &mut Peer, authextra: Value) {
    let details = Value::from([("authextra", authextra), ("roles", Value::from([]))]);
    peer.send_message(&Message::Welcome(Box::new(Welcome { session: SessionId(1), details }))).await;
}

#[test]
fn methods_for_different_authids_are_refused_before_anything_is_sent() {
    run(async {
        let script = Script::start().await;
        let builder =
            script.builder().authentication(Anonymous).authentication(Scram::new("alice", "s3cret"));
        let error = builder.authentication(Ticket::new("bob", "s3cret")).connect().await.unwrap_err();
        assert!(
            matches!(&error, ConnectError::Authentication(error) if error.authmethod == "ticket"),
            "{error}"
        );
    });
}

#[test]
fn a_router_that_lets_a_client_in_without_asking_has_proved_nothing() {
    run(async {
        let script = Script::start().await;
        for details in [
            json!({"roles": {}}),
            json!({"roles": {}, "authmethod": "anonymous"}),
            json!({"roles": {}, "authmethod": "wamp-scram"}),
        ] {
            let client = connect(script.builder().authentication(Scram::new("alice", "s3cret")));
            let mut peer = script.accept().await;
            peer.receive().await;
            peer.send(json!([2, 7, details])).await;
            let error = client.await.unwrap().unwrap_err();
            assert!(matches!(error, ConnectError::Authentication(_)), "{error}");
        }
        // Where to be nobody was offered, that is what the router chose.
        let builder = script.builder().authentication(Scram::new("alice", "s3cret"));
        let client = connect(builder.authentication(Anonymous));
        let mut peer = script.accept().await;
        peer.receive().await;
        peer.send(json!([2, 7, {"roles": {}, "authmethod": "anonymous"}])).await;
        client.await.unwrap().unwrap();
    });
}

fn connect(builder: Builder) -> tokio::task::JoinHandle<Result<Client, ConnectError>> {
    tokio::spawn(in_time("an answer", builder.connect()))
}

#[test]
fn a_ticket_is_shown_when_it_is_asked_for() {
    run(async {
        let script = Script::start().await;
        let client = connect(script.builder().authentication(Ticket::new("alice", "s3cret")));
        let (mut peer, hello, authenticate) = challenged(&script, "ticket", |_| Value::from([])).await;
        assert_eq!(hello.details.authid.as_deref(), Some("alice"));
        assert_eq!(hello.details.authmethods, Some(vec!["ticket".to_owned()]));
        assert_eq!(authenticate.signature, "s3cret");
        welcome(&mut peer, Value::Null).await;
        client.await.unwrap().unwrap();
    });
}

#[test]
fn wampcra_signs_with_and_without_salt() {
    run(async {
        let script = Script::start().await;
        let salting = cra::Salting { salt: "salt".to_owned(), iterations: 100, keylen: 32 };
        for salting in [None, Some(&salting)] {
            let client = connect(script.builder().authentication(WampCra::new("alice", "s3cret")));
            let extra = cra::challenge_extra("{\"nonce\": 7}", salting);
            let (mut peer, _, authenticate) = challenged(&script, "wampcra", |_| extra).await;
            let key = salting.map_or("s3cret".to_owned(), |salting| {
                cra::derive_key("s3cret", &salting.salt, salting.iterations, salting.keylen)
            });
            assert!(cra::verify(key.as_bytes(), "{\"nonce\": 7}", &authenticate.signature));
            welcome(&mut peer, Value::Null).await;
            client.await.unwrap().unwrap();
        }
    });
}

#[test]
fn scram_proves_both_sides_and_begins_anew_with_each_join() {
    run(async {
        let script = Script::start().await;
        let kdf = Kdf::Pbkdf2 { iterations: 4096 };
        let credential = Credential::derive("s3cret", b"a salt of this user", kdf).unwrap();
        let mut nonces = Vec::new();
        for honest in [true, false] {
            let client = connect(script.builder().authentication(Scram::new("alice", "s3cret")));
            let mut exchange = None;
            let (mut peer, hello, authenticate) = challenged(&script, "wamp-scram", |hello| {
                let begun = Exchange::new(
                    credential.clone(),
                    "alice",
                    &hello.details.authextra,
                    "c2VydmVyIG5vbmNlIG9mIDE2",
                )
                .unwrap();
                let extra = begun.challenge_extra();
                exchange = Some(begun);
                extra
            })
            .await;
            nonces.push(hello.details.authextra.entry("nonce").unwrap().as_str().unwrap().to_owned());
            let verifier = exchange.unwrap().verify(&authenticate).unwrap();
            let forged = Value::from([("verifier", Value::from("Zm9yZ2Vk"))]);
            welcome(&mut peer, if honest { verifier } else { forged }).await;
            match client.await.unwrap() {
                Ok(_) => assert!(honest),
                Err(ConnectError::Authentication(_)) => assert!(!honest),
                Err(other) => panic!("{other}"),
            }
        }
        assert_ne!(nonces[0], nonces[1]);
    });
}

#[test]
fn cryptosign_signs_the_challenge() {
    run(async {
        let script = Script::start().await;
        let signer = Cryptosign::new(Some("alice".to_owned()), &"2a".repeat(32)).unwrap();
        let public_key = signer.public_key_hex();
        let client = connect(script.builder().authentication(signer));
        let challenge = [7; 32];
        let extra = cryptosign::challenge_extra(&challenge, false);
        let (mut peer, hello, authenticate) = challenged(&script, "cryptosign", |_| extra).await;
        assert_eq!(hello.details.authextra.entry("pubkey").and_then(Value::as_str), Some(&*public_key));
        cryptosign::verify(&public_key, &challenge, None, &authenticate.signature).unwrap();
        welcome(&mut peer, Value::Null).await;
        client.await.unwrap().unwrap();
        // Over a connection in the clear there is no channel to bind to.
        let signer = Cryptosign::new(None, &"2a".repeat(32)).unwrap().channel_binding();
        let client = connect(script.builder().authentication(signer));
        let _peer = script.accept().await;
        assert!(matches!(client.await.unwrap(), Err(ConnectError::Authentication(_))));
    });
}

#[test]
fn of_several_methods_the_router_chooses() {
    run(async {
        let script = Script::start().await;
        let builder = || {
            script
                .builder()
                .authentication(Ticket::new("alice", "ticket"))
                .authentication(WampCra::new("alice", "s3cret"))
                .authentication(Anonymous)
        };
        let client = connect(builder());
        let extra = cra::challenge_extra("x", None);
        let (mut peer, hello, authenticate) = challenged(&script, "wampcra", |_| extra).await;
        let offered = ["ticket", "wampcra", "anonymous"].map(str::to_owned);
        assert_eq!(hello.details.authmethods, Some(offered.to_vec()));
        assert!(cra::verify(b"s3cret", "x", &authenticate.signature));
        welcome(&mut peer, Value::Null).await;
        client.await.unwrap().unwrap();
        // One that was not offered, and one that cannot be answered.
        for challenge in [json!([4, "scram", {}]), json!([4, "anonymous", {}]), json!([4, "wampcra", {}])] {
            let client = connect(builder());
            let mut peer = script.accept().await;
            peer.receive().await;
            peer.send(challenge).await;
            assert!(matches!(client.await.unwrap(), Err(ConnectError::Authentication(_))));
        }
    });
}

#[test]
fn who_is_refused_while_coming_back_stays_away() {
    run(async {
        let script = Script::start().await;
        let client = connect(script.builder().authentication(Ticket::new("alice", "s3cret")));
        let (mut peer, ..) = challenged(&script, "ticket", |_| Value::from([])).await;
        welcome(&mut peer, Value::Null).await;
        let client = client.await.unwrap().unwrap();
        drop(peer);
        let mut peer = script.accept().await;
        peer.receive().await;
        peer.send(json!([3, {"message": "expired"}, "wamp.error.authentication_failed"])).await;
        let mut state = client.state();
        let closed = state.wait_for(|state| matches!(state, ConnectionState::Closed(_)));
        let reason = "wamp.error.authentication_failed".to_owned();
        let expected = EndReason::Abort { reason, message: Some("expired".to_owned()) };
        assert_eq!(*in_time("the end", closed).await.unwrap(), ConnectionState::Closed(expected));
    });
}
