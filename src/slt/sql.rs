//! What the runner must know of a statement's text: what kind it is, how a query is ordered, the rows of an INSERT.

use sqlparser::ast::{Expr, ObjectType, OrderByKind, Query, SelectItem, SetExpr, Statement, Value};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

/// More rows than this are fed in this many pieces instead of one by one.
const PIECES_MAX: usize = 200;

/// What a statement is to the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Query,
    /// Makes something empty: it can be run before any data.
    Define,
    /// Changes rows.
    Change,
    /// Everything else keeps its place among the definitions.
    Other,
}

pub fn kind(sql: &str) -> Kind {
    let words: Vec<String> = sql
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .take(4)
        .map(str::to_uppercase)
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["SELECT" | "VALUES" | "TABLE" | "WITH", ..] => Kind::Query,
        ["INSERT" | "UPDATE" | "DELETE" | "TRUNCATE", ..] => Kind::Change,
        ["CREATE", "TABLE", ..] if defines_rows(sql) => Kind::Other,
        ["CREATE", "TABLE" | "VIEW" | "INDEX" | "SCHEMA", ..]
        | ["CREATE", "UNIQUE", "INDEX", ..]
        | ["CREATE", "MATERIALIZED", "VIEW", ..] => Kind::Define,
        _ => Kind::Other,
    }
}

pub fn is_query(sql: &str) -> bool {
    kind(sql) == Kind::Query
}

fn defines_rows(sql: &str) -> bool {
    sql.split_whitespace().any(|word| word.eq_ignore_ascii_case("as") || word.eq_ignore_ascii_case("select"))
}

/// How a query orders its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Unordered,
    /// By columns of its output (from 0), each with the text of its direction.
    Columns(Vec<(usize, String)>),
    /// By something that is not in its output.
    Hidden,
}

impl Order {
    pub fn of(sql: &str) -> Order {
        let Some(query) = parse_query(sql) else {
            return Order::Hidden;
        };
        let Some(order) = &query.order_by else {
            return Order::Unordered;
        };
        let OrderByKind::Expressions(keys) = &order.kind else {
            return Order::Hidden;
        };
        let outputs = outputs(&query.body);
        let column = |key: &Expr| match key {
            Expr::Value(value) => match &value.value {
                Value::Number(number, _) => number.parse::<usize>().ok()?.checked_sub(1),
                _ => None,
            },
            other => outputs.iter().position(|names| names.contains(&other.to_string())),
        };
        let keys: Option<Vec<_>> = keys.iter().map(|key| Some((column(&key.expr)?, key.options.to_string()))).collect();
        keys.map_or(Order::Hidden, Order::Columns)
    }

    /// The clause that orders the rows of a view over the query as the query is ordered.
    pub fn clause(&self) -> String {
        match self {
            Order::Columns(keys) if !keys.is_empty() => {
                let keys: Vec<String> = keys.iter().map(|(column, how)| format!("{}{how}", column + 1)).collect();
                format!(" ORDER BY {}", keys.join(", "))
            }
            _ => String::new(),
        }
    }
}

/// The texts by which ORDER BY can name each output column. A wildcard ends what is known of positions.
fn outputs(body: &SetExpr) -> Vec<Vec<String>> {
    let SetExpr::Select(select) = body else {
        return match body {
            SetExpr::SetOperation { left, .. } => outputs(left),
            SetExpr::Query(query) => outputs(&query.body),
            _ => Vec::new(),
        };
    };
    let names = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) => {
            let mut names = vec![expr.to_string()];
            if let Expr::CompoundIdentifier(parts) = expr {
                names.extend(parts.last().map(|part| part.to_string()));
            }
            Some(names)
        }
        SelectItem::ExprWithAlias { expr, alias } => Some(vec![alias.to_string(), expr.to_string()]),
        _ => None,
    };
    select.projection.iter().map_while(names).collect()
}

fn parse_query(sql: &str) -> Option<Query> {
    match Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?.pop()? {
        Statement::Query(query) => Some(*query),
        _ => None,
    }
}

/// The tables that a CREATE TABLE makes or a DROP TABLE takes away.
pub fn table_names(sql: &str) -> Vec<String> {
    let Some(statement) = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok().and_then(|mut parsed| parsed.pop()) else {
        return Vec::new();
    };
    match statement {
        Statement::CreateTable(table) => vec![table.name.to_string()],
        Statement::Drop { object_type: ObjectType::Table, names, .. } => {
            names.iter().map(ToString::to_string).collect()
        }
        _ => Vec::new(),
    }
}

/// An INSERT of several rows as INSERTs of one row each, where that means the same. `None` if it stays as it is.
pub fn row_by_row(sql: &str) -> Option<Vec<String>> {
    let Statement::Insert(insert) = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?.pop()? else {
        return None;
    };
    let SetExpr::Values(values) = insert.source.as_ref()?.body.as_ref() else {
        return None;
    };
    let reads = sql.to_uppercase().contains("SELECT");
    if values.rows.len() < 2 || insert.on.is_some() || insert.returning.is_some() || reads {
        return None;
    }
    let piece_rows = values.rows.len().div_ceil(PIECES_MAX);
    let piece = |rows: &[sqlparser::ast::Parens<Vec<Expr>>]| {
        let mut piece = insert.clone();
        if let Some(source) = &mut piece.source
            && let SetExpr::Values(values) = source.body.as_mut()
        {
            values.rows = rows.to_vec();
        }
        Statement::Insert(piece).to_string()
    };
    Some(values.rows.chunks(piece_rows).map(piece).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        assert_eq!(kind("select 1"), Kind::Query);
        assert_eq!(kind("(SELECT 1) UNION SELECT 2"), Kind::Query);
        assert_eq!(kind("CREATE TABLE t (a int)"), Kind::Define);
        assert_eq!(kind("CREATE TABLE t AS SELECT 1"), Kind::Other);
        assert_eq!(kind("DROP TABLE t"), Kind::Other);
        assert_eq!(kind("INSERT INTO t VALUES (1)"), Kind::Change);
    }

    #[test]
    fn orders() {
        assert_eq!(Order::of("SELECT a FROM t"), Order::Unordered);
        assert_eq!(Order::of("SELECT a, b AS x FROM t ORDER BY x DESC, 1").clause(), " ORDER BY 2 DESC, 1");
        assert_eq!(Order::of("SELECT t.a, a + 1 FROM t ORDER BY a + 1, a").clause(), " ORDER BY 2, 1");
        assert_eq!(Order::of("SELECT a FROM t ORDER BY b"), Order::Hidden);
        assert_eq!(Order::of("SELECT *, a FROM t ORDER BY a"), Order::Hidden);
    }

    #[test]
    fn inserts_are_split() {
        let split = row_by_row("INSERT INTO t (a, b) VALUES (1, 'x'), (2, NULL)").unwrap();
        assert_eq!(split, ["INSERT INTO t (a, b) VALUES (1, 'x')", "INSERT INTO t (a, b) VALUES (2, NULL)"]);
        assert_eq!(row_by_row("INSERT INTO t VALUES (1), (2) RETURNING a"), None);
        assert_eq!(row_by_row("INSERT INTO t SELECT 1"), None);
    }
}
