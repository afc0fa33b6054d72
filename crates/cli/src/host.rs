//! The machine's clock and randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use patchbay_core::api::Host;
use patchbay_core::model::Timestamp;

/// Lends the core the machine's clock and the system's randomness.
#[derive(Debug, Clone, Copy)]
pub struct NativeHost;

impl Host for NativeHost {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn fill(&self, bytes: &mut [u8]) {
        let filled = getrandom::fill(bytes);
        // Going on with predictable nonces would give secrets away: the request must end here.
        assert!(filled.is_ok(), "the system gives no randomness");
    }
}
