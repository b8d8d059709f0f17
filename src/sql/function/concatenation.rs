//! The operator `||`: texts, byte strings, arrays, and text with anything that can be written.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, MutableArrayData, StringBuilder, make_array};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};

use super::cast::words;
use super::definition::{Call, Function, Gives, Notation, Overload, Parameter};
use super::value::map2;
use crate::types::text::TextWriter;
use crate::types::{Result, SqlType};

pub fn operators() -> Vec<Function> {
    let text = || Parameter::Is(SqlType::Text);
    let overloads = vec![
        Overload::of([SqlType::Text, SqlType::Text], SqlType::Text, texts),
        Overload::of([SqlType::Bytea, SqlType::Bytea], SqlType::Bytea, bytes),
        Overload::new([text(), Parameter::Any], Gives::Is(SqlType::Text), written),
        Overload::new([Parameter::Any, text()], Gives::Is(SqlType::Text), written),
        Overload::new([Parameter::Array, Parameter::Array], Gives::Array, arrays).not_strict(),
        Overload::new([Parameter::Array, Parameter::Element], Gives::Array, appended).not_strict(),
        Overload::new([Parameter::Element, Parameter::Array], Gives::Array, prepended).not_strict(),
    ];
    vec![Function::new("||", overloads).written(Notation::Infix).infallible()]
}

fn texts(call: &Call) -> Result<ArrayRef> {
    let (left, right) = (call.array(0).as_string::<i32>(), call.array(1).as_string::<i32>());
    let mut builder = StringBuilder::with_capacity(call.rows, left.values().len() + right.values().len());
    let mut joined = String::new();
    for pair in left.iter().zip(right) {
        let (Some(left), Some(right)) = pair else {
            builder.append_null();
            continue;
        };
        joined.clear();
        joined.push_str(left);
        joined.push_str(right);
        builder.append_value(&joined);
    }
    Ok(Arc::new(builder.finish()))
}

fn bytes(call: &Call) -> Result<ArrayRef> {
    map2(call, |left: &[u8], right: &[u8]| Ok([left, right].concat()))
}

fn written(call: &Call) -> Result<ArrayRef> {
    let style = call.style();
    let [(left, left_type), (right, right_type)] = [0, 1].map(|place| as_cast(call.array(place), &call.types[place]));
    let first = TextWriter::new(&left, &left_type, &style)?;
    let second = TextWriter::new(&right, &right_type, &style)?;
    let mut builder = StringBuilder::new();
    let mut text = String::new();
    for row in 0..call.rows {
        if left.is_null(row) || right.is_null(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        first.write(row, &mut text);
        second.write(row, &mut text);
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}

/// A column that is written as a cast to text would: booleans are words there.
fn as_cast(array: &ArrayRef, sql_type: &SqlType) -> (ArrayRef, SqlType) {
    match sql_type {
        SqlType::Bool => (words(array.as_boolean()), SqlType::Text),
        other => (array.clone(), other.clone()),
    }
}

/// NULL beside an array adds nothing.
pub fn arrays(call: &Call) -> Result<ArrayRef> {
    joined(call, |call, place, row| {
        let list: &ListArray = call.array(place).as_list();
        let offsets = list.value_offsets();
        list.is_valid(row).then(|| (offsets[row] as usize, offsets[row + 1] as usize))
    })
}

pub fn appended(call: &Call) -> Result<ArrayRef> {
    joined(call, elements_or_one)
}

pub fn prepended(call: &Call) -> Result<ArrayRef> {
    joined(call, elements_or_one)
}

fn is_list(call: &Call, place: usize) -> bool {
    matches!(call.types[place], SqlType::Array(_))
}

fn elements_or_one(call: &Call, place: usize, row: usize) -> Option<(usize, usize)> {
    if !is_list(call, place) {
        return Some((row, row + 1));
    }
    let list: &ListArray = call.array(place).as_list();
    let offsets = list.value_offsets();
    match list.is_valid(row) {
        true => Some((offsets[row] as usize, offsets[row + 1] as usize)),
        false => Some((0, 0)),
    }
}

/// Copies the ranges of elements that each side gives for a row; NULL if neither gives any.
fn joined(call: &Call, range: fn(&Call, usize, usize) -> Option<(usize, usize)>) -> Result<ArrayRef> {
    let data = [0, 1].map(|place| match is_list(call, place) {
        true => call.array(place).as_list::<i32>().values().to_data(),
        false => call.array(place).to_data(),
    });
    let mut items = MutableArrayData::new(data.iter().collect(), true, call.rows);
    let (mut lengths, mut valid) = (Vec::with_capacity(call.rows), Vec::with_capacity(call.rows));
    for row in 0..call.rows {
        let ranges = [range(call, 0, row), range(call, 1, row)];
        let mut length = 0;
        for (place, (start, end)) in
            ranges.iter().enumerate().filter_map(|(place, found)| found.map(|found| (place, found)))
        {
            items.extend(place, start, end);
            length += end - start;
        }
        lengths.push(length);
        valid.push(ranges.iter().any(Option::is_some));
    }
    let field = match call.result {
        datafusion::arrow::datatypes::DataType::List(field) => field.clone(),
        other => {
            return Err(crate::types::Error::internal(format!("arrays join to an array, not to {other}")));
        }
    };
    let nulls = NullBuffer::from(valid);
    Ok(Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), make_array(items.freeze()), Some(nulls))))
}
