//! A host on which time stands still and randomness counts, so that an input does the same each time.

use std::sync::atomic::{AtomicU8, Ordering};

use patchbay_core::api::Host;
use patchbay_core::model::Timestamp;

/// 2023-05-16T16:43:05.170914Z
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_684_255_385_170_914);

#[derive(Default)]
pub(crate) struct Still(AtomicU8);

impl Host for Still {
    fn now(&self) -> Timestamp {
        NOW
    }

    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
