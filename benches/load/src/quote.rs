//! Quotes as a market feed sends them, about 500 bytes of JSON each: prices that walk, sizes, levels, two times. Not
//! constant text, which would compress far too well. Seeded: the same quotes in every run, but for the times in them.

use std::io::Write;

use crate::pace::Dice;
use crate::stamp;

const SYMBOLS: usize = 200;
const VENUES: [&str; 6] = ["XNAS", "XNYS", "BATS", "ARCX", "IEXG", "EDGX"];
const LEVELS: u64 = 4;
/// Sizes are round lots, and mostly small.
const LOTS: [u64; 6] = [100, 100, 200, 300, 400, 500];

/// A feed of many symbols.
#[derive(Debug)]
pub struct Quotes {
    dice: Dice,
    symbols: Vec<Symbol>,
}

#[derive(Debug)]
struct Symbol {
    name: String,
    /// In cents.
    price: u64,
}

impl Quotes {
    /// A feed that begins with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let symbols = (0..SYMBOLS).map(|_| Symbol::new(&mut dice)).collect();
        Self { dice, symbols }
    }

    /// Writes the next quote over `out`, with the stamp at its beginning.
    pub fn write(&mut self, out: &mut Vec<u8>, sent: u64, number: u64) {
        let Self { dice, symbols } = self;
        out.clear();
        stamp::write_json(out, sent, number);
        let at = usize::try_from(dice.below(SYMBOLS as u64)).unwrap_or(0);
        let Some(symbol) = symbols.get_mut(at) else { return };
        let step = symbol.price / 5_000 + 1;
        symbol.price = (symbol.price + dice.below(2 * step + 1)).saturating_sub(step).max(500);
        let venue = VENUES[usize::try_from(dice.below(6)).unwrap_or(0)];
        // A vector takes all that is written.
        _ = write!(out, r#","type":"quote","symbol":"{}","venue":"{venue}","bids":["#, symbol.name);
        levels(out, dice, |level, gap| symbol.price.saturating_sub(level + gap));
        out.extend_from_slice(br#"],"asks":["#);
        levels(out, dice, |level, gap| symbol.price + 1 + level + gap);
        let micros = stamp::epoch(sent) / 1_000;
        time(out, r#"],"exchange_time":""#, micros.saturating_sub(40 + dice.below(900)));
        time(out, r#"","received_time":""#, micros);
        out.extend_from_slice(b"\"}");
    }
}

impl Symbol {
    fn new(dice: &mut Dice) -> Self {
        let letters = 3 + dice.below(2);
        let name = (0..letters).map(|_| char::from(b'A' + u8::try_from(dice.below(26)).unwrap_or(0))).collect();
        Self { name, price: 2_000 + dice.below(48_000) }
    }
}

fn levels(out: &mut Vec<u8>, dice: &mut Dice, price: impl Fn(u64, u64) -> u64) {
    let mut gap = 0;
    for level in 0..LEVELS {
        // Now and then a price has no orders.
        gap += u64::from(dice.below(5) == 0);
        let cents = price(level, gap);
        let size = if dice.below(3) == 0 {
            100 * (1 + dice.below(90))
        } else {
            LOTS[usize::try_from(dice.below(6)).unwrap_or(0)]
        };
        let orders = 1 + dice.below(9);
        let comma = if level == 0 { "" } else { "," };
        _ = write!(out, r#"{comma}{{"price":{},"size":{size},"orders":{orders}}}"#, Cents(cents));
    }
}

fn time(out: &mut Vec<u8>, before: &str, micros: u64) {
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes) = (seconds / 3_600 % 24, seconds / 60 % 60);
    _ = write!(out, "{before}2026-11-29T{hours:02}:{minutes:02}:{:02}.{micros:06}Z", seconds % 60);
}

/// As encoders of JSON write a number: without zeros at the end.
struct Cents(u64);

impl std::fmt::Display for Cents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, tens) if tens.is_multiple_of(10) => write!(f, "{whole}.{}", tens / 10),
            (whole, cents) => write!(f, "{whole}.{cents:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_json_of_500_bytes_that_carry_their_stamp_and_differ() {
        let (mut quotes, mut again, mut out) = (Quotes::new(1), Quotes::new(1), Vec::new());
        let (mut sum, mut last) = (0, Vec::new());
        for number in 0..1000u64 {
            quotes.write(&mut out, 5_000_000_000 + number, number);
            let text = serde_json::from_slice::<serde_json::Value>(&out);
            assert!(text.is_ok_and(|quote| quote["bids"].as_array().map(Vec::len) == Some(4)));
            assert_eq!(stamp::read_json(&out), Some((5_000_000_000 + number, number)));
            sum += out.len();
            assert_ne!(out, last);
            again.write(&mut last, 5_000_000_000 + number, number);
            assert_eq!(out, last);
        }
        assert!((480_000..520_000).contains(&sum), "{sum}");
    }
}
