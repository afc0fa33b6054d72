//! Clients that get in each other's way: all operations on a few names at once, each taken down with what it was told.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use fastrand::Rng;
use http::{Request, StatusCode};
use patchbay_core::model::Workspaces;
use serde_json::{Value, json};

use super::history::{Operation, Recorder};
use super::registry::{Answer, Call, View, Which};
use crate::target::Target;

/// The number of a `create` whose outcome is unknown and whose connection nobody ever saw.
const NEVER_SEEN: u64 = 0;
/// Connections a name whose ids clients keep using, deleted ones included.
const REMEMBERED: usize = 3;
/// A client that will not wait for the answer lets others go first less often than this, and is gone. Counted, and not
/// timed, since a commit is quicker than the runtime's timers are fine.
const PATIENCE: u32 = 20;
/// A client that was told to come back waits so long.
const PAUSE: Duration = Duration::from_millis(20);

/// What is to be done to a home.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Operations, over all clients.
    pub operations: usize,
    /// Clients, each with one operation under way at a time.
    pub clients: usize,
    /// Names of connections.
    pub names: usize,
    /// Workspaces.
    pub workspaces: usize,
    /// What the clients' choices come from. How they meet is up to the machine all the same.
    pub seed: u64,
    /// Of a hundred operations, so many are given up before their answer is there, which makes them unknown outcomes.
    pub abandoned: u8,
    /// The home's mode of workspaces.
    pub mode: Workspaces,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            operations: 10_000,
            clients: 8,
            names: 3,
            workspaces: 2,
            seed: 1,
            abandoned: 2,
            mode: Workspaces::Open,
        }
    }
}

impl Workload {
    /// Runs it against a home and gives the history. Each client makes its own way to the home with `target`, on a
    /// thread of its own; the runtime must be one with several threads. Takes away what it made at the end, which is
    /// part of the history.
    ///
    /// # Errors
    /// Where the home gives an answer that the contract does not know, or that contradicts an earlier one all by
    /// itself: an id that two connections share, or a connection whose id, details or time differ between two reads.
    pub async fn run<T: Target>(
        self,
        target: impl Fn() -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Vec<Operation<Call, Answer>>> {
        let (clients, seed) = (self.clients, self.seed);
        let target = Arc::new(target);
        let first = Arc::clone(&target);
        let run = on_its_own_thread(async move || {
            let target = first()?;
            let places = Places::make(&self, &target).await?;
            Ok(Run {
                asked: AtomicUsize::new(0),
                recorder: Recorder::default(),
                known: Mutex::default(),
                workload: self,
                places,
            })
        });
        let run = Arc::new(run.await?);
        let clients = (0..clients).map(|number| {
            let (run, target) = (Arc::clone(&run), Arc::clone(&target));
            let rng = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
            on_its_own_thread(async move || Client::new(number, &run, &target()?, rng).work().await)
        });
        for outcome in futures_util::future::join_all(clients).await {
            outcome?;
        }
        let last = Arc::clone(&run);
        on_its_own_thread(async move || {
            let rng = Rng::with_seed(seed);
            Client::new(last.workload.clients, &last, &target()?, rng).tidy().await
        })
        .await?;
        Ok(run.history())
    }
}

/// Runs what need not be able to move between threads.
async fn on_its_own_thread<R: Send + 'static>(
    work: impl AsyncFnOnce() -> anyhow::Result<R> + Send + 'static,
) -> anyhow::Result<R> {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(work())).await?
}

/// What the places of names and workspaces stand for at the home.
#[derive(Debug)]
struct Places {
    /// In byte order.
    names: Vec<String>,
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

    fn name(&self, place: usize) -> &str {
        self.names.get(place).map_or("", String::as_str)
    }

    fn workspace(&self, place: usize) -> u64 {
        self.workspaces.get(place).map_or(0, |(id, _)| *id)
    }
}

/// An answer as it came.
struct Reply {
    status: StatusCode,
    json: Value,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.json)
    }
}

impl Reply {
    fn text(&self, field: &str) -> anyhow::Result<&str> {
        text(&self.json, field)
    }
}

fn text<'j>(json: &'j Value, field: &str) -> anyhow::Result<&'j str> {
    let text = json.get(field).and_then(Value::as_str);
    text.with_context(|| format!("no text `{field}` in {json}"))
}

async fn exchange(target: &impl Target, path: &str, body: &Value) -> anyhow::Result<Reply> {
    let request = Request::post(format!("/v1/api/{path}"))
        .header("content-type", "application/json")
        .body(Bytes::from(body.to_string()))?;
    let response = target.send(None, request).await.map_err(anyhow::Error::msg)?;
    let json = match response.body().as_ref() {
        [] => Value::Null,
        body => serde_json::from_slice(body)?,
    };
    Ok(Reply {
        status: response.status(),
        json,
    })
}

/// What all clients of a run share.
struct Run {
    workload: Workload,
    places: Places,
    asked: AtomicUsize,
    recorder: Recorder<Call, Answer>,
    known: Mutex<Known>,
}

/// What the answers have told so far.
#[derive(Debug, Default)]
struct Known {
    /// The last `create`'s number.
    created: u64,
    /// Connections that were seen, by id.
    connections: HashMap<String, Which>,
    /// Their ids, by number.
    ids: HashMap<u64, String>,
    /// The newest of each name, the newest first.
    newest: HashMap<usize, VecDeque<(Which, String)>>,
    /// What never changes of a connection, as it was seen first: everything but its workspaces.
    fixed: HashMap<u64, Value>,
    /// Attachments by id: their number, connection and workspace.
    attachments: HashMap<String, (u64, Which, usize)>,
}

impl Known {
    fn remember(&mut self, which: Which, id: &str) -> anyhow::Result<()> {
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
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was recorded. Where nobody ever saw the connection of a `create` whose outcome is unknown, its number says
    /// nothing and is left out, so that one such `create` is like another.
    fn history(&self) -> Vec<Operation<Call, Answer>> {
        let known = self.known();
        let mut history = self.recorder.history();
        for operation in &mut history {
            if let (Call::Create(which), None) = (&mut operation.call, &operation.answer)
                && !known.fixed.contains_key(&which.number)
            {
                which.number = NEVER_SEEN;
            }
        }
        history
    }

    /// A row of an answer, held against all earlier ones.
    fn view(&self, row: &Value) -> anyhow::Result<View> {
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

    fn attachment(&self, id: &str, which: Which, to: usize) -> anyhow::Result<u64> {
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

/// One client.
struct Client<'r, T> {
    number: usize,
    run: &'r Run,
    target: &'r T,
    rng: Rng,
    /// Where its last page of a workspace's list ended.
    cursor: Option<(usize, usize, String)>,
}

/// A call, and how it goes over the wire.
struct Wire {
    call: Call,
    path: &'static str,
    body: Value,
}

impl<'r, T: Target> Client<'r, T> {
    fn new(number: usize, run: &'r Run, target: &'r T, rng: Rng) -> Self {
        let cursor = None;
        Self {
            number,
            run,
            target,
            rng,
            cursor,
        }
    }

    async fn work(mut self) -> anyhow::Result<()> {
        while self.run.asked.fetch_add(1, Ordering::Relaxed) < self.run.workload.operations {
            let wire = self.choose();
            let gives_up = self.rng.u8(0..100) < self.run.workload.abandoned;
            let patience = gives_up.then(|| self.rng.u32(0..PATIENCE));
            self.perform(&wire, patience).await?;
        }
        Ok(())
    }

    /// Detaches and deletes everything.
    async fn tidy(mut self) -> anyhow::Result<()> {
        for name in 0..self.run.workload.names {
            let get = self.get(name);
            let Some(Answer::Found(view)) = self.perform(&get, None).await? else {
                continue;
            };
            for from in view.attached {
                let id = self.id(view.which);
                let wire = self.detach(view.which, id, from);
                self.perform(&wire, None).await?;
            }
            let delete = self.delete(name);
            self.perform(&delete, None).await?;
        }
        Ok(())
    }

    /// Asks, and takes down both call and answer. `None` where the outcome stays unknown.
    async fn perform(&mut self, wire: &Wire, patience: Option<u32>) -> anyhow::Result<Option<Answer>> {
        let asked = self.run.recorder.ask(self.number, wire.call);
        let exchange = exchange(self.target, wire.path, &wire.body);
        let reply = match patience {
            Some(patience) => {
                let gone = async {
                    for _ in 0..patience {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    biased;
                    reply = exchange => reply,
                    () = gone => return Ok(None),
                }
            }
            None => exchange.await,
        };
        let Ok(reply) = reply else {
            tokio::time::sleep(PAUSE).await;
            return Ok(None);
        };
        if matches!(
            reply.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            tokio::time::sleep(PAUSE).await;
            return Ok(None);
        }
        let answer = self
            .read(wire, &reply)
            .with_context(|| format!("{} {}: {reply}", wire.path, wire.body))?;
        self.run.recorder.answer(asked, answer.clone());
        Ok(Some(answer))
    }

    /// What a reply says, where it is one that the contract knows.
    fn read(&mut self, wire: &Wire, reply: &Reply) -> anyhow::Result<Answer> {
        let is_list = matches!(wire.call, Call::List { .. });
        Ok(match (wire.call, reply.status) {
            (Call::Create(which), StatusCode::OK) => {
                self.run.known().remember(which, reply.text("id")?)?;
                Answer::Done
            }
            (Call::Get { .. } | Call::GetById(_), StatusCode::OK) => Answer::Found(self.run.view(&reply.json)?),
            (Call::List { within, .. }, StatusCode::OK) => self.read_page(within, &reply.json)?,
            (Call::Attach { which, to }, StatusCode::OK) => {
                Answer::Attached(self.run.attachment(reply.text("id")?, which, to)?)
            }
            (Call::Detach { .. } | Call::Delete { .. }, StatusCode::NO_CONTENT) => Answer::Done,
            (Call::Create(_) | Call::Delete { .. }, StatusCode::CONFLICT) => Answer::Conflict,
            (Call::Create(_), StatusCode::NOT_FOUND) => anyhow::bail!("not an answer of this call"),
            (_, StatusCode::NOT_FOUND) if !is_list => Answer::NotFound,
            _ => anyhow::bail!("not an answer of this call"),
        })
    }

    fn read_page(&mut self, within: Option<usize>, json: &Value) -> anyhow::Result<Answer> {
        let rows = json.get("connections").and_then(Value::as_array);
        let rows = rows.with_context(|| format!("no `connections`: {json}"))?;
        let ours = |row: &&Value| {
            let names = &self.run.places.names;
            within.is_some() || names.iter().any(|name| row.get("name") == Some(&json!(name)))
        };
        let views: Vec<View> = rows
            .iter()
            .filter(ours)
            .map(|row| self.run.view(row))
            .collect::<anyhow::Result<_>>()?;
        let next = json.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        let more = next.is_some();
        let last = views.last().map(|view| view.which.name);
        self.cursor = within
            .zip(last)
            .zip(next)
            .map(|((within, last), next)| (within, last, next));
        Ok(Answer::Page(views, more))
    }

    fn choose(&mut self) -> Wire {
        let name = self.rng.usize(0..self.run.workload.names);
        let workspace = self.rng.usize(0..self.run.workload.workspaces);
        let (which, id) = self.some(name);
        match self.rng.u8(0..100) {
            0..15 => self.create(name),
            15..30 => self.get(name),
            30..40 => Wire {
                call: Call::GetById(which),
                path: "connections/get_by_id",
                body: json!({ "id": id }),
            },
            40..50 => self.list(workspace),
            50..68 => Wire {
                call: Call::Attach { which, to: workspace },
                path: "connections/add_to_workspace",
                body: json!({ "workspace_id": self.run.places.workspace(workspace), "connection_id": id }),
            },
            68..86 => self.detach(which, id, workspace),
            _ => self.delete(name),
        }
    }

    /// A connection of this name: mostly the newest that anybody saw, sometimes an older one, or one that never was.
    fn some(&mut self, name: usize) -> (Which, String) {
        let known = self.run.known();
        let place = if self.rng.u8(0..10) < 8 {
            0
        } else {
            self.rng.usize(0..REMEMBERED)
        };
        match known.newest.get(&name).and_then(|newest| newest.get(place)) {
            Some((which, id)) => (*which, id.clone()),
            None => {
                let never = uuid::Builder::from_random_bytes(self.rng.u128(..).to_be_bytes()).into_uuid();
                let number = u64::MAX;
                (Which { name, number }, never.to_string())
            }
        }
    }

    fn id(&self, which: Which) -> String {
        self.run.known().ids.get(&which.number).cloned().unwrap_or_default()
    }

    fn create(&self, name: usize) -> Wire {
        let number = {
            let mut known = self.run.known();
            known.created += 1;
            known.created
        };
        Wire {
            call: Call::Create(Which { name, number }),
            path: "connections/create",
            body: json!({
                "name": self.run.places.name(name),
                "type": format!("T{number}"),
                "details": { "number": number },
            }),
        }
    }

    fn get(&self, name: usize) -> Wire {
        Wire {
            call: Call::Get { name },
            path: "connections/get",
            body: json!({ "name": self.run.places.name(name) }),
        }
    }

    fn delete(&self, name: usize) -> Wire {
        Wire {
            call: Call::Delete { name },
            path: "connections/delete",
            body: json!({ "name": self.run.places.name(name) }),
        }
    }

    fn detach(&self, which: Which, id: String, from: usize) -> Wire {
        Wire {
            call: Call::Detach { which, from },
            path: "connections/remove_from_workspace",
            body: json!({ "workspace_id": self.run.places.workspace(from), "connection_id": id }),
        }
    }

    /// Everything, or pages of a workspace's.
    fn list(&mut self, workspace: usize) -> Wire {
        let path = "connections/list";
        let limit = 1 + self.rng.usize(0..2);
        let (body, within, after) = match (self.rng.u8(0..3), self.cursor.take()) {
            (0, _) => {
                let (within, after, limit) = (None, None, None);
                let call = Call::List { within, after, limit };
                return Wire {
                    call,
                    path,
                    body: json!({}),
                };
            }
            (_, Some((within, after, cursor))) => (json!({ "cursor": cursor }), within, Some(after)),
            (_, None) => (json!({}), workspace, None),
        };
        let mut body = body;
        if let Some(fields) = body.as_object_mut() {
            fields.insert("workspace_id".into(), json!(self.run.places.workspace(within)));
            fields.insert("limit".into(), json!(limit));
        }
        let (within, limit) = (Some(within), Some(limit));
        let call = Call::List { within, after, limit };
        Wire { call, path, body }
    }
}
