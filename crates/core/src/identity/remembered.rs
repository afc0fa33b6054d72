//! Tokens that were verified a moment ago, so that not every call pays for a signature.

use std::sync::{Mutex, PoisonError};

use super::Digest;
use crate::limits;
use crate::model::{Caller, Timestamp};

/// Whom verified tokens made, each known by its SHA-256: a place for as many as [`limits::REMEMBERED_TOKENS`], each
/// token's given by its digest, so that one takes the place of another with the same. Each place has a lock of its own.
///
/// It is for the tokens of one key set by the same rules; another set begins with none.
pub(super) struct Remembered(Box<[Mutex<Option<Box<Known>>>]>);

struct Known {
    digest: Digest,
    caller: Caller,
    /// Counts from here, since a clock that was set back may be before the token's `nbf`, …
    from: Timestamp,
    /// … and up to here.
    until: Timestamp,
}

impl Remembered {
    pub(super) fn none() -> Self {
        Self(
            std::iter::repeat_with(Mutex::default)
                .take(limits::REMEMBERED_TOKENS)
                .collect(),
        )
    }

    /// Whom this token made, where that is remembered and counts now.
    pub(super) fn caller(&self, digest: &Digest, now: Timestamp) -> Option<Caller> {
        let place = self.place(digest)?.lock().unwrap_or_else(PoisonError::into_inner);
        let known = place.as_ref()?;
        (known.digest == *digest && known.from <= now && now < known.until).then(|| known.caller.clone())
    }

    /// Remembers whom a token made that was verified now and ends at `ends`, until then or for a minute, whichever is less.
    pub(super) fn remember(&self, digest: Digest, caller: Caller, now: Timestamp, ends: Timestamp) {
        let minute = Timestamp::from_micros(now.as_micros().saturating_add(limits::REMEMBERED_MICROS));
        let known = Known {
            digest,
            caller,
            from: now,
            until: ends.min(minute),
        };
        if let Some(place) = self.place(&known.digest) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(known));
        }
    }

    fn place(&self, digest: &Digest) -> Option<&Mutex<Option<Box<Known>>>> {
        let [first, second, ..] = digest.0;
        let place = usize::from(u16::from_be_bytes([first, second])) % self.0.len().max(1);
        self.0.get(place)
    }
}
