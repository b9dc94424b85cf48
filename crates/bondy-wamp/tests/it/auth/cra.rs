//! WAMP-CRA.

use bondy_wamp::auth::{ChallengeError, KEYLEN_MAX, PBKDF2_ITERATIONS_MAX, cra};
use bondy_wamp::id::SessionId;
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;

/// The challenge of the specification's example, without the line breaks of its print.
const CHALLENGE: &str = "{\"nonce\": \"LHRTC9zeOIrt_9U3\", \"authprovider\": \"userdb\", \"authid\": \"peter\", \
    \"timestamp\": \"2014-06-22T16:36:25.448Z\", \"authrole\": \"user\", \"authmethod\": \"wampcra\", \
    \"session\": 3251278072152162}";

fn salted(salt: &str, iterations: u64, keylen: u64) -> Value {
    Value::from([
        ("challenge", Value::from(CHALLENGE)),
        ("salt", Value::from(salt)),
        ("iterations", Value::from(iterations)),
        ("keylen", Value::from(keylen)),
    ])
}

#[test]
fn the_example_of_the_specification_is_answered_as_printed() {
    // "Challenge Response Authentication": the example does not print its secret, which is `secret1`.
    let answer = cra::answer("secret1", &salted("salt123", 1000, 32)).unwrap();
    assert_eq!(answer.signature, "gir1mSx+deCDUV7wRM5SGIn/+R/ClqLZuH4m7FJeBVI=");
    assert_eq!(answer.extra, Value::from([]));
}

#[test]
fn an_unsalted_secret_is_the_key() {
    // From the tests of a deployed client.
    let challenge = "[1, 2, 3]";
    let answer = cra::answer("L3L1YUE8Txlw", &cra::challenge_extra(challenge, None)).unwrap();
    assert_eq!(answer.signature, "1njQtmmeYO41N5EWEzD2kAjjEKRZ5kPZt/TzpYXOzR0=");
    assert!(cra::verify(b"L3L1YUE8Txlw", challenge, &answer.signature));
    assert_eq!(
        cra::derive_key("L3L1YUE8Txlw", "salt123", 1000, 32),
        "qzcdsr9uu/L5hnss3kjNTRe490ETgA70ZBaB5rvnJ5Y="
    );
}

#[test]
fn keys_are_derived_as_in_the_vectors_of_pbkdf2() {
    // RFC 7914, section 11; the others are those of RFC 6070, with SHA-256.
    let vectors = [
        (
            ("passwd", "salt", 1, 64),
            "VawEblbjCJ/sFpHCJUS2BflBhSFt3gRl5oudV8INrLxJypzM8Xm2RZkWZLOdd+8xfHG4RbHjC9UJESBB06GXgw==",
        ),
        (("password", "salt", 1, 32), "Eg+2z/z4syxD5yJSVsT4N6hlSMkszDVICAWYfLcL4Xs="),
        (("password", "salt", 2, 32), "rk0Mla9rRtMtCt/5KPBt0CowP47zwlHf1uLYWpVHTEM="),
        (("password", "salt", 4096, 32), "xeR41ZKIyEGqUw22hFxMjZYok6ABzk4RpJY4c6qYE0o="),
        (
            ("passwordPASSWORDpassword", "saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096, 40),
            "NIyJ28vTKy8y2BS4EW6EzysXNH68GAAYHE4qH7jdU+HGNVGMfaxH6Q==",
        ),
    ];
    for ((secret, salt, iterations, keylen), key) in vectors {
        assert_eq!(cra::derive_key(secret, salt, iterations, keylen), key);
    }
}

#[test]
fn both_halves_agree_on_a_salted_secret() {
    let claim = cra::Claim {
        authid: "peter",
        authrole: "user \"quoted\"",
        authprovider: "static",
        nonce: "abc",
        timestamp: "2026-01-01T00:00:00.000Z",
        session: SessionId(7),
    };
    let challenge = claim.to_text();
    let parsed = Value::decode(Serializer::Json, challenge.as_bytes()).unwrap();
    for key in ["authid", "authrole", "authmethod", "authprovider", "nonce", "timestamp", "session"] {
        assert!(parsed.entry(key).is_some(), "{key}");
    }
    let salting = cra::Salting { salt: "salt".to_owned(), iterations: 100, keylen: 16 };
    let key = cra::derive_key("secret", &salting.salt, salting.iterations, salting.keylen);
    let extra = cra::challenge_extra(&challenge, Some(&salting));
    let answer = cra::answer("secret", &extra).unwrap();
    assert!(cra::verify(key.as_bytes(), &challenge, &answer.signature));
    assert!(!cra::verify(key.as_bytes(), "another", &answer.signature));
    assert!(!cra::verify(b"another", &challenge, &answer.signature));
    assert!(!cra::verify(key.as_bytes(), &challenge, ""));
    let wrong = cra::answer("Secret", &extra).unwrap();
    assert!(!cra::verify(key.as_bytes(), &challenge, &wrong.signature));
}

#[test]
fn a_challenge_may_leave_out_the_usual_costs() {
    let extra = Value::from([("challenge", Value::from(CHALLENGE)), ("salt", Value::from("salt123"))]);
    assert_eq!(cra::answer("secret1", &extra), cra::answer("secret1", &salted("salt123", 1000, 32)));
}

#[test]
fn a_challenge_that_costs_too_much_is_refused() {
    let refusal = |iterations, keylen| {
        cra::answer("secret", &salted("salt", iterations, keylen)).unwrap_err().to_string()
    };
    assert_eq!(
        refusal(PBKDF2_ITERATIONS_MAX + 1, 32),
        "iterations is 2000001, more than the limit of 2000000"
    );
    assert_eq!(refusal(1, KEYLEN_MAX + 1), "keylen is 257, more than the limit of 256");
    assert!(refusal(u64::MAX, u64::MAX).contains("more than the limit"));
    assert!(refusal(PBKDF2_ITERATIONS_MAX, 33).starts_with("iterations for keylen is 4000000"));
    assert!(refusal(0, 32).starts_with("iterations is 0, less than"));
    assert!(refusal(1, 0).starts_with("keylen is 0, less than"));
}

#[test]
fn a_challenge_that_is_none_is_refused() {
    let entry = |key, expected| Err(ChallengeError::Entry { key, expected });
    assert_eq!(cra::answer("secret", &Value::Null), entry("challenge", "text"));
    assert_eq!(
        cra::answer("secret", &Value::from([("challenge", Value::from(5))])),
        entry("challenge", "text")
    );
    let extra = Value::from([("challenge", Value::from("c")), ("salt", Value::from(true))]);
    assert_eq!(cra::answer("secret", &extra), entry("salt", "text"));
    let extra = Value::from([
        ("challenge", Value::from("c")),
        ("salt", Value::from("s")),
        ("iterations", Value::Integer(-1)),
    ]);
    assert_eq!(cra::answer("secret", &extra), entry("iterations", "an unsigned integer"));
}
