//! The real binary, which fetches its issuer's keys.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use patchbay_core::api::Host as _;
use patchbay_testkit::SystemHost;
use patchbay_testkit::issuer::{AUDIENCE, By, Issuer, Manner, Published};
use patchbay_testkit::sample::caller;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

use common::{Server, patchbay, refused};

fn with_issuer(data: &Path, name: &str) -> Command {
    let mut command = patchbay(data);
    command
        .env("PATCHBAY_AUTH", "oidc")
        .env("PATCHBAY_ISSUER", name)
        .env("PATCHBAY_AUDIENCE", AUDIENCE);
    command
}

/// The whole answer to a list with this issuer's token.
fn list(server: &Server, issuer: &Issuer) -> String {
    let ann = caller("acme", "ann", false);
    list_with(server, &issuer.token(By::Es256, &ann, SystemHost.now()))
}

fn list_with(server: &Server, token: &str) -> String {
    let request = format!(
        "POST /v1/api/connections/list HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    server.raw(request.as_bytes())
}

fn status(answer: &str) -> &str {
    &answer[9..12]
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_once_from_the_address_given_or_found_and_outlive_their_issuer() {
    for by_address in [true, false] {
        let issuer = Issuer::default();
        let published = Published::start(issuer.jwks()).await.unwrap();
        let issuer = issuer.named(&published.name());
        let folder = TempDir::new().unwrap();
        let mut command = with_issuer(folder.path(), &published.name());
        if by_address {
            command.env("PATCHBAY_JWKS_URL", published.keys_url());
        }
        published.say("max-age=7200");
        let asked = Instant::now();
        let server = Server::spawn(command);
        for _ in 0..50 {
            assert_eq!(status(&list(&server, &issuer)), "200");
        }
        let forger = Issuer::other().named(&published.name());
        assert_eq!(status(&list(&server, &forger)), "401");
        if by_address {
            assert_eq!((published.sets(), published.documents()), (1, 0));
            continue;
        }
        let unknown = |count| issuer.by_unknown_keys(count, &caller("acme", "ann", false), SystemHost.now());
        for token in unknown(10_000) {
            assert_eq!(status(&list_with(&server, &token)), "401");
        }
        let most = 1 + asked.elapsed().as_secs() / 30;
        assert!(published.sets() as u64 <= most, "{} sets", published.sets());
        assert_eq!(published.documents(), published.sets());
        drop(published);
        // It is asked in vain.
        tokio::time::sleep(Duration::from_secs(30)).await;
        for token in unknown(10) {
            assert_eq!(status(&list_with(&server, &token)), "401");
        }
        assert_eq!(status(&list(&server, &issuer)), "200");
        let (code, log) = server.stop();
        assert_eq!(code, Some(0));
        let gave = log.lines().find(|line| line.contains("the issuer gave its keys"));
        assert!(gave.is_some_and(|line| line.contains("7200")), "{log}");
        assert!(log.contains("those that are known go on"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_the_server_starts_says_so_and_answers_503() {
    for manner in [Manner::Fails, Manner::OtherIssuer, Manner::Floods] {
        let issuer = Issuer::default();
        let published = Published::start(issuer.jwks()).await.unwrap();
        published.behave(manner);
        let folder = TempDir::new().unwrap();
        let server = Server::spawn(with_issuer(folder.path(), &published.name()));
        let answer = list(&server, &issuer);
        assert_eq!(status(&answer), "503", "{manner:?}: {answer}");
        assert!(answer.contains("\r\nretry-after: "), "{answer}");
        assert!(!answer.contains("\r\nwww-authenticate"), "{answer}");
        let healthy = server.raw(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        assert_eq!(status(&healthy), "200");
        let (_, log) = server.stop();
        let said = "the issuer did not give its keys: until it does, its tokens get 503";
        assert!(log.contains(said), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_believed_by_the_systems_root_certificates_alone() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = TempDir::new().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, cert.pem()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], signing_key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let issuer = Issuer::default();
    let keys = issuer.jwks();
    let answering = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not believe it goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            _ = stream.read(&mut [0; 4096]).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", keys.len());
            stream.write_all((head + &keys).as_bytes()).await.unwrap();
        }
    });
    for (believed, expected) in [(true, "200"), (false, "503")] {
        let data = TempDir::new().unwrap();
        let mut command = with_issuer(data.path(), "https://issuer.example");
        command.env("PATCHBAY_JWKS_URL", format!("https://localhost:{port}/keys"));
        if believed {
            command.env("SSL_CERT_FILE", &roots);
        }
        let server = Server::spawn(command);
        let answer = list(&server, &issuer);
        assert_eq!(status(&answer), expected, "{answer}");
    }
    answering.abort();
}

#[test]
fn settings_that_lead_to_no_keys_stop_the_start() {
    let folder = TempDir::new().unwrap();
    let keys = Issuer::default().jwks();
    let url = "https://issuer.example/keys";
    for (issuer, more, said) in [
        (
            "https://issuer.example",
            &[("PATCHBAY_JWKS", keys.as_str()), ("PATCHBAY_JWKS_URL", url)][..],
            "PATCHBAY_JWKS and PATCHBAY_JWKS_URL do not go together",
        ),
        (
            "https://issuer.example",
            &[("PATCHBAY_JWKS_URL", "http://issuer.example/keys")],
            "must be an https:// URL, or http:// of a loopback address",
        ),
        ("issuer", &[], "PATCHBAY_ISSUER must be an https:// URL"),
        ("http://issuer.example", &[], "PATCHBAY_ISSUER must be an https:// URL"),
    ] {
        let mut command = with_issuer(folder.path(), issuer);
        command.envs(more.iter().copied());
        let error = refused(command);
        assert!(error.contains(said), "{error}");
    }
}
