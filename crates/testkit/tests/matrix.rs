//! The matrix of who may do what: over SQL with its statements counted, and what it is worth.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::{HeaderValue, Request, Response, StatusCode};
use patchbay_core::model::{Caller, ConnectionId, Name, Person, Record, Timestamp, WorkspaceId, Workspaces};
use patchbay_core::store::{
    AddMember, AddMemberOutcome, Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome,
    DetachOutcome, ListOutcome, ListQuery, ListWorkspacesOutcome, Lookup, MembersOutcome, RemoveMemberOutcome, Seen,
    Store, StoreError, WorkspacesOf,
};
use patchbay_sql::database::{Database as _, EachRow, Statements, Value};
use patchbay_sql::{connections, members, schema, workspaces};
use patchbay_testkit::faults::{FaultyStore, StoreFault};
use patchbay_testkit::{Case, InProcess, MemoryStore, Setting, Target, cases, run};

const SETTING: Setting = Setting {
    workspaces: Workspaces::Managed,
    answer_bytes: 1024 * 1024,
    callers: true,
    trail: false,
    apart: false,
};

fn matrix() -> Vec<Case> {
    let mut cases = cases();
    cases.retain(|case| case.group == "matrix");
    cases
}

fn over<S: Store + Clone>(store: S) -> InProcess<S> {
    InProcess::new(store, SETTING.workspaces, SETTING.answer_bytes)
}

/// How the first case fails; `None` where all hold.
async fn fails(target: &dyn Target) -> Option<String> {
    let report = run(target, SETTING, &matrix(), |_, outcome| outcome.is_ok()).await;
    report
        .failed
        .into_iter()
        .next()
        .map(|(case, why)| format!("{case}: {why}"))
}

/// The SQL of the stores over one database in memory, a transaction a call, which writes down its statements.
#[derive(Clone)]
struct Counted {
    database: Rc<rusqlite::Connection>,
    statements: Rc<RefCell<Vec<String>>>,
}

struct Noted<'s>(&'s dyn Statements, &'s RefCell<Vec<String>>);

impl Statements for Noted<'_> {
    fn execute(&self, sql: &'static str, params: &[Value<'_>]) -> Result<(), StoreError> {
        self.1.borrow_mut().push(sql.to_owned());
        self.0.execute(sql, params)
    }

    fn query(&self, sql: &'static str, params: &[Value<'_>], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        self.1.borrow_mut().push(sql.to_owned());
        self.0.query(sql, params, each)
    }
}

impl Counted {
    fn new() -> Self {
        let database = rusqlite::Connection::open_in_memory().unwrap();
        schema::migrate(&database).unwrap();
        Self {
            database: Rc::new(database),
            statements: Rc::default(),
        }
    }

    async fn run<T>(&self, work: impl FnOnce(&dyn Statements) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.database
            .transaction(|statements| work(&Noted(statements, &self.statements)))
    }
}

impl Store for Counted {
    type Sealings = std::convert::Infallible;
    type Apart = std::convert::Infallible;

    async fn create(&self, caller: &Caller, record: Record) -> Result<CreateOutcome, StoreError> {
        self.run(|on| connections::create(on, caller, &record)).await
    }

    async fn get(&self, caller: &Caller, lookup: Lookup) -> Result<Option<Seen>, StoreError> {
        self.run(|on| connections::get(on, caller, &lookup)).await
    }

    async fn list(&self, caller: &Caller, query: ListQuery) -> Result<ListOutcome, StoreError> {
        self.run(|on| connections::list(on, caller, &query)).await
    }

    async fn attach(&self, caller: &Caller, attach: Attach) -> Result<AttachOutcome, StoreError> {
        self.run(|on| connections::attach(on, caller, &attach)).await
    }

    async fn detach(
        &self,
        caller: &Caller,
        connection: ConnectionId,
        workspace: WorkspaceId,
    ) -> Result<DetachOutcome, StoreError> {
        self.run(|on| connections::detach(on, caller, connection, workspace))
            .await
    }

    async fn delete(&self, caller: &Caller, name: Name) -> Result<DeleteOutcome, StoreError> {
        self.run(|on| connections::delete(on, caller, &name)).await
    }

    async fn create_workspace(
        &self,
        caller: &Caller,
        name: Name,
        now: Timestamp,
    ) -> Result<CreateWorkspaceOutcome, StoreError> {
        self.run(|on| workspaces::create(on, caller, &name, now)).await
    }

    async fn list_workspaces(
        &self,
        caller: &Caller,
        of: WorkspacesOf,
        most_bytes: usize,
    ) -> Result<ListWorkspacesOutcome, StoreError> {
        self.run(|on| workspaces::list(on, caller, &of, most_bytes)).await
    }

    async fn add_member(&self, caller: &Caller, add: AddMember) -> Result<AddMemberOutcome, StoreError> {
        self.run(|on| members::add(on, caller, &add)).await
    }

    async fn members(&self, caller: &Caller, workspace: WorkspaceId) -> Result<MembersOutcome, StoreError> {
        self.run(|on| members::list(on, caller, workspace)).await
    }

    async fn remove_member(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        person: Person,
    ) -> Result<RemoveMemberOutcome, StoreError> {
        self.run(|on| members::remove(on, caller, workspace, &person)).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn sql_looks_for_what_is_hidden_by_the_statements_of_what_does_not_exist() {
    let store = Counted::new();
    let statements = Rc::clone(&store.statements);
    let target = over(store).counting(move || statements.take());
    assert_eq!(fails(&target).await, None);
}

#[tokio::test]
async fn each_fault_of_access_is_found() {
    for fault in [
        StoreFault::GetSkipsAccess,
        StoreFault::GetByIdFindsNothing,
        StoreFault::ListSkipsAccess,
        StoreFault::ListIgnoresWorkspace,
        StoreFault::AttachSkipsAccess,
        StoreFault::DetachSkipsAccess,
        StoreFault::DetachForbidsTheOwner,
        StoreFault::DeleteSkipsAccess,
        StoreFault::WorkspacesOfOthersAreListed,
        StoreFault::AddMemberSkipsAccess,
        StoreFault::MembersSkipAccess,
        StoreFault::RemoveMemberSkipsAccess,
        StoreFault::TheLastOwnerMayGo,
        StoreFault::TenantsAreMixed,
    ] {
        let target = over(FaultyStore::new(MemoryStore::default(), fault));
        assert!(fails(&target).await.is_some(), "{fault:?}");
    }
}

/// Tells one 404 from the next, by a header or by white space in its body.
struct Telling {
    target: InProcess<MemoryStore>,
    by_header: bool,
    times: Cell<u64>,
}

impl Target for Telling {
    fn send<'a>(
        &'a self,
        caller: Option<&'a Caller>,
        request: Request<Bytes>,
    ) -> LocalBoxFuture<'a, Result<Response<Bytes>, String>> {
        Box::pin(async move {
            let mut answer = self.target.send(caller, request).await?;
            if answer.status() == StatusCode::NOT_FOUND {
                let times = self.times.get() + 1;
                self.times.set(times);
                if self.by_header {
                    answer.headers_mut().insert("x-times", HeaderValue::from(times));
                } else if times.is_multiple_of(2) {
                    let body = [answer.body(), &b" "[..]].concat();
                    *answer.body_mut() = body.into();
                }
            }
            Ok(answer)
        })
    }
}

#[tokio::test]
async fn a_hidden_thing_that_is_told_from_a_missing_one_is_found() {
    for by_header in [true, false] {
        let target = Telling {
            target: over(MemoryStore::default()),
            by_header,
            times: Cell::new(0),
        };
        let why = fails(&target).await.unwrap();
        assert!(why.contains("of what does not exist"), "{why}");
    }
    let asked = Cell::new(0);
    let target = over(MemoryStore::default()).counting(move || {
        asked.set(asked.get() + 1);
        vec![format!("request {}", asked.get())]
    });
    let why = fails(&target).await.unwrap();
    assert!(why.contains("it asked its store for"), "{why}");
}
