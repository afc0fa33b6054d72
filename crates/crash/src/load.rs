//! Clients that change connections, each its own, and know what they were promised.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use http::StatusCode;
use serde_json::Value;

use crate::record::{Mark, Marks};
use crate::server::Client;
use crate::state::{Change, Connection, Expected, details};

/// Workspaces that connections are attached to.
const WORKSPACES: u64 = 5;
/// Names that a load uses.
const NAMES: usize = 8;

/// One client's load, which goes on over any number of servers.
#[derive(Debug, Clone)]
pub struct Load {
    prefix: String,
    rng: Rng,
    generation: u32,
    /// What the client was promised.
    pub expected: Expected,
}

/// How a change was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// It was acknowledged.
    Done,
    /// 503.
    Unavailable,
    /// Not at all.
    Nothing,
}

impl Load {
    /// A load over names of its own.
    pub fn new(prefix: &str, seed: u64) -> Self {
        Self {
            prefix: prefix.to_owned(),
            rng: Rng::with_seed(seed),
            generation: 0,
            expected: Expected::default(),
        }
    }

    /// Makes one change that must succeed while the server and its disk are well. Names whose state is not certain are
    /// left alone.
    ///
    /// # Errors
    /// Where the answer is not one that the server may give.
    pub fn change(&mut self, client: &Client, marks: Option<&Marks>) -> anyhow::Result<Answered> {
        let names = (0..NAMES).map(|number| format!("{}-{number}", self.prefix));
        let certain = names.filter_map(|name| self.expected.certain(&name).map(|state| (name, state)));
        let certain: Vec<_> = certain.collect();
        let (name, state) = self.rng.choice(certain).context("nothing is certain any more")?;
        let change = self.choose(state.as_ref());
        self.send(client, marks, &name, state.as_ref(), change)
    }

    fn choose(&mut self, state: Option<&Connection>) -> Change {
        self.generation += 1;
        let Some(connection) = state else {
            return Change::Create(self.generation);
        };
        let attached: Vec<u64> = connection.workspaces.iter().copied().collect();
        match self.rng.choice(&attached) {
            Some(workspace) if self.rng.u8(..10) < 6 => Change::Detach(*workspace),
            None if self.rng.bool() => Change::Delete,
            _ => Change::Attach(self.rng.u64(1..=WORKSPACES)),
        }
    }

    /// Makes this change.
    ///
    /// # Errors
    /// Where the answer is not one that the server may give.
    pub fn send(
        &mut self,
        client: &Client,
        marks: Option<&Marks>,
        name: &str,
        state: Option<&Connection>,
        change: Change,
    ) -> anyhow::Result<Answered> {
        let id = state
            .and_then(|connection| connection.id.as_deref())
            .unwrap_or_default();
        let pair = |workspace| format!("{{\"workspace_id\":{workspace},\"connection_id\":\"{id}\"}}");
        let (operation, body) = match change {
            Change::Create(generation) => {
                let details = details(name, generation);
                let body = format!("{{\"name\":\"{name}\",\"type\":\"KAFKA\",\"details\":{details}}}");
                ("create", body)
            }
            Change::Attach(workspace) => ("add_to_workspace", pair(workspace)),
            Change::Detach(workspace) => ("remove_from_workspace", pair(workspace)),
            Change::Delete => ("delete", format!("{{\"name\":\"{name}\"}}")),
        };
        let name = name.to_owned();
        self.mark(
            marks,
            &Mark::Sent {
                name: name.clone(),
                change,
            },
        )?;
        let (answered, mark) = match client.call(operation, body) {
            Ok((status, body)) if status.is_success() => {
                let id = match change {
                    Change::Create(_) => Some(text(&serde_json::from_slice(&body)?, "id")?),
                    _ => None,
                };
                (Answered::Done, Mark::Acknowledged { name, id })
            }
            Ok((StatusCode::SERVICE_UNAVAILABLE, _)) => (Answered::Unavailable, Mark::Refused { name }),
            Ok((status, body)) => anyhow::bail!("{change:?} of {name} was answered with {status}: {body:?}"),
            Err(_) => (Answered::Nothing, Mark::Refused { name }),
        };
        self.mark(marks, &mark)?;
        Ok(answered)
    }

    fn mark(&mut self, marks: Option<&Marks>, mark: &Mark) -> anyhow::Result<()> {
        if let Some(marks) = marks {
            marks.add(mark)?;
        }
        self.expected.take(mark)
    }

    /// Takes what is found under this load's names as certain from now on.
    ///
    /// # Errors
    /// Where it is not what may be there.
    pub fn settle(&mut self, found: &BTreeMap<String, Connection>) -> anyhow::Result<()> {
        let own = found
            .iter()
            .filter(|(name, _)| name.starts_with(&format!("{}-", self.prefix)));
        let own = own
            .map(|(name, connection)| (name.clone(), connection.clone()))
            .collect();
        self.expected.settle(&own)
    }
}

/// Everything that a server lists, with the details that belong to it; `None` where it answers 503.
///
/// # Errors
/// Where an answer is not one that the server may give, or details are not those that were sent.
pub fn list(client: &Client) -> anyhow::Result<Option<BTreeMap<String, Connection>>> {
    let (status, body) = client.call("list", "{}".to_owned())?;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return Ok(None);
    }
    ensure!(status == StatusCode::OK, "list was answered with {status}: {body:?}");
    let answer: Value = serde_json::from_slice(&body)?;
    let connections = answer.get("connections").and_then(Value::as_array);
    let mut found = BTreeMap::new();
    for connection in connections.context("no connections")? {
        let name = text(connection, "name")?;
        let given = connection.get("details").context("no details")?.to_string();
        let names = connection.get("workspace_names").and_then(Value::as_array);
        let names = names.context("no workspaces")?.iter().filter_map(Value::as_str);
        let read = read(text(connection, "id")?, &name, given.as_bytes(), names)?;
        found.insert(name, read);
    }
    Ok(Some(found))
}

/// A connection out of what is stored or listed.
///
/// # Errors
/// Where the details are not whole, or not those that were sent.
pub fn read<'a>(
    id: String,
    name: &str,
    given: &[u8],
    workspace_names: impl Iterator<Item = &'a str>,
) -> anyhow::Result<Connection> {
    let parsed: Value = serde_json::from_slice(given).with_context(|| format!("the details of {name}"))?;
    let generation = parsed
        .get("generation")
        .and_then(Value::as_u64)
        .context("no generation")?;
    let generation = u32::try_from(generation)?;
    let sent: Value = serde_json::from_str(&details(name, generation))?;
    ensure!(parsed == sent, "{name} has other details than were sent");
    let workspaces = workspace_names.map(|workspace| {
        let number = workspace
            .strip_prefix("workspace-")
            .and_then(|number| number.parse().ok());
        number.with_context(|| format!("{name} is in the unknown workspace {workspace}"))
    });
    Ok(Connection {
        id: Some(id),
        generation,
        workspaces: workspaces.collect::<anyhow::Result<_>>()?,
    })
}

fn text(value: &Value, field: &str) -> anyhow::Result<String> {
    let text = value.get(field).and_then(Value::as_str);
    Ok(text.with_context(|| format!("no {field}"))?.to_owned())
}
