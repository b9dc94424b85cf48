//! Which of a listener's certificates a client is shown.

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Chooses a certificate by the name that the client asks for (SNI).
///
/// The first listed certificate that is valid for the name, and whose key the client can verify, is taken; else,
/// and without a name, the first whose key the client can verify.
#[derive(Debug)]
pub(super) struct BySni {
    keys: Vec<Arc<CertifiedKey>>,
}

impl BySni {
    pub(super) fn new(keys: Vec<Arc<CertifiedKey>>) -> BySni {
        BySni { keys }
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let schemes = hello.signature_schemes();
        let usable = || self.keys.iter().filter(|one| one.key.choose_scheme(schemes).is_some());
        let named = name.and_then(|name| usable().find(|one| is_valid_for(one, &name)));
        named.or_else(|| usable().next()).cloned()
    }
}

fn is_valid_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = key.end_entity_cert().and_then(ParsedCertificate::try_from);
    parsed.is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
}
