//! Integers: Arrow's checked kernels, with PostgreSQL's errors.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, PrimitiveArray, Scalar};
use datafusion::arrow::compute::kernels::bitwise;
use datafusion::arrow::compute::kernels::numeric as kernels;
use datafusion::arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::logical_expr::ColumnarValue;

use crate::sql::function::definition::Call;
use crate::types::{Error, Result, SqlState};

type ArrowKernel = fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>;

pub fn add(call: &Call) -> Result<ArrayRef> {
    checked(call, kernels::add)
}

pub fn subtract(call: &Call) -> Result<ArrayRef> {
    checked(call, kernels::sub)
}

pub fn multiply(call: &Call) -> Result<ArrayRef> {
    checked(call, kernels::mul)
}

pub fn divide(call: &Call) -> Result<ArrayRef> {
    checked(call, kernels::div)
}

fn checked(call: &Call, kernel: ArrowKernel) -> Result<ArrayRef> {
    with_datums(call, kernel).map_err(|error| integer_error(error, call.result))
}

/// Runs a kernel on the two arguments without spreading a constant over a column.
pub fn with_datums(call: &Call, kernel: ArrowKernel) -> Result<ArrayRef, ArrowError> {
    let (left, right) = (call.array(0), call.array(1));
    match (&call.arguments[0], &call.arguments[1]) {
        (ColumnarValue::Array(_), ColumnarValue::Scalar(_)) => kernel(left, &Scalar::new(right.slice(0, 1))),
        (ColumnarValue::Scalar(_), ColumnarValue::Array(_)) => kernel(&Scalar::new(left.slice(0, 1)), right),
        _ => kernel(left, right),
    }
}

pub fn integer_error(error: ArrowError, data_type: &DataType) -> Error {
    match error {
        ArrowError::ArithmeticOverflow(_) => out_of_range(data_type),
        other => other.into(),
    }
}

pub fn out_of_range(data_type: &DataType) -> Error {
    let name = match data_type {
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        _ => "bigint",
    };
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range"))
}

/// The least integer modulo -1 is 0, though dividing it overflows.
pub fn remainder(call: &Call) -> Result<ArrayRef> {
    match with_datums(call, kernels::rem) {
        Err(ArrowError::ArithmeticOverflow(_)) => {}
        other => return other.map_err(|error| integer_error(error, call.result)),
    }
    match call.result {
        DataType::Int16 => wrapping_remainder::<Int16Type>(call, i16::wrapping_rem, 0),
        DataType::Int32 => wrapping_remainder::<Int32Type>(call, i32::wrapping_rem, 0),
        _ => wrapping_remainder::<Int64Type>(call, i64::wrapping_rem, 0),
    }
}

fn wrapping_remainder<T: ArrowPrimitiveType>(
    call: &Call,
    remainder: fn(T::Native, T::Native) -> T::Native,
    zero: T::Native,
) -> Result<ArrayRef> {
    let (left, right) = (call.array(0).as_primitive::<T>(), call.array(1).as_primitive::<T>());
    let rows = left.iter().zip(right).map(|pair| match pair {
        (Some(_), Some(divisor)) if divisor == zero => Err(ArrowError::DivideByZero.into()),
        (Some(dividend), Some(divisor)) => Ok(Some(remainder(dividend, divisor))),
        _ => Ok(None),
    });
    Ok(Arc::new(rows.collect::<Result<PrimitiveArray<T>>>()?))
}

pub fn negate(call: &Call) -> Result<ArrayRef> {
    kernels::neg(call.array(0)).map_err(|error| integer_error(error, call.result))
}

/// Runs a kernel that is written once for integers of every width.
macro_rules! by_width {
    ($call:expr, $kernel:path, $operand:ident => $arguments:expr) => {
        match $call.result {
            DataType::Int16 => by_width!(@one $call, $kernel, Int16Type, $operand => $arguments),
            DataType::Int32 => by_width!(@one $call, $kernel, Int32Type, $operand => $arguments),
            _ => by_width!(@one $call, $kernel, Int64Type, $operand => $arguments),
        }
    };
    (@one $call:expr, $kernel:path, $width:ty, $operand:ident => $arguments:expr) => {{
        let $operand = |place: usize| $call.array(place).as_primitive::<$width>();
        Ok(Arc::new($kernel($arguments.0, $arguments.1)?) as ArrayRef)
    }};
}

pub fn and(call: &Call) -> Result<ArrayRef> {
    by_width!(call, bitwise::bitwise_and, operand => (operand(0), operand(1)))
}

pub fn or(call: &Call) -> Result<ArrayRef> {
    by_width!(call, bitwise::bitwise_or, operand => (operand(0), operand(1)))
}

pub fn xor(call: &Call) -> Result<ArrayRef> {
    by_width!(call, bitwise::bitwise_xor, operand => (operand(0), operand(1)))
}

/// The distance is taken modulo the width, as the processors do on which PostgreSQL runs.
pub fn shift_left(call: &Call) -> Result<ArrayRef> {
    shift(
        call,
        |value, by| value.wrapping_shl(by & 15),
        |value, by| value.wrapping_shl(by),
        |value, by| value.wrapping_shl(by),
    )
}

pub fn shift_right(call: &Call) -> Result<ArrayRef> {
    shift(
        call,
        |value, by| value.wrapping_shr(by & 15),
        |value, by| value.wrapping_shr(by),
        |value, by| value.wrapping_shr(by),
    )
}

fn shift(
    call: &Call,
    narrow: fn(i16, u32) -> i16,
    middle: fn(i32, u32) -> i32,
    wide: fn(i64, u32) -> i64,
) -> Result<ArrayRef> {
    let by = call.array(1).as_primitive::<Int32Type>();
    Ok(match call.result {
        DataType::Int16 => shifted::<Int16Type>(call.array(0), by, narrow),
        DataType::Int32 => shifted::<Int32Type>(call.array(0), by, middle),
        _ => shifted::<Int64Type>(call.array(0), by, wide),
    })
}

fn shifted<T: ArrowPrimitiveType>(
    values: &dyn Array,
    by: &PrimitiveArray<Int32Type>,
    shift: fn(T::Native, u32) -> T::Native,
) -> ArrayRef {
    let pairs = values.as_primitive::<T>().iter().zip(by);
    Arc::new(pairs.map(|(value, by)| Some(shift(value?, by? as u32))).collect::<PrimitiveArray<T>>())
}
