//! Reads changes from, and writes changes to, systems that are not ours.
//!
//! A [`Source`] is what CREATE SOURCE declared, ready to be read: live ([`Source::follow`]) or between two positions
//! ([`Source::read`]), which is how a new view gets its history and a SELECT its rows. It knows positions, not
//! timestamps: the engine binds the ones to the others.
//!
//! A new connector is a folder here and a line in [`CONNECTORS`].

mod declaration;
pub mod format;
pub mod generator;
mod kafka;
mod options;
mod outlet;
mod text_column;

pub use declaration::{Include, Included, OnError, OptionMap, SourceDeclaration};
pub use kafka::ScratchTopic;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::types::{Column, Error, Relation, Result, SqlType};

/// A kind of system that sources can read from.
struct Connector {
    kind: &'static str,
    /// Checks the options of CREATE CONNECTION; None if it needs no connection.
    check_connection: Option<fn(&OptionMap) -> Result<()>>,
    open: fn(&SourceDeclaration) -> Result<Arc<dyn Source>>,
}

const CONNECTORS: &[Connector] = &[
    Connector { kind: "kafka", check_connection: Some(kafka::check_connection), open: kafka::open },
    Connector { kind: "counter", check_connection: None, open: generator::open_counter },
    Connector { kind: "nexmark", check_connection: None, open: generator::open_nexmark },
];

/// Makes a source from its declaration, all of which is checked, without asking any outside system.
pub fn open(declaration: &SourceDeclaration) -> Result<Arc<dyn Source>> {
    match CONNECTORS.iter().find(|connector| connector.kind == declaration.kind) {
        Some(connector) => (connector.open)(declaration),
        None => Err(unsupported("sources from", &declaration.kind, CONNECTORS.iter())),
    }
}

/// Checks what CREATE CONNECTION says, without asking the outside system.
pub fn check_connection(kind: &str, options: &OptionMap) -> Result<()> {
    let connector = CONNECTORS.iter().find(|connector| connector.kind == kind);
    match connector.and_then(|connector| connector.check_connection) {
        Some(check) => check(options),
        None => {
            let connected = CONNECTORS.iter().filter(|connector| connector.check_connection.is_some());
            Err(unsupported("connections to", kind, connected))
        }
    }
}

fn unsupported<'a>(what: &str, kind: &str, known: impl Iterator<Item = &'a Connector>) -> Error {
    let known: Vec<String> = known.map(|connector| connector.kind.to_uppercase()).collect();
    Error::unsupported(format!("{what} {} are not supported", kind.to_uppercase()))
        .with_hint(format!("Supported: {}.", known.join(", ")))
}

/// How far a source has been read: per partition the next offset. A generator has one partition, its event number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Positions(pub BTreeMap<i32, i64>);

/// What the rows of a relation mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// Every record is a row.
    Append,
    /// Every record is the new value of its key, or its removal. Batches have two more columns at the end:
    /// `tombstone` (boolean; the columns that are not the key are then NULL) and `sequence` (bigint, growing per key).
    Upsert,
}

/// One of the relations that a source gives.
#[derive(Clone, Debug)]
pub struct SourceRelation {
    /// None if it has the source's own name.
    pub name: Option<String>,
    pub relation: Relation,
    pub envelope: Envelope,
}

impl SourceRelation {
    /// The schema of the source's batches. With [`Envelope::Upsert`] that is not the relation's: a tombstone has NULLs
    /// in columns that are otherwise NOT NULL, and two columns follow.
    pub fn batch_schema(&self) -> SchemaRef {
        let mut columns = self.relation.columns.clone();
        if self.envelope == Envelope::Upsert {
            let key = self.relation.key.clone().unwrap_or_default();
            for (position, column) in columns.iter_mut().enumerate() {
                column.nullable = !key.contains(&position);
            }
            columns.push(Column::new("tombstone", SqlType::Bool, false));
            columns.push(Column::new("sequence", SqlType::Int8, false));
        }
        Relation::new(columns).schema()
    }
}

/// A record that could not be decoded, for `millrace.source_errors`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordError {
    pub partition: i32,
    pub offset: i64,
    pub message: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// What a follower delivers: rows of some relations, and where the source stands after them.
#[derive(Debug, Default)]
pub struct SourceBatch {
    /// (index into [`Source::relations`], rows).
    pub rows: Vec<(usize, RecordBatch)>,
    pub errors: Vec<RecordError>,
    /// The partitions that moved, each with its next offset.
    pub positions: Positions,
    /// Size on the source's side, for limits and lag.
    pub bytes: usize,
}

/// Rows that were read between two positions.
#[derive(Debug)]
pub struct ReadRows {
    pub rows: RecordBatch,
    /// Records of the source that have been passed since the first position, these included.
    pub records_done: u64,
}

/// Rows in bounded batches.
pub type Batches = Box<dyn Iterator<Item = Result<ReadRows>> + Send>;

/// A declared source. Its methods block and are called off the async threads.
pub trait Source: Send + Sync + fmt::Debug {
    fn relations(&self) -> &[SourceRelation];

    /// The topic that records come from, where there is such a thing.
    fn topic(&self) -> Option<&str> {
        None
    }

    /// Where reading begins, as declared: asks the outside system where that is for each partition. An unreachable
    /// system or a missing topic is an error here, so that CREATE SOURCE fails rather than what comes later.
    fn start(&self) -> Result<Positions>;

    /// Reads on from `from` on threads of its own until the follower is dropped. Partitions that appear later begin
    /// at their first offset. `batches` is bounded, which holds the reader back; `wake` is called after each send.
    /// A system that goes away is waited for; what can't be mended by waiting is sent as an error, once, at the end.
    fn follow(
        &self,
        from: Positions,
        batches: SyncSender<Result<SourceBatch>>,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Box<dyn Follower>>;

    /// The rows of one relation between two positions, each in batches of bounded size. What has been lost to retention
    /// is an error, never skipped. Records that do not decode are left out, as they were when they were followed.
    fn read(&self, relation: usize, from: &Positions, to: &Positions) -> Result<Batches>;
}

/// A running reader; dropping it stops it.
pub trait Follower: Send {
    /// Records between what has been delivered and the end of each partition, as far as the source knows.
    fn lag(&self) -> Option<u64>;

    /// What is wrong right now, if anything is (a broker that does not answer), for `millrace.sources`.
    fn trouble(&self) -> Option<String>;
}
