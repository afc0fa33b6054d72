//! What happened, for a reviewer: a record of each operation that came so far as to be judged, whether it was done or
//! refused. It says who asked for what, of which connections, and how that ended; never details, never a token.
//!
//! A store that keeps a trail keeps the record of a change in the change's own transaction
//! ([`Store::noting`](crate::store::Store::noting)), and every other one before the answer is given
//! ([`Store::note`](crate::store::Store::note)). Elsewhere the record comes with the [`Answer`](crate::api::Answer), and
//! the home writes its [`Record::log_lines`] to the platform's log. A read that is given up, as its client went away before
//! the answer was made, gave nothing to anybody and may leave none.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use serde::Deserialize;

use crate::model::{ConnectionId, Name, Person, Role, Subject, Tenant, Timestamp, WorkspaceId};
use crate::store::{
    AddMemberOutcome, AttachOutcome, CreateOutcome, CreateWorkspaceOutcome, DeleteOutcome, DetachOutcome,
    RemoveMemberOutcome,
};
use crate::wire::{Json, role_text};

/// Connections that one line of a log names at most, in some 160 KB: platforms cut off what is longer than 256 KB.
pub(crate) const IDS_A_LOG_LINE: u16 = 4_000;

/// What a reviewer tells records apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody asked for what is there, and was given no details.
    Look,
    /// Somebody was given the details of the connections that the record names.
    DetailsRead,
    /// Somebody asked for a change.
    Change,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::DetailsRead => "details.read",
            Self::Change => "change",
        }
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was answered with this status instead. A change that was answered with a 5xx may be done all the same.
    Refused(StatusCode),
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused(StatusCode::FORBIDDEN) => "forbidden",
            Self::Refused(StatusCode::NOT_FOUND) => "not_found",
            Self::Refused(StatusCode::CONFLICT) => "conflict",
            Self::Refused(StatusCode::PAYLOAD_TOO_LARGE) => "too_long",
            Self::Refused(StatusCode::SERVICE_UNAVAILABLE) => "unavailable",
            Self::Refused(StatusCode::INTERNAL_SERVER_ERROR) => "failed",
            Self::Refused(_) => "refused",
        }
    }
}

/// The record of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it was admitted.
    pub at: Timestamp,
    /// Whose it was; `None` of an operator's, which is over all tenants.
    pub tenant: Option<Tenant>,
    /// Who asked for it.
    pub subject: Subject,
    /// What it did.
    pub kind: Kind,
    /// One of [`crate::api::operations`], or the command's name.
    pub operation: &'static str,
    /// The connections that it was about, as far as it named or found them; of a list, those whose details it gave.
    pub connections: Vec<ConnectionId>,
    /// The name that it gave, of a connection or a workspace.
    pub name: Option<Name>,
    /// The workspace that it named or made.
    pub workspace: Option<WorkspaceId>,
    /// The member of the workspace that it was about.
    pub member: Option<Person>,
    /// The role that they were to have.
    pub role: Option<Role>,
    /// How many connections it changed, where it names none of them.
    pub count: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// The request's id; a command has none.
    pub request_id: Option<String>,
    /// Where it came from, if the home knows that.
    pub address: Option<IpAddr>,
}

impl Record {
    /// The record of what this person asks for, with nothing known but that.
    pub fn new(at: Timestamp, subject: Subject, kind: Kind, operation: &'static str) -> Self {
        Self {
            at,
            tenant: None,
            subject,
            kind,
            operation,
            connections: Vec::new(),
            name: None,
            workspace: None,
            member: None,
            role: None,
            count: None,
            outcome: Outcome::Done,
            request_id: None,
            address: None,
        }
    }

    /// The record of a change by a command on the machine itself, where nobody says who they are.
    pub fn of_command(at: Timestamp, operation: &'static str) -> Self {
        Self::new(at, Subject::fixed("command line"), Kind::Change, operation)
    }

    /// One JSON object with its fields in this order: `at`, `tenant`, `subject`, `kind`, `operation`, `name`, `workspace`,
    /// `user_id` or `email` and `user_type` (of a member), `count`, `outcome`, `status` (where it was not done),
    /// `request_id`, `address`, `connections`. What is not known is left out, and so is an empty list. The one list is last
    /// since CloudWatch Logs Insights finds the first 200 values of a line by their names, and each of its ids is one.
    pub fn to_json(&self) -> String {
        text(|json| _ = self.write(&self.connections, json))
    }

    /// The lines for a platform's log, each a JSON object whose one field `audit`, the marker to look for, is the
    /// record. There are several only where it names so many connections that the platform would cut one off.
    pub fn log_lines(&self) -> impl Iterator<Item = String> {
        let mut parts = self.connections.chunks(IDS_A_LOG_LINE.into());
        let first = parts.next().unwrap_or_default();
        std::iter::once(first).chain(parts).map(|part| {
            text(|json| {
                json.literal("{\"audit\":");
                self.write(part, json).literal("}");
            })
        })
    }

    fn write<'j>(&self, connections: &[ConnectionId], json: &'j mut Json) -> &'j mut Json {
        json.literal("{\"at\":\"").plain(self.at);
        json.literal("\"");
        if let Some(tenant) = &self.tenant {
            json.literal(",\"tenant\":").text(tenant.as_str());
        }
        json.literal(",\"subject\":").text(self.subject.as_str());
        json.literal(",\"kind\":\"").literal(self.kind.as_str());
        json.literal("\",\"operation\":\"")
            .literal(self.operation)
            .literal("\"");
        if let Some(name) = &self.name {
            json.literal(",\"name\":").text(name.as_str());
        }
        if let Some(workspace) = self.workspace {
            json.literal(",\"workspace\":").plain(workspace);
        }
        match &self.member {
            Some(Person::Subject(subject)) => _ = json.literal(",\"user_id\":").text(subject.as_str()),
            Some(Person::Email(email)) => _ = json.literal(",\"email\":").text(email.as_str()),
            None => {}
        }
        if let Some(role) = self.role {
            json.literal(",\"user_type\":\"").literal(role_text(role)).literal("\"");
        }
        if let Some(count) = self.count {
            json.literal(",\"count\":").plain(count);
        }
        json.literal(",\"outcome\":\"").literal(self.outcome.as_str());
        json.literal("\"");
        if let Outcome::Refused(status) = self.outcome {
            json.literal(",\"status\":").plain(status.as_u16());
        }
        if let Some(request_id) = &self.request_id {
            json.literal(",\"request_id\":").text(request_id);
        }
        if let Some(address) = self.address {
            json.literal(",\"address\":\"").plain(address).literal("\"");
        }
        if !connections.is_empty() {
            json.literal(",\"connections\":[");
            json.each(connections, |json, id| _ = json.literal("\"").plain(id).literal("\""));
            json.literal("]");
        }
        json.literal("}")
    }
}

/// A place in a store's trail, before a line of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The file, counted from 1.
    pub file: u32,
    /// Bytes of the file before the place.
    pub bytes: u64,
}

/// What [`Store::records`](crate::store::Store::records) is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Only records of this tenant.
    pub tenant: Tenant,
    /// Only those that name this connection.
    pub connection: Option<ConnectionId>,
    /// Only those of this person.
    pub subject: Option<Subject>,
    /// Only those of this time or later.
    pub since: Option<Timestamp>,
    /// Only those before this time.
    pub until: Option<Timestamp>,
    /// Only what stands before this place, which an earlier answer gave for the same query.
    pub before: Option<Place>,
    /// At most so many records.
    pub limit: u16,
    /// Bytes of records at which to stop, but never before the first.
    pub most_bytes: usize,
}

/// Records as [`Record::to_json`] wrote them, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The records.
    pub records: Vec<String>,
    /// Where to go on, if there may be more.
    pub before: Option<Place>,
}

/// How a record stands to a [`Query`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It is asked for.
    Wanted,
    /// It is not.
    Unwanted,
    /// It is not, and so much older than [`Query::since`] that nothing is asked for that was written before it, unless the
    /// clock was set back in between: a long stretch of nothing else tells.
    Past,
}

/// Records stand in the order in which operations ended, and bear the time at which they began. Between two that stand side
/// by side lies no more than an operation takes, and what a clock is usually set back by: an hour, in microseconds.
const DISORDER: i64 = 3_600_000_000;

impl Query {
    /// How a record stands to it that [`Record::to_json`] wrote. What is no such record, or no tenant's, is not asked for.
    pub fn judge(&self, record: &str) -> Match {
        #[derive(Deserialize)]
        struct Fields<'r> {
            at: &'r str,
            #[serde(borrow)]
            tenant: Cow<'r, str>,
            #[serde(borrow)]
            subject: Cow<'r, str>,
            #[serde(borrow, default)]
            connections: Vec<&'r str>,
        }
        let Ok(fields) = serde_json::from_str::<Fields<'_>>(record) else {
            return Match::Unwanted;
        };
        let Ok(at) = Timestamp::parse(fields.at) else {
            return Match::Unwanted;
        };
        if let Some(since) = self.since
            && at.as_micros() < since.as_micros().saturating_sub(DISORDER)
        {
            return Match::Past;
        }
        let named = |id: &ConnectionId| fields.connections.contains(&id.to_string().as_str());
        let wanted = fields.tenant == self.tenant.as_str()
            && self
                .subject
                .as_ref()
                .is_none_or(|subject| fields.subject == subject.as_str())
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && self.connection.as_ref().is_none_or(named);
        if wanted { Match::Wanted } else { Match::Unwanted }
    }
}

fn text(write: impl FnOnce(&mut Json)) -> String {
    let mut json = Json::with_capacity(384);
    write(&mut json);
    // Texts and ASCII make UTF-8.
    String::from_utf8(json.into_vec()).unwrap_or_default()
}

/// What the outcome of a change adds to its record.
pub trait Made {
    /// Adds what nobody knew before. Whether the change was made.
    fn made(&self, record: &mut Record) -> bool;
}

/// How many connections were sealed again.
impl Made for usize {
    fn made(&self, record: &mut Record) -> bool {
        record.count = u64::try_from(*self).ok();
        *self > 0
    }
}

impl Made for CreateOutcome {
    fn made(&self, record: &mut Record) -> bool {
        let created = *self == Self::Created;
        if !created {
            // The id that it would have had.
            record.connections.clear();
        }
        created
    }
}

impl Made for AttachOutcome {
    fn made(&self, record: &mut Record) -> bool {
        match self {
            Self::Attached(_, name) | Self::Forbidden(name) | Self::TooMany(name) => record.name = Some(name.clone()),
            Self::NoConnection | Self::NoWorkspace => {}
        }
        matches!(self, Self::Attached(..))
    }
}

impl Made for DetachOutcome {
    fn made(&self, record: &mut Record) -> bool {
        match self {
            Self::Detached(name) | Self::Forbidden(name) => record.name = Some(name.clone()),
            Self::NotAttached => {}
        }
        matches!(self, Self::Detached(_))
    }
}

impl Made for DeleteOutcome {
    fn made(&self, record: &mut Record) -> bool {
        match self {
            Self::Deleted(id) | Self::Forbidden(id) | Self::Attached(id, _) => record.connections.push(*id),
            Self::NotFound => {}
        }
        matches!(self, Self::Deleted(_))
    }
}

impl Made for CreateWorkspaceOutcome {
    fn made(&self, record: &mut Record) -> bool {
        match self {
            Self::Created(id) => {
                record.workspace = Some(*id);
                true
            }
            Self::NameTaken | Self::TooMany => false,
        }
    }
}

impl Made for AddMemberOutcome {
    fn made(&self, _: &mut Record) -> bool {
        *self == Self::Added
    }
}

impl Made for RemoveMemberOutcome {
    /// Of somebody who was no member it is answered as done, too.
    fn made(&self, _: &mut Record) -> bool {
        matches!(self, Self::Removed | Self::NotAMember)
    }
}

/// The record of an operation under way; none where none are kept. Its clones share it, so that whoever has to end the
/// operation from outside has what it came to know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Note(Option<Arc<Mutex<Option<Record>>>>);

impl Note {
    pub(crate) fn new(record: Option<Record>) -> Self {
        Self(record.map(|record| Arc::new(Mutex::new(Some(record)))))
    }

    /// Adds what the operation has come to know.
    pub(crate) fn add(&mut self, what: impl FnOnce(&mut Record)) {
        if let Some(record) = self.record().as_deref_mut().and_then(Option::as_mut) {
            what(record);
        }
    }

    /// Whether there is to be a record.
    pub(crate) fn is_kept(&self) -> bool {
        self.so_far(|_| ()).is_some()
    }

    /// What `read` makes of what is known so far.
    pub(crate) fn so_far<T>(&self, read: impl FnOnce(&Record) -> T) -> Option<T> {
        self.record()?.as_ref().map(read)
    }

    fn record(&self) -> Option<MutexGuard<'_, Option<Record>>> {
        let record = self.0.as_ref()?;
        Some(record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The finished record of an operation that was done, or refused with this status. There is none of what was refused
    /// before it was judged (400), or so that it may simply be asked again, with nothing done (429); and no second one.
    pub(crate) fn finish(&self, refused: Option<StatusCode>) -> Option<Record> {
        let mut record = self.record()?.take()?;
        record.outcome = match refused {
            None => Outcome::Done,
            Some(StatusCode::BAD_REQUEST | StatusCode::TOO_MANY_REQUESTS) => return None,
            Some(status) => Outcome::Refused(status),
        };
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            at: Timestamp::from_micros(1_684_255_385_170_914),
            tenant: Some(Tenant::new("t").unwrap()),
            subject: Subject::new("ann \"x\"").unwrap(),
            kind: Kind::DetailsRead,
            operation: "connections/get",
            connections: vec![ConnectionId::from_bytes([7; 16])],
            name: Some(Name::new("one").unwrap()),
            workspace: Some(WorkspaceId::new(3).unwrap()),
            member: Some(Person::Email(Subject::new("bob@x").unwrap())),
            role: Some(Role::Owner),
            outcome: Outcome::Done,
            count: None,
            request_id: Some("r\\1".into()),
            address: Some([127, 0, 0, 1].into()),
        }
    }

    #[test]
    fn a_record_is_one_json_object_with_its_fields_in_a_fixed_order() {
        assert_eq!(
            record().to_json(),
            "{\"at\":\"2023-05-16T16:43:05.170914Z\",\"tenant\":\"t\",\"subject\":\"ann \\\"x\\\"\",\
             \"kind\":\"details.read\",\"operation\":\"connections/get\",\"name\":\"one\",\"workspace\":3,\
             \"email\":\"bob@x\",\"user_type\":\"OWNER\",\"outcome\":\"done\",\"request_id\":\"r\\\\1\",\"address\":\"127.0.0.1\",\
             \"connections\":[\"07070707-0707-0707-0707-070707070707\"]}"
        );
        let refused = Record {
            kind: Kind::Change,
            operation: "connections/delete",
            connections: Vec::new(),
            name: None,
            workspace: None,
            member: None,
            role: None,
            outcome: Outcome::Refused(StatusCode::CONFLICT),
            address: None,
            ..record()
        };
        assert_eq!(
            refused.to_json(),
            "{\"at\":\"2023-05-16T16:43:05.170914Z\",\"tenant\":\"t\",\"subject\":\"ann \\\"x\\\"\",\
             \"kind\":\"change\",\"operation\":\"connections/delete\",\"outcome\":\"conflict\",\"status\":409,\
             \"request_id\":\"r\\\\1\"}"
        );
    }

    #[test]
    fn a_record_of_no_tenant_or_no_request_is_without_them() {
        let of_an_operator = Record {
            count: Some(25),
            request_id: Some("r1".into()),
            ..Record::new(record().at, record().subject, Kind::Change, "admin/keys/reseal")
        };
        assert_eq!(
            of_an_operator.to_json(),
            "{\"at\":\"2023-05-16T16:43:05.170914Z\",\"subject\":\"ann \\\"x\\\"\",\"kind\":\"change\",\
             \"operation\":\"admin/keys/reseal\",\"count\":25,\"outcome\":\"done\",\"request_id\":\"r1\"}"
        );
        assert_eq!(
            Record::of_command(record().at, "import").to_json(),
            "{\"at\":\"2023-05-16T16:43:05.170914Z\",\"subject\":\"command line\",\"kind\":\"change\",\
             \"operation\":\"import\",\"outcome\":\"done\"}"
        );
    }

    #[test]
    fn a_log_line_bears_the_marker_and_a_long_record_takes_several_which_name_every_connection() {
        let lines: Vec<String> = record().log_lines().collect();
        assert_eq!(lines, [format!("{{\"audit\":{}}}", record().to_json())]);

        let mut long = record();
        let ids = (0..10_000_u128).map(|id| ConnectionId::from_bytes(id.to_be_bytes()));
        long.connections = ids.collect();
        let mut named = Vec::new();
        for line in long.log_lines() {
            assert!(line.len() < 256 * 1024, "{}", line.len());
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(line["audit"]["request_id"], "r\\1");
            let ids = line["audit"]["connections"].as_array().unwrap().clone();
            named.extend(ids.iter().map(|id| ConnectionId::parse(id.as_str().unwrap()).unwrap()));
        }
        assert_eq!(named, long.connections);
    }

    #[test]
    fn a_query_wants_what_all_its_fields_say_and_ends_an_hour_before_its_beginning() {
        let everything = Query {
            tenant: record().tenant.unwrap(),
            connection: None,
            subject: None,
            since: None,
            until: None,
            before: None,
            limit: 1,
            most_bytes: 0,
        };
        let json = record().to_json();
        let (at, later) = (record().at, |micros| {
            Some(Timestamp::from_micros(record().at.as_micros() + micros))
        });
        let id = |byte| Some(ConnectionId::from_bytes([byte; 16]));
        let other = |text| Some(Subject::new(text).unwrap());
        assert_eq!(everything.judge(&json), Match::Wanted);
        assert_eq!(everything.judge("{}"), Match::Unwanted);
        let of_an_operator = Record {
            tenant: None,
            ..record()
        };
        assert_eq!(everything.judge(&of_an_operator.to_json()), Match::Unwanted);
        // As it was written until `connections` came last.
        let older = "{\"at\":\"2023-05-16T16:43:05.170914Z\",\"tenant\":\"t\",\"subject\":\"ann\",\"kind\":\"look\",\
                     \"operation\":\"connections/get\",\"connections\":[\"07070707-0707-0707-0707-070707070707\"],\
                     \"outcome\":\"done\",\"request_id\":\"r\"}";
        let naming = |connection| Query {
            connection,
            ..everything.clone()
        };
        assert_eq!(naming(id(7)).judge(older), Match::Wanted);
        assert_eq!(naming(id(8)).judge(older), Match::Unwanted);
        let another = Query {
            tenant: Tenant::new("u").unwrap(),
            ..everything.clone()
        };
        assert_eq!(another.judge(&json), Match::Unwanted);
        for (connection, subject, since, until, expected) in [
            (id(7), other("ann \"x\""), Some(at), later(1), Match::Wanted),
            (id(8), None, None, None, Match::Unwanted),
            (None, other("ann"), None, None, Match::Unwanted),
            (None, None, later(1), None, Match::Unwanted),
            (None, None, None, Some(at), Match::Unwanted),
            (None, None, later(DISORDER), None, Match::Unwanted),
            (None, None, later(DISORDER + 1), None, Match::Past),
        ] {
            let query = Query {
                connection,
                subject,
                since,
                until,
                ..everything.clone()
            };
            assert_eq!(query.judge(&json), expected, "{query:?}");
        }
    }

    #[test]
    fn what_was_refused_unjudged_leaves_no_record() {
        let finished = |refused| Note::new(Some(record())).finish(refused);
        assert_eq!(finished(None), Some(record()));
        assert_eq!(finished(Some(StatusCode::BAD_REQUEST)), None);
        assert_eq!(finished(Some(StatusCode::TOO_MANY_REQUESTS)), None);
        let failed = finished(Some(StatusCode::NOT_FOUND)).unwrap();
        assert_eq!(failed.outcome, Outcome::Refused(StatusCode::NOT_FOUND));
        assert_eq!(Note::new(None).finish(None), None);
    }

    #[test]
    fn what_an_operation_came_to_know_is_known_to_who_ends_it_and_recorded_once() {
        let ending = Note::new(Some(record()));
        let mut working = ending.clone();
        working.add(|record| record.connections.push(ConnectionId::from_bytes([8; 16])));
        let status = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(ending.finish(Some(status)).unwrap().connections.len(), 2);
        assert_eq!(working.finish(None), None);
    }
}
