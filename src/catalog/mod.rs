//! Remembers what was defined, by whom, in which version.
//!
//! A [`Catalog`] is an immutable value behind an `Arc`: planning reads one snapshot of it, DDL makes the next one
//! (copy on write) and puts it in place at its commit. Names are resolved here and nowhere else.

mod entry;
mod unique;

pub use entry::{
    Connection, Entry, Index, IndexKind, Item, MaterializedView, PlannedWith, Schema, Source, SourceRelation, Table,
    View,
};
pub use unique::UniqueKey;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::types::{Error, ObjectId, Result, SqlState};

/// The name of the only database.
pub const DATABASE: &str = "millrace";

/// The schema that unqualified names are made in, unless `search_path` says otherwise.
pub const DEFAULT_SCHEMA: &str = "public";

/// The first OID that a user's object can get, as in PostgreSQL.
const FIRST_OID: u32 = 16384;

/// Everything that is defined, at one moment.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// Versions of the catalog share what has not changed between them.
    entries: BTreeMap<ObjectId, Arc<Entry>>,
    /// (schema, name) of relations and indexes, which share one namespace as in PostgreSQL.
    relations: BTreeMap<(String, String), ObjectId>,
    schemas: BTreeMap<String, ObjectId>,
    connections: BTreeMap<(String, String), ObjectId>,
    /// Sources with several relations, which are not relations themselves.
    sources: BTreeMap<(String, String), ObjectId>,
    next_id: u64,
    next_oid: u32,
    /// Grows with every change; whatever was planned with an older one is planned again.
    pub version: u64,
}

impl Default for Catalog {
    fn default() -> Self {
        let mut catalog = Catalog::restored(vec![], (1, FIRST_OID));
        catalog.create(DEFAULT_SCHEMA, "", Item::Schema(Schema {}), vec![]).expect("an empty catalog has no conflicts");
        catalog
    }
}

impl Catalog {
    /// A catalog of these entries, which gives out these ids and OIDs next.
    pub fn restored(entries: Vec<Entry>, (next_id, next_oid): (u64, u32)) -> Catalog {
        let mut catalog = Catalog {
            entries: BTreeMap::new(),
            relations: BTreeMap::new(),
            schemas: BTreeMap::new(),
            connections: BTreeMap::new(),
            sources: BTreeMap::new(),
            next_id,
            next_oid,
            version: 0,
        };
        for entry in entries {
            let (id, place) = (entry.id, (entry.schema.clone(), entry.name.clone()));
            match &entry.item {
                Item::Schema(_) => catalog.schemas.insert(entry.schema.clone(), id),
                item => catalog.names_of(item).insert(place, id),
            };
            catalog.entries.insert(id, Arc::new(entry));
        }
        catalog
    }

    /// The id and the OID that come next.
    pub fn next_ids(&self) -> (u64, u32) {
        (self.next_id, self.next_oid)
    }

    /// What was defined or changed since `before`, and the ids of what was dropped.
    pub fn changes_since(&self, before: &Catalog) -> (Vec<&Entry>, Vec<ObjectId>) {
        let is_new = |entry: &&Arc<Entry>| before.entries.get(&entry.id).is_none_or(|old| !Arc::ptr_eq(old, entry));
        let new = self.entries.values().filter(is_new).map(Arc::as_ref).collect();
        let dropped = before.entries.keys().filter(|id| !self.entries.contains_key(id)).copied().collect();
        (new, dropped)
    }

    /// The names among which those of such items are unique; a schema's are its own.
    fn names_of(&mut self, item: &Item) -> &mut BTreeMap<(String, String), ObjectId> {
        match item {
            Item::Connection(_) => &mut self.connections,
            Item::Source(source) if source.relation.is_none() => &mut self.sources,
            _ => &mut self.relations,
        }
    }

    /// The id that the next [`create`](Self::create) will give.
    pub fn next_id(&self) -> ObjectId {
        ObjectId(self.next_id)
    }

    /// Adds an object and what it depends on. A schema's own name is `schema`, its `name` is empty.
    pub fn create(&mut self, schema: &str, name: &str, item: Item, depends_on: Vec<ObjectId>) -> Result<ObjectId> {
        let id = ObjectId(self.next_id);
        let place = (schema.to_string(), name.to_string());
        match &item {
            Item::Schema(_) => {
                if self.schemas.contains_key(schema) || is_system_schema(schema) {
                    return Err(exists(SqlState::DUPLICATE_SCHEMA, "schema", schema));
                }
                self.schemas.insert(schema.to_string(), id);
            }
            item => {
                self.require_schema(schema)?;
                if self.names_of(item).contains_key(&place) {
                    let (state, what) = match item {
                        Item::Connection(_) => (SqlState::DUPLICATE_OBJECT, "connection"),
                        Item::Source(source) if source.relation.is_none() => (SqlState::DUPLICATE_OBJECT, "source"),
                        _ => (SqlState::DUPLICATE_TABLE, "relation"),
                    };
                    return Err(exists(state, what, name));
                }
                self.names_of(item).insert(place, id);
            }
        }
        let (schema, name) = (schema.to_string(), name.to_string());
        let entry = Entry { id, oid: self.next_oid, schema, name, item, depends_on };
        self.entries.insert(id, Arc::new(entry));
        self.next_id += 1;
        self.next_oid += 1;
        self.version += 1;
        Ok(id)
    }

    /// Takes an object out; whether anything depends on it is the caller's to check.
    pub fn remove(&mut self, id: ObjectId) -> Option<Arc<Entry>> {
        let entry = self.entries.remove(&id)?;
        match &entry.item {
            Item::Schema(_) => self.schemas.remove(&entry.schema),
            item => self.names_of(item).remove(&(entry.schema.clone(), entry.name.clone())),
        };
        self.version += 1;
        Some(entry)
    }

    /// Puts another definition in the place of an object's (CREATE OR REPLACE VIEW): its id and OID stay.
    pub fn replace(&mut self, id: ObjectId, item: Item, depends_on: Vec<ObjectId>) {
        if let Some(entry) = self.entries.get_mut(&id).map(Arc::make_mut) {
            entry.item = item;
            entry.depends_on = depends_on;
            self.version += 1;
        }
    }

    pub fn get(&self, id: ObjectId) -> Option<&Entry> {
        self.entries.get(&id).map(Arc::as_ref)
    }

    /// In order of creation.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().map(Arc::as_ref)
    }

    pub fn schema(&self, name: &str) -> Option<&Entry> {
        self.schemas.get(name).and_then(|id| self.get(*id))
    }

    /// The relation or index of this name: in `schema`, or in the first schema of `search_path` that has it.
    pub fn relation(&self, schema: Option<&str>, name: &str, search_path: &[String]) -> Option<&Entry> {
        self.find(&self.relations, schema, name, search_path)
    }

    pub fn connection(&self, schema: Option<&str>, name: &str, search_path: &[String]) -> Option<&Entry> {
        self.find(&self.connections, schema, name, search_path)
    }

    /// A source with several relations; one with a single relation is that [`relation`](Self::relation).
    pub fn source(&self, schema: Option<&str>, name: &str, search_path: &[String]) -> Option<&Entry> {
        self.find(&self.sources, schema, name, search_path)
    }

    /// What directly depends on `id`, in order of creation.
    pub fn dependents(&self, id: ObjectId) -> Vec<&Entry> {
        self.entries().filter(|entry| entry.depends_on.contains(&id)).collect()
    }

    /// Whether `id` depends on `other`, directly or not.
    pub fn reads(&self, id: ObjectId, other: ObjectId) -> bool {
        let depends_on = self.get(id).map_or(&[][..], |entry| &entry.depends_on);
        depends_on.iter().any(|&on| on == other || self.reads(on, other))
    }

    /// The tables that `id` depends on, directly or not.
    pub fn tables_below(&self, id: ObjectId) -> BTreeSet<ObjectId> {
        let mut tables = BTreeSet::new();
        for &on in self.get(id).map_or(&[][..], |entry| &entry.depends_on) {
            match self.get(on).map(|entry| &entry.item) {
                Some(Item::Table(_)) => {
                    tables.insert(on);
                }
                _ => tables.append(&mut self.tables_below(on)),
            }
        }
        tables
    }

    /// Everything that depends on `id`, directly or not, dependents before what they depend on.
    pub fn all_dependents(&self, id: ObjectId) -> Vec<ObjectId> {
        let mut found = BTreeSet::from([id]);
        // An object depends only on older ones, so one pass in order of creation sees everything.
        for entry in self.entries() {
            if entry.depends_on.iter().any(|on| found.contains(on)) {
                found.insert(entry.id);
            }
        }
        found.into_iter().filter(|&found| found != id).rev().collect()
    }

    /// The indexes of a relation, in order of creation.
    pub fn indexes(&self, on: ObjectId) -> impl Iterator<Item = (&Entry, &Index)> {
        self.entries().filter_map(move |entry| match &entry.item {
            Item::Index(index) if index.on == on => Some((entry, index)),
            _ => None,
        })
    }

    /// `name`, or the first of `name1`, `name2`, ... that no relation of the schema has.
    pub fn free_name(&self, schema: &str, name: &str) -> String {
        let taken = |name: &String| self.relations.contains_key(&(schema.to_string(), name.clone()));
        let numbered = (1..).map(|number| format!("{name}{number}"));
        let mut candidates = std::iter::once(name.to_string()).chain(numbered);
        candidates.find(|candidate| !taken(candidate)).expect("there are more numbers than relations")
    }

    fn find(
        &self,
        names: &BTreeMap<(String, String), ObjectId>,
        schema: Option<&str>,
        name: &str,
        search_path: &[String],
    ) -> Option<&Entry> {
        let in_schema = |schema: &str| names.get(&(schema.to_string(), name.to_string()));
        let id = match schema {
            Some(schema) => in_schema(schema),
            None => search_path.iter().find_map(|schema| in_schema(schema)),
        };
        self.get(*id?)
    }

    fn require_schema(&self, name: &str) -> Result<()> {
        if self.schemas.contains_key(name) {
            return Ok(());
        }
        if is_system_schema(name) {
            let message = format!("permission denied to create in schema \"{name}\"");
            return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
                .with_detail("System catalog modifications are disallowed."));
        }
        Err(Error::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist")))
    }
}

/// Schemas whose relations are made up from the catalog itself.
pub fn is_system_schema(name: &str) -> bool {
    matches!(name, "pg_catalog" | "information_schema") || name == DATABASE
}

fn exists(state: SqlState, what: &str, name: &str) -> Error {
    Error::new(state, format!("{what} \"{name}\" already exists"))
}
