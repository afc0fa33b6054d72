//! Many clients at once, and whether what they were told can be true.
//!
//! [`Workload`] sets clients on a home and takes their operations down; [`Registry::judge`] holds the history against
//! what one client at a time would be told. [`RacyStore`] shows that it notices.
//!
//! The check is our own: `stateright`'s `LinearizabilityTester` tries orders by recursion without remembering what it
//! tried, copies the order so far at each step, and takes an operation under way to have its one right answer.

mod client;
mod history;
mod linearizable;
mod racy;
mod registry;
mod run;
mod workload;

pub use history::{Asked, Operation, Recorder};
pub use linearizable::{Specification, Step, Verdict, Violation, check};
pub use racy::{Race, RacyStore};
pub use registry::{Answer, Call, Finding, Reach, Registry, State, View, Which, with_late_reads};
pub use workload::Workload;
