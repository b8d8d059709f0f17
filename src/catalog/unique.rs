//! What must be unique in a table: its primary key, and the columns of its unique indexes.

use super::{Catalog, Entry, IndexKind, Item};
use crate::types::{Error, ObjectId, Relation, SqlState};

/// Columns in which no two rows of a table may have the same values; rows with a NULL there are different from all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueKey {
    /// As messages call it.
    pub name: String,
    pub columns: Vec<usize>,
    /// The index that is arranged by these columns; the table itself is if it is the primary key.
    pub index: Option<ObjectId>,
    /// It was declared with the table, and ON CONFLICT ON CONSTRAINT may name it.
    pub is_constraint: bool,
}

impl Catalog {
    /// The unique keys of a table, its primary key first.
    pub fn unique_keys(&self, table: ObjectId) -> Vec<UniqueKey> {
        let Some(Entry { name, item: Item::Table(definition), .. }) = self.get(table) else { return vec![] };
        let primary = definition.relation.key.clone().map(|columns| UniqueKey {
            name: format!("{name}_pkey"),
            columns,
            index: None,
            is_constraint: true,
        });
        let unique = self.indexes(table).filter(|(_, index)| index.kind != IndexKind::Plain);
        let others = unique.map(|(entry, index)| UniqueKey {
            name: entry.name.clone(),
            columns: index.columns.clone(),
            index: Some(entry.id),
            is_constraint: index.kind == IndexKind::Constraint,
        });
        primary.into_iter().chain(others).collect()
    }
}

impl UniqueKey {
    /// Whether these are its columns, in any order.
    pub fn is_over(&self, columns: &[usize]) -> bool {
        columns.iter().all(|column| self.columns.contains(column))
            && self.columns.iter().all(|column| columns.contains(column))
    }

    /// 23505, for a new row with these values (as text).
    pub fn violation(&self, relation: &Relation, values: &[String]) -> Error {
        let message = format!("duplicate key value violates unique constraint \"{}\"", self.name);
        let detail = format!("Key {} already exists.", self.pair(relation, values));
        Error::new(SqlState::UNIQUE_VIOLATION, message).with_detail(detail)
    }

    /// 23505, for an index that can't be made since two rows have these values.
    pub fn not_created(&self, relation: &Relation, values: &[String]) -> Error {
        let message = format!("could not create unique index \"{}\"", self.name);
        let detail = format!("Key {} is duplicated.", self.pair(relation, values));
        Error::new(SqlState::UNIQUE_VIOLATION, message).with_detail(detail)
    }

    fn pair(&self, relation: &Relation, values: &[String]) -> String {
        let names: Vec<_> = self.columns.iter().map(|&column| relation.columns[column].name.as_str()).collect();
        format!("({})=({})", names.join(", "), values.join(", "))
    }
}
