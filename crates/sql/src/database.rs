//! The seam between the SQL and whatever runs it.

use std::ops::ControlFlow;

use patchbay_core::store::StoreError;

/// A value that is bound to a statement or read from a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// An integer; its magnitude is below 2^53, which is what JavaScript carries exactly.
    Int(i64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(value: Option<&'a str>) -> Self {
        value.map_or(Self::Null, Self::Text)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

/// One row of a result. Columns count from 0. A driver reads a column only when it is asked for it.
pub trait Row {
    /// The column's value.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where there is no such column or its text is not UTF-8.
    fn value(&self, column: usize) -> Result<Value<'_>, StoreError>;
}

/// What is handed each row of a result; `Break` ends the statement early.
pub type EachRow<'a> = dyn FnMut(&dyn Row) -> Result<ControlFlow<()>, StoreError> + 'a;

/// Runs statements, all inside one transaction.
pub trait Statements {
    /// Runs a statement for its effect. `params` are bound to `?1`, `?2`, … in order.
    ///
    /// # Errors
    /// What the database reports; the transaction must then be given up.
    fn execute(&self, sql: &'static str, params: &[Value<'_>]) -> Result<(), StoreError>;

    /// Runs a statement and hands its rows to `each`, one at a time, until they end or it breaks off.
    ///
    /// # Errors
    /// What the database reports, or `each` returns.
    fn query(&self, sql: &'static str, params: &[Value<'_>], each: &mut EachRow<'_>) -> Result<(), StoreError>;
}

/// A database that runs transactions, one at a time.
pub trait Database {
    /// Runs `work` in a transaction: all of its changes are kept if it returns `Ok`, none otherwise.
    ///
    /// # Errors
    /// What `work` returns, or what the database reports when it begins or commits.
    fn transaction<T, E: From<StoreError>>(&self, work: impl FnOnce(&dyn Statements) -> Result<T, E>) -> Result<T, E>;
}

/// The first row of a result, if there is one, as `read` takes it.
///
/// # Errors
/// What the database reports, or `read` returns.
pub fn first<T>(
    statements: &dyn Statements,
    sql: &'static str,
    params: &[Value<'_>],
    mut read: impl FnMut(&dyn Row) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut found = None;
    statements.query(sql, params, &mut |row| {
        found = Some(read(row)?);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// All rows of a result, as `read` takes them.
///
/// # Errors
/// What the database reports, or `read` returns.
pub fn all<T>(
    statements: &dyn Statements,
    sql: &'static str,
    params: &[Value<'_>],
    mut read: impl FnMut(&dyn Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    statements.query(sql, params, &mut |row| {
        found.push(read(row)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// An integer column.
///
/// # Errors
/// [`StoreError::Damaged`] where it is anything else.
pub fn int(row: &dyn Row, column: usize) -> Result<i64, StoreError> {
    match row.value(column)? {
        Value::Int(value) => Ok(value),
        _ => Err(wrong(column, "an integer")),
    }
}

/// A text column.
///
/// # Errors
/// [`StoreError::Damaged`] where it is anything else.
pub fn text(row: &dyn Row, column: usize) -> Result<&str, StoreError> {
    match row.value(column)? {
        Value::Text(value) => Ok(value),
        _ => Err(wrong(column, "text")),
    }
}

/// A column of bytes.
///
/// # Errors
/// [`StoreError::Damaged`] where it is anything else.
pub fn blob(row: &dyn Row, column: usize) -> Result<&[u8], StoreError> {
    match row.value(column)? {
        Value::Blob(value) => Ok(value),
        _ => Err(wrong(column, "bytes")),
    }
}

fn wrong(column: usize, expected: &str) -> StoreError {
    StoreError::Damaged(format!("column {column} of a row is not {expected}"))
}
