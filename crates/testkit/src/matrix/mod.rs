//! Who may do what: every operation × every relation of the caller to the thing × where the connection is attached, as a
//! case for each operation and attachment. [`table`] has the answers, to be held against the contract's own table.
//!
//! What is 404 since the caller may not see it must be, byte for byte, what something that does not exist is, and be found
//! out by the same requests to the store.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a case says by panicking that something does not hold"
)]

mod operation;
mod scene;
mod table;

use serde_json::{Value, json};

use self::operation::Operation;
use self::scene::{Scene, Things};
use self::table::{Attached, Expected, Relation, expected};
use crate::cases::with_callers;
use crate::runner::Case;
use crate::world::{Reply, World};

/// How failures begin, so that they are told from those of making a scene.
const WRONG: &str = "who may do what";

/// A case for each operation of callers and attachment.
pub(crate) fn cases() -> Vec<Case> {
    rows("matrix", Operation::ALL)
}

/// The same of what an operator alone may ask, where the store lends what a rotation takes.
pub(crate) fn rotation_cases() -> Vec<Case> {
    rows("rotation", Operation::OPERATORS)
}

fn rows(group: &'static str, operations: &'static [Operation]) -> Vec<Case> {
    let mut cases = Vec::new();
    for operation in operations {
        for attached in Attached::ALL {
            cases.push(Case {
                group,
                name: format!("{operation:?}, attached {attached:?}"),
                applies: with_callers,
                act: Box::new(move |world| Box::pin(hold(world, *operation, attached))),
            });
        }
    }
    cases
}

/// Holds a row of the table.
async fn hold(world: &World<'_>, operation: Operation, attached: Attached) {
    let mut wrong = Vec::new();
    let mut scenes = [None, None];
    for relation in Relation::ALL {
        let owner_inside = relation != Relation::OwnerOutside;
        let place = &mut scenes[usize::from(owner_inside)];
        let scene = match place.take() {
            Some(scene) => scene,
            None => Scene::new(world, attached, owner_inside).await,
        };
        let cell = expected(operation, attached, relation).of(operation, &world.setting);
        let reply = ask(world, &scene, operation, relation, &scene.things).await;
        let mut found = differences(operation, cell, &scene, &reply.reply);
        if let Some(missing) = missing(world, &scene, operation, attached, relation) {
            let twin = ask(world, &scene, operation, relation, &missing).await;
            found.extend(reply.told_from(&twin));
        }
        wrong.extend(found.into_iter().map(|what| format!("{relation:?}: {what}")));
        let changed = operation.changes() && reply.reply.status < 300;
        *place = (!changed).then_some(scene);
    }
    assert!(wrong.is_empty(), "{WRONG}:\n{}", wrong.join("\n"));
}

/// An answer, and what was asked of the store for it.
struct Asked {
    reply: Reply,
    requests: Vec<String>,
}

async fn ask(world: &World<'_>, scene: &Scene, operation: Operation, relation: Relation, things: &Things) -> Asked {
    let body = operation.body(things, &world.name(), &scene.known_as(relation));
    world.requests();
    let reply = match (relation, scene.caller(relation)) {
        (_, Some(caller)) => world.post_as(caller, operation.path(), &body).await,
        (Relation::Operator, None) => world.post_as_operator(operation.path(), &body).await,
        (_, None) => world.post_as_nobody(operation.path(), &body).await,
    };
    Asked {
        reply,
        requests: world.requests(),
    }
}

impl Asked {
    /// How an answer about something hidden differs from that about what does not exist.
    fn told_from(&self, missing: &Self) -> Option<String> {
        let (hidden, missing_reply) = (&self.reply, &missing.reply);
        if hidden.status != missing_reply.status || hidden.body != missing_reply.body {
            return Some(format!("{hidden:?}, and of what does not exist: {missing_reply:?}"));
        }
        let (headers, missing_headers) = (hidden.lasting_headers(), missing_reply.lasting_headers());
        if headers != missing_headers {
            return Some(format!(
                "headers {headers:?}, and of what does not exist: {missing_headers:?}"
            ));
        }
        (self.requests != missing.requests).then(|| {
            format!(
                "it asked its store for {:?}, and of what does not exist for {:?}",
                self.requests, missing.requests
            )
        })
    }
}

/// The things of a request that is 404, with what the caller does not see replaced by what does not exist; `None` where
/// they see everything that it names, or are told something else (an owner detaches from where they are not).
fn missing(
    world: &World<'_>,
    scene: &Scene,
    operation: Operation,
    attached: Attached,
    relation: Relation,
) -> Option<Things> {
    let is_missing = |operation| expected(operation, attached, relation).status == 404;
    let connection = operation.names_connection() && is_missing(Operation::Get { details: true });
    let workspace = operation.names_workspace() && is_missing(Operation::ListUsers);
    if !is_missing(operation) || !(connection || workspace) {
        return None;
    }
    let mut things = scene.things.clone();
    if connection {
        things.name = world.name();
        things.id = world.unused_id();
    }
    if workspace {
        things.workspace = world.unused_workspace();
    }
    Some(things)
}

/// What is not as the cell says.
fn differences(operation: Operation, cell: Expected, scene: &Scene, reply: &Reply) -> Vec<String> {
    if reply.status != cell.status {
        return vec![format!("{} expected: {reply:?}", cell.status)];
    }
    let body = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
    let fits = match cell.status {
        200 => success_fits(operation, cell, scene, &body),
        204 => reply.body.is_empty(),
        status => {
            let challenged = reply.header("www-authenticate") == Some("Bearer");
            body["code"] == json!(status) && body["msg"].is_string() && challenged == (status == 401)
        }
    };
    match fits {
        true => Vec::new(),
        false => vec![format!("the body is another: {reply:?}")],
    }
}

/// Whether the body of a 200 is what the operation gives.
fn success_fits(operation: Operation, cell: Expected, scene: &Scene, body: &Value) -> bool {
    let is_connection = |row: &Value, details: bool| {
        let expected = json!({
            "id": scene.things.id,
            "name": scene.things.name,
            "type": "KAFKA",
            "details": details.then(|| json!({ "of": "ann" })),
            "created_at": row["created_at"],
            "workspace_names": scene.attached_to,
        });
        *row == expected
    };
    let rows = |field: &str| body[field].as_array().cloned().unwrap_or_default();
    let counted = |field: &str| Some(rows(field).len()) == cell.count && only(body, &[field]);
    match operation {
        Operation::Create | Operation::CreateTaken | Operation::Attach => body["id"].is_string() && only(body, &["id"]),
        Operation::Get { details } | Operation::GetById { details } => is_connection(body, details),
        Operation::List { details } | Operation::ListWithin { details } => {
            counted("connections") && rows("connections").iter().all(|row| is_connection(row, details))
        }
        Operation::CreateWorkspace => body["workspace_id"].is_u64() && only(body, &["workspace_id"]),
        Operation::ListWorkspaces | Operation::ListWorkspacesOfAnother => counted("workspaces"),
        Operation::AddUser => *body == json!({}),
        Operation::ListUsers => counted("users"),
        Operation::RemoveUser | Operation::Leave => *body == json!({ "affected_rows": cell.count }),
        Operation::ListAudit => {
            let records = rows("records");
            let is_about_it = |record: &Value| record["connections"] == json!([scene.things.id]);
            records.iter().all(is_about_it) && records.is_empty() == (cell.count == Some(0))
        }
        Operation::KeyStatus => body["keys"].is_array(),
        Operation::Reseal => body["resealed"] == json!(0),
        Operation::Detach | Operation::Delete | Operation::Adopt => false,
    }
}

/// Whether an object has these fields and no others.
fn only(body: &Value, fields: &[&str]) -> bool {
    let object = body.as_object();
    object.is_some_and(|object| object.len() == fields.len() && fields.iter().all(|field| object.contains_key(*field)))
}
