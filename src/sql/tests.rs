//! Queries over a small catalog: what they are planned to, what they give, and how they fail.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::collect;

use super::physical::{BatchLimits, physical_plan, session_state};
use super::*;
use crate::catalog::{Catalog, Entry, Item, Table, View};
use crate::types::{Column, Error, Relation, Result, SqlType};

const NOW: u64 = 1_770_000_000_123_456;

struct World {
    catalog: Catalog,
    context: PlanContext,
}

fn column(name: &str, sql_type: SqlType) -> Column {
    Column::new(name, sql_type, true)
}

/// Tables t (a int PRIMARY KEY, b text, c bigint DEFAULT 7) and u (a int, d text); views on them.
fn world() -> World {
    let mut catalog = Catalog::default();
    let mut t = Relation::new(vec![
        Column::new("a", SqlType::Int4, false),
        column("b", SqlType::Text),
        column("c", SqlType::Int8),
    ]);
    t.key = Some(vec![0]);
    let table = |relation: Relation, defaults| Item::Table(Table { relation, defaults, definition: String::new() });
    catalog.create("public", "t", table(t, vec![None, None, Some("7".into())]), vec![]).unwrap();
    let u = Relation::new(vec![column("a", SqlType::Int4), column("d", SqlType::Text)]);
    catalog.create("public", "u", table(u, vec![None, None]), vec![]).unwrap();
    let context = PlanContext {
        user: "millrace".into(),
        search_path: vec!["public".into()],
        time_zone: "UTC".into(),
        now: Some(NOW),
        settings: vec![("statement_timeout".into(), "0".into())],
    };
    let mut world = World { catalog, context };
    world.create_view("v", "select a as x, b from t where a < 3");
    world.create_view("w", "select x + 1 as y from v");
    world
}

fn t_rows() -> Vec<ArrayRef> {
    vec![
        Arc::new(Int32Array::from(vec![1, 2, 3])),
        Arc::new(StringArray::from(vec![Some("x"), Some("y"), None])),
        Arc::new(Int64Array::from(vec![Some(10), None, Some(30)])),
    ]
}

fn u_rows() -> Vec<ArrayRef> {
    vec![
        Arc::new(Int32Array::from(vec![Some(1), Some(1), Some(4), None])),
        Arc::new(StringArray::from(vec!["p", "q", "r", "s"])),
    ]
}

impl World {
    fn create_view(&mut self, name: &str, query: &str) {
        let planned = self.planner().view(&parse_query(query).unwrap(), &[]).unwrap();
        let search_path = self.context.search_path.clone();
        let view = View { relation: planned.columns, query: query.into(), search_path };
        self.catalog.create("public", name, Item::View(view), planned.depends_on).unwrap();
    }

    fn planner(&self) -> Planner<'_> {
        Planner::new(&self.catalog, &self.context, &NoSystemRelations)
    }

    fn query(&self, text: &str) -> Result<Planned> {
        let mut statements = parse(text)?;
        match statements.remove(0).command {
            Command::Query(query) => self.planner().query(&query, &[]),
            other => panic!("{other:?}"),
        }
    }

    fn entry(&self, name: &str) -> &Entry {
        self.catalog.relation(None, name, &self.context.search_path).unwrap()
    }

    fn error(&self, text: &str) -> Error {
        self.query(text).err().unwrap_or_else(|| panic!("{text} is planned"))
    }

    /// State, message and position of the error.
    fn fails(&self, text: &str) -> (String, String, Option<usize>) {
        let error = self.error(text);
        (error.state().to_string(), error.message().to_string(), error.position())
    }

    fn rows(&self, text: &str) -> Vec<String> {
        let planned = self.query(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        self.run(&planned)
    }

    /// Each row as its values, comma-separated.
    fn run(&self, planned: &Planned) -> Vec<String> {
        let provider = |reference: &RelationRef| {
            let RelationRef::Object(id) = reference else { panic!("no system relations here") };
            let entry = self.catalog.get(*id).unwrap();
            let schema = entry.relation().unwrap().schema();
            let arrays = if entry.name == "t" { t_rows() } else { u_rows() };
            let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
            Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap()) as _)
        };
        let limits = BatchLimits { partitions: 1, batch_rows: 1024 };
        let state = session_state(Arc::new(RuntimeEnv::default()), limits, &self.context.time_zone);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let batches = runtime.block_on(async {
            let plan = physical_plan(&planned.logical, &provider, &state).await.unwrap();
            collect(plan, Arc::new(TaskContext::from(&state))).await.unwrap()
        });
        let mut rows = Vec::new();
        for batch in batches {
            assert_types(&batch.schema(), &planned.columns);
            let options = FormatOptions::default().with_null("-");
            let formatters: Vec<_> =
                batch.columns().iter().map(|array| ArrayFormatter::try_new(array, &options).unwrap()).collect();
            for row in 0..batch.num_rows() {
                let values: Vec<_> = formatters.iter().map(|formatter| formatter.value(row).to_string()).collect();
                rows.push(values.join(","));
            }
        }
        rows
    }

    fn sorted(&self, text: &str) -> Vec<String> {
        let mut rows = self.rows(text);
        rows.sort();
        rows
    }

    fn names(&self, text: &str) -> Vec<String> {
        let planned = self.query(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        planned.columns.columns.into_iter().map(|column| column.name).collect()
    }

    fn types(&self, text: &str) -> Vec<String> {
        let planned = self.query(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        planned.columns.columns.into_iter().map(|column| column.sql_type.to_string()).collect()
    }

    fn parameters(&self, text: &str) -> Vec<String> {
        let planned = self.query(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        planned.parameters.iter().map(SqlType::to_string).collect()
    }

    fn insert(&self, text: &str) -> Result<InsertPlan> {
        match parse(text)?.remove(0).command {
            Command::Insert(insert) => self.planner().insert(&insert, &[]),
            other => panic!("{other:?}"),
        }
    }

    fn insert_fails(&self, text: &str) -> (String, String) {
        let error = self.insert(text).err().unwrap_or_else(|| panic!("{text} is planned"));
        (error.state().to_string(), error.message().to_string())
    }
}

fn assert_types(schema: &Schema, columns: &Relation) {
    for (field, column) in schema.fields().iter().zip(&columns.columns) {
        assert_eq!(SqlType::of_field(field), column.sql_type, "{}", column.name);
    }
}

#[test]
fn names_are_postgresql_s() {
    let world = world();
    let names = |text| world.names(text).join(" ");
    assert_eq!(names("select 1, 'a', null, -1, a + 1 from t"), "?column? ?column? ?column? ?column? ?column?");
    assert_eq!(names("select a, t.a, \"a\" from t"), "a a a");
    assert_eq!(names("select count(*), count(*), sum(a), max(b) from t"), "count count sum max");
    assert_eq!(names("select 1::bigint, a::text, '1'::numeric(4,2), date '2026-01-01' from t"), "int8 a numeric date");
    assert_eq!(names("select case when true then 1 end, case when true then 1 else a end from t"), "case a");
    assert_eq!(
        names("select coalesce(a, 1), exists (select 1), array[1], true from t"),
        "coalesce exists array ?column?"
    );
    assert_eq!(names("select (select d from u limit 1), (select 1 as one)"), "d one");
    assert_eq!(names("select *, * from t"), "a b c a b c");
    assert_eq!(names("select t.*, u.* from t, u"), "a b c a d");
    assert_eq!(names("values (1, 2)"), "column1 column2");
    assert_eq!(names("select now(), current_user, current_date"), "now current_user current_date");
    assert_eq!(names("select a as \"X y\", b AS C from t"), "X y c");
    assert_eq!(names("table u"), "a d");
}

#[test]
fn duplicate_names_are_allowed() {
    let world = world();
    assert_eq!(world.rows("select 1, 1"), ["1,1"]);
    assert_eq!(world.rows("select a, a from t order by 1"), ["1,1", "2,2", "3,3"]);
    assert_eq!(world.rows("select count(*), count(*) from t"), ["3,3"]);
    assert_eq!(world.rows("select * from (select a, b from t) s, (select 9 as a) r where s.a = 1"), ["1,x,9"]);
    assert_eq!(world.fails("select a from (select 1 as a, 2 as a) s").0, "42702");
    let query = parse_query("select 1 as a, 2 as a").unwrap();
    assert_eq!(world.planner().view(&query, &[]).unwrap_err().state().code(), "42701");
    assert!(world.planner().view(&query, &["x".into()]).is_ok());
}

#[test]
fn names_are_looked_up_as_postgresql_does() {
    let world = world();
    let near = world.error("select aa from t");
    assert_eq!(near.hint(), Some("Perhaps you meant to reference the column \"t.a\"."));
    assert_eq!(world.fails("select  zz from t"), ("42703".into(), "column \"zz\" does not exist".into(), Some(9)));
    assert_eq!(world.fails("select t.zz from t"), ("42703".into(), "column t.zz does not exist".into(), Some(8)));
    assert_eq!(
        world.fails("select a from t, u"),
        ("42702".into(), "column reference \"a\" is ambiguous".into(), Some(8))
    );
    assert_eq!(
        world.fails("select x.a from t"),
        ("42P01".into(), "missing FROM-clause entry for table \"x\"".into(), Some(8))
    );
    assert_eq!(world.fails("select t.a from t as x").1, "invalid reference to FROM-clause entry for table \"t\"");
    assert_eq!(
        world.fails("select 1 from nosuch"),
        ("42P01".into(), "relation \"nosuch\" does not exist".into(), Some(15))
    );
    assert_eq!(world.fails("select 1 from t, t").0, "42712");
    assert_eq!(world.rows("select t.a from public.t where public.t.a = 1"), ["1"]);
    assert_eq!(world.rows("select a from millrace.public.t where t.a = 1"), ["1"]);
    assert_eq!(world.rows("select \"a\" from t as \"T\" where \"T\".a = 1"), ["1"]);
    assert_eq!(world.fails("select nosuch(a, 'x') from t").1, "function nosuch(integer, unknown) does not exist");
    assert_eq!(world.fails("select nosuch(a) from t").2, Some(8));
    assert_eq!(world.fails("select * from t where a").0, "42804");
}

#[test]
fn grouping() {
    let world = world();
    assert_eq!(world.rows("select a, count(*) from u group by a order by a"), ["1,2", "4,1", "-,1"]);
    assert_eq!(
        world.rows("select a + 1 as k, count(*) from u group by k order by k desc nulls last"),
        ["5,1", "2,2"].iter().map(|row| row.to_string()).chain(["-,1".to_string()]).collect::<Vec<_>>()
    );
    assert_eq!(world.rows("select a + 1, count(*) from u group by 1 having count(*) > 1"), ["2,2"]);
    assert_eq!(world.rows("select a, b, count(*) from t group by a order by a limit 1"), ["1,x,1"]);
    assert_eq!(world.rows("select count(*) filter (where a = 1) from u"), ["2"]);
    assert_eq!(world.rows("select 5 having true"), ["5"]);
    assert_eq!(
        world.fails("select a, d from u group by a"),
        (
            "42803".into(),
            "column \"u.d\" must appear in the GROUP BY clause or be used in an aggregate function".into(),
            Some(11)
        )
    );
    assert_eq!(world.fails("select a from t where count(*) > 1").0, "42803");
    assert_eq!(world.fails("select sum(count(*)) from t").0, "42803");
    assert_eq!(world.fails("select a from t group by 2").0, "42P10");
    assert_eq!(world.sorted("select a, count(*) from u group by rollup (a)"), ["-,1", "-,4", "1,2", "4,1"]);
}

#[test]
fn ordering_and_limits() {
    let world = world();
    assert_eq!(world.rows("select a from t order by b desc, a"), ["3", "2", "1"]);
    assert_eq!(world.rows("select a as b from t order by b desc"), ["3", "2", "1"]);
    assert_eq!(world.rows("select -a as x from t order by a"), ["-1", "-2", "-3"]);
    assert_eq!(world.rows("select a from t order by 1 desc fetch first 2 rows only"), ["3", "2"]);
    assert_eq!(world.rows("select a from t order by a limit '2' offset 1"), ["2", "3"]);
    assert_eq!(world.rows("select a from t order by a limit all"), ["1", "2", "3"]);
    assert_eq!(world.rows("select distinct a from u order by a"), ["1", "4", "-"]);
    assert_eq!(world.rows("select distinct on (a) a, d from u order by a, d desc"), ["1,q", "4,r", "-,s"]);
    assert_eq!(world.fails("select distinct a from u order by d").0, "42P10");
    assert_eq!(
        world.fails("select a from t order by 2"),
        ("42P10".into(), "ORDER BY position 2 is not in select list".into(), Some(26))
    );
    assert_eq!(world.fails("select a from t for update").0, "0A000");
    assert_eq!(world.fails("select a from t tablesample system (10)").0, "0A000");
}

#[test]
fn joins() {
    let world = world();
    assert_eq!(world.sorted("select t.a, d from t join u on t.a = u.a"), ["1,p", "1,q"]);
    assert_eq!(world.sorted("select * from t join u using (a)"), ["1,x,10,p", "1,x,10,q"]);
    assert_eq!(world.sorted("select a, b, d from t natural left join u where a > 1"), ["2,y,-", "3,-,-"]);
    assert_eq!(world.sorted("select a from t full join u using (a)"), ["-", "1", "1", "2", "3", "4"]);
    assert_eq!(world.rows("select count(*) from t, u, t as t2"), ["36"]);
    assert_eq!(world.rows("select count(*) from t cross join u"), ["12"]);
    assert_eq!(world.sorted("select x.k from (t join u on t.a = u.a) as x (k)"), ["1", "1"]);
    assert_eq!(world.fails("select * from t join u using (b)").0, "42703");
}

#[test]
fn subqueries() {
    let world = world();
    assert_eq!(world.sorted("select a from t where a in (select a from u)"), ["1"]);
    assert_eq!(world.sorted("select a from t where exists (select from u where u.a = t.a)"), ["1"]);
    assert_eq!(world.sorted("select a from t where not exists (select 1 from u where u.a = t.a)"), ["2", "3"]);
    assert_eq!(world.sorted("select a, (select count(*) from u where u.a = t.a) from t"), ["1,2", "2,0", "3,0"]);
    assert_eq!(world.rows("select (select max(a) from u)"), ["4"]);
    assert_eq!(
        world.sorted("with s as (select a from t), r (q) as (select a + 1 from s) select q from r"),
        ["2", "3", "4"]
    );
    assert_eq!(
        world.sorted("with recursive r (n) as (select 1 union all select n + 1 from r where n < 3) select n from r"),
        ["1", "2", "3"]
    );
    assert_eq!(world.fails("select (select a, b from t)").1, "subquery must return only one column");
    assert_eq!(world.fails("select a from t where a in (select a, b from t)").1, "subquery has too many columns");
    assert_eq!(world.sorted("select a from t where (a, b) in (select a, 'x' from u)"), ["1"]);
}

#[test]
fn set_operations_and_values() {
    let world = world();
    assert_eq!(world.sorted("select a from t union select a from u"), ["-", "1", "2", "3", "4"]);
    assert_eq!(world.sorted("select a from t intersect select a from u"), ["1"]);
    assert_eq!(world.sorted("select a from t except select a from u"), ["2", "3"]);
    assert_eq!(world.rows("select a, a from t union all select 9, 8 order by 1 desc limit 1"), ["9,8"]);
    assert_eq!(world.types("select 1 union all select 2.5"), ["numeric(11,1)"]);
    assert_eq!(world.rows("select 1 as x union all select '2' order by x"), ["1", "2"]);
    assert_eq!(world.rows("values (1, 'a'), (2, null)"), ["1,a", "2,-"]);
    assert_eq!(world.types("values (1, 'a'), (2, null)"), ["integer", "text"]);
    assert_eq!(world.fails("select 1 union select 1, 2").1, "each UNION query must have the same number of columns");
    assert_eq!(world.fails("select a from t union select d from u").0, "42804");
    assert_eq!(world.fails("values (1), (2, 3)").0, "42601");
}

#[test]
fn comparisons_of_many() {
    let world = world();
    assert_eq!(world.rows("select a from t where a = any (array[1, 5])"), ["1"]);
    assert_eq!(world.rows("select a from t where a <> all (array[1, 2])"), ["3"]);
    assert_eq!(world.rows("select a from t where (a, c) = (1, 10)"), ["1"]);
    assert_eq!(world.sorted("select a from t where (a, c) < (3, 30)"), ["1", "2"]);
    assert_eq!(world.rows("select a from t where (a, c) in ((1, 10), (2, 20))"), ["1"]);
    assert_eq!(world.sorted("select a from t where c is distinct from 10"), ["2", "3"]);
    assert_eq!(world.sorted("select a from t where a between symmetric 2 and 1"), ["1", "2"]);
    assert_eq!(world.sorted("select a from t where c is not distinct from 10 and a < 3 or a = 3"), ["1", "3"]);
    assert_eq!(world.sorted("select a from t where not c is distinct from 10 and a < 3"), ["1"]);
    assert_eq!(world.fails("select 1 where (1, 2) = (1, 2, 3)").0, "42601");
}

#[test]
fn sets_of_rows() {
    let world = world();
    assert_eq!(world.rows("select generate_series(1, 3)"), ["1", "2", "3"]);
    assert_eq!(world.rows("select * from generate_series(2, 4) as g (n)"), ["2", "3", "4"]);
    assert_eq!(world.rows("select g from generate_series(1, 2) g"), ["1", "2"]);
    assert_eq!(world.rows("select unnest(array[1, 2]), unnest(array['a'])"), ["1,a", "2,-"]);
    assert_eq!(world.sorted("select a, n from t, generate_series(1, a) as n where a < 3"), ["1,1", "2,1", "2,2"]);
    assert_eq!(world.rows("select * from unnest(array['a', 'b']) with ordinality as x (v, n)"), ["a,1", "b,2"]);
    assert_eq!(world.fails("select 1 where generate_series(1, 2) = 1").0, "0A000");
}

#[test]
fn windows() {
    let world = world();
    assert_eq!(world.rows("select a, row_number() over (order by a desc) from t order by a"), ["1,3", "2,2", "3,1"]);
    assert_eq!(world.types("select row_number() over () from t"), ["bigint"]);
    assert_eq!(world.sorted("select sum(a) over w from t window w as (order by a)"), ["1", "3", "6"]);
    assert_eq!(world.fails("select 1 from t where row_number() over () = 1").0, "42P20");
}

#[test]
fn literals_and_types() {
    let world = world();
    assert_eq!(
        world.types("select 1, 3000000000, 1.50, 'a', null, true"),
        ["integer", "bigint", "numeric(3,2)", "text", "text", "boolean"]
    );
    assert_eq!(world.rows("select -2147483648, 1e3"), ["-2147483648,1000"]);
    assert_eq!(world.types("select 1e300, 1e-300"), ["double precision", "double precision"]);
    assert_eq!(world.fails("select 1e400").0, "22003");
    assert_eq!(world.types("select -2147483648, now(), current_date"), ["integer", "timestamp with time zone", "date"]);
    assert_eq!(
        world.types("select 'a'::varchar(3), 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid"),
        ["character varying(3)", "uuid"]
    );
    assert_eq!(
        world.rows("select current_setting('statement_timeout'), current_schema, current_database()"),
        ["0,public,millrace"]
    );
}

#[test]
fn views_are_expanded() {
    let world = world();
    assert_eq!(world.sorted("select * from v"), ["1,x", "2,y"]);
    assert_eq!(world.sorted("select v.x, w.y from v join w on v.x = w.y"), ["2,2"]);
    let planned = world.query("select * from w").unwrap();
    assert_eq!(planned.depends_on, [world.entry("w").id]);
    assert_eq!(planned.reads.into_iter().collect::<Vec<_>>(), [RelationRef::Object(world.entry("t").id)]);
    let mut broken = world;
    let view = View {
        relation: Relation::default(),
        query: "select nosuch from t".into(),
        search_path: vec!["public".into()],
    };
    broken.catalog.create("public", "bad", Item::View(view), vec![]).unwrap();
    let error = broken.error("select * from bad");
    assert_eq!((error.state().code(), error.detail()), ("42703", Some("In the view \"bad\".")));
}

#[test]
fn what_may_change_is_reported() {
    let world = world();
    assert_eq!(world.query("select now(), random()").unwrap().volatile, ["now", "random"]);
    assert!(world.query("select a from t").unwrap().volatile.is_empty());
    let mut world = world;
    world.context.now = None;
    assert_eq!(world.fails("select current_timestamp").0, "0A000");
}

#[test]
fn parameters_are_inferred() {
    let world = world();
    assert_eq!(world.parameters("select $1"), ["text"]);
    assert_eq!(world.parameters("select $1::int, $2"), ["integer", "text"]);
    assert_eq!(world.parameters("select a from t where c > $1 and b = $2"), ["bigint", "text"]);
    assert_eq!(world.parameters("select a from t where a between $2 and $1"), ["integer", "integer"]);
    assert_eq!(world.parameters("select a from t where a in ($1, $2)"), ["integer", "integer"]);
    assert_eq!(world.parameters("select a from t where a = any ($1)"), ["integer[]"]);
    assert_eq!(world.parameters("select a from t limit $1 offset $2"), ["bigint", "bigint"]);
    assert_eq!(world.parameters("select a from t where a in (select $1 + a from u)"), ["integer"]);
    assert_eq!(world.fails("select $2::int").0, "42P18");
    let many = (1..=11).map(|n| format!("${n}::{}", if n % 2 == 0 { "int" } else { "text" })).collect::<Vec<_>>();
    let types = world.parameters(&format!("select {}", many.join(", ")));
    assert_eq!((types[1].as_str(), types[9].as_str(), types[10].as_str()), ("integer", "integer", "text"));
    let planned = world.query("select a from t where a = $1 limit $2").unwrap();
    let bound = planned.bind(&[ScalarValue::Int32(Some(2)), ScalarValue::Int64(Some(5))]).unwrap();
    assert_eq!(world.run(&bound), ["2"]);
    assert!(planned.bind(&[]).is_err());
}

#[test]
fn inserts() {
    let world = world();
    let rows = |text: &str| {
        let plan = world.insert(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        world.run(&plan.rows)
    };
    assert_eq!(rows("insert into t values (1, 'x', 2)"), ["1,x,2"]);
    assert_eq!(rows("insert into t values (1, 'x')"), ["1,x,7"]);
    assert_eq!(rows("insert into t (b, a) values ('y', 2), (default, '3')"), ["2,y,7", "3,-,7"]);
    assert_eq!(rows("insert into t default values"), ["-,-,7"]);
    assert_eq!(rows("insert into t (a, c) select a, null from u where a = 4"), ["4,-,-"]);
    assert_eq!(rows("insert into t select 9, 'z'"), ["9,z,7"]);
    let fails = |text: &str| world.insert_fails(text);
    assert_eq!(fails("insert into t (a, nosuch) values (1, 2)").0, "42703");
    assert_eq!(fails("insert into t (a, a) values (1, 2)").0, "42701");
    assert_eq!(fails("insert into t values (1, 'x', 2, 3)").1, "INSERT has more expressions than target columns");
    assert_eq!(fails("insert into t (a, b) values (1)").1, "INSERT has more target columns than expressions");
    assert_eq!(
        fails("insert into t (a) select d from u"),
        ("42804".into(), "column \"a\" is of type integer but expression is of type text".into())
    );
    assert_eq!(fails("insert into v values (1)").0, "42809");
    assert_eq!(fails("insert into nosuch values (1)").0, "42P01");
    let plan = world.insert("insert into t values ($1, $2) returning a + 1 as n, *").unwrap();
    assert_eq!(plan.rows.parameters, [SqlType::Int4, SqlType::Text]);
    let returned: Vec<_> = plan.returning.unwrap().columns.columns.into_iter().map(|column| column.name).collect();
    assert_eq!(returned, ["n", "a", "b", "c"]);
}

#[test]
fn conflicts() {
    let world = world();
    let plan = world.insert("insert into t values (1, 'x') on conflict do nothing").unwrap();
    assert!(matches!(plan.on_conflict.unwrap().action, ConflictAction::Nothing));
    let text =
        "insert into t values (1, 'x') on conflict (a) do update set b = excluded.b || t.b, c = default where t.c > 1";
    let conflict = world.insert(text).unwrap().on_conflict.unwrap();
    assert_eq!(conflict.keys[0].columns, [0]);
    let ConflictAction::Update { assignments, filter } = conflict.action else { panic!() };
    assert_eq!(assignments.iter().map(|assignment| assignment.column).collect::<Vec<_>>(), [1, 2]);
    assert!(filter.is_some());
    let both: Vec<ArrayRef> = t_rows().into_iter().chain(t_rows()).collect();
    let named = both.into_iter().enumerate().map(|(index, array)| (format!("c{index}"), array, true));
    let batch = RecordBatch::try_from_iter_with_nullable(named).unwrap();
    let value = assignments[0].value.evaluate(&batch).unwrap().into_array(3).unwrap();
    let value = value.as_any().downcast_ref::<StringArray>().unwrap();
    assert_eq!((value.value(0), value.value(1)), ("xx", "yy"));
    assert_eq!(world.insert_fails("insert into t values (1) on conflict (b) do nothing").0, "42P10");
    assert_eq!(world.insert_fails("insert into t values (1) on conflict do update set b = 'x'").0, "42601");
}

#[test]
fn updates_and_deletes() {
    let world = world();
    let update = |text: &str| match parse(text).unwrap().remove(0).command {
        Command::Update(update) => world.planner().update(&update, &[]),
        other => panic!("{other:?}"),
    };
    let rows = |text: &str| {
        let mut rows = world.run(&update(text).unwrap_or_else(|error| panic!("{text}: {error:?}")).rows);
        rows.sort();
        rows
    };
    assert_eq!(rows("update t set b = 'z', c = default where a = 1"), ["1,x,10,1,z,7"]);
    assert_eq!(rows("update t as x set (a, b) = (x.a + 1, d) from u where x.a = u.a and d = 'p'"), ["1,x,10,2,p,10"]);
    assert_eq!(rows("update t set c = 0 from u where t.a = u.a"), ["1,x,10,1,x,0"]);
    assert_eq!(update("update t set a = 'q' || b").unwrap_err().state().code(), "42804");
    assert_eq!(update("update t set nosuch = 1").unwrap_err().state().code(), "42703");
    assert_eq!(update("update v set x = 1").unwrap_err().state().code(), "42809");
    let delete = |text: &str| match parse(text).unwrap().remove(0).command {
        Command::Delete(delete) => world.planner().delete(&delete, &[]),
        other => panic!("{other:?}"),
    };
    let gone = |text: &str| {
        let mut rows = world.run(&delete(text).unwrap_or_else(|error| panic!("{text}: {error:?}")).rows);
        rows.sort();
        rows
    };
    assert_eq!(gone("delete from t where a = 2"), ["2,y,-"]);
    assert_eq!(gone("delete from t using u where t.a = u.a"), ["1,x,10"]);
    assert_eq!(gone("delete from u").len(), 4);
}

#[test]
fn single_expressions() {
    let world = world();
    let constant =
        |text: &str, wanted: Option<&SqlType>| world.planner().constant(&parse_expression(text).unwrap(), wanted);
    assert_eq!(constant("1 + 1", None).unwrap(), ScalarValue::Int32(Some(2)));
    assert_eq!(constant("'5'", Some(&SqlType::Int8)).unwrap(), ScalarValue::Int64(Some(5)));
    assert_eq!(constant("upper('a')", Some(&SqlType::Text)).unwrap(), ScalarValue::Utf8(Some("A".into())));
    assert!(constant("a", None).is_err());
    let copy =
        world.planner().copy_from(&statement::Name::of_parts(vec!["t".into()], 1).unwrap(), &["b".into()]).unwrap();
    assert_eq!((copy.copied.columns.len(), copy.complete.expressions.len()), (1, 3));
}
