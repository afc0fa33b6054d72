//! No secret that passes through the real binary is kept or said anywhere.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use patchbay_testkit::canaries::{Callers, Canaries, Scanner, missed};
use tempfile::TempDir;

use common::{Server, patchbay, started, upkeep};

/// Each has some hundred secrets.
const ROUNDS: usize = 40;
/// A ring whose key has the id of the one that sealed everything, and is another.
const OF_ANOTHER_KEY: &str = "k1:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA";
/// A ring without the key that sealed everything.
const WITHOUT_THE_KEY: &str = "k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA";

/// A server that says all it can.
struct Talker {
    server: Server,
    metrics: String,
    log: JoinHandle<()>,
}

impl Talker {
    /// On this folder and with this ring, its log to the end of a file.
    fn start(data: &Path, ring: &str, callers: &Callers, log: &Path) -> Self {
        let serve = patchbay(data);
        // A write past a limit is to fail, not to kill it.
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(serve.get_program())
            .args(serve.get_args())
            .args(["--log", "debug", "--metrics-listen", "127.0.0.1:0"])
            .stderr(Stdio::piped());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PATCHBAY_")) {
            command.env_remove(name);
        }
        command.envs(callers.settings()).env("PATCHBAY_KEYS", ring);
        let (mut child, lines) = started(command);
        let [address, metrics] = [0, 1].map(|line| {
            let (_, address) = lines.lines().nth(line).unwrap().split_once("http://").unwrap();
            address.trim_end_matches("/metrics").to_owned()
        });
        // Not by the server itself, whose files may be limited.
        let mut said = child.stderr.take().unwrap();
        let mut file = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let log = thread::spawn(move || {
            io::copy(&mut said, &mut file).unwrap();
        });
        let server = Server { child, address };
        Self { server, metrics, log }
    }

    /// Has every write to a file that would be longer than so many bytes, or `unlimited`, fail from now on.
    fn limit_files(&self, bytes: &str) {
        let pid = self.server.child.id().to_string();
        let limit = format!("--fsize={bytes}:unlimited");
        let limited = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
        assert!(limited.unwrap().success());
    }

    /// Ends it. What it said is in the file then.
    fn stop(self) {
        assert_eq!(self.server.stop().0, Some(0));
        self.log.join().unwrap();
    }
}

#[test]
fn no_secret_is_in_any_file_log_metric_backup_export_or_error_and_what_is_leaked_on_purpose_is_found() {
    let folder = TempDir::new().unwrap();
    let [data, log] = ["data", "log"].map(|name| folder.path().join(name));
    let callers = Callers::default();
    let mut canaries = Canaries::default();
    let ring = format!("k1:{}AAAAAAAAAAA", canaries.fresh_token("a key"));
    let start = |ring: &str| Talker::start(&data, ring, &callers, &log);
    let by_hand = |arguments: &[&str]| {
        let mut command = upkeep(&data, arguments);
        let ran = command.env("PATCHBAY_KEYS", &ring).output().unwrap();
        [ran.stdout, ran.stderr].concat()
    };
    let copies = |backup: &str, export: &str| {
        let [backup, export] = [backup, export].map(|name| folder.path().join(name));
        let backup = by_hand(&["backup", backup.to_str().unwrap()]);
        [backup, by_hand(&["export", "--output", export.to_str().unwrap()])].concat()
    };

    let talker = start(&ring);
    let landed = callers.fly(&talker.server.address, &mut canaries, ROUNDS).unwrap();
    landed.went_everywhere().unwrap();
    assert!(landed.statuses.contains_key(&431), "{:?}", landed.statuses);
    assert!(canaries.count() > 80 * ROUNDS, "only {} secrets", canaries.count());
    let mut shown = landed.shown;
    // Neither the database nor the trail can be written.
    talker.limit_files("1");
    let mut in_vain = |talker: &Talker, status: u16| {
        let flight = callers.flight(&talker.server.address, &mut canaries);
        let landed = flight.in_vain(5).unwrap();
        assert!(landed.statuses.contains_key(&status), "{:?}", landed.statuses);
        shown.extend(landed.shown);
    };
    in_vain(&talker, 503);
    talker.limit_files("unlimited");
    let scrape = Server::ask(
        &talker.metrics,
        b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    );
    // While it runs, its write-ahead log is there.
    assert!(fs::metadata(data.join("patchbay.db-wal")).unwrap().len() > 0);
    let beside_it = fs::read(data.join("patchbay.db-wal")).unwrap();
    talker.stop();
    for ring in [OF_ANOTHER_KEY, WITHOUT_THE_KEY] {
        let talker = start(ring);
        in_vain(&talker, 500);
        talker.stop();
    }

    let mut told = copies("backup", "export");
    // With records that open by no key of the ring: it says so.
    for upkeep in [&["check"][..], &["audit", "verify"], &["keys", "status"]] {
        told.extend(by_hand(upkeep));
    }
    let scanner = Scanner::new(&canaries).unwrap();
    let (leaks, read) = scanner.folder(folder.path()).unwrap();
    assert_eq!(leaks, []);
    assert!(read > 1_000_000, "only {read} bytes of files");
    for (place, bytes) in [
        ("an answer", shown.as_slice()),
        ("the write-ahead log", &beside_it),
        ("metrics", scrape.as_bytes()),
        ("what is done by hand", &told),
    ] {
        assert_eq!(scanner.bytes(place, bytes), []);
    }
    // What is asked for in the clear is full of them.
    let clear = by_hand(&["export", "--details-in-the-clear"]);
    let found = scanner.bytes("an export in the clear", &clear);
    assert!(found.len() >= ROUNDS / 2, "{found:?}");

    let mut planted = Canaries::default();
    let talker = start(&ring);
    let landed = callers.flight(&talker.server.address, &mut planted).plant().unwrap();
    let beside_it = fs::read(data.join("patchbay.db-wal")).unwrap();
    talker.stop();
    copies("second-backup", "second-export");
    // Labels are all that metrics have of a request.
    planted.add("a label", "connections/remove_from_workspace");
    let scanner = Scanner::new(&planted).unwrap();
    assert!(!scanner.bytes("metrics", scrape.as_bytes()).is_empty());
    let mut leaks = scanner.folder(folder.path()).unwrap().0;
    leaks.extend(scanner.bytes("an answer", &landed.shown));
    leaks.extend(scanner.bytes("the write-ahead log", &beside_it));
    let places = [
        "/log",
        "/data/patchbay.db",
        "/data/audit/",
        "/second-backup",
        "/second-export",
        "the write-ahead log",
        "an answer",
    ];
    assert_eq!(missed(&leaks, &places), [""; 0]);
}
