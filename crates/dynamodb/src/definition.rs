//! How the table is defined.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};

use crate::item::{PK, SK};

/// The request that makes the table, on demand and without an index.
///
/// # Errors
/// None: what the builders want is there.
pub fn definition(client: &Client, name: &str) -> Result<CreateTableFluentBuilder, BuildError> {
    let mut table = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest);
    for (attribute, kind) in [(PK, KeyType::Hash), (SK, KeyType::Range)] {
        let schema = KeySchemaElement::builder()
            .attribute_name(attribute)
            .key_type(kind)
            .build()?;
        let definition = AttributeDefinition::builder()
            .attribute_name(attribute)
            .attribute_type(ScalarAttributeType::S)
            .build()?;
        table = table.key_schema(schema).attribute_definitions(definition);
    }
    Ok(table)
}
