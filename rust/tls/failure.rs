//! Why a TLS handshake failed, in words for the operator.

use std::borrow::Cow;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// What the first bytes of a connection are, if they do not begin a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTls {
    /// A request of plain HTTP.
    Http,
    /// Anything else.
    Other,
}

/// Checks the first bytes of a connection; there is at least one.
pub fn check_first(bytes: &[u8]) -> Result<(), NotTls> {
    // The content type of a handshake record (RFC 8446 section 5.1). All methods of HTTP are upper-case words.
    match bytes {
        [0x16, ..] => Ok(()),
        bytes if bytes.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b' ' | b'/')) => Err(NotTls::Http),
        _ => Err(NotTls::Other),
    }
}

/// Returns why a handshake failed.
pub fn reason(error: &io::Error) -> Cow<'static, str> {
    match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
        Some(error) => tls_reason(error),
        None => format!("the connection broke: {error}").into(),
    }
}

fn tls_reason(error: &Error) -> Cow<'static, str> {
    match error {
        Error::NoApplicationProtocol => "the client does not offer http/1.1 (ALPN)".into(),
        Error::NoCertificatesPresented => "the client has no certificate, and one is required".into(),
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the client's certificate is not from the CA for clients".into()
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the client's certificate has expired".into()
        }
        Error::InvalidCertificate(error) => format!("the client's certificate is not valid: {error}").into(),
        Error::AlertReceived(alert) if is_about_certificate(*alert) => {
            format!("the client does not accept the server's certificate ({alert:?})").into()
        }
        Error::AlertReceived(alert) => format!("the client has given up ({alert:?})").into(),
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            // Clients older than TLS 1.2 do not send it.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
        ) => "the client speaks only versions of TLS that are not allowed here".into(),
        Error::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NamedGroupsExtensionRequired,
        ) => "the client offers no cipher suite or key exchange that is allowed here".into(),
        error => format!("{error}").into(),
    }
}

fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
    )
}
