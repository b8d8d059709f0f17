//! format(), string_to_array and array_to_string.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, ListBuilder, StringBuilder};

use super::shape::{quote_identifier, quote_literal};
use crate::sql::function::definition::{Call, Function, Gives, Overload, Parameter};
use crate::types::SqlType::{self, Text};
use crate::types::text::TextWriter;
use crate::types::{Error, Result, SqlState};

pub fn functions() -> Vec<Function> {
    let texts = SqlType::Array(Box::new(Text));
    let text = || Parameter::Is(Text);
    vec![
        Function::new(
            "format",
            vec![Overload::new([text(), Parameter::Any], Gives::Is(Text), format_rows).variadic().not_strict()],
        ),
        Function::new(
            "string_to_array",
            vec![
                Overload::of([Text, Text], texts.clone(), string_to_array).not_strict(),
                Overload::of([Text, Text, Text], texts, string_to_array).not_strict(),
            ],
        )
        .infallible(),
        Function::new(
            "array_to_string",
            vec![
                Overload::new([Parameter::Array, text()], Gives::Is(Text), array_to_string).not_strict(),
                Overload::new([Parameter::Array, text(), text()], Gives::Is(Text), array_to_string).not_strict(),
            ],
        )
        .infallible(),
    ]
}

fn format_rows(call: &Call) -> Result<ArrayRef> {
    let style = call.style();
    let arguments = call.arrays().iter().zip(call.types).skip(1);
    let writers = arguments.map(|(array, found)| TextWriter::new(array, found, &style)).collect::<Result<Vec<_>>>()?;
    let templates = call.array(0).as_string::<i32>();
    let mut builder = StringBuilder::new();
    for row in 0..call.rows {
        if templates.is_null(row) {
            builder.append_null();
            continue;
        }
        let value = |place: usize| -> Result<Option<String>> {
            let writer = writers
                .get(place)
                .ok_or_else(|| Error::new(SqlState::INVALID_PARAMETER_VALUE, "too few arguments for format()"))?;
            Ok(call.array(place + 1).is_valid(row).then(|| {
                let mut text = String::new();
                writer.write(row, &mut text);
                text
            }))
        };
        builder.append_value(formatted(templates.value(row), value)?);
    }
    Ok(Arc::new(builder.finish()))
}

/// `%[position$][-][width]type` with the types s, I, L and %.
fn formatted(template: &str, value: impl Fn(usize) -> Result<Option<String>>) -> Result<String> {
    let mut text = String::new();
    let mut next = 0;
    let mut chars = template.chars().peekable();
    while let Some(character) = chars.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let (mut digits, mut left) = (String::new(), false);
        let kind = loop {
            match chars.next() {
                Some('$') => {
                    next = digits.parse::<usize>().ok().filter(|place| *place > 0).ok_or_else(|| {
                        let message = "format specifies argument 0, but arguments are numbered from 1";
                        Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
                    })? - 1;
                    digits.clear();
                }
                Some('-') => left = true,
                Some(digit) if digit.is_ascii_digit() => digits.push(digit),
                Some(kind) => break kind,
                None => {
                    return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "unterminated format() type specifier")
                        .with_hint("For a single \"%\" use \"%%\"."));
                }
            }
        };
        if kind == '%' {
            text.push('%');
            continue;
        }
        let argument = value(next)?;
        next += 1;
        let piece = piece(kind, argument)?;
        let padding = " ".repeat(digits.parse::<usize>().unwrap_or(0).saturating_sub(piece.chars().count()));
        match left {
            true => text.extend([piece, padding]),
            false => text.extend([padding, piece]),
        }
    }
    Ok(text)
}

fn piece(kind: char, argument: Option<String>) -> Result<String> {
    match (kind, argument) {
        ('s', argument) => Ok(argument.unwrap_or_default()),
        ('I', Some(name)) => Ok(quote_identifier(&name)),
        ('I', None) => {
            Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, "null values cannot be formatted as an SQL identifier"))
        }
        ('L', argument) => Ok(argument.map_or("NULL".into(), |text| quote_literal(&text))),
        (other, _) => {
            let message = format!("unrecognized format() type specifier \"{other}\"");
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint("For a single \"%\" use \"%%\"."))
        }
    }
}

/// A NULL delimiter splits into characters; a part that equals the third argument is NULL.
fn string_to_array(call: &Call) -> Result<ArrayRef> {
    let (texts, delimiters) = (call.array(0).as_string::<i32>(), call.array(1).as_string::<i32>());
    let nulls = call.arrays().get(2).map(|nulls| nulls.as_string::<i32>());
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        if texts.is_null(row) {
            builder.append_null();
            continue;
        }
        let text = texts.value(row);
        let null = nulls.filter(|nulls| nulls.is_valid(row)).map(|nulls| nulls.value(row));
        let mut append = |part: &str| builder.values().append_option(Some(part).filter(|part| null != Some(*part)));
        match delimiters.is_valid(row).then(|| delimiters.value(row)) {
            _ if text.is_empty() => {}
            None => text.chars().for_each(|character| append(character.encode_utf8(&mut [0; 4]))),
            Some("") => append(text),
            Some(delimiter) => text.split(delimiter).for_each(append),
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

fn array_to_string(call: &Call) -> Result<ArrayRef> {
    let list: &ListArray = call.array(0).as_list();
    let delimiters = call.array(1).as_string::<i32>();
    let nulls = call.arrays().get(2).map(|nulls| nulls.as_string::<i32>());
    let element = match &call.types[0] {
        SqlType::Array(element) => element.as_ref().clone(),
        _ => Text,
    };
    let writer = TextWriter::new(list.values(), &element, &call.style())?;
    let mut builder = StringBuilder::new();
    for row in 0..call.rows {
        if list.is_null(row) || delimiters.is_null(row) {
            builder.append_null();
            continue;
        }
        let null = nulls.filter(|nulls| nulls.is_valid(row)).map(|nulls| nulls.value(row));
        let mut text = String::new();
        let mut first = true;
        for item in list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize {
            let missing = list.values().is_null(item);
            if missing && null.is_none() {
                continue;
            }
            if !first {
                text.push_str(delimiters.value(row));
            }
            first = false;
            match null.filter(|_| missing) {
                Some(null) => text.push_str(null),
                None => writer.write(item, &mut text),
            }
        }
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}
