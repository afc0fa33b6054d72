//! The seam of [`patchbay_sql::database`] over a Durable Object's SQLite.

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;

use js_sys::{Array, ArrayBuffer, JsString, Uint8Array};
use patchbay_core::store::StoreError;
use patchbay_sql::database::{Database, EachRow, Row, Statements, Value};
use wasm_bindgen::{JsCast as _, JsValue};

use super::error::message;
use super::storage::{Sql, Storage};

/// The SQLite of one object. Statements that run outside of a transaction see one state as long as nothing is awaited
/// between them: an object runs one thing at a time.
pub struct ObjectDatabase {
    storage: Storage,
    sql: Sql,
}

impl ObjectDatabase {
    /// The database in this storage.
    pub fn new(storage: Storage) -> Self {
        let sql = storage.sql();
        Self { storage, sql }
    }
}

impl Database for ObjectDatabase {
    fn transaction<T, E: From<StoreError>>(&self, work: impl FnOnce(&dyn Statements) -> Result<T, E>) -> Result<T, E> {
        let mut work = Some(work);
        let mut outcome = None;
        // What a panic leaves behind in these is not looked at: the transaction is rolled back, as for what is thrown.
        let mut within = AssertUnwindSafe((self, &mut work, &mut outcome));
        let kept = self.storage.transaction_sync(&mut move || {
            let (this, work, outcome) = &mut *within;
            let done = work.take().map(|work| work(*this));
            #[cfg(feature = "test-trigger")]
            super::trigger::in_transaction();
            **outcome = done;
            match outcome {
                Some(Ok(_)) => Ok(()),
                // What is thrown here comes out below, after the roll-back.
                _ => Err(JsValue::UNDEFINED),
            }
        });
        match (outcome, kept) {
            (Some(Ok(value)), Ok(_)) => Ok(value),
            (Some(Err(error)), _) => Err(error),
            (_, Err(thrown)) => Err(store_error(&thrown).into()),
            (None, Ok(_)) => Err(StoreError::Unavailable("the transaction was not run".into()).into()),
        }
    }
}

impl Statements for ObjectDatabase {
    fn execute(&self, sql: &'static str, params: &[Value<'_>]) -> Result<(), StoreError> {
        self.query(sql, params, &mut |_| Ok(ControlFlow::Continue(())))
    }

    fn query(&self, sql: &'static str, params: &[Value<'_>], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        // A statement need not use every parameter that its kind shares, and is refused those that it does not use.
        let used = params.iter().take(parameter_count(sql)).map(|value| bound(*value));
        let cursor = self
            .sql
            .exec(sql, used.collect())
            .map_err(|thrown| store_error(&thrown))?;
        let rows = cursor.raw().map_err(|thrown| store_error(&thrown))?;
        loop {
            let next = rows.next().map_err(|thrown| store_error(&thrown))?;
            if next.done() {
                return Ok(());
            }
            let row = read(&Array::from(&next.value()))?;
            let flow = each(&row);
            if !matches!(flow, Ok(ControlFlow::Continue(()))) {
                // The only call that ends a statement before its last row. It throws where there are more rows, which
                // is why it is called, and where there are none.
                _ = cursor.one();
                return flow.map(|_| ());
            }
        }
    }
}

/// How many parameters SQLite counts in a statement: the highest `?n`.
fn parameter_count(sql: &str) -> usize {
    let numbers = sql.split('?').skip(1);
    let number = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text.get(..end)?.parse().ok()
    };
    numbers.filter_map(number).max().unwrap_or(0)
}

/// A number goes as JavaScript's, and becomes an integer again in the STRICT column that it meets.
fn bound(value: Value<'_>) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        Value::Int(value) => JsValue::from_f64(value as f64),
        Value::Text(value) => JsValue::from_str(value),
        Value::Blob(value) => Uint8Array::from(value).into(),
    }
}

/// A row that was taken over from JavaScript.
struct Taken(Vec<Column>);

enum Column {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

fn read(row: &Array) -> Result<Taken, StoreError> {
    row.iter()
        .map(|value| column(&value))
        .collect::<Result<_, _>>()
        .map(Taken)
}

fn column(value: &JsValue) -> Result<Column, StoreError> {
    if value.is_null() {
        return Ok(Column::Null);
    }
    if let Some(number) = value.as_f64() {
        return integer(number).map(Column::Int);
    }
    if let Some(text) = value.dyn_ref::<JsString>() {
        return Ok(Column::Text(text.into()));
    }
    if let Some(bytes) = value.dyn_ref::<ArrayBuffer>() {
        return Ok(Column::Blob(Uint8Array::new(bytes).to_vec()));
    }
    Err(StoreError::Damaged("a column of a row is of an unknown type".into()))
}

/// The integer that JavaScript carries as a number.
fn integer(number: f64) -> Result<i64, StoreError> {
    /// Past 2^53 neighbours fall together.
    const MOST: f64 = 9_007_199_254_740_991.0;
    if number.fract() != 0.0 || number.abs() > MOST {
        return Err(StoreError::Damaged(
            "a number of a row is not an integer below 2^53".into(),
        ));
    }
    Ok(number as i64)
}

impl Row for Taken {
    fn value(&self, column: usize) -> Result<Value<'_>, StoreError> {
        match self.0.get(column) {
            Some(Column::Null) => Ok(Value::Null),
            Some(Column::Int(value)) => Ok(Value::Int(*value)),
            Some(Column::Text(value)) => Ok(Value::Text(value)),
            Some(Column::Blob(value)) => Ok(Value::Blob(value)),
            None => Err(StoreError::Damaged(format!("a row has no column {column}"))),
        }
    }
}

/// What SQLite reports, as a caller of the store is told. Its messages name tables and columns, never values.
fn store_error(thrown: &JsValue) -> StoreError {
    let message = message(thrown);
    let damaged = ["SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CONSTRAINT"];
    if damaged.iter().any(|code| message.contains(code)) {
        StoreError::Damaged(message)
    } else {
        StoreError::Unavailable(message)
    }
}
