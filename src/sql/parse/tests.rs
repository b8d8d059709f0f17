//! Every form of every statement, and what is wrong with wrong ones.

use sqlparser::ast;

use super::*;
use crate::sql::statement::*;
use crate::types::SqlType;

fn one(text: &str) -> Command {
    let mut statements = parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0).command
}

fn error(text: &str) -> (String, String, Option<usize>) {
    let error = parse(text).expect_err(text);
    (error.state().to_string(), error.message().to_string(), error.position())
}

fn syntax(text: &str) -> (String, Option<usize>) {
    let (state, message, position) = error(text);
    assert_eq!(state, "42601", "{text}");
    (message, position)
}

#[test]
fn statements_know_their_text_and_place() {
    let statements = parse("  select 1 ; -- nothing\n ;; é; ").expect_err("a word is no statement");
    assert_eq!(statements.message(), "syntax error at or near \"é\"");
    let statements = parse(" select 1 ; -- nothing\n;;\n  select\n 2;").unwrap();
    let found: Vec<_> = statements.iter().map(|statement| (statement.text.as_str(), statement.offset)).collect();
    assert_eq!(found, [("select 1", 1), ("select\n 2", 28)]);
    assert!(parse(" -- only a comment\n ; ").unwrap().is_empty());
}

#[test]
fn syntax_errors_are_postgresql_s() {
    let near = |text: &str| (format!("syntax error at or near \"{text}\""), ());
    assert_eq!(syntax("selec 1"), (near("selec").0, Some(1)));
    assert_eq!(syntax("select 1;\nselect 2 from from t"), (near("from").0, Some(25)));
    assert_eq!(syntax("select 'é', 1 1"), (near("1").0, Some(15)));
    assert_eq!(syntax("select (1 ; select 2"), (near(";").0, Some(11)));
    assert_eq!(syntax("select (1"), ("syntax error at end of input".into(), Some(10)));
    assert_eq!(syntax("select 'abc"), ("unterminated quoted string at or near \"'abc\"".into(), Some(8)));
    assert_eq!(syntax("select \"abc"), ("unterminated quoted identifier at or near \"\"abc\"".into(), Some(8)));
    assert_eq!(syntax("create table t (a int,)"), (near(")").0, Some(23)));
    assert_eq!(syntax("drop table"), ("syntax error at end of input".into(), Some(11)));
    assert_eq!(syntax("drop table t; drop table u v"), (near("v").0, Some(28)));
}

#[test]
fn queries_and_modifications() {
    for text in [
        "select 1",
        "values (1, 2), (3, 4)",
        "with a as (select 1) select * from a",
        "table t",
        "(select 1) union all (select 2)",
        "select from t",
        "select a from t order by a fetch first 3 rows only",
        "select a from t for update",
    ] {
        assert!(matches!(one(text), Command::Query(_)), "{text}");
    }
    assert!(matches!(one("insert into t (a) values (1), (default) returning *"), Command::Insert(_)));
    assert!(matches!(one("insert into t default values"), Command::Insert(_)));
    assert!(matches!(one("insert into t select 1 on conflict (a) do update set b = excluded.b"), Command::Insert(_)));
    assert!(matches!(one("update t set a = 1 from u where t.a = u.a returning t.a"), Command::Update(_)));
    assert!(matches!(one("delete from t using u where t.a = u.a"), Command::Delete(_)));
    let Command::Truncate(tables) = one("truncate table a, s.b") else { panic!() };
    assert_eq!(tables.iter().map(Name::to_string).collect::<Vec<_>>(), ["a", "s.b"]);
}

#[test]
fn create_connection_and_sources() {
    let Command::CreateConnection(connection) = one("CREATE CONNECTION k TO KAFKA (BROKER '127.0.0.1:9092')") else {
        panic!()
    };
    assert_eq!(connection.kind, "kafka");
    assert_eq!(connection.options["broker"], OptionValue::Text("127.0.0.1:9092".into()));

    let Command::CreateSource(source) = one(
        "CREATE SOURCE IF NOT EXISTS bids (auction bigint, price numeric(10,2) NOT NULL, at timestamptz, PRIMARY KEY (auction))
           FROM KAFKA CONNECTION k (TOPIC 'bids', OFFSETS (0 => 17, 1 => 4), START = 'latest')
           KEY FORMAT JSON FORMAT JSON ENVELOPE UPSERT INCLUDE PARTITION, OFFSET, TIMESTAMP AS written_at
           WITH (on_error = 'skip')",
    ) else {
        panic!()
    };
    assert!(source.if_not_exists);
    let columns: Vec<_> = source.columns.iter().map(|c| (c.name.as_str(), c.sql_type.clone(), c.not_null)).collect();
    assert_eq!(
        columns,
        [
            ("auction", SqlType::Int8, false),
            ("price", SqlType::Numeric(Some((10, 2))), true),
            ("at", SqlType::Timestamptz, false)
        ]
    );
    assert_eq!(source.primary_key, Some(vec!["auction".to_string()]));
    let SourceFrom::Connection { kind, connection, options } = source.from else { panic!() };
    assert_eq!((kind.as_str(), connection.name.as_str()), ("kafka", "k"));
    let offsets = [("0".to_string(), "17".to_string()), ("1".to_string(), "4".to_string())];
    assert_eq!(options["offsets"], OptionValue::Map(offsets.into_iter().collect()));
    assert_eq!(options["start"], OptionValue::Text("latest".into()));
    assert_eq!(source.key_format.as_deref(), Some("json"));
    assert_eq!(source.envelope.as_deref(), Some("upsert"));
    let included: Vec<_> = source.include.iter().map(|i| (i.part.as_str(), i.name.as_str())).collect();
    assert_eq!(included, [("partition", "partition"), ("offset", "offset"), ("timestamp", "written_at")]);
    assert_eq!(source.options["on_error"], OptionValue::Text("skip".into()));

    let Command::CreateSource(source) = one("create source nex from load generator nexmark (EVENTS 10, RATE 0)") else {
        panic!()
    };
    let SourceFrom::Generator { kind, options } = source.from else { panic!() };
    assert_eq!(kind, "nexmark");
    assert_eq!(options["events"], OptionValue::Text("10".into()));
}

#[test]
fn create_tables() {
    let Command::CreateTable(table) = one(
        "create table if not exists s.t (a int primary key, b varchar(3) default 'x' || 'y' not null, \"C\" double precision null)",
    ) else {
        panic!()
    };
    assert!(table.if_not_exists);
    assert_eq!(table.name.to_string(), "s.t");
    assert_eq!(table.primary_key, Some(vec!["a".to_string()]));
    let defaults: Vec<_> = table.columns.iter().map(|c| (c.name.as_str(), c.default.as_deref(), c.not_null)).collect();
    assert_eq!(defaults, [("a", None, false), ("b", Some("'x' || 'y'"), true), ("C", None, false)]);
    assert!(matches!(one("create table t (a int default 1 not null)"), Command::CreateTable(_)));
    assert!(matches!(one("create table t (a int, b text, primary key (a, b))"), Command::CreateTable(_)));
    let Command::CreateTable(table) = one("create table t (x, y) as select 1, 2") else { panic!() };
    assert_eq!(table.query.unwrap().columns, ["x", "y"]);
    let Command::CreateTable(table) =
        one("create table t (a int unique, b int, constraint u unique (a, b), constraint c primary key (a))")
    else {
        panic!()
    };
    let unique: Vec<_> = table.unique.iter().map(|unique| (unique.name.as_deref(), unique.columns.join(","))).collect();
    assert_eq!(unique, [(None, "a".to_string()), (Some("u"), "a,b".to_string())]);
    assert_eq!(error("create table t (a int unique nulls not distinct)").0, "0A000");
    assert_eq!(error("create table t (a int, check (a > 0))").0, "0A000");
    assert_eq!(error("create table t (a int primary key, primary key (a))").0, "42P16");
    assert_eq!(error("create table t (a nosuch)"), ("42704".into(), "type \"nosuch\" does not exist".into(), Some(19)));
}

#[test]
fn create_views_indexes_schemas() {
    let Command::CreateView(view) = one("create or replace view v (x) as select  1 ;") else { panic!() };
    assert!(view.or_replace);
    assert_eq!((view.columns, view.query.text.as_str()), (vec!["x".to_string()], "select  1"));
    let Command::CreateMaterializedView(view) = one("create materialized view if not exists m as select 1 -- one")
    else {
        panic!()
    };
    assert!(view.if_not_exists);
    assert_eq!(view.query.text, "select 1");
    let Command::CreateIndex(index) = one("create index on t (a, b desc)") else { panic!() };
    assert_eq!((index.name, index.columns), (None, vec!["a".to_string(), "b".to_string()]));
    let Command::CreateIndex(index) = one("create index if not exists i on s.t using btree (a)") else { panic!() };
    assert_eq!((index.name.as_deref(), index.on.to_string().as_str()), (Some("i"), "s.t"));
    assert!(matches!(one("create schema if not exists s"), Command::CreateSchema { if_not_exists: true, .. }));
    assert!(matches!(one("create unique index i on t (a)"), Command::CreateIndex(index) if index.unique));
    assert_eq!(error("create unique index i on t (a) nulls not distinct").0, "0A000");
    assert_eq!(error("create function f() returns int").0, "0A000");
}

#[test]
fn drops() {
    let Command::Drop(drop) = one("drop materialized view if exists a, s.b cascade") else { panic!() };
    assert_eq!(drop.kind, ObjectKind::MaterializedView);
    assert_eq!((drop.names.len(), drop.if_exists, drop.cascade), (2, true, true));
    assert!(matches!(one("drop table millrace.public.t restrict"), Command::Drop(_)));
    assert_eq!(error("drop table other.public.t").0, "0A000");
}

#[test]
fn copies() {
    let Command::Copy(copy) = one("copy t (a, b) from stdin with (format csv, header, delimiter ';', null 'x')") else {
        panic!()
    };
    assert_eq!(copy.direction, CopyDirection::FromStdin);
    assert_eq!(
        copy.options,
        CopyOptions {
            csv: true,
            delimiter: Some(b';'),
            null: Some("x".into()),
            header: true,
            quote: None,
            escape: None
        }
    );
    let Command::Copy(copy) = one("copy t to stdout csv header delimiter as ','") else { panic!() };
    assert!(copy.options.csv && copy.options.header);
    assert!(matches!(one("COPY  t FROM STDIN "), Command::Copy(Copy { what: CopyWhat::Table { .. }, .. })));
    assert!(matches!(one("copy (select 1) to stdout"), Command::Copy(Copy { what: CopyWhat::Query(_), .. })));
    assert!(matches!(one("copy (subscribe v) to stdout"), Command::Copy(Copy { what: CopyWhat::Subscribe(_), .. })));
    assert_eq!(error("copy t from '/etc/passwd'").0, "42501");
    assert_eq!(error("copy t from stdin (format binary)").0, "0A000");
    assert_eq!(error("copy t from stdin (quote '\"')").0, "0A000");
}

#[test]
fn settings_and_transactions() {
    let set = |text: &str| match one(text) {
        Command::Set(set) => (set.name, set.value, set.local),
        other => panic!("{other:?}"),
    };
    assert_eq!(set("set search_path to a, \"B\""), ("search_path".into(), Some("a, B".into()), false));
    assert_eq!(set("SET LOCAL statement_timeout = 500"), ("statement_timeout".into(), Some("500".into()), true));
    assert_eq!(set("set session x.y = -1.5"), ("x.y".into(), Some("-1.5".into()), false));
    assert_eq!(set("set time zone 'Europe/Berlin'"), ("timezone".into(), Some("Europe/Berlin".into()), false));
    assert_eq!(set("set extra_float_digits = default"), ("extra_float_digits".into(), None, false));
    assert_eq!(set("set client_encoding to 'UTF8'").0, "client_encoding");
    assert!(matches!(one("show all"), Command::Show(Show::All)));
    let Command::Show(Show::Setting(name)) = one("show transaction isolation level") else { panic!() };
    assert_eq!(name, "transaction_isolation");
    assert!(matches!(one("reset all"), Command::Reset(None)));
    assert!(matches!(one("discard all"), Command::Discard(Discard::All)));
    let Command::Begin { modes } = one("begin transaction isolation level repeatable read, read only") else {
        panic!()
    };
    assert_eq!(modes, [TransactionMode::Isolation("repeatable read".into()), TransactionMode::ReadOnly(true)]);
    assert!(matches!(one("start transaction"), Command::Begin { .. }));
    assert!(matches!(one("end"), Command::Commit { chain: false }));
    assert!(matches!(one("abort work and chain"), Command::Rollback { chain: true }));
    assert!(matches!(one("rollback to savepoint a"), Command::RollbackTo(_)));
    assert!(matches!(one("release a"), Command::Release(_)));
    assert!(matches!(
        one("set session characteristics as transaction read write"),
        Command::SetTransaction { session: true, .. }
    ));
    assert!(matches!(one("listen c"), Command::Listen(_)));
    assert!(matches!(one("unlisten *"), Command::Unlisten(None)));
    assert_eq!(error("alter table t add column a int").0, "0A000");
    assert_eq!(error("vacuum").0, "0A000");
}

#[test]
fn cursors_and_prepared_statements() {
    let Command::Declare(declare) = one("declare c no scroll cursor with hold for select 1") else { panic!() };
    assert!(declare.hold && !declare.scroll);
    let Command::Fetch(fetch) = one("fetch 10 from c with (timeout = '1s')") else { panic!() };
    assert_eq!((fetch.count, fetch.timeout.as_deref()), (FetchCount::Rows(10), Some("1s")));
    for (text, count) in [
        ("fetch c", FetchCount::Rows(1)),
        ("fetch next from c", FetchCount::Rows(1)),
        ("fetch forward 5 in c", FetchCount::Rows(5)),
        ("fetch forward all from c", FetchCount::All),
        ("fetch all c", FetchCount::All),
    ] {
        let Command::Fetch(fetch) = one(text) else { panic!("{text}") };
        assert_eq!((fetch.count, fetch.cursor.as_str()), (count, "c"), "{text}");
    }
    assert!(matches!(one("move 2 from c"), Command::Move(_)));
    assert_eq!(error("fetch backward 1 from c").0, "0A000");
    assert!(matches!(one("close all"), Command::Close(None)));
    let Command::Prepare { types, statement, .. } = one("prepare p (int, text) as select $1, $2") else { panic!() };
    assert_eq!(types, [SqlType::Int4, SqlType::Text]);
    assert_eq!(statement.text, "select $1, $2");
    let Command::Execute { arguments, .. } = one("execute p (1, 'a')") else { panic!() };
    assert_eq!(arguments.len(), 2);
    assert!(matches!(one("deallocate prepare all"), Command::Deallocate(None)));
}

#[test]
fn subscriptions_and_explain() {
    let Command::Subscribe(subscribe) = one("subscribe to v as of 17 with (snapshot = false, progress)") else {
        panic!()
    };
    assert!(matches!(subscribe.to, SubscribeTo::Name(_)));
    assert!(matches!(subscribe.as_of, Some(ast::Expr::Value(_))));
    assert!(!subscribe.snapshot && subscribe.progress);
    let Command::Subscribe(subscribe) = one("subscribe (select 1)") else { panic!() };
    assert!(matches!(subscribe.to, SubscribeTo::Query(ViewQuery { text, .. }) if text == "select 1"));
    let Command::Explain(explain) = one("explain (analyze, verbose off) select 1") else { panic!() };
    assert!(explain.analyze && !explain.verbose);
    let Command::Explain(explain) = one("explain materialized view v") else { panic!() };
    assert!(matches!(explain.what, ExplainWhat::MaterializedView(_)));
    assert!(matches!(one("explain create materialized view v as select 1"), Command::Explain(_)));
    assert!(matches!(one("explain (select 1)"), Command::Explain(_)));
}
