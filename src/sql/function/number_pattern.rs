//! Numbers by a pattern, to_char and to_number: `FM999,990.00`, `S999`, `9D99PR`.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringBuilder};

use super::definition::{Call, Overload};
use super::value::{Unscaled, map2};
use crate::types::SqlType::{Float4, Float8, Int4, Int8, Numeric, Text};
use crate::types::text::{Digits, TextWriter};
use crate::types::{Error, Result, SqlState};

pub fn overloads() -> Vec<Overload> {
    let mut overloads: Vec<Overload> =
        [Int4, Int8, Float8, Float4].map(|found| Overload::of([found, Text], Text, numbers)).to_vec();
    let numeric = [Numeric(None), Text].map(super::definition::Parameter::Is);
    overloads.insert(2, Overload::new(numeric, super::definition::Gives::Is(Text), numbers));
    overloads
}

pub fn to_number_overloads() -> Vec<Overload> {
    vec![Overload::of([Text, Text], Numeric(None), |call| map2(call, to_number))]
}

/// What a pattern asks for.
#[derive(Default)]
struct Layout {
    /// Places before the point and behind it: whether each is a 0, and what separators stand before it.
    whole: Vec<Place>,
    fraction: Vec<Place>,
    has_point: bool,
    fill: bool,
    sign: Sign,
    prefix: String,
    suffix: String,
}

#[derive(Default)]
struct Place {
    zero: bool,
    /// Literals between the place before and this one; a comma is a group separator.
    before: String,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Sign {
    /// A minus directly before the first digit, a blank without one.
    #[default]
    Floating,
    /// S before or behind the number.
    Before,
    After,
    /// MI behind the number, or before it.
    MinusAfter,
    MinusBefore,
    /// PR: negative numbers in angle brackets.
    Brackets,
}

fn layout(pattern: &str) -> Result<Layout> {
    let mut layout = Layout::default();
    let mut pending = String::new();
    let mut rest = pattern;
    let unsupported =
        |what: &str| Error::unsupported(format!("the pattern \"{what}\" in to_char() of numbers is not supported"));
    while let Some(first) = rest.chars().next() {
        let two = rest.get(..2).unwrap_or("").to_ascii_uppercase();
        let started = !layout.whole.is_empty() || layout.has_point;
        let taken = match (first.to_ascii_uppercase(), two.as_str()) {
            (_, "FM") => {
                layout.fill = true;
                2
            }
            (_, "MI") => {
                layout.sign = if started { Sign::MinusAfter } else { Sign::MinusBefore };
                2
            }
            (_, "PR") => {
                layout.sign = Sign::Brackets;
                2
            }
            (_, "SG" | "PL" | "RN" | "TH") | ('V', _) => return Err(unsupported(&two)),
            (_, "EE") => return Err(unsupported("EEEE")),
            ('S', _) => {
                layout.sign = if started { Sign::After } else { Sign::Before };
                1
            }
            (digit @ ('9' | '0'), _) => {
                let place = Place { zero: digit == '0', before: std::mem::take(&mut pending) };
                if layout.has_point {
                    layout.fraction.push(place)
                } else {
                    layout.whole.push(place)
                }
                1
            }
            ('.' | 'D', _) => {
                layout.has_point = true;
                1
            }
            (',' | 'G', _) => {
                pending.push(',');
                1
            }
            ('L', _) => 1,
            ('"', _) => {
                let end = rest[1..].find('"').map_or(rest.len(), |end| end + 2);
                let literal = rest[1..end].trim_end_matches('"');
                if started {
                    layout.suffix.push_str(literal)
                } else {
                    layout.prefix.push_str(literal)
                }
                end
            }
            _ => {
                if started {
                    layout.suffix.push(first)
                } else {
                    layout.prefix.push(first)
                }
                first.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    Ok(layout)
}

fn numbers(call: &Call) -> Result<ArrayRef> {
    let values = call.array(0);
    let patterns = call.array(1).as_string::<i32>();
    let writer = TextWriter::new(values, &call.types[0], &call.style())?;
    let mut builder = StringBuilder::new();
    let mut text = String::new();
    for row in 0..call.rows {
        if values.is_null(row) || patterns.is_null(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        writer.write(row, &mut text);
        builder.append_value(written(&text, &layout(patterns.value(row))?)?);
    }
    Ok(std::sync::Arc::new(builder.finish()))
}

/// A number's text in a layout; with `#` for digits if it does not fit.
fn written(text: &str, layout: &Layout) -> Result<String> {
    let places = layout.fraction.len();
    let digits = Digits::read(text)?;
    let scaled = digits.and_then(|digits| digits.with_scale(places as i8));
    let magnitude = scaled.map(|value| value.to_string());
    let negative = magnitude.as_ref().is_some_and(|text| text.starts_with('-'));
    let magnitude = magnitude.map(|text| text.trim_start_matches('-').to_string());
    let padded = magnitude.map(|digits| format!("{digits:0>width$}", width = places + 1));
    let (whole, fraction) = match &padded {
        Some(padded) => padded.split_at(padded.len() - places),
        None => ("", ""),
    };
    let whole = whole.trim_start_matches('0');
    let fits = padded.is_some() && whole.len() <= layout.whole.len();
    let body = if fits { digits_in_places(whole, fraction, layout) } else { overflowing(layout) };
    Ok(signed(body, negative && fits, layout))
}

/// The digits, blanks where leading nines have none.
fn digits_in_places(whole: &str, fraction: &str, layout: &Layout) -> String {
    let places = layout.whole.len();
    let first_zero = layout.whole.iter().position(|place| place.zero).unwrap_or(places);
    // Without a fraction zero is a digit, not a blank.
    let shown = whole.len().max(usize::from(layout.fraction.is_empty())).min(places);
    let start = (places - shown).min(first_zero);
    let mut body = String::new();
    for (at, place) in layout.whole.iter().enumerate() {
        if at < start {
            let blanks = 1 + place.before.chars().count();
            body.extend(std::iter::repeat_n(' ', blanks));
            continue;
        }
        match at == start {
            true => body.extend(place.before.chars().map(|_| ' ')),
            false => body.push_str(&place.before),
        }
        let from_end = places - at;
        let digit = if from_end <= whole.len() { &whole[whole.len() - from_end..][..1] } else { "0" };
        body.push_str(digit);
    }
    // PostgreSQL writes no point without places behind it.
    if !layout.fraction.is_empty() {
        body.push('.');
        let kept = match layout.fill {
            true => {
                let forced = layout.fraction.iter().rposition(|place| place.zero).map_or(0, |at| at + 1);
                fraction.trim_end_matches('0').len().max(forced)
            }
            false => fraction.len(),
        };
        body.push_str(&fraction[..kept]);
    }
    body
}

fn overflowing(layout: &Layout) -> String {
    let mut body: String = layout.whole.iter().map(|place| format!("{}#", place.before)).collect();
    if layout.has_point {
        body.push('.');
        body.extend(layout.fraction.iter().map(|_| '#'));
    }
    body
}

fn signed(body: String, negative: bool, layout: &Layout) -> String {
    let digits = body.trim_start();
    let blanks = &body[..body.len() - digits.len()];
    let number = match layout.sign {
        Sign::Floating => format!("{blanks}{}{digits}", if negative { "-" } else { " " }),
        Sign::Before => format!("{blanks}{}{digits}", if negative { "-" } else { "+" }),
        Sign::After => format!("{body}{}", if negative { "-" } else { "+" }),
        Sign::MinusAfter => format!("{body}{}", if negative { "-" } else { " " }),
        Sign::MinusBefore => format!("{}{body}", if negative { "-" } else { " " }),
        Sign::Brackets if negative => format!("{blanks}<{digits}>"),
        Sign::Brackets => format!("{blanks} {digits} "),
    };
    let number = if layout.fill { number.trim().to_string() } else { number };
    format!("{}{number}{}", layout.prefix, layout.suffix)
}

/// Takes the digits, the point and the sign of a text, and leaves the rest.
fn to_number(text: &str, _: &str) -> Result<Unscaled> {
    let negative = text.contains('-') || text.contains('<');
    let kept: String = text.chars().filter(|character| character.is_ascii_digit() || *character == '.').collect();
    let digits = Digits::read(&kept)?.ok_or_else(|| {
        let message = format!("invalid input syntax for type numeric: \"{text}\"");
        Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
    })?;
    let value = digits.with_scale(16).and_then(|value| value.to_i128());
    let value = value.ok_or_else(super::arithmetic::numeric::out_of_range)?;
    Ok(Unscaled(if negative { -value } else { value }))
}
