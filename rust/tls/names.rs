//! The names in certificates: whom one is for, and its subject as a text.

use std::fmt::Write;
use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Returns the names that a certificate is for, from its "subject alternative name": domains, mail addresses, URIs and
/// addresses.
pub fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    extension.value.general_names.iter().filter_map(name_text).collect()
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    match *name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => Some(name.into()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a name of a certificate is that of a server. "*" stands for the whole first label (RFC 9525 section 6.3).
pub fn fits(pattern: &str, server_name: &str) -> bool {
    if pattern.eq_ignore_ascii_case(server_name) {
        return true;
    }
    let (Some(rest), Some((_, parent))) = (pattern.strip_prefix("*."), server_name.split_once('.')) else {
        return false;
    };
    rest.eq_ignore_ascii_case(parent)
}

/// Returns a distinguished name as RFC 4514 writes it.
pub fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter().collect();
    for (place, part) in parts.iter().rev().enumerate() {
        for (within, attribute) in part.iter().enumerate() {
            text.push_str(if within > 0 {
                "+"
            } else if place > 0 {
                ","
            } else {
                ""
            });
            push_attribute(&mut text, attribute);
        }
    }
    text
}

fn push_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let oid = attribute.attr_type().to_id_string();
    let known = ATTRIBUTES.iter().find(|(known, _)| *known == oid);
    match (known, attribute.as_str()) {
        (Some((_, name)), Ok(value)) => {
            text.push_str(name);
            text.push('=');
            push_escaped(text, value);
        }
        // A value that has no text is written as the bytes of its encoding (RFC 4514 section 2.4).
        _ => {
            text.push_str(known.map_or(&oid, |(_, name)| name));
            text.push_str("=#");
            text.push_str(&hex(&encoding(attribute)));
        }
    }
}

/// Returns the encoding of an attribute's value: its tag, its length and its bytes.
fn encoding(attribute: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    let value = attribute.attr_value();
    let data = value.data;
    let mut bytes = vec![value.header.tag().0 as u8];
    match data.len() {
        len @ ..0x80 => bytes.push(len as u8),
        len @ ..0x100 => bytes.extend([0x81, len as u8]),
        len => bytes.extend([0x82, (len >> 8) as u8, len as u8]),
    }
    bytes.extend_from_slice(data);
    bytes
}

/// Escapes what would end a value or be lost (RFC 4514 section 2.4).
fn push_escaped(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (place, character) in value.chars().enumerate() {
        match character {
            '\0' => text.push_str("\\00"),
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', character]),
            '#' if place == 0 => text.push_str("\\#"),
            ' ' if place == 0 || place == last => text.push_str("\\ "),
            _ => text.push(character),
        }
    }
}

/// Returns bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The attributes that have short names (RFC 4514 section 3).
const ATTRIBUTES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];
