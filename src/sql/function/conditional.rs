//! Functions that choose among their arguments.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, Int32Array};
use datafusion::arrow::compute::kernels::cmp;
use datafusion::arrow::compute::kernels::zip::zip;
use datafusion::arrow::compute::{is_null, nullif, or};
use datafusion::arrow::datatypes::DataType;

use super::definition::{Call, Function, Gives, Overload, Parameter};
use crate::types::Result;

pub fn functions() -> Vec<Function> {
    let of_one_type =
        |kernel| vec![Overload::new([Parameter::Same, Parameter::Same], Gives::Same, kernel).variadic().not_strict()];
    vec![
        Function::new("coalesce", of_one_type(coalesce)).infallible(),
        Function::new("greatest", of_one_type(greatest)).infallible(),
        Function::new("least", of_one_type(least)).infallible(),
        Function::new(
            "nullif",
            vec![Overload::new([Parameter::Same, Parameter::Same], Gives::Same, null_if).not_strict()],
        )
        .infallible(),
        Function::new("num_nulls", vec![counting(num_nulls)]).infallible(),
        Function::new("num_nonnulls", vec![counting(num_nonnulls)]).infallible(),
    ]
}

fn counting(kernel: super::definition::Kernel) -> Overload {
    Overload::new([Parameter::Any], Gives::Is(crate::types::SqlType::Int4), kernel).variadic().not_strict()
}

fn coalesce(call: &Call) -> Result<ArrayRef> {
    let (first, rest) = call.arrays().split_first().expect("coalesce has an argument");
    let mut result = first.clone();
    for argument in rest {
        if result.null_count() == 0 {
            break;
        }
        result = zip(&is_null(&result)?, argument, &result)?;
    }
    Ok(result)
}

fn greatest(call: &Call) -> Result<ArrayRef> {
    best(call, |candidate, so_far| cmp::gt(candidate, so_far))
}

fn least(call: &Call) -> Result<ArrayRef> {
    best(call, |candidate, so_far| cmp::lt(candidate, so_far))
}

type Comparison = fn(&ArrayRef, &ArrayRef) -> Result<BooleanArray, datafusion::arrow::error::ArrowError>;

/// NULLs do not count, unless there is nothing else.
fn best(call: &Call, better: Comparison) -> Result<ArrayRef> {
    let (first, rest) = call.arrays().split_first().expect("greatest and least have an argument");
    let mut result = first.clone();
    for candidate in rest {
        let wins = better(candidate, &result)?;
        let wins: BooleanArray = wins.iter().map(|win| Some(win.unwrap_or(false))).collect();
        let wins = or(&wins, &is_null(&result)?)?;
        result = zip(&wins, candidate, &result)?;
    }
    Ok(result)
}

fn null_if(call: &Call) -> Result<ArrayRef> {
    let (value, other) = (call.array(0), call.array(1));
    let equal = match value.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let zeroed = |array: &ArrayRef| datafusion::arrow::compute::kernels::numeric::add(array, &zero(array));
            cmp::eq(&zeroed(value)?, &zeroed(other)?)?
        }
        _ => cmp::eq(value, other)?,
    };
    Ok(nullif(value, &equal)?)
}

/// -0.0 plus 0.0 is 0.0.
fn zero(array: &ArrayRef) -> datafusion::arrow::array::Scalar<ArrayRef> {
    let zero: ArrayRef = match array.data_type() {
        DataType::Float32 => Arc::new(datafusion::arrow::array::Float32Array::from(vec![0.0])),
        _ => Arc::new(datafusion::arrow::array::Float64Array::from(vec![0.0])),
    };
    datafusion::arrow::array::Scalar::new(zero)
}

fn num_nulls(call: &Call) -> Result<ArrayRef> {
    Ok(Arc::new(counts(call, |array, row| array.is_null(row))))
}

fn num_nonnulls(call: &Call) -> Result<ArrayRef> {
    Ok(Arc::new(counts(call, |array, row| array.is_valid(row))))
}

fn counts(call: &Call, counted: fn(&ArrayRef, usize) -> bool) -> Int32Array {
    let count = |row: usize| call.arrays().iter().filter(|array| counted(array, row)).count() as i32;
    Int32Array::from_iter_values((0..call.rows).map(count))
}
