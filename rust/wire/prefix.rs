//! A prefix of all paths, for a server behind a proxy that forwards a part of a website to it.

use std::borrow::Cow;

/// "" or a path such as "/rt".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefix(Box<str>);

impl Prefix {
    /// Creates a prefix; a slash at its end is removed. None: no path can begin with this text.
    pub fn new(text: &str) -> Option<Self> {
        let path = text.strip_suffix('/').unwrap_or(text);
        // Only characters that are never percent-encoded (RFC 3986 section 2.3), so that a path has one spelling.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        let is_segment = |segment: &str| !segment.is_empty() && segment.bytes().all(is_plain);
        let is_path = path.is_empty() || path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment));
        is_path.then(|| Self(path.into()))
    }

    /// Returns a request target without the prefix. A target that does not begin with it stays as it is: a proxy may
    /// have removed the prefix, and health checks come without a proxy.
    pub fn without<'a>(&self, target: &'a [u8]) -> Cow<'a, [u8]> {
        self.strip(target).unwrap_or(Cow::Borrowed(target))
    }

    /// Returns a request target without the prefix; none if it does not begin with it.
    pub fn strip<'a>(&self, target: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        if self.0.is_empty() {
            return Some(Cow::Borrowed(target));
        }
        match target.strip_prefix(self.0.as_bytes())? {
            [] => Some(Cow::Borrowed(b"/")),
            rest @ [b'/', ..] => Some(Cow::Borrowed(rest)),
            rest @ [b'?', ..] => Some(Cow::Owned([b"/", rest].concat())),
            _ => None,
        }
    }
}

/// The paths that belong to the server.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    /// The prefix that every path may have.
    pub prefix: Prefix,
    /// The beginning of paths that are ours; all others belong to the application.
    pub mount: Prefix,
}

impl Paths {
    /// Returns the target of a request without prefix and mount; none if it belongs to the application.
    pub fn ours<'a>(&self, target: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match self.prefix.without(target) {
            Cow::Borrowed(target) => self.mount.strip(target),
            Cow::Owned(target) => self.mount.strip(&target).map(|target| Cow::Owned(target.into_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for (given, prefix) in [("", ""), ("/", ""), ("/rt", "/rt"), ("/rt/", "/rt"), ("/a/b-c", "/a/b-c")] {
            assert_eq!(Prefix::new(given), Some(Prefix(prefix.into())), "{given}");
        }
    }

    #[test]
    fn what_is_no_prefix() {
        for given in
            ["rt", "//", "/a//b", "/a?b", "/a#b", "/\u{fc}", "/%41", "/a b", "/a\n", "http://x/rt", "/a//", "a/"]
        {
            assert_eq!(Prefix::new(given), None, "{given}");
        }
    }

    #[test]
    fn a_prefix_is_taken_off_where_it_is() {
        let (prefix, none) = (Prefix::new("/rt").unwrap(), Prefix::default());
        for (target, path) in [
            ("/rt/rooms/a?key=x", "/rooms/a?key=x"),
            ("/rt/", "/"),
            ("/rt", "/"),
            ("/rt?session=x", "/?session=x"),
            ("/rt//x", "//x"),
            ("/rooms/a", "/rooms/a"),
            ("/rtx/rooms/a", "/rtx/rooms/a"),
            ("/rt/rt/x", "/rt/x"),
            ("/RT/x", "/RT/x"),
            ("*", "*"),
            ("/", "/"),
            ("?x", "?x"),
            ("", ""),
        ] {
            assert_eq!(&*prefix.without(target.as_bytes()), path.as_bytes(), "{target}");
            assert_eq!(&*none.without(target.as_bytes()), target.as_bytes());
        }
    }

    #[test]
    fn what_is_below_the_mount_is_ours() {
        let paths = |prefix, mount| Paths { prefix: Prefix::new(prefix).unwrap(), mount: Prefix::new(mount).unwrap() };
        let (all, mounted, both) = (Paths::default(), paths("", "/fanwire"), paths("/rt", "/fanwire"));
        for (target, of_mounted, of_both) in [
            ("/", None, None),
            ("/fanwire", Some("/"), Some("/")),
            ("/fanwire/", Some("/"), Some("/")),
            ("/fanwire?x", Some("/?x"), Some("/?x")),
            ("/fanwire/rooms/a?b", Some("/rooms/a?b"), Some("/rooms/a?b")),
            ("/rt/fanwire/healthz", None, Some("/healthz")),
            ("/rt/fanwire?x", None, Some("/?x")),
            ("/rt?x", None, None),
            ("/rt/healthz", None, None),
            ("/fanwire/rt/x", Some("/rt/x"), Some("/rt/x")),
            ("/fanwires/x", None, None),
            ("/fanwire#x", None, None),
            ("//fanwire/x", None, None),
            ("/./fanwire/x", None, None),
            ("/%66anwire/x", None, None),
            ("/FANWIRE/x", None, None),
            ("http://x/fanwire", None, None),
            ("*", None, None),
        ] {
            let ours =
                |paths: &Paths| paths.ours(target.as_bytes()).map(|path| String::from_utf8_lossy(&path).into_owned());
            assert_eq!(ours(&mounted).as_deref(), of_mounted, "{target}");
            assert_eq!(ours(&both).as_deref(), of_both, "{target}");
            assert_eq!(ours(&all).as_deref(), Some(target));
        }
    }
}
