//! The line format of `patchbay export` and `import`: everything that a home keeps, one JSON object a line, the same
//! for every home.
//!
//! The first line names the format and its version. Then come counters, workspaces and connections, each kind before
//! the next, so that what a line refers to stands above it. The last line counts them: a file that was cut off between
//! two lines is told from a whole one. Errors name the field and what was expected, and never repeat a value.

mod read;
mod write;

pub use read::Reader;
pub use write::first_line;

use crate::api::Host;
use crate::limits;
use crate::model::{AttachmentId, Details, Member, Record, Sealed, Subject, Tenant, Timestamp, Workspace, WorkspaceId};
use crate::problem::Problem;
use crate::seal::{Draft, KeyRing};

/// What the first line's `format` says.
const FORMAT: &str = "patchbay-export";
/// The format's version. It rises when an older program could not read what a newer one writes. Version 1 had no member
/// with both a `user_id` and an `email`, and is read as well.
pub const VERSION: u64 = 2;
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
        // A problem is a whole sentence.
        Self(problem.msg.trim_end_matches('.').to_owned())
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
    pub members: Vec<MemberEntry>,
}

/// A member of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberEntry {
    /// The member.
    pub member: Member,
    /// The e-mail address that is kept beside somebody who is known by subject.
    pub email: Option<Subject>,
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
        let record = self.draft.into_record(sealed);
        match ring.open(&self.tenant, &record) {
            Ok(_) => Ok(record),
            Err(error) => Err(Refusal(format!("`sealed`: {error}"))),
        }
    }
}

/// Whether a workspace's name is one that its id may have: names of the form `workspace-<digits>` are kept for what
/// `open` mode makes.
pub fn name_fits(workspace: &Workspace) -> bool {
    let kept_for = workspace.name.kept_for();
    kept_for.is_none_or(|digits| digits == workspace.id.to_string())
}

/// Whether something may have been made then.
pub fn moment_fits(created_at: Timestamp) -> bool {
    limits::CREATED_AT_MICROS.contains(&created_at.as_micros())
}

/// Whether an e-mail address is in the form that it is matched by.
pub fn is_lower_case(email: &Subject) -> bool {
    !email.as_str().bytes().any(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::FixedHost;
    use crate::model::{ConnectionId, ConnectionType, Name, Person, Role};

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
        let text = |text| Subject::new(text).unwrap();
        let member = |person, role, email| MemberEntry {
            member: Member { person, role },
            email,
        };
        let workspace = WorkspaceEntry {
            tenant: tenant.clone(),
            workspace: Workspace {
                id: WorkspaceId::new(3).unwrap(),
                name: Name::new("team").unwrap(),
                created_by: Subject::new("ann").unwrap(),
                created_at: Timestamp::from_micros(1),
            },
            members: vec![
                member(Person::Subject(text("ann")), Role::Owner, None),
                member(Person::Subject(text("eve")), Role::Owner, Some(text("eve@x"))),
                member(Person::Email(text("bob@example.com")), Role::Collaborator, None),
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
            let read = reader.line(&line).unwrap().unwrap();
            assert_eq!(read.to_line(), line);
            if let (Entry::Workspace(read), Entry::Workspace(written)) = (read, entry) {
                assert_eq!(read, written);
            }
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
        let newer = first("{\"format\":\"patchbay-export\",\"version\":3,\"more\":[]}");
        assert!(newer.contains("version 3"), "{newer}");
        let before = b"{\"format\":\"patchbay-export\",\"version\":1}";
        assert!(Reader::default().line(before).unwrap().is_none());
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
    fn created_at_is_from_1970_to_2255() {
        let good = String::from_utf8(Entry::Connection(connection("{}")).to_line().to_vec()).unwrap();
        for (micros, fits) in [
            ("0", true),
            ("9007199254740991", true),
            ("-1", false),
            ("9007199254740992", false),
        ] {
            let connection = good.replacen("1684255385170914", micros, 1);
            let workspace = format!(
                "{{\"kind\":\"workspace\",\"tenant\":\"t\",\"id\":7,\"name\":\"team\",\"created_by\":\"a\",\
                 \"created_at\":{micros},\"members\":[]}}"
            );
            for line in [connection, workspace] {
                match reader().line(line.as_bytes()) {
                    Ok(_) => assert!(fits, "{micros}"),
                    Err(error) => assert!(!fits && error.to_string().starts_with("`created_at`"), "{error}"),
                }
            }
        }
        let last = Timestamp::from_micros(*limits::CREATED_AT_MICROS.end());
        assert_eq!(last.to_string(), "2255-06-05T23:47:34.740991Z");
    }

    #[test]
    fn a_refusal_ends_without_a_full_stop_since_its_sentence_goes_on() {
        let good = String::from_utf8(Entry::Connection(connection("{}")).to_line().to_vec()).unwrap();
        for (from, to) in [
            ("\"name\":\"", "\"name\":\" "),
            ("\"owner\":\"ann\"", "\"owner\":null"),
            ("\"kind\"", "\"more\":1,\"kind\""),
        ] {
            let error = refusal(&good.replacen(from, to, 1));
            assert!(!error.ends_with('.'), "{error}");
        }
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
