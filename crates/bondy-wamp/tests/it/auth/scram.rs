//! WAMP-SCRAM.

use bondy_wamp::auth::scram::{Client, Credential, Exchange};
use bondy_wamp::auth::{
    ARGON2_KIB_PASSES_MAX, ARGON2_MEMORY_KIB_MAX, ChallengeError, Kdf, PBKDF2_ITERATIONS_MAX,
};
use bondy_wamp::message::Authenticate;
use bondy_wamp::value::Value;

/// The costs of the fast tests: the least that a client accepts.
const PBKDF2: Kdf = Kdf::Pbkdf2 { iterations: 4096 };
const ARGON2: Kdf = Kdf::Argon2id13 { iterations: 2, memory: 4096 };

/// The nonces and the salt of the chapter's example. (Its signatures are those of RFC 7677, for other nonces.)
const CLIENT_NONCE: &str = "egVDf3DMJh0=";
const NONCE: &str = "egVDf3DMJh0=SBmkFIh7sSo=";
const SALT: &str = "aBc+fx0NAVA=";
const SALT_BYTES: [u8; 8] = [0x68, 0x17, 0x3e, 0x7f, 0x1d, 0x0d, 0x01, 0x50];

fn challenge(nonce: &str, salt: &str, kdf: &str, iterations: u64, memory: Option<u64>) -> Value {
    Value::from([
        ("nonce", Value::from(nonce)),
        ("salt", Value::from(salt)),
        ("kdf", Value::from(kdf)),
        ("iterations", Value::from(iterations)),
        ("memory", memory.map_or(Value::Null, Value::from)),
    ])
}

fn client() -> Client {
    Client::new("user", "pencil", CLIENT_NONCE.to_owned())
}

fn welcome(key: &str, verifier: &str) -> Value {
    Value::from([("authextra", Value::from([(key, Value::from(verifier))]))])
}

#[test]
fn the_example_of_rfc_7677_is_answered_as_printed() {
    // Section 3; the chapter says that these vectors hold for WAMP-SCRAM.
    let mut client = Client::new("user", "pencil", "rOprNGfwEbeRWgbNEkqO".to_owned());
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let answer = client.answer(&challenge(nonce, "W22ZaJ0SNY7soEsUEjb6gQ==", "pbkdf2", 4096, None)).unwrap();
    assert_eq!(answer.signature, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert_eq!(answer.extra.entry("nonce"), Some(&Value::from(nonce)));
    let verifier = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    assert_eq!(client.verify(&welcome("verifier", verifier)), Ok(()));
    assert_eq!(client.verify(&welcome("verifier", &format!("v={verifier}"))), Ok(()));
    assert_eq!(client.verify(&welcome("scram_server_signature", verifier)), Ok(()));
}

#[test]
fn the_exchange_of_the_chapter_is_what_another_implementation_computes() {
    let mut client = client();
    let answer = client.answer(&challenge(NONCE, SALT, "pbkdf2", 4096, None)).unwrap();
    assert_eq!(answer.signature, "L1uwjEEL7BdbtlWMKxNcQ1A/CmNjct+7xdAguB/rpnA=");
    assert_eq!(client.verify(&welcome("verifier", "AyTAljdPHv74Zx+gn+6DqiFnl4XOZUXpC7k/pSkjBOg=")), Ok(()));
}

#[test]
fn argon2id_is_what_the_reference_implementation_computes() {
    for name in ["argon2id13", "argon2id-13"] {
        let mut client = client();
        let answer = client.answer(&challenge(NONCE, SALT, name, 2, Some(4096))).unwrap();
        assert_eq!(answer.signature, "MDXO//bVMMjyWTw5suswwJ5/nw12igLzj3XlRqWCKXg=");
        assert_eq!(
            client.verify(&welcome("verifier", "+V2aX63G1aR5/04ACZIef6rpJ43m2o00oI8Waxf+NJs=")),
            Ok(())
        );
    }
}

#[test]
fn names_are_prepared_and_escaped() {
    // The soft hyphen is dropped, and the Roman numeral becomes letters (RFC 4013, section 3).
    let mut client = Client::new("a,b=\u{ad}c", "\u{2168}", CLIENT_NONCE.to_owned());
    let answer = client.answer(&challenge(NONCE, SALT, "pbkdf2", 4096, None)).unwrap();
    assert_eq!(answer.signature, "KwoEkB7hbkgtnUU3YxKhIcnbitMJT6ysoVbEgnZTnFY=");
    for forbidden in ["\u{7}", "\u{627}1", "\u{221}"] {
        let mut client = Client::new("user", forbidden, CLIENT_NONCE.to_owned());
        let error = client.answer(&challenge(NONCE, SALT, "pbkdf2", 4096, None)).unwrap_err();
        assert!(matches!(error, ChallengeError::Text { what: "password", .. }), "{error}");
    }
}

/// The whole exchange, as messages would carry it.
fn exchange(client: &mut Client, authid: &str, credential: &Credential) -> Result<Value, ChallengeError> {
    let exchange = Exchange::new(credential.clone(), authid, &client.authextra(), "c2VydmVy")?;
    let answer = client.answer(&exchange.challenge_extra())?;
    exchange.verify(&answer)
}

#[test]
fn both_halves_agree() {
    for kdf in [PBKDF2, ARGON2] {
        let credential = Credential::derive("pencil", &SALT_BYTES, kdf).unwrap();
        let mut client = client();
        let authextra = exchange(&mut client, "user", &credential).unwrap();
        assert_eq!(client.verify(&Value::from([("authextra", authextra)])), Ok(()));
    }
}

#[test]
fn a_wrong_password_or_name_is_refused() {
    let credential = Credential::derive("pencil", &SALT_BYTES, PBKDF2).unwrap();
    let refused = Err(ChallengeError::Proof("client's proof"));
    let mut stranger = Client::new("user", "Pencil", CLIENT_NONCE.to_owned());
    assert_eq!(exchange(&mut stranger, "user", &credential), refused);
    assert_eq!(exchange(&mut client(), "other", &credential), refused);
    let mock = Credential::mock(b"the router's own", "nobody", PBKDF2);
    assert_eq!(exchange(&mut client(), "user", &mock), refused);
}

#[test]
fn an_unknown_user_is_challenged_as_always_the_same_one() {
    let mock = |authid| Credential::mock(b"the router's own", authid, PBKDF2);
    assert_eq!(mock("nobody"), mock("nobody"));
    assert_ne!(mock("nobody").salt, mock("somebody").salt);
    assert_ne!(mock("nobody").salt, Credential::mock(b"another router", "nobody", PBKDF2).salt);
    assert_eq!(mock("nobody").salt.len(), 16);
}

#[test]
fn a_router_that_does_not_know_the_password_is_found_out() {
    let mut client = client();
    let right = welcome("verifier", "AyTAljdPHv74Zx+gn+6DqiFnl4XOZUXpC7k/pSkjBOg=");
    assert_eq!(client.verify(&right), Err(ChallengeError::Unanswered));
    client.answer(&challenge(NONCE, SALT, "pbkdf2", 4096, None)).unwrap();
    assert_eq!(client.verify(&right), Ok(()));
    let wrong = welcome("verifier", "ByTAljdPHv74Zx+gn+6DqiFnl4XOZUXpC7k/pSkjBOg=");
    assert_eq!(client.verify(&wrong), Err(ChallengeError::Proof("router's verifier")));
    let error = client.verify(&Value::from([])).unwrap_err().to_string();
    assert_eq!(error, "`authextra.verifier` must be text");
    assert!(client.verify(&welcome("verifier", "?")).is_err());
    assert!(client.verify(&welcome("verifier", "")).is_err());
}

#[test]
fn a_nonce_must_continue_the_client_s() {
    for nonce in ["", "SBmkFIh7sSo=", CLIENT_NONCE, "egVDf3DMJh0=,x", "egVDf3DMJh0=é", "xegVDf3DMJh0=a"] {
        let outcome = client().answer(&challenge(nonce, SALT, "pbkdf2", 4096, None));
        assert_eq!(outcome, Err(ChallengeError::Nonce), "{nonce}");
    }
    let credential = Credential::derive("pencil", &SALT_BYTES, PBKDF2).unwrap();
    let exchange = Exchange::new(credential, "user", &client().authextra(), "c2VydmVy").unwrap();
    let mut answer = client().answer(&exchange.challenge_extra()).unwrap();
    answer.extra = Value::from([("nonce", Value::from("another"))]);
    assert_eq!(exchange.verify(&answer), Err(ChallengeError::Nonce));
}

#[test]
fn a_challenge_that_costs_too_much_or_too_little_is_refused() {
    let refusal = |kdf, iterations, memory| {
        client().answer(&challenge(NONCE, SALT, kdf, iterations, memory)).unwrap_err().to_string()
    };
    assert_eq!(
        refusal("pbkdf2", PBKDF2_ITERATIONS_MAX + 1, None),
        "iterations is 2000001, more than the limit of 2000000"
    );
    assert!(refusal("pbkdf2", 4095, None).starts_with("iterations is 4095, less than the minimum of 4096"));
    assert!(refusal("pbkdf2", u64::MAX, None).contains("more than the limit"));
    let argon2 = |iterations, memory| refusal("argon2id13", iterations, Some(memory));
    assert!(argon2(1, ARGON2_MEMORY_KIB_MAX + 1).starts_with("memory is 262145"));
    assert!(argon2(17, ARGON2_MEMORY_KIB_MAX).starts_with("memory times iterations is 4456448"));
    assert!(argon2(ARGON2_KIB_PASSES_MAX, 2).contains("more than the limit"));
    assert!(argon2(u64::MAX, u64::MAX).contains("more than the limit"));
    assert!(argon2(1, 4095).contains("less than the minimum of 4096"));
    assert!(argon2(4096, 1).contains("`memory` must be at least 8"));
    assert!(argon2(0, 4096).contains("less than the minimum"));
    assert!(refusal("argon2id13", 2, None).contains("`memory` must be an unsigned integer"));
    // The router's half has the same limits, or its clients would refuse it.
    assert!(Credential::derive("pencil", &SALT_BYTES, Kdf::Pbkdf2 { iterations: 1000 }).is_err());
    assert!(Credential::derive("pencil", &[1; 7], ARGON2).is_err());
}

#[test]
fn a_challenge_that_is_none_is_refused() {
    let refusal = |extra: &Value| client().answer(extra).unwrap_err().to_string();
    assert_eq!(refusal(&Value::Null), "`nonce` must be text");
    assert_eq!(refusal(&challenge(NONCE, "?", "pbkdf2", 4096, None)), "`salt` must be base64");
    assert_eq!(
        refusal(&challenge(NONCE, SALT, "scrypt", 4096, None)),
        "unknown key derivation function `scrypt`; argon2id13 and pbkdf2 are known"
    );
    assert!(refusal(&challenge(NONCE, SALT, &"x".repeat(10_000), 1, None)).len() < 200);
    assert!(
        refusal(&challenge(NONCE, "", "argon2id13", 2, Some(4096))).starts_with("`salt` must be at least")
    );
}

#[test]
fn a_router_refuses_what_is_no_hello_and_no_proof() {
    let credential = Credential::derive("pencil", &SALT_BYTES, PBKDF2).unwrap();
    let opened = |authextra: &Value| Exchange::new(credential.clone(), "user", authextra, "c2VydmVy");
    let with_nonce = |nonce: &str| Value::from([("nonce", Value::from(nonce))]);
    assert!(opened(&Value::Null).is_err());
    assert!(opened(&with_nonce("")).is_err());
    assert!(opened(&with_nonce("a,b")).is_err());
    let bound = Value::from([("nonce", Value::from("a")), ("channel_binding", Value::from("tls-unique"))]);
    assert!(matches!(opened(&bound), Err(ChallengeError::ChannelBinding(_))));
    let exchange = opened(&with_nonce("a")).unwrap();
    let extra = with_nonce("ac2VydmVy");
    for signature in ["", "?", "AAAA", &"A".repeat(10_000)] {
        let authenticate = Authenticate { signature: signature.to_owned(), extra: extra.clone() };
        assert!(exchange.verify(&authenticate).is_err());
    }
}

#[test]
fn secrets_are_not_shown() {
    assert!(!format!("{:?}", client()).contains("pencil"));
    let credential = Credential::derive("pencil", &SALT_BYTES, PBKDF2).unwrap();
    assert_eq!(format!("{credential:?}"), "Credential { kdf: Pbkdf2 { iterations: 4096 }, .. }");
}
