//! CHECKPOINT and BACKUP TO.

use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::database::Database;
use crate::engine::outcome::Outcome;
use crate::engine::session::Session;
use crate::types::{Error, Result};

pub async fn checkpoint(session: &mut Session) -> Result<Outcome> {
    blocking(session.database.clone(), |database| database.checkpoints.make(database).map(|_| ())).await?;
    Ok(Outcome::done("CHECKPOINT"))
}

pub async fn backup(session: &mut Session, path: &str) -> Result<Outcome> {
    let path = PathBuf::from(path);
    blocking(session.database.clone(), move |database| database.checkpoints.backup(database, &path)).await?;
    Ok(Outcome::done("BACKUP"))
}

/// Does what waits for the disk away from the threads that serve.
async fn blocking(database: Arc<Database>, work: impl FnOnce(&Database) -> Result<()> + Send + 'static) -> Result<()> {
    let runtime = database.config.query_runtime.clone();
    let done = runtime.spawn_blocking(move || work(&database)).await;
    done.map_err(|error| Error::internal(format!("the work on the disk failed: {error}")))?
}
