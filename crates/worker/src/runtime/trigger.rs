//! Ways to make a request panic, for the test of what that costs the others. Only with the feature `test-trigger`.

use std::cell::Cell;

use http::HeaderMap;

/// The header: `worker` or `object` says where.
const HEADER: &str = "x-patchbay-panic";
/// The address of an object that is to panic.
const ADDRESS: &str = "http://object/panic";

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

/// What is to panic.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The Worker, as it asks an object.
    Worker,
    /// The object that it asks.
    Object,
}

/// What the header says.
pub fn of_request(headers: &HeaderMap) -> Option<Wanted> {
    match headers.get(HEADER)?.as_bytes() {
        b"worker" => Some(Wanted::Worker),
        b"object" => Some(Wanted::Object),
        _ => None,
    }
}

/// Panics, where the Worker is to. The address of the object, where that is to.
pub fn address(wanted: Option<Wanted>) -> Option<&'static str> {
    assert!(wanted != Some(Wanted::Worker), "a test wants the Worker to panic");
    wanted.map(|_| ADDRESS)
}

/// Has the next transaction panic, if the object was asked at this address. It is the one of the same request where
/// nothing is awaited before it.
pub fn arm(address: &str) {
    ARMED.set(address == ADDRESS);
}

/// Panics where that was armed: called within a transaction that has done its work.
pub fn in_transaction() {
    assert!(!ARMED.take(), "a test wants the object to panic");
}
