//! TLS: what it serves, what it waits for, and which files it takes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use patchbay_server::{Limits, tls};
use support::{SHORT, Server, post};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::ring};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A certificate for `localhost` and its key, in files.
struct Files {
    folder: TempDir,
    certificate: CertificateDer<'static>,
}

impl Files {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self {
            folder,
            certificate: made.cert.der().clone(),
        }
    }

    fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    fn acceptor(&self) -> TlsAcceptor {
        tls(&self.cert(), &self.key()).unwrap()
    }

    async fn connect(
        &self,
        server: &Server,
        version: &'static SupportedProtocolVersion,
        protocols: &[&str],
    ) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(server.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn http_1_is_spoken_over_tls_1_2_and_1_3() {
    let files = Files::new();
    let server = Server::start_with(Limits::default(), Some(files.acceptor())).await;
    for version in [&TLS12, &TLS13] {
        let mut stream = files.connect(&server, version, &["http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let request = post("get", "size 300000").replace("host: localhost", "connection: close");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(&[b'x'; 300_000]));
    }
}

#[tokio::test]
async fn http_2_is_chosen_where_the_client_offers_it() {
    let files = Files::new();
    let server = Server::start_with(Limits::default(), Some(files.acceptor())).await;
    let stream = files.connect(&server, &TLS13, &["http/1.1", "h2"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://localhost/healthz").body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_handshake_counts_as_a_connection_and_has_its_time() {
    let files = Files::new();
    let limits = Limits {
        connections: 1,
        handshake_time: SHORT,
        ..Limits::default()
    };
    let server = Server::start_with(limits, Some(files.acceptor())).await;
    let mut silent = server.connect().await;
    while !server.metrics().await.contains("patchbay_connections 1\n") {}
    // This one is taken only after the silent one was dropped.
    files.connect(&server, &TLS13, &[]).await;
    assert_eq!(silent.rest().await, "");
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_handshake() {
    let files = Files::new();
    let hour = Duration::from_secs(3600);
    let limits = Limits {
        handshake_time: hour,
        shutdown_time: hour,
        ..Limits::default()
    };
    let server = Server::start_with(limits, Some(files.acceptor())).await;
    let mut silent = server.connect().await;
    while !server.metrics().await.contains("patchbay_connections 1\n") {}
    server.ended().await;
    assert_eq!(silent.rest().await, "");
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let (files, others) = (Files::new(), Files::new());
    let refused = |cert: &PathBuf, key: &PathBuf| tls(cert, key).err().unwrap().to_string();
    let (cert, key) = (files.cert(), files.key());
    let missing = files.folder.path().join("missing.pem");
    assert!(refused(&missing, &key).contains("missing.pem cannot be read: No such file"));
    assert!(refused(&cert, &missing).contains("missing.pem cannot be read: No such file"));
    assert!(refused(&key, &key).ends_with("key.pem does not hold a certificate in PEM"));
    assert!(refused(&cert, &cert).ends_with("cert.pem does not hold an unencrypted private key in PEM"));
    let mismatch = refused(&cert, &others.key());
    assert!(mismatch.contains(&others.key().display().to_string()), "{mismatch}");
    assert!(
        mismatch.contains("is not that of the first certificate in"),
        "{mismatch}"
    );

    let text = std::fs::read_to_string(&key).unwrap();
    let torn = files.folder.path().join("torn.pem");
    std::fs::write(&torn, &text[..text.len() / 2]).unwrap();
    let error = refused(&cert, &torn);
    assert!(error.contains("torn.pem") && !error.contains(&text[40..60]), "{error}");
}
