//! Stand-ins for what AWS puts around a function: Lambda itself, DynamoDB, and Secrets Manager.

mod dynamodb;
mod function;
mod runtime_api;
mod secrets;

pub use dynamodb::{EmptyDynamoDb, TimedDynamoDb};
pub use function::Function;
pub use runtime_api::{Answered, Failure, RuntimeApi};
pub use secrets::SecretsManager;
