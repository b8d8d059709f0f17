//! numeric in binary: groups of four decimal digits, aligned at the decimal point.

use arrow::array::{Array, AsArray, Decimal128Array, Decimal256Array};
use arrow::datatypes::{Decimal128Type, Decimal256Type};
use bytes::{BufMut, BytesMut};

use crate::types::SqlType;

/// Digits of an i128.
const SHORT_DIGITS_MAX: usize = 39;
/// Groups of four of the longest number (76 digits), with one cut at either side of the point.
const GROUPS_MAX: usize = 21;
const NEGATIVE: u16 = 0x4000;
const POSITIVE: u16 = 0;

/// Writes decimals of either width.
pub(in crate::server) struct NumericWriter<'a> {
    values: Decimals<'a>,
    scale: usize,
    /// numeric without a scale is kept with one, and shown without the zeros that this adds.
    is_trimmed: bool,
}

enum Decimals<'a> {
    Short(&'a Decimal128Array),
    Long(&'a Decimal256Array),
}

impl<'a> NumericWriter<'a> {
    pub fn new(array: &'a dyn Array, sql_type: &SqlType) -> Self {
        let is_trimmed = matches!(sql_type, SqlType::Numeric(None));
        match array.as_primitive_opt::<Decimal128Type>() {
            Some(short) => {
                NumericWriter { values: Decimals::Short(short), scale: short.scale().max(0) as usize, is_trimmed }
            }
            None => {
                let long = array.as_primitive::<Decimal256Type>();
                NumericWriter { values: Decimals::Long(long), scale: long.scale().max(0) as usize, is_trimmed }
            }
        }
    }

    pub fn write(&self, row: usize, out: &mut BytesMut) {
        match self.values {
            Decimals::Short(array) => {
                let value = array.value(row);
                let mut digits = [0; SHORT_DIGITS_MAX];
                let from = decimal_digits(value.unsigned_abs(), &mut digits);
                self.write_digits(value < 0, &digits[from..], out);
            }
            Decimals::Long(array) => {
                let text = array.value(row).to_string();
                let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
                self.write_digits(text.starts_with('-'), &digits, out);
            }
        }
    }

    /// `digits` are those of the unscaled value.
    fn write_digits(&self, is_negative: bool, mut digits: &[u8], out: &mut BytesMut) {
        let mut scale = self.scale;
        if self.is_trimmed {
            let zeros = digits.iter().rev().take_while(|&&digit| digit == 0).count();
            let cut = if digits.len() == zeros { scale } else { zeros.min(scale) };
            digits = &digits[..digits.len() - cut.min(digits.len())];
            scale -= cut;
        }
        let whole_groups = digits.len().saturating_sub(scale).div_ceil(4);
        let mut groups = [0_u16; GROUPS_MAX];
        let group_count = whole_groups + scale.div_ceil(4);
        // The first digit's place in its group, so that groups begin at the decimal point.
        let offset = (whole_groups * 4 + scale) as isize - digits.len() as isize;
        for (index, &digit) in digits.iter().enumerate() {
            let place = (offset + index as isize) as usize;
            groups[place / 4] += u16::from(digit) * [1000, 100, 10, 1][place % 4];
        }
        let groups = &groups[..group_count];
        let first = groups.iter().position(|&group| group != 0).unwrap_or(group_count);
        let end = groups.iter().rposition(|&group| group != 0).map_or(first, |last| last + 1);
        let weight = if first == end { 0 } else { whole_groups as i16 - 1 - first as i16 };
        out.put_i16((end - first) as i16);
        out.put_i16(weight);
        out.put_u16(if is_negative && first != end { NEGATIVE } else { POSITIVE });
        out.put_i16(scale as i16);
        groups[first..end].iter().for_each(|&group| out.put_u16(group));
    }
}

/// Fills in the value's digits from the back; gives where they begin.
fn decimal_digits(mut value: u128, digits: &mut [u8; SHORT_DIGITS_MAX]) -> usize {
    let mut from = SHORT_DIGITS_MAX;
    while value > 0 {
        from -= 1;
        digits[from] = (value % 10) as u8;
        value /= 10;
    }
    from
}
