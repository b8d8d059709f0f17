//! Functions of arrays. Subscripts count from 1; arrays have one dimension.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, ListArray, MutableArrayData, StringArray, UInt64Array, make_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::kernels::cmp::not_distinct;
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type};

use super::definition::{Call, Function, Gives, Kernel, Overload, Parameter};
use crate::sql::coerce::bare_name;
use crate::types::SqlType::{Int4, Int8, Text};
use crate::types::{Error, Result};

pub fn functions() -> Vec<Function> {
    use Parameter::{Array, Element, Is};
    let on_dimension = |name, kernel: Kernel| {
        Function::new(name, vec![Overload::new([Array, Is(Int4)], Gives::Is(Int4), kernel)]).infallible()
    };
    let changed = |name, parameters: &[Parameter], kernel: Kernel| {
        Function::new(name, vec![Overload::new(parameters.to_vec(), Gives::Array, kernel).not_strict()]).infallible()
    };
    vec![
        Function::new("array", vec![Overload::new([Element], Gives::Array, array).variadic().not_strict()])
            .infallible(),
        on_dimension("array_length", |call| bounds(call, |length| length)),
        on_dimension("array_upper", |call| bounds(call, |length| length)),
        on_dimension("array_lower", |call| bounds(call, |_| 1)),
        Function::new("cardinality", vec![Overload::new([Array], Gives::Is(Int4), |call| lengths(call, Some))])
            .infallible(),
        Function::new(
            "array_ndims",
            vec![Overload::new([Array], Gives::Is(Int4), |call| lengths(call, |length| (length > 0).then_some(1)))],
        )
        .infallible(),
        Function::new("array_dims", vec![Overload::new([Array], Gives::Is(Text), array_dims)]).infallible(),
        changed("array_append", &[Array, Element], super::concatenation::appended),
        changed("array_prepend", &[Element, Array], super::concatenation::prepended),
        changed("array_cat", &[Array, Array], super::concatenation::arrays),
        changed("array_remove", &[Array, Element], |call| filtered(call, false)),
        Function::new(
            "array_position",
            vec![Overload::new([Array, Element], Gives::Is(Int4), array_position).not_strict()],
        )
        .infallible(),
        Function::new("pg_typeof", vec![Overload::new([Parameter::Any], Gives::Is(Text), pg_typeof).not_strict()])
            .infallible(),
        Function::new("array_element", vec![Overload::new([Array, Is(Int8)], Gives::Element, array_element)])
            .infallible(),
    ]
}

/// The field of the elements of the result.
fn result_field(call: &Call) -> Result<Arc<datafusion::arrow::datatypes::Field>> {
    match call.result {
        DataType::List(field) => Ok(field.clone()),
        other => Err(Error::internal(format!("a function of arrays gives an array, not {other}"))),
    }
}

/// `ARRAY[a, b, c]`.
fn array(call: &Call) -> Result<ArrayRef> {
    let data: Vec<_> = call.arrays().iter().map(|array| array.to_data()).collect();
    let mut items = MutableArrayData::new(data.iter().collect(), true, call.rows * data.len());
    for row in 0..call.rows {
        (0..data.len()).for_each(|place| items.extend(place, row, row + 1));
    }
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(data.len(), call.rows));
    Ok(Arc::new(ListArray::new(result_field(call)?, offsets, make_array(items.freeze()), None)))
}

fn lengths(call: &Call, answer: impl Fn(i32) -> Option<i32>) -> Result<ArrayRef> {
    let list: &ListArray = call.array(0).as_list();
    let length = |row: usize| list.is_valid(row).then(|| answer(list.value_length(row))).flatten();
    Ok(Arc::new((0..call.rows).map(length).collect::<Int32Array>()))
}

/// Of an empty array, and of a dimension that it does not have, there are none.
fn bounds(call: &Call, answer: impl Fn(i32) -> i32) -> Result<ArrayRef> {
    let list: &ListArray = call.array(0).as_list();
    let dimensions = call.array(1).as_primitive::<Int32Type>();
    let bound = |row: usize| {
        let known = list.is_valid(row) && dimensions.is_valid(row) && dimensions.value(row) == 1;
        (known && list.value_length(row) > 0).then(|| answer(list.value_length(row)))
    };
    Ok(Arc::new((0..call.rows).map(bound).collect::<Int32Array>()))
}

fn array_dims(call: &Call) -> Result<ArrayRef> {
    let list: &ListArray = call.array(0).as_list();
    let dimensions = |row: usize| {
        (list.is_valid(row) && list.value_length(row) > 0).then(|| format!("[1:{}]", list.value_length(row)))
    };
    Ok(Arc::new((0..call.rows).map(dimensions).collect::<StringArray>()))
}

/// For every element of every array, whether it is what is looked for in its row; NULL is like NULL.
fn hits(call: &Call) -> Result<datafusion::arrow::array::BooleanArray> {
    let list: &ListArray = call.array(0).as_list();
    let rows = list.value_offsets().windows(2).enumerate();
    let owners = rows.flat_map(|(row, range)| std::iter::repeat_n(row as u64, (range[1] - range[0]) as usize));
    let first = list.value_offsets()[0] as usize;
    let count = *list.value_offsets().last().expect("offsets are never empty") as usize - first;
    let wanted = take(call.array(1), &owners.collect::<UInt64Array>(), None)?;
    Ok(not_distinct(&list.values().slice(first, count), &wanted)?)
}

fn filtered(call: &Call, keep: bool) -> Result<ArrayRef> {
    let list: &ListArray = call.array(0).as_list();
    let hits = hits(call)?;
    let first = list.value_offsets()[0] as usize;
    let data = list.values().to_data();
    let mut items = MutableArrayData::new(vec![&data], true, list.values().len());
    let mut lengths = Vec::with_capacity(call.rows);
    for range in list.value_offsets().windows(2) {
        let kept = (range[0] as usize..range[1] as usize).filter(|item| hits.value(item - first) == keep);
        let mut length = 0;
        for item in kept {
            items.extend(0, item, item + 1);
            length += 1;
        }
        lengths.push(length);
    }
    let nulls = list.nulls().cloned();
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::new(result_field(call)?, offsets, make_array(items.freeze()), nulls)))
}

fn array_position(call: &Call) -> Result<ArrayRef> {
    let list: &ListArray = call.array(0).as_list();
    let hits = hits(call)?;
    let first = list.value_offsets()[0] as usize;
    let position = |row: usize| {
        let range = list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize;
        let start = range.start;
        let found = range.into_iter().find(|item| hits.value(item - first))?;
        list.is_valid(row).then_some((found - start) as i32 + 1)
    };
    Ok(Arc::new((0..call.rows).map(position).collect::<Int32Array>()))
}

/// `array[subscript]`; NULL outside of the array.
fn array_element(call: &Call) -> Result<ArrayRef> {
    let list: &ListArray = call.array(0).as_list();
    let subscripts = call.array(1).as_primitive::<Int64Type>();
    let item = |row: usize| {
        let subscript = subscripts.is_valid(row).then(|| subscripts.value(row))?;
        let inside = list.is_valid(row) && (1..=i64::from(list.value_length(row))).contains(&subscript);
        inside.then(|| (i64::from(list.value_offsets()[row]) + subscript - 1) as u64)
    };
    Ok(take(list.values(), &(0..call.rows).map(item).collect::<UInt64Array>(), None)?)
}

/// The name of a type, as text.
fn pg_typeof(call: &Call) -> Result<ArrayRef> {
    let name = bare_name(&call.types[0]);
    Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(name, call.rows))))
}
