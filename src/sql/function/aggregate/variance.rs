//! variance and stddev: from exact sums of values and of their squares, so that the order of rows does not matter.
//!
//! Integers and numerics give numeric, floats give float8, as in PostgreSQL. The sum of squared distances is
//! `sum(x^2) - sum(x)^2 / n`, whose two terms nearly cancel out: for numerics they are computed in integers, for floats in
//! pairs of float8s (twice the digits), with the squares summed exactly.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal256Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal256Type, Field, FieldRef, Float64Type, Int64Type, i256};
use datafusion::common::{Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

use crate::dataflow::accumulator::ExactSum;
use crate::sql::coerce::bare_name;
use crate::sql::function::arithmetic::numeric::{out_of_range, scale_of, widened};
use crate::sql::function::math::integer_root;
use crate::types::text::round_wide_half_away;
use crate::types::{Error, Result, SqlState, SqlType};

/// Digits after the point of a numeric result.
const RESULT_SCALE: i8 = 16;

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Spread {
    name: &'static str,
    aliases: Vec<String>,
    /// Divided by n, not by n - 1.
    population: bool,
    root: bool,
    signature: Signature,
}

impl Spread {
    pub fn all() -> Vec<Spread> {
        let spread = |name, aliases: &[&str], population, root| Spread {
            name,
            aliases: aliases.iter().map(ToString::to_string).collect(),
            population,
            root,
            signature: Signature::user_defined(Volatility::Immutable),
        };
        vec![
            spread("var_samp", &["variance", "var", "var_sample"], false, false),
            spread("var_pop", &["var_population"], true, false),
            spread("stddev", &["stddev_samp"], false, true),
            spread("stddev_pop", &[], true, true),
        ]
    }
}

impl AggregateUDFImpl for Spread {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        match types {
            [DataType::Null] => Ok(vec![DataType::Float64]),
            [DataType::Float16 | DataType::Float32 | DataType::Float64] => Ok(vec![DataType::Float64]),
            other => Ok(other.to_vec()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> DataFusionResult<DataType> {
        match types {
            [argument] if argument.is_floating() => Ok(DataType::Float64),
            [argument] if argument.is_numeric() => Ok(DataType::Decimal128(38, RESULT_SCALE)),
            _ => {
                let types: Vec<String> = types.iter().map(|found| bare_name(&SqlType::of_arrow(found))).collect();
                let message = format!("function {}({}) does not exist", self.name, types.join(", "));
                Err(Error::new(SqlState::UNDEFINED_FUNCTION, message).into())
            }
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> DataFusionResult<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Err(Error::unsupported(format!("{}(DISTINCT ...) is not supported", self.name))
                .with_hint("Aggregate over a subquery with SELECT DISTINCT.")
                .into());
        }
        let argument = args.exprs[0].data_type(args.schema)?;
        Ok(match argument.is_floating() {
            true => Box::new(Floats { population: self.population, root: self.root, ..Default::default() }),
            false => Box::new(Numbers {
                population: self.population,
                root: self.root,
                scale: scale_of(&argument),
                count: 0,
                sum: i256::ZERO,
                squares: i256::ZERO,
            }),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> DataFusionResult<Vec<FieldRef>> {
        let sums = match args.input_fields[0].data_type().is_floating() {
            true => DataType::Binary,
            false => DataType::Decimal256(76, 0),
        };
        let field = |part: &str, found: DataType| Arc::new(Field::new(format!("{}[{part}]", args.name), found, true));
        Ok(vec![field("count", DataType::Int64), field("sum", sums.clone()), field("squares", sums)])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// Sums of integers or of numerics without their scale.
#[derive(Debug)]
struct Numbers {
    population: bool,
    root: bool,
    scale: i8,
    count: i64,
    sum: i256,
    squares: i256,
}

impl Numbers {
    fn add(&mut self, values: &ArrayRef, sign: i64) -> Result<()> {
        let wide = match values.data_type() {
            DataType::Decimal128(..) | DataType::Decimal256(..) => widened(values),
            _ => {
                let integers = cast(values, &DataType::Int64)?;
                let integers = integers.as_primitive::<Int64Type>();
                integers.iter().map(|value| value.map(|value| i256::from_i128(value.into()))).collect()
            }
        };
        let signed = i256::from_i128(sign.into());
        for value in wide.iter().flatten() {
            self.count += sign;
            self.sum = self.sum.checked_add(value.wrapping_mul(signed)).ok_or_else(out_of_range)?;
            let square = value.checked_mul(value).ok_or_else(out_of_range)?;
            self.squares = self.squares.checked_add(square.wrapping_mul(signed)).ok_or_else(out_of_range)?;
        }
        Ok(())
    }

    fn result(&self) -> Result<Option<i128>> {
        let divisor = if self.population { self.count } else { self.count - 1 };
        if self.count < 1 || divisor < 1 {
            return Ok(None);
        }
        let count = i256::from_i128(self.count.into());
        let scaled = || -> Option<i256> {
            let spread = count.checked_mul(self.squares)?.checked_sub(self.sum.checked_mul(self.sum)?)?;
            let divisor = count.checked_mul(i256::from_i128(divisor.into()))?;
            let digits = 2 * if self.root { RESULT_SCALE } else { RESULT_SCALE / 2 } - 2 * self.scale;
            let ten = i256::from_i128(10);
            Some(match digits {
                up @ 0.. => round_wide_half_away(spread.checked_mul(ten.checked_pow(up as u32)?)?, divisor),
                down => {
                    round_wide_half_away(spread, divisor.checked_mul(ten.checked_pow(down.unsigned_abs().into())?)?)
                }
            })
        };
        let scaled = scaled().ok_or_else(out_of_range)?;
        let result = if self.root { integer_root(scaled) } else { scaled };
        result.to_i128().map(Some).ok_or_else(out_of_range)
    }
}

impl Accumulator for Numbers {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        Ok(self.add(&values[0], 1)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        Ok(self.add(&values[0], -1)?)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let counts = states[0].as_primitive::<Int64Type>();
        let sums: &Decimal256Array = states[1].as_primitive::<Decimal256Type>();
        let squares: &Decimal256Array = states[2].as_primitive::<Decimal256Type>();
        for row in 0..counts.len() {
            self.count += counts.value(row);
            self.sum = self.sum.checked_add(sums.value(row)).ok_or_else(out_of_range)?;
            self.squares = self.squares.checked_add(squares.value(row)).ok_or_else(out_of_range)?;
        }
        Ok(())
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        let wide = |value| ScalarValue::Decimal256(Some(value), 76, 0);
        Ok(vec![ScalarValue::Int64(Some(self.count)), wide(self.sum), wide(self.squares)])
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        Ok(ScalarValue::Decimal128(self.result()?, 38, RESULT_SCALE))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

#[derive(Debug, Default)]
struct Floats {
    population: bool,
    root: bool,
    count: i64,
    sum: ExactSum,
    squares: ExactSum,
}

/// A number as the sum of two float8s, the second below the last digit of the first.
#[derive(Clone, Copy)]
struct Pair(f64, f64);

impl Pair {
    fn of(sum: &ExactSum) -> Result<Pair> {
        let high = sum.result()?;
        let mut rest = sum.clone();
        rest.subtract(high);
        Ok(Pair(high, rest.result()?))
    }

    fn times(self, other: Pair) -> Pair {
        let high = self.0 * other.0;
        let error = self.0.mul_add(other.0, -high);
        Pair(high, error + (self.0 * other.1 + self.1 * other.0))
    }

    fn minus(self, other: Pair) -> f64 {
        (self.0 - other.0) + (self.1 - other.1)
    }
}

impl Floats {
    fn add(&mut self, values: &ArrayRef, sign: i64) {
        for value in values.as_primitive::<Float64Type>().iter().flatten() {
            self.count += sign;
            self.sum.add_times(value, sign);
            let square = value * value;
            self.squares.add_times(square, sign);
            if square.is_finite() {
                self.squares.add_times(value.mul_add(value, -square), sign);
            }
        }
    }

    fn result(&self) -> Result<Option<f64>> {
        let divisor = if self.population { self.count } else { self.count - 1 };
        if self.count < 1 || divisor < 1 {
            return Ok(None);
        }
        let (sum, squares) = (Pair::of(&self.sum)?, Pair::of(&self.squares)?);
        let count = self.count as f64;
        let spread = squares.times(Pair(count, 0.0)).minus(sum.times(sum));
        let variance = if spread.is_nan() { spread } else { spread.max(0.0) / (count * divisor as f64) };
        Ok(Some(if self.root { variance.sqrt() } else { variance }))
    }
}

impl Accumulator for Floats {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        self.add(&values[0], 1);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        self.add(&values[0], -1);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let counts = states[0].as_primitive::<Int64Type>();
        let (sums, squares) = (states[1].as_binary::<i32>(), states[2].as_binary::<i32>());
        for row in 0..counts.len() {
            self.count += counts.value(row);
            self.sum.merge(&ExactSum::from_bytes(sums.value(row)));
            self.squares.merge(&ExactSum::from_bytes(squares.value(row)));
        }
        Ok(())
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        let bytes = |sum: &ExactSum| {
            let mut bytes = vec![];
            sum.to_bytes(&mut bytes);
            ScalarValue::Binary(Some(bytes))
        };
        Ok(vec![ScalarValue::Int64(Some(self.count)), bytes(&self.sum), bytes(&self.squares)])
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        Ok(ScalarValue::Float64(self.result()?))
    }

    fn size(&self) -> usize {
        // The exact sums grow with the range of exponents only.
        size_of_val(self) + 64
    }
}
