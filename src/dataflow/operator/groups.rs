//! Numbering the distinct keys of rows, so that what is accumulated for a key has a place.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::super::columns::batch_of;

/// The keys seen so far, numbered from 0. Without key columns there is one, number 0.
pub struct Groups {
    schema: SchemaRef,
    values: Option<Box<dyn GroupValues>>,
    /// Whether the one group without key columns has been seen.
    seen: bool,
    numbers: Vec<usize>,
}

impl Groups {
    /// `schema` is that of the key columns.
    pub fn new(schema: &SchemaRef) -> Self {
        let values = (!schema.fields().is_empty()).then(|| {
            let values = new_group_values(schema.clone(), &GroupOrdering::None);
            values.expect("the planner groups by types that can be compared")
        });
        Groups { schema: schema.clone(), values, seen: false, numbers: vec![] }
    }

    /// The number of each row's key.
    pub fn number(&mut self, keys: &[ArrayRef], rows: usize) -> Vec<u32> {
        match &mut self.values {
            Some(values) => {
                values.intern(keys, &mut self.numbers).expect("the keys are of the schema's types");
                self.numbers.iter().map(|&number| number as u32).collect()
            }
            None => {
                self.seen |= rows > 0;
                vec![0; rows]
            }
        }
    }

    /// Makes the group without key columns be there.
    pub fn see(&mut self) {
        self.seen = true;
    }

    pub fn len(&self) -> usize {
        self.values.as_ref().map_or(self.seen as usize, |values| values.len())
    }

    /// The keys in the order of their numbers.
    pub fn into_rows(mut self) -> RecordBatch {
        let len = self.len();
        let columns = self
            .values
            .as_mut()
            .map_or(vec![], |values| values.emit(EmitTo::All).expect("keys that were taken in can be given back"));
        let typed = columns.into_iter().zip(self.schema.fields()).map(|(column, field)| match field.data_type() {
            same if same == column.data_type() => column,
            other => cast(&column, other).expect("keys are given back as they were taken in, or in another encoding"),
        });
        batch_of(&self.schema, typed.collect(), len)
    }
}
