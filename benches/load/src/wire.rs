//! What carries a link's bytes: a socket, or TLS over one. Not a protocol: it moves bytes. The rules: a read takes one
//! receive, into a buffer that all links share, and no certificate is checked, because this is a bench on the loopback.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use anyhow::Result;
use mio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};

/// Plain bytes of one record (RFC 8446 5.1).
const RECORD: usize = 1 << 14;
/// What a record is longer than its plain bytes, at the most (RFC 8446 5.2).
const OVERHEAD: usize = 256;

/// A version of TLS that a client insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Version {
    /// TLS 1.2.
    #[value(name = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[value(name = "1.3")]
    Tls13,
}

/// The settings of clients: X25519, this version, any certificate, and sessions as `resumption` says. They ask for AES-256
/// first, as OpenSSL's do, or for AES-128, as browsers do (`is_browser`).
///
/// # Errors
/// The provider's; none is expected.
pub fn config(version: Version, is_browser: bool, resumption: Resumption) -> Result<Arc<ClientConfig>> {
    // P-256 is there for certificates of that curve: TLS 1.2 has one list for both (RFC 8422 5.1.1).
    let kx_groups = vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1];
    let mut provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
    if is_browser {
        // A stable sort: AES-128 first, and the others as they were.
        provider.cipher_suites.sort_by_key(|suite| !format!("{:?}", suite.suite()).contains("AES_128"));
    }
    let versions: &[&SupportedProtocolVersion] = match version {
        Version::Tls12 => &[&rustls::version::TLS12],
        Version::Tls13 => &[&rustls::version::TLS13],
    };
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let mut config = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(schemes)))
        .with_no_client_auth();
    config.resumption = resumption;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config.into())
}

/// The name that clients ask for.
#[must_use]
pub fn name() -> ServerName<'static> {
    ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into())
}

/// What one read has brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Got {
    /// Plain bytes; 0 is the end.
    pub(crate) size: usize,
    /// Bytes of the socket.
    pub(crate) wire: usize,
    /// Whether the socket is empty (epoll(7): a short read of a stream means it is drained).
    pub(crate) drained: bool,
}

/// A socket, or TLS over one.
#[derive(Debug)]
pub(crate) enum Wire {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

pub(crate) struct Tls {
    stream: TcpStream,
    session: UnbufferedClientConnection,
    /// Bytes of a record that has not arrived whole.
    carry: Vec<u8>,
    /// Records that the socket has not taken.
    pending: Vec<u8>,
    sent: usize,
    is_ready: bool,
    is_ended: bool,
}

impl Wire {
    /// # Errors
    /// The settings'; none is expected.
    pub(crate) fn new(stream: TcpStream, config: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let Some(config) = config else { return Ok(Self::Plain(stream)) };
        let session = UnbufferedClientConnection::new(Arc::clone(config), name()).map_err(io::Error::other)?;
        let (carry, pending) = (Vec::new(), Vec::new());
        Ok(Self::Tls(Box::new(Tls { stream, session, carry, pending, sent: 0, is_ready: false, is_ended: false })))
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &tls.stream,
        }
    }

    pub(crate) fn stream_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &mut tls.stream,
        }
    }

    /// Takes what one receive brings, at most what fits `into`, which must have room for a record. What comes encrypted
    /// passes through `scratch`.
    pub(crate) fn read(&mut self, into: &mut [u8], scratch: &mut [u8]) -> io::Result<Got> {
        match self {
            Self::Plain(stream) => {
                let size = stream.read(into)?;
                Ok(Got { size, wire: size, drained: size < into.len() })
            }
            Self::Tls(tls) => tls.read(into, scratch),
        }
    }

    /// Gives the socket what it takes. Encrypted bytes count as taken, and wait here for the socket.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    /// Gives the socket what waits here.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.begin().and_then(|()| tls.flush()),
        }
    }
}

impl Tls {
    fn begin(&mut self) -> io::Result<()> {
        if !self.is_ready && self.carry.is_empty() && self.pending.is_empty() {
            self.process(&mut [], &mut [])?;
        }
        Ok(())
    }

    fn read(&mut self, into: &mut [u8], scratch: &mut [u8]) -> io::Result<Got> {
        if self.is_ended {
            return Ok(Got { size: 0, wire: 0, drained: true });
        }
        let room = into.len().min(scratch.len());
        let kept = self.carry.len();
        if kept >= room {
            return Err(io::ErrorKind::InvalidData.into());
        }
        scratch[..kept].copy_from_slice(&self.carry);
        let wire = self.stream.read(&mut scratch[kept..room])?;
        let drained = wire < room - kept;
        let filled = kept + wire;
        let (used, size) = self.process(&mut scratch[..filled], into)?;
        self.carry.clear();
        self.carry.extend_from_slice(&scratch[used..filled]);
        self.flush()?;
        if wire == 0 {
            self.is_ended = true;
        }
        match size {
            0 if self.is_ended => Ok(Got { size: 0, wire, drained }),
            0 if drained => Err(io::ErrorKind::WouldBlock.into()),
            0 => Err(io::ErrorKind::Interrupted.into()),
            size => Ok(Got { size, wire, drained }),
        }
    }

    /// Takes whole records; gives how many of `bytes` they were, and how many plain ones are in `into`.
    fn process(&mut self, bytes: &mut [u8], into: &mut [u8]) -> io::Result<(usize, usize)> {
        let (mut used, mut size) = (0, 0);
        loop {
            let UnbufferedStatus { discard, state, .. } = self.session.process_tls_records(&mut bytes[used..]);
            let mut is_over = false;
            match state.map_err(io::Error::other)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let payload = record.map_err(io::Error::other)?.payload;
                        let to = into.get_mut(size..size + payload.len());
                        to.ok_or(io::ErrorKind::InvalidData)?.copy_from_slice(payload);
                        size += payload.len();
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    let start = self.pending.len();
                    self.pending.resize(start + RECORD + OVERHEAD, 0);
                    let size = data.encode(&mut self.pending[start..]).map_err(io::Error::other)?;
                    self.pending.truncate(start + size);
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::WriteTraffic(_) => (self.is_ready, is_over) = (true, true),
                ConnectionState::PeerClosed | ConnectionState::Closed => (self.is_ended, is_over) = (true, true),
                _ => is_over = true,
            }
            used += discard;
            if is_over {
                return Ok((used, size));
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        if !self.pending.is_empty() || !self.is_ready {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for part in bytes.chunks(RECORD) {
            let start = self.pending.len();
            self.pending.resize(start + part.len() + OVERHEAD, 0);
            let state = self.session.process_tls_records(&mut []).state.map_err(io::Error::other)?;
            let ConnectionState::WriteTraffic(mut traffic) = state else {
                return Err(io::Error::other("the session does not take data"));
            };
            let size =
                traffic.encrypt(part, &mut self.pending[start..]).map_err(|e: EncryptError| io::Error::other(e))?;
            self.pending.truncate(start + size);
        }
        self.flush()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.pending.len() {
            match self.stream.write(&self.pending[self.sent..]) {
                Ok(size) => self.sent += size,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.sent = 0;
        // Its memory, too: thousands of idle links need none.
        if !self.pending.is_empty() {
            self.pending = Vec::new();
        }
        Ok(())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Lets every server be whom it says.
#[derive(Debug)]
struct Anybody(Vec<SignatureScheme>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
