//! The border of TLS: settings from Python, and what is known of a session.

use pyo3::prelude::*;

use crate::engine::Engine;
use crate::error::Error;
use crate::python::exceptions::guard;
use crate::tls::config::{CertificateFacts, CertificateFiles, PemFile, TlsConfig, TlsSettings};
use crate::tls::info::{ClientCertificate, TlsInfo};

/// The names of a certificate's two files, and what is in them.
pub(super) type Files = (String, Vec<u8>, String, Vec<u8>);

/// Subject, names, serial number, fingerprint, expiry.
type CertificateTuple = (String, Vec<String>, String, String, i64);

/// Version, cipher suite, server name, ALPN, whether resumed, client certificate.
type InfoTuple = (&'static str, String, Option<String>, Option<String>, bool, Option<CertificateTuple>);

/// Checks what [`set_tls`] gets, without an engine.
#[pyfunction]
#[pyo3(signature = (certificates, *, client_ca, client_required, min_version))]
pub(super) fn check_tls(
    py: Python<'_>,
    certificates: Vec<Files>,
    client_ca: Option<(String, Vec<u8>)>,
    client_required: bool,
    min_version: &str,
) -> PyResult<()> {
    // Checking keys takes a while.
    py.detach(|| {
        guard(|| {
            let settings = settings_of(&certificates, client_ca.as_ref(), client_required, min_version, 0)?;
            TlsConfig::new(&settings).map(|_| ()).map_err(Error::Invalid)
        })
    })
}

pub(super) fn set_tls(
    engine: &Engine,
    certificates: &[Files],
    client_ca: Option<&(String, Vec<u8>)>,
    is_client_required: bool,
    min_version: &str,
    handshake_timeout_us: u64,
) -> Result<Vec<(Vec<String>, i64)>, Error> {
    let settings = settings_of(certificates, client_ca, is_client_required, min_version, handshake_timeout_us)?;
    let facts = engine.set_tls(&settings)?;
    Ok(facts.into_iter().map(|CertificateFacts { names, expires }| (names, expires)).collect())
}

fn settings_of<'a>(
    certificates: &'a [Files],
    client_ca: Option<&'a (String, Vec<u8>)>,
    is_client_required: bool,
    min_version: &str,
    handshake_timeout_us: u64,
) -> Result<TlsSettings<'a>, Error> {
    let has_tls12 = match min_version {
        "1.2" => true,
        "1.3" => false,
        _ => return Err(Error::Invalid(format!("min_version must be \"1.2\" or \"1.3\", got {min_version:?}"))),
    };
    let files = certificates.iter().map(|(chain_name, chain, key_name, key)| CertificateFiles {
        chain: PemFile { name: chain_name, text: chain },
        key: PemFile { name: key_name, text: key },
    });
    let client_ca = client_ca.map(|(name, text)| PemFile { name, text });
    Ok(TlsSettings { certificates: files.collect(), client_ca, is_client_required, has_tls12, handshake_timeout_us })
}

pub(super) fn info_tuple(info: &TlsInfo) -> InfoTuple {
    let TlsInfo { version, cipher, server_name, alpn, is_resumed, client_certificate } = info.clone();
    (version, cipher, server_name, alpn, is_resumed, client_certificate.map(certificate_tuple))
}

fn certificate_tuple(certificate: ClientCertificate) -> CertificateTuple {
    let ClientCertificate { subject, names, serial, fingerprint, expires } = certificate;
    (subject, names, serial, fingerprint, expires)
}
