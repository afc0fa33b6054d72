//! What tests seal with.

use patchbay_core::api::Host;
use patchbay_core::model::Timestamp;

pub const K1: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
pub const K2: &str = "k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

/// Time stands still, and all randomness is the same.
pub struct FixedHost;

impl Host for FixedHost {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1)
    }

    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}
