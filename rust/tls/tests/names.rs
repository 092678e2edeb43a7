//! Names in certificates.

use rcgen::{DnType, SanType};
use x509_parser::parse_x509_certificate;

use super::*;
use crate::tls::names::{alternative_names, distinguished_name, fits};

#[test]
fn a_wildcard_stands_for_one_label() {
    for (pattern, name, expected) in [
        ("example.com", "example.com", true),
        ("Example.com", "eXample.COM", true),
        ("example.com", "a.example.com", false),
        ("*.example.com", "a.example.com", true),
        ("*.EXAMPLE.com", "a.example.COM", true),
        ("*.example.com", "a.b.example.com", false),
        ("*.example.com", "example.com", false),
        ("a*.example.com", "ab.example.com", false),
        ("*", "localhost", false),
        ("*.", "localhost.", true),
        ("example.com", "", false),
    ] {
        assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
    }
}

fn subject(parts: &[(DnType, &str)]) -> String {
    let issued = Authority::new().issue_as(&[], |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
    });
    let der = issued.der();
    distinguished_name(parse_x509_certificate(&der).unwrap().1.subject())
}

#[test]
fn a_subject_is_written_from_its_end_and_what_would_end_a_value_is_escaped() {
    let common = DnType::CommonName;
    let parts = [(DnType::CountryName, "DE"), (DnType::OrganizationName, "Sm\u{ed}th, Inc."), (common.clone(), "ann")];
    assert_eq!(subject(&parts), "CN=ann,O=Sm\u{ed}th\\, Inc.,C=DE");
    assert_eq!(subject(&[(common.clone(), " #a+b\"\\<c>;d ")]), "CN=\\ #a\\+b\\\"\\\\\\<c\\>\\;d\\ ");
    assert_eq!(subject(&[(common.clone(), "#a")]), "CN=\\#a");
    assert_eq!(subject(&[]), "");
    // An attribute without a short name has the bytes of its encoding.
    assert_eq!(subject(&[(DnType::CustomDnType(vec![1, 2, 3, 4]), "ab")]), "1.2.3.4=#0c026162");
    let long = "x".repeat(300);
    let text = subject(&[(DnType::CustomDnType(vec![1, 2, 3, 4]), &long)]);
    assert!(text.starts_with("1.2.3.4=#0c82012c7878"), "{text}");
}

#[test]
fn a_certificate_is_for_its_alternative_names() {
    let issued = Authority::new().issue_as(&["a.example", "192.0.2.1", "2001:db8::1"], |params| {
        params.subject_alt_names.push(SanType::Rfc822Name("ann@a.example".try_into().unwrap()));
        params.subject_alt_names.push(SanType::URI("spiffe://a.example/ann".try_into().unwrap()));
        params.distinguished_name.push(DnType::CommonName, "not.a.name");
    });
    let der = issued.der();
    let names = alternative_names(&parse_x509_certificate(&der).unwrap().1);
    assert_eq!(names, ["a.example", "192.0.2.1", "2001:db8::1", "ann@a.example", "spiffe://a.example/ann"]);
}
