//! The TLS settings of a server, from PEM texts (RFC 7468). Errors name the file, and say what to do.

use std::iter;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, RootCertStore, ServerConfig, SupportedProtocolVersion};
use x509_parser::parse_x509_certificate;

use crate::tls::names::{alternative_names, fits};

/// What a server needs for TLS.
#[derive(Debug)]
pub struct TlsSettings<'a> {
    /// The certificates. The first is for clients that name no server, or one that no certificate is for.
    pub certificates: Vec<CertificateFiles<'a>>,
    /// The certificates that those of clients must come from, if clients are asked for one.
    pub client_ca: Option<PemFile<'a>>,
    /// Whether a client that is asked must have one.
    pub is_client_required: bool,
    /// Whether TLS 1.2 is allowed besides TLS 1.3.
    pub has_tls12: bool,
    /// Microseconds in which a handshake must end.
    pub handshake_timeout_us: u64,
}

/// A certificate with its chain, and its key.
#[derive(Debug)]
pub struct CertificateFiles<'a> {
    /// The certificate, and those that lead to one that clients know.
    pub chain: PemFile<'a>,
    /// Its private key.
    pub key: PemFile<'a>,
}

/// A PEM file.
#[derive(Debug, Clone, Copy)]
pub struct PemFile<'a> {
    /// Its name, for errors.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a [u8],
}

/// A server's TLS settings, checked.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// The settings of a session.
    pub server: Arc<ServerConfig>,
    /// Microseconds in which a handshake must end.
    pub handshake_timeout_us: u64,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The names that it is for.
    pub names: Vec<String>,
    /// When it expires, in seconds since 1970.
    pub expires: i64,
}

impl TlsConfig {
    /// Checks settings. Returns what each of the certificates says of itself, too. Tickets of other settings are not
    /// resumed with these.
    pub fn new(settings: &TlsSettings<'_>) -> Result<(Self, Vec<CertificateFacts>), String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chosen = settings.certificates.iter().map(|files| Candidate::new(files, &provider));
        let candidates = chosen.collect::<Result<Vec<_>, _>>()?;
        let facts = candidates.iter().map(|candidate| candidate.facts.clone()).collect();
        let Some(first) = candidates.first().map(|candidate| Arc::clone(&candidate.key)) else {
            return Err("there is no certificate".into());
        };
        let versions: &[&SupportedProtocolVersion] = if settings.has_tls12 { &[&TLS13, &TLS12] } else { &[&TLS13] };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions);
        let builder = builder.map_err(|error| error.to_string())?;
        let builder = match settings.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots(file)?.into(), provider);
                let verifier = if settings.is_client_required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| format!("{}: {error}", file.name))?)
            }
        };
        let mut server = builder.with_cert_resolver(Arc::new(Chooser { candidates, first }));
        server.alpn_protocols = vec![ALPN.into()];
        // Tickets keep the state of sessions at the clients.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| error.to_string())?;
        let handshake_timeout_us = settings.handshake_timeout_us;
        Ok((Self { server: Arc::new(server), handshake_timeout_us }, facts))
    }
}

/// A certificate to choose from.
#[derive(Debug)]
struct Candidate {
    key: Arc<CertifiedKey>,
    facts: CertificateFacts,
}

impl Candidate {
    fn new(files: &CertificateFiles<'_>, provider: &CryptoProvider) -> Result<Self, String> {
        let CertificateFiles { chain, key } = *files;
        let certificates = certificates(chain)?;
        let facts = certificates.first().and_then(facts);
        let facts = facts.ok_or_else(|| format!("{}: the first certificate cannot be read", chain.name))?;
        let certified = CertifiedKey::from_der(certificates, private_key(key)?, provider);
        let certified = certified.map_err(|error| match error {
            Error::InconsistentKeys(_) => format!(
                "the key in {} does not belong to the certificate in {}; the server's own certificate has to come first \
                 there",
                key.name, chain.name
            ),
            Error::InvalidCertificate(error) => format!("{}: {error}", chain.name),
            error => format!("{}: the key cannot be used ({error}): {KEYS}", key.name),
        })?;
        Ok(Self { key: Arc::new(certified), facts })
    }
}

/// Chooses the certificate for a client.
#[derive(Debug)]
struct Chooser {
    candidates: Vec<Candidate>,
    first: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or_default();
        let of_name = |candidate: &&Candidate| candidate.facts.names.iter().any(|pattern| fits(pattern, name));
        let fitting = self.candidates.iter().filter(of_name).map(|candidate| &candidate.key);
        let can_sign = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        // A name may have a certificate for each kind of key.
        Some(Arc::clone(fitting.chain(iter::once(&self.first)).find(can_sign).unwrap_or(&self.first)))
    }
}

fn facts(der: &CertificateDer<'_>) -> Option<CertificateFacts> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let expires = certificate.validity().not_after.timestamp();
    Some(CertificateFacts { names: alternative_names(&certificate), expires })
}

fn certificates(file: PemFile<'_>) -> Result<Vec<CertificateDer<'static>>, String> {
    let PemFile { name, text } = file;
    let found = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| format!("{name}: not a valid PEM file: {error}"))?;
    if found.is_empty() {
        return Err(format!("{name}: {}", nothing_in(text, "certificate", "-----BEGIN CERTIFICATE-----")));
    }
    Ok(found)
}

fn private_key(file: PemFile<'_>) -> Result<PrivateKeyDer<'static>, String> {
    let PemFile { name, text } = file;
    if text.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) {
        return Err(format!(
            "{name}: the key is encrypted; write it without a password (openssl pkey -in FILE -out NEW) and keep the \
             file from others"
        ));
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        PemError::NoItemsFound => format!("{name}: {}", nothing_in(text, "private key", "-----BEGIN PRIVATE KEY-----")),
        error => format!("{name}: not a valid PEM file: {error}"),
    })
}

fn roots(file: PemFile<'_>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| format!("{}: not a certificate of a CA: {error}", file.name))?;
    }
    Ok(roots)
}

/// Returns why a file has nothing of what is looked for.
fn nothing_in(text: &[u8], what: &str, begins: &str) -> String {
    match text {
        [] => "the file is empty".into(),
        // DER, the binary form, begins with a sequence.
        [0x30, ..] => format!(
            "not a PEM file, but perhaps DER; convert it (openssl x509 or pkey, -inform DER), so that it has \"{begins}\""
        ),
        _ => format!("there is no {what} in it, which begins with \"{begins}\""),
    }
}

/// The protocol that is offered (ALPN).
const ALPN: &str = "http/1.1";

/// The keys that can be used.
const KEYS: &str = "it has to be ECDSA (P-256, P-384, P-521), Ed25519, or RSA of 2,048 bits or more";

/// A word in every encrypted key, of either kind.
const ENCRYPTED: &[u8] = b"ENCRYPTED";
