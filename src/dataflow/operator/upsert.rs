//! Upsert sources.

use std::sync::Arc;

use super::super::collection::{Arranged, Stream};
use super::super::layout::Layout;

/// The current rows.
pub fn upsert<'s>(_rows: Stream<'s>, _layout: &Arc<Layout>, _name: &str) -> Arranged<'s> {
    todo!()
}
