//! The commands over a table on DynamoDB.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use patchbay_core::adoption::{Adopted, NewOwner};
use patchbay_core::seal::KeyRing;
use patchbay_core::store::Store as _;
use patchbay_dynamodb::client::{http_client, sdk_config};
use patchbay_dynamodb::{DynamoStore, Made, Reads, make_table};

use super::keys::{self, Source};
use super::rotation;
use super::serve::{self, Serving};
use super::settings::{self, ReadsMode, TableAt};
use crate::host::NativeHost;

/// Makes the table, or finds it as it has to be.
///
/// # Errors
/// Where there is another table of this name, or DynamoDB does not do it.
pub fn create_table(at: &TableAt) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let name = name(at)?;
    let made = runtime.block_on(async {
        let made = make_table(&client(at).await?, name).await;
        made.with_context(|| format!("the table {name} cannot be made"))
    })?;
    let how = match made {
        Made::Now => "is made",
        Made::Before => "is there already, and as it has to be",
        Made::Different(what) => bail!("there is another table {name}, {what}: choose another name"),
    };
    // It is there whether or not somebody reads it.
    _ = writeln!(std::io::stdout(), "The table {name} {how}.");
    Ok(())
}

/// Serves over the table.
///
/// # Errors
/// What stops the start, in a sentence that says what to do.
pub fn serve(serving: Serving<'_>) -> anyhow::Result<()> {
    let at = &serving.settings.table;
    let name = name(at)?;
    let ring = ring()?;
    serve::runtime()?.block_on(async {
        let reads = match serving.settings.reads {
            Some(ReadsMode::Eventual) => Reads::Eventual,
            Some(ReadsMode::Strong) | None => Reads::Strong,
        };
        let store = DynamoStore::new(client(at).await?, name).with_reads(reads);
        let ready = store.ready().await;
        ready.with_context(|| format!("the table {name} cannot be read; `patchbay table create` makes one"))?;
        let native = serving.native(store, ring);
        let place = format!("the table {name} on DynamoDB");
        serving.run(native, &place, &Source::Variable).await
    })
}

/// Says how many records each key seals.
///
/// # Errors
/// What stopped it, in a sentence that says what to do.
pub fn status(at: &TableAt) -> anyhow::Result<()> {
    let (name, ring) = (name(at)?, ring()?);
    rotation::runtime()?.block_on(async {
        let store = DynamoStore::new(client(at).await?, name).unhurried();
        rotation::say(&ring, &rotation::count(&store).await?);
        Ok(())
    })
}

/// Seals again what others than the ring's first key sealed.
///
/// # Errors
/// What stopped it, in a sentence that says what to do; that not all is sealed with the first key.
pub fn rotate(at: &TableAt) -> anyhow::Result<()> {
    let (name, ring) = (name(at)?, ring()?);
    rotation::runtime()?.block_on(async {
        let store = DynamoStore::new(client(at).await?, name).unhurried();
        rotation::all(&store, &ring, &Source::Variable).await
    })
}

/// Gives somebody what was stored while authentication was off.
///
/// # Errors
/// What stopped it, in a sentence that says what to do.
pub fn adopt(at: &TableAt, to: &NewOwner, dry_run: bool) -> anyhow::Result<Adopted> {
    let (name, ring) = (name(at)?, ring()?);
    rotation::runtime()?.block_on(async {
        let store = DynamoStore::new(client(at).await?, name).unhurried();
        rotation::prove(&store, &ring, &Source::Variable).await?;
        Ok(patchbay_dynamodb::adopt(&store, &ring, &NativeHost, to, dry_run).await?)
    })
}

/// The ring, for which there is no place but the variable.
fn ring() -> anyhow::Result<KeyRing> {
    let ring = settings::keys()?.context(
        "no data folder, no keys: set PATCHBAY_KEYS, the same for every server over this table; `patchbay keys generate` \
         prints an entry",
    )?;
    keys::of_variable(&ring)
}

fn name(at: &TableAt) -> anyhow::Result<&str> {
    let name = at.table.as_deref();
    name.context("which table on DynamoDB? Give --table, or set PATCHBAY_TABLE")
}

/// With region and credentials from where AWS's own tools find them: variables, profiles, and what containers and
/// machines on AWS are given.
async fn client(at: &TableAt) -> anyhow::Result<Client> {
    let http_client = http_client();
    let found = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http_client.clone())
        .load()
        .await;
    let region = found.region().context("which region of AWS? Set AWS_REGION")?;
    let credentials = found.credentials_provider().context("there are no AWS credentials")?;
    let config = sdk_config(region.clone(), credentials, http_client);
    let mut config = Builder::from(&config);
    config.set_endpoint_url(at.endpoint.clone());
    Ok(Client::from_conf(config.build()))
}
