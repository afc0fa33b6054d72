//! The operations: a parsed body, the store, and sealing around it.

use std::ops::Deref;
use std::sync::Arc;

use http::StatusCode;

use crate::api::{Bound, Config, Host};
use crate::audit::{self, Kind, Made, Note};
use crate::limits;
use crate::model::{Attached, AttachmentId, Caller, ConnectionId, Details, Timestamp};
use crate::problem::Problem;
use crate::readiness::Readiness;
use crate::seal::{Draft, KeyRing};
use crate::store::{
    Attach, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome, DetachOutcome, ListOutcome, ListQuery,
    ListWorkspacesOutcome, Lookup, Seen, Store, WorkspacesOf,
};
use crate::wire::{Fields, Json};

const NO_CONNECTION: &str = "There is no such connection.";
pub(crate) const NO_WORKSPACE: &str = "There is no such workspace.";
const NOT_ATTACHED: &str = "The connection is not in this workspace.";
const NO_TRAIL: &str =
    "No audit trail is kept here: records, if there are any, are in the log of the server's platform.";
/// Bytes of a list's answer beside its rows: brackets and the cursor.
const LIST_FRAME: usize = 1024;

/// Everything that an operation works with.
pub(crate) struct Registry<S, H> {
    pub(crate) store: S,
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) host: H,
    pub(crate) config: Config,
    pub(crate) readiness: Arc<Readiness>,
    /// Whether a record has to fit into one line of a log.
    pub(crate) one_log_line: bool,
}

/// The store of one request, which keeps the records of its changes if the store keeps any.
pub(crate) struct Noting<'r, S> {
    own: Option<S>,
    shared: &'r S,
}

impl<S> Noting<'_, S> {
    /// Whether it keeps the record with each of its changes.
    pub(crate) fn keeps(&self) -> bool {
        self.own.is_some()
    }
}

impl<S> Deref for Noting<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.own.as_ref().unwrap_or(self.shared)
    }
}

impl<S: Store, H: Host> Registry<S, H> {
    /// The store for a change whose record is `note`.
    pub(crate) fn noting(&self, note: &Note) -> Noting<'_, S> {
        Noting {
            own: note.so_far(|record| self.store.noting(record)).flatten(),
            shared: &self.store,
        }
    }

    /// Has the record of an operation kept that ended so, or gives it for the home's log. Where it cannot be kept, the
    /// operation ends with that: nothing that was read leaves.
    pub(crate) async fn keep<T>(
        &self,
        note: Note,
        outcome: Result<T, Problem>,
    ) -> (Result<T, Problem>, Option<audit::Record>) {
        let refused = outcome.as_ref().err().map(|problem| problem.status);
        let Some(record) = note.finish(refused) else {
            return (outcome, None);
        };
        match self.store.note(record).await {
            Ok(for_the_log) => (outcome, for_the_log),
            Err(error) => (Err(error.into()), None),
        }
    }

    pub(crate) fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.host.fill(&mut bytes);
        bytes
    }

    /// `connections/create`.
    pub(crate) async fn create(&self, caller: &Caller, body: &[u8], note: &mut Note) -> Result<Json, Problem> {
        let fields = Fields::parse(body, &["name", "type", "details"])?;
        let draft = Draft {
            id: ConnectionId::from_random(self.random()),
            name: fields.name("name")?,
            connection_type: fields.connection_type("type")?,
            owner: caller.subject.clone(),
            created_at: self.host.now(),
        };
        let id = draft.id;
        note.add(|record| {
            record.connections.push(id);
            record.name = Some(draft.name.clone());
        });
        let record = self
            .ring
            .seal(&self.host, &caller.tenant, draft, &fields.details("details")?);
        let outcome = self.noting(note).create(caller, record).await?;
        match noted(note, outcome) {
            CreateOutcome::Created => Ok(id_answer(id)),
            CreateOutcome::NameTaken => Err(Problem::conflict("`name` is taken by another connection.")),
        }
    }

    /// `connections/get`.
    pub(crate) async fn get(&self, caller: &Caller, body: &[u8], note: &mut Note) -> Result<Json, Problem> {
        let fields = Fields::parse(body, &["name", "details"])?;
        let name = fields.name("name")?;
        note.add(|record| record.name = Some(name.clone()));
        self.look_up(caller, Lookup::Name(name), fields.flag("details", true)?, note)
            .await
    }

    /// `connections/get_by_id`.
    pub(crate) async fn get_by_id(&self, caller: &Caller, body: &[u8], note: &mut Note) -> Result<Json, Problem> {
        let fields = Fields::parse(body, &["id", "details"])?;
        let id = fields.connection_id("id")?;
        note.add(|record| record.connections.push(id));
        self.look_up(caller, Lookup::Id(id), fields.flag("details", true)?, note)
            .await
    }

    async fn look_up(&self, caller: &Caller, lookup: Lookup, wanted: bool, note: &mut Note) -> Result<Json, Problem> {
        let seen = self
            .store
            .get(caller, lookup)
            .await?
            .ok_or(Problem::not_found(NO_CONNECTION))?;
        note.add(|record| {
            record.connections = vec![seen.record.id];
            record.name = Some(seen.record.name.clone());
        });
        let details = self.details(caller, &seen, wanted)?;
        if wanted {
            note.add(|record| record.kind = Kind::DetailsRead);
        }
        let mut json = Json::with_capacity(crate::store::row_bytes(&seen));
        json.connection(&seen, &details);
        Ok(json)
    }

    /// What an answer gives for `details`: the connection's own, or null where they are not `wanted`. Nothing is opened
    /// then, so that it works without the key as well.
    fn details(&self, caller: &Caller, seen: &Seen, wanted: bool) -> Result<Details, Problem> {
        if !wanted {
            return Ok(Details::null());
        }
        let opened = self.ring.open(&caller.tenant, &seen.record);
        opened.map_err(|error| Problem::failed(format!("connection {}: {error}", seen.record.id)))
    }

    /// `connections/list`.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        body: &[u8],
        bound: Bound,
        note: &mut Note,
    ) -> Result<Json, Problem> {
        let fields = Fields::parse(body, &["workspace_id", "limit", "cursor", "details"])?;
        let workspace = fields.workspace_id("workspace_id")?;
        note.add(|record| record.workspace = workspace);
        let limit = fields.limit("limit")?;
        let wanted = fields.flag("details", true)?;
        let cursor = fields.any_text("cursor")?;
        let after = cursor
            .map(|cursor| {
                let refused = "`cursor` must be a `next_cursor` of this list, for this caller and `workspace_id`.";
                self.ring
                    .open_cursor(caller, workspace, &cursor)
                    .ok_or(Problem::bad(refused))
            })
            .transpose()?;
        let limit = limit.or(after.as_ref().map(|_| limits::DEFAULT_PAGE));
        let bounded_by_record = self.one_log_line && wanted && note.is_kept();
        let query = ListQuery {
            workspace,
            workspaces: self.config.workspaces,
            after,
            limit: limit.or(bounded_by_record.then_some(audit::IDS_A_LOG_LINE)),
            details: wanted,
            most_bytes: most_of_rows(bound),
        };
        let ListOutcome::Page { rows, mut more } = self.store.list(caller, query).await? else {
            return Err(Problem::not_found(NO_WORKSPACE));
        };
        let too_long = Problem::too_long("The list is too long for one answer: use `limit` and `cursor`.");
        if more && limit.is_none() {
            return Err(too_long);
        }

        let mut json = Json::with_capacity(rows.iter().map(crate::store::row_bytes).sum::<usize>() + LIST_FRAME);
        json.literal("{\"connections\":[");
        let (mut last, mut given, mut counted) = (None, 0, 0);
        for seen in &rows {
            let details = self.details(caller, seen, wanted)?;
            let before = json.len();
            if last.is_some() {
                json.literal(",");
            }
            json.connection(seen, &details);
            // The store counts what it can see. What is exact is counted here.
            counted += bound.count(json.since(before));
            if counted > most_of_rows(bound) && last.is_some() {
                json.truncate(before);
                more = true;
                break;
            }
            last = Some(&seen.record.name);
            given += 1;
        }
        if more && limit.is_none() {
            return Err(too_long);
        }
        if wanted && given > 0 {
            note.add(|record| {
                record.kind = Kind::DetailsRead;
                record.connections = rows.iter().take(given).map(|seen| seen.record.id).collect();
            });
        }
        json.literal("]");
        if let Some(last) = last.filter(|_| more) {
            let cursor = self.ring.cursor(&self.host, caller, workspace, last);
            json.literal(",\"next_cursor\":").text(&cursor);
        }
        json.literal("}");
        Ok(json)
    }

    /// `connections/add_to_workspace`.
    pub(crate) async fn attach(&self, caller: &Caller, body: &[u8], note: &mut Note) -> Result<Json, Problem> {
        let fields = Fields::parse(body, &["workspace_id", "connection_id"])?;
        let attach = Attach {
            workspace: fields.required_workspace_id("workspace_id")?,
            connection: fields.connection_id("connection_id")?,
            workspaces: self.config.workspaces,
            id: AttachmentId::from_random(self.random()),
            now: self.host.now(),
        };
        note.add(|record| {
            record.connections.push(attach.connection);
            record.workspace = Some(attach.workspace);
        });
        let outcome = self.noting(note).attach(caller, attach).await?;
        match noted(note, outcome) {
            AttachOutcome::Attached(id, _) => Ok(id_answer(id)),
            AttachOutcome::NoConnection => Err(Problem::not_found(NO_CONNECTION)),
            AttachOutcome::NoWorkspace => Err(Problem::not_found(NO_WORKSPACE)),
            AttachOutcome::Forbidden(_) => Err(Problem::forbidden(
                "Only the connection's owner, as a member of the workspace, may add it.",
            )),
            AttachOutcome::TooMany(_) => Err(Problem::conflict(format!(
                "The connection is in {} workspaces already, the most there can be.",
                limits::WORKSPACES_PER_CONNECTION
            ))),
        }
    }

    /// `connections/remove_from_workspace`.
    pub(crate) async fn detach(&self, caller: &Caller, body: &[u8], note: &mut Note) -> Result<(), Problem> {
        let fields = Fields::parse(body, &["workspace_id", "connection_id"])?;
        let workspace = fields.required_workspace_id("workspace_id")?;
        let connection = fields.connection_id("connection_id")?;
        note.add(|record| {
            record.connections.push(connection);
            record.workspace = Some(workspace);
        });
        let outcome = self.noting(note).detach(caller, connection, workspace).await?;
        match noted(note, outcome) {
            DetachOutcome::Detached(_) => Ok(()),
            DetachOutcome::NotAttached => Err(Problem::not_found(NOT_ATTACHED)),
            DetachOutcome::Forbidden(_) => Err(Problem::forbidden(
                "Only the connection's owner or an OWNER of the workspace may remove it.",
            )),
        }
    }

    /// `connections/delete`.
    pub(crate) async fn delete(&self, caller: &Caller, body: &[u8], note: &mut Note) -> Result<(), Problem> {
        let name = Fields::parse(body, &["name"])?.name("name")?;
        note.add(|record| record.name = Some(name.clone()));
        let outcome = self.noting(note).delete(caller, name).await?;
        match noted(note, outcome) {
            DeleteOutcome::Deleted(_) => Ok(()),
            DeleteOutcome::NotFound => Err(Problem::not_found(NO_CONNECTION)),
            DeleteOutcome::Forbidden(_) => Err(Problem::forbidden("Only the connection's owner may delete it.")),
            DeleteOutcome::Attached(_, to) => Err(Problem::conflict(still_attached(&to))),
        }
    }

    /// `workspaces/create`.
    pub(crate) async fn create_workspace(
        &self,
        caller: &Caller,
        body: &[u8],
        note: &mut Note,
    ) -> Result<Json, Problem> {
        let name = Fields::parse(body, &["workspace_name"])?.name("workspace_name")?;
        if name.kept_for().is_some() {
            return Err(Problem::bad(
                "`workspace_name` must not be of the form `workspace-<digits>`.",
            ));
        }
        note.add(|record| record.name = Some(name.clone()));
        let now = self.host.now();
        let outcome = self.noting(note).create_workspace(caller, name, now).await?;
        match noted(note, outcome) {
            CreateWorkspaceOutcome::Created(id) => {
                let mut json = Json::default();
                json.literal("{\"workspace_id\":").plain(id).literal("}");
                Ok(json)
            }
            CreateWorkspaceOutcome::NameTaken => {
                Err(Problem::conflict("`workspace_name` is taken by another workspace."))
            }
            CreateWorkspaceOutcome::TooMany => Err(Problem::conflict(format!(
                "You are in {} workspaces already, the most there can be.",
                limits::WORKSPACES_PER_PERSON
            ))),
        }
    }

    /// `workspaces/list`.
    pub(crate) async fn list_workspaces(&self, caller: &Caller, body: &[u8], bound: Bound) -> Result<Json, Problem> {
        let of = match Fields::parse(body, &["user_id"])?.subject("user_id")? {
            None if caller.admin => WorkspacesOf::Everybody,
            None => WorkspacesOf::Caller,
            Some(person) if person == caller.subject => WorkspacesOf::Caller,
            Some(person) if caller.admin => WorkspacesOf::Person(person),
            Some(_) => return Err(Problem::forbidden("Only an admin may give somebody else's `user_id`.")),
        };
        let most = most_of_rows(bound);
        let outcome = self.store.list_workspaces(caller, of, most).await?;
        let too_long = Problem::too_long("The list is too long for one answer: narrow it by `user_id`.");
        let ListWorkspacesOutcome::All(workspaces) = outcome else {
            return Err(too_long);
        };
        let bytes = workspaces.iter().map(crate::store::workspace_bytes).sum::<usize>();
        let mut json = Json::with_capacity(bytes + LIST_FRAME);
        json.literal("{\"workspaces\":[");
        json.each(&workspaces, |json, workspace| _ = json.workspace(workspace));
        json.literal("]}");
        if bound.count(json.since(0)) > most {
            return Err(too_long);
        }
        Ok(json)
    }

    /// `audit/list`.
    pub(crate) async fn list_audit(&self, caller: &Caller, body: &[u8], bound: Bound) -> Result<Json, Problem> {
        let known = ["connection_id", "subject", "since", "until", "limit", "cursor"];
        let fields = Fields::parse(body, &known)?;
        let mut query = audit::Query {
            tenant: caller.tenant.clone(),
            connection: fields.text("connection_id", ConnectionId::parse)?,
            subject: fields.subject("subject")?,
            since: fields.text("since", Timestamp::parse)?,
            until: fields.text("until", Timestamp::parse)?,
            before: None,
            limit: fields.limit("limit")?.unwrap_or(limits::DEFAULT_PAGE),
            most_bytes: most_of_rows(bound),
        };
        if let Some(cursor) = fields.any_text("cursor")? {
            let refused = "`cursor` must be a `next_cursor` of this list, for this caller and the same other fields.";
            let before = self.ring.open_audit_cursor(caller, &query, &cursor);
            query.before = Some(before.ok_or(Problem::bad(refused))?);
        }
        if !caller.admin {
            return Err(Problem::forbidden(
                "Only an admin may read what was done in the tenant.",
            ));
        }
        let page = self.store.records(query.clone()).await?;
        let page = page.ok_or_else(|| Problem::new(StatusCode::NOT_IMPLEMENTED, NO_TRAIL))?;
        let bytes = page.records.iter().map(|record| record.len() + 1).sum::<usize>();
        let mut json = Json::with_capacity(bytes + LIST_FRAME);
        json.literal("{\"records\":[");
        json.each(&page.records, |json, record| _ = json.literal(record));
        json.literal("]");
        if let Some(before) = page.before {
            let cursor = self.ring.audit_cursor(&self.host, caller, &query, before);
            json.literal(",\"next_cursor\":").text(&cursor);
        }
        json.literal("}");
        Ok(json)
    }

    /// `readyz`.
    pub(crate) async fn ready(&self) -> Result<Json, Problem> {
        let look = async { Ok(self.store.ready().await?) };
        self.readiness.ask(&self.host, look).await?;
        let mut json = Json::default();
        json.literal("{\"status\":\"ready\"}");
        Ok(json)
    }
}

/// The outcome of a change, with what only it tells added to the record.
pub(crate) fn noted<T: Made>(note: &mut Note, outcome: T) -> T {
    note.add(|record| _ = outcome.made(record));
    outcome
}

/// What the rows of a list may come to.
fn most_of_rows(bound: Bound) -> usize {
    bound.most().saturating_sub(LIST_FRAME)
}

fn id_answer(id: impl std::fmt::Display) -> Json {
    let mut json = Json::default();
    json.literal("{\"id\":\"").plain(id).literal("\"}");
    json
}

fn still_attached(to: &[Attached]) -> String {
    let named: Vec<String> = to
        .iter()
        .take(limits::WORKSPACES_NAMED)
        .map(|at| format!("{} (`{}`)", at.workspace, at.name))
        .collect();
    let more = match to.len().saturating_sub(limits::WORKSPACES_NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!(
        "The connection is still in these workspaces: {}{more}. Remove it from them first.",
        named.join(", ")
    )
}
