//! Where a request came from, as far as those on its way can be believed.

use std::net::{IpAddr, SocketAddr};

use http::header::{HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies that are believed when they say in `X-Forwarded-For` whom a request came to them from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// A list of proxies that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {place} must be an address or a network, like 10.0.0.7, 10.0.0.0/8 or fd00::/8")]
pub struct WrongProxies {
    place: usize,
}

impl TrustedProxies {
    /// Takes comma-separated addresses and networks. White space around an entry is ignored.
    ///
    /// # Errors
    /// Says which entry is neither. A network of IPv4 addresses has to be written as one: no peer is taken for an IPv6
    /// address that stands for an IPv4 one.
    pub fn parse(list: &str) -> Result<Self, WrongProxies> {
        let entries = list.split(',').map(str::trim).zip(1..);
        let networks = entries.map(|(entry, place)| network(entry).ok_or(WrongProxies { place }));
        networks.collect::<Result<_, _>>().map(Self)
    }

    fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address that a request came from: `peer`'s, unless that is a trusted proxy. Each proxy puts whom it was called
    /// by at the end of `X-Forwarded-For`, so what stands before the last address that is not trusted may be anybody's
    /// invention, and is not looked at; nor is what stands before something that is no address.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let mut entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        while self.has(client)
            && let Some(before) = entries.next().and_then(address)
        {
            client = before;
        }
        client
    }
}

fn network(entry: &str) -> Option<IpNet> {
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Some(address.to_canonical().into());
    }
    let network = entry.parse::<IpNet>().ok()?;
    let stands_for_ipv4 = matches!(network, IpNet::V6(network) if network.addr().to_ipv4_mapped().is_some());
    (!stands_for_ipv4).then_some(network)
}

/// An address as proxies write it: some add the port, and put an IPv6 address into brackets.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim();
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bare.unwrap_or(entry).parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => entry.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let lines = lines.iter().map(|line| HeaderValue::from_bytes(line).unwrap());
        lines.map(|line| (X_FORWARDED_FOR, line)).collect()
    }

    #[test]
    fn the_client_is_whom_the_outermost_trusted_proxy_was_called_by() {
        let proxies = TrustedProxies::parse("10.0.0.0/8, 192.0.2.7,fd00::/8").unwrap();
        for (peer, lines, client) in [
            ("203.0.113.9", &[&b"198.51.100.1"[..]][..], "203.0.113.9"),
            ("10.1.2.3", &[], "10.1.2.3"),
            ("10.1.2.3", &[b"198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.1.2.3", &[b"::ffff:198.51.100.1"], "198.51.100.1"),
            ("fd00::1", &[b"2001:db8::1"], "2001:db8::1"),
            (
                "192.0.2.7",
                &[b"8.8.8.8, 198.51.100.1,10.9.9.9 , fd00::2"],
                "198.51.100.1",
            ),
            (
                "192.0.2.7",
                &[b"8.8.8.8", b"198.51.100.1, 10.9.9.9", b"10.8.8.8"],
                "198.51.100.1",
            ),
            ("192.0.2.7", &[b"10.9.9.9, 10.8.8.8"], "10.9.9.9"),
            ("192.0.2.8", &[b"198.51.100.1"], "192.0.2.8"),
            ("10.1.2.3", &[b"198.51.100.1:4711"], "198.51.100.1"),
            ("10.1.2.3", &[b"[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.1.2.3", &[b"[2001:db8::1]"], "2001:db8::1"),
        ] {
            assert_eq!(
                proxies.client(ip(peer), &headers(lines)),
                ip(client),
                "{peer} {lines:?}"
            );
        }
    }

    #[test]
    fn what_is_no_address_hides_what_stands_before_it() {
        let proxies = TrustedProxies::parse("10.0.0.0/8").unwrap();
        for wrong in [
            &b""[..],
            b"unknown",
            b"_hidden",
            b"10.0.0.300",
            b"10.0.0.1 x",
            b"fe80::1%eth0",
            b"\xff",
            b"\"10.0.0.1\"",
        ] {
            let line = [b"198.51.100.1, ", wrong, b", 10.2.2.2"].concat();
            assert_eq!(
                proxies.client(ip("10.1.1.1"), &headers(&[&line])),
                ip("10.2.2.2"),
                "{line:?}"
            );
            assert_eq!(
                proxies.client(ip("10.1.1.1"), &headers(&[b"198.51.100.1", wrong])),
                ip("10.1.1.1")
            );
        }
    }

    #[test]
    fn a_list_names_addresses_and_networks_and_nothing_else() {
        for list in [
            "10.0.0.1",
            "::1",
            "0.0.0.0/0",
            " 10.0.0.1 , fd00::/8",
            "::ffff:10.0.0.1",
        ] {
            assert!(TrustedProxies::parse(list).is_ok(), "{list}");
        }
        for (list, place) in [
            ("", 1),
            ("10.0.0.1,", 2),
            ("10.0.0.0/33", 1),
            ("10.0.0.1 10.0.0.2", 1),
            ("10.0.0.1,proxy.internal", 2),
            ("10.0.0.1,::1,::ffff:10.0.0.0/104", 3),
        ] {
            assert_eq!(TrustedProxies::parse(list), Err(WrongProxies { place }), "{list}");
        }
    }

    proptest! {
        #[test]
        fn who_is_no_trusted_proxy_cannot_choose_their_address(
            peer: IpAddr,
            lines in prop::collection::vec(
                prop_oneof![
                    "[\\x20-\\x7e]{0,60}",
                    any::<IpAddr>().prop_map(|address| address.to_string()),
                    Just("10.0.0.1, fd00::1".to_owned()),
                ],
                0..5,
            ),
        ) {
            let proxies = TrustedProxies::parse("10.0.0.0/8,fd00::/8").unwrap();
            let peer = peer.to_canonical();
            prop_assume!(!proxies.has(peer));
            let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
            prop_assert_eq!(proxies.client(peer, &headers(&lines)), peer);
            // Nor through a proxy, which adds where they are.
            let seen = peer.to_string();
            let through = [&lines[..], &[seen.as_bytes(), b"10.7.7.7"]].concat();
            prop_assert_eq!(proxies.client(ip("10.0.0.1"), &headers(&through)), peer);
        }
    }
}
