//! Stores on DynamoDB Local, each on a table of its own and through a proxy of its own.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_http_client::Builder;
use patchbay_dynamodb::{DynamoStore, definition};
use patchbay_testkit::DynamoDbLocal;
use patchbay_testkit::dynamodb_proxy::{DynamoDbProxy, LATE};

/// A client that has longer than this to wait gives up: so late nothing is by itself, on a busy machine either.
const PATIENT: Duration = Duration::from_secs(30);

/// An item's attributes.
pub type Item = HashMap<String, AttributeValue>;

/// A store, and what it is on.
pub struct Local {
    /// Goes through the proxy.
    pub store: DynamoStore,
    pub proxy: DynamoDbProxy,
    /// Goes past the proxy.
    pub clear: DynamoStore,
    /// Goes past the proxy as well.
    pub client: Client,
    pub table: String,
}

/// A store on a new table that waits for every answer.
pub async fn local() -> Local {
    static TABLES: AtomicU64 = AtomicU64::new(0);
    let client = client(DynamoDbLocal::shared().url(), PATIENT);
    let table = format!("patchbay-{}", TABLES.fetch_add(1, Ordering::Relaxed));
    definition(&client, &table).unwrap().send().await.unwrap();
    on(client, table, PATIENT).await
}

async fn on(client: Client, table: String, most: Duration) -> Local {
    let proxy = DynamoDbProxy::start(DynamoDbLocal::shared().url()).await.unwrap();
    Local {
        store: DynamoStore::new(self::client(proxy.url(), most), table.clone()),
        proxy,
        clear: DynamoStore::new(client.clone(), table.clone()),
        client,
        table,
    }
}

fn client(url: &str, most: Duration) -> Client {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(most).build();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(url)
        .region(Region::from_static("eu-central-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "tests"))
        .http_client(Builder::new().build_http())
        .timeout_config(timeouts)
        .build();
    Client::from_conf(config)
}

impl Local {
    /// The same table through another proxy. Where something is to be late, the store gives an attempt up at half of that.
    pub async fn beside(&self, late: bool) -> Self {
        let most = if late { LATE / 2 } else { PATIENT };
        on(self.client.clone(), self.table.clone(), most).await
    }

    /// Every item of the table.
    pub async fn items(&self) -> Vec<Item> {
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let scan = self.client.scan().table_name(&self.table).consistent_read(true);
            let page = scan.set_exclusive_start_key(after).send().await.unwrap();
            items.extend(page.items.unwrap_or_default());
            after = page.last_evaluated_key;
            if after.is_none() {
                return items;
            }
        }
    }

    /// Puts an item as it is.
    pub async fn put(&self, item: Item) {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.unwrap();
    }

    /// Holds the items against each other: what stands twice is the same, and nothing stands alone that has a counterpart.
    pub async fn is_whole(&self) {
        let (mut records, mut facts) = (BTreeMap::new(), BTreeMap::new());
        let (mut listed, mut expected) = (BTreeSet::new(), BTreeSet::new());
        let (mut members, mut roles) = (BTreeSet::new(), BTreeSet::new());
        let (mut workspaces, mut workspace_names) = (BTreeSet::new(), BTreeSet::new());
        for item in self.items().await {
            let (partition, sort) = (text(&item, "pk"), text(&item, "sk"));
            let (length, rest) = partition.split_once('#').unwrap();
            let (tenant, rest) = rest.split_at(length.parse().unwrap());
            let (kind, rest) = rest.strip_prefix('#').unwrap().split_once('#').unwrap();
            let (tenant, rest) = (tenant.to_owned(), rest.to_owned());
            match kind {
                "C" | "I" => {
                    let name = text(&item, "name");
                    let attachments = map(&item, "attachments");
                    let shared = ["id", "owner", "rev", "bytes"].map(|name| item.get(name).cloned());
                    if kind == "C" {
                        let owner = format!("LO#{}", text(&item, "owner"));
                        expected.extend([(tenant.clone(), "L#all".to_owned(), name.clone())]);
                        expected.extend([(tenant.clone(), owner, name.clone())]);
                        let rooms = attachments.keys().map(|room| format!("LW#{room}"));
                        expected.extend(rooms.map(|room| (tenant.clone(), room, name.clone())));
                        records.insert((tenant, name), (shared, attachments));
                    } else {
                        facts.insert((tenant, name), (shared, attachments));
                    }
                }
                "L" | "LO" | "LW" => _ = listed.insert((tenant, format!("{kind}#{rest}"), sort)),
                "W" => _ = workspaces.insert((tenant, text(&item, "name"), sort.parse::<u64>().unwrap())),
                "WN" => {
                    let id = item.get("id").unwrap().as_n().unwrap().parse::<u64>().unwrap();
                    workspace_names.insert((tenant, rest, id));
                }
                "WM" => {
                    for (person, role) in map(&item, "members") {
                        members.insert((tenant.clone(), person, rest.clone(), role.as_n().unwrap().clone()));
                    }
                }
                "MS" | "ME" => {
                    let person = format!("{}{rest}", if kind == "MS" { "s" } else { "e" });
                    for (room, role) in map(&item, "roles") {
                        roles.insert((tenant.clone(), person.clone(), room, role.as_n().unwrap().clone()));
                    }
                }
                "WC" => {}
                other => panic!("an item of kind {other}"),
            }
        }
        assert_eq!(records, facts, "records and facts");
        assert_eq!(listed, expected, "entries of lists");
        assert_eq!(workspaces, workspace_names, "workspaces and their names");
        assert_eq!(members, roles, "members and roles");
    }
}

fn text(item: &Item, name: &str) -> String {
    item.get(name).unwrap().as_s().unwrap().clone()
}

fn map(item: &Item, name: &str) -> Item {
    item.get(name).unwrap().as_m().unwrap().clone()
}
