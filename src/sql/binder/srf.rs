//! Functions that give sets of rows: unnest, generate_series and their like, in FROM and in the SELECT list.
//!
//! Each is an array that is unnested: the array is computed beside the columns of the rows, then the node that unnests
//! repeats them. Several in one SELECT list go side by side, the shorter ones filled up with NULLs. A generate_series()
//! that stands alone is a node of its own (see `series`), since its array might not fit memory.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, UnnestOptions};
use datafusion::logical_expr::expr::Unnest;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit};
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, ObjectName, TableAlias};

use super::Binder;
use super::expression::Place;
use super::from::FromItem;
use super::function::Call;
use super::output::{Item, type_of};
use super::scope::{Scope, ScopeTable, Visible};
use super::series::series_arguments;
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
            ("generate_series", [_, _] | [_, _, _]) => rows(self.series(call, schema)?),
            ("generate_subscripts", [array, dimension]) => {
                let length = self.scalar("array_length")?.call(vec![array.clone(), dimension.clone()]);
                rows(self.series_of(&SqlType::Int4, lit(1), length, lit(1))?)
            }
            ("string_to_table", _) => rows(self.scalar("string_to_array")?.call(arguments.to_vec())),
            ("regexp_split_to_table", _) => rows(self.scalar("regexp_split_to_array")?.call(arguments.to_vec())),
            _ => return Ok(None),
        }))
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
        rows: Vec<Expr>,
        ordinality: bool,
        alias: Option<&TableAlias>,
        left: Option<(&LogicalPlan, &Scope)>,
    ) -> Result<FromItem> {
        let called = alias.map_or(name.to_string(), |alias| fold(&alias.name));
        // A function of one column gives it its own name, or the alias's.
        let mut names: Vec<String> = rows.iter().map(|_| called.clone()).collect();
        if ordinality {
            names.push("ordinality".into());
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
            Some((plan, scope)) if depends => self.rows_beside(plan, scope, &called, names, rows, ordinality),
            _ => {
                let one_row = LogicalPlanBuilder::empty(true).build()?;
                let (plan, columns) = self.set_rows(one_row, rows, ordinality)?;
                let bound = self.project(plan, names.into_iter().zip(columns).collect())?;
                let (plan, scope) = self.derived(bound, &called)?;
                Ok(FromItem::Independent(plan, scope))
            }
        }
    }

    /// The rows of sets beside those of a plan, and their columns; their numbers last, if they are asked for.
    fn set_rows(
        &mut self,
        plan: LogicalPlan,
        mut rows: Vec<Expr>,
        ordinality: bool,
    ) -> Result<(LogicalPlan, Vec<Expr>)> {
        if ordinality
            && let [Expr::Unnest(unnest)] = rows.as_slice()
            && let Some(arguments) = series_arguments(&unnest.expr)
        {
            let (plan, value, position) = self.series_rows(plan, arguments)?;
            return Ok((plan, vec![Expr::Column(value), Expr::Column(position)]));
        }
        if ordinality {
            rows.push(self.numbers(&rows[0])?);
        }
        let items = rows.into_iter().map(|expression| Item { name: String::new(), expression });
        let mut items: Vec<Item> = items.collect();
        let plan = self.unnest_items(plan, &mut items)?;
        Ok((plan, items.into_iter().map(|item| item.expression).collect()))
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
        Ok(Expr::Unnest(Unnest::new(self.series_of(&SqlType::Int8, lit(1_i64), length, lit(1_i64))?)))
    }

    /// The left rows, each as often as the function gives rows for it, with these.
    fn rows_beside(
        &mut self,
        plan: &LogicalPlan,
        left: &Scope,
        called: &str,
        names: Vec<String>,
        rows: Vec<Expr>,
        ordinality: bool,
    ) -> Result<FromItem> {
        let mut computed: Vec<Expr> = plan.schema().iter().map(Expr::from).collect();
        let (plan, values) = self.set_rows(plan.clone(), rows, ordinality)?;
        let mut scope = left.clone();
        let mut columns = Vec::new();
        for (name, value) in names.into_iter().zip(values) {
            let unique = self.qualifier(&name);
            computed.push(value.alias(&unique));
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
            let columns;
            (plan, columns) = match arrays.as_slice() {
                [] => return Ok(plan),
                [array] if series_arguments(array).is_some() => {
                    let arguments = series_arguments(array).expect("it is a series");
                    let (plan, value, _) = self.series_rows(plan, arguments)?;
                    (plan, vec![value])
                }
                arrays => self.unnest_arrays(plan, arrays)?,
            };
            let known: Vec<(Expr, Column)> = arrays.into_iter().zip(columns).collect();
            for item in items.iter_mut() {
                item.expression = with_columns(std::mem::take(&mut item.expression), &known)?;
            }
        }
        Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, "set-returning functions are nested too deep"))
    }

    /// The rows of a plan, each with the elements of its arrays side by side.
    fn unnest_arrays(&mut self, plan: LogicalPlan, arrays: &[Expr]) -> Result<(LogicalPlan, Vec<Column>)> {
        let mut columns = Vec::new();
        let mut computed: Vec<Expr> = plan.schema().iter().map(Expr::from).collect();
        for array in arrays {
            let array_type = array.get_type(plan.schema())?;
            if !matches!(array_type, DataType::List(_) | DataType::LargeList(_)) {
                return Err(Error::internal(format!("unnest of {array_type}")));
            }
            let column = Column::new_unqualified(self.qualifier("unnested"));
            computed.push(array.clone().alias(&column.name));
            columns.push(column);
        }
        let plan = LogicalPlanBuilder::from(plan)
            .project(computed)?
            .unnest_columns_with_options(columns.clone(), UnnestOptions::new().with_preserve_nulls(false))?
            .build()?;
        Ok((plan, columns))
    }
}

/// The expression with the columns in the place of the arrays that are unnested.
fn with_columns(expression: Expr, known: &[(Expr, Column)]) -> Result<Expr> {
    let replaced = expression.transform_up(|expression| match &expression {
        Expr::Unnest(unnest) => match known.iter().find(|(array, _)| *array == *unnest.expr) {
            Some((_, column)) => Ok(Transformed::yes(Expr::Column(column.clone()))),
            None => Ok(Transformed::no(expression)),
        },
        _ => Ok(Transformed::no(expression)),
    });
    Ok(replaced.data()?)
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
