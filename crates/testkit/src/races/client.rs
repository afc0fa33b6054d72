//! One client: what it asks, and how it reads the answers.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use fastrand::Rng;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::registry::{Answer, Call, View, Which};
use super::run::{REMEMBERED, Run, text};
use crate::target::Target;

/// A client that will not wait for the answer lets others go first less often than this, and is gone. Counted, and not
/// timed, since a commit is quicker than the runtime's timers are fine.
const PATIENCE: u32 = 20;
/// A client that was told to come back waits so long.
const PAUSE: Duration = Duration::from_millis(20);

const LIST: &str = "connections/list";

/// One client.
pub(super) struct Client<'r, T> {
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
    pub(super) fn new(number: usize, run: &'r Run, target: &'r T, rng: Rng) -> Self {
        let cursor = None;
        Self {
            number,
            run,
            target,
            rng,
            cursor,
        }
    }

    pub(super) async fn work(mut self) -> anyhow::Result<()> {
        while self.run.asked.fetch_add(1, Ordering::Relaxed) < self.run.workload.operations {
            let wire = self.choose();
            let gives_up = self.rng.u8(0..100) < self.run.workload.abandoned;
            let patience = gives_up.then(|| self.rng.u32(0..PATIENCE));
            self.perform(&wire, patience).await?;
        }
        Ok(())
    }

    /// Detaches and deletes everything that is listed: a `get` may be late.
    pub(super) async fn tidy(mut self) -> anyhow::Result<()> {
        let all = everything();
        let Some(Answer::Page(views, _)) = self.perform(&all, None).await? else {
            return Ok(());
        };
        for view in views {
            for from in view.attached {
                let id = self.id(view.which);
                let wire = self.detach(view.which, id, from);
                self.perform(&wire, None).await?;
            }
            let delete = self.delete(view.which.name);
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
        let limit = 1 + self.rng.usize(0..2);
        let (body, within, after) = match (self.rng.u8(0..3), self.cursor.take()) {
            (0, _) => return everything(),
            (_, Some((within, after, cursor))) => (json!({ "cursor": cursor }), within, Some(after)),
            (_, None) => (json!({}), workspace, None),
        };
        let mut body = body;
        if let Some(fields) = body.as_object_mut() {
            fields.insert("workspace_id".into(), json!(self.run.places.workspace(within)));
            fields.insert("limit".into(), json!(limit));
        }
        let (within, limit) = (Some(within), Some(limit));
        Wire {
            call: Call::List { within, after, limit },
            path: LIST,
            body,
        }
    }
}

fn everything() -> Wire {
    Wire {
        call: Call::List {
            within: None,
            after: None,
            limit: None,
        },
        path: LIST,
        body: json!({}),
    }
}

/// An answer as it came.
pub(super) struct Reply {
    status: StatusCode,
    pub(super) json: Value,
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

pub(super) async fn exchange(target: &impl Target, path: &str, body: &Value) -> anyhow::Result<Reply> {
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
