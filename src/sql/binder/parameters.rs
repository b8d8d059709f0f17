//! `$1`, `$2`, ...: their types, by number.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Placeholder;

use super::cast::explicit;
use crate::types::{Error, Result, SqlState, SqlType};

/// The most parameters that the protocol can carry.
const NUMBER_MAX: usize = 65_535;

/// What is known of the parameters' types: what the client declared, then what their first typed use says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    types: Vec<Option<SqlType>>,
    used: Vec<bool>,
    /// Their values, if the plan is for these only.
    values: Option<Vec<ScalarValue>>,
}

impl Parameters {
    pub fn declared(types: &[Option<SqlType>]) -> Self {
        let known = |declared: &Option<SqlType>| declared.clone().filter(|declared| *declared != SqlType::Unknown);
        Parameters { types: types.iter().map(known).collect(), used: vec![false; types.len()], values: None }
    }

    /// The values in the places of the parameters; the types are theirs where nothing was declared.
    pub fn with_values(mut self, values: &[ScalarValue]) -> Result<Self> {
        if self.types.len() > values.len() {
            let message = format!("{} parameters are given, {} are needed", values.len(), self.types.len());
            return Err(Error::new(SqlState::PROTOCOL_VIOLATION, message));
        }
        self.types.resize(values.len(), None);
        self.used.resize(values.len(), true);
        for (known, value) in self.types.iter_mut().zip(values) {
            known.get_or_insert_with(|| SqlType::of_arrow(&value.data_type()));
        }
        self.values = Some(values.to_vec());
        Ok(self)
    }

    /// A use of `$n`.
    pub fn placeholder(&mut self, text: &str) -> Result<Expr> {
        let number = text.trim_start_matches('$').parse::<usize>().unwrap_or(0);
        if number == 0 || number > NUMBER_MAX {
            return Err(Error::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {text}")));
        }
        if let Some(values) = &self.values {
            let (Some(value), Some(Some(known))) = (values.get(number - 1), self.types.get(number - 1)) else {
                return Err(Error::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {text}")));
            };
            // The cast keeps a text from being taken for a literal without a type.
            return Ok(explicit(Expr::Literal(value.clone(), None), known));
        }
        if self.types.len() < number {
            self.types.resize(number, None);
            self.used.resize(number, false);
        }
        self.used[number - 1] = true;
        let field = self.types[number - 1].as_ref().map(|known| known.field("", true).into());
        Ok(Expr::Placeholder(Placeholder { id: format!("${number}"), field }))
    }

    /// Takes a use as what decides a parameter's type, if nothing did before.
    pub fn decide(&mut self, expression: Expr, decided: &SqlType) -> Expr {
        let Expr::Placeholder(Placeholder { id, field: None }) = expression else {
            return expression;
        };
        let number: usize = id[1..].parse().expect("we wrote the number");
        if *decided != SqlType::Unknown {
            let known = self.types[number - 1].get_or_insert_with(|| decided.clone());
            let field = Some(known.field("", true).into());
            return Expr::Placeholder(Placeholder { id, field });
        }
        Expr::Placeholder(Placeholder { id, field: None })
    }

    /// What nothing decided is text, as in PostgreSQL; a number that is never used has no type at all.
    pub fn settle(&mut self) -> Result<()> {
        for (index, known) in self.types.iter_mut().enumerate() {
            if known.is_none() && !self.used[index] {
                let message = format!("could not determine data type of parameter ${}", index + 1);
                return Err(Error::new(SqlState::INDETERMINATE_DATATYPE, message));
            }
            known.get_or_insert(SqlType::Text);
        }
        Ok(())
    }

    /// The types in which all uses agree, if they are known.
    pub fn settled_types(&self) -> Option<Vec<SqlType>> {
        self.types.iter().cloned().collect()
    }

    /// The types of the parameters whose values are still to come.
    pub fn open_types(&self) -> Vec<SqlType> {
        match self.values {
            Some(_) => vec![],
            None => self.settled_types().unwrap_or_default(),
        }
    }
}

/// Whether this is a parameter whose type is still open.
pub fn is_open(expression: &Expr) -> bool {
    matches!(expression, Expr::Placeholder(Placeholder { field: None, .. }))
}
