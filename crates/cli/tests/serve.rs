//! The real binary: what it prints, what it refuses, and the seven calls over a socket.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use common::{Server, done, patchbay, refused, started, upkeep};

#[test]
fn the_seven_calls_work_and_survive_a_restart_and_the_log_shows_no_details() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    let details = "{ \"password\":\"hunter2\", \"big\":12345678901234567890.10, \"big\":1 }";
    let body = format!("{{\"name\":\"w\",\"type\":\"BIGQUERY\",\"details\":{details}}}");
    let (status, created) = server.call("connections/create", &body);
    assert_eq!(status, 200, "{created}");
    let id = &created[7..43];
    let pair = format!("{{\"workspace_id\":\"7\",\"connection_id\":\"{id}\"}}");
    assert_eq!(server.call("connections/add_to_workspace", &pair).0, 200);
    assert_eq!(server.call("connections/create", &body).0, 409);
    let (code, log) = server.stop();
    assert_eq!(code, Some(0));
    assert!(log.contains("connections/create") && !log.contains("hunter2"), "{log}");

    let server = Server::start(&data);
    for (operation, body) in [
        ("connections/get", "{\"name\":\"w\"}".to_owned()),
        ("connections/get_by_id", format!("{{\"id\":\"{id}\"}}")),
        ("connections/list", "{\"workspace_id\":7}".to_owned()),
    ] {
        let (status, answer) = server.call(operation, &body);
        assert_eq!(status, 200);
        assert!(answer.contains(&format!("\"details\":{details},")), "{answer}");
        assert!(answer.contains("\"workspace_names\":[\"workspace-7\"]"), "{answer}");
    }
    assert_eq!(server.call("connections/delete", "{\"name\":\"w\"}").0, 409);
    assert_eq!(
        server.call("connections/remove_from_workspace", &pair),
        (204, String::new())
    );
    assert_eq!(
        server.call("connections/delete", "{\"name\":\"w\"}"),
        (204, String::new())
    );
    assert_eq!(server.call("connections/get", "{\"name\":\"w\"}").0, 404);
    assert_eq!(server.stop().0, Some(0));

    for file in std::fs::read_dir(&data).unwrap() {
        let stored = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!stored.windows(7).any(|window| window == b"hunter2"));
    }
}

#[test]
fn the_log_has_patchbays_own_lines_alone_however_much_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let mut command = patchbay(folder.path());
    command.args(["--log", "trace"]);
    let server = Server::spawn(command);
    assert_eq!(server.call("connections/list", "{}").0, 200);
    // HTTP/2's preface, its settings, and a frame that ends the connection: its library has much to say of that.
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\0\x04\0\0\0\0\x01")
        .unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    let (_, log) = server.stop();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("\"operation\":\"connections/list\""), "{log}");
}

#[test]
fn a_body_over_the_bound_is_refused_before_it_is_sent_and_where_it_proves_too_long() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let declared = server.raw(
        b"POST /v1/api/connections/create HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 524289\r\n\r\n",
    );
    assert!(declared.starts_with("HTTP/1.1 413 "), "{declared}");
    let (status, _) = server.call("connections/get", &format!("{{\"name\":\"{}\"}}", "a".repeat(500_000)));
    assert_eq!(status, 400);
    let chunk = format!("40000\r\n{}\r\n", " ".repeat(0x40000));
    let chunked = format!(
        "POST /v1/api/connections/get HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
         {chunk}{chunk}1\r\n{{"
    );
    // Nothing follows the byte too many: what the server left unread would reset the connection under its answer.
    let proved = server.raw(chunked.as_bytes());
    assert!(proved.starts_with("HTTP/1.1 413 "), "{proved}");
    server.stop();
}

#[test]
fn keys_are_made_private_and_their_loss_is_not_papered_over() {
    let folder = TempDir::new().unwrap();
    Server::start(folder.path()).stop();
    let keys = folder.path().join("keys");
    assert_eq!(std::fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(keys).unwrap();
    assert!(refused(patchbay(folder.path())).contains("put its file `keys` back"));
}

#[test]
fn an_unknown_variable_a_public_address_and_a_folder_in_use_stop_the_start() {
    let folder = TempDir::new().unwrap();
    let mut unknown = patchbay(folder.path());
    unknown.env("PATCHBAY_LISTN", "127.0.0.1:1");
    assert!(refused(unknown).contains("PATCHBAY_LISTN"));

    let mut malformed = patchbay(folder.path());
    malformed.env("PATCHBAY_KEYS", "k1:tooshortsecret");
    let error = refused(malformed);
    assert!(
        error.contains("PATCHBAY_KEYS") && !error.contains("tooshortsecret"),
        "{error}"
    );

    let mut public = Command::new(env!("CARGO_BIN_EXE_patchbay"));
    public.args(["--listen", "0.0.0.0:0", "--data"]).arg(folder.path());
    assert!(refused(public).contains("--allow-anonymous"));

    let server = Server::start(folder.path());
    assert!(refused(patchbay(folder.path())).contains("another Patchbay is running"));
    server.stop();
}

#[test]
fn with_a_certificate_it_speaks_tls_and_half_of_one_stops_the_start() {
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let data = folder.path().join("data");

    let mut command = patchbay(&data);
    command.arg("--tls-cert").arg(&cert).env("PATCHBAY_TLS_KEY", &key);
    let (child, first) = started(command);
    assert!(first.starts_with("Patchbay answers on https://127.0.0.1:"), "{first}");
    Server {
        child,
        address: String::new(),
    }
    .stop();

    for (flag, file) in [("--tls-cert", &cert), ("--tls-key", &key)] {
        let mut half = patchbay(&data);
        half.arg(flag).arg(file);
        assert!(refused(half).contains("TLS needs both --tls-cert and --tls-key"));
    }
    let mut malformed = patchbay(&data);
    malformed.arg("--tls-cert").arg(&key).arg("--tls-key").arg(&key);
    assert!(refused(malformed).contains("key.pem does not hold a certificate"));
}

#[test]
fn metrics_are_served_beside_it_and_keep_to_loopback() {
    let folder = TempDir::new().unwrap();
    let mut public = patchbay(folder.path());
    public.args(["--metrics-listen", "0.0.0.0:0"]);
    assert!(refused(public).contains("--allow-anonymous"));

    let mut command = patchbay(folder.path());
    command.args(["--metrics-listen", "127.0.0.1:0"]);
    let (child, first) = started(command);
    let mut lines = first.lines();
    let mut server = Server {
        child,
        address: lines
            .next()
            .unwrap()
            .strip_prefix("Patchbay answers on http://")
            .unwrap()
            .to_owned(),
    };
    assert_eq!(
        server.call("connections/create", "{\"name\":\"w\",\"type\":\"K\"}").0,
        200
    );
    let page = lines.next().unwrap().strip_prefix("Metrics: http://").unwrap();
    let address = std::mem::replace(&mut server.address, page.strip_suffix("/metrics").unwrap().to_owned());
    // Who waits for a commit is answered before it is counted.
    let page = (0..500)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            server.raw(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        })
        .find(|page| page.contains("patchbay_commit_changes_count 1\n"))
        .unwrap();
    assert!(page.contains("patchbay_requests_total{operation=\"connections/create\",status=\"200\"} 1\n"));
    server.address = address;
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_log_that_nobody_reads_or_whose_reader_is_gone_holds_nothing_up() {
    let folder = TempDir::new().unwrap();
    // A pipe takes 64 KiB, some 300 lines.
    let server = Server::start(folder.path());
    for _ in 0..1500 {
        assert_eq!(server.call("connections/get", "{\"name\":\"none\"}").0, 404);
    }
    let (code, log) = server.stop();
    assert_eq!(code, Some(0));
    assert!(log.matches("connections/get").count() > 100, "what fits is there");

    let mut server = Server::start(folder.path());
    drop(server.child.stderr.take());
    for _ in 0..50 {
        assert_eq!(server.call("connections/get", "{\"name\":\"none\"}").0, 404);
    }
    let kill = Command::new("kill")
        .arg(server.child.id().to_string())
        .status()
        .unwrap();
    assert!(kill.success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn of_servers_started_at_once_on_a_new_folder_one_serves_with_keys_that_stay() {
    for _ in 0..10 {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        let starts: Vec<_> = (0..4)
            .map(|_| patchbay(&data).stdout(Stdio::piped()).spawn().unwrap())
            .collect();
        let mut served = 0;
        for mut start in starts {
            let mut first = String::new();
            BufReader::new(start.stdout.take().unwrap())
                .read_line(&mut first)
                .unwrap();
            let Some(address) = first.trim().strip_prefix("Patchbay answers on http://") else {
                assert!(!start.wait().unwrap().success());
                continue;
            };
            let address = address.to_owned();
            let server = Server { child: start, address };
            // One that starts late may find the folder free again, with what another made.
            let body = format!("{{\"name\":\"w{served}\",\"type\":\"K\",\"details\":\"d\"}}");
            assert_eq!(server.call("connections/create", &body).0, 200);
            assert_eq!(server.stop().0, Some(0));
            served += 1;
        }
        assert!(served > 0);
        assert!(done(upkeep(&data, &["check"])).contains("Nothing is wrong"));
    }
}

#[test]
fn a_web_page_cannot_have_a_browser_call_unless_everybody_may() {
    let folder = TempDir::new().unwrap();
    let ask = |server: &Server, headers: &str| {
        let request = format!(
            "POST /v1/api/connections/list HTTP/1.1\r\n{headers}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        server.raw(request.as_bytes())[9..12].to_owned()
    };
    let server = Server::start(folder.path());
    assert_eq!(ask(&server, &format!("host: {}", server.address)), "200");
    assert_eq!(ask(&server, "host: attacker.example"), "403");
    assert_eq!(
        ask(&server, "host: localhost\r\norigin: http://attacker.example"),
        "403"
    );
    server.stop();

    let mut open = patchbay(folder.path());
    open.arg("--allow-anonymous");
    let server = Server::spawn(open);
    assert_eq!(ask(&server, "host: patchbay.internal"), "200");
    server.stop();
}

#[test]
fn a_second_signal_ends_it_although_a_request_is_running() {
    let folder = TempDir::new().unwrap();
    let mut server = Server::start(folder.path());
    let mut slow = TcpStream::connect(&server.address).unwrap();
    slow.write_all(b"POST /v1/api/connections/get HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{")
        .unwrap();
    // Once others, sent after it, are answered, it is in hand.
    for _ in 0..20 {
        assert_eq!(server.call("connections/get", "{\"name\":\"none\"}").0, 404);
    }
    let code = loop {
        Command::new("kill")
            .arg(server.child.id().to_string())
            .status()
            .unwrap();
        std::thread::sleep(Duration::from_millis(100));
        if let Some(status) = server.child.try_wait().unwrap() {
            break status.code();
        }
    };
    assert_eq!(code, Some(130));
}

#[test]
fn flags_of_serving_are_refused_beside_other_commands_and_data_may_stand_anywhere() {
    let folder = TempDir::new().unwrap();
    Server::start(folder.path()).stop();
    let data = folder.path().to_str().unwrap();
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchbay"));
        command.args(arguments);
        command
    };
    for arguments in [["--data", data, "check"], ["check", "--data", data]] {
        assert!(done(command(&arguments)).contains("Nothing is wrong"));
    }
    let before = refused(command(&["--listen", "127.0.0.1:0", "check", "--data", data]));
    assert!(before.contains("`--listen` is for serving"), "{before}");
    let after = refused(command(&["check", "--listen", "127.0.0.1:0", "--data", data]));
    assert!(after.contains("unexpected argument '--listen'"), "{after}");
}

#[cfg(not(feature = "dynamodb"))]
#[test]
fn a_build_without_dynamodb_says_which_one_has_it() {
    let folder = TempDir::new().unwrap();
    let mut serve = patchbay(folder.path());
    serve.args(["--store", "dynamodb"]);
    assert!(refused(serve).contains("--features dynamodb"));
    let mut create = Command::new(env!("CARGO_BIN_EXE_patchbay"));
    create.args(["table", "create"]);
    assert!(refused(create).contains("--features dynamodb"));
}
