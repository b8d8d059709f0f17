//! Casts: every pair of types that PostgreSQL can turn into each other, and how.

mod kernel;
mod number;
mod time;

use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::new_empty_array;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::definition::style_of;
use crate::sql::coerce::conversion::{Category, category};
use crate::types::SqlType;

pub use kernel::{cast_array, words};
pub use number::float_to_numeric;

/// What a cast does with text that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CastContext {
    /// `CAST` and `::` cut it off.
    Explicit,
    /// Storing it in a column is an error, unless only blanks are lost.
    Assignment,
}

/// The cast to one type, as a function of one argument.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Cast {
    from: SqlType,
    to: SqlType,
    context: CastContext,
    signature: Signature,
}

impl Cast {
    pub fn call(argument: Expr, from: SqlType, to: SqlType, context: CastContext) -> Expr {
        let cast = Cast { from, to, context, signature: Signature::user_defined(Volatility::Immutable) };
        ScalarUDF::from(cast).call(vec![argument])
    }

    /// Whether some values can not be cast.
    pub fn is_fallible(&self) -> bool {
        use SqlType::*;
        match (&self.from, &self.to) {
            (_, Text | Varchar(None) | Name) => false,
            (_, Varchar(_) | Char(_)) => self.context == CastContext::Assignment,
            (Date, Timestamp | Timestamptz) | (Timestamp | Timestamptz, Date | Time) => false,
            (Int2 | Int4 | Int8 | Numeric(_), Float4 | Float8) => false,
            (Int2, Numeric(Some((p, s)))) => p - (*s as u8) < 5,
            (Int4, Numeric(Some((p, s)))) => p - (*s as u8) < 10,
            (Int2 | Int4 | Int8, Numeric(None)) => false,
            _ => true,
        }
    }
}

impl ScalarUDFImpl for Cast {
    fn name(&self) -> &str {
        "cast"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.to.arrow())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(self.to.field("cast", nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        if args.number_rows == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(args.return_type())));
        }
        let style = style_of(&args.config_options);
        match &args.args[0] {
            ColumnarValue::Array(array) => {
                Ok(ColumnarValue::Array(cast_array(array, &self.from, &self.to, self.context, &style)?))
            }
            ColumnarValue::Scalar(value) => {
                let cast = cast_array(&value.to_array()?, &self.from, &self.to, self.context, &style)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&cast, 0)?))
            }
        }
    }

    fn schema_name(&self, arguments: &[Expr]) -> DataFusionResult<String> {
        Ok(format!("{}::{}", arguments[0].schema_name(), self.to))
    }

    fn display_name(&self, arguments: &[Expr]) -> DataFusionResult<String> {
        Ok(format!("{}::{}", arguments[0], self.to))
    }
}

/// Whether PostgreSQL has an explicit cast between the types.
pub fn is_castable(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::*;
    if from == to || matches!(from, Unknown) || category(from) == Category::Text || category(to) == Category::Text {
        return true;
    }
    let integer = |found: &SqlType| matches!(found, Int2 | Int4 | Int8);
    let catalog = |found: &SqlType| matches!(found, Oid | Regclass | Regtype | Regproc | Regnamespace);
    match (from, to) {
        (Bool, Int4) | (Int4, Bool) => true,
        (a, b) if catalog(a) || catalog(b) => {
            (catalog(a) || integer(a)) && (catalog(b) || matches!(b, Int4 | Int8) || integer(b) && !matches!(b, Int2))
        }
        (a, b) if category(a) == Category::Number && category(b) == Category::Number => true,
        (Date, Timestamp | Timestamptz) | (Timestamp | Timestamptz, Date | Time | Timestamp | Timestamptz) => true,
        (Time, Interval) | (Interval, Time) => true,
        (Json, Jsonb) | (Jsonb, Json) => true,
        (Jsonb, Bool | Int2 | Int4 | Int8 | Float4 | Float8 | Numeric(_)) => true,
        (Numeric(_), Numeric(_)) => true,
        (Array(a), Array(b)) => is_castable(a, b),
        _ => false,
    }
}
