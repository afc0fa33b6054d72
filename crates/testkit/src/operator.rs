//! An operator whom homes under test may be told of.

#![allow(clippy::expect_used, reason = "a constant")]

use patchbay_core::api::Host;
use patchbay_core::identity::operators::{Entry, Operators};
use patchbay_core::identity::tokens;
use patchbay_core::model::{Subject, Timestamp};
use secrecy::SecretString;

/// Randomness that is none.
struct Sevens;

impl Host for Sevens {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }

    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// The operator's token, always the same.
pub fn token() -> SecretString {
    tokens::generate(&Sevens)
}

/// The entry for `PATCHBAY_OPERATOR_TOKENS` that knows it.
pub fn entry() -> String {
    Entry::new(&token(), Subject::new("operator").expect("a subject"), None).to_string()
}

/// That operator alone.
pub fn operators() -> Operators {
    Operators::parse(&entry()).expect("an entry")
}
