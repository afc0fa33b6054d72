//! What `worker` does not wrap of a Durable Object's storage, or wraps so that what it throws goes through Rust.

use js_sys::{Array, Iterator, Promise};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use worker::State;

#[wasm_bindgen]
extern "C" {
    /// `DurableObjectStorage`.
    #[derive(Clone)]
    pub type Storage;

    #[wasm_bindgen(method, getter)]
    pub fn sql(this: &Storage) -> Sql;

    /// Runs `work` at once, in a transaction that is rolled back if it throws. Throws what `work` throws.
    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    pub fn transaction_sync(this: &Storage, work: &mut dyn FnMut() -> Result<(), JsValue>) -> Result<JsValue, JsValue>;

    /// Replaces the alarm there was, as part of what the same turn of the event loop writes. In milliseconds.
    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    pub fn set_alarm(this: &Storage, at: f64) -> Result<Promise, JsValue>;

    /// Fulfilled when everything written so far is durable.
    #[wasm_bindgen(method, catch)]
    pub fn sync(this: &Storage) -> Result<Promise, JsValue>;

    /// `SqlStorage`.
    #[derive(Clone)]
    pub type Sql;

    #[wasm_bindgen(method, catch, variadic)]
    pub fn exec(this: &Sql, sql: &str, params: Array) -> Result<Cursor, JsValue>;

    /// `SqlStorageCursor`.
    pub type Cursor;

    /// Its rows, each an array of its columns.
    #[wasm_bindgen(method, catch)]
    pub fn raw(this: &Cursor) -> Result<Iterator, JsValue>;

    /// Ends the statement, and throws unless exactly one row was left.
    #[wasm_bindgen(method, catch)]
    pub fn one(this: &Cursor) -> Result<JsValue, JsValue>;
}

/// The storage of the object with this state.
pub fn storage(state: &State) -> Storage {
    JsValue::from(state.storage().as_raw()).unchecked_into()
}
