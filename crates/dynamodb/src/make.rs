//! Making the table.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableInputBuilder;
use aws_sdk_dynamodb::types::{AttributeDefinition, KeySchemaElement, TableDescription, TableStatus};
use patchbay_core::store::StoreError;

use crate::definition::definition;
use crate::failure::{Failure, built_wrong};

/// How long a new table may take, in looks at it, one a second. It usually takes some ten.
const LONGEST_SECONDS: u32 = 300;

/// How making a table ended. In the first two cases it can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// It is new.
    Now,
    /// It was there, and is as it would have been made.
    Before,
    /// It was there, and is another: this is what differs.
    Different(String),
}

/// Makes the table of [`definition`] where there is none of this name, and waits until it can be used.
///
/// # Errors
/// Where DynamoDB cannot be reached or refuses, or the table does not come to be usable.
pub async fn make_table(client: &Client, name: &str) -> Result<Made, StoreError> {
    let request = definition(client, name).map_err(built_wrong)?;
    let wanted = request.as_input().clone();
    let new = match request.send().await {
        Ok(_) => true,
        Err(SdkError::ServiceError(error)) if error.err().is_resource_in_use_exception() => false,
        Err(error) => return Err(Failure::of(error).into()),
    };
    let there = usable(client, name).await?;
    if new {
        return Ok(Made::Now);
    }
    Ok(difference(&wanted, &there).map_or(Made::Before, Made::Different))
}

/// Waits until a table can be used; gives what DynamoDB says of it.
async fn usable(client: &Client, name: &str) -> Result<TableDescription, StoreError> {
    for _ in 0..LONGEST_SECONDS {
        let table = match client.describe_table().table_name(name).send().await {
            Ok(answer) => answer.table,
            // Right after a table is asked for, DynamoDB may not know of it yet.
            Err(SdkError::ServiceError(error)) if error.err().is_resource_not_found_exception() => None,
            Err(error) => return Err(Failure::of(error).into()),
        };
        match table.filter(|table| table.table_status() == Some(&TableStatus::Active)) {
            Some(table) => return Ok(table),
            None => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
    Err(StoreError::Unavailable(format!(
        "the table is not usable after {LONGEST_SECONDS} s"
    )))
}

/// The first thing in which a table is not as it is wanted.
fn difference(wanted: &CreateTableInputBuilder, there: &TableDescription) -> Option<String> {
    let schema = wanted.get_key_schema().as_deref().unwrap_or_default();
    let attributes = wanted.get_attribute_definitions().as_deref().unwrap_or_default();
    let (ours, theirs) = (
        keys(schema, attributes),
        keys(there.key_schema(), there.attribute_definitions()),
    );
    if ours != theirs {
        return Some(format!("its keys are {theirs}, not {ours}"));
    }
    let billing = there.billing_mode_summary().and_then(|summary| summary.billing_mode());
    (billing != wanted.get_billing_mode().as_ref()).then(|| "it is not on demand".to_owned())
}

/// `pk (HASH, S) and sk (RANGE, S)`.
fn keys(schema: &[KeySchemaElement], attributes: &[AttributeDefinition]) -> String {
    let key = |key: &KeySchemaElement| {
        let name = key.attribute_name();
        let attribute = attributes.iter().find(|attribute| attribute.attribute_name() == name);
        let kind = attribute.map_or("", |attribute| attribute.attribute_type().as_str());
        format!("{name} ({}, {kind})", key.key_type())
    };
    schema.iter().map(key).collect::<Vec<_>>().join(" and ")
}
