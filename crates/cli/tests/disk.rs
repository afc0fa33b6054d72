//! The real binary on disks and folders that fail it.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use common::{Server, done, patchbay, refused, upkeep};

#[test]
fn writes_that_find_the_disk_full_are_refused_and_go_on_when_it_is_not() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    // Files end at 6 MiB: the write-ahead log is emptied once at its usual 4, then the database cannot take it.
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -S -f 12288; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_patchbay"))
        .args(patchbay(&data).get_args())
        .args(["--log", "off"])
        .stderr(Stdio::piped());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PATCHBAY_")) {
        command.env_remove(name);
    }
    let server = Server::spawn(command);
    let details = "x".repeat(100_000);
    let create = |name: &str| {
        let body = format!("{{\"name\":\"{name}\",\"type\":\"T\",\"details\":\"{details}\"}}");
        let request = format!(
            "POST /v1/api/connections/create HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        server.raw(request.as_bytes())
    };
    let get = |server: &Server, name: &str| server.call("connections/get", &format!("{{\"name\":\"{name}\"}}"));
    let (mut kept, mut lost) = (Vec::new(), Vec::new());
    for number in 0..400 {
        let name = format!("c{number}");
        let answer = create(&name);
        if answer.starts_with("HTTP/1.1 200 ") {
            kept.push(name);
        } else {
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            assert!(answer.contains("\r\nretry-after: "), "{answer}");
            lost.push(name);
        }
        if lost.len() == 5 {
            break;
        }
    }
    assert!(
        lost.len() == 5 && kept.len() > 50,
        "{} kept, {} lost",
        kept.len(),
        lost.len()
    );
    assert_eq!(get(&server, &kept[0]).0, 200);
    assert_eq!(get(&server, kept.last().unwrap()).0, 200);

    let pid = server.child.id().to_string();
    let lifted = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited"])
        .status();
    assert!(lifted.unwrap().success());
    assert!(create("after").starts_with("HTTP/1.1 200 "));
    assert!(create(&lost[0]).starts_with("HTTP/1.1 200 "));
    let whole = format!("\"details\":\"{details}\"");
    let all_as_acknowledged = |server: &Server| {
        for name in kept.iter().chain([&"after".to_owned(), &lost[0]]) {
            let (status, answer) = get(server, name);
            assert!(status == 200 && answer.contains(&whole), "{name}");
        }
        for name in &lost[1..] {
            assert_eq!(get(server, name).0, 404, "{name}");
        }
    };
    all_as_acknowledged(&server);
    assert!(done(upkeep(&data, &["check"])).contains("Nothing is wrong"));
    assert_eq!(server.stop().0, Some(0));
    let server = Server::start(&data);
    all_as_acknowledged(&server);
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_folder_that_cannot_be_used_gets_a_sentence_that_says_what_to_do() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    let error = refused(patchbay(&file));
    assert!(error.contains("choose another with --data"), "{error}");
    for arguments in [&["check"][..], &["export"], &["backup", "x"]] {
        let error = refused(upkeep(&file, arguments));
        assert!(error.contains("cannot be"), "{arguments:?}: {error}");
    }
    // Where the lock should be there is a folder: what a system gives that refuses to write, also to root.
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("lock")).unwrap();
    let error = refused(patchbay(&data));
    assert!(error.contains("see that it is writable"), "{error}");
}

#[test]
fn a_damaged_database_is_refused_with_the_way_back() {
    let folder = TempDir::new().unwrap();
    Server::start(folder.path()).stop();
    let database = folder.path().join("patchbay.db");
    fs::write(&database, vec![b'x'; 65_536]).unwrap();
    for command in [patchbay(folder.path()), upkeep(folder.path(), &["check"])] {
        let error = refused(command);
        assert!(error.contains("patchbay restore FILE --replace"), "{error}");
    }
    assert_eq!(fs::read(&database).unwrap(), vec![b'x'; 65_536]);
}
