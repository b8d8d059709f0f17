//! Every query of `sql-tests/functions` by DataFusion with our registry and rules; the expected rows are PostgreSQL's.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::Array;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::collect;
use sqllogictest::{DefaultColumnType, QueryExpect, Record, parse_file};

use crate::catalog::Catalog;
use crate::sql::physical::{BatchLimits, physical_plan, session_state};
use crate::sql::{Command, NoSystemRelations, PlanContext, Planner, parse};
use crate::types::text::{TextStyle, TextWriter};
use crate::types::{Error, Result};

/// The rows of a query as text; NULL is `NULL`.
fn rows_of(sql: &str) -> Result<Vec<String>> {
    let context = PlanContext {
        user: "millrace".into(),
        search_path: vec!["public".into()],
        time_zone: "UTC".into(),
        now: Some(1_770_000_000_123_456),
        settings: vec![],
    };
    let catalog = Catalog::default();
    let planner = Planner::new(&catalog, &context, &NoSystemRelations);
    let Command::Query(query) = parse(sql)?.remove(0).command else { panic!("{sql} is a query") };
    let planned = planner.query(&query, &[])?;
    // Batches of few rows, so that what one row needs does not depend on its neighbours.
    let state = session_state(
        Arc::new(RuntimeEnv::default()),
        BatchLimits { partitions: 1, batch_rows: 2 },
        &context.time_zone,
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    let batches = runtime.block_on(async {
        let plan = physical_plan(&planned.logical, &|_| Err(Error::internal("there are no relations")), &state).await?;
        Ok::<_, Error>(collect(plan, Arc::new(TaskContext::from(&state))).await?)
    })?;
    let mut rows = vec![];
    for batch in batches {
        let columns = batch.columns().iter().zip(&planned.columns.columns);
        let writers = columns
            .map(|(values, column)| TextWriter::new(values, &column.sql_type, &TextStyle::default()))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let cell = |(place, writer): (usize, &TextWriter)| {
                let mut text = String::new();
                match batch.column(place).is_null(row) {
                    true => text.push_str("NULL"),
                    false => writer.write(row, &mut text),
                }
                text
            };
            let row = writers.iter().enumerate().map(cell).collect::<Vec<_>>().join(" ");
            rows.push(if row.is_empty() { "(empty)".into() } else { row.trim().to_string() });
        }
    }
    Ok(rows)
}

/// What is wrong with one record of a file, if anything is.
fn complaint(record: Record<DefaultColumnType>) -> Option<String> {
    let Record::Query { sql, expected, .. } = record else {
        return None;
    };
    let found = rows_of(&sql);
    match (expected, found) {
        (QueryExpect::Results { results, .. }, Ok(rows)) => {
            // Empty text is written out in the files, so that it is seen.
            let wanted: Vec<String> =
                results.iter().map(|line| line.replace("(empty)", "").trim().to_string()).collect();
            (rows != wanted).then(|| format!("{sql}\n  wanted {wanted:?}\n  found  {rows:?}"))
        }
        (QueryExpect::Error(wanted), Err(error)) => {
            let text = format!("({}) {error}", error.state());
            (!wanted.is_match(&text, Some(error.state().code())))
                .then(|| format!("{sql}\n  wanted {wanted}\n  found  {text}"))
        }
        (QueryExpect::Results { results, .. }, Err(error)) => {
            Some(format!("{sql}\n  wanted {results:?}\n  found  {error:?}"))
        }
        (QueryExpect::Error(wanted), Ok(rows)) => Some(format!("{sql}\n  wanted {wanted}\n  found  {rows:?}")),
    }
}

#[test]
fn functions_answer_as_postgresql_does() {
    let mut complaints = vec![];
    let mut files: Vec<_> = std::fs::read_dir(Path::new("sql-tests/functions"))
        .expect("the tests are there")
        .map(|entry| entry.expect("the directory can be read").path())
        .collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "slt")) {
        let records = parse_file::<DefaultColumnType>(file).expect("the file is well-formed");
        for record in records {
            complaints.extend(complaint(record).map(|text| format!("{}: {text}", file.display())));
        }
    }
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}
