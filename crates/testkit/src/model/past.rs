//! What a read may show that may be late.

use patchbay_core::model::{Caller, Timestamp};
use patchbay_core::store::{Lookup, Seen, Store as _};

use crate::memory::MemoryStore;

/// The reference model, and all that it has been.
pub struct Past {
    model: MemoryStore,
    /// Each with the time since which it has been so.
    states: Vec<(Timestamp, MemoryStore)>,
}

/// A moment in the order of changes.
#[derive(Debug, Clone, Copy)]
pub struct Since(usize);

impl Past {
    /// The model, as it is at this time.
    pub fn new(model: MemoryStore, now: Timestamp) -> Self {
        let states = vec![(now, model.copied())];
        Self { model, states }
    }

    /// The model, to be changed. What it becomes is to be kept.
    pub fn model(&self) -> &MemoryStore {
        &self.model
    }

    /// Keeps what the model has become.
    pub fn keep(&mut self, now: Timestamp) {
        self.states.push((now, self.model.copied()));
    }

    /// When the model was last changed but so many times.
    pub fn changed(&self, back: usize) -> Option<Timestamp> {
        self.states.iter().rev().nth(back).map(|(at, _)| *at)
    }

    /// The last change so far.
    pub fn since(&self) -> Since {
        Since(self.states.len().saturating_sub(1))
    }

    /// Judges what a read came to that began after `since` and is over now. What it found must have been right at some
    /// moment from `earliest` on; that it found nothing must have been so while it was under way. Gives for how many
    /// microseconds that had no longer been right.
    ///
    /// # Errors
    /// What it should have come to.
    pub async fn judge(
        &self,
        (caller, lookup): (&Caller, &Lookup),
        seen: Option<&Seen>,
        since: Since,
        (earliest, now): (Timestamp, Timestamp),
    ) -> Result<i64, String> {
        // Of a moment at which something changed, what was before is right as well.
        let mut until = now;
        let mut right = Vec::new();
        for (place, (from, state)) in self.states.iter().enumerate().rev() {
            let borne_with = place >= since.0 || (seen.is_some() && until >= earliest);
            if !borne_with {
                break;
            }
            let expected = state.get(caller, lookup.clone()).await;
            let expected = expected.map_err(|error| error.to_string())?;
            if expected.as_ref() == seen {
                let late = if place >= since.0 { now } else { until };
                return Ok(now.as_micros() - late.as_micros());
            }
            right.push(expected);
            until = *from;
        }
        right.dedup();
        Err(format!(
            "{lookup:?} for {caller:?}:\n got {seen:?}\n right, the latest first: {right:#?}"
        ))
    }
}
