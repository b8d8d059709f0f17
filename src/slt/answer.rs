//! Whether rows are the expected ones.

use sqllogictest::{DefaultColumnType, SortMode};

use super::client::Rows;
use super::script::Style;
use super::sql::Order;

/// The rows that a record expects.
pub struct Expected<'a> {
    pub style: Style,
    pub types: &'a [DefaultColumnType],
    pub sort: SortMode,
    pub lines: &'a [String],
}

/// What was expected and what came, as lines, where the two differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub expected: Vec<String>,
    pub got: Vec<String>,
}

impl Expected<'_> {
    /// Compares; `order` is the query's, for answers whose order has ties.
    pub fn compare(&self, rows: &Rows, order: &Order) -> Result<(), Difference> {
        match self.style {
            Style::Rows => self.compare_rows(rows),
            Style::Values => self.compare_values(rows, order),
        }
    }

    fn compare_rows(&self, rows: &Rows) -> Result<(), Difference> {
        let mut expected: Vec<String> = self.lines.iter().map(|line| line.trim_end().to_string()).collect();
        let mut got = printed(rows);
        if self.types.contains(&DefaultColumnType::FloatingPoint) {
            expected.iter_mut().chain(&mut got).for_each(|line| *line = without_display_scale(line));
        }
        if self.sort != SortMode::NoSort {
            expected.sort();
            got.sort();
        }
        same(expected, got)
    }

    fn compare_values(&self, rows: &Rows, order: &Order) -> Result<(), Difference> {
        let mut got: Vec<Vec<String>> = rows.rows.iter().map(|row| self.values(row)).collect();
        if self.sort == SortMode::RowSort {
            got.sort();
        }
        let mut values: Vec<String> = got.iter().flatten().cloned().collect();
        if self.sort == SortMode::ValueSort {
            values.sort();
        }
        if let [line] = self.lines
            && line.contains(" values hashing to ")
        {
            let text: String = values.iter().flat_map(|value| [value.as_str(), "\n"]).collect();
            let hash = format!("{} values hashing to {:x}", values.len(), md5::compute(text));
            return if hash == *line { Ok(()) } else { Err(Difference { expected: vec![line.clone()], got: values }) };
        }
        if values == self.lines || self.same_but_for_ties(&got, order) {
            return Ok(());
        }
        Err(Difference { expected: self.lines.to_vec(), got: values })
    }

    /// Ties may be broken either way: the rows must be the same, and so must the sequence of what they are ordered by.
    fn same_but_for_ties(&self, got: &[Vec<String>], order: &Order) -> bool {
        let Order::Columns(keys) = order else { return false };
        let columns = self.types.len();
        if self.sort != SortMode::NoSort || columns == 0 || got.len() * columns != self.lines.len() {
            return false;
        }
        let expected: Vec<Vec<String>> = self.lines.chunks(columns).map(<[String]>::to_vec).collect();
        same_multiset(&expected, got) && ordered_by(&expected, keys) == ordered_by(got, keys)
    }

    /// A row's values as sqlite prints them for the letters of the record.
    fn values(&self, row: &[Option<String>]) -> Vec<String> {
        let letter = |column: usize| self.types.get(column).unwrap_or(&DefaultColumnType::Any);
        row.iter().enumerate().map(|(column, value)| value_of(letter(column), value.as_deref())).collect()
    }
}

/// One line a row, as files in style [`Style::Rows`] have them.
pub fn printed(rows: &Rows) -> Vec<String> {
    let value = |value: &Option<String>| value_of(&DefaultColumnType::Any, value.as_deref());
    let line = |row: &Vec<Option<String>>| row.iter().map(value).collect::<Vec<_>>().join(" ");
    rows.rows.iter().map(|row| line(row).trim_end().to_string()).collect()
}

/// Whether two answers to one query are the same rows in an order that the query allows.
pub fn same_rows(left: &Rows, right: &Rows, order: &Order) -> Result<(), Difference> {
    let in_order = match order {
        Order::Columns(keys) => ordered_by(&left.rows, keys) == ordered_by(&right.rows, keys),
        Order::Unordered | Order::Hidden => true,
    };
    if in_order && same_multiset(&left.rows, &right.rows) {
        return Ok(());
    }
    Err(Difference { expected: printed(left), got: printed(right) })
}

/// A line whose decimal fractions have no trailing zeros, and long ones no more than [`SIGNIFICANT_DIGITS`] digits: how
/// many digits of a quotient a numeric keeps and shows is PostgreSQL's affair (docs/semantics.md).
fn without_display_scale(line: &str) -> String {
    let words: Vec<String> =
        line.split(' ').map(|word| plain_decimal(word).unwrap_or_else(|| word.to_string())).collect();
    words.join(" ")
}

/// A fraction with more digits than this comes from a division.
const EXACT_FRACTION_DIGITS: usize = 7;

/// Digits of a quotient that are compared: PostgreSQL computes at least 16.
const SIGNIFICANT_DIGITS: usize = 15;

fn plain_decimal(word: &str) -> Option<String> {
    let (whole, fraction) = word.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let magnitude = whole.trim_start_matches('-');
    if !digits(magnitude) || !digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > EXACT_FRACTION_DIGITS {
        return Some(rounded(whole, magnitude, fraction));
    }
    Some(match (whole, fraction) {
        ("-0", "") => "0".to_string(),
        (whole, "") => whole.to_string(),
        (whole, fraction) => format!("{whole}.{fraction}"),
    })
}

/// Rounded to significant digits; those before the point are all kept.
fn rounded(whole: &str, magnitude: &str, fraction: &str) -> String {
    let leading = match magnitude {
        "0" => fraction.len() - fraction.trim_start_matches('0').len(),
        _ => 0,
    };
    let before = if magnitude == "0" { 0 } else { magnitude.len() };
    let kept = (SIGNIFICANT_DIGITS + leading).saturating_sub(before).min(fraction.len());
    let mut all = format!("{whole}{}", &fraction[..kept]).into_bytes();
    if fraction.as_bytes().get(kept).is_some_and(|digit| *digit >= b'5') {
        round_up(&mut all);
    }
    let text = String::from_utf8(all).expect("digits and a sign");
    let (whole, fraction) = text.split_at(text.len() - kept);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
}

/// Adds one to the last digit, with its carry.
fn round_up(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev().take_while(|digit| digit.is_ascii_digit()) {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    let sign = digits.iter().take_while(|byte| !byte.is_ascii_digit()).count();
    digits.insert(sign, b'1');
}

fn same(expected: Vec<String>, got: Vec<String>) -> Result<(), Difference> {
    if expected == got { Ok(()) } else { Err(Difference { expected, got }) }
}

fn same_multiset<T: Ord>(left: &[T], right: &[T]) -> bool {
    let sorted = |rows: &[T]| {
        let mut places: Vec<usize> = (0..rows.len()).collect();
        places.sort_by(|&a, &b| rows[a].cmp(&rows[b]));
        places
    };
    left.len() == right.len() && sorted(left).into_iter().zip(sorted(right)).all(|(l, r)| left[l] == right[r])
}

fn ordered_by<'a, T>(rows: &'a [Vec<T>], keys: &[(usize, String)]) -> Vec<Vec<Option<&'a T>>> {
    rows.iter().map(|row| keys.iter().map(|(column, _)| row.get(*column)).collect()).collect()
}

/// NULL, (empty), and numbers as the letter asks: I without a fraction, R with three digits of it.
fn value_of(letter: &DefaultColumnType, value: Option<&str>) -> String {
    let Some(value) = value else { return "NULL".to_string() };
    match letter {
        DefaultColumnType::Integer => integer(value),
        DefaultColumnType::FloatingPoint => match value.parse::<f64>() {
            Ok(number) => format!("{number:.3}"),
            Err(_) => value.to_string(),
        },
        _ if value.is_empty() => "(empty)".to_string(),
        _ => value.replace('\n', "\\n"),
    }
}

fn integer(value: &str) -> String {
    match value {
        "t" => "1".to_string(),
        "f" => "0".to_string(),
        _ if value.parse::<i128>().is_ok() => value.to_string(),
        _ => value.parse::<f64>().map_or_else(|_| "0".to_string(), |number| (number.trunc() as i64).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[&[Option<&str>]]) -> Rows {
        let rows: Vec<Vec<_>> = values.iter().map(|row| row.iter().map(|v| v.map(str::to_string)).collect()).collect();
        Rows { columns: rows.first().map_or(0, Vec::len), rows }
    }

    fn expected<'a>(style: Style, sort: SortMode, types: &'a [DefaultColumnType], lines: &'a [String]) -> Expected<'a> {
        Expected { style, types, sort, lines }
    }

    #[test]
    fn sqlites_formats_and_hash() {
        use DefaultColumnType::{FloatingPoint, Integer, Text};
        let types = [Integer, FloatingPoint, Text];
        let lines = ["3", "2.500", "(empty)"].map(str::to_string);
        let got = rows(&[&[Some("3.7"), Some("2.5"), Some("")]]);
        let expect = expected(Style::Values, SortMode::NoSort, &types, &lines);
        assert_eq!(expect.compare(&got, &Order::Unordered), Ok(()));
        // The hash of "1\n2\n".
        let hash = [format!("2 values hashing to {:x}", md5::compute("1\n2\n"))];
        let expect = expected(Style::Values, SortMode::RowSort, &types[..1], &hash);
        assert_eq!(expect.compare(&rows(&[&[Some("2")], &[Some("1")]]), &Order::Unordered), Ok(()));
        assert!(expect.compare(&rows(&[&[Some("2")], &[Some("3")]]), &Order::Unordered).is_err());
    }

    #[test]
    fn ties_may_be_broken_either_way_but_order_is_kept() {
        let order = Order::Columns(vec![(0, String::new())]);
        let one = rows(&[&[Some("1"), Some("a")], &[Some("1"), Some("b")], &[Some("2"), None]]);
        let two = rows(&[&[Some("1"), Some("b")], &[Some("1"), Some("a")], &[Some("2"), None]]);
        let three = rows(&[&[Some("2"), None], &[Some("1"), Some("b")], &[Some("1"), Some("a")]]);
        assert_eq!(same_rows(&one, &two, &order), Ok(()));
        assert!(same_rows(&one, &three, &order).is_err());
        assert_eq!(same_rows(&one, &three, &Order::Unordered), Ok(()));
    }

    #[test]
    fn a_display_scale_is_not_compared() {
        let plain = without_display_scale;
        assert_eq!(plain("a 1.50 -0.000 3 0.33333333333333333333 x.y"), "a 1.5 0 3 0.333333333333333 x.y");
        assert_eq!(plain("-9.99999999999999999 10:00:00.50"), "-10 10:00:00.50");
        assert_eq!(plain("44380984.153846153846"), plain("44380984.1538461538461538"));
        assert_eq!(plain("38.3333333333333333"), plain("38.33333333333334"));
        assert_eq!(plain("0.00066666666666666667"), "0.000666666666666667");
        assert_ne!(plain("1429.32142857142857"), plain("1429.3214285"));
    }

    #[test]
    fn duplicates_count() {
        let one = rows(&[&[Some("1")], &[Some("1")], &[Some("2")]]);
        let two = rows(&[&[Some("1")], &[Some("2")], &[Some("2")]]);
        assert!(same_rows(&one, &two, &Order::Unordered).is_err());
    }
}
