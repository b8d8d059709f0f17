//! CREATE CONNECTION and CREATE SOURCE.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::create_relation::{exists, place};
use crate::catalog::{Catalog, Connection, Entry, Item, Schema, Source, SourceRelation};
use crate::connect::{self, Envelope, Include, Included, SourceDeclaration};
use crate::engine::effect::Effect;
use crate::engine::outcome::Outcome;
use crate::engine::session::Session;
use crate::sql::statement::{
    self, Command, CreateConnection, CreateSource, OptionValue, Options, SourceFrom, Statement,
};
use crate::sql::{self, relation_of};
use crate::types::{Error, ObjectId, Result, SqlState};

pub fn connection(session: &mut Session, create: &CreateConnection, text: &str) -> Result<Outcome> {
    let schema = place(session, &create.name)?;
    let name = &create.name.name;
    let options = texts(&create.options)?;
    if create.kind != "kafka" {
        let message = format!("connections to {} are not supported", create.kind.to_uppercase());
        return Err(
            Error::unsupported(message).with_hint("Write CREATE CONNECTION name TO KAFKA (BROKER 'host:port').")
        );
    }
    let transaction = session.transaction();
    if create.if_not_exists && transaction.catalog.connection(Some(&schema), name, &[]).is_some() {
        super::skipping(session, SqlState::DUPLICATE_OBJECT, format!("connection \"{name}\" already exists"));
        return Ok(Outcome::done("CREATE CONNECTION"));
    }
    let connection = Connection { kind: create.kind.clone(), options, definition: text.to_string() };
    transaction.catalog_mut()?.create(&schema, name, Item::Connection(connection), vec![])?;
    Ok(Outcome::done("CREATE CONNECTION"))
}

pub async fn source(session: &mut Session, create: &CreateSource, text: &str) -> Result<Outcome> {
    let schema = place(session, &create.name)?;
    if create.if_not_exists && exists(session, &schema, &create.name) {
        return Ok(Outcome::done("CREATE SOURCE"));
    }
    let connection = connection_of(session, create)?;
    let outside = connection.as_ref().map(|(_, connection)| connection);
    let declaration = declaration(create, outside)?;
    let connection = connection.map(|(id, _)| id);
    // Asking an outside system may take seconds, and blocks.
    let open = move || -> Result<_> {
        let source = connect::open(&declaration)?;
        let start = source.start()?;
        Ok((source, start))
    };
    let opened = session.database.config.query_runtime.spawn_blocking(open).await;
    let (source, start) = opened.map_err(|error| Error::internal(format!("opening the source failed: {error}")))??;
    let relations = define(session, &schema, &create.name.name, connection, source.as_ref(), text)?;
    let id = relations.source;
    session.transaction().push_effect(Effect::CreateSource { id, source, start, relations: relations.ids });
    Ok(Outcome::done("CREATE SOURCE"))
}

struct Defined {
    source: ObjectId,
    /// One per relation of the connector.
    ids: Vec<ObjectId>,
}

/// Puts a source into the catalog: as a relation, or with a schema of its own that holds its relations.
fn define(
    session: &mut Session,
    schema: &str,
    name: &str,
    connection: Option<ObjectId>,
    source: &dyn connect::Source,
    text: &str,
) -> Result<Defined> {
    let catalog = session.transaction().catalog_mut()?;
    let depends_on: Vec<_> = connection.into_iter().collect();
    let definition = text.to_string();
    if let [only] = source.relations()
        && only.name.is_none()
    {
        let (relation, append) = (Some(only.relation.clone()), only.envelope == Envelope::Append);
        let item = Item::Source(Source { connection, relation, append, definition });
        let id = catalog.create(schema, name, item, depends_on)?;
        return Ok(Defined { source: id, ids: vec![id] });
    }
    let item = Item::Source(Source { connection, relation: None, append: true, definition });
    let id = catalog.create(schema, name, item, depends_on)?;
    catalog.create(name, "", Item::Schema(Schema {}), vec![])?;
    let mut ids = Vec::new();
    for (index, part) in source.relations().iter().enumerate() {
        let part_name = part.name.as_deref().expect("the relations of a source that has several have names");
        let append = part.envelope == Envelope::Append;
        let item = Item::SourceRelation(SourceRelation { source: id, index, relation: part.relation.clone(), append });
        ids.push(catalog.create(name, part_name, item, vec![id])?);
    }
    Ok(Defined { source: id, ids })
}

/// The connector of a source that was defined before, made from its text again.
pub fn reopened(catalog: &Catalog, entry: &Entry) -> Result<Arc<dyn connect::Source>> {
    let Item::Source(source) = &entry.item else {
        return Err(Error::internal(format!("{} is not a source", entry.name)));
    };
    let statements = sql::parse(&source.definition)?;
    let [Statement { command: Command::CreateSource(create), .. }] = statements.as_slice() else {
        return Err(Error::internal(format!("the definition of {} is not one of a source", entry.name)));
    };
    let outside = source.connection.and_then(|id| catalog.get(id)).and_then(|entry| match &entry.item {
        Item::Connection(connection) => Some(connection),
        _ => None,
    });
    connect::open(&declaration(create, outside)?)
}

/// What the connector is made from.
fn declaration(create: &CreateSource, connection: Option<&Connection>) -> Result<SourceDeclaration> {
    let mut declaration = SourceDeclaration {
        relation: relation_of(&create.columns, create.primary_key.as_deref())?,
        format: create.format.clone(),
        key_format: create.key_format.clone(),
        envelope: create.envelope.clone(),
        include: create.include.iter().map(include).collect::<Result<_>>()?,
        with: texts(&create.options)?,
        ..SourceDeclaration::default()
    };
    let (SourceFrom::Generator { kind, options } | SourceFrom::Connection { kind, options, .. }) = &create.from;
    declaration.kind = kind.clone();
    declaration.connection = connection.map(|connection| connection.options.clone()).unwrap_or_default();
    put_options(&mut declaration, options)?;
    Ok(declaration)
}

/// The connection that a source is to be read through, if it names one.
fn connection_of(session: &mut Session, create: &CreateSource) -> Result<Option<(ObjectId, Connection)>> {
    let SourceFrom::Connection { kind, connection, .. } = &create.from else { return Ok(None) };
    let search_path = session.search_path();
    let catalog = &session.transaction().catalog;
    let found = catalog.connection(connection.schema.as_deref(), &connection.name, &search_path);
    let entry = found.ok_or_else(|| {
        let message = format!("connection \"{connection}\" does not exist");
        Error::new(SqlState::UNDEFINED_OBJECT, message).at(connection.position)
    })?;
    let Item::Connection(outside) = &entry.item else {
        return Err(Error::internal("a connection's entry is not a connection"));
    };
    if outside.kind != *kind {
        let message = format!("connection \"{connection}\" is for {}, not {kind}", outside.kind);
        return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(connection.position));
    }
    Ok(Some((entry.id, outside.clone())))
}

/// `OFFSETS (0 => 17)` is the one option that is not text.
fn put_options(declaration: &mut SourceDeclaration, options: &Options) -> Result<()> {
    let mut rest = options.clone();
    if let Some(OptionValue::Map(offsets)) = rest.get("offsets") {
        for (partition, offset) in offsets {
            let number = |text: &str| -> Result<i64> {
                let message = format!("invalid partition or offset in OFFSETS: \"{text}\"");
                text.parse().map_err(|_| Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
            };
            declaration.offsets.insert(number(partition)? as i32, number(offset)?);
        }
        rest.remove("offsets");
    }
    declaration.options = texts(&rest)?;
    Ok(())
}

fn texts(options: &Options) -> Result<BTreeMap<String, String>> {
    let text = |(name, value): (&String, &OptionValue)| match value {
        OptionValue::Text(text) => Ok((name.clone(), text.clone())),
        OptionValue::Map(_) => {
            let message = format!("option {} takes one value, not a list", name.to_uppercase());
            Err(Error::new(SqlState::SYNTAX_ERROR, message))
        }
    };
    options.iter().map(text).collect()
}

fn include(include: &statement::Include) -> Result<Include> {
    let what = match include.part.as_str() {
        "key" => Included::Key,
        "partition" => Included::Partition,
        "offset" => Included::Offset,
        "timestamp" => Included::Timestamp,
        other => return Err(Error::unsupported(format!("INCLUDE {} is not supported", other.to_uppercase()))),
    };
    Ok(Include { what, name: Some(include.name.clone()) })
}
