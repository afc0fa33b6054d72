//! What is in tables on DynamoDB Local.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use patchbay_dynamodb::client::http_client;
use patchbay_testkit::DynamoDbLocal;

/// A client of it.
pub fn client() -> Client {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(DynamoDbLocal::shared().url())
        .region(Region::from_static("eu-central-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "tests"))
        .http_client(http_client());
    Client::from_conf(config.build())
}

/// All that is in a table, a line for a value.
pub async fn dump(table: &str) -> Vec<u8> {
    let (mut dump, mut after) = (Vec::new(), None);
    loop {
        let page = client().scan().table_name(table).set_exclusive_start_key(after);
        let page = page.send().await.unwrap();
        let values = page.items.iter().flatten().flat_map(|item| item.values());
        values.for_each(|value| dump.extend([bytes(value), vec![b'\n']].concat()));
        after = page.last_evaluated_key;
        if after.is_none() {
            return dump;
        }
    }
}

/// All that is in a value.
fn bytes(value: &AttributeValue) -> Vec<u8> {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone().into_bytes(),
        AttributeValue::B(blob) => blob.as_ref().to_vec(),
        AttributeValue::M(map) => map
            .iter()
            .flat_map(|(name, value)| [name.as_bytes().to_vec(), bytes(value)].concat())
            .collect(),
        other => panic!("nothing of this kind is stored: {other:?}"),
    }
}
