//! Opening a database that was closed, or killed: what was defined runs again, and what was acknowledged is there.
//!
//! Arrangements begin with the newest checkpoint. Tables get what the log has of them after it, at the times it was
//! written; sources go on behind their newest binding, and what they had bound after the checkpoint comes as history.
//! What the checkpoint does not hold, or holds for another plan, is computed again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::checkpoint::{self, Opened, SavedObject, Stuck};
use super::database::Database;
use super::durable;
use super::effect::{create_inputs, create_table};
use super::ingest::{History, Known};
use super::statement::create_source;
use super::timeline::Turn;
use super::views;
use crate::catalog::{Catalog, Entry, Item, MaterializedView, Table};
use crate::connect::{Envelope, Source};
use crate::dataflow::plan::Plan;
use crate::dataflow::runtime::{Command, Start};
use crate::dataflow::saved::Saved;
use crate::sql;
use crate::types::{Error, ObjectId, Result, SqlState};

/// Puts everything back that the store knows, in one turn: no worker begins before all is defined.
pub fn recover(database: &Database) -> Result<()> {
    let started = Instant::now();
    let catalog = Arc::new(durable::catalog(&database.store)?);
    database.replace_catalog(catalog.clone());
    let opened = checkpoint::open_newest(&database.store, &database.checkpoints)?;
    let batches = opened.as_ref().map_or(0, |opened| opened.chunks);
    if let Some(opened) = &opened {
        let since = opened.objects.values().map(|saved| saved.since).min();
        database.timeline.begin_at(since.unwrap_or(opened.manifest.time));
    }
    let mut turn = database.timeline.turn();
    database.opened_at.get_or_init(|| turn.as_of());
    let mut recovery = Recovery { database, turn: &turn, catalog: &catalog, opened, rows: 0, restored: 0, computed: 0 };
    for entry in catalog.entries() {
        match &entry.item {
            Item::Table(table) => recovery.table(entry, table)?,
            Item::Source(_) => recovery.source(entry)?,
            _ => {}
        }
    }
    recovery.views_and_indexes();
    let Recovery { rows, restored, computed, .. } = recovery;
    let time = turn.mint();
    turn.close(time);
    let seconds = started.elapsed().as_secs_f64();
    tracing::info!(
        batches,
        views = restored,
        views_computed = computed,
        table_rows = rows,
        seconds,
        "the state is back"
    );
    Ok(())
}

struct Recovery<'a, 'b> {
    database: &'a Database,
    turn: &'a Turn<'b>,
    catalog: &'a Arc<Catalog>,
    opened: Option<Opened>,
    /// Rows of tables that came from the log.
    rows: usize,
    /// Views that began with the checkpoint, and those that could not.
    restored: usize,
    computed: usize,
}

impl Recovery<'_, '_> {
    fn saved(&self, id: ObjectId) -> Option<Arc<Saved>> {
        self.opened.as_ref()?.objects.get(&id).cloned()
    }

    fn table(&mut self, entry: &Entry, table: &Table) -> Result<()> {
        let saved = self.saved(entry.id);
        let is_lost = saved.is_none()
            && self.opened.as_ref().is_some_and(|opened| opened.manifest.objects.contains_key(&entry.id));
        if is_lost {
            let message = format!("the rows of table \"{}\" are damaged", entry.name);
            return Err(Error::new(SqlState::DATA_CORRUPTED, message).with_hint("Start from a backup."));
        }
        let after = saved.as_ref().map_or(0, |saved| saved.time);
        create_table(self.turn, entry.id, &table.relation, after + 1, Start { saved, history_to: None });
        for delta in durable::commits(&self.database.store, entry.id, &table.relation.schema(), after) {
            let delta = delta?;
            self.rows += delta.len();
            self.turn.feed(entry.id, delta);
        }
        Ok(())
    }

    /// Goes on with a source behind what was bound last. Current rows of an upsert source that the checkpoint does not
    /// hold are read again.
    fn source(&mut self, entry: &Entry) -> Result<()> {
        let Database { store, ingest, runtime, views, .. } = self.database;
        let source = create_source::reopened(self.catalog, entry)?;
        let relations = relations_of(self.catalog, entry, source.as_ref());
        let as_of = self.turn.as_of();
        let start = |id: ObjectId| Start { saved: self.saved(id), history_to: Some(as_of) };
        create_inputs(self.turn, source.as_ref(), &relations, start);
        let bindings = durable::bindings(store, entry.id)?;
        let (_, first) = bindings.first().cloned().ok_or_else(|| Error::internal("a source has no first binding"))?;
        let known = Known { start: first, bindings, errors: durable::source_errors(store, entry.id)? };
        ingest.start(entry.id, source.clone(), relations.clone(), known);
        let after = self.opened.as_ref().map_or(0, |opened| opened.manifest.time);
        if let Some(Ok(History { from, to, .. })) = ingest.history(relations[0], after, as_of) {
            let records = views::records(&from, &to);
            tracing::info!(source = entry.name, records, "what was bound after the checkpoint is read again");
        }
        for (relation, id) in source.relations().iter().zip(relations) {
            if relation.envelope == Envelope::Upsert {
                let after = self.saved(id).map_or(0, |saved| saved.time);
                let history = ingest.history(id, after, as_of).map(|history| (id, history));
                views.start(runtime, (id, 0), (after, as_of), history.into_iter().collect());
            }
        }
        Ok(())
    }

    /// Starts views and indexes, in the order in which they were made where they allow it: an ordinary view that was
    /// replaced may read what is younger than those who read it.
    fn views_and_indexes(&mut self) {
        let catalog = self.catalog.clone();
        let kept = |entry: &&Entry| matches!(entry.item, Item::MaterializedView(_) | Item::Index(_));
        let mut waiting: Vec<&Entry> = catalog.entries().filter(kept).collect();
        let mut plans = HashMap::new();
        while !waiting.is_empty() {
            let ids: Vec<ObjectId> = waiting.iter().map(|entry| entry.id).collect();
            waiting.retain(|entry| !self.start(entry, &ids, &mut plans));
            if waiting.len() == ids.len() {
                let error = Error::internal("views read each other");
                waiting.drain(..).for_each(|entry| self.fail(entry.id, error.clone()));
            }
        }
    }

    /// Starts a view or an index, unless what it reads still waits.
    fn start(&mut self, entry: &Entry, waiting: &[ObjectId], plans: &mut HashMap<ObjectId, Result<Arc<Plan>>>) -> bool {
        let (id, turn) = (entry.id, self.turn);
        match &entry.item {
            Item::Index(index) if waiting.contains(&index.on) => return false,
            Item::Index(index) => {
                let saved = self.saved(id).filter(|_| self.begins_saved(index.on));
                turn.execute(Command::CreateIndex { id, on: index.on, key: index.columns.clone(), saved });
            }
            Item::MaterializedView(view) => {
                let plan = || views::plan(self.catalog, view).and_then(|planned| sql::lower(&planned.logical));
                match plans.entry(id).or_insert_with(|| plan().map(Arc::new)).clone() {
                    Ok(plan) if plan.objects().iter().any(|read| waiting.contains(read)) => return false,
                    Ok(plan) => self.view(entry, view, plan),
                    Err(error) => self.fail(id, error),
                }
            }
            _ => {}
        }
        true
    }

    fn view(&mut self, entry: &Entry, view: &MaterializedView, plan: Arc<Plan>) {
        let database = self.database;
        let reads = plan.objects();
        if self.stuck(entry.id, &plan).is_some() {
            return self.show_stuck(entry, view, plan);
        }
        if let Some(error) = reads.iter().find_map(|read| database.views.failure(*read)) {
            return self.fail(entry.id, error);
        }
        let is_same = || self.kept(entry.id, &plan).is_some();
        let saved = self.saved(entry.id).filter(|_| reads.iter().all(|read| self.begins_saved(*read)) && is_same());
        match &saved {
            Some(_) => self.restored += 1,
            None => {
                // Those who read it begin when it does.
                self.forget(entry.id);
                self.computed += 1;
                tracing::info!(view = entry.name, "the view is computed again");
            }
        }
        let key = view.relation.key.clone().unwrap_or_default();
        database.create_view(self.turn, entry.id, plan, key, saved);
    }

    /// What the checkpoint says of a view, if it was computed by this plan.
    fn kept(&self, id: ObjectId, plan: &Plan) -> Option<&SavedObject> {
        let kept = self.opened.as_ref()?.manifest.objects.get(&id)?;
        (kept.fingerprint == self.database.fingerprint(id, plan)).then_some(kept)
    }

    /// Since when a view is not completed any more, and why.
    fn stuck(&self, id: ObjectId, plan: &Plan) -> Option<Stuck> {
        self.kept(id, plan)?.stuck.clone()
    }

    /// A view that could not be completed before the restart shows what it held, and says why.
    fn show_stuck(&mut self, entry: &Entry, view: &MaterializedView, plan: Arc<Plan>) {
        let (id, Database { views, runtime, .. }) = (entry.id, self.database);
        let (stuck, saved) = (self.stuck(id, &plan), self.saved(id));
        let fingerprint = self.database.fingerprint(id, &plan);
        let as_of = self.turn.as_of();
        if let Some(saved) = saved {
            let after = saved.time;
            let key = view.relation.key.clone().unwrap_or_default();
            self.turn.execute(Command::CreateView { id, plan, as_of, key, saved: Some(saved) });
            views.start(runtime, (id, fingerprint), (after, as_of), vec![]);
        }
        let reason = stuck.map_or_else(String::new, |stuck| stuck.reason);
        self.fail(id, Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, reason));
    }

    /// Whether an object is at the checkpoint's time, as what reads it was. Append inputs keep nothing.
    fn begins_saved(&self, id: ObjectId) -> bool {
        let is_append = match self.catalog.get(id).map(|entry| &entry.item) {
            Some(Item::Source(source)) => source.append,
            Some(Item::SourceRelation(part)) => part.append,
            _ => false,
        };
        is_append || self.saved(id).is_some()
    }

    fn forget(&mut self, id: ObjectId) {
        if let Some(opened) = &mut self.opened {
            opened.objects.remove(&id);
        }
    }

    fn fail(&mut self, id: ObjectId, error: Error) {
        self.forget(id);
        self.database.views.fail(&self.database.runtime, id, error);
    }
}

/// The ids of a source's relations, in the connector's order.
fn relations_of(catalog: &Catalog, entry: &Entry, source: &dyn Source) -> Vec<ObjectId> {
    let part = |index: usize| {
        catalog.entries().find_map(|other| match &other.item {
            Item::SourceRelation(part) if part.source == entry.id && part.index == index => Some(other.id),
            _ => None,
        })
    };
    (0..source.relations().len()).map(|index| part(index).unwrap_or(entry.id)).collect()
}
