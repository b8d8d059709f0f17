//! JSON objects. A field becomes a column's value as PostgreSQL's `json_populate_record` does it: through its text. So
//! `"12"` and `12` are both a bigint and `1.5` is none; numbers keep all their digits; a timestamp is a string, never a
//! number; text takes any value, as it is written; an array fills an array. Of equal names the last one counts; names
//! that are no columns are ignored; a missing field is NULL.

use std::borrow::Cow;
use std::fmt;

use arrow::array::ArrayRef;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Decoder;
use super::column::ColumnBuffer;
use crate::types::{Column, Error, Result, SqlState, SqlType};

/// Arrays in arrays, at most, as in PostgreSQL.
const ARRAY_DEPTH_MAX: usize = 6;

pub fn open(columns: &[Column]) -> Result<Box<dyn Decoder>> {
    let buffers = columns.iter().map(|column| ColumnBuffer::new(&column.sql_type)).collect();
    Ok(Box::new(JsonDecoder { columns: columns.to_vec(), buffers, rows: 0 }))
}

struct JsonDecoder {
    columns: Vec<Column>,
    buffers: Vec<ColumnBuffer>,
    rows: usize,
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        let fields = self.fields(utf8(bytes)?)?;
        self.push(&fields)
    }

    fn decode_key(&mut self, bytes: &[u8]) -> Result<()> {
        let text = utf8(bytes)?;
        if self.columns.len() > 1 || text.trim_start().starts_with('{') {
            let fields = self.fields(text)?;
            return self.push(&fields);
        }
        let value: &RawValue = serde_json::from_str(text).map_err(malformed)?;
        self.push(&[Some(value.get())])
    }

    fn push_nulls(&mut self) {
        self.buffers.iter_mut().for_each(ColumnBuffer::push_null);
        self.rows += 1;
    }

    fn truncate(&mut self, rows: usize) {
        self.buffers.iter_mut().for_each(|buffer| buffer.truncate(rows));
        self.rows = self.rows.min(rows);
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.rows = 0;
        self.buffers.iter_mut().map(ColumnBuffer::finish).collect()
    }
}

impl JsonDecoder {
    /// What an object holds for each column, as it is written there.
    fn fields<'a>(&self, text: &'a str) -> Result<Vec<Option<&'a str>>> {
        let mut fields = vec![None; self.columns.len()];
        let mut json = serde_json::Deserializer::from_str(text);
        let object = Object { columns: &self.columns, fields: &mut fields };
        object.deserialize(&mut json).and_then(|()| json.end()).map_err(malformed)?;
        Ok(fields)
    }

    /// Appends a row; an error takes back what the row already had.
    fn push(&mut self, fields: &[Option<&str>]) -> Result<()> {
        for ((column, buffer), field) in self.columns.iter().zip(&mut self.buffers).zip(fields) {
            let pushed = match field {
                None | Some("null") if column.nullable => {
                    buffer.push_null();
                    Ok(())
                }
                None | Some("null") => Err(null_in(column)),
                Some(json) => push_json(buffer, json).map_err(|error| in_column(column, error)),
            };
            if let Err(error) = pushed {
                let rows = self.rows;
                self.buffers.iter_mut().for_each(|buffer| buffer.truncate(rows));
                return Err(error);
            }
        }
        self.rows += 1;
        Ok(())
    }
}

/// Collects the fields of an object that are columns.
struct Object<'c, 'f, 'a> {
    columns: &'c [Column],
    fields: &'f mut [Option<&'a str>],
}

impl<'a> DeserializeSeed<'a> for Object<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Object<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        let mut expected = 0;
        while let Some(column) = map.next_key_seed(Name { columns: self.columns, expected })? {
            match column {
                Some(column) => {
                    self.fields[column] = Some(map.next_value::<&RawValue>()?.get());
                    expected = column + 1;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Finds the column of a name. Records mostly have their fields in the columns' order, so that one is tried first.
struct Name<'c> {
    columns: &'c [Column],
    expected: usize,
}

impl<'a> DeserializeSeed<'a> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        if self.columns.get(self.expected).is_some_and(|column| column.name == name) {
            return Ok(Some(self.expected));
        }
        Ok(self.columns.iter().position(|column| column.name == name))
    }
}

/// Appends a value other than null.
fn push_json(buffer: &mut ColumnBuffer, json: &str) -> Result<()> {
    match buffer.sql_type() {
        SqlType::Json | SqlType::Jsonb => buffer.push_text(json),
        SqlType::Array(_) if json.starts_with('[') => {
            let mut literal = String::with_capacity(json.len());
            write_array(json, 1, &mut literal)?;
            buffer.push_text(&literal)
        }
        _ => buffer.push_text(&text_of(json)?),
    }
}

/// A string's content; anything else as it is written.
fn text_of(json: &str) -> Result<Cow<'_, str>> {
    let Some(inside) = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Ok(Cow::Borrowed(json));
    };
    if !inside.contains('\\') {
        return Ok(Cow::Borrowed(inside));
    }
    let content: String = serde_json::from_str(json).map_err(malformed)?;
    if content.contains('\0') {
        let message = "a text can't contain the character with code 0 (\\u0000)";
        return Err(Error::new(SqlState::INVALID_BYTE_SEQUENCE, message));
    }
    Ok(Cow::Owned(content))
}

/// Writes a JSON array the way PostgreSQL writes arrays: `{1,NULL,"a b"}`.
fn write_array(json: &str, depth: usize, out: &mut String) -> Result<()> {
    if depth > ARRAY_DEPTH_MAX {
        let message = format!("arrays have at most {ARRAY_DEPTH_MAX} dimensions");
        return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
    }
    let elements: Vec<&RawValue> = serde_json::from_str(json).map_err(malformed)?;
    out.push('{');
    for (position, element) in elements.iter().map(|element| element.get()).enumerate() {
        if position > 0 {
            out.push(',');
        }
        match element.as_bytes().first() {
            Some(b'[') => write_array(element, depth + 1, out)?,
            Some(b'n') => out.push_str("NULL"),
            _ => {
                out.push('"');
                for character in text_of(element)?.chars() {
                    if matches!(character, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(character);
                }
                out.push('"');
            }
        }
    }
    out.push('}');
    Ok(())
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("not valid UTF-8 at byte {}", error.valid_up_to());
        Error::new(SqlState::INVALID_BYTE_SEQUENCE, message)
    })
}

fn malformed(error: serde_json::Error) -> Error {
    let what = if error.is_data() { "not a JSON object" } else { "not valid JSON" };
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("{what}: {error}"))
}

fn null_in(column: &Column) -> Error {
    let message = format!("null value in column \"{}\" violates not-null constraint", column.name);
    Error::new(SqlState::NOT_NULL_VIOLATION, message)
}

fn in_column(column: &Column, error: Error) -> Error {
    Error::new(error.state(), format!("column \"{}\": {}", column.name, error.message()))
}

#[cfg(test)]
mod tests;
