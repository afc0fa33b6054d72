//! Ways to make a request panic, for the test of what that costs the others. Only with the feature `test-trigger`.

use std::cell::Cell;

use http::HeaderMap;

/// The header: `worker` or `object` says where.
const HEADER: &str = "x-patchbay-panic";
/// The address of an object that is to panic.
pub const ADDRESS: &str = "http://object/panic";

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

/// Panics, where the header says so, in the Worker. Says whether the object is to.
pub fn of_request(headers: &HeaderMap) -> bool {
    let wanted = headers.get(HEADER).map(|value| value.as_bytes());
    assert!(wanted != Some(b"worker"), "a test wants the Worker to panic");
    wanted == Some(b"object")
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
