//! What a committed definition does to the running system.

use std::sync::Arc;

use super::database::Database;
use super::timeline::Turn;
use crate::connect::{Envelope, Positions, Source};
use crate::dataflow::plan::Plan;
use crate::dataflow::runtime::{Command, InputKind};
use crate::types::{ObjectId, Relation};

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
    /// Infallible by construction: whatever could fail was tried when the statement ran.
    pub fn take(self, database: &Database, turn: &mut Turn<'_>) {
        match self {
            Effect::CreateTable { id, relation } => create_table(turn, id, relation),
            Effect::CreateSource { id, source, start, relations } => {
                create_source(database, turn, id, source, start, relations)
            }
            Effect::CreateView { id, plan, key } => database.create_view(turn, id, plan, key),
            Effect::CreateIndex { id, on, key } => turn.execute(Command::CreateIndex { id, on, key }),
            Effect::Drop { id } => {
                database.views.stop(id);
                database.forget_writers(id);
                turn.execute(Command::Drop { id });
            }
            Effect::DropSource { id } => database.ingest.stop(id),
        }
    }
}

fn create_table(turn: &Turn<'_>, id: ObjectId, relation: Relation) {
    let kind = InputKind::Table { key: relation.key.clone().unwrap_or_default() };
    turn.execute(Command::CreateInput { id, kind, schema: relation.schema(), from: turn.as_of() + 1 });
}

/// A source's relations become inputs before it is followed, so that nothing it reads is without a place to go.
fn create_source(
    database: &Database,
    turn: &Turn<'_>,
    id: ObjectId,
    source: Arc<dyn Source>,
    start: Positions,
    relations: Vec<ObjectId>,
) {
    for (relation, id) in source.relations().iter().zip(&relations) {
        let kind = match relation.envelope {
            Envelope::Append => InputKind::Append,
            Envelope::Upsert => InputKind::Upsert { key: relation.relation.key.clone().unwrap_or_default() },
        };
        let schema = relation.relation.schema();
        turn.execute(Command::CreateInput { id: *id, kind, schema, from: turn.as_of() + 1 });
    }
    database.ingest.start(turn, id, source, relations, start);
}
