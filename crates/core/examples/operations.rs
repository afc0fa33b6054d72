//! Runs one operation of the core over and over, behind a store that answers at once: what `cargo xtask bench` counts
//! the instructions of. Its arguments are the operation's name and how often.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Request;
use patchbay_core::api::{Config, Host, Patchbay};
use patchbay_core::identity::Authentication;
use patchbay_core::model::{
    Caller, ConnectionId, ConnectionType, Details, Name, Person, Record, Subject, Tenant, Timestamp, WorkspaceId,
    Workspaces,
};
use patchbay_core::seal::{Draft, KeyRing};
use patchbay_core::store::{
    AddMember, AddMemberOutcome, Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome,
    DetachOutcome, ListOutcome, ListQuery, ListWorkspacesOutcome, Lookup, MembersOutcome, RemoveMemberOutcome, Seen,
    Store, StoreError, WorkspacesOf,
};
use serde_json::json;
use serde_json::value::RawValue;

const LISTED: usize = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(operation), Some(times)) = (arguments.next(), arguments.next()) else {
        return Err("which operation, and how often?".into());
    };
    let times: usize = times.parse()?;

    let id = "7d3b0e59-1c9f-4b0e-9a53-0c8d7e6f5a41";
    let secret = "x".repeat(1024 - json!({"secret": ""}).to_string().len());
    let details = json!({"secret": secret});
    let body = match operation.as_str() {
        "create" => json!({"name": "connection-00001", "type": "KAFKA", "details": details}),
        "add_to_workspace" | "remove_from_workspace" => json!({"workspace_id": 7, "connection_id": id}),
        "list" => json!({"workspace_id": 7}),
        "get" | "delete" => json!({"name": "connection-00001"}),
        "get_by_id" => json!({"id": id}),
        _ => return Err("there is no such operation".into()),
    };
    let body = Bytes::from(body.to_string());

    let ring = KeyRing::parse(&format!("k1:{}", "x".repeat(43)))?;
    let host = Still(Cell::new(0));
    let draft = Draft {
        id: ConnectionId::parse(id)?,
        name: Name::new("connection-00001")?,
        connection_type: ConnectionType::new("KAFKA")?,
        owner: Subject::new("anonymous")?,
        created_at: host.now(),
    };
    let details = Details::from_json(&RawValue::from_string(details.to_string())?)?;
    let store = AtOnce(Seen {
        record: ring.seal(&host, &Tenant::new("default")?, draft, &details),
        workspace_names: Vec::new(),
    });
    let config = Config {
        authentication: Authentication::off(),
        workspaces: Workspaces::Open,
        answer_bytes: 16 * 1024 * 1024,
    };
    let patchbay = Patchbay::new(store, ring, host, config);
    let (head, ()) = Request::post(format!("/v1/api/connections/{operation}"))
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .body(())?
        .into_parts();
    for _ in 0..times {
        let answered = async {
            match patchbay.admit(&head).await {
                Ok(admitted) => patchbay.answer(admitted, body.clone()).await,
                Err(refused) => refused,
            }
        };
        let answer = answered.now_or_never().ok_or("something was waited for")?;
        if !answer.response.status().is_success() {
            return Err(format!("the answer was {}", answer.response.status()).into());
        }
    }
    Ok(())
}

/// Time stands still, and randomness counts.
struct Still(Cell<u8>);

impl Host for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_684_255_385_170_914)
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.0.set(self.0.get().wrapping_add(1));
        bytes.fill(self.0.get());
    }
}

/// Finds the one connection whatever is asked for, and makes every change.
struct AtOnce(Seen);

fn at_once<T>(outcome: T) -> impl Future<Output = Result<T, StoreError>> {
    std::future::ready(Ok(outcome))
}

impl Store for AtOnce {
    type Sealings = Infallible;
    type Apart = Infallible;

    fn create(&self, _: &Caller, _: Record) -> impl Future<Output = Result<CreateOutcome, StoreError>> {
        at_once(CreateOutcome::Created)
    }

    fn get(&self, _: &Caller, _: Lookup) -> impl Future<Output = Result<Option<Seen>, StoreError>> {
        at_once(Some(self.0.clone()))
    }

    fn list(&self, _: &Caller, _: ListQuery) -> impl Future<Output = Result<ListOutcome, StoreError>> {
        let rows = vec![self.0.clone(); LISTED];
        at_once(ListOutcome::Page { rows, more: false })
    }

    fn attach(&self, _: &Caller, attach: Attach) -> impl Future<Output = Result<AttachOutcome, StoreError>> {
        at_once(AttachOutcome::Attached(attach.id, self.0.record.name.clone()))
    }

    fn detach(
        &self,
        _: &Caller,
        _: ConnectionId,
        _: WorkspaceId,
    ) -> impl Future<Output = Result<DetachOutcome, StoreError>> {
        at_once(DetachOutcome::Detached(self.0.record.name.clone()))
    }

    fn delete(&self, _: &Caller, _: Name) -> impl Future<Output = Result<DeleteOutcome, StoreError>> {
        at_once(DeleteOutcome::Deleted(self.0.record.id))
    }

    fn create_workspace(
        &self,
        _: &Caller,
        _: Name,
        _: Timestamp,
    ) -> impl Future<Output = Result<CreateWorkspaceOutcome, StoreError>> {
        at_once(CreateWorkspaceOutcome::NameTaken)
    }

    fn list_workspaces(
        &self,
        _: &Caller,
        _: WorkspacesOf,
        _: usize,
    ) -> impl Future<Output = Result<ListWorkspacesOutcome, StoreError>> {
        at_once(ListWorkspacesOutcome::All(Vec::new()))
    }

    fn add_member(&self, _: &Caller, _: AddMember) -> impl Future<Output = Result<AddMemberOutcome, StoreError>> {
        at_once(AddMemberOutcome::Added)
    }

    fn members(&self, _: &Caller, _: WorkspaceId) -> impl Future<Output = Result<MembersOutcome, StoreError>> {
        at_once(MembersOutcome::All(Vec::new()))
    }

    fn remove_member(
        &self,
        _: &Caller,
        _: WorkspaceId,
        _: Person,
    ) -> impl Future<Output = Result<RemoveMemberOutcome, StoreError>> {
        at_once(RemoveMemberOutcome::Removed)
    }

    fn ready(&self) -> impl Future<Output = Result<(), StoreError>> {
        at_once(())
    }
}
