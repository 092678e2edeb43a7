"""Peer: uWebSockets through socketify, with its own ``publish`` to a topic.

With `--compress` its shared compressor, which is what uWebSockets has for many connections: each message is compressed
for each of them, without what came before. It ends itself on SIGTERM.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import Any

from common import COMPRESS, QUESTION, Stats, tls_files
from socketify import App, AppOptions, CompressOptions, OpCode

stats = Stats()
TOPIC = "all"


def upgrade(response: Any, request: Any, socket_context: Any) -> None:
    """Keep the path for the connection's life."""
    response.upgrade(
        request.get_header("sec-websocket-key"),
        request.get_header("sec-websocket-protocol"),
        request.get_header("sec-websocket-extensions"),
        socket_context,
        request.get_url(),
    )


def opened(socket: Any) -> None:
    """Subscribe each client, except on the special paths."""
    stats.conns += 1
    if socket.get_user_data() not in ("/pub", "/sink", "/echo"):
        socket.subscribe(TOPIC)


def message(socket: Any, data: Any, opcode: OpCode) -> None:
    """One message, by the path of its connection."""
    path = socket.get_user_data()
    if path == "/sink":
        stats.inbound += 1
    elif path == "/echo":
        socket.send(data, opcode)
    elif path == "/pub" and data == QUESTION:
        socket.send(stats.answer(), OpCode.BINARY)
    elif path == "/pub":
        app.publish(TOPIC, data, opcode, COMPRESS)


def closed(socket: Any, code: int, reason: Any) -> None:
    """One connection less."""
    stats.conns -= 1


_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
files = tls_files()
app = App(AppOptions(cert_file_name=files[0], key_file_name=files[1]) if files else None)
app.ws(
    "/*",
    {
        "compression": CompressOptions.SHARED_COMPRESSOR if COMPRESS else CompressOptions.DISABLED,
        "max_payload_length": 1 << 20,
        # None: who is behind is not dropped.
        "max_backpressure": 0,
        "idle_timeout": 0,
        "upgrade": upgrade,
        "open": opened,
        "message": message,
        "close": closed,
    },
)
app.listen(int(sys.argv[1]), lambda _: print("READY", flush=True))
app.run()
