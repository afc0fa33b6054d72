//! The real binary with authentication on: whom it answers, where it listens, and what it never says.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use patchbay_core::api::Host as _;
use patchbay_core::model::Workspaces;
use patchbay_testkit::issuer::Issuer;
use patchbay_testkit::{Address, Setting, SystemHost, cases_with_issuer, operator_cases, run};
use tempfile::TempDir;

use common::{Server, new_token, patchbay, refused, upkeep};

/// A new token and its entry.
fn token(data: &Path, arguments: &[&str]) -> (String, String) {
    new_token(upkeep(data, &[&["tokens", "create"], arguments].concat()))
}

fn with_tokens(data: &Path, entries: &str) -> Command {
    let mut command = patchbay(data);
    command.env("PATCHBAY_AUTH", "tokens").env("PATCHBAY_TOKENS", entries);
    command
}

fn with_issuer(data: &Path, issuer: &Issuer) -> Command {
    let mut command = patchbay(data);
    command.envs(issuer.settings());
    command
}

/// The whole answer to a call with these header lines.
fn call(server: &Server, operation: &str, headers: &str, body: &str) -> String {
    let request = format!(
        "POST /v1/api/{operation} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    server.raw(request.as_bytes())
}

fn status(answer: &str) -> &str {
    &answer[9..12]
}

#[test]
fn tokens_make_callers_and_nobody_else_is_answered_nor_told_why() {
    let folder = TempDir::new().unwrap();
    let (ann, of_ann) = token(folder.path(), &["--tenant", "acme, inc.", "--subject", "ann"]);
    let (root, of_root) = token(
        folder.path(),
        &["--tenant", "acme, inc.", "--subject", "root", "--admin"],
    );
    let (eve, of_eve) = token(
        folder.path(),
        &[
            "--tenant",
            "acme, inc.",
            "--subject",
            "eve",
            "--expires",
            "2099-12-31T23:59:59+01:00",
        ],
    );
    let (stranger, of_stranger) = token(folder.path(), &["--tenant", "acme", "--subject", "ann", "--admin"]);
    let (unknown, _) = token(folder.path(), &["--tenant", "acme, inc.", "--subject", "ann"]);
    let server = Server::spawn(with_tokens(
        folder.path(),
        &format!("{of_ann}\n{of_root},{of_eve}\n{of_stranger}\n"),
    ));
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    let create = "{\"name\":\"w\",\"type\":\"K\"}";
    assert_eq!(
        status(&call(&server, "connections/create", &bearer(&ann), create)),
        "200"
    );
    let get = |headers: &str| call(&server, "connections/get", headers, "{\"name\":\"w\"}");
    for (token, answer) in [(&ann, "200"), (&root, "200"), (&eve, "404"), (&stranger, "404")] {
        assert_eq!(status(&get(&bearer(token))), answer);
    }
    // With a token, a web page's request is like any other.
    let page = format!("{}origin: http://page.example\r\n", bearer(&ann));
    assert_eq!(status(&get(&page)), "200");
    // And what is not created does not exist.
    let attach = "{\"workspace_id\":7,\"connection_id\":\"11111111-1111-4111-8111-111111111111\"}";
    let attached = call(&server, "connections/add_to_workspace", &bearer(&root), attach);
    assert_eq!(status(&attached), "404");

    let body = "{\"msg\":\"A valid bearer token is required.\",\"code\":401}";
    let none = get("");
    assert_eq!(status(&none), "401");
    assert!(
        none.contains("\r\nwww-authenticate: Bearer\r\n") && none.ends_with(body),
        "{none}"
    );
    let test_auth = "authorization: definitely_an_access_token\r\n".to_owned();
    for wrong in [
        bearer(&unknown),
        bearer(&ann[..56]),
        bearer("a.b.c"),
        test_auth,
        format!("{0}{0}", bearer(&ann)),
    ] {
        let answer = get(&wrong);
        assert_eq!(status(&answer), "401", "{wrong}");
        assert!(
            answer.contains("\r\nwww-authenticate: Bearer error=\"invalid_token\"\r\n") && answer.ends_with(body),
            "{answer}"
        );
    }
    for open in ["/v1/api/config", "/healthz", "/readyz"] {
        let request = format!("GET {open} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        assert_eq!(status(&server.raw(request.as_bytes())), "200");
    }
    let (_, log) = server.stop();
    for why in [
        "there is no token",
        "none of the tokens in PATCHBAY_TOKENS",
        "the form of a Patchbay token",
    ] {
        assert!(log.contains(why), "{log}");
    }
    for secret in [&ann, &root, &eve, &stranger, &unknown] {
        assert!(!log.contains(&secret[9..40]), "{log}");
    }
}

#[test]
fn an_issuers_tokens_make_callers_and_wrong_ones_nobody() {
    let folder = TempDir::new().unwrap();
    let issuer = Issuer::default();
    let (script, entry) = token(folder.path(), &["--tenant", "acme", "--subject", "script"]);
    let mut command = with_issuer(folder.path(), &issuer);
    command
        .env("PATCHBAY_AUTH", "oidc+tokens")
        .env("PATCHBAY_TOKENS", entry)
        .env("PATCHBAY_LOG", "info");
    let server = Server::spawn(command);
    let list = |token: &str| {
        let bearer = format!("authorization: Bearer {token}\r\n");
        call(&server, "connections/list", &bearer, "{}")
    };
    let now = SystemHost.now();
    for (name, token) in issuer.good(now) {
        assert_eq!(status(&list(&token)), "200", "{name}");
    }
    assert_eq!(status(&list(&script)), "200");
    let bad = issuer.bad(now);
    for (name, token) in &bad {
        assert_eq!(status(&list(token)), "401", "{name}");
    }
    let (_, log) = server.stop();
    assert!(
        log.contains("\"key_id\":\"for-rs512\"") && log.contains("`alg` is not"),
        "{log}"
    );
    for (name, token) in bad.iter().filter(|(_, token)| token.len() > 40) {
        assert!(!log.contains(&token[token.len() - 20..]), "{name}");
    }
}

#[tokio::test]
async fn the_contract_holds_over_http_for_callers_who_bring_tokens() {
    let folder = TempDir::new().unwrap();
    let issuer = Issuer::default();
    let server = Server::spawn(with_issuer(folder.path(), &issuer));
    let home = Address::new(&format!("http://{}", server.address)).unwrap();
    let setting = Setting {
        workspaces: Workspaces::Managed,
        answer_bytes: 16 * 1024 * 1024,
        callers: true,
        trail: true,
        apart: false,
    };
    let all: Vec<_> = cases_with_issuer().into_iter().chain(operator_cases()).collect();
    let report = run(&home.with_issuer(issuer), setting, &all, |_, _| true).await;
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert!(report.passed > 500, "only {} cases applied", report.passed);
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn settings_that_would_let_somebody_in_by_mistake_stop_the_start() {
    let folder = TempDir::new().unwrap();
    let (token, entry) = token(folder.path(), &["--tenant", "t", "--subject", "s"]);
    let with = |entries: &str, arguments: &[&str]| {
        let mut command = with_tokens(folder.path(), entries);
        command.args(arguments);
        refused(command)
    };
    let beyond = |arguments: &[&str]| {
        let mut command = upkeep(
            folder.path(),
            &[&["serve", "--listen", "0.0.0.0:0"], arguments].concat(),
        );
        command.env("PATCHBAY_AUTH", "tokens").env("PATCHBAY_TOKENS", &entry);
        command.stderr(Stdio::piped());
        command
    };
    assert!(refused(beyond(&[])).contains("--behind-proxy"));
    assert!(refused(beyond(&["--allow-anonymous"])).contains("--behind-proxy"));
    let server = Server::spawn(beyond(&["--behind-proxy"]));
    assert_eq!(server.stop().0, Some(0));

    assert!(with(&entry, &["--metrics-listen", "0.0.0.0:0"]).contains("would show the metrics"));
    assert!(with(&entry, &["--workspaces", "open"]).contains("only with PATCHBAY_AUTH=off"));
    assert!(with("", &[]).contains("PATCHBAY_TOKENS: must name at least one token"));
    let pasted = with(&format!("{entry}\ntenant=t subject=s sha256={token}"), &[]);
    assert!(
        pasted.contains("PATCHBAY_TOKENS: entry 2: `sha256` must be"),
        "{pasted}"
    );
    assert!(!pasted.contains(&token[9..]), "{pasted}");

    let mut missing = patchbay(folder.path());
    missing.env("PATCHBAY_AUTH", "tokens");
    assert!(refused(missing).contains("needs PATCHBAY_TOKENS"));
    let mut useless = patchbay(folder.path());
    useless.env("PATCHBAY_TOKENS", &entry);
    assert!(refused(useless).contains("set PATCHBAY_AUTH=tokens"));
    let mut useless = patchbay(folder.path());
    useless.env("PATCHBAY_CLAIM_ADMIN", "roles=admin");
    assert!(refused(useless).contains("set PATCHBAY_AUTH=oidc"));
    let mut useless = patchbay(folder.path());
    useless.arg("--behind-proxy");
    assert!(refused(useless).contains("--behind-proxy is for"));
    let mut unknown = patchbay(folder.path());
    unknown.env("PATCHBAY_AUTH", "on");
    assert!(refused(unknown).contains("invalid value 'on'"));

    let issuer = Issuer::default();
    for (name, wrong, said) in [
        ("PATCHBAY_ISSUER", None, "needs PATCHBAY_ISSUER"),
        ("PATCHBAY_AUDIENCE", None, "needs PATCHBAY_AUDIENCE"),
        ("PATCHBAY_ISSUER", Some(""), "--issuer"),
        ("PATCHBAY_AUDIENCE", Some(""), "--audience"),
        (
            "PATCHBAY_JWKS",
            Some("{\"keys\":[]}"),
            "PATCHBAY_JWKS must hold a public key",
        ),
        ("PATCHBAY_CLAIM_TENANT", Some(""), "--claim-tenant"),
        ("PATCHBAY_CLAIM_ADMIN", Some("admin"), "--claim-admin"),
    ] {
        let mut command = with_issuer(folder.path(), &issuer);
        match wrong {
            Some(wrong) => command.env(name, wrong),
            None => command.env_remove(name),
        };
        let error = refused(command);
        assert!(error.contains(said), "{name} {wrong:?}: {error}");
    }

    let ended = [
        "tokens",
        "create",
        "--tenant",
        "t",
        "--subject",
        "s",
        "--expires",
        "2020-01-01T00:00:00Z",
    ];
    assert!(refused(upkeep(folder.path(), &ended)).contains("has passed already"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_answered_however_callers_are_known() {
    let folder = TempDir::new().unwrap();
    let (_, of_root) = token(folder.path(), &["--tenant", "acme", "--subject", "root", "--admin"]);
    let (operator, of_operator) = token(folder.path(), &["--operator", "--subject", "on call"]);
    assert!(of_operator.ends_with(" subject=on%20call"), "{of_operator}");
    for mut command in [patchbay(folder.path()), with_tokens(folder.path(), &of_root)] {
        command.env(
            "PATCHBAY_OPERATOR_TOKENS",
            format!("{of_operator}\n{}", patchbay_testkit::operator::entry()),
        );
        let server = Server::spawn(command);
        let bearer = format!("authorization: Bearer {operator}\r\n");
        let answer = call(&server, "admin/keys/status", &bearer, "{}");
        assert!(
            status(&answer) == "200" && answer.contains("\"sealing\":true"),
            "{answer}"
        );
        assert_eq!(status(&call(&server, "connections/list", &bearer, "{}")), "403");
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_calls_are_held_to_the_contract_over_http() {
    let folder = TempDir::new().unwrap();
    let mut command = patchbay(folder.path());
    command.env("PATCHBAY_OPERATOR_TOKENS", patchbay_testkit::operator::entry());
    let server = Server::spawn(command);
    let setting = Setting {
        workspaces: Workspaces::Open,
        answer_bytes: 16 * 1024 * 1024,
        callers: false,
        trail: false,
        apart: false,
    };
    let target = Address::new(&format!("http://{}", server.address)).unwrap();
    let report = run(&target, setting, &operator_cases(), |_, _| true).await;
    assert!(report.failed.is_empty() && report.passed == 6, "{report:#?}");
    server.stop();
}

#[test]
fn operators_tokens_need_what_callers_tokens_need() {
    let folder = TempDir::new().unwrap();
    let of_operator = patchbay_testkit::operator::entry();
    let refusal = |entries: &str, address: &str| {
        let mut command = upkeep(folder.path(), &["serve", "--allow-anonymous", "--listen", address]);
        command.env("PATCHBAY_OPERATOR_TOKENS", entries);
        refused(command)
    };
    assert!(refusal(&of_operator, "0.0.0.0:0").contains("in cleartext"));
    let wrong = refusal(&format!("{of_operator} tenant=acme"), "127.0.0.1:0");
    assert!(
        wrong.contains("PATCHBAY_OPERATOR_TOKENS: entry 1: an operator has no"),
        "{wrong}"
    );
    let both = upkeep(
        folder.path(),
        &["tokens", "create", "--subject", "s", "--operator", "--tenant", "t"],
    );
    assert!(refused(both).contains("cannot be used with"));
    let neither = upkeep(folder.path(), &["tokens", "create", "--subject", "s"]);
    assert!(refused(neither).contains("--tenant"));
}
