//! The same query over the extended protocol, where values come in binary: what can be decoded must be what the simple
//! protocol prints.

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use super::answer::{Difference, same_rows};
use super::client::Rows;
use super::sql::Order;

/// Compares the columns that are decoded here; of the others only which values are NULL.
pub fn compare(text: &Rows, binary: &[Row], order: &Order) -> Result<(), Difference> {
    let types: Vec<Type> = match binary.first() {
        Some(row) => row.columns().iter().map(|column| column.type_().clone()).collect(),
        None => {
            return same_rows(text, &Rows { columns: text.columns, rows: Vec::new() }, order);
        }
    };
    let decoded = binary.iter().map(|row| (0..row.len()).map(|column| decode(row, column)).collect()).collect();
    let mut plain = text.clone();
    for row in &mut plain.rows {
        for (value, of) in row.iter_mut().zip(&types) {
            *value = value.take().map(|value| canonical(&value, of));
        }
    }
    same_rows(&plain, &Rows { columns: types.len(), rows: decoded }, order)
}

/// What stands for a value that is not decoded.
const OPAQUE: &str = "(not NULL)";

fn canonical(text: &str, of: &Type) -> String {
    match *of {
        Type::FLOAT8 => text.parse::<f64>().map_or_else(|_| text.to_string(), |value| value.to_string()),
        Type::FLOAT4 => text.parse::<f32>().map_or_else(|_| text.to_string(), |value| value.to_string()),
        Type::BOOL | Type::INT2 | Type::INT4 | Type::INT8 | Type::TEXT | Type::VARCHAR => text.to_string(),
        _ => OPAQUE.to_string(),
    }
}

fn decode(row: &Row, column: usize) -> Option<String> {
    match *row.columns()[column].type_() {
        Type::BOOL => get::<bool>(row, column).map(|value| if value { "t" } else { "f" }.to_string()),
        Type::INT2 => get::<i16>(row, column).map(|value| value.to_string()),
        Type::INT4 => get::<i32>(row, column).map(|value| value.to_string()),
        Type::INT8 => get::<i64>(row, column).map(|value| value.to_string()),
        Type::FLOAT4 => get::<f32>(row, column).map(|value| value.to_string()),
        Type::FLOAT8 => get::<f64>(row, column).map(|value| value.to_string()),
        Type::TEXT | Type::VARCHAR => get::<String>(row, column),
        _ => get::<Any>(row, column).map(|_| OPAQUE.to_string()),
    }
}

/// A value that does not decode counts as NULL, which then differs from what the simple protocol printed.
fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Option<T>
where
    Option<T>: FromSql<'a>,
{
    row.try_get::<_, Option<T>>(column).ok().flatten()
}

/// A value of any type.
struct Any;

impl<'a> FromSql<'a> for Any {
    fn from_sql(_: &Type, _: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Any)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
