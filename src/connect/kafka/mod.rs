//! Apache Kafka topics, through librdkafka. The only folder that knows its types.
//!
//! ```text
//!   start ────▶ Client::watermarks            where each partition begins and ends
//!   follow ───▶ Reader ─▶ RecordDecoder ─▶ SourceBatch ─▶ engine      one thread per follower
//!   read ─────▶ BoundedRead ─▶ RecordDecoder ─▶ RecordBatch           on the caller's thread
//! ```
//!
//! Partitions are assigned by hand and positions are the engine's to keep: nothing is ever committed to the broker, no
//! consumer group is joined. Offsets that the broker no longer has are an error, never skipped.

mod client;
mod follow;
mod read;
mod record;
mod scratch;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use self::client::{Address, Client};
use self::record::RecordLayout;
pub use self::scratch::ScratchTopic;
use super::declaration::{Included, OnError, OptionMap, SourceDeclaration};
use super::options::{Options, invalid};
use super::{Batches, Envelope, Follower, Positions, Source, SourceBatch, SourceRelation};
use crate::types::{Column, Error, Relation, Result, SqlState, SqlType};

/// Where reading begins, for partitions without an offset of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Earliest,
    Latest,
}

#[derive(Debug)]
struct Kafka {
    address: Address,
    start: Start,
    offsets: BTreeMap<i32, i64>,
    layout: Arc<RecordLayout>,
    on_error: OnError,
    /// The only one.
    relations: Vec<SourceRelation>,
}

pub fn check_connection(options: &OptionMap) -> Result<()> {
    client::broker(options).map(drop)
}

pub fn open(declaration: &SourceDeclaration) -> Result<Arc<dyn Source>> {
    let broker = client::broker(&declaration.connection)?;
    let mut options = Options::new("a KAFKA source", &declaration.options);
    let topic = options.required("topic")?.to_string();
    let start = match options.text("start").map(str::to_lowercase).as_deref() {
        None | Some("earliest") => Start::Earliest,
        Some("latest") => Start::Latest,
        Some(other) => return Err(invalid("start", other).with_hint("It is 'earliest' or 'latest'.")),
    };
    options.finish()?;
    check_offsets(&declaration.offsets)?;
    let layout = layout(declaration)?;
    let relation = SourceRelation { name: None, relation: layout.relation(), envelope: layout.envelope };
    Ok(Arc::new(Kafka {
        address: Address { broker, topic },
        start,
        offsets: declaration.offsets.clone(),
        layout: Arc::new(layout),
        on_error: declaration.on_error()?,
        relations: vec![relation],
    }))
}

fn check_offsets(offsets: &BTreeMap<i32, i64>) -> Result<()> {
    match offsets.iter().find(|&(&partition, &offset)| partition < 0 || offset < 0) {
        None => Ok(()),
        Some((partition, offset)) => Err(invalid("offsets", &format!("{partition} => {offset}"))
            .with_hint("Partitions and offsets are whole numbers, zero or more.")),
    }
}

/// What records are turned into, checked for all that can be wrong with it.
fn layout(declaration: &SourceDeclaration) -> Result<RecordLayout> {
    let Relation { columns, key } = &declaration.relation;
    if columns.is_empty() {
        return Err(syntax("a KAFKA source needs a list of columns")
            .with_hint("CREATE SOURCE name (column type, ..) FROM KAFKA CONNECTION ..."));
    }
    let Some(format) = declaration.format.clone() else {
        return Err(syntax("a KAFKA source needs a FORMAT").with_hint("Add FORMAT JSON."));
    };
    let envelope = declaration.envelope()?;
    let key_format = match (envelope, key, &declaration.key_format) {
        (Envelope::Append, _, None) => None,
        (Envelope::Append, _, Some(_)) => {
            return Err(Error::unsupported("KEY FORMAT is supported with ENVELOPE UPSERT only")
                .with_hint("INCLUDE KEY gives the record's key as text."));
        }
        (Envelope::Upsert, None, _) => {
            return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, "ENVELOPE UPSERT needs a PRIMARY KEY")
                .with_hint("Declare the columns that come from the record's key: PRIMARY KEY (..)."));
        }
        (Envelope::Upsert, Some(_), None) => {
            return Err(syntax("ENVELOPE UPSERT needs a KEY FORMAT").with_hint("Add KEY FORMAT JSON before FORMAT."));
        }
        (Envelope::Upsert, Some(_), Some(format)) => Some(format.clone()),
    };
    let layout = RecordLayout {
        key: if envelope == Envelope::Upsert { key.clone().unwrap_or_default() } else { vec![] },
        columns: columns.clone(),
        included: included(declaration)?,
        format,
        key_format,
        envelope,
    };
    layout.decoder().map(|_| layout)
}

fn included(declaration: &SourceDeclaration) -> Result<Vec<(Included, Column)>> {
    let mut included: Vec<(Included, Column)> = Vec::new();
    for include in &declaration.include {
        let name = include.name.clone().unwrap_or_else(|| include.what.column_name().to_string());
        let declared = declaration.relation.columns.iter().chain(included.iter().map(|(_, column)| column));
        if declared.into_iter().any(|column| column.name == name) {
            let message = format!("column \"{name}\" specified more than once");
            let hint = format!("Give it another name: INCLUDE {} AS ..", include.what.column_name().to_uppercase());
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).with_hint(hint));
        }
        let (sql_type, nullable) = match include.what {
            Included::Key => (SqlType::Text, true),
            Included::Partition => (SqlType::Int4, false),
            Included::Offset => (SqlType::Int8, false),
            Included::Timestamp => (SqlType::Timestamptz, true),
        };
        included.push((include.what, Column::new(name, sql_type, nullable)));
    }
    Ok(included)
}

fn syntax(message: &str) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message)
}

impl Source for Kafka {
    fn relations(&self) -> &[SourceRelation] {
        &self.relations
    }

    fn topic(&self) -> Option<&str> {
        Some(&self.address.topic)
    }

    fn start(&self) -> Result<Positions> {
        let client = Client::connect(&self.address)?;
        let partitions = client.partitions()?;
        if let Some(missing) = self.offsets.keys().find(|partition| !partitions.contains(partition)) {
            let message = format!("topic \"{}\" has no partition {missing}", self.address.topic);
            let hint = format!("It has the partitions 0 to {}.", partitions.len() - 1);
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint(hint));
        }
        let mut positions = Positions::default();
        for partition in partitions {
            let (first, end) = client.watermarks(partition)?;
            let position = match (self.offsets.get(&partition), self.start) {
                (Some(&offset), _) if (first..=end).contains(&offset) => offset,
                (Some(&offset), _) => return Err(client.lost(partition, offset, (first, end))),
                (None, Start::Earliest) => first,
                (None, Start::Latest) => end,
            };
            positions.0.insert(partition, position);
        }
        Ok(positions)
    }

    fn follow(
        &self,
        from: Positions,
        batches: SyncSender<Result<SourceBatch>>,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Box<dyn Follower>> {
        follow::follow(&self.address, &self.layout, self.on_error, from, batches, wake)
    }

    fn read(&self, _relation: usize, from: &Positions, to: &Positions) -> Result<Batches> {
        read::read(&self.address, &self.layout, self.on_error, from, to)
    }
}
