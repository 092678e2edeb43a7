use proptest::prelude::*;

use super::*;

fn ours() -> Proxies {
    Proxies::new(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn clients() {
    let long = |text: &str, more: &str| format!("{text}{}", more.repeat(10_000));
    for (peer, forwarded, client) in [
        // A peer that is not trusted is not believed.
        ("203.0.113.5", "198.51.100.1", "203.0.113.5"),
        ("203.0.113.5", "", "203.0.113.5"),
        ("192.0.2.8", "198.51.100.1", "192.0.2.8"),
        // The rightmost address that is not trusted counts, whatever is before it.
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1,198.51.100.1,10.0.0.2,192.0.2.7", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.9, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("2001:db8::1", "198.51.100.1", "198.51.100.1"),
        ("192.0.2.7", "2001:4860::1", "2001:4860::1"),
        // With ports, as some proxies write them.
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:4860::1]:4711", "2001:4860::1"),
        ("10.0.0.1", "[2001:4860::1]", "2001:4860::1"),
        ("10.0.0.1", "1.1.1.1, [::1]:4711, 10.0.0.2:80", "::1"),
        // With zones, which are ignored.
        ("10.0.0.1", "fe80::1%eth0", "fe80::1"),
        ("10.0.0.1", "[fe80::1%25eth0]:4711", "fe80::1"),
        ("10.0.0.1", "fe80::1%", "10.0.0.1"),
        ("10.0.0.1", "fe80::1%a%b", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1%eth0", "10.0.0.1"),
        // Two spellings of one address are one address.
        ("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, ::ffff:10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "[::ffff:198.51.100.1]:80", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:203.0.113.5", "198.51.100.1", "203.0.113.5"),
        ("10.0.0.1", "2001:4860:0:0::0001", "2001:4860::1"),
        // If an entry is no address, the proxy that sent it counts as the client.
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, _hidden, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.1,", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, 010.0.0.2", "10.0.0.1"),
        ("10.0.0.1", "[::1", "10.0.0.1"),
        ("10.0.0.1", "[]", "10.0.0.1"),
        ("10.0.0.1", ":", "10.0.0.1"),
        ("10.0.0.1", "1.1.1.1\t", "1.1.1.1"),
        ("10.0.0.1", "<script>", "10.0.0.1"),
        ("10.0.0.1", &long("", "9"), "10.0.0.1"),
        ("10.0.0.1", &long("1.1.1.1", " "), "1.1.1.1"),
        ("10.0.0.1", &long("", ","), "10.0.0.1"),
    ] {
        assert_eq!(ours().client(Some(ip(peer)), forwarded), Some(ip(client)), "{peer} {forwarded:.60}");
    }
}

#[test]
fn no_peer_is_trusted_without_being_named() {
    let proxies = Proxies::default();
    assert!(!proxies.trusts(ip("127.0.0.1")));
    assert_eq!(proxies.client(Some(ip("127.0.0.1")), "198.51.100.1"), Some(ip("127.0.0.1")));
    assert!(!proxies.trusts(None));
    assert_eq!(proxies.client(None, "198.51.100.1"), None);
}

#[test]
fn what_is_no_network_is_an_error() {
    for network in
        ["", "example.com", "10.0.0.1/8", "10.0.0.0/33", "*", "10.0.0.0/", "/8", "::/129", "::1/64", " 10.0.0.1"]
    {
        let error = Proxies::new(&["10.0.0.0/8", network]).unwrap_err().to_string();
        assert!(error.starts_with("trusted_proxies are addresses or networks: "), "{error}");
        assert!(error.contains(&format!("{network:?}")), "{error}");
    }
}

#[test]
fn networks_that_are_written_as_ipv6() {
    let proxies = Proxies::new(&["::ffff:10.0.0.0/104", "::ffff:192.0.2.7"]).unwrap();
    for (address, is_trusted) in [("10.255.0.1", true), ("11.0.0.1", false), ("192.0.2.7", true), ("::1", false)] {
        assert_eq!(proxies.trusts(ip(address)), is_trusted, "{address}");
    }
    // All of IPv6 does not include IPv4.
    assert!(!Proxies::new(&["::/0"]).unwrap().trusts(ip("::ffff:10.0.0.1")));
    assert!(Proxies::new(&["0.0.0.0/0"]).unwrap().trusts(ip("::ffff:10.0.0.1")));
}

#[test]
fn networks_of_clients() {
    let of = |text| Network::of(ip(text));
    assert_eq!(of("192.0.2.1").to_string(), "192.0.2.1");
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_eq!(of("2001:db8::1"), of("2001:db8::2:3"));
    assert_eq!(of("2001:db8::1").to_string(), "2001:db8::/64");
    assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
    assert_ne!(of("0.0.0.0"), of("::"));
}

#[test]
fn peers_of_unix_sockets_are_trusted_by_name() {
    let proxies = Proxies::new(&["unix", "10.0.0.0/8"]).unwrap();
    assert!(proxies.trusts(None));
    for (forwarded, client) in [
        ("198.51.100.1", Some("198.51.100.1")),
        ("198.51.100.1, 10.0.0.1", Some("198.51.100.1")),
        ("198.51.100.1, unknown", None),
        ("", None),
    ] {
        assert_eq!(proxies.client(None, forwarded), client.map(ip), "{forwarded}");
    }
    assert!(!Proxies::new(&["unix"]).unwrap().trusts(ip("127.0.0.1")));
}

proptest! {
    #[test]
    fn whatever_is_said_an_address_comes_out(
        peer in any::<u32>(),
        forwarded in prop_oneof!["\\PC{0,100}", "[0-9a-f:.,%\\[\\] ]{0,100}"],
    ) {
        let peer = IpAddr::from(peer.to_be_bytes());
        let client = ours().client(Some(peer), &forwarded).unwrap();
        prop_assert!(client == peer || ours().trusts(peer));
        prop_assert_eq!(client, client.to_canonical());
        // A client behind a trusted proxy was named by such a proxy.
        if client != peer {
            prop_assert!(forwarded.split(',').any(|entry| parse_address(entry.trim()) == Some(client)));
        }
    }
}
