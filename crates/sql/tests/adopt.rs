//! Adoption, seen by what an export says before and after.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::path::Path;

use common::{FixedHost, K1, K2};
use patchbay_core::adoption::{Adopted, NewOwner, Refusal};
use patchbay_core::model::{Subject, Tenant};
use patchbay_core::seal::KeyRing;
use patchbay_sql::{AdoptError, NativeStore, Options, adopt, check, export, import};
use tempfile::TempDir;

fn ring(entries: &str) -> KeyRing {
    KeyRing::parse(entries).unwrap()
}

fn to(tenant: &str, subject: &str) -> NewOwner {
    NewOwner {
        tenant: Tenant::new(tenant).unwrap(),
        subject: Subject::new(subject).unwrap(),
    }
}

fn counter(tenant: &str, last: u64) -> String {
    format!("{{\"kind\":\"counter\",\"tenant\":\"{tenant}\",\"last\":{last}}}")
}

/// `members` are `user_id` and `role`, or an address and `role`.
fn workspace(tenant: &str, id: u64, name: &str, by: &str, members: &[(&str, &str)]) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(who, role)| {
            let known_by = if who.contains('@') { "email" } else { "user_id" };
            format!("{{\"{known_by}\":\"{who}\",\"role\":\"{role}\"}}")
        })
        .collect();
    format!(
        "{{\"kind\":\"workspace\",\"tenant\":\"{tenant}\",\"id\":{id},\"name\":\"{name}\",\"created_by\":\"{by}\",\
         \"created_at\":1,\"members\":[{}]}}",
        members.join(",")
    )
}

/// `number` makes its id, and that of its attachments.
fn connection(tenant: &str, number: u64, name: &str, owner: &str, attached: &[u64]) -> String {
    let attached: Vec<_> = attached
        .iter()
        .map(|workspace| {
            format!("{{\"workspace_id\":{workspace},\"id\":\"00000000-0000-4000-8000-{number:06}{workspace:06}\"}}")
        })
        .collect();
    format!(
        "{{\"kind\":\"connection\",\"tenant\":\"{tenant}\",\"id\":\"00000000-0000-4000-9000-{number:012}\",\
         \"name\":\"{name}\",\"type\":\"KAFKA\",\"owner\":\"{owner}\",\"created_at\":5,\
         \"details\":\"{{ \\\"of\\\":\\\"{name}\\\" }}\",\"attachments\":[{}]}}",
        attached.join(",")
    )
}

/// A folder that holds these lines.
fn holding(keys: &KeyRing, lines: &[String]) -> TempDir {
    let count = |kind: &str| {
        lines
            .iter()
            .filter(|line| line.starts_with(&format!("{{\"kind\":\"{kind}\"")))
            .count()
    };
    let text = format!(
        "{{\"format\":\"patchbay-export\",\"version\":1}}\n{}\n\
         {{\"kind\":\"end\",\"counters\":{},\"workspaces\":{},\"connections\":{}}}\n",
        lines.join("\n"),
        count("counter"),
        count("workspace"),
        count("connection")
    );
    let folder = TempDir::new().unwrap();
    import(folder.path(), keys, &FixedHost, text.as_bytes()).unwrap();
    folder
}

/// The lines that the folder holds, details in the clear.
fn held(data: &Path, keys: &KeyRing) -> Vec<String> {
    let mut lines = Vec::new();
    export(data, Some(keys), &mut lines).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    let lines: Vec<_> = lines.lines().map(str::to_owned).collect();
    lines[1..lines.len() - 1].to_vec()
}

const OWNER: &str = "OWNER";
const COLLABORATOR: &str = "COLLABORATOR";

#[test]
fn what_anonymous_has_goes_to_the_new_owner_as_it_was_and_nothing_else_does() {
    let keys = ring(K1);
    let folder = holding(
        &keys,
        &[
            counter("acme", 2),
            counter("default", 4),
            workspace("acme", 1, "theirs", "bob", &[("bob", OWNER)]),
            workspace("default", 2, "of bob", "bob", &[("bob", OWNER)]),
            workspace(
                "default",
                3,
                "team",
                "anonymous",
                &[
                    ("anonymous", OWNER),
                    ("eve", COLLABORATOR),
                    ("eve@example.com", COLLABORATOR),
                ],
            ),
            workspace(
                "default",
                4,
                "led",
                "anonymous",
                &[("anonymous", COLLABORATOR), ("eve", OWNER)],
            ),
            workspace("default", 5, "workspace-5", "anonymous", &[("eve", OWNER)]),
            workspace("default", 9, "workspace-9", "anonymous", &[]),
            connection("acme", 1, "a", "bob", &[1]),
            connection("default", 2, "b", "anonymous", &[3, 9]),
            connection("default", 3, "c", "bob", &[2]),
            connection("default", 4, "d", "anonymous", &[]),
        ],
    );
    let rotated = ring(&format!("{K2},{K1}"));
    let before = held(folder.path(), &keys);
    let all = Adopted {
        connections: 2,
        workspaces: 4,
        left_out: 0,
    };
    let rehearsed = adopt(folder.path(), &rotated, &FixedHost, &to("acme", "ann"), true).unwrap();
    assert_eq!(rehearsed, all);
    assert_eq!(held(folder.path(), &keys), before);

    let adopted = adopt(folder.path(), &rotated, &FixedHost, &to("acme", "ann"), false).unwrap();
    assert_eq!(adopted, all);
    assert!(check(folder.path(), &rotated).unwrap().is_clean());
    assert_eq!(
        held(folder.path(), &rotated),
        [
            counter("acme", 4),
            counter("default", 4),
            workspace("acme", 1, "theirs", "bob", &[("bob", OWNER)]),
            workspace(
                "acme",
                3,
                "team",
                "ann",
                &[("ann", OWNER), ("eve", COLLABORATOR), ("eve@example.com", COLLABORATOR)],
            ),
            workspace("acme", 4, "led", "ann", &[("ann", COLLABORATOR), ("eve", OWNER)]),
            workspace("acme", 5, "workspace-5", "ann", &[("eve", OWNER)]),
            workspace("acme", 9, "workspace-9", "ann", &[("ann", OWNER)]),
            workspace("default", 2, "of bob", "bob", &[("bob", OWNER)]),
            connection("acme", 1, "a", "bob", &[1]),
            connection("acme", 2, "b", "ann", &[3, 9]),
            connection("acme", 4, "d", "ann", &[]),
            connection("default", 3, "c", "bob", &[2]),
        ]
    );
    // Sealed by the key that seals now.
    assert_eq!(check(folder.path(), &ring(K2)).unwrap().missing_keys, 2);

    let again = adopt(folder.path(), &rotated, &FixedHost, &to("acme", "ann"), false).unwrap();
    assert_eq!(again, Adopted::default());
}

#[test]
fn a_person_of_the_tenant_default_itself_may_be_the_new_owner() {
    let keys = ring(K1);
    let folder = holding(
        &keys,
        &[
            workspace("default", 7, "workspace-7", "anonymous", &[("ann", COLLABORATOR)]),
            workspace("default", 8, "workspace-8", "bob", &[]),
            connection("default", 1, "a", "anonymous", &[7, 8]),
        ],
    );
    adopt(folder.path(), &keys, &FixedHost, &to("default", "ann"), false).unwrap();
    assert_eq!(
        held(folder.path(), &keys),
        [
            workspace("default", 7, "workspace-7", "ann", &[("ann", OWNER)]),
            workspace("default", 8, "workspace-8", "bob", &[]),
            connection("default", 1, "a", "ann", &[7, 8]),
        ]
    );
    let nobody_else = adopt(folder.path(), &keys, &FixedHost, &to("default", "anonymous"), false);
    assert!(matches!(nobody_else, Err(AdoptError::Refused(Refusal::NobodyElse))));
}

#[test]
fn conflicts_are_all_named_and_nothing_changes() {
    let keys = ring(K1);
    let crowd: Vec<_> = (100..356)
        .map(|id| workspace("acme", id, &format!("workspace-{id}"), "bob", &[("eve", COLLABORATOR)]))
        .collect();
    let mut lines = vec![
        counter("acme", 50),
        counter("default", 50),
        workspace("acme", 3, "team", "bob", &[]),
        workspace("acme", 9, "workspace-9", "bob", &[]),
    ];
    lines.extend(crowd);
    lines.extend([
        workspace("default", 4, "team", "anonymous", &[]),
        workspace("default", 5, "free", "anonymous", &[("eve", OWNER)]),
        workspace("default", 9, "workspace-9", "anonymous", &[]),
        workspace("default", 10, "workspace-10", "bob", &[]),
        connection("acme", 1, "a", "bob", &[3]),
        connection("default", 2, "a", "anonymous", &[10]),
        connection("default", 3, "b", "bob", &[5]),
        connection("default", 4, "c", "anonymous", &[5]),
    ]);
    let folder = holding(&keys, &lines);
    let before = held(folder.path(), &keys);
    for rehearsal in [true, false] {
        let refused = adopt(folder.path(), &keys, &FixedHost, &to("acme", "ann"), rehearsal).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "nothing was adopted: acme has a connection `a` of its own; \
             acme has a workspace with the name of 4 (`team`); \
             acme has a workspace with the id of 9 (`workspace-9`); \
             only one of the connection `b` and the workspace 5, which it is in, is anonymous's; \
             only one of the connection `a` and the workspace 10, which it is in, is anonymous's; \
             eve would be in more than 256 workspaces"
        );
    }
    assert_eq!(held(folder.path(), &keys), before);

    let lines: Vec<_> = (0..25)
        .map(|number| connection("acme", 100 + number, &format!("c{number}"), "bob", &[]))
        .chain((0..25).map(|number| connection("default", 200 + number, &format!("c{number}"), "anonymous", &[])))
        .collect();
    let folder = holding(&keys, &lines);
    let refused = adopt(folder.path(), &keys, &FixedHost, &to("acme", "ann"), false).unwrap_err();
    let refused = refused.to_string();
    assert_eq!(refused.matches("of its own").count(), 20);
    assert!(refused.ends_with("; and 5 more"), "{refused}");
}

#[test]
fn a_connection_that_does_not_open_stops_it_all() {
    let keys = ring(K1);
    let folder = holding(
        &keys,
        &[
            connection("default", 1, "a", "anonymous", &[]),
            connection("default", 2, "b", "anonymous", &[]),
        ],
    );
    let file = folder.path().join(patchbay_sql::DATABASE_FILE);
    let database = rusqlite::Connection::open(&file).unwrap();
    database
        .execute("UPDATE connection SET key_id = 'k9' WHERE name = 'b'", [])
        .unwrap();
    drop(database);
    let refused = adopt(folder.path(), &keys, &FixedHost, &to("acme", "ann"), false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "nothing was adopted: connection 00000000-0000-4000-9000-000000000002: the key `k9` is not in the key ring; put a \
         key that is missing back into the ring, and delete what is damaged, or restore it from a backup"
    );
    assert_eq!(check(folder.path(), &keys).unwrap().problems.len(), 1);
}

#[test]
fn an_owner_of_too_many_workspaces_is_left_out_of_the_last() {
    let keys = ring(K1);
    let mut lines = vec![workspace(
        "acme",
        1000,
        "workspace-1000",
        "bob",
        &[("ann", COLLABORATOR)],
    )];
    lines.extend((1..=257).map(|id| workspace("default", id, &format!("workspace-{id}"), "anonymous", &[])));
    let folder = holding(&keys, &lines);
    let adopted = adopt(folder.path(), &keys, &FixedHost, &to("acme", "ann"), false).unwrap();
    assert_eq!((adopted.workspaces, adopted.left_out), (257, 2));
    let held = held(folder.path(), &keys);
    let owned = workspace("acme", 255, "workspace-255", "ann", &[("ann", OWNER)]);
    assert!(held.contains(&owned) && held.contains(&workspace("acme", 256, "workspace-256", "ann", &[])));
    assert!(check(folder.path(), &keys).unwrap().is_clean());
}

#[test]
fn a_folder_that_a_server_uses_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let store = NativeStore::open(folder.path(), Options::default()).unwrap();
    let refused = adopt(folder.path(), &ring(K1), &FixedHost, &to("acme", "ann"), false).unwrap_err();
    assert!(refused.to_string().contains("another Patchbay is running"), "{refused}");
    drop(store);
    adopt(folder.path(), &ring(K1), &FixedHost, &to("acme", "ann"), false).unwrap();
}
