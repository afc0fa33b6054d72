//! The real binary over a table on DynamoDB Local.

#![cfg(feature = "dynamodb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::fs::File;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ProvisionedThroughput, ScalarAttributeType,
};
use patchbay_core::model::Workspaces;
use patchbay_testkit::canaries::{Canaries, Flight, Scanner};
use patchbay_testkit::dynamodb_proxy::{DynamoDbProxy, Fault};
use patchbay_testkit::{Address, DynamoDbLocal, Setting, cases, run};
use serde_json::json;

use common::audit;
use common::dynamodb::{client, dump};
use common::{Server, done, refused, started};

const KEYS: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A name that no table has yet.
fn fresh() -> String {
    static TABLES: AtomicU32 = AtomicU32::new(0);
    format!("patchbay-{}", TABLES.fetch_add(1, Ordering::Relaxed))
}

/// A command on this table, with none of this environment's own settings of Patchbay and AWS.
fn command(table: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchbay"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PATCHBAY_") || name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .env("PATCHBAY_TABLE", table)
        .env("PATCHBAY_DYNAMODB_ENDPOINT", DynamoDbLocal::shared().url())
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stderr(Stdio::piped());
    command
}

fn serve(table: &str) -> Command {
    let mut command = command(table, &["serve", "--store", "dynamodb", "--listen", "127.0.0.1:0"]);
    command.env("PATCHBAY_KEYS", KEYS);
    command
}

/// A server that logs audit records alone and knows ann, and what a request of hers is.
fn serve_ann(table: &str) -> (Command, impl Fn(&str, &str) -> String) {
    let mut serve = serve(table);
    serve.args(["--log", "off"]);
    let request = audit::knows_ann(&mut serve, command(table, &["tokens", "create"]));
    (serve, request)
}

fn make(table: &str) -> String {
    done(command(table, &["table", "create"]))
}

/// Makes a table with these keys, all strings.
async fn make_other(table: &str, keys: &[(&str, KeyType)], billing: BillingMode) {
    let mut request = client().create_table().table_name(table).billing_mode(billing.clone());
    for (name, kind) in keys {
        let schema = KeySchemaElement::builder().attribute_name(*name).key_type(kind.clone());
        let attribute = AttributeDefinition::builder()
            .attribute_name(*name)
            .attribute_type(ScalarAttributeType::S);
        request = request
            .key_schema(schema.build().unwrap())
            .attribute_definitions(attribute.build().unwrap());
    }
    if billing == BillingMode::Provisioned {
        let units = ProvisionedThroughput::builder()
            .read_capacity_units(1)
            .write_capacity_units(1);
        request = request.provisioned_throughput(units.build().unwrap());
    }
    request.send().await.unwrap();
}

#[tokio::test]
async fn the_table_is_made_once_and_another_of_its_name_is_refused() {
    let table = fresh();
    assert_eq!(make(&table), format!("The table {table} is made.\n"));
    assert_eq!(
        make(&table),
        format!("The table {table} is there already, and as it has to be.\n")
    );

    let other = fresh();
    make_other(&other, &[("id", KeyType::Hash)], BillingMode::PayPerRequest).await;
    let error = refused(command(&other, &["table", "create"]));
    assert!(
        error.contains("its keys are id (HASH, S), not pk (HASH, S) and sk (RANGE, S)"),
        "{error}"
    );

    let provisioned = fresh();
    let keys = [("pk", KeyType::Hash), ("sk", KeyType::Range)];
    make_other(&provisioned, &keys, BillingMode::Provisioned).await;
    let error = refused(command(&provisioned, &["table", "create"]));
    assert!(error.contains("it is not on demand"), "{error}");
}

#[tokio::test]
async fn over_a_table_the_server_keeps_the_whole_contract() {
    for (mode, workspaces) in [("open", Workspaces::Open), ("managed", Workspaces::Managed)] {
        let table = fresh();
        make(&table);
        let mut serve = serve(&table);
        serve.args(["--workspaces", mode, "--log", "error"]);
        let server = Server::spawn(serve);
        let setting = Setting {
            workspaces,
            answer_bytes: 16 * 1024 * 1024,
            callers: false,
            trail: false,
            apart: false,
        };
        let target = Address::new(&format!("http://{}", server.address)).unwrap();
        let report = run(&target, setting, &cases(), |_, _| true).await;
        assert!(report.failed.is_empty(), "{:#?}", report.failed);
        assert!(report.passed > 100, "only {} cases applied", report.passed);
        drop(target);
        assert_eq!(server.stop().0, Some(0));
    }
}

#[test]
fn what_was_stored_is_there_after_a_restart_and_the_log_shows_no_details() {
    let table = fresh();
    make(&table);
    let server = Server::spawn(serve(&table));
    let body = "{\"name\":\"w\",\"type\":\"K\",\"details\":{\"password\":\"hunter2\"}}";
    assert_eq!(server.call("connections/create", body).0, 200);
    let (code, log) = server.stop();
    assert_eq!(code, Some(0));
    assert!(log.contains("connections/create") && !log.contains("hunter2"), "{log}");

    let mut eventual = serve(&table);
    eventual.env("PATCHBAY_READS", "eventual");
    let server = Server::spawn(eventual);
    let (status, answer) = server.call("connections/get", "{\"name\":\"w\"}");
    assert_eq!(status, 200);
    assert!(answer.contains("\"details\":{\"password\":\"hunter2\"}"), "{answer}");
    server.stop();
}

#[tokio::test]
async fn no_secret_is_in_the_table_the_log_or_an_error() {
    let table = fresh();
    make(&table);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut serve = serve(&table);
    serve.args(["--log", "debug"]).stderr(File::create(&log).unwrap());
    let server = Server::spawn(serve);
    let mut canaries = Canaries::default();
    let landed = Flight::new(&server.address, &mut canaries, || None).fly(10).unwrap();
    assert_eq!(server.stop().0, Some(0));
    assert!(canaries.count() > 400, "only {} secrets", canaries.count());

    let dump = dump(&table).await;
    assert!(String::from_utf8_lossy(&dump).contains(Flight::NAMES));
    let scanner = Scanner::new(&canaries).unwrap();
    assert_eq!(scanner.bytes("the table", &dump), []);
    assert_eq!(scanner.bytes("an answer", &landed.shown), []);
    let (leaks, read) = scanner.folder(folder.path()).unwrap();
    assert_eq!(leaks, []);
    assert!(read > 10_000, "only {read} bytes of log");
}

#[tokio::test]
async fn it_is_ready_for_as_long_as_the_table_answers() {
    let table = fresh();
    make(&table);
    let server = Server::spawn(serve(&table));
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        server.raw(request.as_bytes())[9..12].to_owned()
    };
    assert_eq!((ask("/healthz"), ask("/readyz")), ("200".into(), "200".into()));
    client().delete_table().table_name(&table).send().await.unwrap();
    // What was found serves for a second.
    while ask("/readyz") == "200" {}
    assert_eq!((ask("/healthz"), ask("/readyz")), ("200".into(), "503".into()));
}

#[test]
fn a_start_without_table_keys_region_or_dynamodb_says_what_to_do() {
    let table = fresh();
    let missing = refused(serve(&table));
    assert!(
        missing.contains("ResourceNotFound") && missing.contains("`patchbay table create` makes one"),
        "{missing}"
    );

    make(&table);
    let mut keyless = serve(&table);
    keyless.env_remove("PATCHBAY_KEYS");
    assert!(refused(keyless).contains("set PATCHBAY_KEYS"));

    let mut nameless = serve(&table);
    nameless.env_remove("PATCHBAY_TABLE");
    assert!(refused(nameless).contains("--table"));

    let mut nowhere = serve(&table);
    nowhere.env_remove("AWS_REGION");
    assert!(refused(nowhere).contains("Set AWS_REGION"));

    let mut unreachable = serve(&table);
    unreachable.env("PATCHBAY_DYNAMODB_ENDPOINT", "http://127.0.0.1:1");
    assert!(refused(unreachable).contains("cannot be read"));

    let folder = tempfile::tempdir().unwrap();
    let mut elsewhere = command(&table, &["serve", "--listen", "127.0.0.1:0"]);
    elsewhere.current_dir(folder.path());
    assert!(refused(elsewhere).contains("needs --store dynamodb"));
}

#[test]
fn keys_are_rotated_while_a_server_runs_over_the_table() {
    const NEW: &str = "k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
    let table = fresh();
    make(&table);
    let server = Server::spawn(serve(&table));
    for name in ["one", "two", "three"] {
        let body = format!("{{\"name\":\"{name}\",\"type\":\"K\",\"details\":\"of {name}\"}}");
        assert_eq!(server.call("connections/create", &body).0, 200);
    }
    server.stop();
    let keys = |ring: &str, what: &str| {
        let mut command = command(&table, &["keys", what, "--store", "dynamodb"]);
        command.env("PATCHBAY_KEYS", ring);
        command
    };
    assert_eq!(done(keys(KEYS, "status")), "k1: 3 records; it seals what is new\n");
    let error = refused(keys(NEW, "rotate"));
    assert!(error.contains("3 records are not sealed with k2"), "{error}");

    let both = format!("{NEW},{KEYS}");
    let mut running = serve(&table);
    running.env("PATCHBAY_KEYS", &both);
    let server = Server::spawn(running);
    let rotated = "k1: 0 records; only backups from before may need it, once no server seals with it\n\
                   k2: 3 records; it seals what is new\n";
    assert_eq!(done(keys(&both, "rotate")), rotated);
    assert_eq!(done(keys(&both, "status")), rotated);
    server.stop();

    let mut running = serve(&table);
    running.env("PATCHBAY_KEYS", NEW);
    let server = Server::spawn(running);
    for name in ["one", "two", "three"] {
        let (status, answer) = server.call("connections/get", &format!("{{\"name\":\"{name}\"}}"));
        assert_eq!(status, 200);
        assert!(answer.contains(&format!("\"details\":\"of {name}\"")), "{answer}");
    }
    server.stop();

    let mut keyless = keys(KEYS, "status");
    keyless.env_remove("PATCHBAY_KEYS");
    assert!(refused(keyless).contains("set PATCHBAY_KEYS"));
}

#[test]
fn what_was_stored_in_a_table_while_authentication_was_off_is_given_to_somebody() {
    let table = fresh();
    make(&table);
    let server = Server::spawn(serve(&table));
    for name in ["one", "two"] {
        let body = format!("{{\"name\":\"{name}\",\"type\":\"K\",\"details\":\"of {name}\"}}");
        let (status, created) = server.call("connections/create", &body);
        assert_eq!(status, 200);
        let pair = format!("{{\"workspace_id\":7,\"connection_id\":\"{}\"}}", &created[7..43]);
        assert_eq!(server.call("connections/add_to_workspace", &pair).0, 200);
    }
    let (_, connections) = server.call("connections/list", "{}");
    server.stop();
    let adopt = |ring: &str, more: &[&str]| {
        let arguments = ["adopt", "--store", "dynamodb", "--tenant", "acme", "--owner", "ann"];
        let mut command = command(&table, &[&arguments[..], more].concat());
        command.env("PATCHBAY_KEYS", ring);
        command
    };
    let wrong = KEYS.replace(":A", ":B");
    assert!(refused(adopt(&wrong, &[])).contains("the secret that the ring has for it opens none of them"));
    assert_eq!(
        done(adopt(KEYS, &["--dry-run"])),
        "Would be adopted: 2 connections, 1 workspaces.\n"
    );
    assert_eq!(done(adopt(KEYS, &[])), "Adopted: 2 connections, 1 workspaces.\n");
    assert_eq!(done(adopt(KEYS, &[])), "Adopted: 0 connections, 0 workspaces.\n");

    let (knowing, request) = serve_ann(&table);
    let server = Server::spawn(knowing);
    for body in ["{}", "{\"workspace_id\":7}"] {
        let answer = server.raw(request("connections/list", body).as_bytes());
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with(&connections),
            "{answer}"
        );
    }
    server.stop();
    let server = Server::spawn(serve(&table));
    assert_eq!(server.call("connections/list", "{}").1, "{\"connections\":[]}");
    server.stop();
}

#[test]
fn each_call_leaves_one_audit_record_in_the_log_though_nothing_else_is_logged() {
    let table = fresh();
    make(&table);
    let (command, request) = serve_ann(&table);
    let server = Server::spawn(command);
    let created = audit::call_all(&server, request);
    assert_eq!(server.call("connections/list", "{}").0, 401);
    let expected = audit::expected(&created, "r1", "127.0.0.1");
    assert_eq!(audit::records(&server.stop().1), expected);

    let mut open = serve(&table);
    open.args(["--log", "off"]);
    let server = Server::spawn(open);
    assert_eq!(server.call("connections/list", "{}").0, 200);
    assert_eq!(server.stop().1, "", "with authentication off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_client_went_away_has_its_record_though_the_server_is_told_to_end() {
    let table = fresh();
    make(&table);
    let proxy = DynamoDbProxy::start(DynamoDbLocal::shared().url()).await.unwrap();
    proxy.fail("TransactWriteItems", [Fault::Held]);
    let (mut command, request) = serve_ann(&table);
    command
        .env("PATCHBAY_DYNAMODB_ENDPOINT", proxy.url())
        .args(["--metrics-listen", "127.0.0.1:0"]);
    let (child, first) = started(command);
    let (address, metrics) = first.trim_end().split_once('\n').unwrap();
    let address = address.strip_prefix("Patchbay answers on http://").unwrap().to_owned();
    let mut client = TcpStream::connect(&address).unwrap();
    let server = Server { child, address };
    let (operation, body, _) = audit::CALLS[0];
    client.write_all(request(operation, body).as_bytes()).unwrap();
    proxy.until_all_met().await;
    drop(client);
    let page = metrics
        .strip_prefix("Metrics: http://")
        .unwrap()
        .trim_end_matches("/metrics");
    let scrape = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    while !Server::ask(page, scrape).contains("\npatchbay_connections 0\n") {}

    server.end();
    while TcpStream::connect(&server.address).is_ok() {}
    proxy.release();
    let (_, log) = server.ended();
    let told = audit::records(&log);
    assert_eq!(told.len(), 1, "{log}");
    assert_eq!((&told[0]["name"], &told[0]["outcome"]), (&json!("a"), &json!("done")));
}

#[test]
fn what_leaves_no_record_is_not_answered() {
    let table = fresh();
    make(&table);
    let (mut command, request) = serve_ann(&table);
    command.stderr(File::options().write(true).open("/dev/full").unwrap());
    let server = Server::spawn(command);
    for (operation, body, _) in &audit::CALLS[..2] {
        let answer = server.raw(request(operation, body).as_bytes());
        assert!(
            answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: "),
            "{answer}"
        );
        assert!(answer.contains("No audit record can be written"), "{answer}");
    }
    let unrecorded = server.raw(request("connections/get", "{}").as_bytes());
    assert!(unrecorded.starts_with("HTTP/1.1 400 "), "{unrecorded}");
}
