//! What a committed definition does to the running system.

use std::sync::Arc;

use super::database::Database;
use super::durable;
use super::ingest::Known;
use super::timeline::Turn;
use crate::connect::{Envelope, Positions, Source};
use crate::dataflow::plan::Plan;
use crate::dataflow::runtime::{Command, InputKind, Start};
use crate::store::Change;
use crate::types::{ObjectId, Relation, Time};

/// A change of the running system, made in the turn of the commit that defined it.
pub enum Effect {
    CreateTable {
        id: ObjectId,
        relation: Relation,
    },
    CreateSource {
        id: ObjectId,
        source: Arc<dyn Source>,
        start: Positions,
        relations: Vec<ObjectId>,
    },
    CreateView {
        id: ObjectId,
        plan: Arc<Plan>,
        key: Vec<usize>,
    },
    CreateIndex {
        id: ObjectId,
        on: ObjectId,
        key: Vec<usize>,
    },
    /// A table, source relation, view or index goes.
    Drop {
        id: ObjectId,
    },
    /// A source goes; its relations have been dropped before.
    DropSource {
        id: ObjectId,
    },
}

impl Effect {
    /// What is kept of it beside the catalog.
    pub fn changes(&self) -> Option<Change> {
        match self {
            Effect::CreateSource { id, start, .. } => Some(durable::binding(*id, 0, start)),
            _ => None,
        }
    }

    /// Infallible by construction: whatever could fail was tried when the statement ran.
    pub fn take(self, database: &Database, turn: &mut Turn<'_>) {
        match self {
            Effect::CreateTable { id, relation } => {
                create_table(turn, id, &relation, turn.as_of() + 1, Start::default())
            }
            Effect::CreateSource { id, source, start, relations } => {
                create_source(database, turn, id, source, start, relations)
            }
            Effect::CreateView { id, plan, key } => database.create_view(turn, id, plan, key, None),
            Effect::CreateIndex { id, on, key } => turn.execute(Command::CreateIndex { id, on, key, saved: None }),
            Effect::Drop { id } => {
                database.views.stop(id);
                database.forget_writers(id);
                turn.execute(Command::Drop { id });
            }
            Effect::DropSource { id } => database.ingest.stop(id),
        }
    }
}

/// A table that holds what `start` says; nothing else was written to it before `from`.
pub fn create_table(turn: &Turn<'_>, id: ObjectId, relation: &Relation, from: Time, start: Start) {
    let kind = InputKind::Table { key: relation.key.clone().unwrap_or_default() };
    turn.execute(Command::CreateInput { id, kind, schema: relation.schema(), from, start });
}

/// A source's relations become inputs before it is followed, so that nothing it reads is without a place to go.
pub fn create_inputs(turn: &Turn<'_>, source: &dyn Source, relations: &[ObjectId], start: impl Fn(ObjectId) -> Start) {
    for (relation, id) in source.relations().iter().zip(relations) {
        let kind = match relation.envelope {
            Envelope::Append => InputKind::Append,
            Envelope::Upsert => InputKind::Upsert { key: relation.relation.key.clone().unwrap_or_default() },
        };
        let schema = relation.relation.schema();
        let from = turn.as_of() + 1;
        turn.execute(Command::CreateInput { id: *id, kind, schema, from, start: start(*id) });
    }
}

fn create_source(
    database: &Database,
    turn: &Turn<'_>,
    id: ObjectId,
    source: Arc<dyn Source>,
    start: Positions,
    relations: Vec<ObjectId>,
) {
    create_inputs(turn, source.as_ref(), &relations, |_| Start::default());
    let known = Known { bindings: vec![(turn.as_of(), start.clone())], start, errors: vec![] };
    database.ingest.start(id, source, relations, known);
}
