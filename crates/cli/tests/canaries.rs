//! No secret that passes through the real binary is kept or said anywhere.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::fs::{self, File};
use std::io::Write as _;

use patchbay_testkit::canaries::{Canaries, Scanner};
use tempfile::TempDir;

use common::canaries::{Callers, went_everywhere};
use common::{Server, done, patchbay, started, upkeep};

/// Each has some eighty secrets.
const ROUNDS: usize = 40;

#[test]
fn no_secret_is_in_any_file_log_metric_backup_export_or_error_and_one_that_is_put_there_is_found() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let log = folder.path().join("log");
    let callers = Callers::new(&data);
    let mut canaries = Canaries::default();
    let mut command = patchbay(&data);
    command
        .args(["--log", "debug", "--metrics-listen", "127.0.0.1:0"])
        .stderr(File::create(&log).unwrap());
    command.envs(callers.settings());
    let (child, lines) = started(command);
    let [address, metrics] = [0, 1].map(|line| {
        let (_, address) = lines.lines().nth(line).unwrap().split_once("http://").unwrap();
        address.trim_end_matches("/metrics").to_owned()
    });
    let server = Server { child, address };
    let landed = callers.fly(&server.address, &mut canaries, ROUNDS);
    went_everywhere(&landed, &canaries, ROUNDS);
    assert!(landed.statuses.contains_key(&431), "{:?}", landed.statuses);
    let scrape = Server::ask(
        &metrics,
        b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    );
    assert!(scrape.contains("connections/create"), "{scrape}");

    let backup = folder.path().join("backup");
    done(upkeep(&data, &["backup", backup.to_str().unwrap()]));
    let export = folder.path().join("export");
    done(upkeep(&data, &["export", "--output", export.to_str().unwrap()]));
    let checked = done(upkeep(&data, &["check"]));

    let scanner = Scanner::new(&canaries).unwrap();
    // While it runs, its write-ahead log is there.
    assert!(fs::metadata(data.join("patchbay.db-wal")).unwrap().len() > 0);
    let (leaks, read) = scanner.folder(folder.path()).unwrap();
    assert_eq!(leaks, []);
    assert!(read > 1_000_000, "only {read} bytes of files");
    assert_eq!(server.stop().0, Some(0));
    assert_eq!(scanner.folder(folder.path()).unwrap().0, []);
    for (place, bytes) in [
        ("an answer", landed.shown.as_slice()),
        ("metrics", scrape.as_bytes()),
        ("check", checked.as_bytes()),
    ] {
        assert_eq!(scanner.bytes(place, bytes), []);
    }
    // This is where it keeps things, and the log is whole.
    assert!(fs::read_to_string(&log).unwrap().contains("connections/create"));

    // What is asked for in the clear is full of them, and so would be a careless line.
    let clear = done(upkeep(&data, &["export", "--details-in-the-clear"]));
    let found = scanner.bytes("an export in the clear", clear.as_bytes());
    assert!(found.len() >= ROUNDS / 2, "{found:?}");
    let careless = canaries.fresh("a careless line");
    let mut file = File::options().append(true).open(&log).unwrap();
    writeln!(file, "{{\"level\":\"DEBUG\",\"body\":{careless:?}}}").unwrap();
    let (leaks, _) = Scanner::new(&canaries).unwrap().folder(folder.path()).unwrap();
    assert!(
        leaks
            .iter()
            .all(|leak| leak.what == "a careless line" && leak.place.ends_with("/log"))
    );
    assert!(!leaks.is_empty());
}
