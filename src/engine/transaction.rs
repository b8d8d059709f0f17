//! A transaction: what a session has read and would write, until COMMIT gives it one timestamp.
//!
//! Writes are buffered as deltas and seen by their own session only; DDL works on a copy of the catalog. At COMMIT,
//! in one turn of the timeline, what was read is checked (40001 if it has changed), then everything takes effect at one
//! time. Rows that are changed were read before, and so were the keys of new rows, of which there may be no others.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::database::Database;
use super::durable;
use super::effect::Effect;
use super::footprint::Footprint;
use super::timeline::Hold;
use crate::catalog::{Catalog, Entry, Item, View};
use crate::types::{Delta, Error, ObjectId, Result, SqlState, Stamps, Time, wall_micros};

/// What a session does between BEGIN and COMMIT, or within one statement.
pub struct Transaction {
    /// The catalog at the beginning; DDL conflicts with whatever has replaced it meanwhile.
    base: Arc<Catalog>,
    /// The catalog as this transaction sees it.
    pub catalog: Arc<Catalog>,
    /// What COMMIT will do to the running system, in order.
    effects: Vec<Effect>,
    /// The time that everything is read at; taken by the first read.
    hold: Option<Hold>,
    /// What it has read of tables, on which its own writes may depend.
    pub footprint: Arc<Footprint>,
    writes: BTreeMap<ObjectId, Vec<Delta>>,
    savepoints: Vec<Savepoint>,
    /// BEGIN was said (or a multi-statement string opened it); else the transaction ends with its statement.
    pub block: Block,
    pub failed: bool,
    pub read_only: bool,
    /// What now() is: when the transaction began, in microseconds since the epoch.
    pub now: Time,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// With its statement.
    Statement,
    /// With the string or pipeline that it came in.
    Implicit,
    /// With COMMIT or ROLLBACK.
    Explicit,
}

/// A place to roll back to: lengths of what only grows, and the catalog.
struct Savepoint {
    name: String,
    catalog: Arc<Catalog>,
    effects: usize,
    writes: BTreeMap<ObjectId, usize>,
}

impl Transaction {
    pub fn new(catalog: Arc<Catalog>, hash_seed: u64, block: Block) -> Self {
        Transaction {
            base: catalog.clone(),
            catalog,
            effects: Vec::new(),
            hold: None,
            footprint: Arc::new(Footprint::new(hash_seed)),
            writes: BTreeMap::new(),
            savepoints: Vec::new(),
            block,
            failed: false,
            read_only: false,
            now: wall_micros(),
        }
    }

    /// The time that this transaction reads at.
    pub fn hold(&mut self, database: &Database) -> Hold {
        self.hold.get_or_insert_with(|| database.timeline.hold_now()).clone()
    }

    pub fn has_hold(&self) -> bool {
        self.hold.is_some()
    }

    /// The time that it has read at, if it has.
    pub fn read_time(&self) -> Option<Time> {
        self.hold.as_ref().map(|hold| hold.time)
    }

    /// Chooses the time before the first read does.
    pub fn read_at(&mut self, hold: Hold) {
        self.hold = Some(hold);
    }

    /// The transaction's own view of the catalog, to be changed.
    pub fn catalog_mut(&mut self) -> Result<&mut Catalog> {
        self.require_writable()?;
        Ok(Arc::make_mut(&mut self.catalog))
    }

    /// The catalog to plan reads with: a materialized view that this transaction has made, or that reads a table which
    /// it has written, is not kept up to date with that yet, so it is computed like an ordinary view.
    pub fn reading_catalog(&self) -> Arc<Catalog> {
        let behind = |entry: &Entry| {
            matches!(entry.item, Item::MaterializedView(_))
                && (self.made(entry.id) || self.written_tables().any(|table| self.catalog.reads(entry.id, table)))
        };
        let computed: Vec<_> = self.catalog.entries().filter(|entry| behind(entry)).cloned().collect();
        if computed.is_empty() {
            return self.catalog.clone();
        }
        let mut catalog = Catalog::clone(&self.catalog);
        for entry in computed {
            let Item::MaterializedView(view) = entry.item else { continue };
            let view = View { relation: view.relation, query: view.query, search_path: view.planned_with.search_path };
            catalog.replace(entry.id, Item::View(view), entry.depends_on);
        }
        Arc::new(catalog)
    }

    /// Something for COMMIT to do.
    pub fn push_effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Rows that enter (+1) or leave (-1) a table.
    pub fn write(&mut self, table: ObjectId, rows: RecordBatch, diff: i64) -> Result<()> {
        self.require_writable()?;
        if rows.num_rows() > 0 {
            let delta = Delta { rows, times: Stamps::Same(0), diffs: Stamps::Same(diff) };
            self.writes.entry(table).or_default().push(delta);
        }
        Ok(())
    }

    /// A table goes, and with it what was written to it.
    pub fn forget_writes(&mut self, table: ObjectId) {
        self.writes.remove(&table);
    }

    /// What this transaction has written to a table so far.
    pub fn written(&self, table: ObjectId) -> &[Delta] {
        self.writes.get(&table).map_or(&[], Vec::as_slice)
    }

    /// Tables with uncommitted writes of this transaction.
    pub fn written_tables(&self) -> impl Iterator<Item = ObjectId> {
        self.writes.iter().filter(|(_, deltas)| !deltas.is_empty()).map(|(table, _)| *table)
    }

    /// Whether an object was made in this transaction and so is not running yet.
    pub fn made(&self, id: ObjectId) -> bool {
        self.base.get(id).is_none() && self.catalog.get(id).is_some()
    }

    pub fn savepoint(&mut self, name: String) {
        let writes = self.writes.iter().map(|(table, deltas)| (*table, deltas.len())).collect();
        self.savepoints.push(Savepoint { name, catalog: self.catalog.clone(), effects: self.effects.len(), writes });
    }

    /// Forgets a savepoint and those after it; what was done since stays.
    pub fn release(&mut self, name: &str) -> Result<()> {
        let place = self.find_savepoint(name)?;
        self.savepoints.truncate(place);
        Ok(())
    }

    /// Undoes what was done since a savepoint; the savepoint stays.
    pub fn rollback_to(&mut self, name: &str) -> Result<()> {
        let place = self.find_savepoint(name)?;
        self.savepoints.truncate(place + 1);
        let savepoint = &self.savepoints[place];
        self.catalog = savepoint.catalog.clone();
        self.effects.truncate(savepoint.effects);
        for (table, deltas) in &mut self.writes {
            deltas.truncate(savepoint.writes.get(table).copied().unwrap_or(0));
        }
        self.failed = false;
        Ok(())
    }

    fn find_savepoint(&self, name: &str) -> Result<usize> {
        let place = self.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        place.ok_or_else(|| Error::new(SqlState::INVALID_SAVEPOINT, format!("savepoint \"{name}\" does not exist")))
    }

    fn require_writable(&self) -> Result<()> {
        if self.read_only {
            let message = "cannot write in a read-only transaction";
            return Err(Error::new(SqlState::READ_ONLY_SQL_TRANSACTION, message));
        }
        Ok(())
    }

    /// Makes everything take effect at one time, or nothing; gives that time, if there was something. It lasts when the
    /// timeline has [`settled`](super::timeline::Timeline::settled) there.
    pub fn commit(self, database: &Database) -> Result<Option<Time>> {
        let defines = self.catalog.version != self.base.version;
        let writes: Vec<_> = self.writes.into_iter().filter(|(_, deltas)| !deltas.is_empty()).collect();
        if !defines && writes.is_empty() {
            return Ok(None);
        }
        let mut turn = database.timeline.turn();
        if let Some(hold) = &self.hold
            && turn.conflicts(&self.footprint, hold.time)
        {
            return Err(conflict("rows that this transaction read have been changed since"));
        }
        let now = database.catalog();
        check_definitions(&self.base, &now, defines, writes.iter().map(|(table, _)| *table))?;
        let time = turn.mint();
        let mut changes = vec![];
        for (table, deltas) in &writes {
            for (number, delta) in deltas.iter().enumerate() {
                changes.push(durable::commit(*table, time, number, delta)?);
            }
        }
        if defines {
            changes.extend(durable::definitions(&now, &self.catalog));
            changes.extend(self.effects.iter().flat_map(Effect::changes));
        }
        turn.log(time, changes)?;
        if defines {
            database.replace_catalog(self.catalog.clone());
        }
        for effect in self.effects {
            effect.take(database, &mut turn);
        }
        for (table, deltas) in writes {
            for delta in deltas {
                turn.write(table, Delta { times: Stamps::Same(time), ..delta }, time);
            }
        }
        turn.close(time);
        Ok(Some(time))
    }
}

/// What is defined, and what is written, was checked by the definitions of `base`; fails if there are others now.
fn check_definitions(
    base: &Catalog,
    now: &Catalog,
    defines: bool,
    mut written: impl Iterator<Item = ObjectId>,
) -> Result<()> {
    if base.version == now.version {
        return Ok(());
    }
    let changed = |table: ObjectId| now.get(table).is_none() || now.unique_keys(table) != base.unique_keys(table);
    if defines {
        return Err(conflict("another transaction has changed the catalog"));
    }
    match written.any(changed) {
        true => Err(conflict("a table that this transaction wrote has been dropped, or its unique indexes are others")),
        false => Ok(()),
    }
}

/// What retrying may mend.
fn conflict(detail: &str) -> Error {
    Error::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
        .with_detail(format!("{detail}."))
        .with_hint("The transaction might succeed if retried.")
}
