//! Casts among numbers: numerics round half away from zero, floats half to even, and nothing is cut off.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array, Float32Array, Float64Array,
};
use datafusion::arrow::compute::{self, CastOptions};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, i256,
};

use crate::sql::function::arithmetic::numeric::{narrowed, scale_of, to_float, widened};
use crate::types::text::{POWERS, exceeds, field_overflow, read_numeric, rescale, rescale_wide};
use crate::types::{Error, Result, SqlState};

fn name_of(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        _ => "bigint",
    }
}

fn out_of_range(data_type: &DataType) -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{} out of range", name_of(data_type)))
}

pub fn between_integers(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..Default::default() };
    compute::cast_with_options(array, target, &options).map_err(|_| out_of_range(target))
}

fn precision_of(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Decimal128(precision, _) | DataType::Decimal256(precision, _) => *precision,
        _ => 0,
    }
}

/// Digits of the largest bigint: a numeric with so many before the point holds every integer.
const INTEGER_DIGITS: i32 = 19;

pub fn integer_to_numeric(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let integers = compute::cast(array, &DataType::Int64)?;
    let wide = matches!(target, DataType::Decimal256(..));
    let (precision, scale) = (precision_of(target), scale_of(target));
    if wide {
        let values = integers.as_primitive::<Int64Type>().iter();
        let rows =
            values.map(|value| value.map(|value| fit_wide(i256::from_i128(value.into()), 0, target)).transpose());
        return narrowed(rows.collect::<Result<Decimal256Array>>()?, target);
    }
    let integers = integers.as_primitive::<Int64Type>();
    if i32::from(precision) - i32::from(scale) >= INTEGER_DIGITS {
        let power = POWERS[scale.max(0) as usize];
        let values: Decimal128Array = integers.unary(|value| i128::from(value) * power);
        return Ok(Arc::new(values.with_data_type(target.clone())));
    }
    let limit = POWERS[usize::from(precision)].unsigned_abs();
    let rows = integers.iter().map(|value| {
        let Some(value) = value else { return Ok(None) };
        let scaled = rescale(value.into(), 0, scale).filter(|scaled| scaled.unsigned_abs() < limit);
        scaled.map(Some).ok_or_else(|| field_overflow(precision, scale))
    });
    Ok(Arc::new(rows.collect::<Result<Decimal128Array>>()?.with_data_type(target.clone())))
}

fn fit_wide(value: i256, scale: i8, target: &DataType) -> Result<i256> {
    let overflow = || field_overflow(precision_of(target), scale_of(target));
    let scaled = rescale_wide(value, scale, scale_of(target)).ok_or_else(overflow)?;
    match exceeds(scaled, precision_of(target)) {
        true => Err(overflow()),
        false => Ok(scaled),
    }
}

pub fn between_numerics(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    if array.data_type() == target {
        return Ok(array.clone());
    }
    let from = scale_of(array.data_type());
    if let (DataType::Decimal128(..), DataType::Decimal128(precision, to)) = (array.data_type(), target) {
        let limit = POWERS[usize::from(*precision)].unsigned_abs();
        let rows = array.as_primitive::<Decimal128Type>().iter().map(|value| {
            let Some(value) = value else { return Ok(None) };
            let scaled = rescale(value, from, *to).filter(|scaled| scaled.unsigned_abs() < limit);
            scaled.map(Some).ok_or_else(|| field_overflow(*precision, *to))
        });
        return Ok(Arc::new(rows.collect::<Result<Decimal128Array>>()?.with_data_type(target.clone())));
    }
    let rows = widened(array);
    let rows = rows.iter().map(|value| value.map(|value| fit_wide(value, from, target)).transpose());
    narrowed(rows.collect::<Result<Decimal256Array>>()?, target)
}

pub fn numeric_to_float(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let scale = scale_of(array.data_type());
    let floats: Float64Array = match array.data_type() {
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().unary(|value| to_float(value, scale)),
        _ => widened(array).unary(|value: i256| {
            format!("{value}e{}", -i32::from(scale)).parse().expect("digits with an exponent are a number")
        }),
    };
    between_floats(&(Arc::new(floats) as ArrayRef), target)
}

pub fn numeric_to_integer(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let scale = scale_of(array.data_type());
    let rounded = |value: i256| {
        let whole = rescale_wide(value, scale, 0).and_then(i256::to_i128).and_then(|whole| i64::try_from(whole).ok());
        whole.ok_or_else(|| out_of_range(target))
    };
    let integers = match array.data_type() {
        DataType::Decimal128(..) => {
            let narrow = |value: i128| match rescale(value, scale, 0).map(i64::try_from) {
                Some(Ok(whole)) => Ok(whole),
                _ => Err(out_of_range(target)),
            };
            array.as_primitive::<Decimal128Type>().try_unary::<_, Int64Type, Error>(narrow)?
        }
        _ => widened(array).try_unary::<_, Int64Type, Error>(rounded)?,
    };
    between_integers(&(Arc::new(integers) as ArrayRef), target)
}

/// As many digits as a float of the width can be trusted with: 15, or 6 of a float4.
pub fn float_to_numeric(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let digits = if *array.data_type() == DataType::Float32 { 6 } else { 15 };
    let floats = compute::cast(array, &DataType::Float64)?;
    let read = |value: f64| {
        if !value.is_finite() {
            let name = if value.is_nan() { "NaN" } else { "infinity" };
            return Err(Error::unsupported(format!("numeric {name} is not supported"))
                .with_hint("Use double precision, which has NaN and infinities."));
        }
        read_numeric(&format!("{value:.*e}", digits - 1), precision_of(target), scale_of(target))
    };
    let rows = floats.as_primitive::<Float64Type>().iter().map(|value| value.map(read).transpose());
    narrowed(rows.collect::<Result<Decimal256Array>>()?, target)
}

pub fn float_to_integer(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let floats = compute::cast(array, &DataType::Float64)?;
    let floats = floats.as_primitive::<Float64Type>();
    let whole = |value: f64, low: f64, high: f64| {
        let rounded = value.round_ties_even();
        // The upper limit is a power of two, exact in a float, and just outside.
        if rounded >= low && rounded < high { Ok(rounded) } else { Err(out_of_range(target)) }
    };
    Ok(match target {
        DataType::Int16 => {
            Arc::new(floats.try_unary::<_, Int16Type, Error>(|value| {
                whole(value, -32_768.0, 32_768.0).map(|value| value as i16)
            })?)
        }
        DataType::Int32 => Arc::new(floats.try_unary::<_, Int32Type, Error>(|value| {
            whole(value, -2_147_483_648.0, 2_147_483_648.0).map(|value| value as i32)
        })?),
        _ => Arc::new(floats.try_unary::<_, Int64Type, Error>(|value| {
            whole(value, -9_223_372_036_854_775_808.0, 9_223_372_036_854_775_808.0).map(|value| value as i64)
        })?),
    })
}

pub fn between_floats(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    match (array.data_type(), target) {
        (DataType::Float64, DataType::Float32) => {
            let narrow = |value: f64| {
                let narrow = value as f32;
                let fault = match narrow {
                    _ if narrow.is_infinite() && value.is_finite() => "overflow",
                    _ if narrow == 0.0 && value != 0.0 => "underflow",
                    _ => return Ok(narrow),
                };
                let message = format!("value out of range: {fault}");
                Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message))
            };
            let cast: Float32Array = array.as_primitive::<Float64Type>().try_unary::<_, Float32Type, Error>(narrow)?;
            Ok(Arc::new(cast))
        }
        _ => Ok(compute::cast(array, target)?),
    }
}
