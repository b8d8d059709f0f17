//! `$1`, `$2`, ...: their types, by number.

use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Placeholder;

use crate::types::{Error, Result, SqlState, SqlType};

/// The most parameters that the protocol can carry.
const NUMBER_MAX: usize = 65_535;

/// What is known of the parameters' types: what the client declared, then what their first typed use says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    types: Vec<Option<SqlType>>,
    used: Vec<bool>,
}

impl Parameters {
    pub fn declared(types: &[Option<SqlType>]) -> Self {
        let known = |declared: &Option<SqlType>| declared.clone().filter(|declared| *declared != SqlType::Unknown);
        Parameters { types: types.iter().map(known).collect(), used: vec![false; types.len()] }
    }

    /// A use of `$n`.
    pub fn placeholder(&mut self, text: &str) -> Result<Expr> {
        let number = text.trim_start_matches('$').parse::<usize>().unwrap_or(0);
        if number == 0 || number > NUMBER_MAX {
            return Err(Error::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {text}")));
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
        let Expr::Placeholder(Placeholder { id, field: None }) = expression else { return expression };
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

    /// Whether every type is known.
    pub fn is_settled(&self) -> bool {
        self.types.iter().all(Option::is_some)
    }

    pub fn types(&self) -> Vec<SqlType> {
        self.types.iter().map(|known| known.clone().unwrap_or(SqlType::Text)).collect()
    }
}

/// Whether this is a parameter whose type is still open.
pub fn is_open(expression: &Expr) -> bool {
    matches!(expression, Expr::Placeholder(Placeholder { field: None, .. }))
}
