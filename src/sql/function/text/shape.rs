//! Functions that change how a text looks: case, padding, trimming, replacing.

use crate::sql::function::definition::{Function, Overload};
use crate::sql::function::value::{map1, map2, map3};
use crate::sql::keyword::is_quoted;
use crate::types::SqlType::{Bytea, Int4, Int8, Text};
use crate::types::{Error, Result, SqlState};

/// The longest text that a function makes.
const TEXT_BYTES_MAX: usize = 1 << 30;

pub fn functions() -> Vec<Function> {
    let plain = |name, kernel| Function::new(name, vec![Overload::of([Text], Text, kernel)]).infallible();
    vec![
        plain("lower", |call| map1(call, |text: &str| Ok(cased(text, char::to_lowercase)))),
        plain("upper", |call| map1(call, |text: &str| Ok(cased(text, char::to_uppercase)))),
        plain("initcap", |call| map1(call, initcap)),
        plain("reverse", |call| map1(call, |text: &str| Ok(text.chars().rev().collect::<String>()))),
        Function::new("trim", trims(Side::Both)).infallible(),
        Function::new("btrim", trims(Side::Both)).infallible(),
        Function::new("ltrim", trims(Side::Left)).infallible(),
        Function::new("rtrim", trims(Side::Right)).infallible(),
        Function::new("lpad", pads(true)),
        Function::new("rpad", pads(false)),
        Function::new("repeat", vec![Overload::of([Text, Int4], Text, |call| map2(call, repeat))]),
        Function::new("replace", vec![Overload::of([Text, Text, Text], Text, |call| map3(call, replace))]).infallible(),
        Function::new("translate", vec![Overload::of([Text, Text, Text], Text, |call| map3(call, translate))])
            .infallible(),
        Function::new(
            "ascii",
            vec![Overload::of([Text], Int4, |call| {
                map1(call, |text: &str| Ok(text.chars().next().map_or(0, |first| first as i32)))
            })],
        )
        .infallible(),
        Function::new("chr", vec![Overload::of([Int4], Text, |call| map1(call, chr))]),
        Function::new(
            "to_hex",
            vec![
                Overload::of([Int4], Text, |call| map1(call, |value: i32| Ok(format!("{value:x}")))),
                Overload::of([Int8], Text, |call| map1(call, |value: i64| Ok(format!("{value:x}")))),
            ],
        )
        .infallible(),
        plain("quote_ident", |call| map1(call, |text: &str| Ok(quote_identifier(text)))),
        plain("quote_literal", |call| map1(call, |text: &str| Ok(quote_literal(text)))),
        Function::new("quote_nullable", vec![Overload::of([Text], Text, quote_nullable).not_strict()]).infallible(),
    ]
}

/// Characters whose other case is more than one character stay as they are, as in the C locale.
fn cased<I: Iterator<Item = char>>(text: &str, convert: fn(char) -> I) -> String {
    let one = |character: char| {
        let mut converted = convert(character);
        match (converted.next(), converted.next()) {
            (Some(only), None) => only,
            _ => character,
        }
    };
    text.chars().map(one).collect()
}

fn initcap(text: &str) -> Result<String> {
    let mut inside = false;
    let convert = |character: char| {
        let converted = if inside { character.to_lowercase().next() } else { character.to_uppercase().next() };
        inside = character.is_alphanumeric();
        converted.unwrap_or(character)
    };
    Ok(text.chars().map(convert).collect())
}

#[derive(Clone, Copy)]
enum Side {
    Both,
    Left,
    Right,
}

fn trims(side: Side) -> Vec<Overload> {
    macro_rules! overloads {
        ($left:expr, $right:expr) => {
            vec![
                Overload::of([Text], Text, |call| {
                    map1(call, |text: &str| Ok(trimmed(text, " ", $left, $right).to_string()))
                }),
                Overload::of([Text, Text], Text, |call| {
                    map2(call, |text: &str, characters: &str| Ok(trimmed(text, characters, $left, $right).to_string()))
                }),
                Overload::of([Bytea, Bytea], Bytea, |call| {
                    map2(call, |bytes: &[u8], set: &[u8]| Ok(trimmed_bytes(bytes, set, $left, $right).to_vec()))
                }),
            ]
        };
    }
    match side {
        Side::Both => overloads!(true, true),
        Side::Left => overloads!(true, false),
        Side::Right => overloads!(false, true),
    }
}

fn trimmed<'a>(text: &'a str, characters: &str, left: bool, right: bool) -> &'a str {
    let among = |character: char| characters.contains(character);
    let text = if left { text.trim_start_matches(among) } else { text };
    if right { text.trim_end_matches(among) } else { text }
}

fn trimmed_bytes<'a>(bytes: &'a [u8], set: &[u8], left: bool, right: bool) -> &'a [u8] {
    let mut bytes = bytes;
    while let Some((first, rest)) = bytes.split_first().filter(|(first, _)| left && set.contains(first)) {
        let _ = first;
        bytes = rest;
    }
    while let Some((last, rest)) = bytes.split_last().filter(|(last, _)| right && set.contains(last)) {
        let _ = last;
        bytes = rest;
    }
    bytes
}

fn pads(left: bool) -> Vec<Overload> {
    match left {
        true => vec![
            Overload::of([Text, Int4], Text, |call| {
                map2(call, |text: &str, length: i32| padded(text, length, " ", true))
            }),
            Overload::of([Text, Int4, Text], Text, |call| {
                map3(call, |text: &str, length: i32, fill: &str| padded(text, length, fill, true))
            }),
        ],
        false => vec![
            Overload::of([Text, Int4], Text, |call| {
                map2(call, |text: &str, length: i32| padded(text, length, " ", false))
            }),
            Overload::of([Text, Int4, Text], Text, |call| {
                map3(call, |text: &str, length: i32, fill: &str| padded(text, length, fill, false))
            }),
        ],
    }
}

fn padded(text: &str, length: i32, fill: &str, left: bool) -> Result<String> {
    let length = length.max(0) as usize;
    let size = text.chars().count();
    if length <= size {
        return Ok(text.chars().take(length).collect());
    }
    if length.saturating_mul(4) > TEXT_BYTES_MAX {
        return Err(too_long());
    }
    let padding: String = fill.chars().cycle().take(length - size).collect();
    Ok(if left { format!("{padding}{text}") } else { format!("{text}{padding}") })
}

fn too_long() -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large")
}

fn repeat(text: &str, times: i32) -> Result<String> {
    let times = times.max(0) as usize;
    if text.len().saturating_mul(times) > TEXT_BYTES_MAX {
        return Err(too_long());
    }
    Ok(text.repeat(times))
}

fn replace(text: &str, from: &str, to: &str) -> Result<String> {
    Ok(if from.is_empty() { text.to_string() } else { text.replace(from, to) })
}

fn translate(text: &str, from: &str, to: &str) -> Result<String> {
    let convert = |character: char| match from.chars().position(|candidate| candidate == character) {
        Some(place) => to.chars().nth(place),
        None => Some(character),
    };
    Ok(text.chars().filter_map(convert).collect())
}

fn chr(code: i32) -> Result<String> {
    match code {
        0 => Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "null character not permitted")),
        ..0 => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "character number must be positive")),
        _ => char::from_u32(code as u32).map(String::from).ok_or_else(|| {
            let message = format!("requested character not valid for encoding: {code}");
            Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
        }),
    }
}

pub fn quote_identifier(name: &str) -> String {
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let plain = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_';
    match starts && name.chars().all(plain) && !is_quoted(name) {
        true => name.to_string(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match text.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

fn quote_nullable(call: &crate::sql::function::definition::Call) -> Result<datafusion::arrow::array::ArrayRef> {
    use datafusion::arrow::array::AsArray;
    let quoted = |text: Option<&str>| Some(text.map_or("NULL".to_string(), quote_literal));
    let texts = call.array(0).as_string::<i32>().iter().map(quoted);
    Ok(std::sync::Arc::new(texts.collect::<datafusion::arrow::array::StringArray>()))
}
