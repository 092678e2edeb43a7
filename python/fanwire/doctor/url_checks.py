"""What the answers of a server say about it and about the proxies before it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv6Network, ip_network
from urllib.parse import urlsplit

from fanwire.config import Config
from fanwire.doctor.certificates import NOTICE, day
from fanwire.doctor.clock import check_offset, offset_of
from fanwire.doctor.finding import Finding, ok, problem, skipped, warning
from fanwire.doctor.url_probe import Attempt, UrlReadings

__all__ = ["check_trusted", "check_url", "proxy_of"]


def check_url(
    found: UrlReadings, *, config: Config | None = None, trusted_proxies: Sequence[str] = (), has_key: bool = False
) -> list[Finding]:
    """Checks a server's answers.

    Args:
        found: what was read.
        config: the limits of that server; None: its settings are not known here.
        trusted_proxies: of its settings.
        has_key: whether a key or a token was sent.
    """
    if found.error:
        return [unreachable(found)]
    return [
        check_health(found),
        *check_served_certificate(found),
        check_offset(offset_of(found.headers.get("date"), found.asked, found.answered)),
        *check_transports(found.attempts, has_key=has_key),
        check_proxy(found.headers, config, trusted_proxies),
    ]


def unreachable(found: UrlReadings) -> Finding:
    """There was no answer."""
    return problem(
        f"server {without_query(found.url)}", found.error, "Clients cannot connect.", UNREACHABLE[found.cause]
    )


def without_query(url: str) -> str:
    """A URL as findings show it. Its query may have a token."""
    place, mark, _ = url.partition("?")
    return f"{place}?***" if mark else place


def check_health(found: UrlReadings) -> Finding:
    """The answer to GET /healthz."""
    name, why = f"server {without_query(found.url)}", "GET /healthz answers 200 while the server works."
    if found.status == 200 and found.body.strip() == "ok":
        return ok(name, f"answers after {max(0.0, found.answered - found.asked) * 1000:.0f} ms", why)
    if 300 <= found.status < 400:
        to = found.headers.get("location", "elsewhere")
        return problem(
            name,
            f"HTTP status {found.status} to {to}",
            "Clients do not follow redirects.",
            "Use the URL that it names.",
        )
    if found.status in (502, 503, 504):
        return problem(
            name, f"HTTP status {found.status}", why, "Start the server behind the proxy; see the proxy's log."
        )
    if found.status == 200:
        return warning(
            name, "another program answers", why,
            "Check the URL. Below a path of a website it must have that path, and the server needs `prefix`.",
        )  # fmt: skip
    return warning(
        name, f"HTTP status {found.status}", why,
        "Check the URL. A proxy may hide /healthz, which is right if the transports below work.",
    )  # fmt: skip


def check_served_certificate(found: UrlReadings) -> Iterator[Finding]:
    """Until when the certificate that clients see is valid. It is trusted, otherwise there was no answer."""
    if found.expires is None:
        if urlsplit(found.url).scheme == "ws" and not is_local(urlsplit(found.url).hostname or ""):
            yield warning(
                "encryption", "none (ws://)",
                "Others on the network can read and change messages and tokens, and proxies break WebSockets.",
                "Use wss://, with a certificate in the server or in a proxy (docs/tls.md).",
            )  # fmt: skip
        return
    left = found.expires - found.answered
    why = "Clients refuse an expired certificate."
    shown = f"until {day(found.expires)}, {left / (24 * 3600):.0f} days"
    if left < NOTICE:
        yield warning("served certificate", shown, why, "Renew it.")
    else:
        yield ok("served certificate", shown, why)


def check_transports(attempts: Sequence[Attempt], *, has_key: bool) -> Iterator[Finding]:
    """Which transports work, and what in between blocks the others."""
    failed = {attempt.transport: attempt for attempt in attempts if attempt.error}
    statuses = {attempt.status for attempt in attempts}
    if len(failed) == len(attempts) and len(statuses) == 1 and statuses & {401, 403}:
        status = attempts[0].status
        why = "The server decides who may connect, before a session begins."
        if has_key:
            yield problem(
                "access", f"HTTP status {status}", why, "The key or token is not valid here: check --api-key."
            )
        else:
            yield warning("access", f"HTTP status {status} without a key", why, "Give a key or a token: --api-key.")
        for attempt in attempts:
            yield skipped(f"transport {attempt.transport}", "not known without access", WHY[attempt.transport])
        return
    for attempt in attempts:
        name = f"transport {attempt.transport}"
        if not attempt.error:
            yield ok(name, f"works, a session after {attempt.seconds * 1000:.0f} ms", WHY[attempt.transport])
            continue
        error, advice = attempt.error, ADVICE[attempt.transport]
        if len(failed) == len(attempts):
            advice = (
                "No transport works: see the log of the server and of the proxy, and the origins and hosts it allows."
            )
        elif attempt.status is not None:
            # A client blames the path or the token. Both are right, because another transport works with them.
            error = f"HTTP status {attempt.status}, although another transport works at this URL"
        yield problem(name, error, WHY[attempt.transport], advice)


def check_proxy(headers: Mapping[str, str], config: Config | None, trusted_proxies: Sequence[str]) -> Finding:
    """A proxy between here and the server, whether the server believes it, and its idle timeout."""
    name = "proxy"
    why = (
        "Behind a proxy all clients have its address, unless server.trusted_proxies names it: then limits by address "
        "count all clients as one, and requests look unencrypted."
    )
    proxy = proxy_of(headers)
    if not proxy:
        return ok(name, "no sign of one in the answer (Server, Via)", why)
    if config is None:
        return skipped(name, f"{proxy}; what the server believes is not known here (run with --config there)", why)
    if not trusted_proxies:
        return warning(
            name, f"{proxy}, and server.trusted_proxies is empty", why,
            "Set trusted_proxies to the addresses of all your proxies, and let the first one replace X-Forwarded-For.",
        )  # fmt: skip
    if config.ping_interval == 0 or config.ping_interval > SHORTEST_IDLE:
        return warning(
            name, f"{proxy}, and limits.ping_interval = {config.ping_interval:g}",
            "Proxies end connections that are quiet for 30 to 60 seconds; a ping keeps them.",
            "Set limits.ping_interval to 25, and the proxy's timeout to twice as much at least.",
        )  # fmt: skip
    return ok(name, f"{proxy}, trusted are {', '.join(trusted_proxies)}", why)


def check_trusted(trusted_proxies: Sequence[str]) -> Iterator[Finding]:
    """Whether the server believes everybody."""
    wide = [text for text in trusted_proxies if is_wide(text)]
    if wide:
        yield problem(
            "trusted proxies", f"{', '.join(wide)}: more than a network of yours",
            "Whoever is trusted may state any address in X-Forwarded-For, and so pass all limits by address.",
            "Name the addresses or networks of your own proxies only.",
        )  # fmt: skip


def is_wide(text: str) -> bool:
    """Whether a network is larger than one operator has."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        # "unix", or wrong, which the settings' own check says.
        return False
    if network.version == 4:
        return network.prefixlen < SMALLEST_PREFIX
    return network.prefixlen < SMALLEST_PREFIX_6 and not network.subnet_of(PRIVATE)


def proxy_of(headers: Mapping[str, str]) -> str:
    """What has passed an answer on, by its headers; "": nothing is seen. Fanwire itself sends no `Server`."""
    for header in ("server", "via", "x-served-by", "x-cache", "cf-ray"):
        if header in headers:
            return f"{header.title()}: {headers[header][:60]}"
    return ""


def is_local(host: str) -> bool:
    """Whether a host is this machine."""
    return host in ("localhost", "::1") or host.startswith("127.")


WHY = {
    "websocket": "The best transport: both ways over one connection.",
    "sse": "Clients use event streams where WebSockets are blocked.",
    "long-poll": "Clients use long-poll where answers are held back until they are complete.",
}

ADVICE = {
    "websocket": (
        "Let the proxy pass upgrades: HTTP/1.1, Upgrade and Connection (nginx: proxy_http_version 1.1; "
        "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade), see docs/deployment.md."
    ),
    "sse": (
        "Something holds the answer back until it is complete: turn the proxy's buffering off (nginx: proxy_buffering "
        "off), and compression of text/event-stream."
    ),
    "long-poll": "Let the proxy pass POST and GET, and wait longer for an answer than limits.poll_timeout (25 s).",
}

UNREACHABLE = {
    "certificate": (
        "Serve a valid certificate with its whole chain, and use a name that it has; for your own authority: --ca."
    ),
    "name": "Check the host name, and the DNS of this machine.",
    "refused": "Start the server, and check the port.",
    "other": "Check the address, the firewall, and whether the server runs.",
}
"""What to do about each kind of reason for no answer."""

SMALLEST_PREFIX, SMALLEST_PREFIX_6 = 8, 16
"""The largest private network is 10.0.0.0/8; providers get no IPv6 network larger than a /16."""

PRIVATE = IPv6Network("fc00::/7")
"""Private networks of IPv6 (RFC 4193)."""

SHORTEST_IDLE = 30.0
"""Seconds after which the strictest proxies end a quiet connection."""
