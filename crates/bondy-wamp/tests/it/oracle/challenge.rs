//! Both halves of every authentication method, with whatever a peer may send.

use bondy_wamp::auth::{Kdf, cra, cryptosign, scram};
use bondy_wamp::message::Authenticate;
use bondy_wamp::serializer::{Serializer, decode_value};
use bondy_wamp::value::Value;

/// What an answer may cost here: more is allowed, and bounded, but would only slow the search down.
const ITERATIONS_TRIED_MAX: u64 = 5_000;
const KIB_PASSES_TRIED_MAX: u64 = 8 * 1024;

/// The bytes as the dictionary that a peer sent, in every serializer.
pub(super) fn holds(bytes: &[u8]) {
    for serializer in Serializer::ALL {
        if let Ok(extra) = decode_value(serializer, bytes) {
            client_holds(&extra);
            router_holds(&extra);
        }
    }
}

fn client_holds(extra: &Value) {
    if is_tried(extra) {
        if let Ok(answer) = cra::answer("secret", extra) {
            assert_eq!(answer.signature.len(), 44, "32 bytes in base64");
        }
        let mut client = scram::Client::new("user", "pencil", "egVDf3DMJh0=".to_owned());
        let answered = client.answer(extra).is_ok();
        assert!(client.verify(extra).is_err(), "nobody guesses the verifier");
        assert!(client.verify(&Value::from([("authextra", extra.clone())])).is_err());
        assert!(!answered || extra.entry("salt").is_some());
    }
    let key = cryptosign::SigningKey::from_seed([7; 32]);
    let channel_id = [9; 32];
    for channel_id in [None, Some(&channel_id)] {
        if let Ok(answer) = key.answer(extra, channel_id) {
            let challenge = extra.entry("challenge").and_then(Value::as_str).expect("it was answered");
            let challenge = u128::from_str_radix(&challenge[..32], 16).expect("it was answered");
            let message = u128::from_str_radix(&answer.signature[128..160], 16).expect("hexadecimal");
            let mask = if channel_id.is_some() { u128::from_be_bytes([9; 16]) } else { 0 };
            assert_eq!(message, challenge ^ mask);
        }
        assert!(cryptosign::verify_router(extra, &key.public_key_hex(), &[1; 32], channel_id).is_err());
    }
}

/// Cheap enough for a search, or so much that it must be refused at once.
fn is_tried(extra: &Value) -> bool {
    let iterations = extra.entry("iterations").and_then(Value::as_u64).unwrap_or(0);
    let memory = extra.entry("memory").and_then(Value::as_u64).unwrap_or(0);
    let is_cheap =
        iterations <= ITERATIONS_TRIED_MAX && iterations.saturating_mul(memory) <= KIB_PASSES_TRIED_MAX;
    is_cheap || iterations > bondy_wamp::auth::ARGON2_KIB_PASSES_MAX
}

fn router_holds(extra: &Value) {
    let credential = scram::Credential::mock(b"secret", "user", Kdf::Pbkdf2 { iterations: 4096 });
    let text = |key: &str| extra.entry(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let authenticate = Authenticate { signature: text("signature"), extra: extra.clone() };
    if let Ok(exchange) = scram::Exchange::new(credential, &text("authid"), extra, "server") {
        assert!(exchange.verify(&authenticate).is_err(), "nobody guesses a proof");
    }
    assert!(!cra::verify(b"secret", "challenge", &text("signature")));
    assert!(cryptosign::verify(&text("pubkey"), &[1; 32], None, &text("signature")).is_err());
    if let Ok(key) = cryptosign::SigningKey::from_hex(&text("pubkey")) {
        assert_eq!(key.public_key_hex().len(), 64);
    }
}
