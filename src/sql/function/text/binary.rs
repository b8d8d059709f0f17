//! Byte strings as text and back, and digests. The digests themselves are DataFusion's.

use datafusion::arrow::array::ArrayRef;
use datafusion::functions::crypto;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use std::sync::Arc;

use crate::sql::function::definition::{Call, Function, Overload};
use crate::sql::function::value::{map1, map2};
use crate::types::SqlType::{Bytea, Int4, Int8, Text};
use crate::types::text::{read_escaped, read_hex, write_hex};
use crate::types::{Error, Result, SqlState};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Characters of a line of base64.
const BASE64_LINE: usize = 76;

pub fn functions() -> Vec<Function> {
    let digest = |name, kernel| Function::new(name, vec![Overload::of([Bytea], Bytea, kernel)]).infallible();
    vec![
        Function::new("encode", vec![Overload::of([Bytea, Text], Text, |call| map2(call, encode))]),
        Function::new("decode", vec![Overload::of([Text, Text], Bytea, |call| map2(call, decode))]),
        Function::new("get_byte", vec![Overload::of([Bytea, Int4], Int4, |call| map2(call, get_byte))]),
        Function::new(
            "bit_count",
            vec![Overload::of([Bytea], Int8, |call| {
                map1(call, |bytes: &[u8]| Ok(bytes.iter().map(|byte| i64::from(byte.count_ones())).sum::<i64>()))
            })],
        )
        .infallible(),
        Function::new(
            "md5",
            vec![
                Overload::of([Text], Text, |call| hexadecimal(call, &crypto::md5())),
                Overload::of([Bytea], Text, |call| hexadecimal(call, &crypto::md5())),
            ],
        )
        .infallible(),
        digest("sha224", |call| digest_of(call, &crypto::sha224())),
        digest("sha256", |call| digest_of(call, &crypto::sha256())),
        digest("sha384", |call| digest_of(call, &crypto::sha384())),
        digest("sha512", |call| digest_of(call, &crypto::sha512())),
        Function::new("convert_from", vec![Overload::of([Bytea, Text], Text, |call| map2(call, convert_from))]),
        Function::new("convert_to", vec![Overload::of([Text, Text], Bytea, |call| map2(call, convert_to))]),
    ]
}

/// DataFusion's function over the first argument.
fn digest_of(call: &Call, function: &Arc<ScalarUDF>) -> Result<ArrayRef> {
    let argument = call.array(0).clone();
    let field = |data_type| Arc::new(datafusion::arrow::datatypes::Field::new("bytes", data_type, true));
    let result = function.invoke_with_args(ScalarFunctionArgs {
        arg_fields: vec![field(argument.data_type().clone())],
        return_field: field(function.return_type(&[argument.data_type().clone()])?),
        args: vec![ColumnarValue::Array(argument)],
        number_rows: call.rows,
        config_options: Arc::new(call.options.clone()),
    })?;
    let array = result.into_array(call.rows)?;
    Ok(datafusion::arrow::compute::cast(&array, call.result)?)
}

/// md5 gives its digits as text already.
fn hexadecimal(call: &Call, function: &Arc<ScalarUDF>) -> Result<ArrayRef> {
    digest_of(call, function)
}

fn unknown_encoding(name: &str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unrecognized encoding: \"{name}\""))
}

fn encode(bytes: &[u8], format: &str) -> Result<String> {
    let mut text = String::new();
    match format.to_ascii_lowercase().as_str() {
        "hex" => write_hex(bytes, &mut text),
        "base64" => write_base64(bytes, &mut text),
        "escape" => {
            for &byte in bytes {
                match byte {
                    b'\\' => text.push_str("\\\\"),
                    0 | 128.. => text.push_str(&format!("\\{byte:03o}")),
                    _ => text.push(byte as char),
                }
            }
        }
        _ => return Err(unknown_encoding(format)),
    }
    Ok(text)
}

fn write_base64(bytes: &[u8], text: &mut String) {
    let mut written = 0;
    for chunk in bytes.chunks(3) {
        if written == BASE64_LINE {
            text.push('\n');
            written = 0;
        }
        let group =
            chunk.iter().enumerate().fold(0u32, |group, (place, &byte)| group | u32::from(byte) << (16 - 8 * place));
        for place in 0..4 {
            let digit = BASE64[(group >> (18 - 6 * place)) as usize & 63] as char;
            text.push(if place <= chunk.len() { digit } else { '=' });
        }
        written += 4;
    }
}

fn decode(text: &str, format: &str) -> Result<Vec<u8>> {
    match format.to_ascii_lowercase().as_str() {
        "hex" => read_hex(text),
        "base64" => read_base64(text),
        "escape" => read_escaped(text.as_bytes()),
        _ => Err(unknown_encoding(format)),
    }
}

fn read_base64(text: &str) -> Result<Vec<u8>> {
    let invalid = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let mut bytes = vec![];
    let (mut group, mut digits, mut padding) = (0u32, 0, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let value = match byte {
            b'=' => {
                padding += 1;
                0
            }
            _ => BASE64.iter().position(|&digit| digit == byte).filter(|_| padding == 0).ok_or_else(|| {
                invalid(format!("invalid symbol \"{}\" found while decoding base64 sequence", byte as char))
            })?,
        };
        group = group << 6 | value as u32;
        digits += 1;
        if digits == 4 {
            bytes.extend(&group.to_be_bytes()[1..4 - padding.min(2)]);
            (group, digits) = (0, 0);
        }
    }
    match digits {
        0 => Ok(bytes),
        _ => Err(invalid("invalid base64 end sequence".into())
            .with_hint("Input data is missing padding, is truncated, or is otherwise corrupted.")),
    }
}

fn get_byte(bytes: &[u8], place: i32) -> Result<i32> {
    let found = usize::try_from(place).ok().and_then(|place| bytes.get(place));
    found.map(|&byte| i32::from(byte)).ok_or_else(|| {
        let message = format!("index {place} out of valid range, 0..{}", bytes.len() as i64 - 1);
        Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message)
    })
}

fn check_utf8(encoding: &str) -> Result<()> {
    match encoding.to_ascii_lowercase().replace('-', "").as_str() {
        "utf8" | "unicode" => Ok(()),
        _ => Err(Error::unsupported(format!("encoding \"{encoding}\" is not supported")).with_hint("Use UTF8.")),
    }
}

fn convert_from(bytes: &[u8], encoding: &str) -> Result<String> {
    check_utf8(encoding)?;
    String::from_utf8(bytes.to_vec())
        .map_err(|_| Error::new(SqlState::INVALID_BYTE_SEQUENCE, "invalid byte sequence for encoding \"UTF8\""))
}

fn convert_to(text: &str, encoding: &str) -> Result<Vec<u8>> {
    check_utf8(encoding)?;
    Ok(text.as_bytes().to_vec())
}
