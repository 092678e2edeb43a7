"""The scenarios of a run and their sizes. Not their meaning: that is in the load client's sources."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """One block of the table."""

    name: str
    title: str
    arguments: tuple[str, ...]
    #: What replaces the arguments with --quick.
    quick: tuple[str, ...] | None = None
    #: Whether a server with an event loop is asked how late its loop was; that costs it a thousand wake-ups a second.
    watch: bool = False
    #: Whether its readers have sessions, which only some servers offer; the others are not asked.
    sessions: bool = False
    #: By which algorithm the tokens are signed that all clients show and the server asks for; None: nobody is asked.
    algorithm: str | None = None
    #: How many clients have a subject of their own.
    subjects: int = 0
    #: Whether the server keeps the limits it has by default; the others would only measure these.
    defaults: bool = False
    #: How many open files the server may have; None: as many as this process.
    files: int | None = None
    #: Whether the server only counts what it is sent: a handler with nothing else to decide.
    counts: bool = False
    #: Whether what PyJWT alone needs for each token is measured beside it.
    decodes: bool = False
    #: Whether connections are pinged; a raw client's latest values have no window otherwise.
    pings: bool = False
    #: What a server must be able to do for it: pass on `text`, `tls` or `compress` (of which the last two are options
    #: that it is started with).
    needs: frozenset[str] = frozenset()
    #: The scenario that it is compared with: the same in another form.
    twin: str | None = None
    #: Which of `certificates.py` a server with TLS has.
    certificate: str = "p256"
    #: Whether it is about a form of the wire; some peers are only there for these.
    of_forms: bool = False

    def command(self, *, quick: bool) -> tuple[str, ...]:
        """Give the arguments of the load client."""
        return self.quick if quick and self.quick else self.arguments

    @property
    def guarded(self) -> bool:
        """Whether only a server can be asked that has guards."""
        return self.algorithm is not None or self.defaults


BYSTANDERS = ("--subscribers", "500", "--hz", "20", "--subprotocol", "fanwire.v1.json")
HANDSHAKES = (("handshakes", "--connects", "20000"), ("handshakes", "--connects", "2000"))
#: A reader's way, as name and options; the first is what the others are compared with.
RAW = (("", ()), ("-sse", ("--transport", "sse")))
SESSION = tuple((suffix, (*options, "--subprotocol", "fanwire.v1.json")) for suffix, options in RAW)
POLLED = (*SESSION, ("-poll", ("--transport", "long-poll", "--subprotocol", "fanwire.v1.json")))
WAYS = {"": "WebSocket", "-sse": "an event stream", "-poll": "long-polling"}
#: The same load over each transport, one after the other; `transports.py` gives the ratios.
TRANSPORTS = (
    *(
        Scenario(
            f"{name}-{window}{suffix}",
            f"1,000 {what} over {WAYS[suffix]}, {window} in flight",
            ("inflight", "--window", window, "--subscribers", "1000", *more, *options),
            sessions=True,
        )
        for name, what, more, ways in (
            ("text", "raw subscribers, text", ("--text",), RAW),
            ("bytes", "raw subscribers, bytes (in event streams base64)", (), RAW),
            ("json", "JSON sessions, text", ("--text",), SESSION),
        )
        for window in ("1", "64")
        for suffix, options in ways
    ),
    *(
        Scenario(
            f"json-10-hz{suffix}",
            f"1,000 JSON sessions over {WAYS[suffix]}, 10 messages/s",
            ("bursts", "--rate", "10", "--burst", "1", "--subscribers", "1000", "--text", *options),
            sessions=True,
            watch=True,
        )
        for suffix, options in POLLED
    ),
)
QUOTES = ("--subscribers", "1000", "--quotes")
SOCKET = ("--subscribers", "1000")
ALONE, BROWSER, BATCH = ("--deflate", "alone"), ("--deflate", "browser"), ("--batch",)
TWENTIES = ("bursts", "--rate", "1000", "--burst", "20", *QUOTES, "--subprotocol", "fanwire.v1.json")
STALLED = ("stalled", "--stalled", "20", "--subscribers", "120", "--rate", "100", "--size", "16384")


def form(
    name: str,
    title: str,
    twin: str | None,
    needs: str,
    *arguments: str,
    watch: bool = False,
    sessions: bool = False,
    certificate: str = "p256",
) -> Scenario:
    """Give a scenario of a form of the wire. A server that can speak TLS is asked to."""
    what = frozenset(needs.split())
    return Scenario(
        name,
        title,
        (*arguments, "--tls") if "tls" in what else arguments,
        watch=watch,
        sessions=sessions,
        needs=what,
        twin=twin,
        of_forms=True,
        certificate=certificate,
    )


#: The same load in other forms; `forms.py` gives the ratios. A twin comes before what is compared with it.
FORMS = (
    *(
        form(
            f"{name}-{window}",
            f"1,000 subscribers, {what}, {window} in flight",
            twin and f"{twin}-{window}",
            needs,
            *("inflight", "--window", window, *options),
            watch=watch,
        )
        for window in ("1", "64")
        for name, what, twin, needs, options, watch in (
            ("plain", "128 bytes", None, "", SOCKET, True),
            ("tls", "128 bytes, TLS", "plain", "tls", SOCKET, True),
            ("quotes", "quotes", None, "text", QUOTES, False),
            ("deflate", "quotes, compressed", "quotes", "text compress", (*QUOTES, *ALONE), False),
            ("browser", "quotes, compressed as browsers ask", "quotes", "text compress", (*QUOTES, *BROWSER), False),
        )
    ),
    *(
        form(name, f"1,000 sessions, 20 quotes together{what}", twin, needs, *TWENTIES, *options, sessions=True)
        for name, what, twin, needs, options in (
            ("twenty", "", None, "text", ()),
            ("twenty-deflate", ", compressed", "twenty", "text compress", ALONE),
            ("twenty-batch", ", in batches", "twenty", "text", BATCH),
            ("twenty-batch-deflate", ", in batches, compressed", "twenty", "text compress", (*BATCH, *ALONE)),
            ("twenty-tls", ", TLS", "twenty", "text tls", ()),
            ("twenty-all", ", in batches, compressed, TLS", "twenty", "text tls compress", (*BATCH, *ALONE)),
        )
    ),
    *(
        form(f"{name}-{kind}", f"{title}{what}", twin and f"{name}-{twin}", needs, *arguments)
        for name, title, arguments in (
            ("still", "5,000 idle connections", ("idle", "--subscribers", "5000")),
            ("stalled", "20 of 120 never read, 100 messages/s of 16 KiB", STALLED),
            ("stuck", "the same, with the segments of the loopback", (*STALLED, "--near")),
        )
        for kind, what, twin, needs in (("plain", "", None, ""), ("tls", ", TLS", "plain", "tls"))
    ),
    *(
        form(
            f"beside-{kind}",
            f"100 subscribers by TLS, 200 messages/s, beside full handshakes ({title})",
            None,
            "tls",
            *("beside", "--subscribers", "100", "--rate", "200"),
            watch=True,
            certificate=kind,
        )
        for kind, title in (("p256", "P-256"), ("rsa2048", "RSA-2048"))
    ),
)
SCENARIOS = (
    Scenario(
        "inflight-1", "1,000 subscribers, one message in flight", ("inflight", "--window", "1", "--subscribers", "1000")
    ),
    Scenario(
        "inflight-64",
        "1,000 subscribers, 64 messages in flight",
        ("inflight", "--window", "64", "--subscribers", "1000"),
    ),
    Scenario(
        "inflight-64-290",
        "the same, 290 bytes: as large as a JSON envelope of them",
        ("inflight", "--window", "64", "--subscribers", "1000", "--size", "290"),
    ),
    # The same with sessions: what does an envelope cost beside raw bytes?
    *(
        Scenario(
            f"envelope-64{suffix}",
            f"1,000 {name} sessions, 64 messages in flight",
            ("inflight", "--window", "64", "--subscribers", "1000", "--subprotocol", f"fanwire.v1.{name}"),
            sessions=True,
        )
        for suffix, name in (("", "json"), ("-msgpack", "msgpack"))
    ),
    # The same in a room of latest values, none of which is replaced: what does the window cost?
    *(
        Scenario(
            f"latest-64{suffix}",
            f"1,000 {name} in a room of 256 latest values, 64 messages in flight",
            ("inflight", "--window", "64", "--subscribers", "1000", "--keys", "256", *options),
            sessions=True,
            pings=True,
        )
        for suffix, name, options in (
            ("", "JSON sessions", ("--subprotocol", "fanwire.v1.json")),
            ("-raw", "raw clients", ()),
        )
    ),
    *TRANSPORTS,
    *FORMS,
    Scenario(
        "bursts",
        "1,000 subscribers, 200 messages/s in bursts of 20",
        ("bursts", "--rate", "200", "--burst", "20", "--subscribers", "1000"),
    ),
    Scenario(
        "stalled",
        "1,000 subscribers, 10 of them never read, 100 messages/s of 1 KB",
        ("stalled", "--stalled", "10", "--subscribers", "1000", "--rate", "100", "--size", "1024"),
    ),
    # Rooms of 10 would take 20,020 descriptors of a server that keeps two for each connection. In small rooms
    # every delivery is a wake-up of the client, which is near its limit here.
    Scenario(
        "rooms",
        "1,000 rooms of 9, 20 messages/s each",
        ("rooms", "--rooms", "1000", "--members", "9", "--hz", "20"),
        ("rooms", "--rooms", "200", "--members", "9", "--hz", "20"),
    ),
    Scenario(
        "stall",
        "9,900 subscribers, 8 messages/s",
        # A send() to each takes a core about 60 ms, so eight a second leave the naive loop half of its time.
        ("stall", "--subscribers", "9900", "--rate", "8"),
        ("stall", "--subscribers", "2000", "--rate", "20"),
        watch=True,
    ),
    Scenario("storm", "5,000 connects", ("storm", "--subscribers", "5000"), ("storm", "--subscribers", "2000")),
    Scenario("idle", "9,000 idle connections", ("idle", "--subscribers", "9000"), ("idle", "--subscribers", "2000")),
    Scenario(
        "idle-json",
        "9,000 idle JSON sessions, each in one room",
        ("idle", "--subscribers", "9000", "--subprotocol", "fanwire.v1.json"),
        ("idle", "--subscribers", "2000", "--subprotocol", "fanwire.v1.json"),
        sessions=True,
    ),
    Scenario(
        "idle-19000",
        "19,000 idle connections, the server with a limit of 20,000 open files",
        ("idle", "--subscribers", "19000", "--sources", "4"),
        files=20_000,
    ),
    Scenario(
        "inbound",
        "1,000 clients sending 100-byte messages, and a handler that counts",
        ("inbound", "--clients", "1000", "--size", "100"),
        ("inbound", "--clients", "200", "--size", "100"),
        counts=True,
    ),
    Scenario("echo", "one client, 100 bytes there and back, one in flight; times are of round trips", ("echo",)),
    Scenario(
        "reconnect",
        "9,900 JSON sessions cut off at once, 8 messages/s; times are from the cut to complete",
        ("reconnect", "--clients", "9900", "--rate", "8"),
        ("reconnect", "--clients", "2000", "--rate", "8"),
        watch=True,
        sessions=True,
    ),
    Scenario(
        "reconnect-now",
        "the same, everybody at once, without a random wait",
        ("reconnect", "--clients", "9900", "--rate", "8", "--first", "0"),
        ("reconnect", "--clients", "2000", "--rate", "8", "--first", "0"),
        watch=True,
        sessions=True,
    ),
    Scenario(
        "latest-join",
        "200 JSON sessions join 10,000 latest values, 5,000 changes/s; times are from joining to the whole snapshot",
        ("latest-join", "--keys", "10000", "--joiners", "200", "--rate", "5000"),
        ("latest-join", "--keys", "2000", "--joiners", "50", "--rate", "2000"),
        watch=True,
        sessions=True,
    ),
    # In one room the fan-out hides some of the wait for the loop; in small rooms all of it shows.
    *(
        Scenario(
            f"attack{suffix}",
            f"500 JSON sessions, {rooms}, while 2,000 hostile connections/s attack",
            ("attack", *BYSTANDERS, *arguments, "--rate", "2000"),
            ("attack", *BYSTANDERS, *arguments, "--rate", "1000", "--stretch", "1", "--build-up", "2"),
            watch=True,
            sessions=True,
            algorithm="HS256",
            subjects=512,
            defaults=True,
        )
        for suffix, rooms, arguments in (
            ("", "20 messages/s", ("--rooms", "1")),
            ("-rooms", "10 rooms of 50, 20 messages/s each", ("--rooms", "10")),
        )
    ),
    *(
        Scenario(
            f"connect{suffix}",
            f"20,000 times opening, {what}, closing{who}",
            (*connect, "--connects", "20000"),
            (*connect, "--connects", "2000"),
            algorithm=algorithm,
            subjects=20_200,
            decodes=algorithm is not None,
        )
        for suffix, what, who, algorithm, message in (
            ("", "one message and its echo", "", None, "echo"),
            ("-sink", "one message without an answer", "", None, "sink"),
            ("-jwt", "one message and its echo", ", with a JWT by HS256, each its own", "HS256", "echo"),
        )
        for connect in [("handshakes", "--message", message)]
    ),
    Scenario("handshake", "20,000 connects, 200 after 200", *HANDSHAKES),
    *(
        Scenario(
            f"handshake-jwt{suffix}",
            f"the same with a JWT by {algorithm}, each its own",
            *HANDSHAKES,
            algorithm=algorithm,
            subjects=20_200,
        )
        for suffix, algorithm in (("", "HS256"), ("-es256", "ES256"))
    ),
)
