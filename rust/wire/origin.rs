//! Hosts and origins (RFC 9110 section 7.2, RFC 6454). Pure.

/// Splits the value of `Host` (RFC 9110 section 7.2), or the authority of an origin, into name and port; none if it has
/// anything else.
///
/// Accepts registered names as DNS has them. RFC 3986 allows more, which no browser sends.
pub fn split_host(host: &str) -> Option<(&str, Option<&str>)> {
    let is_named = |name: &str| {
        (1..=253).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
    };
    let is_address = |name: &str| {
        let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or("");
        (2..=45).contains(&inner.len()) && inner.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte))
    };
    let is_port = |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    // An address has colons of its own, within brackets.
    let name_len = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, rest) = host.split_at(name_len);
    let port = match rest.strip_prefix(':') {
        Some(port) if is_port(port) => Some(port),
        None if rest.is_empty() => None,
        _ => return None,
    };
    (is_named(name) || is_address(name)).then_some((name, port))
}

/// Returns the name in a `Host`, without its port and in lower case; "" if there is none.
pub fn name_of(host: &str) -> String {
    split_host(host).map(|(name, _)| name.to_ascii_lowercase()).unwrap_or_default()
}

/// Whether an origin is the server's own: the same host and port, and https if the server speaks TLS.
///
/// A page of https may come to a server without TLS, because a proxy that is not in `trusted_proxies` may speak TLS for
/// it. A page of http must not come to a server with TLS, because anybody on the network could have changed that page.
pub fn is_same_origin(origin: &str, host: &str, is_secure: bool) -> bool {
    // A default port may be left out. It depends on the scheme of the page.
    let (authority, default) = match origin.split_once("://") {
        Some(("https", authority)) => (authority, "443"),
        Some(("http", authority)) if !is_secure => (authority, "80"),
        _ => return false,
    };
    let (Some(page), Some(ours)) = (split_host(authority), split_host(host)) else { return false };
    page.0.eq_ignore_ascii_case(ours.0) && page.1.unwrap_or(default) == ours.1.unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (host, name) in [
            ("example.com", "example.com"),
            ("EXAMPLE.com:8000", "example.com"),
            ("localhost", "localhost"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("[::1]", "[::1]"),
            ("[2001:DB8::1]:443", "[2001:db8::1]"),
            ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
            ("a_b", "a_b"),
            ("a:99999", "a"),
            (&"x".repeat(253), &"x".repeat(253)),
        ] {
            assert!(split_host(host).is_some(), "{host}");
            assert_eq!(name_of(host), name);
        }
    }

    #[test]
    fn no_hosts() {
        for host in [
            "",
            ":80",
            "a:",
            "a:x",
            "a:123456",
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "user:pass@b",
            "[::1",
            "::1",
            "[::1]x",
            "a\n",
            "a\0",
            "a%00b",
            "*",
            "a#b",
            "a?b",
            "[example.com]",
            "a:80:80",
            "\u{e9}.com",
            "http://a",
            "[]",
            "[:]",
            "[::1]:",
            "[::1%eth0]",
            "[::1]]",
            "[[::1]]",
            "]",
            "a]",
            "a:+1",
            "a: 1",
            "[::1]:80:80",
            &"x".repeat(254),
            &format!("[{}]", ":".repeat(46)),
        ] {
            assert_eq!(split_host(host), None, "{host}");
            assert_eq!(name_of(host), "");
        }
    }

    #[test]
    fn the_same_origin() {
        for (origin, host, is_secure, is_same) in [
            ("http://example.com", "example.com", false, true),
            ("http://EXAMPLE.com", "Example.COM", false, true),
            ("http://example.com:80", "example.com", false, true),
            ("http://example.com", "example.com:80", false, true),
            ("https://example.com", "example.com", true, true),
            ("https://example.com:443", "example.com", true, true),
            ("http://localhost:8000", "localhost:8000", false, true),
            ("http://[::1]:8000", "[::1]:8000", false, true),
            // A proxy speaks TLS for the server.
            ("https://example.com", "example.com", false, true),
            ("http://example.com", "example.com", true, false),
            ("http://example.com:81", "example.com", false, false),
            ("http://example.com", "example.com:81", false, false),
            ("https://example.com", "example.com:80", false, false),
            ("http://evil-example.com", "example.com", false, false),
            ("http://example.com.evil.org", "example.com", false, false),
            ("http://sub.example.com", "example.com", false, false),
            ("http://example.com@evil.org", "example.com", false, false),
            ("http://example.com/", "example.com", false, false),
            ("http://example.com http://evil.org", "example.com", false, false),
            ("null", "null", false, false),
            ("file://", "", false, false),
            ("chrome-extension://example.com", "example.com", false, false),
            ("ws://example.com", "example.com", false, false),
            ("HTTP://example.com", "example.com", false, false),
            ("//example.com", "example.com", false, false),
            ("example.com", "example.com", false, false),
            ("", "example.com", false, false),
            ("http://", "", false, false),
            ("http://*", "*", false, false),
        ] {
            assert_eq!(is_same_origin(origin, host, is_secure), is_same, "{origin} {host} {is_secure}");
        }
    }
}
