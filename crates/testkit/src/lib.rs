//! What every home and store of Patchbay is held to.
//!
//! [`cases`] gives the rules of the contract, a named case for one behaviour, grouped by operation; [`run`] holds a
//! [`Target`] to them: the core in this process over any store ([`InProcess`]), or a home behind an [`Address`]; where
//! its reads may be late, as a [`Patient`]. [`MemoryStore`] is the reference model, and [`model`] holds stores and targets
//! against it. [`races`] sets many clients on a target at once and checks what they were told. [`faults`] breaks a target
//! on purpose, to show that the cases notice. [`rotation`] is what sealing everything again promises. [`StaleKv`] is what a home that reads from KV is tested over,
//! [`DynamoDbLocal`] what a store on DynamoDB is, and [`dynamodb_proxy`] what may go wrong between the two; [`lambda`] has
//! what AWS puts around a function, [`issuer`] signs tokens, right and wrong, and [`sample`] makes what tests of stores hand them;
//! [`swaps`] changes what a store keeps behind its back; [`canaries`] looks for secrets where none may be.

pub mod canaries;
mod cases;
mod delegate;
mod dynamodb_local;
pub mod dynamodb_proxy;
pub mod faults;
pub mod issuer;
pub mod lambda;
mod loopback;
mod matrix;
mod memory;
pub mod model;
pub mod operator;
mod patient;
pub mod races;
pub mod rotation;
mod runner;
pub mod sample;
mod stale_kv;
pub mod swaps;
mod target;
mod url;
mod world;

pub use cases::{cases, cases_with_issuer, operator_cases};
pub use dynamodb_local::DynamoDbLocal;
pub use memory::MemoryStore;
pub use patient::Patient;
pub use runner::{Case, Report, Setting, run};
pub use stale_kv::{Behaviour, Done, Failed, StaleKv};
pub use target::{InProcess, Nobody, SystemHost, Target};
pub use url::Address;
