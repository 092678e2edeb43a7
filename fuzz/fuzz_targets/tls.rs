//! The TLS border: whatever a peer sends, in any pieces, a session takes it or fails, holds little, and never says more
//! than the peer has said. Some inputs are what a client sends, damaged somewhere, before or after the handshake.
#![no_main]

use std::io::{self, ErrorKind, IoSlice, Read};
use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use fanwire::tls::config::{CertificateFiles, PemFile, TlsConfig, TlsSettings};
use fanwire::tls::failure::{check_first, reason};
use fanwire::tls::session::{RECORD, Session};
use libfuzzer_sys::fuzz_target;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    is_tls12: bool,
    /// Whether the handshake is over before anything is damaged.
    is_open: bool,
    sizes: Vec<u8>,
    steps: Vec<Step<'a>>,
}

#[derive(Debug, Arbitrary)]
enum Step<'a> {
    /// The client writes, or renews its keys, or says that it ends.
    Says(&'a [u8]),
    Renews,
    Ends,
    /// What the client sends next is damaged at this place.
    Damage(u16, u8),
    /// Bytes that the client has not sent.
    Any(&'a [u8]),
    /// A record with any header.
    Record(u8, u16, &'a [u8]),
    /// The server writes.
    Write(u16),
    /// What each has sent reaches the other.
    Pass,
}

struct Fixture {
    server: TlsConfig,
    clients: [Arc<ClientConfig>; 2],
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let key = KeyPair::generate().expect("a key");
    let certificate =
        CertificateParams::new(vec!["a.example".into()]).expect("a name").self_signed(&key).expect("a certificate");
    let (chain, key) = (certificate.pem(), key.serialize_pem());
    let settings = TlsSettings {
        certificates: vec![CertificateFiles {
            chain: PemFile { name: "chain", text: chain.as_bytes() },
            key: PemFile { name: "key", text: key.as_bytes() },
        }],
        client_ca: Some(PemFile { name: "ca", text: chain.as_bytes() }),
        is_client_required: false,
        has_tls12: true,
        handshake_timeout_us: 1,
    };
    let (server, _) = TlsConfig::new(&settings).expect("settings");
    let clients = [&TLS12, &TLS13].map(|version| {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(chain.as_bytes()).expect("a certificate")).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(&[version]).expect("a version").with_root_certificates(roots);
        Arc::new(builder.with_no_client_auth())
    });
    Fixture { server, clients }
});

/// A buffer that a session reads. When it is empty, reading blocks.
struct Source<'a>(&'a [u8]);

impl Read for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { self.0.read(into) }
    }
}

/// Gives bytes to a session. Returns what it says; none if it fails, which it then does for ever.
fn hear(session: &mut Session, bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut source, mut come, mut buffer) = (Source(bytes), Vec::new(), [0; 1000]);
    loop {
        match session.take(&mut source) {
            Ok(0) => {
                assert!(session.is_ended());
                return Some(come);
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(come),
            Err(error) => {
                assert!(!reason(&error).is_empty());
                let again = session.take(&mut Source(b"x")).expect_err("the same error");
                assert_eq!(again.kind(), error.kind());
                return None;
            }
        }
        assert!(session.held() < 64 << 10);
        while session.held() > 0 {
            let read = session.read(&mut buffer).expect("what is held");
            come.extend_from_slice(&buffer[..read]);
        }
    }
}

/// Lets both sides send until they have nothing to say. Returns whether the session goes on. A client that `is_deaf` has
/// said that it ends: rustls asserts that it then hears nothing that is wrong.
fn settle(client: &mut ClientConnection, session: &mut Session, come: &mut Vec<u8>, is_deaf: bool) -> bool {
    loop {
        let (mut sent, mut answer) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut sent).expect("memory");
        }
        let Some(heard) = hear(session, &sent) else { return false };
        come.extend(heard);
        session.send(&mut answer).expect("memory");
        if sent.is_empty() && answer.is_empty() {
            return true;
        }
        let mut answer = &answer[..];
        while !answer.is_empty() && !is_deaf {
            // A client that was misled, or has heard the end, takes nothing more.
            if !matches!(client.read_tls(&mut answer), Ok(1..)) || client.process_new_packets().is_err() {
                break;
            }
            let mut sink = Vec::new();
            let _ = client.reader().read_to_end(&mut sink);
        }
    }
}

fuzz_target!(|input: Input<'_>| {
    let Fixture { server, clients } = &*FIXTURE;
    let name = ServerName::try_from("a.example").expect("a name");
    let mut client = ClientConnection::new(Arc::clone(&clients[usize::from(!input.is_tls12)]), name).expect("a client");
    let mut session = Session::new(Arc::clone(&server.server)).expect("a session");
    let (mut said, mut come, mut is_deaf) = (Vec::new(), Vec::new(), false);
    if input.is_open {
        assert!(settle(&mut client, &mut session, &mut come, false) && !session.is_handshaking() && come.is_empty());
        assert!(!session.info().cipher.is_empty());
    }
    let mut sizes = input.sizes.iter().map(|&size| usize::from(size) + 1).cycle();
    let mut give = |session: &mut Session, mut bytes: &[u8], come: &mut Vec<u8>| {
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(sizes.next().unwrap_or(bytes.len()).min(bytes.len()));
            let Some(heard) = hear(session, piece) else { return false };
            come.extend(heard);
            bytes = rest;
        }
        true
    };
    for step in input.steps.iter().take(64) {
        let goes_on = match *step {
            Step::Says(bytes) => {
                let bytes = &bytes[..bytes.len().min(20_000)];
                if !client.is_handshaking() && io::Write::write_all(&mut client.writer(), bytes).is_ok() {
                    said.extend_from_slice(bytes);
                }
                true
            }
            Step::Renews => {
                let _ = client.refresh_traffic_keys();
                true
            }
            Step::Ends => {
                client.send_close_notify();
                is_deaf = true;
                true
            }
            Step::Damage(place, bits) => {
                let mut sent = Vec::new();
                while client.wants_write() {
                    client.write_tls(&mut sent).expect("memory");
                }
                let place = usize::from(place) % sent.len().max(1);
                if let Some(byte) = sent.get_mut(place) {
                    *byte ^= bits;
                }
                give(&mut session, &sent, &mut come)
            }
            Step::Any(bytes) => {
                if !bytes.is_empty() {
                    let _ = check_first(bytes);
                }
                give(&mut session, bytes, &mut come)
            }
            Step::Record(kind, len, bytes) => {
                let len = len.to_be_bytes();
                give(&mut session, &[&[kind, 3, 3, len[0], len[1]], bytes].concat(), &mut come)
            }
            Step::Write(len) => {
                if !session.is_handshaking() && !session.has_unsent() {
                    let bytes = vec![0; usize::from(len)];
                    let written = session.write(&[IoSlice::new(&bytes)], 1 + bytes.len() % 4);
                    assert!(written.is_ok_and(|written| written <= RECORD && (written > 0 || bytes.is_empty())));
                }
                true
            }
            Step::Pass => settle(&mut client, &mut session, &mut come, is_deaf),
        };
        // Ciphertext cannot be made up, so all that was understood was said, in its order.
        assert!(said.starts_with(&come));
        if !goes_on {
            session.finish();
            let _ = session.send(&mut Vec::new());
            break;
        }
    }
});
