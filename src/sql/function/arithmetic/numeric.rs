//! Exact numbers. A type says how many digits stand after the point, so each operator says it of its result:
//!
//! | operator  | digits after the point                                                     |
//! |-----------|----------------------------------------------------------------------------|
//! | `+ - %`   | the larger of the two                                                      |
//! | `*`       | the sum of the two; beyond 38 digits in all, at least 16 of them are kept  |
//! | `/`       | 16, or the larger of the two if that is more                               |
//!
//! Values are computed in 128 bits and, where those do not hold an intermediate, in 256. What does not fit the result
//! is 22003.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::kernels::numeric as kernels;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, i256};

use super::float::{division_by_zero, power_of};
use crate::sql::coerce::Argument;
use crate::sql::coerce::conversion::{common_numeric, numeric_of, numeric_shape};
use crate::sql::function::definition::Call;
use crate::types::text::{POWERS, rescale, rescale_wide, round_half_away, round_wide_half_away};
use crate::types::{Error, Result, SqlState, SqlType};

/// Digits after the point that a quotient has at least.
pub const QUOTIENT_SCALE: i8 = 16;

fn shapes(arguments: &[Argument]) -> ((u8, i8), (u8, i8)) {
    let shape = |place: usize| numeric_shape(&arguments[place].sql_type).unwrap_or((38, QUOTIENT_SCALE));
    (shape(0), shape(1))
}

/// At most 38 digits, unless an operand has more already.
fn limited(precision: i32, scale: i32, operands: ((u8, i8), (u8, i8))) -> SqlType {
    let limit = if operands.0.0 > 38 || operands.1.0 > 38 { 76 } else { 38 };
    numeric_of((precision.clamp(1, limit) as u8, scale.min(limit) as i8))
}

pub fn sum_type(arguments: &[Argument]) -> Result<SqlType> {
    let (left, right) = shapes(arguments);
    let (precision, scale) = common_numeric(left, right);
    Ok(limited(i32::from(precision) + 1, i32::from(scale), (left, right)))
}

pub fn remainder_type(arguments: &[Argument]) -> Result<SqlType> {
    let (left, right) = shapes(arguments);
    Ok(numeric_of(common_numeric(left, right)))
}

pub fn product_type(arguments: &[Argument]) -> Result<SqlType> {
    let (left, right) = shapes(arguments);
    let precision = i32::from(left.0) + i32::from(right.0);
    let scale = i32::from(left.1) + i32::from(right.1);
    let limit = if left.0 > 38 || right.0 > 38 { 76 } else { 38 };
    // The digits before the point come first, as long as those behind it that matter are kept.
    let kept = scale.min(i32::from(left.1.max(right.1).max(QUOTIENT_SCALE)));
    let scale = scale.min((limit - (precision - scale)).max(kept));
    Ok(limited(precision, scale, (left, right)))
}

pub fn quotient_type(arguments: &[Argument]) -> Result<SqlType> {
    let (left, right) = shapes(arguments);
    let scale = left.1.max(right.1).max(QUOTIENT_SCALE);
    Ok(limited(38, i32::from(scale), (left, right)))
}

/// How one operator computes: in 128 bits if it can, else in 256. None: it does not fit.
struct Operation<N, W> {
    narrow: N,
    wide: W,
    divides: bool,
}

#[derive(Clone, Copy)]
struct Scales {
    left: i8,
    right: i8,
    result: i8,
}

pub fn add(call: &Call) -> Result<ArrayRef> {
    aligned(call, i128::checked_add, i256::checked_add, false)
}

pub fn subtract(call: &Call) -> Result<ArrayRef> {
    aligned(call, i128::checked_sub, i256::checked_sub, false)
}

pub fn remainder(call: &Call) -> Result<ArrayRef> {
    aligned(call, i128::checked_rem, i256::checked_rem, true)
}

/// Both operands are brought to the scale of the result first.
fn aligned(
    call: &Call,
    narrow: impl Fn(i128, i128) -> Option<i128>,
    wide: impl Fn(i256, i256) -> Option<i256>,
    divides: bool,
) -> Result<ArrayRef> {
    let operation = Operation {
        narrow: |a, b, s: Scales| narrow(rescale(a, s.left, s.result)?, rescale(b, s.right, s.result)?),
        wide: |a, b, s: Scales| wide(rescale_wide(a, s.left, s.result)?, rescale_wide(b, s.right, s.result)?),
        divides,
    };
    run(call, &operation)
}

pub fn multiply(call: &Call) -> Result<ArrayRef> {
    let operation = Operation {
        narrow: |a: i128, b: i128, s: Scales| rescale(product(a, b)?, s.left + s.right, s.result),
        wide: |a: i256, b, s: Scales| rescale_wide(a.checked_mul(b)?, s.left + s.right, s.result),
        divides: false,
    };
    run(call, &operation)
}

/// Most values fit 64 bits, and their products 128: checking costs more than multiplying.
fn product(a: i128, b: i128) -> Option<i128> {
    match (i64::try_from(a), i64::try_from(b)) {
        (Ok(a), Ok(b)) => Some(i128::from(a) * i128::from(b)),
        _ => a.checked_mul(b),
    }
}

pub fn divide(call: &Call) -> Result<ArrayRef> {
    let operation = Operation {
        narrow: |a: i128, b, s: Scales| {
            let power = POWERS.get(usize::try_from(s.result + s.right - s.left).ok()?)?;
            Some(round_half_away(a.checked_mul(*power)?, b))
        },
        wide: |a: i256, b: i256, s: Scales| {
            let power = i256::from_i128(10).checked_pow(u32::try_from(s.result + s.right - s.left).ok()?)?;
            let numerator = a.checked_mul(power)?;
            let (numerator, denominator) =
                if b < i256::ZERO { (numerator.wrapping_neg(), b.wrapping_neg()) } else { (numerator, b) };
            Some(round_wide_half_away(numerator, denominator))
        },
        divides: true,
    };
    run(call, &operation)
}

pub fn negate(call: &Call) -> Result<ArrayRef> {
    Ok(kernels::neg(call.array(0))?)
}

pub fn out_of_range() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format").with_detail(
        "A numeric has at most 38 digits here; one without declared precision has 16 of them after the point.",
    )
}

/// Scale of a decimal column.
pub fn scale_of(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

fn run(
    call: &Call,
    operation: &Operation<impl Fn(i128, i128, Scales) -> Option<i128>, impl Fn(i256, i256, Scales) -> Option<i256>>,
) -> Result<ArrayRef> {
    let (left, right) = (call.array(0), call.array(1));
    let scales =
        Scales { left: scale_of(left.data_type()), right: scale_of(right.data_type()), result: scale_of(call.result) };
    match (left.data_type(), right.data_type(), call.result) {
        (DataType::Decimal128(..), DataType::Decimal128(..), DataType::Decimal128(precision, _)) => {
            let limit = POWERS[usize::from(*precision)].unsigned_abs();
            let nulls = NullBuffer::union(left.nulls(), right.nulls());
            let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
            let mut values = Vec::with_capacity(left.len());
            for (row, (&a, &b)) in left.values().iter().zip(right.values()).enumerate() {
                values.push(match &nulls {
                    Some(nulls) if nulls.is_null(row) => 0,
                    _ => operation.narrow(a, b, scales, limit)?,
                });
            }
            let values = Decimal128Array::new(values.into(), nulls);
            Ok(Arc::new(values.with_data_type(call.result.clone())))
        }
        _ => {
            let (left, right) = (widened(left), widened(right));
            let limit = i256::from_i128(10).checked_pow(76).expect("76 digits fit 256 bits");
            let pairs = left.iter().zip(&right);
            let rows = pairs.map(|pair| both(pair, |a, b| operation.wide(a, b, scales, limit)));
            narrowed(rows.collect::<Result<Decimal256Array>>()?, call.result)
        }
    }
}

impl<N, W> Operation<N, W>
where
    N: Fn(i128, i128, Scales) -> Option<i128>,
    W: Fn(i256, i256, Scales) -> Option<i256>,
{
    fn narrow(&self, a: i128, b: i128, scales: Scales, limit: u128) -> Result<i128> {
        if self.divides && b == 0 {
            return Err(division_by_zero());
        }
        let value = match (self.narrow)(a, b, scales) {
            Some(value) => Some(value),
            None => (self.wide)(i256::from_i128(a), i256::from_i128(b), scales).and_then(i256::to_i128),
        };
        value.filter(|value| value.unsigned_abs() < limit).ok_or_else(out_of_range)
    }

    fn wide(&self, a: i256, b: i256, scales: Scales, limit: i256) -> Result<i256> {
        if self.divides && b == i256::ZERO {
            return Err(division_by_zero());
        }
        let value = (self.wide)(a, b, scales).filter(|value| *value < limit && *value > limit.wrapping_neg());
        value.ok_or_else(out_of_range)
    }
}

/// NULL if either is.
fn both<T>((a, b): (Option<T>, Option<T>), f: impl FnOnce(T, T) -> Result<T>) -> Result<Option<T>> {
    a.zip(b).map(|(a, b)| f(a, b)).transpose()
}

/// A decimal column of either width in 256 bits.
pub fn widened(array: &ArrayRef) -> Decimal256Array {
    match array.data_type() {
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().clone(),
        _ => array.as_primitive::<Decimal128Type>().iter().map(|value| value.map(i256::from_i128)).collect(),
    }
}

/// Values of 256 bits in a decimal column of either width.
pub fn narrowed(values: Decimal256Array, data_type: &DataType) -> Result<ArrayRef> {
    match data_type {
        DataType::Decimal256(..) => Ok(Arc::new(values.with_data_type(data_type.clone()))),
        _ => {
            let rows =
                values.iter().map(|value| value.map(|value| value.to_i128().ok_or_else(out_of_range)).transpose());
            Ok(Arc::new(rows.collect::<Result<Decimal128Array>>()?.with_data_type(data_type.clone())))
        }
    }
}

/// A numeric as the nearest float8: exact digits divided once, so that it rounds once.
pub fn to_float(value: i128, scale: i8) -> f64 {
    const EXACT: u128 = 1 << 53;
    if value.unsigned_abs() <= EXACT && (0..=22).contains(&scale) {
        return value as f64 / 10f64.powi(i32::from(scale));
    }
    format!("{value}e{}", -i32::from(scale)).parse().expect("digits with an exponent are a number")
}

/// Whole exponents by multiplication, others through float8; the result is plain numeric.
pub fn power(call: &Call) -> Result<ArrayRef> {
    let (bases, exponents) = (widened(call.array(0)), widened(call.array(1)));
    let (base_scale, exponent_scale) = (scale_of(call.array(0).data_type()), scale_of(call.array(1).data_type()));
    let power = |base, exponent| power_of_one(base, base_scale, exponent, exponent_scale);
    let rows = bases.iter().zip(&exponents).map(|pair| both(pair, power));
    narrowed(rows.collect::<Result<Decimal256Array>>()?, call.result)
}

/// Digits after the point while multiplying: as many as leave room for the square of a factor.
const POWER_SCALE: i8 = 24;

fn power_of_one(base: i256, base_scale: i8, exponent: i256, exponent_scale: i8) -> Result<i256> {
    let whole = rescale_wide(exponent, exponent_scale, 0)
        .filter(|whole| rescale_wide(*whole, 0, exponent_scale) == Some(exponent));
    let count = whole.and_then(i256::to_i128).filter(|count| count.unsigned_abs() <= 1 << 20);
    let in_float = || {
        let float = |value: i256, scale| value.to_i128().map(|value| to_float(value, scale)).ok_or_else(out_of_range);
        let result = power_of(float(base, base_scale)?, float(exponent, exponent_scale)?)?;
        let digits = crate::types::text::Digits::read(&format!("{result:e}"))?.ok_or_else(out_of_range)?;
        digits.with_scale(QUOTIENT_SCALE).ok_or_else(out_of_range)
    };
    let Some(count) = count else { return in_float() };
    if count < 0 {
        return in_float();
    }
    let mut result = rescale_wide(i256::ONE, 0, POWER_SCALE).ok_or_else(out_of_range)?;
    let mut factor = rescale_wide(base, base_scale, POWER_SCALE).ok_or_else(out_of_range)?;
    let product = |a: i256, b: i256| rescale_wide(a.checked_mul(b)?, 2 * POWER_SCALE, POWER_SCALE);
    let mut rest = count;
    while rest > 0 {
        if rest % 2 == 1 {
            result = product(result, factor).ok_or_else(out_of_range)?;
        }
        rest /= 2;
        if rest > 0 {
            factor = product(factor, factor).ok_or_else(out_of_range)?;
        }
    }
    rescale_wide(result, POWER_SCALE, QUOTIENT_SCALE).ok_or_else(out_of_range)
}
