//! A certificate authority for one test.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use crate::folder::Folder;

/// An authority; what it issues goes into files.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Writes a certificate for `localhost` and its key; gives the certificate.
    pub(crate) fn issue(&self, certificate_file: &Path, key_file: &Path) -> Vec<u8> {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        std::fs::write(certificate_file, certificate.pem()).expect("a file for the certificate");
        std::fs::write(key_file, key.serialize_pem()).expect("a file for the key");
        certificate.der().to_vec()
    }

    /// A client that believes this authority and no other.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.client_builder().with_no_client_auth())
    }

    fn client_builder(&self) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("an authority that can be believed");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions");
        builder.with_root_certificates(roots)
    }
}

/// An authority, a certificate of it for `localhost`, and the folder of both files, gone with their owner.
#[allow(dead_code, reason = "the tests of the binary, which use this file too, issue their own certificates")]
pub(crate) struct Tls {
    authority: Authority,
    folder: Folder,
}

#[allow(dead_code, reason = "the tests of the binary, which use this file too, issue their own certificates")]
impl Tls {
    pub(crate) fn new() -> Self {
        let tls = Self { authority: Authority::new(), folder: Folder::new() };
        tls.issue();
        tls
    }

    /// Writes another certificate in place of the present one; gives it.
    pub(crate) fn issue(&self) -> Vec<u8> {
        self.authority.issue(&self.folder.path("cert.pem"), &self.folder.path("key.pem"))
    }

    /// The key of a listener that uses it.
    pub(crate) fn keys(&self) -> String {
        let folder = self.folder.0.display();
        format!("tls: {{cert: '{folder}/cert.pem', key: '{folder}/key.pem'}}")
    }

    /// The same, and clients must show a certificate of the authority.
    pub(crate) fn keys_with_client_ca(&self) -> String {
        let folder = self.folder.0.display();
        self.folder.write("ca.pem", &self.authority.0.pem());
        format!("tls: {{cert: '{folder}/cert.pem', key: '{folder}/key.pem', client_ca: '{folder}/ca.pem'}}")
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        self.authority.client()
    }

    /// A client that shows a certificate of this authority.
    pub(crate) fn client_with_certificate(&self) -> Arc<ClientConfig> {
        self.client_with_certificate_of(self)
    }

    /// A client that believes this authority and shows a certificate of another.
    pub(crate) fn client_with_certificate_of(&self, issuer: &Tls) -> Arc<ClientConfig> {
        let (certificate_file, key_file) = (self.folder.path("client.pem"), self.folder.path("client.key"));
        issuer.authority.issue(&certificate_file, &key_file);
        let certificate = CertificateDer::from_pem_file(certificate_file).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(key_file).expect("a key");
        let builder = self.authority.client_builder();
        Arc::new(builder.with_client_auth_cert(vec![certificate], key).expect("a client"))
    }
}
