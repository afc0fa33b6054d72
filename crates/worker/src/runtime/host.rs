//! The runtime's clock and randomness.

use patchbay_core::api::Host;
use patchbay_core::model::Timestamp;

/// Lends the core the runtime's clock, which stands still between one input and the next, and `crypto.getRandomValues`.
#[derive(Debug, Clone, Copy)]
pub struct WorkerHost;

impl Host for WorkerHost {
    fn now(&self) -> Timestamp {
        // Whole milliseconds, far below 2^53.
        Timestamp::from_micros(js_sys::Date::now() as i64 * 1000)
    }

    fn fill(&self, bytes: &mut [u8]) {
        let filled = getrandom::fill(bytes);
        // Going on with predictable nonces would give secrets away: the request must end here.
        assert!(filled.is_ok(), "the runtime gives no randomness");
    }
}
