//! JSON documents, most of them valid, built from what parsers disagree on.

use arbitrary::{Arbitrary, Result, Unstructured};

/// The text of a document.
#[derive(Debug)]
pub struct Document(pub String);

impl<'a> Arbitrary<'a> for Document {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut text = String::new();
        push(u, &mut text, 0)?;
        Ok(Self(text))
    }
}

fn push(u: &mut Unstructured<'_>, out: &mut String, level: usize) -> Result<()> {
    match u.int_in_range(0..=if level < LEVELS { 9 } else { 6 })? {
        0 => out.push_str(u.choose(&["null", "true", "false"])?),
        1 => out.push_str(&u.arbitrary::<i64>()?.to_string()),
        2 => out.push_str(&u.arbitrary::<u64>()?.to_string()),
        3 => out.push_str(&serde_json::to_string(&u.arbitrary::<f64>()?).unwrap()),
        4 => out.push_str(&serde_json::to_string(u.arbitrary::<&str>()?).unwrap()),
        5 => out.push_str(u.choose(NUMBERS)?),
        6 => out.push_str(u.choose(STRINGS)?),
        7 => {
            out.push('[');
            for place in 0..u.int_in_range(0..=20)? {
                out.push_str(if place > 0 { u.choose(&[",", " ,\n"])? } else { "" });
                push(u, out, level + 1)?;
            }
            out.push(']');
        }
        8 => {
            out.push('{');
            for place in 0..u.int_in_range(0..=20)? {
                out.push_str(if place > 0 { "," } else { "" });
                out.push_str(u.choose(KEYS)?);
                out.push(':');
                push(u, out, level + 1)?;
            }
            out.push('}');
        }
        _ => {
            let (open, shut) = *u.choose(&[("[", "]"), ("{\"a\":", "}"), ("[[],", "]"), ("[{\"\":", "}]")])?;
            let times = u.int_in_range(0..=DEEP)?;
            out.push_str(&open.repeat(times));
            push(u, out, level + 1)?;
            // Not always closed as often as opened.
            out.push_str(&shut.repeat(times.saturating_sub(usize::from(u.ratio(1, 16)?))));
        }
    }
    Ok(())
}

/// The levels of the document's own structure; more may be put around it.
const LEVELS: usize = 12;
const DEEP: usize = 3_000;

#[rustfmt::skip]
const NUMBERS: &[&str] = &[
    "-0", "-0.0", "1e400", "-1E+400", "1e-400", "5e-324", "1.7976931348623157e308", "123456789012345678901234567890",
    "18446744073709551615", "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "1.0", "1e0",
    "0.1e1", "9007199254740993", "01", "+1", "1.", ".5", "NaN", "Infinity", "0x1", "1e", "--1",
];

#[rustfmt::skip]
const STRINGS: &[&str] = &[
    r#""\ud800""#, r#""\udc00\ud800""#, r#""\ud83d\ude00""#, r#""\ud83dx""#, r#""\u0000""#, r#""\/\b\f\n\r\t""#,
    "\"\u{7f}\u{2028}\u{10ffff}\"", "\"\u{1}\"", r#""\x""#, r#""\u12""#, "\"", "'a'", "",
];

#[rustfmt::skip]
const KEYS: &[&str] = &[
    "\"a\"", "\"a\"", r#""\u0061""#, "\"\"", "\"b\"", "\"payload\"", "\"__proto__\"", r#""\ud800""#, "1", "null",
    "\"$serde_json::private::RawValue\"", "\"$serde_json::private::Number\"",
];
