//! The schema `millrace`: how the running system is.

use std::sync::Arc;

use datafusion::common::ScalarValue;

use super::Kind::One;
use super::{SystemRelation, bigint, bytes, text, timestamp};
use crate::catalog::{Entry, Item};
use crate::engine::checkpoint::Manifest;
use crate::engine::session::Session;
use crate::types::{Result, SqlType};

pub const TABLE: &[SystemRelation] = &[
    SystemRelation {
        schema: "millrace",
        name: "sources",
        columns: &[
            ("schema_name", One(SqlType::Text)),
            ("name", One(SqlType::Text)),
            ("partition", One(SqlType::Int4)),
            ("next_offset", One(SqlType::Int8)),
            ("bound_at", One(SqlType::Timestamptz)),
            ("records", One(SqlType::Int8)),
            ("errors", One(SqlType::Int8)),
            ("lag", One(SqlType::Int8)),
            ("trouble", One(SqlType::Text)),
        ],
        rows: sources,
    },
    SystemRelation {
        schema: "millrace",
        name: "source_errors",
        columns: &[
            ("schema_name", One(SqlType::Text)),
            ("source", One(SqlType::Text)),
            ("topic", One(SqlType::Text)),
            ("partition", One(SqlType::Int4)),
            ("offset", One(SqlType::Int8)),
            ("met_at", One(SqlType::Timestamptz)),
            ("error", One(SqlType::Text)),
            ("key", One(SqlType::Bytea)),
            ("value", One(SqlType::Bytea)),
        ],
        rows: source_errors,
    },
    SystemRelation {
        schema: "millrace",
        name: "views",
        columns: &[
            ("schema_name", One(SqlType::Text)),
            ("name", One(SqlType::Text)),
            ("state", One(SqlType::Text)),
            ("frontier", One(SqlType::Timestamptz)),
            ("lag_ms", One(SqlType::Int8)),
            ("history_records", One(SqlType::Int8)),
            ("history_records_total", One(SqlType::Int8)),
            ("error", One(SqlType::Text)),
        ],
        rows: views,
    },
    SystemRelation {
        schema: "millrace",
        name: "checkpoints",
        columns: &[
            ("time", One(SqlType::Timestamptz)),
            ("objects", One(SqlType::Int8)),
            ("files", One(SqlType::Int8)),
            ("bytes", One(SqlType::Int8)),
            ("bytes_written", One(SqlType::Int8)),
            ("duration_ms", One(SqlType::Int8)),
        ],
        rows: checkpoints,
    },
    SystemRelation {
        schema: "millrace",
        name: "arrangements",
        columns: &[
            ("schema_name", One(SqlType::Text)),
            ("name", One(SqlType::Text)),
            ("operator", One(SqlType::Text)),
            ("worker", One(SqlType::Int4)),
            ("rows", One(SqlType::Int8)),
            ("bytes", One(SqlType::Int8)),
            ("bytes_on_disk", One(SqlType::Int8)),
            ("batches", One(SqlType::Int8)),
        ],
        rows: arrangements,
    },
];

fn sources(session: &mut Session) -> Result<Vec<Vec<ScalarValue>>> {
    let database = session.database.clone();
    let catalog = session.transaction().catalog.clone();
    let mut rows = Vec::new();
    for status in database.ingest.status() {
        let Some(entry) = catalog.get(status.id) else { continue };
        for (partition, offset) in &status.positions.0 {
            rows.push(vec![
                text(&entry.schema),
                text(&entry.name),
                ScalarValue::Int32(Some(*partition)),
                bigint(*offset),
                timestamp(status.bound_at),
                bigint(status.records),
                bigint(status.errors),
                ScalarValue::Int64(status.lag.map(|lag| lag as i64)),
                ScalarValue::Utf8(status.trouble.clone()),
            ]);
        }
    }
    Ok(rows)
}

fn checkpoints(session: &mut Session) -> Result<Vec<Vec<ScalarValue>>> {
    let kept = session.database.checkpoints.kept();
    let row = |manifest: &Arc<Manifest>| {
        vec![
            timestamp(manifest.time),
            bigint(manifest.objects.len() as u64),
            bigint(manifest.files.len() as u64),
            bigint(manifest.bytes()),
            bigint(manifest.bytes_written),
            bigint(manifest.micros / 1000),
        ]
    };
    Ok(kept.iter().map(row).collect())
}

fn source_errors(session: &mut Session) -> Result<Vec<Vec<ScalarValue>>> {
    let database = session.database.clone();
    let catalog = session.transaction().catalog.clone();
    let errors = database.ingest.errors().into_iter().filter_map(|(id, time, error)| {
        let entry = catalog.get(id)?;
        Some(vec![
            text(&entry.schema),
            text(&entry.name),
            ScalarValue::Utf8(database.ingest.topic(id)),
            ScalarValue::Int32(Some(error.partition)),
            bigint(error.offset),
            timestamp(time),
            text(error.message),
            bytes(error.key),
            bytes(error.value),
        ])
    });
    Ok(errors.collect())
}

fn views(session: &mut Session) -> Result<Vec<Vec<ScalarValue>>> {
    let database = session.database.clone();
    let catalog = session.transaction().catalog.clone();
    let now = database.timeline.readable();
    let row = |entry: &Entry| {
        let view = database.views.get(entry.id)?;
        let failure = database.failure(entry.id);
        let frontier = database.runtime.frontier(entry.id);
        let lag = frontier.map(|frontier| (now + 1).saturating_sub(frontier) / 1000);
        let state = match (&failure, lag) {
            (Some(_), _) => "failed",
            (None, Some(0)) => "live",
            (None, _) => "catching up",
        };
        Some(vec![
            text(&entry.schema),
            text(&entry.name),
            text(state),
            ScalarValue::TimestampMicrosecond(frontier.map(|at| at as i64), Some("UTC".into())),
            ScalarValue::Int64(lag.map(|lag| lag as i64)),
            bigint(view.history_done.load(std::sync::atomic::Ordering::Relaxed)),
            bigint(view.history_total.load(std::sync::atomic::Ordering::Relaxed)),
            ScalarValue::Utf8(failure.map(|failure| failure.to_string())),
        ])
    };
    let views = catalog.entries().filter(|entry| matches!(entry.item, Item::MaterializedView(_)));
    Ok(views.filter_map(row).collect())
}

fn arrangements(session: &mut Session) -> Result<Vec<Vec<ScalarValue>>> {
    let database = session.database.clone();
    let catalog = session.transaction().catalog.clone();
    let rows = database.runtime.arrangements().into_iter().filter_map(|arrangement| {
        let entry = catalog.get(arrangement.object)?;
        Some(vec![
            text(&entry.schema),
            text(&entry.name),
            text(arrangement.operator),
            ScalarValue::Int32(Some(arrangement.worker as i32)),
            bigint(arrangement.rows),
            bigint(arrangement.bytes),
            bigint(arrangement.bytes_on_disk),
            bigint(arrangement.batches),
        ])
    });
    Ok(rows.collect())
}
