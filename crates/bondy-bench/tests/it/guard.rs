//! The router's half of every authentication method: joe, whose secret is sesame, may join, or whoever has the key.

use bondy_wamp::auth::{Kdf, cra, cryptosign, scram};
use bondy_wamp::message::Authenticate;
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;
use serde_json::json;

pub(crate) const SECRET: &str = "sesame";
/// A private key.
pub(crate) const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";

const CHALLENGE: &str = "something to sign";
const BYTES: [u8; 32] = [7; 32];

/// One session on its way in.
pub(crate) enum Guard {
    Ticket,
    Cra,
    Scram(Box<scram::Exchange>),
    Cryptosign(String),
}

impl Guard {
    /// Reads HELLO; gives the guard and CHALLENGE.
    pub(crate) fn ask(hello: &serde_json::Value) -> (Guard, serde_json::Value) {
        let details = &hello[2];
        let method = details["authmethods"][0].as_str().expect("a method");
        if method != "cryptosign" {
            assert_eq!(details["authid"], "joe");
        }
        let (guard, extra) = match method {
            "ticket" => (Guard::Ticket, Value::from([])),
            "wampcra" => {
                let salting = cra::Salting { salt: "salt".to_owned(), iterations: 10, keylen: 32 };
                (Guard::Cra, cra::challenge_extra(CHALLENGE, Some(&salting)))
            }
            "wamp-scram" => {
                let kdf = Kdf::Pbkdf2 { iterations: 4_096 };
                let credential = scram::Credential::derive(SECRET, &[1; 16], kdf).expect("a credential");
                let authextra = from_json(&details["authextra"]);
                let nonce = "c29tZXRoaW5nIHJhbmRvbQ==";
                let exchange = scram::Exchange::new(credential, "joe", &authextra, nonce).expect("a nonce");
                let extra = exchange.challenge_extra();
                (Guard::Scram(Box::new(exchange)), extra)
            }
            "cryptosign" => {
                let public_key = details["authextra"]["pubkey"].as_str().expect("a key").to_owned();
                (Guard::Cryptosign(public_key), cryptosign::challenge_extra(&BYTES, false))
            }
            other => panic!("an unknown method: {other}"),
        };
        (guard, json!([4, method, to_json(&extra)]))
    }

    /// Reads AUTHENTICATE; gives WELCOME or ABORT.
    pub(crate) fn admit(&self, authenticate: &serde_json::Value) -> serde_json::Value {
        let signature = authenticate[1].as_str().expect("a signature").to_owned();
        let key = cra::derive_key(SECRET, "salt", 10, 32);
        let nothing = Some(Value::from([]));
        let authextra = match self {
            Guard::Ticket if signature == SECRET => nothing,
            Guard::Cra if cra::verify(key.as_bytes(), CHALLENGE, &signature) => nothing,
            Guard::Ticket | Guard::Cra => None,
            Guard::Scram(exchange) => {
                exchange.verify(&Authenticate { signature, extra: from_json(&authenticate[2]) }).ok()
            }
            Guard::Cryptosign(public_key) => {
                cryptosign::verify(public_key, &BYTES, None, &signature).ok().and(nothing)
            }
        };
        match authextra {
            Some(authextra) => json!([2, 1, {"authextra": to_json(&authextra)}]),
            None => json!([3, {}, "wamp.error.authentication_denied"]),
        }
    }
}

fn from_json(value: &serde_json::Value) -> Value {
    Value::decode(Serializer::Json, value.to_string().as_bytes()).expect("a value")
}

fn to_json(value: &Value) -> serde_json::Value {
    serde_json::from_slice(&value.to_bytes(Serializer::Json)).expect("JSON")
}
