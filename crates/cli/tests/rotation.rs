//! `patchbay keys status` and `patchbay keys rotate` by the real binary over a data folder.

#![cfg(feature = "native")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;

use futures_util::future::join_all;
use patchbay_core::model::{ConnectionId, ConnectionType, Details, KeyId, Timestamp};
use patchbay_core::seal::{Draft, KeyRing};
use patchbay_core::store::Store as _;
use patchbay_sql::{NativeStore, Options};
use patchbay_testkit::SystemHost;
use patchbay_testkit::sample::{caller, name};
use tempfile::TempDir;

use common::{Server, done, refused, upkeep};

const OLD: &str = "old:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const NEW: &str = "new:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

fn set_keys(data: &Path, entries: &[&str]) {
    fs::create_dir_all(data).unwrap();
    fs::write(data.join("keys"), entries.join(",")).unwrap();
}

fn status(data: &Path) -> String {
    done(upkeep(data, &["keys", "status"]))
}

fn create(server: &Server, name: &str) {
    let body = format!("{{\"name\":\"{name}\",\"type\":\"K\",\"details\":\"of {name}\"}}");
    assert_eq!(server.call("connections/create", &body).0, 200);
}

fn opens(server: &Server, name: &str) {
    let (status, answer) = server.call("connections/get", &format!("{{\"name\":\"{name}\"}}"));
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains(&format!("\"details\":\"of {name}\"")), "{answer}");
}

#[test]
fn a_new_key_comes_first_everything_is_sealed_with_it_and_the_old_one_goes() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    set_keys(data, &[OLD]);
    let server = Server::start(data);
    create(&server, "one");
    create(&server, "two");
    server.stop();

    set_keys(data, &[NEW, OLD]);
    let server = Server::start(data);
    create(&server, "three");
    assert_eq!(status(data), "new: 1 record; it seals what is new\nold: 2 records\n");
    let error = refused(upkeep(data, &["keys", "rotate"]));
    assert!(error.contains("another Patchbay is running"), "{error}");
    server.stop();

    let rotated = "new: 3 records; it seals what is new\n\
                   old: 0 records; only backups from before may need it, once no server seals with it\n";
    assert_eq!(done(upkeep(data, &["keys", "rotate"])), rotated);
    assert_eq!(
        done(upkeep(data, &["keys", "rotate"])),
        rotated,
        "once more does nothing"
    );
    assert_eq!(status(data), rotated);

    set_keys(data, &[NEW]);
    assert!(done(upkeep(data, &["check"])).contains("Nothing is wrong"));
    let server = Server::start(data);
    for name in ["one", "two", "three"] {
        opens(&server, name);
    }
    server.stop();
}

#[test]
fn records_without_their_key_are_counted_left_alone_and_fail_the_rotation() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    set_keys(data, &[OLD]);
    let server = Server::start(data);
    create(&server, "one");
    server.stop();

    set_keys(data, &[NEW]);
    let counted = "new: 0 records; it seals what is new\nold: 1 record; it is not in the ring, so that nothing opens what it sealed\n";
    assert_eq!(status(data), counted);
    let error = refused(upkeep(data, &["keys", "rotate"]));
    assert!(error.contains("1 record is not sealed with new"), "{error}");
    assert_eq!(status(data), counted);

    let server = Server::start(data);
    assert_eq!(server.call("connections/get", "{\"name\":\"one\"}").0, 500);
    let (status, answer) = server.call("connections/get", "{\"name\":\"one\",\"details\":false}");
    assert!(status == 200 && answer.contains("\"details\":null"), "{answer}");
    assert!(
        server
            .call("connections/list", "{\"details\":false}")
            .1
            .contains("\"one\"")
    );
    server.stop();

    set_keys(data, &[NEW, OLD]);
    done(upkeep(data, &["keys", "rotate"]));
    let server = Server::start(data);
    opens(&server, "one");
    server.stop();
}

#[test]
fn a_rotation_that_is_killed_again_and_again_comes_to_its_end() {
    const COUNT: u128 = 6_000;
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    set_keys(data, &[NEW, OLD]);
    let new = KeyId::new("new").unwrap();
    let (old, who) = (KeyRing::parse(OLD).unwrap(), caller("default", "anonymous", true));
    let store = NativeStore::open(data, Options::default()).unwrap();
    let fill = async {
        let numbers: Vec<u128> = (0..COUNT).collect();
        for some in numbers.chunks(500) {
            let creates = some.iter().map(|number| {
                let draft = Draft {
                    id: ConnectionId::from_random(number.to_be_bytes()),
                    name: name(&format!("c{number}")),
                    connection_type: ConnectionType::new("K").unwrap(),
                    owner: who.subject.clone(),
                    created_at: Timestamp::from_micros(1),
                };
                store.create(&who, old.seal(&SystemHost, &who.tenant, draft, &Details::null()))
            });
            for created in join_all(creates).await {
                created.unwrap();
            }
        }
    };
    tokio::runtime::Runtime::new().unwrap().block_on(fill);
    drop(store);

    let sealed_again = || {
        patchbay_sql::count_sealed(data)
            .unwrap()
            .get(&new)
            .copied()
            .unwrap_or(0)
    };
    for _ in 0..2 {
        let before = sealed_again();
        let mut rotation = upkeep(data, &["keys", "rotate"]);
        let mut rotation = rotation.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // It goes on from what was done, one batch at least.
        while sealed_again() == before && rotation.try_wait().unwrap().is_none() {
            thread::yield_now();
        }
        _ = rotation.kill();
        rotation.wait().unwrap();
        println!("{before} before, {} then", sealed_again());
        assert!(sealed_again() > before);
    }
    let rotated = done(upkeep(data, &["keys", "rotate"]));
    assert!(
        rotated.starts_with("new: 6000 records;") && rotated.contains("old: 0 records;"),
        "{rotated}"
    );
    set_keys(data, &[NEW]);
    assert!(done(upkeep(data, &["check"])).contains("Nothing is wrong"));
}

#[test]
fn a_folder_without_a_database_is_not_made_into_one() {
    let folder = TempDir::new().unwrap();
    for what in ["status", "rotate"] {
        let mut command = upkeep(folder.path(), &["keys", what]);
        command.env("PATCHBAY_KEYS", NEW);
        assert!(refused(command).contains("there is no database"));
        let elsewhere = upkeep(folder.path(), &["keys", what, "--table", "t"]);
        assert!(refused(elsewhere).contains("needs --store dynamodb"));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Creates one connection with this key ring.
fn create_with(data: &Path, entries: &[&str], name: &str) {
    set_keys(data, entries);
    let server = Server::start(data);
    create(&server, name);
    server.stop();
}

#[test]
fn a_rotation_with_another_secret_than_the_one_that_sealed_is_refused_before_it_changes_anything() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    create_with(data, &[OLD], "one");
    create_with(data, &[NEW, OLD], "two");
    set_keys(data, &[&NEW.replace("new:B", "new:C"), OLD]);
    let before = status(data);
    let error = refused(upkeep(data, &["keys", "rotate"]));
    assert!(error.contains("1 of the records name the key `new`"), "{error}");
    assert_eq!(status(data), before);
    set_keys(data, &[NEW, OLD]);
    done(upkeep(data, &["keys", "rotate"]));
}

#[test]
fn a_new_key_out_of_the_variable_is_told_to_be_compared() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    create_with(data, &[OLD], "one");
    let rotate = || {
        let mut command = upkeep(data, &["keys", "rotate"]);
        command.env("PATCHBAY_KEYS", [NEW, OLD].join(","));
        let output = command.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let warning = "Nothing is sealed with new yet";
    assert!(rotate().contains(warning));
    assert!(!rotate().contains(warning), "there is something by now");
}

#[test]
fn damaged_records_and_rows_are_named_passed_and_fail_the_rotation() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    for name in ["one", "two", "three"] {
        create_with(data, &[OLD], name);
    }
    let database = rusqlite::Connection::open(data.join(patchbay_sql::DATABASE_FILE)).unwrap();
    let changed = database.execute_batch(
        "UPDATE connection SET sealed = x'01' WHERE name = 'one'; UPDATE connection SET owner = '' WHERE name = 'two'",
    );
    changed.unwrap();
    drop(database);
    set_keys(data, &[NEW, OLD]);
    let error = refused(upkeep(data, &["keys", "rotate"]));
    for said in [
        "of the tenant default: the sealed details",
        "row 2 of the table `connection`: a stored subject",
        "2 records are not sealed with new, and 2 damaged",
    ] {
        assert!(error.contains(said), "{error}");
    }
    assert!(status(data).starts_with("new: 1 record;"));
}
