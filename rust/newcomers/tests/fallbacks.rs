//! Requests for event streams and for sessions whose clients poll.

use super::*;
use crate::wire::opening::Opening;

fn asking(target: &str, lines: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: example.com\r\n{lines}\r\n").into_bytes()
}

fn answer_of(far: &Far) -> String {
    String::from_utf8(far.0.borrow().answer.clone()).unwrap()
}

fn settings(origins: Option<&[&str]>) -> NewcomerSettings {
    let origins = origins.map(|origins| origins.iter().map(|&origin| origin.to_owned()).collect());
    let entry = Entry::new(Some(vec!["example.com".into()]), origins, Proxies::default());
    NewcomerSettings { entry, paths: paths("", "/live"), ..NewcomerSettings::default() }
}

#[test]
fn a_request_goes_up_like_an_upgrade() {
    for (target, opening, transport, subprotocol) in [
        ("/live/chat?transport=sse&protocol=fanwire.v1.json", Opening::Stream, "sse", "fanwire.v1.json"),
        ("/live/rooms/news", Opening::Stream, "sse", "fanwire.v1.raw"),
        ("/live?transport=long-poll&protocol=fanwire.v1.msgpack", Opening::Poll, "long-poll", "fanwire.v1.msgpack"),
    ] {
        let mut gate = Gate::new(settings(None), AdmissionSettings::default());
        let mut bytes = asking(target, "Origin: http://example.com\r\nAuthorization: Bearer x\r\n");
        bytes.extend_from_slice(b"stray bytes");
        let far = Far::says(&bytes);
        gate.arrive(&far);
        let id = gate.announced();
        let Some(NewcomerEvent::Request(request)) = gate.newcomers.news(id) else { panic!("{target}") };
        assert_eq!((request.transport, request.subprotocol), (transport, Some(subprotocol)));
        assert_eq!((&*request.remote, request.is_origin_allowed), ("192.0.2.7", true));
        assert!(!request.target.starts_with(b"/live"));
        assert!(request.headers.ends_with(b"Authorization: Bearer x\r\n"));
        let accepted = gate.newcomers.accept(id, gate.now_us).unwrap();
        assert_eq!((accepted.opening, accepted.rest.len()), (opening, 0));
        let head = str::from_utf8(&accepted.head).unwrap();
        assert!(head.contains("\r\nAccess-Control-Allow-Origin: *\r\n"), "{head}");
        assert_eq!((gate.newcomers.report().statuses().get(&200), gate.connections()), (Some(&1), 1));
    }
}

#[test]
fn other_requests_are_the_hosts() {
    for line in [
        "POST /live/chat?transport=sse",
        "HEAD /live/chat?transport=sse",
        "OPTIONS /live/chat?transport=long-poll",
        "GET /live/chat?link=x&received=7",
        "GET /live/chat?transport=pigeon",
        "GET /chat?transport=sse",
        "GET /rooms/news",
        "GET /live/fanwire.js",
    ] {
        let mut gate = Gate::new(settings(None), AdmissionSettings::default());
        gate.arrive(&Far::says(format!("{line} HTTP/1.1\r\nHost: example.com\r\n\r\n").as_bytes()));
        let id = gate.announced();
        assert!(matches!(gate.newcomers.news(id), Some(NewcomerEvent::Http { .. })), "{line}");
    }
}

#[test]
fn a_refusal_can_be_read_by_a_page_whose_origin_is_accepted() {
    let ours = "Origin: https://a.com\r\n";
    let stream = "/live/x?transport=sse";
    let late = AdmissionSettings { max_connections: 1, ..AdmissionSettings::default() };
    for (target, lines, limits, status) in [
        (stream, ours.to_owned(), late, 503),
        ("/live/x?transport=sse&protocol=mqtt", ours.to_owned(), AdmissionSettings::default(), 400),
        ("/live/x?transport=long-poll", ours.to_owned(), AdmissionSettings::default(), 400),
        (stream, format!("{ours}Content-Length: 1\r\n"), AdmissionSettings::default(), 400),
        ("/live/x?link=a&received=1", ours.to_owned(), late, 503),
    ] {
        let mut gate = Gate::new(settings(Some(&["https://a.com"])), limits);
        if limits.max_connections == 1 {
            gate.ask_at("/live");
        }
        let far = Far::says(&asking(target, &lines));
        gate.arrive(&far);
        let answer = answer_of(&far);
        assert_eq!(far.status(), status, "{target}");
        for line in ["Origin: https://a.com", "Credentials: true"] {
            assert!(answer.contains(&format!("\r\nAccess-Control-Allow-{line}\r\n")), "{target}: {answer}");
        }
    }
}

#[test]
fn the_hosts_refusal_can_be_read_too_and_pages_of_others_get_none() {
    let mut gate = Gate::new(settings(Some(&["https://a.com"])), AdmissionSettings::default());
    let far = Far::says(&asking("/live?transport=sse", "Origin: https://a.com\r\n"));
    gate.arrive(&far);
    let id = gate.announced();
    gate.newcomers.refuse(id, Refusal::new(401, "").with("Retry-After: 3"), gate.now_us);
    let answer = answer_of(&far);
    assert_eq!(far.status(), 401);
    assert!(answer.contains("\r\nRetry-After: 3\r\nAccess-Control-Allow-Origin: https://a.com\r\n"), "{answer}");

    let other = Far::says(&asking("/live?transport=sse", "Origin: https://b.com\r\n"));
    gate.arrive(&other);
    assert_eq!(other.status(), 403);
    assert!(!answer_of(&other).contains("Access-Control"));
    // A WebSocket's refusal has none: no page can read it.
    let socket = Far::says(&upgrade("/live", "Origin: https://a.com\r\nContent-Length: 1\r\n"));
    gate.arrive(&socket);
    assert_eq!(socket.status(), 400);
    assert!(!answer_of(&socket).contains("Access-Control"));
}

#[test]
fn the_rules_and_limits_of_upgrades_hold() {
    let bytes = asking("/live?transport=sse", "").into_iter().map(char::from).collect::<String>();
    let mut gate = Gate::new(settings(None), AdmissionSettings::default());
    let far = Far::says(bytes.replace("example.com", "example.org").as_bytes());
    gate.arrive(&far);
    assert_eq!(far.status(), 421);
    let far = Far::says(bytes.replace("example.com", "example.com\r\nHost: example.com").as_bytes());
    gate.arrive(&far);
    assert_eq!(far.status(), 400);
    let limits = AdmissionSettings { max_address_connections: 1, ..AdmissionSettings::default() };
    let mut gate = Gate::new(settings(None), limits);
    gate.arrive(&Far::says(bytes.as_bytes()));
    let far = Far::says(bytes.as_bytes());
    gate.arrive(&far);
    assert_eq!(far.status(), 429);
    // A server that stops lets none in.
    let mut gate = Gate::new(settings(None), AdmissionSettings::default());
    gate.newcomers.close();
    let far = Far::says(bytes.as_bytes());
    gate.arrive(&far);
    assert_eq!((far.status(), gate.announced.len()), (503, 0));
}

#[test]
fn a_connection_comes_back_from_the_host_with_such_a_request() {
    let mut gate = Gate::new(settings(None), AdmissionSettings::default());
    gate.arrive(&Far::says(&asking("/live/readings", "")));
    let id = gate.announced();
    assert!(matches!(gate.newcomers.news(id), Some(NewcomerEvent::Http { .. })));
    let far = Far::says(b"");
    gate.newcomers.take_back(id, Near(far), &asking("/live?transport=sse", ""), gate.now_us);
    gate.listen();
    assert_eq!(gate.announced(), id);
    let Some(NewcomerEvent::Request(request)) = gate.newcomers.news(id) else { panic!() };
    assert_eq!((request.transport, gate.connections()), ("sse", 1));
}

impl Gate {
    /// Lets an upgrade request for this path come.
    fn ask_at(&mut self, target: &str) {
        self.arrive(&Far::says(&upgrade(target, "")));
        self.announced();
    }
}
