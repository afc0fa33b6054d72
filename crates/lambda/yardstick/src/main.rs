//! The yardstick of `cargo xtask bench lambda`: the smallest function that reads one item from DynamoDB and answers
//! with an attribute of it, as one would write it by the book.

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_http::{Body, Error, Request, Response, run, service_fn};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = Client::new(&config);
    let table = std::env::var("TABLE")?;
    run(service_fn(|_: Request| get(&client, &table))).await
}

async fn get(client: &Client, table: &str) -> Result<Response<Body>, Error> {
    let key = || AttributeValue::S("yardstick".into());
    let read = client.get_item().table_name(table).key("pk", key()).key("sk", key());
    let item = read.send().await?.item.ok_or("there is no such item")?;
    let AttributeValue::S(body) = item.get("body").ok_or("it has no body")? else {
        return Err("its body is no text".into());
    };
    Ok(Response::builder()
        .header("content-type", "application/json")
        .body(body.as_str().into())?)
}
