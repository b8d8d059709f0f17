//! The hash that decides placement and order: a fixed function over canonical values, so that it can be kept on disk.
//!
//! A row's hash starts from the seed and takes in one 64-bit word per column: `hash = mix(hash ^ word)`. `mix` is a
//! bijection, and so is the word of an integer, a boolean, a float, a date or a timestamp: rows of one such column have
//! equal hashes only if they are equal. Words are of values, not of representations:
//!
//! | values | word |
//! |---|---|
//! | NULL | a constant |
//! | integers of all widths, booleans, dates, times, timestamps | the value, sign-extended |
//! | floats | bits of the double; -0.0 is 0.0, and there is one NaN |
//! | decimals | that of the integer if there is no fraction and it fits 64 bits; else of both parts, whatever the scale |
//! | text, bytes | xxh3 of the bytes, with the seed |
//! | intervals | months of 30 days of 24 hours, in nanoseconds |
//! | lists, structs | the hash of the elements, begun with their number |
//!
//! Changing anything here makes kept arrangements unreadable; the tests pin it.

use arrow::array::cast::AsArray;
use arrow::array::types::*;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit, i256};
use arrow::util::display::array_value_to_string;
use num::fraction_parts;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The word of NULL.
const NULL: u64 = 0x6e75_6c6c_9e37_79b9;

/// The hash of each of `rows` rows of `columns`.
pub fn hash_columns(columns: &[ArrayRef], rows: usize, seed: u64) -> Vec<u64> {
    let mut hashes = vec![mix(seed); rows];
    for column in columns {
        fold(&mut hashes, column.as_ref(), seed);
    }
    hashes
}

/// The finalizer of MurmurHash3 with the constants of David Stafford's variant 13: a bijection that spreads every bit.
fn mix(mut word: u64) -> u64 {
    word ^= word >> 30;
    word = word.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word ^= word >> 27;
    word = word.wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Takes one column into the hashes.
fn fold(hashes: &mut [u64], column: &dyn Array, seed: u64) {
    use DataType::*;
    match column.data_type() {
        Null => hashes.iter_mut().for_each(|hash| *hash = mix(*hash ^ NULL)),
        Boolean => {
            let values = column.as_boolean();
            fold_words(hashes, column.nulls(), |row| values.value(row) as u64)
        }
        Int8 => integers::<Int8Type>(hashes, column),
        Int16 => integers::<Int16Type>(hashes, column),
        Int32 => integers::<Int32Type>(hashes, column),
        Int64 => integers::<Int64Type>(hashes, column),
        UInt8 => integers::<UInt8Type>(hashes, column),
        UInt16 => integers::<UInt16Type>(hashes, column),
        UInt32 => integers::<UInt32Type>(hashes, column),
        UInt64 => {
            let values = column.as_primitive::<UInt64Type>().values();
            fold_words(hashes, column.nulls(), |row| values[row])
        }
        Date32 => integers::<Date32Type>(hashes, column),
        Date64 => integers::<Date64Type>(hashes, column),
        Time32(TimeUnit::Second) => integers::<Time32SecondType>(hashes, column),
        Time32(_) => integers::<Time32MillisecondType>(hashes, column),
        Time64(TimeUnit::Microsecond) => integers::<Time64MicrosecondType>(hashes, column),
        Time64(_) => integers::<Time64NanosecondType>(hashes, column),
        Timestamp(TimeUnit::Second, _) => integers::<TimestampSecondType>(hashes, column),
        Timestamp(TimeUnit::Millisecond, _) => integers::<TimestampMillisecondType>(hashes, column),
        Timestamp(TimeUnit::Microsecond, _) => integers::<TimestampMicrosecondType>(hashes, column),
        Timestamp(TimeUnit::Nanosecond, _) => integers::<TimestampNanosecondType>(hashes, column),
        Float32 => {
            let values = column.as_primitive::<Float32Type>().values();
            fold_words(hashes, column.nulls(), |row| float_word(values[row] as f64))
        }
        Float64 => {
            let values = column.as_primitive::<Float64Type>().values();
            fold_words(hashes, column.nulls(), |row| float_word(values[row]))
        }
        Decimal128(_, scale) => {
            let (values, scale) = (column.as_primitive::<Decimal128Type>().values(), *scale);
            fold_words(hashes, column.nulls(), |row| decimal_word(values[row], scale))
        }
        Decimal256(_, scale) => {
            let (values, scale) = (column.as_primitive::<Decimal256Type>().values(), *scale);
            fold_words(hashes, column.nulls(), |row| wide_decimal_word(values[row], scale))
        }
        Utf8 => fold_bytes(hashes, column, seed, |row| column.as_string::<i32>().value(row).as_bytes()),
        LargeUtf8 => fold_bytes(hashes, column, seed, |row| column.as_string::<i64>().value(row).as_bytes()),
        Utf8View => fold_bytes(hashes, column, seed, |row| column.as_string_view().value(row).as_bytes()),
        Binary => fold_bytes(hashes, column, seed, |row| column.as_binary::<i32>().value(row)),
        LargeBinary => fold_bytes(hashes, column, seed, |row| column.as_binary::<i64>().value(row)),
        BinaryView => fold_bytes(hashes, column, seed, |row| column.as_binary_view().value(row)),
        FixedSizeBinary(_) => fold_bytes(hashes, column, seed, |row| column.as_fixed_size_binary().value(row)),
        Interval(IntervalUnit::MonthDayNano) => {
            let values = column.as_primitive::<IntervalMonthDayNanoType>().values();
            fold_words(hashes, column.nulls(), |row| {
                let IntervalMonthDayNano { months, days, nanoseconds } = values[row];
                let days = months as i128 * 30 + days as i128;
                wide_word(days * 86_400_000_000_000 + nanoseconds as i128)
            })
        }
        _ => fold_nested(hashes, column, seed),
    }
}

/// The same for values that are made of others, and, by their text, for whatever else there is.
fn fold_nested(hashes: &mut [u64], column: &dyn Array, seed: u64) {
    use DataType::*;
    match column.data_type() {
        List(_) => {
            let (elements, offsets) = (column.as_list::<i32>().values(), column.as_list::<i32>().value_offsets());
            fold_elements(hashes, column.nulls(), elements, seed, |row| {
                (offsets[row] as usize, offsets[row + 1] as usize)
            })
        }
        LargeList(_) => {
            let (elements, offsets) = (column.as_list::<i64>().values(), column.as_list::<i64>().value_offsets());
            fold_elements(hashes, column.nulls(), elements, seed, |row| {
                (offsets[row] as usize, offsets[row + 1] as usize)
            })
        }
        FixedSizeList(_, size) => {
            let (elements, size) = (column.as_fixed_size_list().values(), *size as usize);
            fold_elements(hashes, column.nulls(), elements, seed, |row| (row * size, row * size + size))
        }
        Struct(_) => {
            let fields = hash_columns(column.as_struct().columns(), column.len(), seed);
            fold_words(hashes, column.nulls(), |row| fields[row])
        }
        Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let keys = dictionary.normalized_keys().into_iter().map(|key| key as u64).collect();
            let keys = UInt64Array::new(keys, column.nulls().cloned());
            let values = take(dictionary.values(), &keys, None).expect("keys are positions of values");
            fold(hashes, values.as_ref(), seed)
        }
        _ => fold_words(hashes, column.nulls(), |row| {
            let text = array_value_to_string(column, row).expect("every Arrow type that we let in can be printed");
            xxh3_64_with_seed(text.as_bytes(), seed)
        }),
    }
}

fn fold_words(hashes: &mut [u64], nulls: Option<&NullBuffer>, word: impl Fn(usize) -> u64) {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => hashes.iter_mut().enumerate().for_each(|(row, hash)| *hash = mix(*hash ^ word(row))),
        Some(nulls) => hashes.iter_mut().enumerate().for_each(|(row, hash)| {
            *hash = mix(*hash ^ if nulls.is_null(row) { NULL } else { word(row) });
        }),
    }
}

fn integers<T: ArrowPrimitiveType<Native: Into<i64>>>(hashes: &mut [u64], column: &dyn Array) {
    let values = column.as_primitive::<T>().values();
    fold_words(hashes, column.nulls(), |row| values[row].into() as u64)
}

fn fold_bytes<'a>(hashes: &mut [u64], column: &'a dyn Array, seed: u64, bytes: impl Fn(usize) -> &'a [u8]) {
    fold_words(hashes, column.nulls(), |row| xxh3_64_with_seed(bytes(row), seed))
}

/// A list's word is the hash of a row that has its length and its elements as columns.
fn fold_elements(
    hashes: &mut [u64],
    nulls: Option<&NullBuffer>,
    elements: &ArrayRef,
    seed: u64,
    range: impl Fn(usize) -> (usize, usize),
) {
    let words = words(elements.as_ref(), seed);
    fold_words(hashes, nulls, |row| {
        let (start, end) = range(row);
        words[start..end].iter().fold(mix((end - start) as u64), |hash, &word| mix(hash ^ word))
    })
}

/// A well-mixed word per value of an array.
fn words(values: &dyn Array, seed: u64) -> Vec<u64> {
    let mut hashes = vec![mix(seed); values.len()];
    fold(&mut hashes, values, seed);
    hashes
}

fn float_word(value: f64) -> u64 {
    match value {
        0.0 => 0,
        value if value.is_nan() => f64::NAN.to_bits(),
        value => value.to_bits(),
    }
}

fn decimal_word(value: i128, scale: i8) -> u64 {
    if !(0..=38).contains(&scale) {
        return wide_decimal_word(i256::from_i128(value), scale);
    }
    let (whole, fraction) = fraction_parts(value, scale as u32);
    parts_word(whole, fraction)
}

/// Fractions are of 10^38; what a Decimal256 has beyond those digits, or before 38 of them, is taken in too.
fn wide_decimal_word(value: i256, scale: i8) -> u64 {
    let power = |exponent: u32| i256::from_i128(10).wrapping_pow(exponent);
    let (whole, fraction) = match scale {
        ..=0 => (value.wrapping_mul(power(scale.unsigned_abs() as u32)), i256::ZERO),
        _ => (value.wrapping_div(power(scale as u32)), value.wrapping_rem(power(scale as u32))),
    };
    let (high, low) = match scale {
        ..=38 => (fraction.wrapping_mul(power((38 - scale.max(0)) as u32)), i256::ZERO),
        _ => (fraction.wrapping_div(power(scale as u32 - 38)), fraction.wrapping_rem(power(scale as u32 - 38))),
    };
    let low = if scale > 38 { low.wrapping_mul(power(76 - scale as u32)) } else { low };
    match (whole.to_i128(), low == i256::ZERO) {
        (Some(whole), true) => parts_word(whole, high.to_i128().expect("a fraction has 38 digits")),
        _ => {
            let (bottom, top) = whole.to_parts();
            let all = [bottom as i128, top, high.as_i128(), low.as_i128()];
            all.iter().fold(0, |hash, &part| mix(hash ^ wide_word(part)))
        }
    }
}

fn parts_word(whole: i128, fraction: i128) -> u64 {
    match fraction {
        0 => wide_word(whole),
        _ => mix(wide_word(whole)) ^ mix(wide_word(fraction).rotate_left(17)),
    }
}

/// The value itself if it fits 64 bits.
fn wide_word(value: i128) -> u64 {
    match i64::try_from(value) {
        Ok(small) => small as u64,
        Err(_) => mix(value as u64) ^ mix((value >> 64) as u64).rotate_left(32),
    }
}

/// Division of decimals.
mod num {
    const POWERS: [i64; 19] = {
        let mut powers = [1i64; 19];
        let mut exponent = 1;
        while exponent < 19 {
            powers[exponent] = powers[exponent - 1] * 10;
            exponent += 1;
        }
        powers
    };

    /// The integer part, and the fraction in units of 10^-38. Most values fit 64 bits, whose division is ten times faster.
    pub fn fraction_parts(value: i128, scale: u32) -> (i128, i128) {
        let (whole, rest) = match (i64::try_from(value), POWERS.get(scale as usize)) {
            (Ok(small), Some(power)) => ((small / power) as i128, (small % power) as i128),
            _ => (value / 10i128.pow(scale), value % 10i128.pow(scale)),
        };
        (whole, rest * 10i128.pow(38 - scale))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::datatypes::Field;

    use super::*;

    fn one(column: impl Array + 'static) -> u64 {
        hash_columns(&[Arc::new(column)], 1, 7)[0]
    }

    fn decimal(value: i128, precision: u8, scale: i8) -> Decimal128Array {
        Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap()
    }

    fn wide(value: i128, scale: i8) -> Decimal256Array {
        let value = i256::from_i128(value);
        Decimal256Array::from(vec![value]).with_precision_and_scale(76, scale).unwrap()
    }

    #[test]
    fn representation_does_not_matter() {
        assert_eq!(one(Int16Array::from(vec![-3])), one(Int64Array::from(vec![-3])));
        assert_eq!(one(Int32Array::from(vec![5])), one(decimal(500, 10, 2)));
        assert_eq!(one(decimal(1250, 10, 3)), one(decimal(125, 10, 2)));
        assert_eq!(one(decimal(-1250, 38, 38)), one(wide(-125, 37)));
        assert_eq!(one(decimal(1250, 10, 3)), one(wide(12500, 4)));
        assert_eq!(one(wide(1_000_000, 60)), one(wide(1, 54)));
        assert_ne!(one(wide(1, 60)), one(wide(1, 61)));
        assert_eq!(one(Float64Array::from(vec![-0.0])), one(Float64Array::from(vec![0.0])));
        assert_eq!(one(Float64Array::from(vec![-f64::NAN])), one(Float32Array::from(vec![f32::NAN])));
        assert_eq!(one(StringArray::from(vec!["x"])), one(StringViewArray::from(vec!["x"])));
        assert_eq!(one(Int64Array::from(vec![None])), one(StringArray::from(vec![None as Option<&str>])));
    }

    #[test]
    fn slices_hash_as_their_rows() {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
            Some(vec![Some(1)]),
        ]);
        let all = hash_columns(&[Arc::new(lists.clone())], 4, 1);
        for (row, hash) in all.iter().enumerate() {
            assert_eq!(hash_columns(&[Arc::new(lists.slice(row, 1))], 1, 1)[0], *hash);
        }
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), 4);
    }

    #[test]
    fn one_integer_column_never_collides() {
        let values: Vec<i64> = (-50_000..50_000).map(|i| i * 7_919_000_000_003).collect();
        let mut hashes = hash_columns(&[Arc::new(Int64Array::from(values))], 100_000, 3);
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 100_000);
    }

    /// These values are on disks.
    #[test]
    fn the_function_is_pinned() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(0), Some(-1), None])),
            Arc::new(StringArray::from(vec!["", "millrace", "π"])),
            Arc::new(Float64Array::from(vec![0.0, 1.5, f64::NAN])),
            Arc::new(decimal_column()),
            Arc::new(StructArray::from(vec![(
                Arc::new(Field::new("a", DataType::Boolean, true)),
                Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])) as ArrayRef,
            )])),
        ];
        let each: Vec<Vec<u64>> =
            columns.iter().map(|column| hash_columns(std::slice::from_ref(column), 3, 42)).collect();
        let together = hash_columns(&columns, 3, 42);
        assert_eq!((each, together), pinned());
    }

    fn decimal_column() -> Decimal128Array {
        let values = vec![Some(100), Some(-125), Some(99_999_999_999_999_999_999_999_999_999)];
        Decimal128Array::from(values).with_precision_and_scale(38, 2).unwrap()
    }

    fn pinned() -> (Vec<Vec<u64>>, Vec<u64>) {
        let each = vec![
            vec![10946711343035318437, 16911134859397723351, 3412651665012637304],
            vec![10002691149797149973, 16667385789732484398, 3008847459263199557],
            vec![10946711343035318437, 13156177218361438432, 15939123795818666235],
            vec![10383193879983958260, 17222518867793444636, 13594660372697643505],
            vec![8199781115576520484, 5941362764494302625, 9902147558015591500],
        ];
        (each, vec![6388466444028119178, 9328234736670809084, 12223447230989498129])
    }
}
