//! Items that were changed behind the store's back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod local;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use local::{Local, local};
use patchbay_core::model::{Record, Tenant};
use patchbay_testkit::swaps::{Raw, are_found};

impl Raw for Local {
    async fn put(&self, tenant: &Tenant, before: &Record, after: &Record) {
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let binary = |value: &[u8]| AttributeValue::B(Blob::new(value));
        // What a record is alone in having.
        let of_record = |item: &local::Item| {
            let of_tenant = format!("{}#{tenant}#", tenant.as_str().len());
            item.contains_key("sealed")
                && item.get("name") == Some(&text(before.name.as_str()))
                && item.get("pk").unwrap().as_s().unwrap().starts_with(&of_tenant)
        };
        let mut item = self.items().await.into_iter().find(of_record).unwrap();
        let parts = [
            ("id", binary(after.id.as_bytes())),
            ("type", text(after.connection_type.as_str())),
            ("owner", text(after.owner.as_str())),
            (
                "created_at",
                AttributeValue::N(after.created_at.as_micros().to_string()),
            ),
            ("key_id", text(after.sealed.key_id.as_str())),
            ("sealed", binary(&after.sealed.bytes)),
        ];
        item.extend(parts.map(|(name, value)| (name.to_owned(), value)));
        Self::put(self, item).await;
    }
}

#[tokio::test]
async fn details_that_were_swapped_between_items_are_refused_and_reported_as_damage() {
    let local = local().await;
    are_found(&local.clear, &local, true).await;
}
