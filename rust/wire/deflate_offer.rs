//! Chooses among a client's offers to compress messages (RFC 7692 section 7.1). Pure.

use std::fmt;

use crate::wire::deflate::Deflate;
use crate::wire::refusal::Refusal;

/// What was agreed with a client: each side compresses each message without the context of earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// How the server compresses; never [`Deflate::None`].
    pub deflate: Deflate,
    /// Whether the client has asked for a window, so that the answer names it.
    pub is_window_asked: bool,
}

/// Returns what is agreed to: the first of the client's offers, in the values of its `Sec-WebSocket-Extensions`, that
/// can be. Offers with parameters that are unknown, invalid or given twice are declined, as are windows of 8 bits,
/// which zlib does not have.
///
/// The client's window needs no parameter in the answer: the memory to inflate is the thread's, and has the largest.
///
/// Fails with status 400 if a value is malformed: then the connection must be failed (RFC 6455 section 9.1).
pub fn choose<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Option<Agreement>, Refusal> {
    let mut chosen = None;
    for value in values {
        let mut reader = OfferReader { rest: value };
        loop {
            // An element of a list may be empty (RFC 9110 section 5.6.1.2).
            while reader.takes(b',') {}
            if reader.rest.is_empty() {
                break;
            }
            let agreement = offer(&mut reader).ok_or_else(malformed)?;
            chosen = chosen.or(agreement);
        }
    }
    Ok(chosen)
}

impl fmt::Display for Agreement {
    /// Writes the value of the header `Sec-WebSocket-Extensions` of the answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME}; {SERVER_TAKEOVER}; {CLIENT_TAKEOVER}")?;
        match self.deflate.bits() {
            Some(bits) if self.is_window_asked => write!(f, "; {SERVER_WINDOW}={bits}"),
            _ => Ok(()),
        }
    }
}

/// Reads one offer. Returns what would be agreed to; none at all if it is malformed.
fn offer(reader: &mut OfferReader<'_>) -> Option<Option<Agreement>> {
    let mut is_fit = reader.token()? == NAME.as_bytes();
    let (mut seen, mut window) = (Vec::new(), None);
    while reader.takes(b';') {
        let name = reader.token()?;
        let value = if reader.takes(b'=') { Some(reader.value()?) } else { None };
        // An offer has few parameters that are known, and the others end the search.
        is_fit &= !seen.contains(&name);
        if !is_fit {
            continue;
        }
        seen.push(name);
        let bits = value.as_deref().and_then(window_bits);
        is_fit = match std::str::from_utf8(name) {
            Ok(SERVER_TAKEOVER | CLIENT_TAKEOVER) => value.is_none(),
            Ok(CLIENT_WINDOW) => value.is_none() || bits.is_some(),
            Ok(SERVER_WINDOW) => {
                window = bits;
                bits.is_some_and(|bits| Deflate::within(bits) != Deflate::None)
            }
            _ => false,
        };
    }
    if !(reader.rest.is_empty() || reader.rest.starts_with(b",")) {
        return None;
    }
    let deflate = Deflate::within(window.unwrap_or(WINDOW_MAX));
    Some(is_fit.then_some(Agreement { deflate, is_window_asked: window.is_some() }))
}

/// Parses the size of a window: 8 to 15, without leading zeros (section 7.1.2).
fn window_bits(value: &[u8]) -> Option<u8> {
    let bits = std::str::from_utf8(value).ok()?.parse().ok()?;
    (value[0].is_ascii_digit() && value[0] != b'0' && (8..=WINDOW_MAX).contains(&bits)).then_some(bits)
}

fn malformed() -> Refusal {
    Refusal::bad("the header Sec-WebSocket-Extensions is malformed")
}

/// What is left of a value. White space between its parts is skipped.
struct OfferReader<'a> {
    rest: &'a [u8],
}

impl<'a> OfferReader<'a> {
    /// Takes a byte, if it is the next one.
    fn takes(&mut self, byte: u8) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        self.skip_space();
        rest.is_some()
    }

    /// Takes a token (RFC 9110 section 5.6.2).
    fn token(&mut self) -> Option<&'a [u8]> {
        let len = self.rest.iter().take_while(|&&byte| is_token(byte)).count();
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        self.skip_space();
        (!token.is_empty()).then_some(token)
    }

    /// Takes a value: a token, perhaps in quotes (RFC 6455 section 9.1).
    fn value(&mut self) -> Option<Vec<u8>> {
        let Some(mut rest) = self.rest.strip_prefix(b"\"") else { return self.token().map(Into::into) };
        let mut value = Vec::new();
        loop {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            match byte {
                b'"' => break,
                b'\\' => {
                    let (&escaped, after) = rest.split_first()?;
                    rest = after;
                    value.push(escaped);
                }
                byte => value.push(byte),
            }
        }
        self.rest = rest;
        self.skip_space();
        (!value.is_empty() && value.iter().all(|&byte| is_token(byte))).then_some(value)
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

const NAME: &str = "permessage-deflate";
const SERVER_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_WINDOW: &str = "server_max_window_bits";
const CLIENT_WINDOW: &str = "client_max_window_bits";

const WINDOW_MAX: u8 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(values: &[&str]) -> Result<Option<String>, u16> {
        let chosen = choose(values.iter().map(|value| value.as_bytes()));
        chosen.map(|chosen| chosen.map(|agreement| agreement.to_string())).map_err(|refusal| refusal.status)
    }

    /// The answer with this window.
    fn with(window: &str) -> Result<Option<String>, u16> {
        let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        Ok(Some(match window {
            "" => both.into(),
            bits => format!("{both}; server_max_window_bits={bits}"),
        }))
    }

    #[test]
    fn the_first_offer_that_can_be_agreed_to_is_answered() {
        for (values, window) in [
            (&["permessage-deflate"][..], ""),
            // Chrome and Firefox; Safari; what libraries send.
            (&["permessage-deflate; client_max_window_bits"], ""),
            (&["permessage-deflate; server_no_context_takeover; client_no_context_takeover"], ""),
            (&["permessage-deflate; server_max_window_bits=15; client_max_window_bits=8"], "15"),
            (&["permessage-deflate;server_max_window_bits=14"], "12"),
            (&["permessage-deflate;server_max_window_bits=12"], "12"),
            (&["permessage-deflate ; server_max_window_bits = 11"], "9"),
            (&["permessage-deflate; server_max_window_bits=9"], "9"),
            (&["permessage-deflate; server_max_window_bits=\"10\""], "9"),
            (&["permessage-deflate; server_max_window_bits=\"1\\0\""], "9"),
            (&["permessage-deflate; server_max_window_bits=8, permessage-deflate"], ""),
            (&["permessage-deflate; server_max_window_bits=9, permessage-deflate"], "9"),
            (
                &[
                    "permessage-bzip2; level=\"9\"",
                    "x-webkit-deflate-frame",
                    "permessage-deflate; a",
                    "permessage-deflate",
                ],
                "",
            ),
            (&["permessage-deflate; mode=fast, permessage-deflate; server_max_window_bits=13"], "12"),
            (&[", ,permessage-deflate,"], ""),
            (&["", "permessage-deflate"], ""),
            (&["\tpermessage-deflate\t;\tclient_max_window_bits\t"], ""),
        ] {
            assert_eq!(answer(values), with(window), "{values:?}");
        }
    }

    #[test]
    fn what_cannot_be_agreed_to_is_declined() {
        for offer in [
            "",
            ",",
            "mux",
            "Permessage-Deflate",
            "permessage-deflate-2",
            "constructor; __proto__=1",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=1e1",
            "permessage-deflate; server_max_window_bits=265",
            "permessage-deflate; server_max_window_bits=99999999999999999999",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=x",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; unknown",
            "permessage-deflate; unknown; server_max_window_bits=10",
        ] {
            assert_eq!(answer(&[offer]), Ok(None), "{offer}");
        }
    }

    #[test]
    fn a_malformed_header_is_refused_wherever_it_is_wrong() {
        for value in [
            ";",
            "permessage-deflate;",
            "permessage-deflate; =9",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=\"",
            "permessage-deflate; server_max_window_bits=\"9",
            "permessage-deflate; server_max_window_bits=\"\"",
            "permessage-deflate; server_max_window_bits=\"9\"\"",
            "permessage-deflate; x=\"9 0\"",
            "permessage-deflate; x=\"\\",
            "permessage-deflate client_max_window_bits",
            "permessage-deflate; a b",
            "permessage-deflate, (x)",
            "permessage-deflate, x/y",
            "\"permessage-deflate\"",
            "permessage-deflate; \u{e9}",
        ] {
            assert_eq!(answer(&[value]), Err(400), "{value}");
            assert_eq!(answer(&["permessage-deflate", value]), Err(400), "{value}");
        }
    }
}
