//! The audit trail of the real binary: what is in it, and what `patchbay audit verify` says.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Server, audit, done, patchbay, refused, upkeep};
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "hunter2";

fn with_audit(data: &Path) -> Command {
    let mut command = patchbay(data);
    command.args(["--audit", "on"]);
    command
}

fn trail(data: &Path) -> String {
    fs::read_to_string(data.join("audit/000001.jsonl")).unwrap()
}

fn verify(data: &Path) -> Command {
    upkeep(data, &["audit", "verify"])
}

#[test]
fn what_is_acknowledged_is_in_the_trail_and_stays_there_when_the_server_is_killed() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    let mut server = Server::spawn(with_audit(data));
    let created = json!({"name": "one", "type": "T", "details": SECRET}).to_string();
    assert_eq!(server.call("connections/create", &created).0, 200);
    assert_eq!(server.call("connections/create", &created).0, 409);
    let (status, answer) = server.call("connections/get", "{\"name\":\"one\"}");
    assert!(status == 200 && answer.contains(SECRET));
    assert!(
        done(verify(data)).contains("Nothing is wrong."),
        "while the server runs"
    );
    server.child.kill().unwrap();
    drop(server);

    let server = Server::spawn(with_audit(data));
    assert_eq!(server.call("connections/delete", "{\"name\":\"one\"}").0, 204);
    assert_eq!(server.stop().0, Some(0));
    let said = done(verify(data));
    assert!(
        said.starts_with("4 lines in 1 files. The last has number 4; the database knows number 4."),
        "{said}"
    );
    assert!(!trail(data).contains(SECRET));
    let told = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let record = line["record"].clone();
        let text = |field: &str| record[field].as_str().unwrap().to_owned();
        [text("kind"), text("operation"), text("name"), text("outcome")].join(" ")
    };
    let expected = [
        "change connections/create one done",
        "change connections/create one conflict",
        "details.read connections/get one done",
        "change connections/delete one done",
    ];
    assert_eq!(trail(data).lines().map(told).collect::<Vec<_>>(), expected);
}

#[test]
fn each_call_leaves_one_record_in_the_trail() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    let mut serve = patchbay(data);
    let request = audit::knows_ann(&mut serve, upkeep(data, &["tokens", "create"]));
    let server = Server::spawn(serve);
    let created = audit::call_all(&server, request);
    server.stop();
    let record = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let record = line["record"].as_object_mut().unwrap();
        assert!(record.remove("at").unwrap().is_string());
        line["record"].take()
    };
    let told: Vec<_> = trail(data).lines().map(record).collect();
    assert_eq!(told, audit::expected(&created, "r1", "127.0.0.1"));
    assert!(done(verify(data)).contains("Nothing is wrong."));
}

#[test]
fn verify_names_the_file_and_line_that_was_edited_and_fails() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    let server = Server::spawn(with_audit(data));
    for name in ["one", "two"] {
        let body = json!({"name": name, "type": "T"}).to_string();
        assert_eq!(server.call("connections/create", &body).0, 200);
    }
    server.stop();
    fs::write(data.join("audit/000001.jsonl"), trail(data).replace("two", "owt")).unwrap();
    let output = verify(data).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("audit/000001.jsonl, line 2: it is not as it was written"),
        "{said}"
    );
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error, "patchbay: the audit trail is not as it was written\n");
}

#[test]
fn verify_says_what_a_start_mends_and_takes_it_for_no_problem() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    let server = Server::spawn(with_audit(data));
    assert_eq!(server.call("connections/list", "{}").0, 200);
    server.stop();
    fs::write(data.join("audit/000001.jsonl"), trail(data) + "{\"num").unwrap();
    let said = done(verify(data));
    assert!(said.contains("The last 5 bytes are no whole line"), "{said}");
    assert!(said.ends_with("Nothing is wrong.\n"), "{said}");
}

#[test]
fn there_is_no_trail_where_nobody_is_known_unless_it_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    let server = Server::start(data);
    assert_eq!(server.call("connections/list", "{}").0, 200);
    server.stop();
    assert!(!data.join("audit").exists());
    assert!(done(verify(data)).starts_with("0 lines in 0 files."));
    let mut of_no_use = patchbay(data);
    of_no_use.args(["--audit-file-mib", "1"]);
    assert!(refused(of_no_use).contains("--audit on"));
}
