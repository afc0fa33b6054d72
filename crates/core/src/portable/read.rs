//! Lines → entries.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{
    ConnectionEntry, Contents, Counter, Entry, FORMAT, MemberEntry, Refusal, Totals, VERSION, WorkspaceEntry,
    is_lower_case, moment_fits, name_fits,
};
use crate::limits;
use crate::model::{
    AttachmentId, ConnectionId, Details, Invalid, KeyId, Member, Person, Role, Sealed, Subject, Tenant, Timestamp,
    Workspace, WorkspaceId,
};
use crate::seal::Draft;
use crate::wire::{Fields, deeper_than};

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
            1..=VERSION => Ok(()),
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
        created_at: read_created_at(&fields)?,
    };
    if !name_fits(&workspace) {
        return Err(Refusal::new(
            "`name`: `workspace-<digits>` is kept for the workspace of that id",
        ));
    }
    let mut members = Vec::<MemberEntry>::new();
    for member in items(&fields, "members", limits::MEMBERS_PER_WORKSPACE)? {
        let read = read_member(member).map_err(|error| Refusal(format!("`members`: {error}")))?;
        if members.iter().any(|other| other.member.person == read.member.person) {
            return Err(Refusal::new("`members` names somebody twice"));
        }
        members.push(read);
    }
    Ok(WorkspaceEntry {
        tenant: text(&fields, "tenant", Tenant::new)?,
        workspace,
        members,
    })
}

fn read_member(member: &RawValue) -> Result<MemberEntry, Refusal> {
    let fields = Fields::parse(member.get().as_bytes(), &["user_id", "email", "role"])?;
    let (person, email) = match (fields.subject("user_id")?, fields.subject("email")?) {
        (_, Some(email)) if !is_lower_case(&email) => return Err(Refusal::new("`email` must be in lower case")),
        (Some(subject), email) => (Person::Subject(subject), email),
        (None, Some(email)) => (Person::Email(email), None),
        (None, None) => return Err(Refusal::new("one of `user_id` and `email` is required")),
    };
    let role = match fields.any_text("role")?.as_deref() {
        Some("OWNER") => Role::Owner,
        Some("COLLABORATOR") => Role::Collaborator,
        _ => return Err(Refusal::new("`role` must be OWNER or COLLABORATOR")),
    };
    let member = Member { person, role };
    Ok(MemberEntry { member, email })
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
        created_at: read_created_at(&fields)?,
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

fn read_created_at(fields: &Fields<'_>) -> Result<Timestamp, Refusal> {
    let created_at = Timestamp::from_micros(integer(fields, "created_at")?);
    if moment_fits(created_at) {
        Ok(created_at)
    } else {
        Err(Refusal::new(
            "`created_at` must be from 1970-01-01 to 2255-06-05, in microseconds since 1970",
        ))
    }
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
