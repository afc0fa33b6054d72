//! Random sequences of operations, step by step the same on a store, or a whole home, and on the reference model.

mod cast;
mod past;
mod sequences;
mod store;
mod surface;
mod unsure;

pub use past::{Past, Since};
pub use sequences::{Came, Sequences};
pub use store::{Step, same_outcomes, steps};
pub use surface::{Request, requests, same_answers};
pub use unsure::{Contents, contents, same_outcomes_or_none};
