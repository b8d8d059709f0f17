//! Floating-point numbers: what IEEE would make an infinity or a zero by rounding is an error.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use datafusion::arrow::compute::kernels::numeric as kernels;
use datafusion::arrow::compute::unary;
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};

use super::integer::with_datums;
use crate::sql::function::definition::Call;
use crate::sql::function::value::map2;
use crate::types::{Error, Result, SqlState};

pub fn add(call: &Call) -> Result<ArrayRef> {
    let sum = with_datums(call, kernels::add)?;
    check(call, &sum, |_, _, result| result.is_infinite().then(overflow))
}

pub fn subtract(call: &Call) -> Result<ArrayRef> {
    let difference = with_datums(call, kernels::sub)?;
    check(call, &difference, |_, _, result| result.is_infinite().then(overflow))
}

pub fn multiply(call: &Call) -> Result<ArrayRef> {
    let product = with_datums(call, kernels::mul)?;
    check(call, &product, |left, right, result| match result {
        _ if result.is_infinite() => Some(overflow()),
        _ if result == 0.0 && left != 0.0 && right != 0.0 => Some(underflow()),
        _ => None,
    })
}

pub fn divide(call: &Call) -> Result<ArrayRef> {
    let quotient = with_datums(call, kernels::div)?;
    check(call, &quotient, |left, right, result| match result {
        _ if right == 0.0 && !left.is_nan() => Some(division_by_zero()),
        _ if result.is_infinite() => Some(overflow()),
        _ if result == 0.0 && left != 0.0 && right.is_finite() => Some(underflow()),
        _ => None,
    })
}

/// Looks for errors only where the result is one that an error could have: not finite, or zero. Every NaN becomes the
/// one NaN.
fn check(call: &Call, result: &ArrayRef, fault: fn(f64, f64, f64) -> Option<Error>) -> Result<ArrayRef> {
    match call.result {
        DataType::Float32 => check_width::<Float32Type>(call, result, fault, f32::is_normal, f32::NAN),
        _ => check_width::<Float64Type>(call, result, fault, f64::is_normal, f64::NAN),
    }
}

fn check_width<T>(
    call: &Call,
    result: &ArrayRef,
    fault: fn(f64, f64, f64) -> Option<Error>,
    is_normal: fn(T::Native) -> bool,
    nan: T::Native,
) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType<Native: Into<f64>>,
{
    let results = result.as_primitive::<T>();
    if results.values().iter().all(|&value| is_normal(value)) {
        return Ok(result.clone());
    }
    let (left, right) = (call.array(0).as_primitive::<T>(), call.array(1).as_primitive::<T>());
    let mut has_nan = false;
    for row in 0..results.len() {
        let value: f64 = results.value(row).into();
        if is_normal(results.value(row)) || results.is_null(row) {
            continue;
        }
        has_nan |= value.is_nan();
        let (left, right): (f64, f64) = (left.value(row).into(), right.value(row).into());
        let from_infinity = value.is_infinite() && (left.is_infinite() || right.is_infinite()) && right != 0.0;
        if let Some(error) = fault(left, right, value).filter(|_| !from_infinity) {
            return Err(error);
        }
    }
    if !has_nan {
        return Ok(result.clone());
    }
    Ok(Arc::new(unary::<T, _, T>(results, |value| if value.into().is_nan() { nan } else { value })))
}

pub fn negate(call: &Call) -> Result<ArrayRef> {
    Ok(kernels::neg(call.array(0))?)
}

pub fn power(call: &Call) -> Result<ArrayRef> {
    map2(call, power_of)
}

/// PostgreSQL's dpow: 0 to a negative power and roots of negative numbers are errors.
pub fn power_of(base: f64, exponent: f64) -> Result<f64> {
    let not_real = |message| Err(Error::new(SqlState::INVALID_ARGUMENT_FOR_POWER, message));
    if base == 1.0 || exponent == 0.0 {
        return Ok(1.0);
    }
    if base.is_nan() || exponent.is_nan() {
        return Ok(f64::NAN);
    }
    if base == 0.0 && exponent < 0.0 {
        return not_real("zero raised to a negative power is undefined");
    }
    if base < 0.0 && exponent.fract() != 0.0 && exponent.is_finite() {
        return not_real("a negative number raised to a non-integer power yields a complex result");
    }
    checked(base.powf(exponent), base.is_infinite() || exponent.is_infinite(), base == 0.0)
}

/// The result of a function, if it did not overflow or underflow: infinite only from infinite, zero only from zero.
pub fn checked(result: f64, infinite: bool, zero: bool) -> Result<f64> {
    match result {
        _ if result.is_infinite() && !infinite => Err(overflow()),
        _ if result == 0.0 && !zero && !infinite => Err(underflow()),
        _ => Ok(result),
    }
}

pub fn overflow() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow")
}

pub fn underflow() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow")
}

pub fn division_by_zero() -> Error {
    Error::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}
