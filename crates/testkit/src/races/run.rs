//! What the clients of a run share, and what their answers have told so far: each answer is held against all earlier
//! ones as far as it contradicts them all by itself.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use fastrand::Rng;
use patchbay_core::model::Workspaces;
use serde_json::{Value, json};

use super::client::exchange;
use super::history::{Operation, Recorder};
use super::registry::{Answer, Call, View, Which, with_late_reads};
use super::workload::Workload;
use crate::target::Target;

/// The number of a `create` whose outcome is unknown and whose connection nobody ever saw.
const NEVER_SEEN: u64 = 0;
/// Connections a name whose ids clients keep using, deleted ones included.
pub(super) const REMEMBERED: usize = 3;

/// What all clients of a run share.
pub(super) struct Run {
    pub(super) workload: Workload,
    pub(super) places: Places,
    pub(super) asked: AtomicUsize,
    pub(super) recorder: Recorder<Call, Answer>,
    known: Mutex<Known>,
}

/// What the places of names and workspaces stand for at the home.
#[derive(Debug)]
pub(super) struct Places {
    /// In byte order.
    pub(super) names: Vec<String>,
    /// Ids and names.
    workspaces: Vec<(u64, String)>,
}

impl Places {
    async fn make(workload: &Workload, target: &impl Target) -> anyhow::Result<Self> {
        let ours = Rng::new().u64(1 << 20..1 << 40);
        let names = (0..workload.names).map(|place| format!("race-{ours:x}-{place:04}"));
        let mut workspaces = Vec::new();
        for place in 0..workload.workspaces {
            let id = ours * 1000 + place as u64;
            workspaces.push(match workload.mode {
                Workspaces::Open => (id, format!("workspace-{id}")),
                Workspaces::Managed => {
                    let name = format!("race-{ours:x}-{place:04}");
                    let body = json!({ "workspace_name": name });
                    let made = exchange(target, "workspaces/create", &body).await?;
                    let id = made.json.get("workspace_id").and_then(Value::as_u64);
                    (id.with_context(|| format!("workspaces/create: {made}"))?, name)
                }
            });
        }
        Ok(Self {
            names: names.collect(),
            workspaces,
        })
    }

    pub(super) fn name(&self, place: usize) -> &str {
        self.names.get(place).map_or("", String::as_str)
    }

    pub(super) fn workspace(&self, place: usize) -> u64 {
        self.workspaces.get(place).map_or(0, |(id, _)| *id)
    }
}

/// What the answers have told so far.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The last `create`'s number.
    pub(super) created: u64,
    /// Connections that were seen, by id.
    connections: HashMap<String, Which>,
    /// Their ids, by number.
    pub(super) ids: HashMap<u64, String>,
    /// The newest of each name, the newest first.
    pub(super) newest: HashMap<usize, VecDeque<(Which, String)>>,
    /// What never changes of a connection, as it was seen first: everything but its workspaces.
    fixed: HashMap<u64, Value>,
    /// Attachments by id: their number, connection and workspace.
    attachments: HashMap<String, (u64, Which, usize)>,
}

impl Known {
    pub(super) fn remember(&mut self, which: Which, id: &str) -> anyhow::Result<()> {
        let other = *self.connections.entry(id.to_owned()).or_insert(which);
        anyhow::ensure!(other == which, "{which} has the id of {other}: {id}");
        match self.ids.entry(which.number) {
            Entry::Occupied(known) => {
                anyhow::ensure!(known.get() == id, "{which} has the ids {} and {id}", known.get())
            }
            Entry::Vacant(vacant) => {
                vacant.insert(id.to_owned());
                let newest = self.newest.entry(which.name).or_default();
                newest.push_front((which, id.to_owned()));
                newest.truncate(REMEMBERED);
            }
        }
        Ok(())
    }
}

impl Run {
    /// Makes what a run needs at the home.
    pub(super) async fn begin(workload: Workload, target: &impl Target) -> anyhow::Result<Self> {
        let places = Places::make(&workload, target).await?;
        Ok(Self {
            asked: AtomicUsize::new(0),
            recorder: Recorder::default(),
            known: Mutex::default(),
            workload,
            places,
        })
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was recorded. Where nobody ever saw the connection of a `create` whose outcome is unknown, its number says
    /// nothing and is left out, so that one such `create` is like another.
    pub(super) fn history(&self) -> Vec<Operation<Call, Answer>> {
        let known = self.known();
        let mut history = self.recorder.history();
        for operation in &mut history {
            if let (Call::Create(which), None) = (&mut operation.call, &operation.answer)
                && !known.fixed.contains_key(&which.number)
            {
                which.number = NEVER_SEEN;
            }
        }
        if !self.workload.stale.is_zero() {
            with_late_reads(&mut history, |asked| self.recorder.before(asked, self.workload.stale));
        }
        history
    }

    /// A row of an answer, held against all earlier ones.
    pub(super) fn view(&self, row: &Value) -> anyhow::Result<View> {
        let name = text(row, "name")?;
        let name = self.places.names.iter().position(|known| known == name);
        let name = name.with_context(|| format!("a name that was not asked for: {row}"))?;
        let number = row.get("details").and_then(|details| details.get("number"));
        let number = number.and_then(Value::as_u64);
        let number = number.with_context(|| format!("details that nobody sent: {row}"))?;
        let which = Which { name, number };
        let rooms = row.get("workspace_names").and_then(Value::as_array);
        let rooms = rooms.with_context(|| format!("no `workspace_names`: {row}"))?;
        let place = |room: &Value| {
            let place = self.places.workspaces.iter().position(|(_, known)| room == known);
            place.with_context(|| format!("a workspace that nobody attached it to: {row}"))
        };
        let attached = rooms.iter().map(place).collect::<anyhow::Result<_>>()?;

        let mut known = self.known();
        known.remember(which, text(row, "id")?)?;
        let mut fixed = row.clone();
        fixed.as_object_mut().map(|fields| fields.remove("workspace_names"));
        match known.fixed.entry(number) {
            Entry::Vacant(vacant) => _ = vacant.insert(fixed),
            Entry::Occupied(first) => {
                let first = first.get();
                anyhow::ensure!(*first == fixed, "a connection changed: first {first}, then {row}");
            }
        }
        Ok(View { which, attached })
    }

    pub(super) fn attachment(&self, id: &str, which: Which, to: usize) -> anyhow::Result<u64> {
        let mut known = self.known();
        let next = known.attachments.len() as u64 + 1;
        let (number, of, at) = *known.attachments.entry(id.to_owned()).or_insert((next, which, to));
        anyhow::ensure!(
            (of, at) == (which, to),
            "attachment {id} is of {which} to workspace {to}, and was of {of} to workspace {at}"
        );
        Ok(number)
    }
}

pub(super) fn text<'j>(json: &'j Value, field: &str) -> anyhow::Result<&'j str> {
    let text = json.get(field).and_then(Value::as_str);
    text.with_context(|| format!("no text `{field}` in {json}"))
}
