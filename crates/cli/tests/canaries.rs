//! No secret that passes through the real binary is kept or said anywhere.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use patchbay_core::api::Host as _;
use patchbay_core::identity::Authentication;
use patchbay_testkit::SystemHost;
use patchbay_testkit::canaries::{Canaries, Flight, Landed, Scanner};
use patchbay_testkit::issuer::{AUDIENCE, By, CLAIM_ADMIN, ISSUER, Issuer};
use tempfile::TempDir;

use common::{Server, done, patchbay, started, upkeep};

/// Each has some sixty secrets.
const ROUNDS: usize = 40;

/// Who is let in, and with what.
struct Callers {
    issuer: Issuer,
    /// An opaque token, and its entry.
    token: String,
    entry: String,
}

impl Callers {
    fn new(data: &Path) -> Self {
        let create = [
            "tokens",
            "create",
            "--tenant",
            "default",
            "--subject",
            "anonymous",
            "--admin",
        ];
        let printed = done(upkeep(data, &create));
        let lines: Vec<_> = printed.lines().collect();
        let issuer = Issuer::default();
        let [token, entry] = [lines[1], lines[4]].map(str::to_owned);
        Self { issuer, token, entry }
    }

    fn let_in(&self, command: &mut Command) {
        command
            .env("PATCHBAY_AUTH", "oidc+tokens")
            .env("PATCHBAY_TOKENS", &self.entry)
            .env("PATCHBAY_ISSUER", ISSUER)
            .env("PATCHBAY_AUDIENCE", AUDIENCE)
            .env("PATCHBAY_JWKS", self.issuer.jwks())
            .env("PATCHBAY_CLAIM_ADMIN", CLAIM_ADMIN);
    }

    /// Takes canaries through a server that asks for tokens: right ones of either kind, and every wrong one.
    fn fly(&self, address: &str, canaries: &mut Canaries) -> Landed {
        canaries.add("an opaque token", &self.token["patchbay_".len()..]);
        let everybody = Authentication::anonymous();
        let mut tokens = vec![self.token.clone()];
        for by in By::ALL.into_iter().cycle().take(20) {
            let token = self.issuer.token(by, &everybody, SystemHost.now());
            canaries.add_jwt(&format!("a token by {by:?}"), &token);
            tokens.push(token);
        }
        let mut wrong = Vec::new();
        for (name, token) in self.issuer.bad(SystemHost.now()) {
            canaries.add_jwt(&name, &token);
            let token = token.replace(['\r', '\n'], "");
            wrong.push(format!(
                "POST /v1/api/connections/list HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
                 authorization: Bearer {token}\r\ncontent-length: 2\r\n\r\n{{}}"
            ));
        }
        let mut tokens = tokens.iter().cycle().cloned();
        let mut flight = Flight::new(address, canaries, move || tokens.next());
        for request in wrong {
            flight.send(request.as_bytes()).unwrap();
        }
        flight.fly(ROUNDS).unwrap()
    }
}

/// Every way that a request goes wrong was gone.
fn went_everywhere(landed: &Landed, canaries: &Canaries) {
    let statuses: Vec<u16> = landed.statuses.keys().copied().collect();
    for status in [200, 204, 400, 401, 404, 405, 409, 413, 415, 431] {
        assert!(statuses.contains(&status), "no {status} among {statuses:?}");
    }
    assert!(canaries.count() > 2_000, "only {} secrets", canaries.count());
}

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
    callers.let_in(&mut command);
    let (child, lines) = started(command);
    let [address, metrics] = [0, 1].map(|line| {
        let (_, address) = lines.lines().nth(line).unwrap().split_once("http://").unwrap();
        address.trim_end_matches("/metrics").to_owned()
    });
    let server = Server { child, address };
    let landed = callers.fly(&server.address, &mut canaries);
    went_everywhere(&landed, &canaries);
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
