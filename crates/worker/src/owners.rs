//! Who owned what when they were last answered: a guess that spares a read.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use patchbay_core::model::Subject;

/// How many pairs are remembered; 8 KiB of an isolate's memory.
const PLACES: usize = 1024;

/// Pairs of an entry's key and its owner. Each has one place, which the last that came to it holds. What it says may be
/// wrong, and only costs a request to the object then.
pub struct Owners(Box<[Cell<u64>]>);

impl Default for Owners {
    fn default() -> Self {
        Self(std::iter::repeat_with(Cell::default).take(PLACES).collect())
    }
}

impl Owners {
    fn place(&self, key: &str, subject: &Subject) -> (Option<&Cell<u64>>, u64) {
        let mut hasher = DefaultHasher::new();
        (key, subject).hash(&mut hasher);
        let pair = hasher.finish();
        let place = usize::try_from(pair % PLACES as u64).ok();
        (place.and_then(|place| self.0.get(place)), pair)
    }

    /// Whether this was the owner when it was last noted.
    pub(crate) fn knows(&self, key: &str, subject: &Subject) -> bool {
        let (place, pair) = self.place(key, subject);
        place.is_some_and(|place| place.get() == pair)
    }

    /// Notes whether this is the owner.
    pub(crate) fn note(&self, key: &str, subject: &Subject, owns: bool) {
        let (place, pair) = self.place(key, subject);
        if let Some(place) = place.filter(|place| owns || place.get() == pair) {
            place.set(if owns { pair } else { 0 });
        }
    }
}
