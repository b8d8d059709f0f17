//! Errors as rows: a view's second output, of one fixed schema, so that an error is retracted when its cause is.

use std::sync::{Arc, LazyLock};

use arrow::array::cast::AsArray;
use arrow::array::{Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::columns::batch_of;
use crate::types::{Error, SqlState};

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("sqlstate", DataType::Utf8, false),
        Field::new("message", DataType::Utf8, false),
        Field::new("detail", DataType::Utf8, true),
    ]))
});

/// The columns of an error: sqlstate, message, detail.
pub fn error_schema() -> SchemaRef {
    SCHEMA.clone()
}

/// One row per error.
pub fn error_rows(errors: &[Error]) -> RecordBatch {
    let states = StringArray::from_iter_values(errors.iter().map(|error| error.state().code()));
    let messages = StringArray::from_iter_values(errors.iter().map(Error::message));
    let details: StringArray = errors.iter().map(Error::detail).collect();
    batch_of(&SCHEMA, vec![Arc::new(states), Arc::new(messages), Arc::new(details)], errors.len())
}

/// The error that a row holds.
pub fn error_at(rows: &RecordBatch, row: usize) -> Error {
    let text = |column: usize| rows.column(column).as_string::<i32>();
    let error = Error::new(SqlState::of_code(text(0).value(row)), text(1).value(row));
    match text(2).is_valid(row) {
        true => error.with_detail(text(2).value(row)),
        false => error,
    }
}
