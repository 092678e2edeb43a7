//! Settings, and what is wrong with them.

use super::*;

/// The error of settings that are right but for the edit.
fn error(edit: impl FnOnce(&mut TlsSettings<'_>)) -> String {
    let issued = Authority::new().issue(&["a.example"]);
    let mut settings = settings(&[&issued]);
    // The edit may borrow only what lives longer.
    let mut shorter = TlsSettings { certificates: settings.certificates.drain(..).collect(), ..settings };
    edit(&mut shorter);
    TlsConfig::new(&shorter).map(drop).unwrap_err()
}

fn with_key(key: &str) -> String {
    error(|settings| settings.certificates[0].key.text = Box::leak(key.to_owned().into_boxed_str()).as_bytes())
}

fn with_chain(chain: &str) -> String {
    error(|settings| settings.certificates[0].chain.text = Box::leak(chain.to_owned().into_boxed_str()).as_bytes())
}

#[test]
fn errors_name_the_file_and_say_what_to_do() {
    let other = Authority::new().issue(&["b.example"]);
    for (text, expected) in [
        (error(|settings| settings.certificates.clear()), "there is no certificate"),
        (with_chain(""), "chain.pem: the file is empty"),
        (
            with_chain("hello"),
            "chain.pem: there is no certificate in it, which begins with \"-----BEGIN CERTIFICATE-----\"",
        ),
        (with_chain(&other.key), "chain.pem: there is no certificate in it"),
        (with_chain("0\u{3}"), "chain.pem: not a PEM file, but perhaps DER; convert it"),
        (with_chain("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"), "chain.pem: not a valid PEM file"),
        (with_chain("-----BEGIN CERTIFICATE-----\nAAAA\n"), "chain.pem: not a valid PEM file"),
        (
            with_chain("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "chain.pem: the first certificate cannot be read",
        ),
        (with_chain(&other.chain), "the key in key.pem does not belong to the certificate in chain.pem"),
        (with_key(""), "key.pem: the file is empty"),
        (with_key(&other.chain), "key.pem: there is no private key in it"),
        (with_key(&other.key), "the key in key.pem does not belong to the certificate in chain.pem"),
        (
            with_key("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
            "key.pem: the key is encrypted; write it without a password",
        ),
        (with_key("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "key.pem: the key cannot be used"),
        (error(|settings| settings.client_ca = Some(file("ca.pem", "x"))), "ca.pem: there is no certificate in it"),
        (
            error(|settings| {
                let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
                settings.client_ca = Some(file("ca.pem", text));
            }),
            "ca.pem: not a certificate of a CA",
        ),
    ] {
        assert!(text.starts_with(expected), "{text}");
    }
}

#[test]
fn certificates_say_whom_they_are_for_and_when_they_expire() {
    let authority = Authority::new();
    let expiring = authority.issue_as(&["*.a.example", "192.0.2.1"], |params| {
        params.not_after = rcgen::date_time_ymd(2040, 1, 2);
    });
    let nameless = authority.issue(&[]);
    let (_, facts) = TlsConfig::new(&settings(&[&expiring, &nameless])).unwrap();
    assert_eq!((facts[0].names.join(" "), facts[0].expires), ("*.a.example 192.0.2.1".into(), 2_209_075_200));
    assert!(facts[1].names.is_empty() && facts.len() == 2);
}

#[test]
fn one_file_may_have_the_chain_and_the_key() {
    let authority = Authority::new();
    let mut issued = authority.issue(&["a.example"]);
    let all = [&*issued.key, &*issued.chain, &*authority.pem].concat();
    (issued.chain, issued.key) = (all.clone(), all);
    let (config, facts) = TlsConfig::new(&settings(&[&issued])).unwrap();
    assert_eq!((facts[0].names.len(), config.handshake_timeout_us), (1, 30_000_000));
}
