//! The cost of TLS for the server: handshakes, and records. The clients' part is not counted.
//!
//! `cargo bench --bench tls` takes less than a minute.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark has no documentation, and ends with its first error")]

use std::io::{IoSlice, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fanwire::tls::config::{CertificateFiles, PemFile, TlsConfig, TlsSettings};
use fanwire::tls::session::Session;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore};

/// The settings of a server with such a key, and of a client that trusts it.
fn settings(algorithm: &'static SignatureAlgorithm) -> (TlsConfig, ClientConfig) {
    let key = KeyPair::generate_for(algorithm).expect("a key");
    let params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
    let (chain, key) = (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem());
    let settings = TlsSettings {
        certificates: vec![CertificateFiles {
            chain: PemFile { name: "chain", text: chain.as_bytes() },
            key: PemFile { name: "key", text: key.as_bytes() },
        }],
        client_ca: None,
        is_client_required: false,
        has_tls12: true,
        handshake_timeout_us: 1,
    };
    let (server, _) = TlsConfig::new(&settings).expect("settings");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(chain.as_bytes()).expect("a certificate")).expect("a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(ALL_VERSIONS).expect("versions").with_root_certificates(roots);
    (server, builder.with_no_client_auth())
}

/// Does a handshake. Returns both ends, and the time that the server's has taken.
fn shake_hands(server: &TlsConfig, client: &Arc<ClientConfig>) -> (Session, ClientConnection, Duration) {
    let name = ServerName::try_from("a.example").expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("a client");
    let mut spent = Duration::ZERO;
    let started = Instant::now();
    let mut session = Session::new(Arc::clone(&server.server)).expect("a session");
    spent += started.elapsed();
    loop {
        let (mut sent, mut answer) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut sent).expect("memory");
        }
        let started = Instant::now();
        let mut come = &sent[..];
        while !come.is_empty() {
            session.take(&mut come).expect("a client that keeps the rules");
        }
        session.send(&mut answer).expect("memory");
        spent += started.elapsed();
        if sent.is_empty() && answer.is_empty() {
            return (session, client, spent);
        }
        give(&mut client, &answer);
    }
}

fn give(client: &mut ClientConnection, mut bytes: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).expect("memory");
        client.process_new_packets().expect("a server that keeps the rules");
        // Ends with "nothing more has come".
        let _ = client.reader().read_to_end(&mut read);
    }
    read
}

fn handshakes(c: &mut Criterion) {
    let mut group = c.benchmark_group("tls/handshake");
    for (name, algorithm) in [("p256", &PKCS_ECDSA_P256_SHA256), ("rsa2048", &PKCS_RSA_SHA256)] {
        let (server, mut client) = settings(algorithm);
        client.resumption = rustls::client::Resumption::disabled();
        let resuming = Arc::new(settings_resumed(&client));
        let fresh = Arc::new(client);
        for (kind, client) in [("full", &fresh), ("resumed", &resuming)] {
            // The first brings the tickets.
            let _ = shake_hands(&server, client);
            let (session, ..) = shake_hands(&server, client);
            assert_eq!(session.info().is_resumed, kind == "resumed");
            group.bench_function(format!("{name}/{kind}"), |b| {
                b.iter_custom(|count| (0..count).map(|_| shake_hands(&server, client).2).sum());
            });
        }
    }
}

/// The same settings, but for a client that resumes.
fn settings_resumed(client: &ClientConfig) -> ClientConfig {
    let mut client = client.clone();
    client.resumption = rustls::client::Resumption::in_memory_sessions(256);
    client
}

fn records(c: &mut Criterion) {
    let (server, client) = settings(&PKCS_ECDSA_P256_SHA256);
    let (mut session, ..) = shake_hands(&server, &Arc::new(client));
    let mut group = c.benchmark_group("tls/write");
    let message = [b'x'; 132];
    for count in [1, 16, 64] {
        let bufs = vec![IoSlice::new(&message); count];
        let mut sink = Vec::with_capacity(1 << 20);
        group.throughput(Throughput::Bytes((count * message.len()) as u64));
        group.bench_function(format!("{count}_messages"), |b| {
            b.iter(|| {
                sink.clear();
                assert!(session.write(&bufs, 1).is_ok_and(|written| written == count * message.len()));
                session.send(&mut sink)
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .without_plots();
    targets = handshakes, records
}
criterion_main!(benches);
