//! Functions of dates, times, timestamps and intervals.

mod age;
mod build;
mod extract;
mod pattern;
mod read_pattern;
mod truncate;
mod zone;

use super::definition::Function;

pub fn functions() -> Vec<Function> {
    let families = [
        extract::functions(),
        truncate::functions(),
        age::functions(),
        build::functions(),
        pattern::functions(),
        zone::functions(),
    ];
    families.into_iter().flatten().collect()
}
