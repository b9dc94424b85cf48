//! WAMP-Cryptosign.

use bondy_wamp::auth::ChallengeError;
use bondy_wamp::auth::cryptosign::{self, SigningKey};
use bondy_wamp::value::Value;

/// The vectors of the chapter: channel id, private key, challenge, signature and message.
const VECTORS: [[&str; 4]; 6] = [
    [
        "",
        "4d57d97a68f555696620a6d849c0ce582568518d729eb753dc7c732de2804510",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "b32675b221f08593213737bef8240e7c15228b07028e19595294678c90d11c0cae80a357331bfc5cc9fb71081464e6e7\
         5013517c2cf067ad566a6b7b728e5d03ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ],
    [
        "",
        "d511fe78e23934b3dadb52fcd022974b80bd92bccc7c5cf404e46cc0a8a2f5cd",
        "b26c1f87c13fc1da14997f1b5a71995dff8fbe0a62fae8473c7bdbd05bfb607d",
        "d4209ad10d5aff6bfbc009d7e924795de138a63515efc7afc6b01b7fe5201372190374886a70207b042294af5bd64ce7\
         25cd8dceb344e6d11c09d1aaaf4d660fb26c1f87c13fc1da14997f1b5a71995dff8fbe0a62fae8473c7bdbd05bfb607d",
    ],
    [
        "",
        "6e1fde9cf9e2359a87420b65a87dc0c66136e66945196ba2475990d8a0c3a25b",
        "b05e6b8ad4d69abf74aa3be3c0ee40ae07d66e1895b9ab09285a2f1192d562d2",
        "7beb282184baadd08f166f16dd683b39cab53816ed81e6955def951cb2ddad1ec184e206746fd82bda075af03711d3d5\
         658fc84a76196b0fa8d1ebc92ef9f30bb05e6b8ad4d69abf74aa3be3c0ee40ae07d66e1895b9ab09285a2f1192d562d2",
    ],
    [
        "62e935ae755f3d48f80d4d59f6121358c435722a67e859cc0caa8b539027f2ff",
        "4d57d97a68f555696620a6d849c0ce582568518d729eb753dc7c732de2804510",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "9b6f41540c9b95b4b7b281c3042fa9c54cef43c842d62ea3fd6030fcb66e70b3e80d49d44c29d1635da9348d02ec93f3\
         ed1ef227dfb59a07b580095c2b82f80f9d16ca518aa0c2b707f2b2a609edeca73bca8dd59817a633f35574ac6fd80d00",
    ],
    [
        "62e935ae755f3d48f80d4d59f6121358c435722a67e859cc0caa8b539027f2ff",
        "d511fe78e23934b3dadb52fcd022974b80bd92bccc7c5cf404e46cc0a8a2f5cd",
        "b26c1f87c13fc1da14997f1b5a71995dff8fbe0a62fae8473c7bdbd05bfb607d",
        "305aaa3ac25e98f651427688b3fc43fe7d8a68a7ec1d7d61c61517c519bd4a427c3015599d83ca28b4c6523339202238\
         44ef0725eb5dc2febfd6af7677b73f01d0852a29b460fc92ec943242ac638a053bbacc200512b18b30d15083cbdc9282",
    ],
    [
        "62e935ae755f3d48f80d4d59f6121358c435722a67e859cc0caa8b539027f2ff",
        "6e1fde9cf9e2359a87420b65a87dc0c66136e66945196ba2475990d8a0c3a25b",
        "b05e6b8ad4d69abf74aa3be3c0ee40ae07d66e1895b9ab09285a2f1192d562d2",
        "ee3c7644fd8070532bc1fde3d70d742267da545d8c8f03e63bda63f1ad4214f4d2c4bfdb4eb9526def42deeb7e31602a\
         6ff99eba893e0a4ad4d45892ca75e608d2b75e24a189a7f78ca776ba36fc53f6c3e31c32f251f2c524f0a44202f2902d",
    ],
];

/// An exchange of the chapter's "Example Message Exchanges".
struct Example {
    /// Under the key that HELLO announced.
    client_key: &'static str,
    hello_challenge: &'static str,
    router_key: &'static str,
    challenge: &'static str,
    /// In CHALLENGE.
    router_signature: &'static str,
    /// In AUTHENTICATE.
    client_signature: &'static str,
}

const EXAMPLES: [Example; 3] = [
    Example {
        client_key: "545efb0a2192db8d43f118e9bf9aee081466e1ef36c708b96ee6f62dddad9122",
        hello_challenge: "bbae60ea44cdd7b20dc7010a618b0f0803fab25a817520b4b7f057299b524deb",
        router_key: "4a3838f6fe75251e613329d53fc69b262d5eac97fb1d73bebbaed4015b53c862",
        challenge: "0e9192bc08512c8198da159c1ae600ba91729215f35d56102ee318558e773537",
        router_signature: "fd5128d2d207ba58a9d1d6f41b72c747964ad9d1294077b3b1eee6130b05843ab12c53c7f2519f73d4feb82db19d8ca0\
                           fc26b62bde6518e79a882f5795bc9f00bbae60ea44cdd7b20dc7010a618b0f0803fab25a817520b4b7f057299b524deb",
        client_signature: "a3a178fe792ed772a8fc092f8341e455de96670c8901264a7c312dbf940d5743626fe9fbc29b23dcd2169b308eca309d\
                           e85a89ccd296b24835de3d95b16b77030e9192bc08512c8198da159c1ae600ba91729215f35d56102ee318558e773537",
    },
    Example {
        client_key: "545efb0a2192db8d43f118e9bf9aee081466e1ef36c708b96ee6f62dddad9122",
        hello_challenge: "4f861f12796c2972b7b0026522a687aa851d90355122a61d4f1fdce4d06b564f",
        router_key: "4a3838f6fe75251e613329d53fc69b262d5eac97fb1d73bebbaed4015b53c862",
        challenge: "358625312c6c3bf64ed51d17d210ce21af1639c774cabf5735a9651d7d91fc6a",
        router_signature: "aa05f4cd7747d36b79443f1d4703a681e107edc085d876b508714e2a3a8135bacaae1c018452c4acb3ad2818aa97a6d2\
                           3e5ac7e3734c7b1f40e6232a70938205a6f5a1f034a28090b195fb2ce2454a82532f5c8baf6ba1dfb5ddae63c09ce72f",
        client_signature: "25114474580d6e99a6126b091b4565c23db567d686c5b8c3a94e3f2f09dc80300c5b40a124236733fa56396df721eb12\
                           ac092362379bd5b27b4db9e2beaa1408dcf59bd361a2921448f0e45e12f303097924f5798a83b895cf6b179a6d664d0a",
    },
    Example {
        client_key: "12ae0184b180e9a9c5e45be4a1afbce3c6491320063701cd9c4011a777d04089",
        hello_challenge: "2763e7fdb1c34a74e8497daf6c913744d11161a94cec3b16aeec60a788612e17",
        router_key: "4a3838f6fe75251e613329d53fc69b262d5eac97fb1d73bebbaed4015b53c862",
        challenge: "e4b40f72f9604754789d472225483bace926b9668d72c9122545e540d8d98f23",
        router_signature: "ce456092998d796533d7ef2bab543300409d161066c9520c9284df6bbfb82947b37fb78d69fd56e5118afec62e35e015\
                           c60569af2e18ed92fedc738552242d039a38790e9c94064d89335393d39973c14074cd1008d7266de74c641103e30609",
        client_signature: "16c89629e72aff3f44661e701341b2221a2fa9d93205826fad85e70d3a8dab70a8f54314c14d470ebeb77a0dd16c8339\
                           28c01134a52b2e73862b7d3f258b600059ef9181d4370b6d19e7691e9a407f29784315dfc949d4696ce5e1f6535ba73d",
    },
];

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    std::array::from_fn(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap())
}

fn channel_id(hex: &str) -> Option<[u8; 32]> {
    (!hex.is_empty()).then(|| bytes(hex))
}

fn extra(challenge: &str, binding: Option<&str>) -> Value {
    let binding = binding.map_or(Value::Null, Value::from);
    Value::from([("challenge", Value::from(challenge)), ("channel_binding", binding)])
}

#[test]
fn the_vectors_of_the_specification_hold() {
    for [channel, private_key, challenge, signature] in VECTORS {
        let key = SigningKey::from_hex(private_key).unwrap();
        let channel = channel_id(channel);
        let binding = channel.map(|_| cryptosign::CHANNEL_BINDING);
        let answer = key.answer(&extra(challenge, binding), channel.as_ref()).unwrap();
        assert_eq!(answer.signature, signature);
        assert_eq!(answer.extra, Value::from([]));
        let verified =
            cryptosign::verify(&key.public_key_hex(), &bytes(challenge), channel.as_ref(), signature);
        assert_eq!(verified, Ok(()));
    }
}

#[test]
fn both_signatures_of_each_example_exchange_hold() {
    for example in EXAMPLES {
        // The examples with channel binding do not print the channel id: it is what makes the message signed of the
        // challenge, and must be the same for both sides.
        let challenge: [u8; 32] = bytes(example.challenge);
        let message: [u8; 32] = bytes(&example.client_signature[128..]);
        let channel: [u8; 32] = std::array::from_fn(|index| challenge[index] ^ message[index]);
        let client =
            cryptosign::verify(example.client_key, &challenge, Some(&channel), example.client_signature);
        assert_eq!(client, Ok(()));
        let extra = Value::from([
            ("pubkey", Value::from(example.router_key)),
            ("signature", Value::from(example.router_signature)),
        ]);
        let hello_challenge = bytes(example.hello_challenge);
        let router = cryptosign::verify_router(&extra, example.router_key, &hello_challenge, Some(&channel));
        assert_eq!(router, Ok(()));
        let stranger =
            cryptosign::verify_router(&extra, example.client_key, &hello_challenge, Some(&channel));
        assert_eq!(stranger, Err(ChallengeError::Proof("router's public key")));
    }
}

#[test]
fn public_keys_are_those_of_rfc_8032() {
    // Section 7.1, tests 1 to 3.
    let keys = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        ),
    ];
    for (private_key, public_key) in keys {
        assert_eq!(SigningKey::from_hex(private_key).unwrap().public_key_hex(), public_key);
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed([7; 32])
}

#[test]
fn both_halves_agree() {
    let challenge = [0x5a; 32];
    for channel in [None, Some([3; 32])] {
        let extra = cryptosign::challenge_extra(&challenge, channel.is_some());
        let answer = key().answer(&extra, channel.as_ref()).unwrap();
        let verify = |challenge: &[u8; 32], channel: Option<&[u8; 32]>| {
            cryptosign::verify(&key().public_key_hex(), challenge, channel, &answer.signature)
        };
        assert_eq!(verify(&challenge, channel.as_ref()), Ok(()));
        let replayed = Err(ChallengeError::Proof("message that was signed"));
        assert_eq!(verify(&[0x5b; 32], channel.as_ref()), replayed);
        assert_eq!(verify(&challenge, Some(&[4; 32])), replayed);
    }
}

#[test]
fn a_signature_of_somebody_else_is_refused() {
    let challenge = [1; 32];
    let signature = SigningKey::from_seed([8; 32]).sign_challenge(&challenge, None);
    let refused = cryptosign::verify(&key().public_key_hex(), &challenge, None, &signature);
    assert_eq!(refused, Err(ChallengeError::Proof("signature")));
    // The neutral element is a key under which a signature of nobody would hold.
    let weak = "0100000000000000000000000000000000000000000000000000000000000000";
    let forged = format!("{weak}{}{}", "0".repeat(64), "01".repeat(32));
    assert_eq!(cryptosign::verify(weak, &challenge, None, &forged), Err(ChallengeError::Proof("signature")));
}

#[test]
fn a_signature_or_key_that_is_none_is_refused() {
    let challenge = [1; 32];
    let signature = key().sign_challenge(&challenge, None);
    let public_key = key().public_key_hex();
    let verify = |key: &str, signature: &str| cryptosign::verify(key, &challenge, None, signature);
    assert_eq!(verify(&public_key.to_uppercase(), &signature.to_uppercase()), Ok(()));
    for wrong in
        ["", "00", &signature[1..], &signature[2..], &format!("{signature}00"), &signature.replace('0', "é")]
    {
        assert!(verify(&public_key, wrong).is_err(), "{wrong}");
    }
    for wrong in ["", "zz", &public_key[2..], &format!("{public_key}0"), &"f".repeat(64)] {
        assert!(verify(wrong, &signature).is_err(), "{wrong}");
    }
}

#[test]
fn a_channel_binding_is_what_was_asked_for_or_nothing_is_signed() {
    let challenge = "5a".repeat(32);
    let channel = [3; 32];
    let refused = |binding, channel: Option<&[u8; 32]>| {
        key().answer(&extra(&challenge, binding), channel).unwrap_err().to_string()
    };
    assert!(refused(None, Some(&channel)).ends_with("does not do it, though it was asked for"));
    assert!(refused(Some("tls-unique"), Some(&channel)).ends_with("another one than asked for"));
    assert!(refused(Some("tls-exporter"), None).ends_with("though nobody asked"));
    let authextra = key().authextra_with_binding();
    assert_eq!(authextra.entry("channel_binding"), Some(&Value::from("tls-exporter")));
    assert_eq!(key().authextra(), Value::from([("pubkey", Value::from(key().public_key_hex().as_str()))]));
}

#[test]
fn a_challenge_that_is_none_is_refused() {
    for wrong in ["", "5a", &"5a".repeat(33), &"zz".repeat(32), &"é".repeat(32)] {
        let error = key().answer(&extra(wrong, None), None).unwrap_err();
        assert_eq!(error.to_string(), "`challenge` must be 32 bytes in hexadecimal");
    }
    assert!(key().answer(&Value::Null, None).is_err());
}

#[test]
fn a_private_key_is_not_shown() {
    let private_key = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let shown = format!("{:?}", SigningKey::from_hex(&format!(" {private_key}\n")).unwrap());
    assert!(shown.contains("d75a98") && !shown.contains("9d61"));
    for wrong in ["", "9d61", &private_key[1..], &format!("{private_key}00")] {
        let error = SigningKey::from_hex(wrong).unwrap_err().to_string();
        assert_eq!(error, "a private key must be 32 bytes in hexadecimal: 64 digits");
    }
}
