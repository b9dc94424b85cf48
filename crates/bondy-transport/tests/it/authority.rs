//! A certificate authority of one test, and what it issues.

use crate::folder::Folder;
use bondy_transport::tls::{CertificateFiles, TlsFiles};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::path::PathBuf;
use std::sync::Arc;

/// An authority and a folder for what it issues.
pub(crate) struct Authority {
    pub(crate) issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) folder: Folder,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let folder = Folder::new();
        // A name of its own: that an authority is unknown is not to show in a signature only.
        params.distinguished_name.push(DnType::CommonName, folder.0.display().to_string());
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, folder }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path("ca.pem")
    }

    /// Writes `file.pem` and `file.key` for `names`.
    pub(crate) fn issue(&self, file: &str, names: &[&str]) -> CertificateFiles {
        self.issue_with(file, names, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        file: &str,
        names: &[&str],
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> CertificateFiles {
        let mut params =
            CertificateParams::new(names.iter().map(|&one| one.to_owned()).collect::<Vec<_>>()).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.write(file, &certificate.pem(), &key.serialize_pem())
    }

    pub(crate) fn write(&self, file: &str, certificate: &str, key: &str) -> CertificateFiles {
        let files = CertificateFiles {
            cert: self.folder.path(&format!("{file}.pem")),
            key: self.folder.path(&format!("{file}.key")),
        };
        std::fs::write(&files.cert, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }

    pub(crate) fn client_config(&self, identity: Option<&CertificateFiles>) -> ClientConfig {
        self.client_config_for(identity, rustls::ALL_VERSIONS)
    }

    pub(crate) fn client_config_for(
        &self,
        identity: Option<&CertificateFiles>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match identity {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let chain =
                    CertificateDer::pem_file_iter(&files.cert).unwrap().collect::<Result<_, _>>().unwrap();
                builder
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&files.key).unwrap())
                    .unwrap()
            }
        }
    }
}

pub(crate) fn files(certificates: &[&CertificateFiles]) -> TlsFiles {
    TlsFiles {
        certificates: certificates.iter().copied().cloned().collect(),
        client_ca: None,
        serves_http: false,
    }
}
