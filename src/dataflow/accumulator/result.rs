//! From states to results: sums and means in the type that the query asked for.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array, Float32Array, Float64Array, Int64Array,
    IntervalMonthDayNanoArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, i256};

use super::{Accumulates, ExactSum, interval_states};
use crate::types::{Error, Result, SqlState};

/// One result per group, and the groups (ascending) that have an error instead, where the value is NULL.
pub struct Outcome {
    pub values: ArrayRef,
    pub errors: Vec<(usize, Error)>,
}

/// The sums of groups from their states; NULL for a group that has counted nothing.
pub fn total(accumulates: Accumulates, states: &[ArrayRef], counts: &Int64Array, to: &DataType) -> Outcome {
    match accumulates {
        Accumulates::Count => Outcome { values: states[0].clone(), errors: vec![] },
        Accumulates::Integer { .. } | Accumulates::Decimal { .. } => {
            let sum = wide_sums(states);
            decimals(counts, Rounding::between(states[0].data_type(), to), |row, _| (sum(row), 1))
        }
        Accumulates::Float => floats(counts, to, |row, _| Ok(exact_sum(states, row))),
        Accumulates::Interval => {
            let sum = interval_states(states);
            intervals(counts, |row, _| sum(row).result())
        }
    }
}

/// The means of groups from the states of their sums; NULL for a group that has counted nothing.
pub fn mean(accumulates: Accumulates, states: &[ArrayRef], counts: &Int64Array, to: &DataType) -> Outcome {
    match accumulates {
        Accumulates::Count => Outcome { values: new_null_array(to, counts.len()), errors: vec![] },
        Accumulates::Integer { .. } | Accumulates::Decimal { .. } => {
            let sum = wide_sums(states);
            decimals(counts, Rounding::between(states[0].data_type(), to), |row, count| (sum(row), count))
        }
        Accumulates::Float => floats_divided(counts, states, to),
        Accumulates::Interval => {
            let sum = interval_states(states);
            intervals(counts, |row, count| sum(row).average(count))
        }
    }
}

/// Computes every group that has counted something.
fn each<T>(counts: &Int64Array, mut f: impl FnMut(usize, i64) -> Result<T>) -> (Vec<Option<T>>, Vec<(usize, Error)>) {
    let mut errors = vec![];
    let mut compute = |(row, &count): (usize, &i64)| {
        if count == 0 {
            return None;
        }
        f(row, count).map_err(|error| errors.push((row, error))).ok()
    };
    let values = counts.values().iter().enumerate().map(&mut compute).collect();
    (values, errors)
}

/// Quotients that are exact before their last rounding.
fn decimals(counts: &Int64Array, rounding: Rounding, of: impl Fn(usize, i64) -> (i256, i64)) -> Outcome {
    let to = &rounding.to;
    let rounded = |row, count| {
        let (sum, divisor) = of(row, count);
        rounding.quotient(sum, divisor).ok_or_else(|| out_of_range(to))
    };
    let narrow = |row, count| rounded(row, count)?.to_i128().ok_or_else(|| out_of_range(to));
    let integer = |row, count| i64::try_from(narrow(row, count)?).map_err(|_| out_of_range(&DataType::Int64));
    let (values, errors): (ArrayRef, _) = match to {
        DataType::Decimal256(..) => {
            let (values, errors) = each(counts, rounded);
            (Arc::new(Decimal256Array::from(values).with_data_type(to.clone())), errors)
        }
        DataType::Decimal128(..) => {
            let (values, errors) = each(counts, narrow);
            (Arc::new(Decimal128Array::from(values).with_data_type(to.clone())), errors)
        }
        _ => {
            let (values, errors) = each(counts, integer);
            (Arc::new(Int64Array::from(values)), errors)
        }
    };
    narrowed(values, errors, to)
}

fn floats(counts: &Int64Array, to: &DataType, f: impl Fn(usize, i64) -> Result<ExactSum>) -> Outcome {
    if *to == DataType::Float32 {
        let (values, errors) = each(counts, |row, count| f(row, count)?.result_f32());
        return Outcome { values: Arc::new(Float32Array::from(values)), errors };
    }
    let (values, errors) = each(counts, |row, count| f(row, count)?.result());
    narrowed(Arc::new(Float64Array::from(values)), errors, to)
}

fn floats_divided(counts: &Int64Array, states: &[ArrayRef], to: &DataType) -> Outcome {
    let (values, errors) = each(counts, |row, count| Ok(exact_sum(states, row).result()? / count as f64));
    narrowed(Arc::new(Float64Array::from(values)), errors, to)
}

fn intervals(counts: &Int64Array, f: impl Fn(usize, i64) -> Result<arrow::datatypes::IntervalMonthDayNano>) -> Outcome {
    let (values, errors) = each(counts, f);
    Outcome { values: Arc::new(IntervalMonthDayNanoArray::from(values)), errors }
}

/// Casts values to a narrower type that was asked for; one that does not fit is an error.
fn narrowed(values: ArrayRef, mut errors: Vec<(usize, Error)>, to: &DataType) -> Outcome {
    if values.data_type() == to {
        return Outcome { values, errors };
    }
    let narrow = cast(&values, to).unwrap_or_else(|_| new_null_array(to, values.len()));
    let lost = (0..values.len()).filter(|&row| values.is_valid(row) && narrow.is_null(row));
    errors.extend(lost.map(|row| (row, out_of_range(to))));
    errors.sort_by_key(|(row, _)| *row);
    Outcome { values: narrow, errors }
}

fn exact_sum(states: &[ArrayRef], row: usize) -> ExactSum {
    ExactSum::from_bytes(states[0].as_binary::<i32>().value(row))
}

/// Reads sums of 128 or 256 bits.
fn wide_sums(states: &[ArrayRef]) -> Box<dyn Fn(usize) -> i256 + '_> {
    match states[0].data_type() {
        DataType::Decimal128(_, _) => {
            let sums = states[0].as_primitive::<Decimal128Type>().values();
            Box::new(move |row| i256::from_i128(sums[row]))
        }
        _ => {
            let sums = states[0].as_primitive::<Decimal256Type>().values();
            Box::new(move |row| sums[row])
        }
    }
}

fn scale_of(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

/// How exact sums become values of a type: multiplied or divided by a power of ten for its scale, rounded half away from
/// zero, of no more digits than it has. Powers are computed once for all values, and 128 bits are tried before 256.
struct Rounding {
    to: DataType,
    times: i256,
    over: i256,
    /// What every result is smaller than, regardless of its sign; an integer type has limits of its own.
    limit: Option<i256>,
}

impl Rounding {
    fn between(from: &DataType, to: &DataType) -> Self {
        let power = |digits: i32| i256::from_i128(10).checked_pow(digits.max(0) as u32).unwrap_or(i256::MAX);
        let more = scale_of(to) as i32 - scale_of(from) as i32;
        let limit = match to {
            DataType::Decimal128(digits, _) | DataType::Decimal256(digits, _) => Some(power(*digits as i32)),
            _ => None,
        };
        Rounding { to: to.clone(), times: power(more), over: power(-more), limit }
    }

    /// `sum / divisor`, if it fits.
    fn quotient(&self, sum: i256, divisor: i64) -> Option<i256> {
        let divisor = i256::from_i128(divisor as i128);
        let quotient = match self.narrow_quotient(sum, divisor) {
            Some(quotient) => i256::from_i128(quotient),
            None => divided(sum.checked_mul(self.times)?, divisor.checked_mul(self.over)?)?,
        };
        self.limit.is_none_or(|limit| -limit < quotient && quotient < limit).then_some(quotient)
    }

    /// The same, unless 128 bits don't suffice for it.
    fn narrow_quotient(&self, sum: i256, divisor: i256) -> Option<i128> {
        let value = sum.to_i128()?.checked_mul(self.times.to_i128()?)?;
        let divisor = divisor.to_i128()?.checked_mul(self.over.to_i128()?)?;
        if divisor == 1 {
            return Some(value);
        }
        let quotient = value.checked_div(divisor)?;
        let rest = value - quotient * divisor;
        let away = rest != 0 && rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
        let step = if (value < 0) == (divisor < 0) { 1 } else { -1 };
        if away { quotient.checked_add(step) } else { Some(quotient) }
    }
}

/// Rounded half away from zero; None if that overflows.
fn divided(value: i256, divisor: i256) -> Option<i256> {
    let (quotient, rest) = (value.checked_div(divisor)?, value.checked_rem(divisor)?);
    let (rest, size) = (rest.checked_abs()?, divisor.checked_abs()?);
    let away = rest != i256::ZERO && rest >= size.wrapping_sub(rest);
    let step = if (value < i256::ZERO) == (divisor < i256::ZERO) { i256::ONE } else { i256::MINUS_ONE };
    Some(if away { quotient.wrapping_add(step) } else { quotient })
}

fn out_of_range(to: &DataType) -> Error {
    let message = match to {
        DataType::Int16 => "smallint out of range",
        DataType::Int32 => "integer out of range",
        DataType::Int64 => "bigint out of range",
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => "numeric field overflow",
        _ => "value out of range",
    };
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integers(values: &[i128], scale: i8) -> Vec<ArrayRef> {
        let array = Decimal128Array::from_iter_values(values.iter().copied());
        vec![Arc::new(array.with_data_type(DataType::Decimal128(38, scale)))]
    }

    #[test]
    fn means_round_half_away_from_zero() {
        let states = integers(&[5, -5, 7, 0], 0);
        let counts = Int64Array::from(vec![2, 2, 3, 0]);
        let means = mean(Accumulates::Integer { scale: 0 }, &states, &counts, &DataType::Decimal128(38, 0));
        let expected = Decimal128Array::from(vec![Some(3), Some(-3), Some(2), None]);
        assert_eq!(
            means.values.as_primitive::<Decimal128Type>(),
            &expected.with_data_type(DataType::Decimal128(38, 0))
        );
        let means = mean(Accumulates::Integer { scale: 0 }, &states, &counts, &DataType::Decimal128(38, 16));
        assert_eq!(means.values.as_primitive::<Decimal128Type>().value(2), 23_333_333_333_333_333);
    }

    #[test]
    fn a_sum_that_does_not_fit_is_an_error_of_its_group() {
        let states = integers(&[i64::MAX as i128 + 1, 3], 0);
        let counts = Int64Array::from(vec![2, 2]);
        let sums = total(Accumulates::Integer { scale: 0 }, &states, &counts, &DataType::Int64);
        assert_eq!(sums.errors.len(), 1);
        assert_eq!(sums.errors[0].0, 0);
        assert_eq!(sums.errors[0].1.message(), "bigint out of range");
        assert_eq!(sums.values.as_primitive::<arrow::datatypes::Int64Type>().value(1), 3);
        let sums = total(Accumulates::Integer { scale: 0 }, &states, &counts, &DataType::Decimal128(38, 0));
        assert!(sums.errors.is_empty());
        assert_eq!(sums.values.as_primitive::<Decimal128Type>().value(0), i64::MAX as i128 + 1);
    }

    #[test]
    fn wide_decimals_divide_like_narrow_ones() {
        let huge = i256::from_i128(10).checked_pow(60).unwrap();
        assert_eq!(divided(huge, i256::from_i128(-3)).unwrap().to_string(), format!("-{}", "3".repeat(60)));
        let two_thirds = divided(huge.wrapping_mul(i256::from_i128(2)), i256::from_i128(3)).unwrap();
        assert_eq!(two_thirds.to_string(), format!("{}7", "6".repeat(59)));
    }
}
