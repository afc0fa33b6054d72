//! Patchbay's home on AWS Lambda: the core over DynamoDB, behind API Gateway, a function URL or a load balancer.
//!
//! [`run`] is the function's whole life. [`Function`] answers one event; it knows no AWS but the events' shapes.

mod event;
mod function;
mod log;
mod reply;
mod run;
mod settings;

pub use event::Event;
pub use function::{Function, Invocation};
pub use reply::Reply;
pub use run::run;
pub use settings::{Settings, is_known};
