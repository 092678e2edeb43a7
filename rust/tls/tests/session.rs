//! Sessions, with clients in memory.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use proptest::prelude::*;
use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::pipes::{Narrow, Source};
use super::*;
use crate::tls::failure::reason;
use crate::tls::info::TlsInfo;
use crate::tls::session::{RECORD, Session};

/// A client and its session. What one sends is given to the other in pieces of at most this size.
struct Pair {
    client: ClientConnection,
    session: Session,
    piece: usize,
    /// What the session has sent, all in all.
    sent: Vec<u8>,
    /// What the client has read.
    got: Vec<u8>,
}

impl Pair {
    fn new(client: ClientConnection, config: &TlsConfig) -> Self {
        let session = Session::new(Arc::clone(&config.server)).unwrap();
        Self { client, session, piece: usize::MAX, sent: Vec::new(), got: Vec::new() }
    }

    /// Lets all go where it should, until nothing is under way. Returns what the session has read.
    fn settle(&mut self) -> io::Result<Vec<u8>> {
        let mut come = Vec::new();
        loop {
            let mut sent = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut sent).unwrap();
            }
            let is_quiet = sent.is_empty();
            for piece in sent.chunks(self.piece.min(sent.len().max(1))) {
                come.extend(self.hear(piece)?);
            }
            let answer = self.answer();
            if is_quiet && answer.is_empty() {
                return Ok(come);
            }
            let mut answer = &answer[..];
            while !answer.is_empty() {
                self.client.read_tls(&mut answer).unwrap();
                self.client.process_new_packets().map_err(io::Error::other)?;
                if let Err(error) = self.client.reader().read_to_end(&mut self.got) {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                }
            }
        }
    }

    /// Gives ciphertext to the session. Returns what it says.
    fn hear(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let (mut source, mut come) = (Source(bytes), Vec::new());
        loop {
            let is_empty = match self.session.take(&mut source) {
                Ok(0) => true,
                Ok(_) => false,
                Err(error) if error.kind() == ErrorKind::WouldBlock => true,
                Err(error) => return Err(error),
            };
            let mut buffer = [0; 1000];
            while self.session.held() > 0 {
                let read = self.session.read(&mut buffer).unwrap();
                come.extend_from_slice(&buffer[..read]);
            }
            if is_empty {
                return Ok(come);
            }
        }
    }

    /// Takes what the session sends.
    fn answer(&mut self) -> Vec<u8> {
        let mut answer = Vec::new();
        self.session.send(&mut answer).unwrap();
        self.sent.extend_from_slice(&answer);
        answer
    }

    fn shake_hands(&mut self) -> io::Result<TlsInfo> {
        self.settle()?;
        assert!(!self.session.is_handshaking());
        Ok(self.session.info())
    }

    /// What the client has read since the last call.
    fn read(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.got)
    }

    /// Writes all, record by record.
    fn write(&mut self, mut bytes: &[u8]) -> usize {
        let mut records = 0;
        while !bytes.is_empty() {
            let written = self.session.write(&[IoSlice::new(bytes)], 1).unwrap();
            bytes = &bytes[written..];
            records += 1;
            self.settle().unwrap();
        }
        records
    }
}

fn versions() -> [(&'static SupportedProtocolVersion, &'static str); 2] {
    [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")]
}

fn client_of(authority: &Authority, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    Arc::new(authority.client_config_with(&[version], None))
}

#[test]
fn both_versions_speak_in_pieces_of_any_size() {
    let authority = Authority::new();
    let issued = authority.issue(&["a.example"]);
    let config = config(&[&issued]);
    for (version, name) in versions() {
        for piece in [usize::MAX, 1000, 1] {
            let mut of_client = authority.client_config_with(&[version], None);
            of_client.alpn_protocols = vec!["h2".into(), "http/1.1".into()];
            let mut pair = Pair::new(client(&Arc::new(of_client), "a.example"), &config);
            pair.piece = piece;
            let info = pair.shake_hands().unwrap();
            assert_eq!((info.version, info.is_resumed, &info.client_certificate), (name, false, &None));
            assert_eq!((info.server_name.as_deref(), info.alpn.as_deref()), (Some("a.example"), Some("http/1.1")));
            assert!(
                info.cipher.starts_with(if name == "TLSv1.3" { "TLS_AES_" } else { "TLS_ECDHE_ECDSA_WITH_" }),
                "{info:?}"
            );
            pair.client.writer().write_all(&[7; 40_000]).unwrap();
            assert_eq!(pair.settle().unwrap(), [7; 40_000]);
            assert_eq!(pair.write(&[8; 40_000]), 3);
            assert_eq!(pair.read(), [8; 40_000]);
        }
    }
}

#[test]
fn what_is_written_together_is_one_record() {
    let authority = Authority::new();
    let issued = authority.issue(&["a.example"]);
    let mut pair = Pair::new(client(&Arc::new(authority.client_config()), "a.example"), &config(&[&issued]));
    pair.shake_hands().unwrap();
    pair.sent.clear();
    let part = [b'x'; 100];
    let bufs = [IoSlice::new(&part); 64];
    assert_eq!(pair.session.write(&bufs, 1).unwrap(), 6_400);
    assert_eq!(pair.session.unsent(), 6_400);
    pair.settle().unwrap();
    assert_eq!((pair.read().len(), pair.session.unsent()), (6_400, 0));
    // The header, the bytes, their type and the tag (RFC 8446 section 5.2).
    assert_eq!((pair.sent.len(), pair.sent[0]), (5 + 6_400 + 1 + 16, 23));
    let much = [0; 3 * RECORD];
    assert_eq!(pair.session.write(&[IoSlice::new(&much[1..]), IoSlice::new(&much)], 1).unwrap(), RECORD);
}

#[test]
fn what_is_not_taken_waits_wherever_it_is_cut() {
    let authority = Authority::new();
    let issued = authority.issue(&["a.example"]);
    let mut pair = Pair::new(client(&Arc::new(authority.client_config()), "a.example"), &config(&[&issued]));
    pair.shake_hands().unwrap();
    for cut in 0..122 {
        assert_eq!(pair.session.write(&[IoSlice::new(&[cut; 100])], 1).unwrap(), 100);
        let mut narrow = Narrow(Vec::new(), cut.into());
        let sent = pair.session.send(&mut narrow).map_err(|error| error.kind());
        assert_eq!((sent, pair.session.has_unsent()), (Err(ErrorKind::WouldBlock), true));
        if cut > 0 {
            pair.client.read_tls(&mut &narrow.0[..]).unwrap();
        }
        pair.settle().unwrap();
        assert_eq!(pair.read(), [cut; 100]);
    }
}

#[test]
fn the_certificate_is_that_of_the_name_or_else_the_first() {
    let authority = Authority::new();
    let all = ["a.example", "b.example", "*.c.example"].map(|name| authority.issue(&[name]));
    let config = config(&[&all[0], &all[1], &all[2]]);
    let trusting = Arc::new(authority.client_config());
    for (name, place) in [("a.example", 0), ("b.example", 1), ("x.c.example", 2)] {
        let mut pair = Pair::new(client(&trusting, name), &config);
        assert_eq!(pair.shake_hands().unwrap().server_name.as_deref(), Some(name));
        assert_eq!(pair.client.peer_certificates().unwrap()[0], all[place].der());
    }
    // A client that asks for another name, or an address, gets the first, and may refuse it.
    for name in ["d.example", "192.0.2.1"] {
        let mut pair = Pair::new(client(&trusting, name), &config);
        let refused = pair.settle().unwrap_err().to_string();
        assert!(refused.contains("not valid for name") || refused.contains("a.example"), "{refused}");
        let alert = pair.settle().unwrap_err();
        assert!(
            reason(&alert).starts_with("the client does not accept the server's certificate"),
            "{}",
            reason(&alert)
        );
    }
    let mut quiet = authority.client_config();
    quiet.enable_sni = false;
    let mut pair = Pair::new(client(&Arc::new(quiet), "a.example"), &config);
    assert_eq!(pair.shake_hands().unwrap().server_name, None);
}

#[test]
fn clients_with_another_protocol_or_version_are_refused() {
    let authority = Authority::new();
    let issued = authority.issue(&["a.example"]);
    let config = config(&[&issued]);
    let mut h2 = authority.client_config();
    h2.alpn_protocols = vec!["h2".into()];
    let mut pair = Pair::new(client(&Arc::new(h2), "a.example"), &config);
    assert_eq!(reason(&pair.settle().unwrap_err()), "the client does not offer http/1.1 (ALPN)");
    assert!(pair.session.has_unsent(), "an alert");

    let only_13 = TlsSettings { has_tls12: false, ..settings(&[&issued]) };
    let (config, _) = TlsConfig::new(&only_13).unwrap();
    let mut pair = Pair::new(client(&client_of(&authority, &TLS12), "a.example"), &config);
    assert_eq!(reason(&pair.settle().unwrap_err()), "the client speaks only versions of TLS that are not allowed here");
    let mut pair = Pair::new(client(&client_of(&authority, &TLS13), "a.example"), &config);
    assert_eq!(pair.shake_hands().unwrap().version, "TLSv1.3");
}

#[test]
fn certificates_of_clients_are_checked_and_named() {
    let (authority, others) = (Authority::new(), Authority::new());
    let issued = authority.issue(&["a.example"]);
    let of_ann = others.issue_as(&["ann.example"], |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "ann");
        params.serial_number = Some(vec![0x12, 0x34].into());
        params.not_after = rcgen::date_time_ymd(2040, 1, 2);
    });
    let expired = others.issue_as(&["ann.example"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let strange = Authority::new().issue(&["eve.example"]);
    for is_client_required in [true, false] {
        let ca = Some(file("ca.pem", &others.pem));
        let settings = TlsSettings { client_ca: ca, is_client_required, ..settings(&[&issued]) };
        let (config, _) = TlsConfig::new(&settings).unwrap();
        let come = |certificate| {
            let config_of_client = Arc::new(authority.client_config_with(ALL_VERSIONS, certificate));
            Pair::new(client(&config_of_client, "a.example"), &config).shake_hands()
        };
        let certificate = come(Some(&of_ann)).unwrap().client_certificate.unwrap();
        assert_eq!((&*certificate.subject, &certificate.names[..]), ("CN=ann", &["ann.example".to_owned()][..]));
        assert_eq!((&*certificate.serial, certificate.expires), ("1234", 2_209_075_200));
        assert_eq!(certificate.fingerprint.len(), 64);
        let without = come(None);
        if is_client_required {
            assert_eq!(reason(&without.unwrap_err()), "the client has no certificate, and one is required");
        } else {
            assert_eq!(without.unwrap().client_certificate, None);
        }
        let refused = |certificate| reason(&come(Some(certificate)).unwrap_err()).into_owned();
        assert_eq!(refused(&strange), "the client's certificate is not from the CA for clients");
        assert_eq!(refused(&expired), "the client's certificate has expired");
    }
}

#[test]
fn a_ticket_is_resumed_until_the_settings_change() {
    let (authority, others) = (Authority::new(), Authority::new());
    let issued = authority.issue(&["a.example"]);
    let of_ann = others.issue(&["ann.example"]);
    let ca = Some(file("ca.pem", &others.pem));
    let settings = TlsSettings { client_ca: ca, is_client_required: true, ..settings(&[&issued]) };
    let first = TlsConfig::new(&settings).unwrap().0;
    let second = TlsConfig::new(&settings).unwrap().0;
    for (version, _) in versions() {
        let config = Arc::new(authority.client_config_with(&[version], Some(&of_ann)));
        let come = |server: &TlsConfig| {
            let mut pair = Pair::new(client(&config, "a.example"), server);
            let info = pair.shake_hands().unwrap();
            assert_eq!(info.client_certificate.unwrap().names, ["ann.example"]);
            // Tickets come behind the handshake.
            pair.write(b"x");
            info.is_resumed
        };
        assert_eq!([come(&first), come(&first), come(&second), come(&second)], [false, true, false, true]);
    }
}

#[test]
fn an_end_is_told_in_both_directions() {
    let authority = Authority::new();
    let issued = authority.issue(&["a.example"]);
    for (version, _) in versions() {
        let mut pair = Pair::new(client(&client_of(&authority, version), "a.example"), &config(&[&issued]));
        pair.shake_hands().unwrap();
        pair.client.writer().write_all(b"last").unwrap();
        pair.client.send_close_notify();
        assert_eq!(pair.settle().unwrap(), b"last");
        assert!(pair.session.is_ended());
        assert_eq!((pair.session.read(&mut [0]).unwrap(), pair.session.take(&mut Source(b"x")).unwrap()), (0, 0));
        // The other direction goes on.
        if version.version == ProtocolVersion::TLSv1_3 {
            pair.write(b"still here");
            assert_eq!(pair.read(), b"still here");
        }
        pair.session.finish();
        pair.settle().unwrap();
        assert_eq!(pair.client.reader().read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn an_end_without_a_word_is_an_end() {
    let authority = Authority::new();
    let issued = authority.issue(&["a.example"]);
    let mut pair = Pair::new(client(&Arc::new(authority.client_config()), "a.example"), &config(&[&issued]));
    pair.shake_hands().unwrap();
    pair.client.writer().write_all(b"whole").unwrap();
    assert_eq!(pair.settle().unwrap(), b"whole");
    assert_eq!(pair.session.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(pair.session.take(&mut io::empty()).unwrap(), 0);
    assert_eq!(pair.session.read(&mut [0]).unwrap(), 0);
}

#[test]
fn keys_are_renewed_when_the_client_asks() {
    let authority = Authority::new();
    let issued = authority.issue(&["a.example"]);
    let client_config = client_of(&authority, &TLS13);
    let mut pair = Pair::new(client(&client_config, "a.example"), &config(&[&issued]));
    pair.shake_hands().unwrap();
    for round in 0..20 {
        pair.client.refresh_traffic_keys().unwrap();
        pair.client.writer().write_all(b"hi").unwrap();
        assert_eq!(pair.settle().unwrap(), b"hi");
        pair.write(&[round; 20_000]);
        assert_eq!(pair.read(), [round; 20_000]);
    }
}

#[test]
fn an_error_stays() {
    let authority = Authority::new();
    let issued = authority.issue(&["a.example"]);
    let mut pair = Pair::new(client(&Arc::new(authority.client_config()), "a.example"), &config(&[&issued]));
    pair.shake_hands().unwrap();
    let record = [&[23, 3, 3, 0, 32][..], &[0; 32]].concat();
    for bytes in [&record[..], b"", b"x"] {
        let error = pair.session.take(&mut Source(bytes)).unwrap_err();
        assert_eq!((error.kind(), &*reason(&error)), (ErrorKind::InvalidData, "cannot decrypt peer's message"));
    }
    assert!(pair.session.has_unsent(), "an alert");
    assert!(pair.session.write(&[IoSlice::new(b"x")], 1).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_handshake_that_is_damaged_anywhere_fails_or_goes_on(place in 0usize..2_000, bits in 1u8.., piece in 1usize..3_000) {
        let authority = Authority::new();
        let issued = authority.issue(&["a.example"]);
        let mut pair = Pair::new(client(&Arc::new(authority.client_config()), "a.example"), &config(&[&issued]));
        let mut hello = Vec::new();
        pair.client.write_tls(&mut hello).unwrap();
        let place = place % hello.len();
        hello[place] ^= bits;
        for piece in hello.chunks(piece) {
            match pair.hear(piece) {
                Ok(come) => prop_assert!(come.is_empty()),
                Err(error) => {
                    prop_assert!(!reason(&error).is_empty());
                    break;
                }
            }
        }
        prop_assert!(pair.session.is_handshaking());
    }
}
