//! The seam of [`crate::database`] over rusqlite.

use std::ops::ControlFlow;

use patchbay_core::store::StoreError;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql, params_from_iter};

use crate::database::{Database, EachRow, Row, Statements, Value};

/// Statements on a connection whose transaction somebody else holds.
pub(crate) struct Driver<'c>(pub(crate) &'c Connection);

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

impl Row for rusqlite::Row<'_> {
    fn value(&self, column: usize) -> Result<Value<'_>, StoreError> {
        let damaged = || StoreError::Damaged(format!("column {column} of a row is not what was asked for"));
        Ok(match self.get_ref(column).map_err(|_| damaged())? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(value) => Value::Int(value),
            ValueRef::Text(value) => Value::Text(std::str::from_utf8(value).map_err(|_| damaged())?),
            ValueRef::Blob(value) => Value::Blob(value),
            ValueRef::Real(_) => return Err(damaged()),
        })
    }
}

impl Statements for Driver<'_> {
    fn execute(&self, sql: &'static str, params: &[Value<'_>]) -> Result<(), StoreError> {
        self.query(sql, params, &mut |_| Ok(ControlFlow::Continue(())))
    }

    fn query(&self, sql: &'static str, params: &[Value<'_>], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        let mut statement = self.0.prepare_cached(sql).map_err(store_error)?;
        // A statement need not use every parameter that its kind shares.
        let used = params.iter().take(statement.parameter_count());
        let mut rows = statement.query(params_from_iter(used)).map_err(store_error)?;
        while let Some(row) = rows.next().map_err(store_error)? {
            if each(row)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Database for Connection {
    fn transaction<T, E: From<StoreError>>(&self, work: impl FnOnce(&dyn Statements) -> Result<T, E>) -> Result<T, E> {
        control(self, "BEGIN")?;
        // Whatever leaves without a commit, a panic included, has changed nothing.
        let _open = Open(self);
        let outcome = work(&Driver(self))?;
        control(self, "COMMIT")?;
        Ok(outcome)
    }
}

/// A transaction that is rolled back when dropped, unless it was committed.
struct Open<'c>(&'c Connection);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.0.is_autocommit() {
            // What cannot even be rolled back is so by SQLite itself at the next BEGIN or open.
            _ = control(self.0, "ROLLBACK");
        }
    }
}

/// Runs a statement that begins or ends something. It is prepared once: a read is so short that parsing these counts.
pub(crate) fn control(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    let ran = || connection.prepare_cached(sql)?.execute([]).map(|_| ());
    ran().map_err(store_error)
}

/// What SQLite reports, as a caller of the store is told. Its messages name tables and columns, never values.
pub(crate) fn store_error(error: rusqlite::Error) -> StoreError {
    let message = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation) | None => {
            StoreError::Damaged(message)
        }
        Some(_) => StoreError::Unavailable(message),
    }
}
