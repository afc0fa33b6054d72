//! Stand-ins for what AWS puts around a function: Lambda itself, what calls it over HTTP, DynamoDB, and Secrets Manager.

mod dynamodb;
mod function;
mod gateway;
mod runtime_api;
mod secrets;

pub use dynamodb::{EmptyDynamoDb, TimedDynamoDb};
pub use function::Function;
pub use gateway::Gateway;
pub use runtime_api::{Answered, Failure, RuntimeApi};
pub use secrets::SecretsManager;
