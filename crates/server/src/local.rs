//! Requests that programs on this machine send of their own accord.
//!
//! Where there is no authentication, listening on loopback keeps other machines out, but not the pages that a browser on
//! this machine shows: a page may have it send requests, and one whose own host name is made to resolve to 127.0.0.1
//! (DNS rebinding) may read the answers as well. Such requests give themselves away by their head.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;

/// Whether a request comes from no web page and is meant for this machine: browsers put an `Origin` on every POST, and
/// the name that they looked up into `Host`.
pub(crate) fn is_local(head: &Parts) -> bool {
    let named = match head.uri.authority() {
        Some(authority) => is_loopback(authority),
        None => head.headers.get_all(HOST).iter().all(|host| {
            let authority = Authority::try_from(host.as_bytes());
            authority.is_ok_and(|authority| is_loopback(&authority))
        }),
    };
    named && !head.headers.contains_key(ORIGIN)
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(Request::post(uri), |request, (name, value)| {
            request.header(*name, *value)
        });
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn this_machine_goes_by_its_name_or_a_loopback_address() {
        for host in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_local(&head("/", &[("host", host)])), "{host}");
            assert!(is_local(&head(&format!("http://{host}/"), &[])), "{host}");
        }
        assert!(is_local(&head("/", &[])), "HTTP/1.0 without a Host");
    }

    #[test]
    fn what_a_web_page_has_a_browser_send_is_not_local() {
        for host in [
            "attacker.example:8080",
            "localhost.attacker.example",
            "127.0.0.1.nip.example",
            "192.168.1.1",
            "0.0.0.0:8080",
            "",
            "a b",
        ] {
            assert!(!is_local(&head("/", &[("host", host)])), "{host}");
        }
        assert!(!is_local(&head("http://attacker.example/", &[("host", "localhost")])));
        assert!(!is_local(&head(
            "/",
            &[("host", "localhost"), ("host", "attacker.example")]
        )));
        for origin in ["http://attacker.example", "null", "http://localhost:8080"] {
            assert!(
                !is_local(&head("/", &[("host", "localhost"), ("origin", origin)])),
                "{origin}"
            );
        }
    }
}
