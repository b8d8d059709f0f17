//! Functions of text and byte strings. Positions count characters from 1; byte strings count bytes.

mod binary;
mod concat;
mod cut;
mod format;
mod regex;
mod shape;

use super::definition::Function;

pub fn functions() -> Vec<Function> {
    let families = [
        concat::functions(),
        cut::functions(),
        shape::functions(),
        binary::functions(),
        regex::functions(),
        format::functions(),
    ];
    families.into_iter().flatten().collect()
}
