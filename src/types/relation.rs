//! The columns of a relation, as SQL sees them and as Arrow carries them.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::SqlType;

/// One column of a relation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub sql_type: SqlType,
    pub nullable: bool,
}

impl Column {
    pub fn new(name: impl Into<String>, sql_type: SqlType, nullable: bool) -> Self {
        Column { name: name.into(), sql_type, nullable }
    }
}

/// What a table, source or view looks like from outside.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Relation {
    pub columns: Vec<Column>,
    /// Positions of columns that are unique together (a primary key, GROUP BY columns), if such are known.
    pub key: Option<Vec<usize>>,
}

impl Relation {
    pub fn new(columns: Vec<Column>) -> Self {
        Relation { columns, key: None }
    }

    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The Arrow schema of its rows; what Arrow's types do not say travels in the fields' metadata.
    pub fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|column| column.sql_type.field(&column.name, column.nullable));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The relation that a schema describes (no key is known).
    pub fn of_schema(schema: &Schema) -> Self {
        let columns = schema.fields().iter().map(|field| Column {
            name: field.name().clone(),
            sql_type: SqlType::of_field(field),
            nullable: field.is_nullable(),
        });
        Relation::new(columns.collect())
    }
}
