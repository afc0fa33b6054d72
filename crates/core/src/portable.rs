//! The line format of `patchbay export` and `import`: everything that a home keeps, one JSON object a line, the same
//! for every home.
//!
//! The first line names the format and its version. Then come counters, workspaces and connections, each kind before
//! the next, so that what a line refers to stands above it. The last line counts them: a file that was cut off between
//! two lines is told from a whole one. Errors name the field and what was expected, and never repeat a value.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::api::Host;
use crate::limits;
use crate::model::{
    AttachmentId, ConnectionId, Details, Invalid, KeyId, Person, Record, Role, Sealed, Subject, Tenant, Timestamp,
    Workspace, WorkspaceId,
};
use crate::problem::Problem;
use crate::seal::{Draft, KeyRing};
use crate::wire::{Fields, Json, deeper_than};

/// What the first line's `format` says.
const FORMAT: &str = "patchbay-export";
/// The format's version. It rises when an older program could not read what a newer one writes.
pub const VERSION: u64 = 1;
/// Bytes of the longest line that a reader takes: any connection or workspace within its limits fits, with every
/// character of its texts escaped.
pub const LINE_BYTES: usize = 4 * 1024 * 1024;

/// Why a line is refused. Completes "line 3: …" and never repeats a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

impl Refusal {
    /// Refuses a line for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem.msg.into_owned())
    }
}

/// One line between the first and the last.
#[derive(Debug)]
pub enum Entry {
    /// A tenant's counter of workspace ids.
    Counter(Counter),
    /// A workspace with its members.
    Workspace(WorkspaceEntry),
    /// A connection with its details and attachments.
    Connection(ConnectionEntry),
}

/// The last id that a tenant's counter gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// Whose it is.
    pub tenant: Tenant,
    /// The id.
    pub last: WorkspaceId,
}

/// A workspace with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceEntry {
    /// Whose it is.
    pub tenant: Tenant,
    /// The workspace.
    pub workspace: Workspace,
    /// Its members, each once.
    pub members: Vec<(Person, Role)>,
}

/// A connection with its details and attachments.
#[derive(Debug)]
pub struct ConnectionEntry {
    /// Whose it is.
    pub tenant: Tenant,
    /// The connection without its details.
    pub draft: Draft,
    /// Its details.
    pub contents: Contents,
    /// Where it is attached, each workspace once.
    pub attachments: Vec<(WorkspaceId, AttachmentId)>,
}

/// A connection's details in a line.
#[derive(Debug)]
pub enum Contents {
    /// As they are stored.
    Sealed(Sealed),
    /// In the clear: the exact text of the JSON value, as a JSON string.
    Clear(Details),
}

/// How much a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Counters.
    pub counters: u64,
    /// Workspaces.
    pub workspaces: u64,
    /// Connections.
    pub connections: u64,
}

impl Totals {
    /// Counts `entry` as well.
    pub fn add(&mut self, entry: &Entry) {
        let count = match entry {
            Entry::Counter(_) => &mut self.counters,
            Entry::Workspace(_) => &mut self.workspaces,
            Entry::Connection(_) => &mut self.connections,
        };
        *count = count.saturating_add(1);
    }

    /// The last line, without its line feed.
    pub fn to_line(self) -> Vec<u8> {
        let mut json = Json::default();
        json.literal("{\"kind\":\"end\",\"counters\":").plain(self.counters);
        json.literal(",\"workspaces\":").plain(self.workspaces);
        json.literal(",\"connections\":").plain(self.connections).literal("}");
        json.into_vec()
    }
}

/// The first line, without its line feed.
pub fn first_line() -> Vec<u8> {
    let mut json = Json::default();
    json.literal("{\"format\":").text(FORMAT);
    json.literal(",\"version\":").plain(VERSION).literal("}");
    json.into_vec()
}

impl ConnectionEntry {
    /// The record to keep: what is sealed must open with the ring, what is in the clear is sealed with its first key.
    ///
    /// # Errors
    /// Where it does not open.
    pub fn into_record(self, ring: &KeyRing, host: &impl Host) -> Result<Record, Refusal> {
        let sealed = match self.contents {
            Contents::Clear(details) => return Ok(ring.seal(host, &self.tenant, self.draft, &details)),
            Contents::Sealed(sealed) => sealed,
        };
        let Draft {
            id,
            name,
            connection_type,
            owner,
            created_at,
        } = self.draft;
        let record = Record {
            id,
            name,
            connection_type,
            owner,
            created_at,
            sealed,
        };
        match ring.open(&self.tenant, &record) {
            Ok(_) => Ok(record),
            Err(error) => Err(Refusal(format!("`sealed`: {error}"))),
        }
    }
}

impl Entry {
    /// Its line, without the line feed. May hold details in the clear: wiped when dropped.
    pub fn to_line(&self) -> Zeroizing<Vec<u8>> {
        let mut json = Json::default();
        match self {
            Self::Counter(counter) => {
                json.literal("{\"kind\":\"counter\",\"tenant\":")
                    .text(counter.tenant.as_str());
                json.literal(",\"last\":").plain(counter.last).literal("}");
            }
            Self::Workspace(entry) => write_workspace(&mut json, entry),
            Self::Connection(entry) => write_connection(&mut json, entry),
        }
        Zeroizing::new(json.into_vec())
    }
}

fn write_workspace(json: &mut Json, entry: &WorkspaceEntry) {
    let workspace = &entry.workspace;
    json.literal("{\"kind\":\"workspace\",\"tenant\":")
        .text(entry.tenant.as_str());
    json.literal(",\"id\":").plain(workspace.id);
    json.literal(",\"name\":").text(workspace.name.as_str());
    json.literal(",\"created_by\":").text(workspace.created_by.as_str());
    json.literal(",\"created_at\":").plain(workspace.created_at.as_micros());
    json.literal(",\"members\":[");
    json.each(&entry.members, |json, (person, role)| {
        match person {
            Person::Subject(subject) => json.literal("{\"user_id\":").text(subject.as_str()),
            Person::Email(email) => json.literal("{\"email\":").text(email.as_str()),
        };
        json.literal(match role {
            Role::Owner => ",\"role\":\"OWNER\"}",
            Role::Collaborator => ",\"role\":\"COLLABORATOR\"}",
        });
    });
    json.literal("]}");
}

fn write_connection(json: &mut Json, entry: &ConnectionEntry) {
    let draft = &entry.draft;
    json.literal("{\"kind\":\"connection\",\"tenant\":")
        .text(entry.tenant.as_str());
    json.literal(",\"id\":\"").plain(draft.id);
    json.literal("\",\"name\":").text(draft.name.as_str());
    json.literal(",\"type\":").text(draft.connection_type.as_str());
    json.literal(",\"owner\":").text(draft.owner.as_str());
    json.literal(",\"created_at\":").plain(draft.created_at.as_micros());
    match &entry.contents {
        Contents::Sealed(sealed) => {
            json.literal(",\"key_id\":").text(sealed.key_id.as_str());
            json.literal(",\"sealed\":").text(&STANDARD.encode(&sealed.bytes));
        }
        Contents::Clear(details) => {
            // What is kept was checked to be JSON in UTF-8.
            let text = std::str::from_utf8(details.expose()).unwrap_or_default();
            json.literal(",\"details\":").text(text);
        }
    }
    json.literal(",\"attachments\":[");
    json.each(&entry.attachments, |json, (workspace, id)| {
        json.literal("{\"workspace_id\":").plain(workspace);
        json.literal(",\"id\":\"").plain(id).literal("\"}");
    });
    json.literal("]}");
}

/// Takes a file's lines in order.
#[derive(Debug, Default)]
pub struct Reader {
    begun: bool,
    found: Totals,
    ended: bool,
}

impl Reader {
    /// Takes the next line, without its line feed; the first and the last give `None`.
    ///
    /// # Errors
    /// Where the line is not what the format has there.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Entry>, Refusal> {
        if !self.begun {
            self.begun = true;
            return first(line).map(|()| None);
        }
        if self.ended {
            return Err(Refusal::new("stands after the line that ends the export"));
        }
        let Some(entry) = entry(line, self.found)? else {
            self.ended = true;
            return Ok(None);
        };
        let Totals {
            workspaces,
            connections,
            ..
        } = self.found;
        let late = match entry {
            Entry::Counter(_) => workspaces + connections > 0,
            Entry::Workspace(_) => connections > 0,
            Entry::Connection(_) => false,
        };
        if late {
            return Err(Refusal::new(
                "counters must stand before workspaces, and those before connections",
            ));
        }
        self.found.add(&entry);
        Ok(Some(entry))
    }

    /// What the file held, after its last line.
    ///
    /// # Errors
    /// Where lines are missing at its end.
    pub fn finish(self) -> Result<Totals, Refusal> {
        if self.ended {
            Ok(self.found)
        } else {
            Err(Refusal::new(
                "the line that ends the export is missing: the file was cut off",
            ))
        }
    }
}

fn first(line: &[u8]) -> Result<(), Refusal> {
    /// Read leniently: a newer version may say more in it.
    #[derive(Deserialize)]
    struct First {
        format: String,
        version: u64,
    }
    match serde_json::from_slice::<First>(line) {
        Ok(First { format, version }) if format == FORMAT => match version {
            VERSION => Ok(()),
            newer if newer > VERSION => Err(Refusal(format!(
                "the export has version {newer}, but this Patchbay knows no newer one than {VERSION}; use the newer \
                 Patchbay"
            ))),
            _ => Err(Refusal::new("`version` must be a positive integer")),
        },
        _ => Err(Refusal::new("is not the first line of a Patchbay export")),
    }
}

/// The line's entry; `None` for the last line, whose counts must be those of `found`.
fn entry(line: &[u8], found: Totals) -> Result<Option<Entry>, Refusal> {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    // serde_json's own messages may repeat what stands in the line.
    serde_json::from_slice::<&RawValue>(line)
        .map_err(|error| Refusal(format!("is not valid JSON, from column {} on", error.column())))?;
    let kind = serde_json::from_slice::<Kind>(line).map(|line| line.kind);
    match kind.as_deref() {
        Ok("counter") => read_counter(line).map(|counter| Some(Entry::Counter(counter))),
        Ok("workspace") => read_workspace(line).map(|workspace| Some(Entry::Workspace(workspace))),
        Ok("connection") => read_connection(line).map(|connection| Some(Entry::Connection(connection))),
        Ok("end") => read_end(line, found).map(|()| None),
        _ => Err(Refusal::new(
            "must be an object whose `kind` is counter, workspace, connection or end",
        )),
    }
}

fn read_end(line: &[u8], found: Totals) -> Result<(), Refusal> {
    let fields = Fields::parse(line, &["kind", "counters", "workspaces", "connections"])?;
    for (field, found) in [
        ("counters", found.counters),
        ("workspaces", found.workspaces),
        ("connections", found.connections),
    ] {
        if integer(&fields, field)? != i64::try_from(found).unwrap_or(i64::MAX) {
            return Err(Refusal(format!(
                "`{field}` is not how many stand above, {found}: lines are missing or were added"
            )));
        }
    }
    Ok(())
}

fn read_counter(line: &[u8]) -> Result<Counter, Refusal> {
    let fields = Fields::parse(line, &["kind", "tenant", "last"])?;
    Ok(Counter {
        tenant: text(&fields, "tenant", Tenant::new)?,
        last: fields.required_workspace_id("last")?,
    })
}

fn read_workspace(line: &[u8]) -> Result<WorkspaceEntry, Refusal> {
    let known = ["kind", "tenant", "id", "name", "created_by", "created_at", "members"];
    let fields = Fields::parse(line, &known)?;
    let workspace = Workspace {
        id: fields.required_workspace_id("id")?,
        name: fields.name("name")?,
        created_by: text(&fields, "created_by", Subject::new)?,
        created_at: Timestamp::from_micros(integer(&fields, "created_at")?),
    };
    if !name_fits(&workspace) {
        return Err(Refusal::new(
            "`name`: `workspace-<digits>` is kept for the workspace of that id",
        ));
    }
    let mut members = Vec::new();
    for member in items(&fields, "members", limits::MEMBERS_PER_WORKSPACE)? {
        let (person, role) = read_member(member).map_err(|error| Refusal(format!("`members`: {error}")))?;
        if members.iter().any(|(other, _)| *other == person) {
            return Err(Refusal::new("`members` names somebody twice"));
        }
        members.push((person, role));
    }
    Ok(WorkspaceEntry {
        tenant: text(&fields, "tenant", Tenant::new)?,
        workspace,
        members,
    })
}

/// Whether a workspace's name is one that its id may have: names of the form `workspace-<digits>` are kept for what
/// `open` mode makes.
pub fn name_fits(workspace: &Workspace) -> bool {
    let digits = workspace.name.as_str().strip_prefix("workspace-").unwrap_or_default();
    let kept = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    !kept || digits == workspace.id.to_string()
}

/// Whether an e-mail address is in the form that it is matched by.
pub fn is_lower_case(email: &Subject) -> bool {
    !email.as_str().bytes().any(|byte| byte.is_ascii_uppercase())
}

fn read_member(member: &RawValue) -> Result<(Person, Role), Refusal> {
    let fields = Fields::parse(member.get().as_bytes(), &["user_id", "email", "role"])?;
    let person = match (fields.subject("user_id")?, fields.subject("email")?) {
        (Some(subject), None) => Person::Subject(subject),
        (None, Some(email)) if is_lower_case(&email) => Person::Email(email),
        (None, Some(_)) => return Err(Refusal::new("`email` must be in lower case")),
        _ => return Err(Refusal::new("one of `user_id` and `email` is required")),
    };
    let role = match fields.any_text("role")?.as_deref() {
        Some("OWNER") => Role::Owner,
        Some("COLLABORATOR") => Role::Collaborator,
        _ => return Err(Refusal::new("`role` must be OWNER or COLLABORATOR")),
    };
    Ok((person, role))
}

fn read_connection(line: &[u8]) -> Result<ConnectionEntry, Refusal> {
    let known = [
        "kind",
        "tenant",
        "id",
        "name",
        "type",
        "owner",
        "created_at",
        "key_id",
        "sealed",
        "details",
        "attachments",
    ];
    let fields = Fields::parse(line, &known)?;
    let draft = Draft {
        id: text(&fields, "id", ConnectionId::parse)?,
        name: fields.name("name")?,
        connection_type: fields.connection_type("type")?,
        owner: text(&fields, "owner", Subject::new)?,
        created_at: Timestamp::from_micros(integer(&fields, "created_at")?),
    };
    let mut attachments = Vec::new();
    for attachment in items(&fields, "attachments", limits::WORKSPACES_PER_CONNECTION)? {
        let (workspace, id) =
            read_attachment(attachment).map_err(|error| Refusal(format!("`attachments`: {error}")))?;
        if attachments.iter().any(|(other, _)| *other == workspace) {
            return Err(Refusal::new("`attachments` names a workspace twice"));
        }
        attachments.push((workspace, id));
    }
    Ok(ConnectionEntry {
        tenant: text(&fields, "tenant", Tenant::new)?,
        draft,
        contents: read_contents(&fields)?,
        attachments,
    })
}

fn read_attachment(attachment: &RawValue) -> Result<(WorkspaceId, AttachmentId), Refusal> {
    let fields = Fields::parse(attachment.get().as_bytes(), &["workspace_id", "id"])?;
    let workspace = fields.required_workspace_id("workspace_id")?;
    Ok((workspace, text(&fields, "id", AttachmentId::parse)?))
}

fn read_contents(fields: &Fields<'_>) -> Result<Contents, Refusal> {
    let wrong = || Refusal::new("`details` must be the text of a JSON object, string or null, as a JSON string");
    match (fields.raw("sealed"), fields.raw("details")) {
        (Some(_), None) => {
            let bytes = text(fields, "sealed", |text| {
                let wrong = |_| Invalid("must be base64 with padding".into());
                STANDARD.decode(text).map_err(wrong)
            })?;
            let key_id = text(fields, "key_id", KeyId::new)?;
            Ok(Contents::Sealed(Sealed { key_id, bytes }))
        }
        (None, Some(raw)) if fields.raw("key_id").is_none() => {
            let text: Zeroizing<String> = serde_json::from_str(raw).map(Zeroizing::new).map_err(|_| wrong())?;
            if deeper_than(text.as_bytes(), limits::JSON_DEPTH - 1) {
                return Err(Refusal::new("`details` is nested too deep"));
            }
            let value: &RawValue = serde_json::from_str(&text).map_err(|_| wrong())?;
            if value.get().len() != text.len() {
                return Err(wrong());
            }
            let details = Details::from_json(value).map_err(|error| Refusal(format!("`details` {error}")))?;
            Ok(Contents::Clear(details))
        }
        _ => Err(Refusal::new(
            "either `sealed` and `key_id` or `details` alone must be given",
        )),
    }
}

fn text<T>(fields: &Fields<'_>, field: &'static str, new: fn(&str) -> Result<T, Invalid>) -> Result<T, Refusal> {
    Ok(fields.required(field, fields.text(field, new)?)?)
}

fn integer(fields: &Fields<'_>, field: &'static str) -> Result<i64, Refusal> {
    let number = fields.raw(field).and_then(|raw| raw.parse().ok());
    number.ok_or_else(|| Refusal(format!("`{field}` must be an integer")))
}

/// An array's elements, each an object, `most` of them at most.
fn items<'a>(fields: &Fields<'a>, field: &'static str, most: usize) -> Result<Vec<&'a RawValue>, Refusal> {
    let items = fields
        .raw(field)
        .and_then(|raw| serde_json::from_str::<Vec<&RawValue>>(raw).ok())
        .filter(|items| items.iter().all(|item| item.get().starts_with('{')))
        .ok_or_else(|| Refusal(format!("`{field}` must be an array of objects")))?;
    if items.len() > most {
        return Err(Refusal(format!("`{field}` must have at most {most} elements")));
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::FixedHost;
    use crate::model::{ConnectionType, Name};

    const RING: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn connection(details: &str) -> ConnectionEntry {
        ConnectionEntry {
            tenant: Tenant::new("t").unwrap(),
            draft: Draft {
                id: ConnectionId::from_random([7; 16]),
                name: Name::new("Größe \"#\" 名").unwrap(),
                connection_type: ConnectionType::new("KAFKA").unwrap(),
                owner: Subject::new("ann").unwrap(),
                created_at: Timestamp::from_micros(1_684_255_385_170_914),
            },
            contents: Contents::Clear(Details::new(details.as_bytes().to_vec())),
            attachments: vec![(WorkspaceId::new(7).unwrap(), AttachmentId::from_random([8; 16]))],
        }
    }

    fn reader() -> Reader {
        let mut reader = Reader::default();
        assert!(reader.line(&first_line()).unwrap().is_none());
        reader
    }

    fn refusal(line: &str) -> String {
        reader().line(line.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn details_in_the_clear_are_exact_to_the_byte() {
        for details in [
            "{ \"b\" : 1.0,\r\n\t\"a\":1e400,\"b\":\"\\ud800\\u0041\" }",
            "\"\\udfff 名\"",
            "{}",
            "null",
        ] {
            let line = Entry::Connection(connection(details)).to_line();
            let Some(Entry::Connection(read)) = reader().line(&line).unwrap() else {
                panic!("no connection");
            };
            let Contents::Clear(read) = read.contents else {
                panic!("not in the clear");
            };
            assert_eq!(read.expose(), details.as_bytes());
        }
    }

    #[test]
    fn every_kind_of_line_comes_back_as_it_was_written() {
        let tenant = Tenant::new("t").unwrap();
        let workspace = WorkspaceEntry {
            tenant: tenant.clone(),
            workspace: Workspace {
                id: WorkspaceId::new(3).unwrap(),
                name: Name::new("team").unwrap(),
                created_by: Subject::new("ann").unwrap(),
                created_at: Timestamp::from_micros(-1),
            },
            members: vec![
                (Person::Subject(Subject::new("ann").unwrap()), Role::Owner),
                (
                    Person::Email(Subject::new("bob@example.com").unwrap()),
                    Role::Collaborator,
                ),
            ],
        };
        let ring = KeyRing::parse(RING).unwrap();
        let mut sealed = connection("{}");
        sealed.contents = Contents::Sealed(
            connection("{}")
                .into_record(&ring, &FixedHost::default())
                .unwrap()
                .sealed,
        );
        let last = WorkspaceId::new(9).unwrap();
        let mut reader = reader();
        let mut totals = Totals::default();
        for entry in [
            Entry::Counter(Counter { tenant, last }),
            Entry::Workspace(workspace),
            Entry::Connection(sealed),
        ] {
            let line = entry.to_line();
            totals.add(&entry);
            assert_eq!(reader.line(&line).unwrap().unwrap().to_line(), line);
        }
        assert!(reader.line(&totals.to_line()).unwrap().is_none());
        assert_eq!(reader.finish().unwrap(), totals);
    }

    #[test]
    fn a_file_that_lost_lines_is_told_from_a_whole_one() {
        let line = Entry::Connection(connection("{}")).to_line();
        let mut cut = reader();
        cut.line(&line).unwrap();
        assert!(cut.finish().unwrap_err().to_string().contains("cut off"));
        let two = Totals {
            connections: 2,
            ..Totals::default()
        };
        let mut short = reader();
        short.line(&line).unwrap();
        assert!(
            short
                .line(&two.to_line())
                .unwrap_err()
                .to_string()
                .contains("`connections`")
        );
        let mut after = reader();
        after.line(&Totals::default().to_line()).unwrap();
        assert!(after.line(&line).is_err());
    }

    #[test]
    fn a_newer_version_and_other_files_are_refused() {
        let first = |line: &str| Reader::default().line(line.as_bytes()).unwrap_err().to_string();
        let newer = first("{\"format\":\"patchbay-export\",\"version\":2,\"more\":[]}");
        assert!(newer.contains("version 2"), "{newer}");
        for other in ["", "{}", "hunter2", "{\"format\":\"x\",\"version\":1}"] {
            assert_eq!(first(other), "is not the first line of a Patchbay export");
        }
    }

    #[test]
    fn a_damaged_line_is_refused_by_its_field_and_its_details_not_repeated() {
        let good = String::from_utf8(Entry::Connection(connection("\"hunter2\"")).to_line().to_vec()).unwrap();
        let whole = "\"\\\"hunter2\\\"\"";
        assert!(good.contains(whole));
        for (from, to, says) in [
            ("\"kind\"", "\"hunter2\":1,\"kind\"", "`hunter2` is not a known field"),
            (whole, "\"hunter2\"", "`details`"),
            (whole, "\" {}\"", "`details`"),
            (whole, "{\"hunter2\":1}", "`details`"),
            (whole, "\"{\\\"hunter2\\\":\"", "`details`"),
            (whole, "\"{}\",\"key_id\":\"hunter2\"", "alone"),
            (whole, "\"{}\",\"details\":\"hunter2\"", "`details` is given twice"),
            (whole, "\"hunter2", "not valid JSON"),
            ("\"name\":\"", "\"name\":\" ", "`name`"),
            ("\"id\":\"0707", "\"id\":\"07", "`id`"),
            (":1684255385170914", ":1.5", "`created_at`"),
            ("\"workspace_id\":7", "\"workspace_id\":0", "`attachments`"),
            ("\"attachments\":[", "\"attachments\":[3,", "`attachments`"),
            ("\"kind\":\"connection\"", "\"kind\":\"hunter2\"", "`kind`"),
        ] {
            assert!(good.contains(from), "{from}");
            let error = refusal(&good.replacen(from, to, 1));
            assert!(error.contains(says), "{says}: {error}");
            assert!(says.contains("hunter2") || !error.contains("hunter2"), "{error}");
        }
        let mut deep = "[".repeat(63) + &"]".repeat(63);
        deep = format!("\"{{\\\"a\\\":{deep}}}\"");
        assert!(refusal(&good.replacen(whole, &deep, 1)).contains("too deep"));
    }

    #[test]
    fn kept_workspace_names_belong_to_their_ids() {
        let line = |name: &str| {
            format!(
                "{{\"kind\":\"workspace\",\"tenant\":\"t\",\"id\":7,\"name\":\"{name}\",\"created_by\":\"a\",\
                 \"created_at\":1,\"members\":[]}}"
            )
        };
        for (name, fits) in [
            ("workspace-7", true),
            ("workspace-8", false),
            ("workspace-07", false),
            ("workspace-", true),
            ("workspace-x", true),
        ] {
            assert_eq!(reader().line(line(name).as_bytes()).is_ok(), fits, "{name}");
        }
    }
}
