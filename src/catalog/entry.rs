//! What can be defined. Definitions hold SQL text where SQL defined them; how they run is not known here. They are kept
//! on disk as they are here, so a change of theirs is a change of the format.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::types::{ObjectId, Relation};

/// An object with its names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub id: ObjectId,
    /// As clients see it in pg_class and elsewhere; never reused.
    pub oid: u32,
    pub schema: String,
    pub name: String,
    pub item: Item,
    pub depends_on: Vec<ObjectId>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Item {
    Schema(Schema),
    Connection(Connection),
    Source(Source),
    /// One relation of a source that has several (nex.bid), or the only one, which then has the source's name.
    SourceRelation(SourceRelation),
    Table(Table),
    View(View),
    MaterializedView(MaterializedView),
    Index(Index),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Schema {}

/// Where an outside system is: `CREATE CONNECTION name TO KAFKA (BROKER '..')`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connection {
    /// `kafka`, in lower case.
    pub kind: String,
    /// Names in lower case.
    pub options: BTreeMap<String, String>,
    pub definition: String,
}

/// A declared source. One with a single relation is that relation's entry itself; one with several (NEXMARK) owns a
/// schema of its name, with a [`SourceRelation`] for each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Source {
    pub connection: Option<ObjectId>,
    /// None if the relations are entries of their own.
    pub relation: Option<Relation>,
    /// Every record is a row; else the newest record of a key is.
    pub append: bool,
    /// What CREATE SOURCE said, from which the connector is made again.
    pub definition: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceRelation {
    pub source: ObjectId,
    /// Which of the connector's relations.
    pub index: usize,
    pub relation: Relation,
    pub append: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    /// With the primary key, if one was declared.
    pub relation: Relation,
    /// The SQL text of each column's DEFAULT.
    pub defaults: Vec<Option<String>>,
    pub definition: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct View {
    pub relation: Relation,
    /// The text of the query, without CREATE VIEW.
    pub query: String,
    /// The search path that its names were resolved with.
    pub search_path: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MaterializedView {
    /// With the key that was inferred from the plan, if any.
    pub relation: Relation,
    pub query: String,
    pub planned_with: PlannedWith,
}

/// What a query depends on beside its text: what the session that defined it had set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlannedWith {
    pub user: String,
    pub search_path: Vec<String>,
    pub time_zone: String,
    /// Every setting as SHOW printed it, for current_setting().
    pub settings: Vec<(String, String)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Index {
    pub on: ObjectId,
    /// Positions of the indexed columns.
    pub columns: Vec<usize>,
    pub kind: IndexKind,
    pub definition: String,
}

/// What an index is for, beyond finding rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexKind {
    Plain,
    /// CREATE UNIQUE INDEX: no two rows of the table may have the same values there.
    Unique,
    /// UNIQUE in CREATE TABLE: likewise, and it goes only with its table.
    Constraint,
}

impl Entry {
    /// The columns of what can stand in FROM.
    pub fn relation(&self) -> Option<&Relation> {
        match &self.item {
            Item::Source(source) => source.relation.as_ref(),
            Item::SourceRelation(part) => Some(&part.relation),
            Item::Table(table) => Some(&table.relation),
            Item::View(view) => Some(&view.relation),
            Item::MaterializedView(view) => Some(&view.relation),
            Item::Schema(_) | Item::Connection(_) | Item::Index(_) => None,
        }
    }

    /// What messages call it.
    pub fn kind(&self) -> &'static str {
        match &self.item {
            Item::Schema(_) => "schema",
            Item::Connection(_) => "connection",
            Item::Source(_) | Item::SourceRelation(_) => "source",
            Item::Table(_) => "table",
            Item::View(_) => "view",
            Item::MaterializedView(_) => "materialized view",
            Item::Index(_) => "index",
        }
    }
}
