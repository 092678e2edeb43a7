//! What is known of a TLS session once its handshake is over.

use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use x509_parser::parse_x509_certificate;

use crate::tls::names::{alternative_names, distinguished_name, hex};

/// What is known of a TLS session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// "TLSv1.2" or "TLSv1.3".
    pub version: &'static str,
    /// The cipher suite, as IANA names it.
    pub cipher: String,
    /// The name of the server that the client asked for.
    pub server_name: Option<String>,
    /// The protocol that was agreed to (ALPN).
    pub alpn: Option<String>,
    /// Whether a ticket took the place of certificates.
    pub is_resumed: bool,
    /// The certificate of the client, which was checked.
    pub client_certificate: Option<ClientCertificate>,
}

/// A client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its subject (RFC 4514).
    pub subject: String,
    /// The names that it is for.
    pub names: Vec<String>,
    /// Its number at its issuer, in hexadecimal digits.
    pub serial: String,
    /// The SHA-256 hash of its encoding, in hexadecimal digits.
    pub fingerprint: String,
    /// When it expires, in seconds since 1970.
    pub expires: i64,
}

impl TlsInfo {
    /// Returns what is known of a session whose handshake is over.
    pub(super) fn of(conn: &ServerConnection) -> Self {
        let suite = conn.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
        Self {
            version: match conn.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            },
            // The names in rustls say which suites are those of TLS 1.3; IANA's do not.
            cipher: suite.replacen("TLS13_", "TLS_", 1),
            server_name: conn.server_name().map(Into::into),
            alpn: conn.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            is_resumed: conn.handshake_kind() == Some(HandshakeKind::Resumed),
            client_certificate: conn.peer_certificates().and_then(|chain| ClientCertificate::of(chain.first()?)),
        }
    }
}

impl ClientCertificate {
    /// Reads a certificate that was checked already.
    fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(der).ok()?;
        Some(Self {
            subject: distinguished_name(certificate.subject()),
            names: alternative_names(&certificate),
            serial: hex(certificate.raw_serial()),
            fingerprint: hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der).as_ref()),
            expires: certificate.validity().not_after.timestamp(),
        })
    }
}
