//! Helpers for tests with TLS: certificates, and clients.

mod config;
mod names;
mod pipes;
mod session;

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::tls::config::{CertificateFiles, PemFile, TlsConfig, TlsSettings};

/// An authority that issues certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, as PEM.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        // Each has a name of its own, by which certificates name their issuer.
        params.distinguished_name.push(DnType::CommonName, format!("{:?}", key.public_key_raw()));
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Issues a certificate for these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_as(names, |_| {})
    }

    pub(crate) fn issue_as(&self, names: &[&str], edit: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names = names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).unwrap();
        edit(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// Settings of a client that trusts this authority, offers nothing by ALPN and has no certificate.
    pub(crate) fn client_config(&self) -> ClientConfig {
        self.client_config_with(ALL_VERSIONS, None)
    }

    pub(crate) fn client_config_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        certificate: Option<&Issued>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
        match certificate {
            None => builder.with_no_client_auth(),
            Some(Issued { chain, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
            }
        }
    }
}

impl Issued {
    pub(crate) fn files(&self) -> CertificateFiles<'_> {
        CertificateFiles { chain: file("chain.pem", &self.chain), key: file("key.pem", &self.key) }
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }
}

pub(crate) fn file<'a>(name: &'a str, text: &'a str) -> PemFile<'a> {
    PemFile { name, text: text.as_bytes() }
}

/// Settings with these certificates, and nothing else out of the ordinary.
pub(crate) fn settings<'a>(certificates: &[&'a Issued]) -> TlsSettings<'a> {
    TlsSettings {
        certificates: certificates.iter().map(|issued| issued.files()).collect(),
        client_ca: None,
        is_client_required: false,
        has_tls12: true,
        handshake_timeout_us: 30_000_000,
    }
}

pub(crate) fn config(certificates: &[&Issued]) -> TlsConfig {
    TlsConfig::new(&settings(certificates)).unwrap().0
}

/// A client that asks for the server with this name.
pub(crate) fn client(config: &Arc<ClientConfig>, server_name: &'static str) -> ClientConnection {
    ClientConnection::new(Arc::clone(config), ServerName::try_from(server_name).unwrap()).unwrap()
}
