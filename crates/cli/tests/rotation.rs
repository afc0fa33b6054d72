//! `patchbay keys status` and `patchbay keys rotate` by the real binary over a data folder.

#![cfg(feature = "native")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it did"
)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use futures_util::future::join_all;
use patchbay_core::model::{ConnectionId, ConnectionType, Details, KeyId, Timestamp};
use patchbay_core::seal::{Draft, KeyRing};
use patchbay_core::store::Store as _;
use patchbay_sql::{NativeStore, Options};
use patchbay_testkit::SystemHost;
use patchbay_testkit::sample::{caller, name};
use tempfile::TempDir;

use common::{Server, done, new_token, patchbay, refused, started, upkeep};

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
            .under
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

#[test]
fn records_that_name_no_key_are_counted_apart_and_fail_the_rotation() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    for name in ["one", "two"] {
        create_with(data, &[OLD], name);
    }
    let spoil = |key_id: &str| {
        let database = rusqlite::Connection::open(data.join(patchbay_sql::DATABASE_FILE)).unwrap();
        let sql = format!("UPDATE connection SET key_id = {key_id} WHERE name = 'two'");
        database.execute(&sql, []).unwrap();
    };
    set_keys(data, &[NEW, OLD]);
    let unreadable = "1 record: which key sealed it cannot be read; keep every key until it is restored or deleted\n";
    spoil("CAST(x'6fff' AS TEXT)");
    let before = format!("new: 0 records; it seals what is new\nold: 1 record\n{unreadable}");
    assert_eq!(status(data), before);
    spoil("'No Key'");
    assert_eq!(status(data), before);
    let error = refused(upkeep(data, &["keys", "rotate"]));
    for said in [
        "row 2 of the table `connection`: a stored key id",
        "1 record is not sealed with new, and 1 damaged",
    ] {
        assert!(error.contains(said), "{error}");
    }
    let rotated = format!(
        "new: 1 record; it seals what is new\n\
         old: 0 records; only backups from before may need it, once no server seals with it\n{unreadable}"
    );
    assert_eq!(status(data), rotated);

    let (token, of_operator) = roots_token(data, &["--operator"]);
    let mut command = patchbay(data);
    command.env("PATCHBAY_OPERATOR_TOKENS", of_operator);
    let server = Server::spawn(command);
    let url = format!("http://{}", server.address);
    assert_eq!(done(operate("status", &url, &token)), rotated);
    let error = refused(operate("rotate", &url, &token));
    assert!(
        error.contains("1 record is not sealed with new: the server's log"),
        "{error}"
    );
    let (_, log) = server.stop();
    assert!(
        log.contains("row 2 of the table `connection`: a stored key id"),
        "{log}"
    );
}

/// A new token of root's, and its entry.
fn roots_token(data: &Path, of: &[&str]) -> (String, String) {
    new_token(upkeep(data, &[&["tokens", "create", "--subject", "root"], of].concat()))
}

/// `keys …` by an operator with this token, from where there is no data folder.
fn operate(what: &str, url: &str, token: &str) -> Command {
    let mut command = upkeep(Path::new("/nowhere"), &["keys", what, "--url", url]);
    command.env("PATCHBAY_OPERATOR_TOKEN", token);
    command
}

#[test]
fn an_operator_rotates_while_the_server_runs_and_nobody_else_does() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    let (token, of_operator) = roots_token(data, &["--operator"]);
    let (admins, of_admin) = roots_token(data, &["--tenant", "default", "--admin"]);
    let token = token.as_str();
    set_keys(data, &[OLD]);
    let server = Server::start(data);
    // More than one call seals again.
    let many: Vec<String> = (0..1_001).map(|number| format!("c{number}")).collect();
    many.iter().for_each(|name| create(&server, name));
    server.stop();

    set_keys(data, &[NEW, OLD]);
    let mut command = patchbay(data);
    command
        .env("PATCHBAY_AUTH", "tokens")
        .env("PATCHBAY_TOKENS", of_admin)
        .env("PATCHBAY_OPERATOR_TOKENS", of_operator)
        // An operator's shell has it, and it stops no other command.
        .env("PATCHBAY_OPERATOR_TOKEN", token);
    let server = Server::spawn(command);
    let url = format!("http://{}", server.address);
    let before = "new: 0 records; it seals what is new\nold: 1001 records\n";
    assert_eq!(done(operate("status", &url, token)), before);
    let unknown = token.chars().rev().collect::<String>();
    for what in ["status", "rotate"] {
        let error = refused(operate(what, &url, &unknown));
        assert!(
            error.contains("the server answers 401: A valid bearer token is required"),
            "{error}"
        );
        assert!(!error.contains(&unknown), "{error}");
        let error = refused(operate(what, &url, &admins));
        assert!(error.contains("the server answers 403: Only an operator"), "{error}");
        let error = refused(upkeep(data, &["keys", what, "--url", &url]));
        assert!(error.contains("into PATCHBAY_OPERATOR_TOKEN"), "{error}");
        let error = refused(operate(what, &url, "two\nlines"));
        assert!(
            error.contains("has characters that no token has") && !error.contains("two"),
            "{error}"
        );
    }
    assert_eq!(status(data), before);

    let rotated = "new: 1001 records; it seals what is new\n\
                   old: 0 records; only backups from before may need it, once no server seals with it\n";
    let output = operate("rotate", &format!("{url}/"), token).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.contains("Sealed again: 1001 records."),
        "{said}"
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), rotated);
    assert_eq!(done(operate("rotate", &url, token)), rotated, "once more does nothing");
    let (_, log) = server.stop();
    assert!(
        !log.contains(&token[9..]) && log.contains("\"operator\":\"root\""),
        "{log}"
    );

    set_keys(data, &[NEW]);
    let server = Server::start(data);
    many.iter().for_each(|name| opens(&server, name));
    server.stop();
}

#[test]
fn an_operators_token_goes_nowhere_in_cleartext_and_one_place_is_named() {
    for url in [
        "http://10.0.0.1",
        "http://patchbay.example",
        "http://localhost:8080",
        "https://a.example?b",
    ] {
        let error = refused(operate("rotate", url, "token"));
        assert!(error.contains("--url") && error.contains("must "), "{error}");
    }
    for store in [
        ["--store", "sqlite"],
        ["--table", "t"],
        ["--endpoint", "http://127.0.0.1:1"],
    ] {
        let mut command = operate("rotate", "http://127.0.0.1:1", "token");
        command.args(store);
        let error = refused(command);
        assert!(error.contains("cannot be used with"), "{error}");
    }
}

#[test]
fn an_operator_believes_a_server_by_the_systems_root_certificates() {
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (token, entry) = roots_token(folder.path(), &["--operator"]);
    let data = folder.path().join("data");
    let mut command = patchbay(&data);
    command.arg("--tls-cert").arg(&cert).arg("--tls-key").arg(&key);
    command.env("PATCHBAY_OPERATOR_TOKENS", entry);
    let (child, first) = started(command);
    let (_, port) = first.lines().next().unwrap().rsplit_once(':').unwrap();
    let url = format!("https://localhost:{port}");
    let address = String::new();
    let server = Server { child, address };

    let mut believing = operate("status", &url, &token);
    believing.env("SSL_CERT_FILE", &cert);
    assert_eq!(done(believing), "k1: 0 records; it seals what is new\n");
    let mut doubting = operate("status", &url, &token).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut stderr = BufReader::new(doubting.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    _ = doubting.kill();
    doubting.wait().unwrap();
    assert!(said.contains("certificate"), "{said}");
    server.stop();
}

/// Gives these answers, one a connection, and then the requests that it got, from the path on.
fn scripted(answers: &[(&str, &str)]) -> (String, thread::JoinHandle<Vec<String>>) {
    let answers: Vec<String> = answers
        .iter()
        .map(|(head, body)| match *head {
            "" => String::new(),
            _ => format!(
                "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
        })
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/base", listener.local_addr().unwrap());
    let answering = move || {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut byte) = (Vec::new(), [0]);
            // The body is one JSON object without another in it.
            while !request.ends_with(b"}") {
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            let request = String::from_utf8(request).unwrap();
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            let path = head.split(' ').nth(1).unwrap();
            requests.push(format!("{path} {body}"));
        }
        requests
    };
    (url, thread::spawn(answering))
}

const ALL: &str = r#"{"keys":[{"id":"new","records":3,"sealing":true,"available":true}]}"#;

#[test]
fn a_call_that_may_do_better_later_is_repeated_as_it_was_and_pages_are_added_up() {
    let (url, server) = scripted(&[
        ("200 OK", r#"{"resealed":2,"next_cursor":"a"}"#),
        (
            "503 Service Unavailable\r\nretry-after: 1",
            r#"{"msg":"Not now.","code":503}"#,
        ),
        ("", ""),
        ("200 OK", r#"{"resealed":1}"#),
        (
            "200 OK",
            r#"{"keys":[{"id":"new","records":1,"sealing":true,"available":true},
                {"id":"old","records":1,"sealing":false,"available":false}],"next_cursor":"b"}"#,
        ),
        ("429 Too Many Requests\r\nretry-after: 0", "slow down"),
        ("200 OK", ALL),
    ]);
    let output = operate("rotate", &url, "token").output().unwrap();
    let [said, printed] = [output.stderr, output.stdout].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(
        printed,
        "new: 4 records; it seals what is new\n\
         old: 1 record; it is not in the ring, so that nothing opens what it sealed\n"
    );
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        "Trying again in 1 s: the server answers 503: Not now",
        "Trying again in 0.5 s: the server answers 429 Too Many Requests",
        "Sealed again: 3 records.",
        "1 record is not sealed with new: the server's log",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let reseal = |cursor: &str| format!("/base/v1/api/admin/keys/reseal {{\"cursor\":{cursor},\"limit\":1000}}");
    let status = |cursor: &str| format!("/base/v1/api/admin/keys/status {{\"cursor\":{cursor}}}");
    let again = reseal("\"a\"");
    let requests = [
        reseal("null"),
        again.clone(),
        again.clone(),
        again,
        status("null"),
        status("\"b\""),
        status("\"b\""),
    ];
    assert_eq!(server.join().unwrap(), requests);
}

#[test]
fn what_a_server_refuses_is_said_in_its_words() {
    for (head, body, said) in [
        (
            "403 Forbidden",
            r#"{"msg":"Only an operator.","code":403}"#,
            "403: Only an operator\n",
        ),
        (
            "409 Conflict",
            r#"{"msg":"Not begun: why.","code":409}"#,
            "409: Not begun: why\n",
        ),
        (
            "501 Not Implemented",
            r#"{"msg":"Not\u001b[2J here.","code":501}"#,
            "501: Not[2J here\n",
        ),
        (
            "307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/",
            "",
            "307 Temporary Redirect",
        ),
        ("200 OK", "<html>", "no Patchbay server"),
        (
            "503 Service Unavailable\r\nretry-after: 600",
            r#"{"msg":"Storage is away.","code":503}"#,
            "run it again later, and it goes on: the server answers 503: Storage is away",
        ),
    ] {
        let (url, server) = scripted(&[(head, body)]);
        let error = refused(operate("rotate", &url, "token"));
        assert!(error.contains(said), "{error}");
        assert_eq!(server.join().unwrap().len(), 1);
    }
}
