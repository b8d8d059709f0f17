//! Where lines of COPY data end, and what their fields are.

use crate::engine::{CopyFormat, CopyOptions};
use crate::types::{Error, Result, SqlState};

/// Looks for the ends of lines, going on where it stopped when more bytes have come.
#[derive(Default)]
pub(super) struct LineScan {
    at: usize,
    in_quotes: bool,
    is_escaped: bool,
}

impl LineScan {
    /// Where the first line of `bytes` ends (at its newline). The next call begins at the next line.
    pub fn line_end(&mut self, bytes: &[u8], options: &CopyOptions) -> Option<usize> {
        while let Some(&byte) = bytes.get(self.at) {
            self.at += 1;
            if std::mem::take(&mut self.is_escaped) {
                continue;
            }
            match options.format {
                CopyFormat::Text => self.is_escaped = byte == b'\\',
                CopyFormat::Csv if self.in_quotes && byte == options.escape && byte != options.quote => {
                    self.is_escaped = true;
                }
                // A doubled quote leaves and enters again.
                CopyFormat::Csv if byte == options.quote => self.in_quotes = !self.in_quotes,
                CopyFormat::Csv => {}
            }
            if byte == b'\n' && !self.in_quotes {
                let end = self.at - 1;
                *self = LineScan::default();
                return Some(end);
            }
        }
        None
    }

    pub fn is_in_quotes(&self) -> bool {
        self.in_quotes
    }
}

/// One field; None is NULL.
pub(super) type Field<'a> = Option<&'a [u8]>;

/// Calls `take` with each field of a line.
pub(super) fn split_fields(
    line: &[u8],
    options: &CopyOptions,
    scratch: &mut Vec<u8>,
    take: impl FnMut(Field<'_>) -> Result<()>,
) -> Result<()> {
    match options.format {
        CopyFormat::Text => split_text(line, options, scratch, take),
        CopyFormat::Csv => split_csv(line, options, scratch, take),
    }
}

fn split_text(
    line: &[u8],
    options: &CopyOptions,
    scratch: &mut Vec<u8>,
    mut take: impl FnMut(Field<'_>) -> Result<()>,
) -> Result<()> {
    let mut rest = line;
    loop {
        let end = text_field_end(rest, options.delimiter);
        let raw = &rest[..end];
        if raw == options.null.as_bytes() {
            take(None)?;
        } else if !raw.contains(&b'\\') {
            if raw.contains(&b'\r') {
                let error = Error::new(SqlState::BAD_COPY_FILE_FORMAT, "literal carriage return found in data");
                return Err(error.with_hint("Use \"\\r\" to represent carriage return."));
            }
            take(Some(raw))?;
        } else {
            scratch.clear();
            unescape(raw, scratch);
            take(Some(scratch))?;
        }
        match rest.get(end + 1..) {
            Some(next) if end < rest.len() => rest = next,
            _ => return Ok(()),
        }
    }
}

fn text_field_end(bytes: &[u8], delimiter: u8) -> usize {
    let mut at = 0;
    while at < bytes.len() && bytes[at] != delimiter {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// Backslash sequences: the letters of C, octal and hexadecimal bytes, and any other character as itself.
fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        at += 1;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some(&escaped) = raw.get(at) else {
            out.push(b'\\');
            break;
        };
        at += 1;
        let number = match escaped {
            b'0'..=b'7' => Some(digits(&raw[at - 1..], 8, 3)),
            b'x' => Some(digits(&raw[at..], 16, 2)).filter(|(_, count)| *count > 0),
            _ => None,
        };
        match (escaped, number) {
            (b'x', Some((value, count))) => {
                out.push(value);
                at += count;
            }
            (_, Some((value, count))) => {
                out.push(value);
                at += count - 1;
            }
            (b'b', None) => out.push(8),
            (b'f', None) => out.push(12),
            (b'n', None) => out.push(b'\n'),
            (b'r', None) => out.push(b'\r'),
            (b't', None) => out.push(b'\t'),
            (b'v', None) => out.push(11),
            (other, None) => out.push(other),
        }
    }
}

/// The number that up to `count_max` digits make (its low byte), and how many they are.
fn digits(bytes: &[u8], base: u32, count_max: usize) -> (u8, usize) {
    let values = bytes.iter().take(count_max).map_while(|&byte| char::from(byte).to_digit(base));
    let (value, count) = values.fold((0, 0), |(value, count), digit| (value * base + digit, count + 1));
    (value as u8, count)
}

fn split_csv(
    line: &[u8],
    options: &CopyOptions,
    scratch: &mut Vec<u8>,
    mut take: impl FnMut(Field<'_>) -> Result<()>,
) -> Result<()> {
    let mut at = 0;
    loop {
        scratch.clear();
        let mut was_quoted = false;
        let mut in_quotes = false;
        let mut has_next = false;
        while let Some(&byte) = line.get(at) {
            at += 1;
            let next = line.get(at).copied();
            if in_quotes && byte == options.escape && next.is_some_and(|next| next == options.quote || next == byte) {
                scratch.extend(next);
                at += 1;
            } else if byte == options.quote {
                in_quotes = !in_quotes;
                was_quoted = true;
            } else if byte == options.delimiter && !in_quotes {
                has_next = true;
                break;
            } else {
                scratch.push(byte);
            }
        }
        if !was_quoted && scratch == options.null.as_bytes() {
            take(None)?;
        } else {
            take(Some(scratch))?;
        }
        if !has_next {
            return Ok(());
        }
    }
}
