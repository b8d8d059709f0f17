//! Functions with regular expressions.

use std::cell::RefCell;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringBuilder};
use regex::{Captures, Regex};

use crate::sql::function::definition::{Call, Function, Overload};
use crate::sql::function::pattern::{Patterns, similar_to_regex};
use crate::sql::function::value::{map2, map3, map4};
use crate::types::Result;
use crate::types::SqlType::{self, Bool, Int4, Text};

fn texts() -> SqlType {
    SqlType::Array(Box::new(Text))
}

pub fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "regexp_replace",
            vec![
                Overload::of([Text, Text, Text], Text, |call| {
                    with_patterns(|patterns| {
                        map3(call, |text: &str, pattern: &str, new: &str| replace(patterns, text, pattern, new, ""))
                    })
                }),
                Overload::of([Text, Text, Text, Text], Text, |call| {
                    with_patterns(|patterns| {
                        map4(call, |text: &str, pattern: &str, new: &str, flags: &str| {
                            replace(patterns, text, pattern, new, flags)
                        })
                    })
                }),
            ],
        ),
        Function::new(
            "regexp_match",
            vec![
                Overload::of([Text, Text], texts(), regexp_match),
                Overload::of([Text, Text, Text], texts(), regexp_match),
            ],
        ),
        Function::new(
            "regexp_like",
            vec![
                Overload::of([Text, Text], Bool, |call| {
                    with_patterns(|patterns| {
                        map2(call, |text: &str, pattern: &str| {
                            Ok(patterns.borrow_mut().get(pattern, "")?.is_match(text))
                        })
                    })
                }),
                Overload::of([Text, Text, Text], Bool, |call| {
                    with_patterns(|patterns| {
                        map3(call, |text: &str, pattern: &str, flags: &str| {
                            Ok(patterns.borrow_mut().get(pattern, flags)?.is_match(text))
                        })
                    })
                }),
            ],
        ),
        Function::new(
            "regexp_count",
            vec![Overload::of([Text, Text], Int4, |call| {
                with_patterns(|patterns| {
                    map2(call, |text: &str, pattern: &str| {
                        Ok(patterns.borrow_mut().get(pattern, "")?.find_iter(text).count() as i32)
                    })
                })
            })],
        ),
        Function::new(
            "regexp_substr",
            vec![Overload::of([Text, Text], Text, |call| {
                with_patterns(|patterns| {
                    map2(call, |text: &str, pattern: &str| {
                        Ok(patterns.borrow_mut().get(pattern, "")?.find(text).map(|found| found.as_str().to_string()))
                    })
                })
            })],
        ),
        Function::new("regexp_split_to_array", vec![Overload::of([Text, Text], texts(), split)]),
    ]
}

/// `substring(text from pattern)` and `substring(text from pattern for escape)`.
pub fn substring_overloads() -> Vec<Overload> {
    vec![
        Overload::of([Text, Text], Text, |call| {
            with_patterns(|patterns| {
                map2(call, |text: &str, pattern: &str| {
                    Ok(patterns.borrow_mut().get(pattern, "")?.captures(text).and_then(|found| first_group(&found)))
                })
            })
        }),
        Overload::of([Text, Text, Text], Text, |call| {
            with_patterns(|patterns| {
                map3(call, |text: &str, pattern: &str, escape: &str| {
                    let regex = similar_to_regex(pattern, escape)?;
                    Ok(patterns.borrow_mut().get(&regex, "")?.find(text).map(|found| found.as_str().to_string()))
                })
            })
        }),
    ]
}

fn with_patterns(kernel: impl FnOnce(&RefCell<Patterns>) -> Result<ArrayRef>) -> Result<ArrayRef> {
    kernel(&RefCell::new(Patterns::default()))
}

/// The first group in parentheses, or the whole match if there is none.
fn first_group(found: &Captures) -> Option<String> {
    let group = if found.len() > 1 { found.get(1) } else { found.get(0) };
    group.map(|group| group.as_str().to_string())
}

fn replace(patterns: &RefCell<Patterns>, text: &str, pattern: &str, new: &str, flags: &str) -> Result<String> {
    let mut patterns = patterns.borrow_mut();
    let regex = patterns.get(pattern, flags)?;
    let limit = if flags.contains('g') { 0 } else { 1 };
    Ok(regex.replacen(text, limit, |found: &Captures| expanded(found, new)).into_owned())
}

/// `\1` to `\9` and `\&` in a replacement.
fn expanded(found: &Captures, new: &str) -> String {
    let mut text = String::new();
    let mut chars = new.chars();
    while let Some(character) = chars.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        let group = match chars.next() {
            Some('&') => Some(0),
            Some(digit @ '1'..='9') => digit.to_digit(10),
            Some('\\') => {
                text.push('\\');
                None
            }
            Some(other) => {
                text.extend(['\\', other]);
                None
            }
            None => {
                text.push('\\');
                None
            }
        };
        text.push_str(group.and_then(|group| found.get(group as usize)).map_or("", |group| group.as_str()));
    }
    text
}

fn regexp_match(call: &Call) -> Result<ArrayRef> {
    lists(call, |regex, text, builder| {
        let Some(found) = regex.captures(text) else {
            return false;
        };
        let groups = if found.len() > 1 { 1..found.len() } else { 0..1 };
        groups.for_each(|group| builder.append_option(found.get(group).map(|group| group.as_str())));
        true
    })
}

fn split(call: &Call) -> Result<ArrayRef> {
    lists(call, |regex, text, builder| {
        regex.split(text).for_each(|part| builder.append_value(part));
        true
    })
}

/// A list of texts per row, NULL where `write` says false.
fn lists(call: &Call, write: impl Fn(&Regex, &str, &mut StringBuilder) -> bool) -> Result<ArrayRef> {
    let (texts, patterns) = (call.array(0).as_string::<i32>(), call.array(1).as_string::<i32>());
    let flags = call.arrays().get(2).map(|flags| flags.as_string::<i32>());
    let mut compiled = Patterns::default();
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        if call.arrays().iter().any(|array| array.is_null(row)) {
            builder.append_null();
            continue;
        }
        let regex = compiled.get(patterns.value(row), flags.map_or("", |flags| flags.value(row)))?;
        let present = write(regex, texts.value(row), builder.values());
        builder.append(present);
    }
    Ok(Arc::new(builder.finish()))
}
