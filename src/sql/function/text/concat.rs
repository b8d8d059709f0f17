//! concat and concat_ws: whatever can be written, NULLs left out.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringBuilder};

use crate::sql::function::definition::{Call, Function, Gives, Kernel, Overload, Parameter};
use crate::types::text::TextWriter;
use crate::types::{Result, SqlType};

pub fn functions() -> Vec<Function> {
    let variadic = |name, kernel: Kernel, fixed: &[Parameter]| {
        let parameters = fixed.iter().cloned().chain([Parameter::Any]);
        let overload = Overload::new(parameters, Gives::Is(SqlType::Text), kernel).variadic().not_strict();
        Function::new(name, vec![overload]).infallible()
    };
    vec![variadic("concat", concat, &[]), variadic("concat_ws", concat_ws, &[Parameter::Is(SqlType::Text)])]
}

fn writers<'a>(call: &'a Call) -> Result<Vec<TextWriter<'a>>> {
    let style = call.style();
    let arrays = call.arrays().iter().zip(call.types);
    arrays.map(|(array, sql_type)| TextWriter::new(array, sql_type, &style)).collect()
}

fn concat(call: &Call) -> Result<ArrayRef> {
    let writers = writers(call)?;
    joined(call, |row, text| {
        for (writer, _) in writers.iter().zip(call.arrays()).filter(|(_, array)| array.is_valid(row)) {
            writer.write(row, text);
        }
        true
    })
}

fn concat_ws(call: &Call) -> Result<ArrayRef> {
    let writers = writers(call)?;
    joined(call, |row, text| {
        let present = writers.iter().zip(call.arrays()).skip(1).filter(|(_, array)| array.is_valid(row));
        for (place, (writer, _)) in present.enumerate() {
            if place > 0 {
                writers[0].write(row, text);
            }
            writer.write(row, text);
        }
        call.array(0).is_valid(row)
    })
}

/// A text per row; NULL where `write` says false.
fn joined(call: &Call, write: impl Fn(usize, &mut String) -> bool) -> Result<ArrayRef> {
    let mut builder = StringBuilder::new();
    let mut text = String::new();
    for row in 0..call.rows {
        text.clear();
        let present = write(row, &mut text);
        builder.append_option(present.then_some(text.as_str()));
    }
    Ok(Arc::new(builder.finish()))
}
