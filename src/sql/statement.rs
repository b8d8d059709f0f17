//! What a client can say, one [`Command`] per kind of statement.
//!
//! Queries and DML keep sqlparser's syntax tree, which the [`binder`](super::binder) reads; everything else is in our own
//! words. Positions count characters of the whole string that was parsed, from 1, as PostgreSQL reports them.

use std::collections::BTreeMap;

use sqlparser::ast;

use crate::catalog::DATABASE;
use crate::types::{Error, Result, SqlType};

/// One statement of a string, with its own text.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Without the semicolon and the white space around it.
    pub text: String,
    /// How many characters of the string come before the text.
    pub offset: usize,
    pub command: Command,
}

#[derive(Clone, Debug)]
pub enum Command {
    /// SELECT, VALUES, WITH, TABLE, set operations.
    Query(Box<ast::Query>),
    Insert(Box<Modification<ast::Insert>>),
    Update(Box<Modification<ast::Update>>),
    Delete(Box<Modification<ast::Delete>>),
    Truncate(Vec<Name>),
    Copy(Copy),
    CreateConnection(CreateConnection),
    CreateSource(CreateSource),
    CreateTable(CreateTable),
    CreateView(CreateView),
    CreateMaterializedView(CreateMaterializedView),
    CreateIndex(CreateIndex),
    CreateSchema {
        name: String,
        if_not_exists: bool,
    },
    Drop(Drop),
    Explain(Explain),
    Show(Show),
    Set(Set),
    /// None is ALL.
    Reset(Option<String>),
    Discard(Discard),
    Checkpoint,
    /// The folder to copy the database to.
    Backup(String),
    SetTransaction {
        modes: Vec<TransactionMode>,
        session: bool,
    },
    Begin {
        modes: Vec<TransactionMode>,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    Declare(Declare),
    Fetch(Fetch),
    Move(Fetch),
    /// None is ALL.
    Close(Option<String>),
    Prepare {
        name: String,
        types: Vec<SqlType>,
        statement: Box<Statement>,
    },
    Execute {
        name: String,
        arguments: Vec<ast::Expr>,
    },
    /// None is ALL.
    Deallocate(Option<String>),
    Listen(String),
    /// None is `*`.
    Unlisten(Option<String>),
    Notify {
        channel: String,
        payload: Option<String>,
    },
    Subscribe(Subscribe),
}

/// An INSERT, UPDATE or DELETE, and the WITH clause before it.
#[derive(Clone, Debug)]
pub struct Modification<S> {
    pub with: Option<ast::With>,
    pub statement: S,
}

/// A relation's name as it was written: folded to lower case unless quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub schema: Option<String>,
    pub name: String,
    pub position: usize,
}

impl Name {
    /// The name of up to three parts; the first of three must be our database.
    pub fn of_parts(mut parts: Vec<String>, position: usize) -> Result<Name> {
        if parts.len() > 3 || (parts.len() == 3 && parts[0] != DATABASE) {
            let written = parts.join(".");
            let message = format!("cross-database references are not implemented: \"{written}\"");
            return Err(Error::unsupported(message).at(position));
        }
        let name = parts.pop().expect("a name has at least one part");
        Ok(Name { schema: parts.pop(), name, position })
    }

    pub fn of_object(name: &ast::ObjectName) -> Result<Name> {
        let mut parts = Vec::with_capacity(name.0.len());
        let mut position = 0;
        for part in &name.0 {
            let ast::ObjectNamePart::Identifier(ident) = part else {
                return Err(Error::unsupported(format!("{name} is not supported as a name")));
            };
            if position == 0 {
                position = position_of(ident);
            }
            parts.push(fold(ident));
        }
        Name::of_parts(parts, position)
    }
}

/// As messages quote it: `schema.name` or `name`.
impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// An identifier as PostgreSQL understands it: in lower case unless quoted.
pub fn fold(ident: &ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// Where an identifier stands; the parser put character positions into the columns of spans.
pub fn position_of(ident: &ast::Ident) -> usize {
    ident.span.start.column as usize
}

#[derive(Clone, Debug)]
pub struct Copy {
    pub what: CopyWhat,
    pub direction: CopyDirection,
    pub options: CopyOptions,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one per statement")]
pub enum CopyWhat {
    /// No columns means all of them.
    Table {
        name: Name,
        columns: Vec<String>,
    },
    Query(Box<ast::Query>),
    Subscribe(Subscribe),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyDirection {
    FromStdin,
    ToStdout,
}

/// What was said; the defaults depend on the format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    pub csv: bool,
    pub delimiter: Option<u8>,
    pub null: Option<String>,
    pub header: bool,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
}

/// A value of a connector's option: text as it was written, or a map such as `(0 => 17, 1 => 4)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    Text(String),
    Map(BTreeMap<String, String>),
}

/// Options by their names in lower case.
pub type Options = BTreeMap<String, OptionValue>;

#[derive(Clone, Debug)]
pub struct CreateConnection {
    pub name: Name,
    pub if_not_exists: bool,
    /// `kafka`, in lower case.
    pub kind: String,
    pub options: Options,
}

#[derive(Clone, Debug)]
pub struct CreateSource {
    pub name: Name,
    pub if_not_exists: bool,
    pub columns: Vec<ColumnDefinition>,
    pub primary_key: Option<Vec<String>>,
    pub from: SourceFrom,
    /// `KEY FORMAT`, `FORMAT` and `ENVELOPE`, in lower case.
    pub key_format: Option<String>,
    pub format: Option<String>,
    pub envelope: Option<String>,
    pub include: Vec<Include>,
    /// `WITH (..)`.
    pub options: Options,
}

#[derive(Clone, Debug)]
pub enum SourceFrom {
    /// `FROM KAFKA CONNECTION name (options)`; the kind in lower case.
    Connection { kind: String, connection: Name, options: Options },
    /// `FROM LOAD GENERATOR kind (options)`; the kind in lower case.
    Generator { kind: String, options: Options },
}

/// A part of a record beside its value that becomes a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// `key`, `partition`, `offset` or `timestamp`.
    pub part: String,
    /// The column's name; that of the part if none was given.
    pub name: String,
}

/// A column of CREATE TABLE or CREATE SOURCE.
#[derive(Clone, Debug)]
pub struct ColumnDefinition {
    pub name: String,
    pub sql_type: SqlType,
    pub not_null: bool,
    /// The text of the DEFAULT expression.
    pub default: Option<String>,
    pub position: usize,
}

#[derive(Clone, Debug)]
pub struct CreateTable {
    pub name: Name,
    pub if_not_exists: bool,
    pub temporary: bool,
    pub columns: Vec<ColumnDefinition>,
    pub primary_key: Option<Vec<String>>,
    pub unique: Vec<UniqueConstraint>,
    /// CREATE TABLE AS; `columns` is then empty.
    pub query: Option<TableQuery>,
}

/// `[CONSTRAINT name] UNIQUE (columns)`
#[derive(Clone, Debug)]
pub struct UniqueConstraint {
    /// Made up by the engine if none was given.
    pub name: Option<String>,
    pub columns: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct TableQuery {
    /// Names given to its columns, from the left.
    pub columns: Vec<String>,
    pub query: Box<ast::Query>,
    /// WITH NO DATA makes it false.
    pub with_data: bool,
}

/// The query of a view, as a tree and as the text that the catalog keeps.
#[derive(Clone, Debug)]
pub struct ViewQuery {
    pub query: Box<ast::Query>,
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct CreateView {
    pub name: Name,
    pub or_replace: bool,
    /// Names given to its columns, from the left.
    pub columns: Vec<String>,
    pub query: ViewQuery,
}

#[derive(Clone, Debug)]
pub struct CreateMaterializedView {
    pub name: Name,
    pub if_not_exists: bool,
    pub columns: Vec<String>,
    pub options: Options,
    pub query: ViewQuery,
}

#[derive(Clone, Debug)]
pub struct CreateIndex {
    /// Made up by the engine if none was given.
    pub name: Option<String>,
    pub if_not_exists: bool,
    pub unique: bool,
    pub on: Name,
    pub columns: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    Connection,
    Source,
    Table,
    View,
    MaterializedView,
    Index,
    Schema,
}

impl std::fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ObjectKind::Connection => "connection",
            ObjectKind::Source => "source",
            ObjectKind::Table => "table",
            ObjectKind::View => "view",
            ObjectKind::MaterializedView => "materialized view",
            ObjectKind::Index => "index",
            ObjectKind::Schema => "schema",
        })
    }
}

#[derive(Clone, Debug)]
pub struct Drop {
    pub kind: ObjectKind,
    pub names: Vec<Name>,
    pub if_exists: bool,
    pub cascade: bool,
}

#[derive(Clone, Debug)]
pub struct Explain {
    pub analyze: bool,
    pub verbose: bool,
    pub what: ExplainWhat,
}

#[derive(Clone, Debug)]
pub enum ExplainWhat {
    Statement(Box<Statement>),
    /// The dataflow of a materialized view that exists.
    MaterializedView(Name),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Show {
    All,
    /// In lower case; TIME ZONE is `timezone`, TRANSACTION ISOLATION LEVEL `transaction_isolation`.
    Setting(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// In lower case.
    pub name: String,
    /// SET LOCAL: until the end of the transaction.
    pub local: bool,
    /// The values of a list joined by `, `; None is DEFAULT.
    pub value: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    All,
    Plans,
    Sequences,
    Temporary,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionMode {
    /// In lower case, single spaces.
    Isolation(String),
    ReadOnly(bool),
    Deferrable(bool),
}

#[derive(Clone, Debug)]
pub struct Declare {
    pub name: String,
    pub hold: bool,
    pub scroll: bool,
    pub what: DeclareFor,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one per statement")]
pub enum DeclareFor {
    Query(Box<ast::Query>),
    Subscribe(Subscribe),
}

#[derive(Clone, Debug)]
pub struct Fetch {
    pub cursor: String,
    pub count: FetchCount,
    /// `WITH (timeout = '1s')`, as it was written.
    pub timeout: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchCount {
    All,
    Rows(u64),
}

#[derive(Clone, Debug)]
pub struct Subscribe {
    pub to: SubscribeTo,
    /// `AS OF`, an expression without columns.
    pub as_of: Option<ast::Expr>,
    pub snapshot: bool,
    pub progress: bool,
}

#[derive(Clone, Debug)]
pub enum SubscribeTo {
    Name(Name),
    Query(ViewQuery),
}
