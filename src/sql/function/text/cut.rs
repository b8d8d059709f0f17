//! Functions that take texts apart: lengths, positions, pieces.

use crate::sql::function::definition::{Function, Overload};
use crate::sql::function::value::{map1, map2, map3, map4};
use crate::types::SqlType::{Bool, Bytea, Char, Int4, Text};
use crate::types::{Error, Result, SqlState};

pub fn functions() -> Vec<Function> {
    vec![
        Function::new("length", length_overloads()).infallible(),
        Function::new("char_length", text_length_overloads()).infallible(),
        Function::new("character_length", text_length_overloads()).infallible(),
        Function::new("octet_length", octet_overloads(1)).infallible(),
        Function::new("bit_length", octet_overloads(8)).infallible(),
        Function::new("substr", substring_overloads()),
        Function::new("substring", [substring_overloads(), super::regex::substring_overloads()].concat()),
        Function::new("strpos", vec![Overload::of([Text, Text], Int4, |call| map2(call, position))]).infallible(),
        Function::new(
            "position",
            vec![
                Overload::of([Text, Text], Int4, |call| map2(call, |text: &str, part: &str| position(text, part))),
                Overload::of([Bytea, Bytea], Int4, |call| map2(call, position_of_bytes)),
            ],
        )
        .infallible(),
        Function::new("left", vec![Overload::of([Text, Int4], Text, |call| map2(call, left))]).infallible(),
        Function::new("right", vec![Overload::of([Text, Int4], Text, |call| map2(call, right))]).infallible(),
        Function::new("split_part", vec![Overload::of([Text, Text, Int4], Text, |call| map3(call, split_part))]),
        Function::new(
            "starts_with",
            vec![Overload::of([Text, Text], Bool, |call| {
                map2(call, |text: &str, start: &str| Ok(text.starts_with(start)))
            })],
        )
        .infallible(),
        Function::new(
            "overlay",
            vec![
                Overload::of([Text, Text, Int4], Text, |call| {
                    map3(call, |text: &str, new: &str, start: i32| {
                        overlay(text, new, start, new.chars().count() as i32)
                    })
                }),
                Overload::of([Text, Text, Int4, Int4], Text, |call| map4(call, overlay)),
            ],
        ),
    ]
}

fn count(text: &str) -> i32 {
    text.chars().count() as i32
}

fn length_overloads() -> Vec<Overload> {
    let mut overloads = text_length_overloads();
    overloads.push(Overload::of([Bytea], Int4, |call| map1(call, |bytes: &[u8]| Ok(bytes.len() as i32))));
    overloads
}

/// The padding of char(n) does not count.
fn text_length_overloads() -> Vec<Overload> {
    vec![
        Overload::of([Text], Int4, |call| map1(call, |text: &str| Ok(count(text)))),
        Overload::of([Char(1)], Int4, |call| map1(call, |text: &str| Ok(count(text.trim_end_matches(' '))))),
    ]
}

/// Here it does.
fn octet_overloads(bits: i32) -> Vec<Overload> {
    let (text, bytes): (crate::sql::function::definition::Kernel, crate::sql::function::definition::Kernel) = match bits
    {
        8 => (
            |call| map1(call, |text: &str| Ok(text.len() as i32 * 8)),
            |call| map1(call, |bytes: &[u8]| Ok(bytes.len() as i32 * 8)),
        ),
        _ => (
            |call| map1(call, |text: &str| Ok(text.len() as i32)),
            |call| map1(call, |bytes: &[u8]| Ok(bytes.len() as i32)),
        ),
    };
    vec![Overload::of([Text], Int4, text), Overload::of([Char(1)], Int4, text), Overload::of([Bytea], Int4, bytes)]
}

fn substring_overloads() -> Vec<Overload> {
    vec![
        Overload::of([Text, Int4], Text, |call| map2(call, |text: &str, start: i32| substring(text, start, None))),
        Overload::of([Text, Int4, Int4], Text, |call| {
            map3(call, |text: &str, start: i32, length: i32| substring(text, start, Some(length)))
        }),
        Overload::of([Bytea, Int4], Bytea, |call| {
            map2(call, |bytes: &[u8], start: i32| Ok(bytes[window(start, None, bytes.len())?].to_vec()))
        }),
        Overload::of([Bytea, Int4, Int4], Bytea, |call| {
            map3(call, |bytes: &[u8], start: i32, length: i32| {
                Ok(bytes[window(start, Some(length), bytes.len())?].to_vec())
            })
        }),
    ]
}

/// The places from `start`, counted from 1, as many as `length`, that exist; a start before the first shortens it.
fn window(start: i32, length: Option<i32>, size: usize) -> Result<std::ops::Range<usize>> {
    let size = size as i64;
    let first = i64::from(start) - 1;
    let end = match length {
        Some(negative) if negative < 0 => {
            return Err(Error::new(SqlState::SUBSTRING_ERROR, "negative substring length not allowed"));
        }
        Some(length) => first + i64::from(length),
        None => size,
    };
    let (first, end) = (first.clamp(0, size), end.clamp(0, size));
    Ok(first as usize..end.max(first) as usize)
}

fn substring(text: &str, start: i32, length: Option<i32>) -> Result<&str> {
    if text.is_ascii() {
        return Ok(&text[window(start, length, text.len())?]);
    }
    let window = window(start, length, text.chars().count())?;
    let rest = &text[byte_at(text, window.start)..];
    Ok(&rest[..byte_at(rest, window.len())])
}

fn position(text: &str, part: &str) -> Result<i32> {
    Ok(text.find(part).map_or(0, |at| count(&text[..at]) + 1))
}

fn position_of_bytes(bytes: &[u8], part: &[u8]) -> Result<i32> {
    if part.is_empty() {
        return Ok(1);
    }
    Ok(bytes.windows(part.len()).position(|window| window == part).map_or(0, |at| at as i32 + 1))
}

/// The byte at which the character after the first `characters` starts.
fn byte_at(text: &str, characters: usize) -> usize {
    text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
}

/// How many characters `length` means: all but so many from the other end, if it is negative.
fn kept(text: &str, length: i32) -> usize {
    let size = text.chars().count() as i64;
    let length = i64::from(length);
    (if length < 0 { size + length } else { length }).clamp(0, size) as usize
}

fn left(text: &str, length: i32) -> Result<&str> {
    Ok(&text[..byte_at(text, kept(text, length))])
}

fn right(text: &str, length: i32) -> Result<&str> {
    let skipped = text.chars().count() - kept(text, length);
    Ok(&text[byte_at(text, skipped)..])
}

fn split_part<'a>(text: &'a str, delimiter: &str, field: i32) -> Result<&'a str> {
    if field == 0 {
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "field position must not be zero"));
    }
    let whole = if field == 1 || field == -1 { text } else { "" };
    if delimiter.is_empty() || text.is_empty() {
        return Ok(whole);
    }
    let place = field.unsigned_abs() as usize - 1;
    let mut bytes = delimiter.bytes();
    let part = match (field > 0, bytes.next(), bytes.next()) {
        // Searching for one byte needs no set-up.
        (true, Some(byte), None) => between(text, byte, place),
        (true, ..) => text.split(delimiter).nth(place),
        (false, ..) => text.split(delimiter).collect::<Vec<_>>().into_iter().rev().nth(place),
    };
    Ok(part.unwrap_or_default())
}

/// The part of a text before the byte that comes after so many others of its kind.
fn between(text: &str, byte: u8, place: usize) -> Option<&str> {
    let mut ends = memchr::memchr_iter(byte, text.as_bytes());
    let start = match place {
        0 => 0,
        _ => ends.nth(place - 1)? + 1,
    };
    Some(&text[start..ends.next().unwrap_or(text.len())])
}

fn overlay(text: &str, new: &str, start: i32, length: i32) -> Result<String> {
    if start <= 0 {
        return Err(Error::new(SqlState::SUBSTRING_ERROR, "negative substring length not allowed"));
    }
    let first = byte_at(text, start as usize - 1);
    let resume = (i64::from(start) - 1 + i64::from(length)).max(0) as usize;
    Ok(format!("{}{new}{}", &text[..first], &text[byte_at(text, resume)..]))
}
