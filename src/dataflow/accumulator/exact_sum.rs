//! The sum of floating-point numbers, exact and independent of order, so that taking a number away leaves no residue.
//!
//! Every finite double is an integer multiple of 2^-1074, the *unit*. The finite part of the sum is such an integer in
//! two's complement, of which only the words between the lowest and the highest that are in use are kept: for values of
//! like magnitude these are two or three. NaN and the infinities are counted, since they can be taken away too.

use crate::types::{Error, Result, SqlState};

/// Bits of a double's and of a float's significand, the implied one included.
const DOUBLE_BITS: u32 = 53;
const SINGLE_BITS: u32 = 24;
/// Position of the lowest bit of any double (2^-1074) and of any float (2^-149), in units.
const DOUBLE_LOWEST: u32 = 0;
const SINGLE_LOWEST: u32 = 1074 - 149;

/// A sum of doubles (floats widen without loss): `add` and `subtract` in any order, `merge` partial sums, and read the
/// correctly rounded `result` at any time. Equal sums are equal values with equal bytes, however they came about.
#[derive(Clone, Debug, Default)]
pub struct ExactSum {
    /// Sum of `words[i] * 2^(64 * (lowest + i))` units, in two's complement: the last word carries the sign.
    words: Vec<u64>,
    lowest: usize,
    specials: Specials,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Specials {
    nan: i64,
    positive_infinity: i64,
    negative_infinity: i64,
}

impl ExactSum {
    pub fn add(&mut self, value: f64) {
        self.add_times(value, 1);
    }

    pub fn subtract(&mut self, value: f64) {
        self.add_times(value, -1);
    }

    /// Adds `value` as often as `times` says; a negative number takes it away.
    pub fn add_times(&mut self, value: f64, times: i64) {
        if !value.is_finite() {
            match value {
                f64::INFINITY => self.specials.positive_infinity += times,
                f64::NEG_INFINITY => self.specials.negative_infinity += times,
                _ => self.specials.nan += times,
            }
            return;
        }
        if value == 0.0 || times == 0 {
            return;
        }
        let exponent = (value.to_bits() >> 52 & 0x7ff) as usize;
        let fraction = value.to_bits() & ((1 << 52) - 1);
        let (significand, shift) = if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
        // 53 bits times 64 bits, shifted by less than 64: at most 180 bits and a sign.
        let product = significand as i128 * times as i128 * if value < 0.0 { -1 } else { 1 };
        let (word, bit) = (shift / 64, shift % 64);
        let low = (product as u128) << bit;
        let high = if bit == 0 { product >> 127 } else { product >> (128 - bit) };
        self.add_words(word, &[low as u64, (low >> 64) as u64, high as u64]);
    }

    /// Adds all that `other` has summed.
    pub fn merge(&mut self, other: &ExactSum) {
        self.specials.nan += other.specials.nan;
        self.specials.positive_infinity += other.specials.positive_infinity;
        self.specials.negative_infinity += other.specials.negative_infinity;
        if !other.words.is_empty() {
            self.add_words(other.lowest, &other.words);
        }
    }

    /// Whether everything that was added has been taken away (or cancels out).
    pub fn is_zero(&self) -> bool {
        self.words.iter().all(|&word| word == 0) && self.specials == Specials::default()
    }

    /// The sum as a double, rounded once, half to even; 22003 if it is finite and does not fit.
    pub fn result(&self) -> Result<f64> {
        if let Some(special) = self.special() {
            return Ok(special);
        }
        let (negative, bits) = self.round(DOUBLE_BITS, DOUBLE_LOWEST);
        if bits >= f64::INFINITY.to_bits() {
            return Err(overflow());
        }
        let magnitude = f64::from_bits(bits);
        Ok(if negative { -magnitude } else { magnitude })
    }

    /// The sum as a float, rounded once from the exact value.
    pub fn result_f32(&self) -> Result<f32> {
        if let Some(special) = self.special() {
            return Ok(special as f32);
        }
        let (negative, bits) = self.round(SINGLE_BITS, SINGLE_LOWEST);
        if bits >= f32::INFINITY.to_bits() as u64 {
            return Err(overflow());
        }
        let magnitude = f32::from_bits(bits as u32);
        Ok(if negative { -magnitude } else { magnitude })
    }

    /// Appends the sum in a form that [`ExactSum::from_bytes`] reads; equal sums write equal bytes.
    pub fn to_bytes(&self, out: &mut Vec<u8>) {
        let (lowest, words) = self.trimmed();
        let special = self.specials != Specials::default();
        out.push(special as u8);
        if special {
            for count in [self.specials.nan, self.specials.positive_infinity, self.specials.negative_infinity] {
                out.extend_from_slice(&count.to_le_bytes());
            }
        }
        out.push(lowest as u8);
        words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    }

    /// Reads what [`ExactSum::to_bytes`] wrote; anything else gives an unspecified sum.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let number = |word: &[u8]| u64::from_le_bytes(word.try_into().expect("chunks of eight bytes"));
        let (mut sum, mut rest) = (ExactSum::default(), bytes);
        if rest.first() == Some(&1) && rest.len() >= 25 {
            sum.specials.nan = number(&rest[1..9]) as i64;
            sum.specials.positive_infinity = number(&rest[9..17]) as i64;
            sum.specials.negative_infinity = number(&rest[17..25]) as i64;
            rest = &rest[24..];
        }
        if let [_, lowest, words @ ..] = rest {
            sum.lowest = *lowest as usize;
            sum.words = words.chunks_exact(8).map(number).collect();
        }
        sum
    }

    fn special(&self) -> Option<f64> {
        let Specials { nan, positive_infinity, negative_infinity } = self.specials;
        match (nan != 0, positive_infinity != 0, negative_infinity != 0) {
            (false, false, false) => None,
            (false, true, false) => Some(f64::INFINITY),
            (false, false, true) => Some(f64::NEG_INFINITY),
            _ => Some(f64::NAN),
        }
    }

    /// Adds a two's complement number whose first word stands at `position`.
    fn add_words(&mut self, position: usize, addend: &[u64]) {
        self.cover(position, position + addend.len());
        let (old_sign, sign) = (sign_word(&self.words), sign_word(addend));
        let mut carry = false;
        for (at, word) in self.words[position - self.lowest..].iter_mut().enumerate() {
            let more = match addend.get(at) {
                Some(&more) => more,
                // Beyond the addend its sign and the carry may cancel out: then nothing changes any more.
                None if carry == (sign != 0) => break,
                None => sign,
            };
            let (partial, first) = word.overflowing_add(more);
            let (total, second) = partial.overflowing_add(carry as u64);
            *word = total;
            carry = first | second;
        }
        // Two numbers of one sign whose sum has the other have outgrown the words.
        if old_sign == sign && sign_word(&self.words) != sign {
            self.words.push(sign);
        }
    }

    /// Makes the words from position `from` to `to` (exclusive) be there.
    fn cover(&mut self, from: usize, to: usize) {
        if self.words.is_empty() {
            self.lowest = from;
        }
        if from < self.lowest {
            self.words.splice(0..0, std::iter::repeat_n(0, self.lowest - from));
            self.lowest = from;
        }
        let sign = sign_word(&self.words);
        let length = self.words.len().max(to - self.lowest);
        self.words.resize(length, sign);
    }

    /// The words without zeros at the low end and repetitions of the sign at the high end.
    fn trimmed(&self) -> (usize, &[u64]) {
        let zeros = self.words.iter().take_while(|&&word| word == 0).count();
        let mut words = &self.words[zeros..];
        while let [.., next, last] = words {
            if *last != sign_word(std::slice::from_ref(next)) {
                break;
            }
            words = &words[..words.len() - 1];
        }
        if words.is_empty() { (0, words) } else { (self.lowest + zeros, words) }
    }

    /// Sign, and the bits of the nearest number with `precision` significant bits of which none is below position
    /// `lowest_bit`, as IEEE 754 lays them out. A number that is too great gives the bits of infinity or more.
    fn round(&self, precision: u32, lowest_bit: u32) -> (bool, u64) {
        let negative = sign_word(&self.words) != 0;
        let magnitude = if negative { negated(&self.words) } else { self.words.clone() };
        let Some(top_word) = magnitude.iter().rposition(|&word| word != 0) else {
            return (false, 0);
        };
        let base = self.lowest as u32 * 64;
        let top = base + top_word as u32 * 64 + 63 - magnitude[top_word].leading_zeros();
        let shift = (top + 1).saturating_sub(precision).max(lowest_bit);
        let mut significand = bits_from(&magnitude, base, shift);
        if shift > 0 {
            let half = bits_from(&magnitude, base, shift - 1) & 1 == 1;
            if half && (significand & 1 == 1 || any_below(&magnitude, base, shift - 1)) {
                significand += 1;
            }
        }
        // Adding rather than joining the fields lets a carry out of the significand raise the exponent.
        (negative, (((shift - lowest_bit) as u64) << (precision - 1)) + significand)
    }
}

impl PartialEq for ExactSum {
    fn eq(&self, other: &Self) -> bool {
        self.specials == other.specials && self.trimmed() == other.trimmed()
    }
}

fn overflow() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow")
}

/// All ones for a negative number, else zero.
fn sign_word(words: &[u64]) -> u64 {
    words.last().map_or(0, |&last| (last as i64 >> 63) as u64)
}

fn negated(words: &[u64]) -> Vec<u64> {
    let mut carry = true;
    let mut negate = |&word: &u64| {
        let (negated, overflowed) = (!word).overflowing_add(carry as u64);
        carry = overflowed;
        negated
    };
    words.iter().map(&mut negate).collect()
}

/// The 64 bits from position `start` up, of words that begin at position `base`.
fn bits_from(words: &[u64], base: u32, start: u32) -> u64 {
    let bit = |position: u32| -> u64 {
        let Some(at) = position.checked_sub(base) else { return 0 };
        words.get(at as usize / 64).copied().unwrap_or(0)
    };
    let offset = start % 64;
    let low = bit(start - offset) >> offset;
    if offset == 0 { low } else { low | bit(start - offset + 64) << (64 - offset) }
}

/// Whether a bit below position `end` is set.
fn any_below(words: &[u64], base: u32, end: u32) -> bool {
    let Some(end) = end.checked_sub(base) else { return false };
    let (whole, rest) = (end as usize / 64, end % 64);
    words.iter().take(whole).any(|&word| word != 0)
        || words.get(whole).is_some_and(|&word| word & ((1 << rest) - 1) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(values: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        values.iter().for_each(|&value| sum.add(value));
        sum
    }

    #[test]
    fn keeps_what_rounding_would_lose() {
        assert_eq!(sum(&[1e308, 1.0, -1e308]).result().unwrap(), 1.0);
        assert_eq!(sum(&[1e308, 1e308, -1e308]).result().unwrap(), 1e308);
        assert_eq!(sum(&[0.1; 10]).result().unwrap(), 1.0);
        assert_eq!(sum(&[f64::MIN_POSITIVE, 5e-324, -f64::MIN_POSITIVE]).result().unwrap(), 5e-324);
        assert_eq!(sum(&[1.0, 1e-30]).result().unwrap(), 1.0);
    }

    #[test]
    fn rounds_half_to_even() {
        let half = f64::EPSILON / 2.0;
        assert_eq!(sum(&[1.0, half]).result().unwrap(), 1.0);
        assert_eq!(sum(&[1.0, half, 5e-324]).result().unwrap(), 1.0 + f64::EPSILON);
        assert_eq!(sum(&[1.0 + f64::EPSILON, half]).result().unwrap(), 1.0 + 2.0 * f64::EPSILON);
        // 1 + 2^-24 + 2^-60 is nearest to 1 + 2^-23 as a float, though its double is a tie that would go down.
        assert_eq!(sum(&[1.0, 2f64.powi(-24), 2f64.powi(-60)]).result_f32().unwrap(), 1.0 + f32::EPSILON);
    }

    #[test]
    fn a_sum_that_does_not_fit_is_an_error() {
        assert_eq!(sum(&[f64::MAX, f64::MAX]).result().unwrap_err().state(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]).result().unwrap(), f64::MAX);
        assert!(sum(&[f32::MAX as f64, f32::MAX as f64]).result_f32().is_err());
    }

    #[test]
    fn specials_come_and_go() {
        let mut total = sum(&[1.5, f64::INFINITY]);
        assert_eq!(total.result().unwrap(), f64::INFINITY);
        total.add(f64::NEG_INFINITY);
        assert!(total.result().unwrap().is_nan());
        total.subtract(f64::INFINITY);
        assert_eq!(total.result().unwrap(), f64::NEG_INFINITY);
        total.add(f64::NAN);
        assert!(total.result().unwrap().is_nan());
        total.subtract(f64::NAN);
        total.subtract(f64::NEG_INFINITY);
        assert_eq!(total.result().unwrap(), 1.5);
    }

    fn doubles() -> impl Strategy<Value = Vec<f64>> {
        let value =
            (any::<bool>(), 0u64..0x7ff, any::<u64>(), 0u32..3).prop_map(|(negative, exponent, fraction, near)| {
                // Mostly of like magnitude, some anywhere.
                let exponent = if near == 0 { exponent } else { 1023 + exponent % 8 };
                f64::from_bits((negative as u64) << 63 | exponent << 52 | fraction >> 12)
            });
        proptest::collection::vec(value, 0..40)
    }

    proptest! {
        #[test]
        fn order_and_grouping_do_not_matter(values in doubles(), cut in 0usize..40, times in -5i64..5) {
            let mut forward = sum(&values);
            let mut backward = ExactSum::default();
            values.iter().rev().for_each(|&value| backward.add(value));
            prop_assert_eq!(&forward, &backward);
            let (left, right) = values.split_at(cut.min(values.len()));
            let mut parts = sum(left);
            parts.merge(&sum(right));
            prop_assert_eq!(&forward, &parts);
            let bytes = |sum: &ExactSum| { let mut out = vec![]; sum.to_bytes(&mut out); out };
            prop_assert_eq!(bytes(&forward), bytes(&parts));
            prop_assert_eq!(&ExactSum::from_bytes(&bytes(&forward)), &forward);
            values.iter().for_each(|&value| parts.add_times(value, times));
            values.iter().for_each(|&value| parts.add_times(value, -times - 1));
            prop_assert!(parts.is_zero());
            values.iter().for_each(|&value| forward.subtract(value));
            prop_assert!(forward.is_zero());
        }

        #[test]
        fn agrees_with_integers(values in proptest::collection::vec(any::<i32>(), 0..50)) {
            let exact: i64 = values.iter().map(|&value| value as i64).sum();
            let doubles: Vec<f64> = values.iter().map(|&value| value as f64).collect();
            prop_assert_eq!(sum(&doubles).result().unwrap(), exact as f64);
            prop_assert_eq!(sum(&doubles).result_f32().unwrap(), exact as f32);
        }

        #[test]
        fn one_value_is_itself(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(sum(&[value]).result().unwrap(), value);
        }
    }
}
