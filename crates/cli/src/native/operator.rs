//! `--url`: an operator's calls of a server, for `patchbay keys status`, `patchbay keys rotate` and `patchbay adopt`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Response, StatusCode};
use patchbay_core::adoption::{Adopted, NewOwner};
use patchbay_core::identity::source::Url;
use patchbay_core::limits;
use patchbay_core::model::KeyId;
use patchbay_core::rotation::KeyStatus;
use patchbay_fetch::Post;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::rotation::{self, Progress};
use super::settings::{self, OPERATOR_TOKEN, OPERATOR_TOKENS};

/// How long one call is repeated while the server is out of reach or has too much to do.
const PATIENCE: Duration = Duration::from_mins(2);
/// From the first time to the second one; it doubles from then on, up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Characters of what a server says that are passed on: more than the longest of Patchbay's, which names what is in an
/// adoption's way.
const SAID: usize = 20_000;

/// Says how many records each key seals.
///
/// # Errors
/// What stopped it, in a sentence that says what to do.
pub fn status(url: &Url) -> anyhow::Result<()> {
    let server = Server::new(url)?;
    rotation::runtime()?.block_on(server.count())?.say();
    Ok(())
}

/// Has the server seal again what others than its ring's first key sealed.
///
/// # Errors
/// What stopped it, in a sentence that says what to do; that not all is sealed with the first key.
pub fn rotate(url: &Url) -> anyhow::Result<()> {
    let server = Server::new(url)?;
    let counted = rotation::runtime()?.block_on(async {
        server.reseal().await?;
        server.count().await
    })?;
    counted.say();
    let sealing = counted.keys.values().find(|status| status.sealing);
    let key = &sealing.context("the server names no key that seals")?.id;
    let others = counted.keys.values().filter(|status| status.id != *key);
    let others = others
        .map(|status| status.records)
        .sum::<u64>()
        .saturating_add(counted.unreadable);
    ensure!(
        others == 0,
        "{}: the server's log names what does not open. Put keys that are missing back into its ring, see that every server \
         has {key} first, and run it again. A Worker also counts what KV may show late, which is over by itself: run it again \
         later",
        rotation::not_sealed(others, key)
    );
    Ok(())
}

/// Has the server give somebody what was stored while authentication was off.
///
/// # Errors
/// What stopped it, in a sentence that says what to do.
pub fn adopt(url: &Url, to: &NewOwner, dry_run: bool) -> anyhow::Result<Adopted> {
    let server = Server::new(url)?;
    rotation::runtime()?.block_on(server.adopt(to, dry_run))
}

/// Has the server end an adoption by somebody that it began and has not decided.
///
/// # Errors
/// What stopped it, in a sentence that says what to do.
pub fn give_up(url: &Url, to: &NewOwner) -> anyhow::Result<()> {
    let server = Server::new(url)?;
    let body = json!({"tenant": &to.tenant, "owner": &to.subject, "give_up": true});
    let given_up = server.call::<Adopting>("admin/adopt", &body);
    rotation::runtime()?.block_on(given_up).map(|_| ())
}

/// What `admin/keys/reseal` answers.
#[derive(Deserialize)]
struct Resealed {
    resealed: u64,
    next_cursor: Option<String>,
}

/// What `admin/adopt` answers.
#[derive(Deserialize)]
struct Adopting {
    adopted: Option<Adopted>,
    next_cursor: Option<String>,
}

/// What `admin/keys/status` answers.
#[derive(Deserialize)]
struct Counted {
    keys: Vec<Key>,
    #[serde(default)]
    unreadable: u64,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Key {
    id: String,
    records: u64,
    sealing: bool,
    available: bool,
}

/// What every call answers that fails.
#[derive(Deserialize)]
struct Failed {
    msg: String,
}

/// What all answers of `admin/keys/status` come to.
#[derive(Default)]
struct Standing {
    /// In the order of their ids.
    keys: BTreeMap<KeyId, KeyStatus>,
    unreadable: u64,
}

impl Standing {
    fn say(&self) {
        rotation::say_all(self.keys.values(), self.unreadable);
    }
}

struct Server<'a> {
    url: &'a Url,
    post: Post,
}

impl<'a> Server<'a> {
    fn new(url: &'a Url) -> anyhow::Result<Self> {
        let token = settings::operator_token()?.with_context(|| {
            format!(
                "a server answers to operators alone: put the token that `patchbay tokens create --operator` printed into \
                 {OPERATOR_TOKEN}"
            )
        })?;
        let post = Post::new(&token).context(OPERATOR_TOKEN)?;
        Ok(Self { url, post })
    }

    async fn reseal(&self) -> anyhow::Result<()> {
        let (mut sealed, mut cursor) = (Progress::default(), None);
        loop {
            let body = json!({"limit": limits::RESEALED, "cursor": cursor});
            let answer: Resealed = self.call("admin/keys/reseal", &body).await?;
            sealed.add(answer.resealed);
            cursor = answer.next_cursor;
            if cursor.is_none() {
                break;
            }
            sealed.tell();
        }
        sealed.end();
        Ok(())
    }

    async fn adopt(&self, to: &NewOwner, dry_run: bool) -> anyhow::Result<Adopted> {
        let (mut adopted, mut cursor) = (None, None);
        loop {
            let body = json!({"tenant": &to.tenant, "owner": &to.subject, "dry_run": dry_run, "cursor": cursor});
            let answer: Adopting = self.call("admin/adopt", &body).await?;
            adopted = answer.adopted.or(adopted);
            cursor = answer.next_cursor;
            if cursor.is_none() {
                return adopted.context("the server does not say what was adopted");
            }
        }
    }

    async fn count(&self) -> anyhow::Result<Standing> {
        let (mut sum, mut cursor) = (Standing::default(), None);
        loop {
            let answer: Counted = self.call("admin/keys/status", &json!({"cursor": cursor})).await?;
            for key in answer.keys {
                let id = KeyId::new(&key.id).context("the server names a key that is none")?;
                let status = sum.keys.entry(id.clone()).or_insert(KeyStatus {
                    id,
                    records: 0,
                    sealing: key.sealing,
                    available: key.available,
                });
                status.records = status.records.saturating_add(key.records);
            }
            sum.unreadable = sum.unreadable.saturating_add(answer.unreadable);
            cursor = answer.next_cursor;
            if cursor.is_none() {
                return Ok(sum);
            }
        }
    }

    /// Calls until there is an answer that will not be another one soon. Each call may be repeated.
    async fn call<T: DeserializeOwned>(&self, operation: &str, body: &serde_json::Value) -> anyhow::Result<T> {
        let base = self.url.to_string();
        let url = Url::new(&format!("{}/v1/api/{operation}", base.trim_end_matches('/')))?;
        let body = Bytes::from(body.to_string());
        let (mut pause, mut end) = (PAUSE, None);
        loop {
            let (why, wait) = match self.post.send(&url, body.clone()).await {
                Ok(answer) if !passes(answer.status()) => return read(&answer),
                Ok(answer) => (refusal(&answer), wait(&answer)),
                Err(error) => (format!("{error:#}"), None),
            };
            let wait = wait.unwrap_or_default().max(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            let end = *end.get_or_insert_with(|| Instant::now() + PATIENCE);
            ensure!(
                Instant::now() + wait < end,
                "{} does not do it now, so run it again later, and it goes on: {why}",
                self.url
            );
            rotation::progress(format_args!("Trying again in {} s: {why}", wait.as_secs_f32()));
            tokio::time::sleep(wait).await;
        }
    }
}

/// Whether it says, for the server or what is in front of it, that another time may be better.
fn passes(status: StatusCode) -> bool {
    [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ]
    .contains(&status)
}

/// The wait that it asks for in seconds.
fn wait(answer: &Response<Bytes>) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse::<u32>();
    Some(Duration::from_secs(seconds.ok()?.into()))
}

fn read<T: DeserializeOwned>(answer: &Response<Bytes>) -> anyhow::Result<T> {
    let refusal = || refusal(answer);
    match answer.status() {
        StatusCode::OK => serde_json::from_slice(answer.body()).context("what answered is no Patchbay server"),
        StatusCode::UNAUTHORIZED => bail!(
            "{}: see that the server's {OPERATOR_TOKENS} has the entry of the token in {OPERATOR_TOKEN}",
            refusal()
        ),
        _ => bail!(refusal()),
    }
}

/// What a server answers that does not do it: a stranger's text, which is bounded and must not move the cursor about.
fn refusal(answer: &Response<Bytes>) -> String {
    let status = answer.status();
    match serde_json::from_slice::<Failed>(answer.body()) {
        Ok(Failed { msg }) => {
            let msg = msg.trim_end_matches('.').chars().filter(|c| !c.is_control());
            format!(
                "the server answers {}: {}",
                status.as_u16(),
                msg.take(SAID).collect::<String>()
            )
        }
        Err(_) => format!("the server answers {status}"),
    }
}
