//! Functions that give sets of rows: unnest, generate_series and their like, in FROM and in the SELECT list.
//!
//! Each is an array that is unnested: the array is computed beside the columns of the rows, then the node that unnests
//! repeats them. Several in one SELECT list go side by side, the shorter ones filled up with NULLs.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, UnnestOptions};
use datafusion::logical_expr::expr::Unnest;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit};
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, ObjectName, TableAlias};

use super::Binder;
use super::cast::explicit;
use super::expression::Place;
use super::from::FromItem;
use super::function::Call;
use super::output::{Item, type_of};
use super::scope::{Scope, ScopeTable, Visible};
use crate::sql::statement::{fold, position_of};
use crate::types::{Error, Result, SqlState, SqlType};

/// How deep set-returning functions may stand in one another.
const DEPTH_MAX: usize = 8;

impl Binder<'_> {
    /// The rows of a set-returning function, as an element of the unnested array; None for other functions.
    pub(super) fn set_function(&mut self, call: &Call, schema: &datafusion::common::DFSchema) -> Result<Option<Expr>> {
        let rows = |array: Expr| Expr::Unnest(Unnest::new(array));
        let arguments = call.arguments.as_slice();
        Ok(Some(match (call.name.as_str(), arguments) {
            ("unnest", [array]) => {
                let SqlType::Array(_) = type_of(array, schema)? else {
                    let message = "function unnest(unknown) is not unique";
                    return Err(Error::new(SqlState::AMBIGUOUS_FUNCTION, message)
                        .with_hint(
                            "Could not choose a best candidate function. You might need to add explicit type casts.",
                        )
                        .at(call.position));
                };
                rows(array.clone())
            }
            ("generate_series", [_, _] | [_, _, _]) => self.series(arguments, schema)?,
            ("generate_subscripts", [array, dimension]) => {
                let length = self.scalar("array_length")?.call(vec![array.clone(), dimension.clone()]);
                let last = explicit(length, &SqlType::Int8);
                explicit(rows(self.scalar("generate_series")?.call(vec![lit(1_i64), last])), &SqlType::Int4)
            }
            ("string_to_table", _) => rows(self.scalar("string_to_array")?.call(arguments.to_vec())),
            ("regexp_split_to_table", _) => rows(self.scalar("regexp_split_to_array")?.call(arguments.to_vec())),
            _ => return Ok(None),
        }))
    }

    /// Of int4, bigint or timestamps; DataFusion's own series are of bigint and timestamps.
    fn series(&mut self, arguments: &[Expr], schema: &datafusion::common::DFSchema) -> Result<Expr> {
        let mut types = Vec::new();
        for argument in arguments {
            types.push(type_of(argument, schema)?);
        }
        let function = self.scalar("generate_series")?;
        let series = |arguments: Vec<Expr>| Expr::Unnest(Unnest::new(function.call(arguments)));
        let is_small = |found: &SqlType| matches!(found, SqlType::Int2 | SqlType::Int4 | SqlType::Unknown);
        let wide = |result: Option<&SqlType>| {
            let widened = arguments.iter().map(|argument| explicit(argument.clone(), &SqlType::Int8)).collect();
            match result {
                Some(result) => explicit(series(widened), result),
                None => series(widened),
            }
        };
        if types.iter().all(is_small) {
            return Ok(wide(Some(&SqlType::Int4)));
        }
        if types.iter().all(|found| is_small(found) || *found == SqlType::Int8) {
            return Ok(wide(None));
        }
        match &types[0] {
            SqlType::Numeric(_) => Err(Error::unsupported("generate_series of numeric is not supported")
                .with_hint("Use generate_series of bigint, and compute the numbers from it.")),
            SqlType::Date | SqlType::Timestamp | SqlType::Timestamptz if types.len() == 3 => {
                let to = if types[0] == SqlType::Timestamptz { SqlType::Timestamptz } else { SqlType::Timestamp };
                let [start, stop, step] = arguments else { unreachable!("three types are of three arguments") };
                let step = explicit(step.clone(), &SqlType::Interval);
                let moments = series(vec![explicit(start.clone(), &to), explicit(stop.clone(), &to), step]);
                Ok(explicit(moments, &to))
            }
            other => {
                let message = format!("function generate_series({other}, ...) does not exist");
                Err(Error::new(SqlState::UNDEFINED_FUNCTION, message))
            }
        }
    }

    pub(super) fn function_in_from(
        &mut self,
        name: &ObjectName,
        arguments: &[FunctionArg],
        ordinality: bool,
        alias: Option<&TableAlias>,
        left: Option<(&LogicalPlan, &Scope)>,
    ) -> Result<FromItem> {
        let function = self.function_name(name)?;
        let mut expressions = Vec::new();
        for argument in arguments {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => expressions.push(expression.clone()),
                other => {
                    return Err(Error::unsupported(format!("the argument {other} of a function is not supported")));
                }
            }
        }
        if function.name == "unnest" {
            return self.unnest_in_from(&expressions, ordinality, alias, left);
        }
        let list = ast::FunctionArgumentList { duplicate_treatment: None, args: arguments.to_vec(), clauses: vec![] };
        let call = ast::Function {
            name: name.clone(),
            uses_odbc_syntax: false,
            parameters: ast::FunctionArguments::None,
            args: ast::FunctionArguments::List(list),
            filter: None,
            null_treatment: None,
            over: None,
            within_group: vec![],
        };
        let empty = Scope::empty();
        let scope = left.map_or(&empty, |(_, scope)| scope);
        let rows = self.expression(&ast::Expr::Function(call), scope, Place::Select)?;
        self.rows_in_from(&function.name, vec![rows], ordinality, alias, left)
    }

    /// `unnest(a, b)`: the arrays side by side.
    pub(super) fn unnest_in_from(
        &mut self,
        arrays: &[ast::Expr],
        ordinality: bool,
        alias: Option<&TableAlias>,
        left: Option<(&LogicalPlan, &Scope)>,
    ) -> Result<FromItem> {
        let empty = Scope::empty();
        let scope = left.map_or(&empty, |(_, scope)| scope);
        let mut rows = Vec::new();
        for array in arrays {
            let array = self.expression(array, scope, Place::FromFunction)?;
            let SqlType::Array(_) = type_of(&array, &scope.schema)? else {
                let message = "function unnest(unknown) is not unique";
                return Err(Error::new(SqlState::AMBIGUOUS_FUNCTION, message));
            };
            rows.push(Expr::Unnest(Unnest::new(array)));
        }
        self.rows_in_from("unnest", rows, ordinality, alias, left)
    }

    /// Columns of rows, beside the items to the left if they depend on them.
    fn rows_in_from(
        &mut self,
        name: &str,
        mut rows: Vec<Expr>,
        ordinality: bool,
        alias: Option<&TableAlias>,
        left: Option<(&LogicalPlan, &Scope)>,
    ) -> Result<FromItem> {
        let called = alias.map_or(name.to_string(), |alias| fold(&alias.name));
        if ordinality {
            rows.push(self.numbers(&rows[0])?);
        }
        // A function of one column gives it its own name, or the alias's.
        let mut names: Vec<String> = rows.iter().map(|_| called.clone()).collect();
        if ordinality {
            *names.last_mut().expect("the numbers are a column") = "ordinality".into();
        }
        if let Some(alias) = alias {
            if alias.columns.len() > names.len() {
                let message = format!(
                    "table \"{called}\" has {} columns available but {} columns specified",
                    names.len(),
                    alias.columns.len()
                );
                return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(position_of(&alias.name)));
            }
            for (name, given) in names.iter_mut().zip(&alias.columns) {
                *name = fold(&given.name);
            }
        }
        let depends = rows.iter().any(|row| row.any_column_refs());
        match left {
            Some((plan, scope)) if depends => self.rows_beside(plan, scope, &called, names, rows),
            _ => {
                let mut items: Vec<Item> =
                    names.into_iter().zip(rows).map(|(name, expression)| Item { name, expression }).collect();
                let plan = self.unnest_items(LogicalPlanBuilder::empty(true).build()?, &mut items)?;
                let items = items.into_iter().map(|item| (item.name, item.expression)).collect();
                let bound = self.project(plan, items)?;
                let (plan, scope) = self.derived(bound, &called)?;
                Ok(FromItem::Independent(plan, scope))
            }
        }
    }

    /// The positions of the rows of another set.
    fn numbers(&mut self, rows: &Expr) -> Result<Expr> {
        let mut array = rows.clone();
        let array = loop {
            array = match array {
                Expr::Unnest(unnest) => break *unnest.expr,
                Expr::Cast(cast) => *cast.expr,
                other => break other,
            };
        };
        let length = self.scalar("cardinality")?.call(vec![array]);
        let last = explicit(datafusion::logical_expr::cast(length, DataType::Int64), &SqlType::Int8);
        Ok(Expr::Unnest(Unnest::new(self.scalar("generate_series")?.call(vec![lit(1_i64), last]))))
    }

    /// The left rows, each as often as the function gives rows for it, with these.
    fn rows_beside(
        &mut self,
        plan: &LogicalPlan,
        left: &Scope,
        called: &str,
        names: Vec<String>,
        rows: Vec<Expr>,
    ) -> Result<FromItem> {
        let mut items: Vec<Item> =
            rows.into_iter().map(|expression| Item { name: called.to_string(), expression }).collect();
        let plan = self.unnest_items(plan.clone(), &mut items)?;
        let mut computed: Vec<Expr> =
            plan.schema().iter().filter(|(_, field)| !field.name().starts_with("unnested")).map(Expr::from).collect();
        let mut scope = left.clone();
        let mut columns = Vec::new();
        for (name, item) in names.into_iter().zip(items) {
            let unique = self.qualifier(&name);
            computed.push(item.expression.alias(&unique));
            columns.push((name, Expr::Column(Column::new_unqualified(unique))));
        }
        let plan = LogicalPlanBuilder::from(plan).project(computed)?.build()?;
        scope.visible.extend(
            columns.iter().map(|(name, expression)| Visible { name: name.clone(), expression: expression.clone() }),
        );
        scope.tables.push(ScopeTable { name: called.to_string(), schema: None, hidden_name: None, columns, key: None });
        scope.schema = plan.schema().clone();
        Ok(FromItem::Extended(plan, scope))
    }

    /// Replaces what is unnested in the items by columns of a plan that unnests it.
    pub(super) fn unnest_items(&mut self, mut plan: LogicalPlan, items: &mut [Item]) -> Result<LogicalPlan> {
        for _ in 0..DEPTH_MAX {
            let mut arrays: Vec<Expr> = Vec::new();
            for item in items.iter() {
                innermost(&item.expression, &mut arrays)?;
            }
            if arrays.is_empty() {
                return Ok(plan);
            }
            let mut known = Vec::new();
            let mut computed: Vec<Expr> = plan.schema().iter().map(Expr::from).collect();
            for array in arrays {
                let array_type = array.get_type(plan.schema())?;
                if !matches!(array_type, DataType::List(_) | DataType::LargeList(_)) {
                    return Err(Error::internal(format!("unnest of {array_type}")));
                }
                let column = Column::new_unqualified(self.qualifier("unnested"));
                computed.push(array.clone().alias(&column.name));
                known.push((array, column));
            }
            let columns = known.iter().map(|(_, column)| column.clone()).collect();
            plan = LogicalPlanBuilder::from(plan)
                .project(computed)?
                .unnest_columns_with_options(columns, UnnestOptions::new().with_preserve_nulls(false))?
                .build()?;
            for item in items.iter_mut() {
                let expression = std::mem::take(&mut item.expression);
                item.expression = expression
                    .transform_up(|expression| match &expression {
                        Expr::Unnest(unnest) => match known.iter().find(|(array, _)| *array == *unnest.expr) {
                            Some((_, column)) => Ok(Transformed::yes(Expr::Column(column.clone()))),
                            None => Ok(Transformed::no(expression)),
                        },
                        _ => Ok(Transformed::no(expression)),
                    })
                    .data()?;
            }
        }
        Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, "set-returning functions are nested too deep"))
    }
}

/// Adds the arrays that are unnested and hold nothing that is unnested themselves.
fn innermost(expression: &Expr, arrays: &mut Vec<Expr>) -> Result<()> {
    expression.apply(|expression| {
        if let Expr::Unnest(unnest) = expression {
            let is_innermost = !unnest.expr.exists(|inner| Ok(matches!(inner, Expr::Unnest(_))))?;
            if is_innermost && !arrays.contains(&unnest.expr) {
                arrays.push(unnest.expr.as_ref().clone());
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}
