//! Entries → lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{ConnectionEntry, Contents, Entry, FORMAT, Totals, VERSION, WorkspaceEntry};
use crate::model::Person;
use crate::wire::{Json, role_text};

/// The first line, without its line feed.
pub fn first_line() -> Vec<u8> {
    let mut json = Json::default();
    json.literal("{\"format\":").text(FORMAT);
    json.literal(",\"version\":").plain(VERSION).literal("}");
    json.into_vec()
}

impl Totals {
    /// The last line, without its line feed.
    pub fn to_line(self) -> Vec<u8> {
        let mut json = Json::default();
        json.literal("{\"kind\":\"end\",\"counters\":").plain(self.counters);
        json.literal(",\"workspaces\":").plain(self.workspaces);
        json.literal(",\"connections\":").plain(self.connections).literal("}");
        json.into_vec()
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
    json.each(&entry.members, |json, entry| {
        match &entry.member.person {
            Person::Subject(subject) => json.literal("{\"user_id\":").text(subject.as_str()),
            Person::Email(email) => json.literal("{\"email\":").text(email.as_str()),
        };
        if let Some(email) = &entry.email {
            json.literal(",\"email\":").text(email.as_str());
        }
        json.literal(",\"role\":\"")
            .literal(role_text(entry.member.role))
            .literal("\"}");
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
