//! Where the log says that a request came from.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::path::Path;

use tempfile::TempDir;

use common::{Server, patchbay, refused};

/// The address in the log's line for a request with these header lines, to a server that trusts these proxies.
fn logged(data: &Path, trusted: Option<&str>, headers: &str) -> String {
    let mut command = patchbay(data);
    if let Some(trusted) = trusted {
        command.env("PATCHBAY_TRUSTED_PROXIES", trusted);
    }
    let server = Server::spawn(command);
    let request = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    assert!(server.raw(request.as_bytes()).starts_with("HTTP/1.1 200"));
    let (_, log) = server.stop();
    let (_, address) = log.split_once("\"address\":\"").unwrap();
    address.split('"').next().unwrap().to_owned()
}

#[test]
fn a_forwarded_address_counts_from_proxies_that_are_named_and_from_nobody_else() {
    let folder = TempDir::new().unwrap();
    let claims = "x-forwarded-for: 192.0.2.66\r\nforwarded: for=192.0.2.66\r\nx-real-ip: 192.0.2.66\r\n\
                  x-forwarded-for: 198.51.100.7, 10.1.1.1\r\n";
    for (trusted, address) in [
        (None, "127.0.0.1"),
        (Some("10.0.0.0/8"), "127.0.0.1"),
        (Some("127.0.0.1"), "10.1.1.1"),
        (Some("127.0.0.0/8, 10.0.0.0/8"), "198.51.100.7"),
    ] {
        assert_eq!(logged(folder.path(), trusted, claims), address, "{trusted:?}");
    }
    assert_eq!(logged(folder.path(), Some("127.0.0.1"), ""), "127.0.0.1");
}

#[test]
fn a_list_of_proxies_that_means_nothing_stops_the_start() {
    let folder = TempDir::new().unwrap();
    let mut command = patchbay(folder.path());
    command.args(["--trusted-proxies", "10.0.0.0/8,proxy.internal"]);
    assert!(refused(command).contains("entry 2 must be an address or a network"));
}
