//! Functions of numbers: float8's raise what PostgreSQL raises, numeric's keep their digits.

use datafusion::arrow::array::{ArrayRef, AsArray, Decimal256Array};
use datafusion::arrow::datatypes::i256;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Volatility;

use super::arithmetic::float::checked;
use super::arithmetic::numeric::{narrowed, out_of_range, scale_of, to_float, widened};
use super::arithmetic::{power, remainder};
use super::definition::{Call, Function, Gives, Kernel, Overload, Parameter};
use super::value::{Input, Output, Unscaled, map1, map2, map4};
use crate::sql::coerce::Argument;
use crate::types::SqlType::{self, Float4, Float8, Int2, Int4, Int8, Numeric};
use crate::types::text::{Digits, POWERS, rescale_wide};
use crate::types::{Error, Result, SqlState, random_u64};

pub fn functions() -> Vec<Function> {
    [whole_numbers(), rounding(), real_functions(), others()].into_iter().flatten().collect()
}

fn float1(name: &'static str, kernel: Kernel) -> Function {
    Function::new(name, vec![Overload::of([Float8], Float8, kernel)])
}

/// The same type comes out that goes in.
fn same(arguments: &[Argument]) -> Result<SqlType> {
    Ok(arguments[0].sql_type.clone())
}

fn numeric_same(kernel: Kernel) -> Overload {
    Overload::new([Parameter::Is(Numeric(None))], Gives::From(same), kernel)
}

fn whole_numbers() -> Vec<Function> {
    let numeric = || Parameter::Is(Numeric(None));
    let quotient = Overload::new([numeric(), numeric()], Gives::Is(Numeric(Some((38, 0)))), div);
    vec![
        absolutes(),
        signs(),
        Function::new("mod", remainder()),
        Function::new(
            "gcd",
            vec![
                Overload::of([Int4, Int4], Int4, |call| of_integers::<i32>(call, gcd, "integer")),
                Overload::of([Int8, Int8], Int8, |call| of_integers::<i64>(call, gcd, "bigint")),
            ],
        ),
        Function::new(
            "lcm",
            vec![
                Overload::of([Int4, Int4], Int4, |call| of_integers::<i32>(call, lcm, "integer")),
                Overload::of([Int8, Int8], Int8, |call| of_integers::<i64>(call, lcm, "bigint")),
            ],
        ),
        Function::new("factorial", vec![Overload::of([Int8], Numeric(Some((38, 0))), |call| map1(call, factorial))]),
        Function::new("div", vec![quotient]),
    ]
}

fn absolutes() -> Function {
    let overloads = vec![
        Overload::of([Int2], Int2, |call| {
            map1(call, |x: i16| x.checked_abs().ok_or_else(|| integer_range("smallint")))
        }),
        Overload::of([Int4], Int4, |call| map1(call, |x: i32| x.checked_abs().ok_or_else(|| integer_range("integer")))),
        Overload::of([Int8], Int8, |call| map1(call, |x: i64| x.checked_abs().ok_or_else(|| integer_range("bigint")))),
        numeric_same(|call| each_numeric(call, |x, _| Ok(absolute(x)))),
        Overload::of([Float8], Float8, |call| map1(call, |x: f64| Ok(x.abs()))),
        Overload::of([Float4], Float4, |call| map1(call, |x: f32| Ok(x.abs()))),
    ];
    Function::new("abs", overloads)
}

fn signs() -> Function {
    let overloads = vec![
        Overload::of([Numeric(None)], Numeric(Some((1, 0))), |call| each_numeric(call, |x, _| Ok(x.signum()))),
        Overload::of([Float8], Float8, |call| {
            map1(call, |x: f64| Ok(if x == 0.0 || x.is_nan() { x } else { x.signum() }))
        }),
    ];
    Function::new("sign", overloads).infallible()
}

/// A function of two integers, in a type that holds all its results; 22003 names the type of a result that does not fit.
fn of_integers<T>(call: &Call, f: fn(i128, i128) -> i128, name: &str) -> Result<ArrayRef>
where
    T: for<'a> Input<'a> + Output + Into<i128> + TryFrom<i128>,
{
    map2(call, |a: T, b: T| T::try_from(f(a.into(), b.into())).map_err(|_| integer_range(name)))
}

fn integer_range(name: &str) -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range"))
}

fn absolute(value: i256) -> i256 {
    if value < i256::ZERO { value.wrapping_neg() } else { value }
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

fn lcm(a: i128, b: i128) -> i128 {
    if a == 0 || b == 0 { 0 } else { (a / gcd(a, b) * b).abs() }
}

fn factorial(n: i64) -> Result<Unscaled> {
    if n < 0 {
        let message = "factorial of a negative number is undefined";
        return Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
    }
    let product = (1..=i128::from(n))
        .try_fold(1i128, |product, factor| product.checked_mul(factor).filter(|product| *product < POWERS[38]));
    product.map(Unscaled).ok_or_else(out_of_range)
}

/// Applies a function to a numeric's digits and scale; the result has the scale of the result type.
fn each_numeric(call: &Call, f: impl Fn(i256, i8) -> Result<i256>) -> Result<ArrayRef> {
    let scale = scale_of(call.array(0).data_type());
    let rows = widened(call.array(0));
    let rows = rows.iter().map(|value| value.map(|value| f(value, scale)).transpose());
    narrowed(rows.collect::<Result<Decimal256Array>>()?, call.result)
}

fn div(call: &Call) -> Result<ArrayRef> {
    let (left, right) = (widened(call.array(0)), widened(call.array(1)));
    let (a_scale, b_scale) = (scale_of(call.array(0).data_type()), scale_of(call.array(1).data_type()));
    let scale = a_scale.max(b_scale);
    let rows = left.iter().zip(&right).map(|(a, b)| {
        let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
        if b == i256::ZERO {
            return Err(super::arithmetic::float::division_by_zero());
        }
        let (a, b) = (rescale_wide(a, a_scale, scale), rescale_wide(b, b_scale, scale));
        a.zip(b).map(|(a, b)| Some(a.wrapping_div(b))).ok_or_else(out_of_range)
    });
    narrowed(rows.collect::<Result<Decimal256Array>>()?, call.result)
}

/// Digits after the point that are asked for, if that is known while planning.
fn asked_scale(argument: &Argument) -> Option<i64> {
    match &argument.literal {
        Some(ScalarValue::Int32(Some(digits))) => Some((*digits).into()),
        Some(ScalarValue::Int64(Some(digits))) => Some(*digits),
        _ => None,
    }
}

/// `round(x, 2)` has two digits after the point; if it depends on the row, as many as x.
fn rounded_type(arguments: &[Argument]) -> Result<SqlType> {
    let (precision, scale) = crate::sql::coerce::conversion::numeric_shape(&arguments[0].sql_type).unwrap_or((38, 16));
    let plain = arguments[0].sql_type == Numeric(None);
    let wanted = match arguments.get(1) {
        None => 0,
        Some(digits) => asked_scale(digits).map_or(scale, |digits| digits.clamp(0, i64::from(scale)) as i8),
    };
    let limit = if precision > 38 { 76 } else { 38 };
    let whole = precision - scale as u8;
    let precision = if plain { limit } else { (whole + wanted as u8 + 1).min(limit) };
    Ok(Numeric(Some((precision, wanted))))
}

/// What happens to the digits that go: the value, and 10^digits.
type Rounding = fn(i256, i256) -> i256;

fn half_away(value: i256, unit: i256) -> i256 {
    crate::types::text::round_wide_half_away(value, unit)
}

fn toward_zero(value: i256, unit: i256) -> i256 {
    value.wrapping_div(unit)
}

fn down(value: i256, unit: i256) -> i256 {
    let quotient = value.wrapping_div(unit);
    let exact = quotient.wrapping_mul(unit) == value;
    if value < i256::ZERO && !exact { quotient.wrapping_sub(i256::ONE) } else { quotient }
}

fn up(value: i256, unit: i256) -> i256 {
    let quotient = value.wrapping_div(unit);
    let exact = quotient.wrapping_mul(unit) == value;
    if value > i256::ZERO && !exact { quotient.wrapping_add(i256::ONE) } else { quotient }
}

/// Rounds to `digits` after the point (before it, if negative), in the scale of the result.
fn rounded(value: i256, scale: i8, digits: i64, result_scale: i8, rounding: Rounding) -> Result<i256> {
    let ten = i256::from_i128(10);
    let gone = i64::from(scale) - digits;
    let (kept, kept_scale) = match gone {
        ..=0 => (value, i64::from(scale)),
        gone => match u32::try_from(gone).ok().and_then(|gone| ten.checked_pow(gone)) {
            Some(unit) => (rounding(value, unit), digits),
            None => (i256::ZERO, 0),
        },
    };
    match i64::from(result_scale) - kept_scale {
        up @ 0.. => ten.checked_pow(up as u32).and_then(|power| kept.checked_mul(power)).ok_or_else(out_of_range),
        _ => rescale_wide(kept, kept_scale as i8, result_scale).ok_or_else(out_of_range),
    }
}

fn round_numeric(call: &Call, rounding: Rounding) -> Result<ArrayRef> {
    let result_scale = scale_of(call.result);
    let Some(digits) = call.arrays().get(1) else {
        return each_numeric(call, |value, scale| rounded(value, scale, 0, result_scale, rounding));
    };
    let scale = scale_of(call.array(0).data_type());
    let digits = digits.as_primitive::<datafusion::arrow::datatypes::Int32Type>();
    let values = widened(call.array(0));
    let rows = values.iter().zip(digits).map(|(value, digits)| match (value, digits) {
        (Some(value), Some(digits)) => rounded(value, scale, digits.into(), result_scale, rounding).map(Some),
        _ => Ok(None),
    });
    narrowed(rows.collect::<Result<Decimal256Array>>()?, call.result)
}

fn rounding() -> Vec<Function> {
    let numeric = || Parameter::Is(Numeric(None));
    let whole = |kernel: Kernel| Overload::new([numeric()], Gives::From(rounded_type), kernel);
    let digits = |kernel: Kernel| Overload::new([numeric(), Parameter::Is(Int4)], Gives::From(rounded_type), kernel);
    let float = |kernel: Kernel| Overload::of([Float8], Float8, kernel);
    let half_even: Kernel = |call| map1(call, |x: f64| Ok(x.round_ties_even()));
    let away: Kernel = |call| round_numeric(call, half_away);
    let zero: Kernel = |call| round_numeric(call, toward_zero);
    let ceil = || vec![whole(|call| round_numeric(call, up)), float(|call| map1(call, |x: f64| Ok(x.ceil())))];
    vec![
        Function::new("round", vec![whole(away), digits(away), float(half_even)]),
        Function::new("trunc", vec![whole(zero), digits(zero), float(|call| map1(call, |x: f64| Ok(x.trunc())))]),
        Function::new(
            "floor",
            vec![whole(|call| round_numeric(call, down)), float(|call| map1(call, |x: f64| Ok(x.floor())))],
        ),
        Function::new("ceil", ceil()),
        Function::new("ceiling", ceil()),
    ]
}

fn not_in_domain(state: SqlState, message: &str) -> Error {
    Error::new(state, message)
}

fn square_root(x: f64) -> Result<f64> {
    match x < 0.0 {
        true => {
            Err(not_in_domain(SqlState::INVALID_ARGUMENT_FOR_POWER, "cannot take square root of a negative number"))
        }
        false => Ok(x.sqrt()),
    }
}

fn logarithm(x: f64, log: fn(f64) -> f64) -> Result<f64> {
    let invalid = |message| Err(not_in_domain(SqlState::INVALID_ARGUMENT_FOR_LOG, message));
    match x {
        0.0 => invalid("cannot take logarithm of zero"),
        x if x < 0.0 => invalid("cannot take logarithm of a negative number"),
        x => Ok(log(x)),
    }
}

/// Functions that numeric has too, there with the precision of a float8: their results are rarely exact anyway.
fn real(name: &'static str, float: Kernel, exact: Kernel) -> Function {
    let exact = Overload::new([Parameter::Is(Numeric(None))], Gives::Is(Numeric(None)), exact);
    Function::new(name, vec![Overload::of([Float8], Float8, float), exact])
}

/// A numeric's function through float8, in plain numeric.
fn through_float(call: &Call, f: impl Fn(f64) -> Result<f64>) -> Result<ArrayRef> {
    let result_scale = scale_of(call.result);
    each_numeric(call, |value, scale| {
        let x = value.to_i128().map(|value| to_float(value, scale)).ok_or_else(out_of_range)?;
        let digits = Digits::read(&format!("{:e}", f(x)?))?.ok_or_else(out_of_range)?;
        digits.with_scale(result_scale).ok_or_else(out_of_range)
    })
}

/// The square root of a numeric by Newton's method, exact to the last digit.
fn numeric_square_root(call: &Call) -> Result<ArrayRef> {
    let result_scale = scale_of(call.result);
    each_numeric(call, |value, scale| {
        if value < i256::ZERO {
            return square_root(-1.0).map(|_| i256::ZERO);
        }
        // One digit more than is kept, to round by.
        let radicand = rescale_wide(value, scale, 2 * result_scale + 2).ok_or_else(out_of_range)?;
        let root = integer_root(radicand);
        Ok(half_away(root, i256::from_i128(10)))
    })
}

/// The greatest integer whose square is not greater.
pub fn integer_root(radicand: i256) -> i256 {
    if radicand == i256::ZERO {
        return radicand;
    }
    let two = i256::from_i128(2);
    let bits = 256 - radicand.leading_zeros();
    let mut root = i256::ONE << (bits.div_ceil(2) as u8);
    loop {
        let next = root.wrapping_add(radicand.wrapping_div(root)).wrapping_div(two);
        if next >= root {
            return root;
        }
        root = next;
    }
}

fn real_functions() -> Vec<Function> {
    macro_rules! plain {
        ($name:literal, $method:ident) => {
            float1($name, |call| map1(call, |x: f64| Ok(x.$method())))
        };
    }
    macro_rules! within {
        ($name:literal, $method:ident, $domain:expr) => {
            float1($name, |call| map1(call, |x: f64| in_domain(x, $domain, f64::$method)))
        };
    }
    vec![
        Function::new(
            "sqrt",
            vec![
                Overload::of([Float8], Float8, |call| map1(call, square_root)),
                Overload::new([Parameter::Is(Numeric(None))], Gives::Is(Numeric(None)), numeric_square_root),
            ],
        ),
        plain!("cbrt", cbrt),
        real(
            "exp",
            |call| map1(call, |x: f64| checked(x.exp(), x.is_infinite(), false)),
            |call| through_float(call, |x| checked(x.exp(), false, false)),
        ),
        real(
            "ln",
            |call| map1(call, |x: f64| logarithm(x, f64::ln)),
            |call| through_float(call, |x| logarithm(x, f64::ln)),
        ),
        real_log(),
        real(
            "log10",
            |call| map1(call, |x: f64| logarithm(x, f64::log10)),
            |call| through_float(call, |x| logarithm(x, f64::log10)),
        ),
        Function::new("power", power()),
        Function::new("pow", power()),
        within!("sin", sin, f64::is_finite),
        within!("cos", cos, f64::is_finite),
        within!("tan", tan, f64::is_finite),
        within!("asin", asin, |x| x.abs() <= 1.0),
        within!("acos", acos, |x| x.abs() <= 1.0),
        plain!("atan", atan),
        plain!("sinh", sinh),
        plain!("cosh", cosh),
        plain!("tanh", tanh),
        plain!("asinh", asinh),
        within!("acosh", acosh, |x| x >= 1.0),
        within!("atanh", atanh, |x| x.abs() <= 1.0),
        float1("cot", |call| map1(call, |x: f64| Ok(1.0 / x.tan()))),
        float1("degrees", |call| map1(call, |x: f64| checked(x.to_degrees(), x.is_infinite(), x == 0.0))),
        float1("radians", |call| map1(call, |x: f64| Ok(x.to_radians()))),
        Function::new(
            "atan2",
            vec![Overload::of([Float8, Float8], Float8, |call| map2(call, |y: f64, x: f64| Ok(y.atan2(x))))],
        ),
        Function::new(
            "pi",
            vec![Overload::new([], Gives::Is(Float8), |call| {
                Ok(ScalarValue::Float64(Some(std::f64::consts::PI)).to_array_of_size(call.rows)?)
            })],
        )
        .infallible(),
    ]
}

fn real_log() -> Function {
    let numerics = [Parameter::Is(Numeric(None)), Parameter::Is(Numeric(None))];
    let mut overloads = vec![
        Overload::of([Float8], Float8, |call| map1(call, |x: f64| logarithm(x, f64::log10))),
        Overload::new([Parameter::Is(Numeric(None))], Gives::Is(Numeric(None)), |call| {
            through_float(call, |x| logarithm(x, f64::log10))
        }),
    ];
    overloads.push(Overload::new(numerics, Gives::Is(Numeric(None)), |call| {
        let (base_scale, scale) = (scale_of(call.array(0).data_type()), scale_of(call.array(1).data_type()));
        let (bases, values) = (widened(call.array(0)), widened(call.array(1)));
        let float = |value: i256, scale| value.to_i128().map(|value| to_float(value, scale)).ok_or_else(out_of_range);
        let rows = bases.iter().zip(&values).map(|(base, value)| {
            let (Some(base), Some(value)) = (base, value) else {
                return Ok(None);
            };
            let base = logarithm(float(base, base_scale)?, f64::ln)?;
            let value = logarithm(float(value, scale)?, f64::ln)?;
            if base == 0.0 {
                return Err(super::arithmetic::float::division_by_zero());
            }
            let digits = Digits::read(&format!("{:e}", value / base))?.ok_or_else(out_of_range)?;
            digits.with_scale(scale_of(call.result)).map(Some).ok_or_else(out_of_range)
        });
        narrowed(rows.collect::<Result<Decimal256Array>>()?, call.result)
    }));
    Function::new("log", overloads)
}

fn in_domain(x: f64, domain: impl Fn(f64) -> bool, f: fn(f64) -> f64) -> Result<f64> {
    match x.is_nan() || domain(x) {
        true => Ok(f(x)),
        false => Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "input is out of range")),
    }
}

fn others() -> Vec<Function> {
    vec![
        Function::new(
            "width_bucket",
            vec![Overload::of([Float8, Float8, Float8, Int4], Int4, |call| map4(call, width_bucket))],
        ),
        Function::new(
            "random",
            vec![Overload::new([], Gives::Is(Float8), |call| {
                let uniform = |_| (random_u64() >> 11) as f64 / (1u64 << 53) as f64;
                let values: datafusion::arrow::array::Float64Array = (0..call.rows).map(uniform).map(Some).collect();
                Ok(std::sync::Arc::new(values))
            })],
        )
        .infallible()
        .volatility(Volatility::Volatile),
        Function::new(
            "gen_random_uuid",
            vec![Overload::new([], Gives::Is(SqlType::Uuid), |call| {
                let values = (0..call.rows).map(|_| Some(random_uuid()));
                Ok(std::sync::Arc::new(values.collect::<datafusion::arrow::array::StringArray>()))
            })],
        )
        .infallible()
        .volatility(Volatility::Volatile),
        Function::new(
            "scale",
            vec![Overload::new([Parameter::Is(Numeric(None))], Gives::Is(Int4), |call| {
                let scale = i32::from(scale_of(call.array(0).data_type()));
                let trimmed = matches!(call.types[0], Numeric(None));
                map1(call, move |Unscaled(value)| Ok(if trimmed { min_scale(value, scale) } else { scale }))
            })],
        )
        .infallible(),
        Function::new(
            "min_scale",
            vec![Overload::new([Parameter::Is(Numeric(None))], Gives::Is(Int4), |call| {
                let scale = i32::from(scale_of(call.array(0).data_type()));
                map1(call, move |Unscaled(value)| Ok(min_scale(value, scale)))
            })],
        )
        .infallible(),
        Function::new(
            "trim_scale",
            vec![Overload::new([Parameter::Is(Numeric(None))], Gives::Is(Numeric(None)), |call| {
                let result_scale = scale_of(call.result);
                each_numeric(call, |value, scale| rescale_wide(value, scale, result_scale).ok_or_else(out_of_range))
            })],
        ),
    ]
}

fn min_scale(value: i128, scale: i32) -> i32 {
    let mut scale = scale;
    let mut value = value;
    while scale > 0 && value % 10 == 0 {
        value /= 10;
        scale -= 1;
    }
    scale
}

fn width_bucket(value: f64, low: f64, high: f64, buckets: i32) -> Result<i32> {
    let invalid = |message| Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    if buckets <= 0 {
        return invalid("count must be greater than zero");
    }
    if value.is_nan() || low.is_nan() || high.is_nan() || low == high {
        return invalid("lower bound cannot equal upper bound");
    }
    let position = if low < high { (value - low) / (high - low) } else { (low - value) / (low - high) };
    Ok(match position {
        before if before < 0.0 => 0,
        after if after >= 1.0 => buckets.checked_add(1).ok_or_else(|| integer_range("integer"))?,
        inside => (inside * f64::from(buckets)).floor() as i32 + 1,
    })
}

/// A UUID of version 4.
fn random_uuid() -> String {
    let (high, low) = (random_u64(), random_u64());
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xfff);
    let (d, e) = (low >> 48 & 0x3fff | 0x8000, low & 0xffff_ffff_ffff);
    format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
}
