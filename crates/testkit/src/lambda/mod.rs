//! Stand-ins for what AWS puts around a function: Lambda itself, and Secrets Manager.

mod function;
mod runtime_api;
mod secrets;

pub use function::Function;
pub use runtime_api::{Answered, Failure, RuntimeApi};
pub use secrets::SecretsManager;
