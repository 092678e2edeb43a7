"""A web server of tests that answers each POST by a script, and keeps what it was sent. In a thread of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], bytes] | None
"""A status, headers and a body; None: the connection ends without an answer."""


def published(*results: dict[str, Any], status: int = 200) -> Answer:
    """The answer of a server that takes messages."""
    return status, {}, json.dumps({"results": results}).encode()


class Answering(ThreadingHTTPServer):
    """Answers from the script, the last answer again and again.

    Attributes:
        bodies: the documents of the requests, in their order.
        heads: their headers.
        peers: the addresses that have connected.
    """

    daemon_threads = True

    def __init__(self, script: Sequence[Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = list(script)
        self.bodies: list[Any] = []
        self.heads: list[dict[str, str]] = []
        self.peers: set[Any] = set()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Of the server."""
        return f"http://127.0.0.1:{self.server_port}"

    def next(self) -> Answer:
        """The next answer."""
        with self.lock:
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Answering

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))
        self.server.heads.append(dict(self.headers))
        self.server.peers.add(self.client_address)
        answer = self.server.next()
        if answer is None:
            self.close_connection = True
            return
        status, headers, data = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing."""


@contextmanager
def answering(*script: Answer) -> Iterator[Answering]:
    """A running server."""
    server = Answering(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
