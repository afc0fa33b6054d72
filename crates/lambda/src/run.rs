//! The function's life: settings, keys, the way to the table, and then one event after the other.

use std::convert::Infallible;
use std::env::{self, VarError};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_sdk_dynamodb::config::{Credentials, Region, SharedCredentialsProvider};
use lambda_http::lambda_runtime::{LambdaEvent, Runtime};
use lambda_http::service_fn;
use patchbay_core::api::{Config, Host, Patchbay};
use patchbay_core::identity::Authentication;
use patchbay_core::identity::fetched::{Fetched, Renewal};
use patchbay_core::seal::KeyRing;
use patchbay_core::store::Store as _;
use patchbay_dynamodb::{DynamoStore, client};
use secrecy::{ExposeSecret as _, SecretString};

use crate::event::Event;
use crate::function::{Function, Invocation};
use crate::settings::{Keys, Settings};
use crate::{log, reply};

/// Time for the first read of the table, and of the issuer's keys. Lambda gives a start ten seconds.
const FIRST_READ: Duration = Duration::from_secs(3);

/// Runs the function for as long as Lambda wants it.
///
/// # Errors
/// What stops the start, in a sentence that says what to do; later, that Lambda's runtime does not answer.
pub fn run(host: impl Host + Copy + Send + Sync + 'static) -> anyhow::Result<()> {
    // Between its calls the function stands still, so that nothing is fetched in the background.
    let fetched = |source| Ok(Fetched::new(source, Renewal::Within, patchbay_fetch::dispatch(host)?));
    let settings = Settings::read(variable, fetched)?;
    log::start(settings.log);
    // One thread: Lambda gives a function one event at a time, and a share of a processor.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(settings, host))
}

/// A variable's text. An empty one is none: a template's parameters have no other way of saying nothing.
fn variable(name: &str) -> anyhow::Result<Option<String>> {
    match env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => bail!("{name} is not UTF-8"),
    }
}

async fn serve(settings: Settings, host: impl Host + Copy) -> anyhow::Result<()> {
    if let Authentication::NotConfigured = settings.authentication {
        tracing::error!("every call is refused: PATCHBAY_AUTH says nothing of how callers are known");
    }
    for key in settings.authentication.left_out() {
        tracing::warn!(key_id = key.id, why = key.why, "a key of PATCHBAY_JWKS is left out");
    }
    let aws = client::sdk_config(region()?, credentials()?, client::http_client());
    let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(&aws);
    dynamodb.set_endpoint_url(settings.endpoint);
    let dynamodb = aws_sdk_dynamodb::Client::from_conf(dynamodb.build());
    let store = DynamoStore::new(dynamodb, settings.table).with_reads(settings.reads);
    // Each opens a connection, which is most of what they take.
    let (ring, first_read, _) = tokio::join!(
        ring(settings.keys, &aws),
        tokio::time::timeout(FIRST_READ, store.ready()),
        tokio::time::timeout(FIRST_READ, settings.authentication.prepare(host.now()))
    );
    // The table may answer yet when there is a call for it.
    match first_read {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the table cannot be read so far"),
        Err(_) => tracing::warn!("the table does not answer so far"),
    }
    let config = Config {
        authentication: settings.authentication,
        workspaces: settings.workspaces,
        answer_bytes: reply::MOST,
    };
    let patchbay = Patchbay::new(store, ring?, host, config).with_operators(settings.operators);
    let function = Rc::new(Function::new(patchbay, host, settings.base_path));
    let handler = service_fn(|event: LambdaEvent<Event>| {
        let function = Rc::clone(&function);
        async move {
            let invocation = Invocation {
                request_id: &event.context.request_id,
                deadline_millis: event.context.deadline,
            };
            Ok::<_, Infallible>(function.call(event.payload, invocation).await)
        }
    });
    let ended = Runtime::new(handler).run().await;
    ended.map_err(|error| anyhow::anyhow!("Lambda's runtime: {error}"))
}

/// The region that Lambda runs the function in.
fn region() -> anyhow::Result<Region> {
    let region = variable("AWS_REGION")?.context("AWS_REGION is not set, as Lambda sets it")?;
    Ok(Region::new(region))
}

/// The credentials of the function's role, which Lambda hands to each of its processes for as long as it lives.
fn credentials() -> anyhow::Result<SharedCredentialsProvider> {
    let given = |name| variable(name)?.with_context(|| format!("{name} is not set, as Lambda sets it"));
    Ok(SharedCredentialsProvider::new(Credentials::new(
        given("AWS_ACCESS_KEY_ID")?,
        given("AWS_SECRET_ACCESS_KEY")?,
        variable("AWS_SESSION_TOKEN")?,
        None,
        "the function's role",
    )))
}

async fn ring(keys: Keys, aws: &aws_types::SdkConfig) -> anyhow::Result<KeyRing> {
    let (id, endpoint) = match keys {
        Keys::Given(keys) => {
            return KeyRing::parse(keys.expose_secret()).map_err(|error| anyhow::anyhow!("PATCHBAY_KEYS: {error}"));
        }
        Keys::Secret { id, endpoint } => (id, endpoint),
    };
    let mut secrets = aws_sdk_secretsmanager::config::Builder::from(aws);
    secrets.set_endpoint_url(endpoint);
    let asked = aws_sdk_secretsmanager::Client::from_conf(secrets.build())
        .get_secret_value()
        .secret_id(&id)
        .send()
        .await;
    // By its causes' sentences alone: what it shows for debugging may hold the answer, and so the secret.
    let secret = asked.with_context(|| format!("the secret {id} cannot be read"))?;
    let text = secret.secret_string.map(SecretString::from);
    let text = text.with_context(|| format!("the secret {id} is not a text"))?;
    KeyRing::from_json(text.expose_secret()).map_err(|error| anyhow::anyhow!("the secret {id} {error}"))
}
