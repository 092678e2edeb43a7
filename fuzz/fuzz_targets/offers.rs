//! The header `Sec-WebSocket-Extensions`: offers that are known to be right or wrong, and any bytes.
#![no_main]

use arbitrary::Arbitrary;
use fanwire::wire::deflate::Deflate;
use fanwire::wire::deflate_offer::{Agreement, choose};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    offers: Vec<Offer>,
    /// Whether each is in a header of its own.
    is_apart: bool,
    any: &'a [u8],
}

#[derive(Arbitrary, Debug)]
struct Offer {
    name: u8,
    parameters: Vec<Parameter>,
}

#[derive(Arbitrary, Debug)]
struct Parameter {
    name: u8,
    value: u8,
    number: u8,
    /// White space, and how the value is quoted.
    style: u8,
}

const NAMES: [&str; 6] =
    ["permessage-deflate", "permessage-deflate", "permessage-deflate", "mux", "x", "Permessage-deflate"];

const PARAMETERS: [&str; 6] = [
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_max_window_bits",
    "client_max_window_bits",
    "server_max_window",
    "__proto__",
];

impl Parameter {
    fn name(&self) -> &'static str {
        PARAMETERS[usize::from(self.name) % PARAMETERS.len()]
    }

    fn value(&self) -> Option<String> {
        match self.value % 4 {
            0 => None,
            1 => Some("true".into()),
            2 => Some(format!("0{}", self.number)),
            _ => Some((self.number % 20).to_string()),
        }
    }

    fn write(&self, line: &mut String) {
        let space = [" ", "", "\t", "  "][usize::from(self.style) % 4];
        line.extend([space, ";", space, self.name()]);
        let Some(value) = self.value() else { return };
        line.extend([space, "=", space]);
        match self.style >> 4 {
            0..8 => line.push_str(&value),
            8..12 => line.extend(["\"", &value, "\""]),
            _ => {
                line.push('"');
                value.chars().for_each(|char| line.extend(['\\', char]));
                line.push('"');
            }
        }
    }
}

/// What RFC 7692 section 7.1 says about an offer, and that a window of 8 bits is declined.
fn expected(Offer { name, parameters }: &Offer) -> Option<Agreement> {
    let is_ours = NAMES[usize::from(*name) % NAMES.len()] == "permessage-deflate";
    let mut window = None;
    for (place, parameter) in parameters.iter().enumerate() {
        let bits = parameter.value().filter(|_| parameter.value % 4 == 3).and_then(|value| value.parse::<u8>().ok());
        let bits = bits.filter(|bits| (8..=15).contains(bits));
        let is_right = match parameter.name() {
            "server_no_context_takeover" | "client_no_context_takeover" => parameter.value().is_none(),
            "client_max_window_bits" => parameter.value().is_none() || bits.is_some(),
            "server_max_window_bits" => bits.is_some_and(|bits| bits > 8),
            _ => false,
        };
        if !is_right || parameters[..place].iter().any(|other| other.name() == parameter.name()) {
            return None;
        }
        if parameter.name() == "server_max_window_bits" {
            window = bits;
        }
    }
    let deflate = match window.unwrap_or(15) {
        9..=11 => Deflate::Window9,
        12..=14 => Deflate::Window12,
        _ => Deflate::Window15,
    };
    is_ours.then_some(Agreement { deflate, is_window_asked: window.is_some() })
}

fuzz_target!(|input: Input<'_>| {
    let lines = input.offers.iter().map(|offer| {
        let mut line = NAMES[usize::from(offer.name) % NAMES.len()].to_owned();
        offer.parameters.iter().for_each(|parameter| parameter.write(&mut line));
        line
    });
    let lines: Vec<String> = lines.collect();
    let lines = if input.is_apart { lines } else { vec![lines.join(",")] };
    let wanted = input.offers.iter().find_map(expected);
    let chosen = choose(lines.iter().map(|line| line.as_bytes())).expect("nothing is malformed");
    assert_eq!(chosen, wanted);
    if let Some(agreement) = chosen {
        // The answer is an offer that leads to the same.
        let answer = agreement.to_string();
        assert_eq!(choose([answer.as_bytes()].into_iter()), Ok(Some(agreement)));
    }
    // Any bytes beside them are malformed, or offers that come after these.
    let any = choose(lines.iter().map(|line| line.as_bytes()).chain([input.any]));
    if let Ok(any) = any {
        assert_eq!(any, wanted.or(choose([input.any].into_iter()).expect("it is not malformed alone")));
    }
});
