//! What was stored while authentication was off, given to somebody by the real binary.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use common::{Server, done, new_token, patchbay, refused, upkeep};

const ADOPT: [&str; 5] = ["adopt", "--tenant", "acme", "--owner", "ann"];

/// A server that knows one caller; with their token.
fn serving(data: &Path, arguments: &[&str]) -> (Server, String) {
    let (token, entry) = new_token(upkeep(data, &[&["tokens", "create"], arguments].concat()));
    let mut command = patchbay(data);
    command.env("PATCHBAY_AUTH", "tokens").env("PATCHBAY_TOKENS", entry);
    (Server::spawn(command), token)
}

/// The status and the body of a call with a token.
fn call(server: &Server, token: &str, operation: &str, body: &str) -> (String, String) {
    let answer = server.raw(
        format!(
            "POST /v1/api/{operation} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].to_owned(), body.to_owned())
}

#[test]
fn the_new_owner_gets_everything_byte_for_byte_and_anonymous_has_nothing_left() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    for (name, details) in [
        (
            "odd",
            "{ \"b\" : 1.0,\r\n\t\"a\":1e400, \"b\":12345678901234567890.10 }",
        ),
        ("surrogates", "\"\\ud800 \\u0041\\udfff\""),
        ("null", "null"),
    ] {
        let create = format!("{{\"name\":\"{name}\",\"type\":\"KAFKA\",\"details\":{details}}}");
        let (status, created) = server.call("connections/create", &create);
        assert_eq!(status, 200);
        let pair = format!("{{\"workspace_id\":7,\"connection_id\":\"{}\"}}", &created[7..43]);
        assert_eq!(server.call("connections/add_to_workspace", &pair).0, 200);
    }
    assert_eq!(server.call("workspaces/create", "{\"workspace_name\":\"team\"}").0, 200);
    let (_, connections) = server.call("connections/list", "{}");
    let (_, workspaces) = server.call("workspaces/list", "{}");
    assert!(refused(upkeep(folder.path(), &ADOPT)).contains("another Patchbay is running"));
    assert_eq!(server.stop().0, Some(0));
    let of_a_table = [&ADOPT[..], &["--table", "patchbay"]].concat();
    assert!(refused(upkeep(folder.path(), &of_a_table)).contains("needs --store dynamodb"));

    let rehearsed = done(upkeep(folder.path(), &[&ADOPT[..], &["--dry-run"]].concat()));
    assert_eq!(rehearsed, "Would be adopted: 3 connections, 2 workspaces.\n");
    let adopted = done(upkeep(folder.path(), &ADOPT));
    assert_eq!(adopted, "Adopted: 3 connections, 2 workspaces.\n");
    assert!(done(upkeep(folder.path(), &["check"])).contains("Nothing is wrong"));

    let (server, ann) = serving(folder.path(), &["--tenant", "acme", "--subject", "ann"]);
    let ok = |body: &str| ("200".to_owned(), body.to_owned());
    assert_eq!(call(&server, &ann, "connections/list", "{}"), ok(&connections));
    assert_eq!(
        call(&server, &ann, "workspaces/list", "{}"),
        ok(&workspaces.replace("\"anonymous\"", "\"ann\""))
    );
    assert_eq!(
        call(&server, &ann, "connections/list", "{\"workspace_id\":7}"),
        ok(&connections)
    );
    server.stop();
    let (server, bob) = serving(folder.path(), &["--tenant", "acme", "--subject", "bob"]);
    assert_eq!(
        call(&server, &bob, "connections/list", "{}"),
        ok("{\"connections\":[]}")
    );
    server.stop();
    let server = Server::start(folder.path());
    assert_eq!(server.call("connections/list", "{}").1, "{\"connections\":[]}");
    assert_eq!(server.call("workspaces/list", "{}").1, "{\"workspaces\":[]}");
    server.stop();
}

#[test]
fn an_adoption_that_is_killed_has_happened_whole_or_not_at_all_and_can_be_run_again() {
    const CONNECTIONS: usize = 60;
    let folder = TempDir::new().unwrap();
    let (data, lines) = (folder.path().join("data"), folder.path().join("lines"));
    let mut export = "{\"format\":\"patchbay-export\",\"version\":1}\n\
        {\"kind\":\"workspace\",\"tenant\":\"default\",\"id\":7,\"name\":\"workspace-7\",\"created_by\":\"anonymous\",\
        \"created_at\":1,\"members\":[]}\n"
        .to_owned();
    for number in 0..CONNECTIONS {
        let details = "x".repeat(50_000);
        writeln!(
            export,
            "{{\"kind\":\"connection\",\"tenant\":\"default\",\"id\":\"00000000-0000-4000-8000-{number:012}\",\
             \"name\":\"c{number}\",\"type\":\"KAFKA\",\"owner\":\"anonymous\",\"created_at\":1,\
             \"details\":\"\\\"{details}\\\"\",\
             \"attachments\":[{{\"workspace_id\":7,\"id\":\"00000000-0000-4000-9000-{number:012}\"}}]}}"
        )
        .unwrap();
    }
    writeln!(
        export,
        "{{\"kind\":\"end\",\"counters\":0,\"workspaces\":1,\"connections\":{CONNECTIONS}}}"
    )
    .unwrap();
    fs::write(&lines, export).unwrap();
    done(upkeep(&data, &["import", lines.to_str().unwrap()]));
    let before = done(upkeep(&data, &["export"]));

    let mut cut_short = 0;
    for written in [0, 1 << 19, 1 << 20, 2 << 20] {
        let copy = folder.path().join(written.to_string());
        fs::create_dir(&copy).unwrap();
        for file in ["patchbay.db", "keys"] {
            fs::copy(data.join(file), copy.join(file)).unwrap();
        }
        let mut adopting = upkeep(&copy, &ADOPT).spawn().unwrap();
        // The log holds what is not committed yet as soon as it does not fit into memory.
        let log = copy.join("patchbay.db-wal");
        while fs::metadata(&log).map_or(0, |log| log.len()) < written && adopting.try_wait().unwrap().is_none() {}
        adopting.kill().unwrap();
        adopting.wait().unwrap();
        let left = done(upkeep(&copy, &["export"]));
        if left == before {
            cut_short += 1;
        } else {
            assert!(
                !left.contains("\"default\""),
                "it is half done, killed after {written} bytes"
            );
        }
        done(upkeep(&copy, &ADOPT));
        let whole = done(upkeep(&copy, &["export"]));
        assert!(!whole.contains("\"default\""));
        assert_eq!(whole.matches("\"owner\":\"ann\"").count(), CONNECTIONS);
        assert!(done(upkeep(&copy, &["check"])).contains("Nothing is wrong"));
    }
    assert!(cut_short > 0);
}
