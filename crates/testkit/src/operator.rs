//! An operator whom homes under test may be told of.

#![allow(clippy::expect_used, reason = "a constant")]

use patchbay_core::api::Host;
use patchbay_core::identity::operators::{Entry, Operators};
use patchbay_core::identity::tokens;
use patchbay_core::model::{Subject, Timestamp};
use secrecy::SecretString;

/// Randomness that is none: always the same byte.
pub(crate) struct Always(pub(crate) u8);

impl Host for Always {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }

    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

/// The operator's token, always the same.
pub fn token() -> SecretString {
    tokens::generate(&Always(7))
}

/// The entry for `PATCHBAY_OPERATOR_TOKENS` that knows it.
pub fn entry() -> String {
    Entry::new(&token(), Subject::new("operator").expect("a subject"), None).to_string()
}

/// That operator alone.
pub fn operators() -> Operators {
    Operators::parse(&entry()).expect("an entry")
}
