//! SHOW, SET, RESET and DISCARD.

use crate::engine::outcome::{Description, Outcome};
use crate::engine::session::Session;
use crate::sql::statement::{Discard, Set, Show};
use crate::types::{Column, Error, Relation, Result, SqlState, SqlType};

pub fn show(session: &mut Session, show: &Show) -> Result<Outcome> {
    match show {
        Show::All => {
            let rows = session.settings.all().into_iter().map(|(name, value)| [name, value, String::new()]);
            Outcome::text(["name", "setting", "description"], rows.collect(), "SHOW")
        }
        Show::Setting(name) => {
            let value = session.settings.show(name)?.to_string();
            Outcome::text([name.as_str()], vec![[value]], "SHOW")
        }
    }
}

pub fn describe_show(show: &Show) -> Result<Description> {
    let names: Vec<&str> = match show {
        Show::All => vec!["name", "setting", "description"],
        Show::Setting(name) => vec![name.as_str()],
    };
    let columns = names.into_iter().map(|name| Column::new(name, SqlType::Text, false)).collect();
    Ok(Description { parameters: vec![], columns: Some(Relation::new(columns)) })
}

pub fn set(session: &mut Session, set: &Set) -> Result<Outcome> {
    match (&set.value, set.local) {
        (None, _) => session.settings.reset(&set.name)?,
        (Some(value), true) => session.settings.set_local(&set.name, value)?,
        (Some(value), false) => session.settings.set(&set.name, value)?,
    }
    Ok(Outcome::done("SET"))
}

pub fn reset(session: &mut Session, name: Option<&str>) -> Result<Outcome> {
    match name {
        Some(name) => session.settings.reset(name)?,
        None => session.settings.reset_all(),
    }
    Ok(Outcome::done("RESET"))
}

pub fn discard(session: &mut Session, discard: Discard) -> Result<Outcome> {
    let tag = match discard {
        Discard::All => {
            if session.open_block().is_some() {
                let message = "DISCARD ALL cannot run inside a transaction block";
                return Err(Error::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
            }
            session.cursors.clear();
            session.prepared().clear();
            session.settings.reset_all();
            "DISCARD ALL"
        }
        Discard::Plans => "DISCARD PLANS",
        Discard::Sequences => "DISCARD SEQUENCES",
        Discard::Temporary => "DISCARD TEMP",
    };
    Ok(Outcome::done(tag))
}
