"""An nginx before a server, as companies have it: one that lets everything through, and others that do not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from helpers.edge import program_of
from helpers.listening import free_port
from helpers.wait import PROCESS, until

BUFFERS = """
            proxy_http_version 1.0;
            proxy_set_header Connection close;
            proxy_buffering on;
            proxy_ignore_headers X-Accel-Buffering;"""
PASSES = """
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $hop;"""
REFUSES = "if ($http_upgrade) { return 403; }"

KINDS = {
    # Lets WebSockets through.
    "open": PASSES,
    # Refuses upgrades.
    "blocks": f"{REFUSES} {PASSES}",
    # Leaves the Upgrade away, as proxies do that do not know of it.
    "drops": "proxy_http_version 1.1; proxy_buffering off;",
    # Takes upgrades, and answers none.
    "hangs": f"if ($http_upgrade) {{ proxy_pass http://127.0.0.1:SILENT; }} {PASSES}",
    # Refuses upgrades, and keeps an answer until it has all of it.
    "buffers": f"{REFUSES} {BUFFERS}",
}

HEAD = """
daemon off;
worker_processes 1;
pid FOLDER/nginx.pid;
error_log FOLDER/error.log warn;
events { worker_connections 512; }
http {
    access_log FOLDER/access.log;
    client_body_temp_path FOLDER/client_body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    map $http_upgrade $hop { default upgrade; "" close; }
"""
SERVER = """
    server {
        listen 127.0.0.1:PORT;
        location / {
            proxy_set_header Host $http_host;
            KIND
            proxy_pass http://127.0.0.1:SERVER;
        }
    }
"""


class Nginx:
    """An nginx with one place to listen for each of KINDS.

    Args:
        folder: for its files.
        server: the port of the server behind it.

    Attributes:
        ports: where each kind listens, at 127.0.0.1.
    """

    def __init__(self, folder: Path, server: int) -> None:
        self._held = {kind: held_port() for kind in KINDS}
        self.ports: dict[str, int] = {kind: sock.getsockname()[1] for kind, sock in self._held.items()}
        self._folder, self._server = folder, server
        self._silent: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Nginx:
        program = program_of("nginx")
        assert program is not None
        self._listener = await asyncio.start_server(self._keep_silent, "127.0.0.1", 0)
        silent = self._listener.sockets[0].getsockname()[1]
        text = HEAD
        for kind, port in self.ports.items():
            text += SERVER.replace("KIND", KINDS[kind]).replace("PORT", str(port))
        known = {"FOLDER": str(self._folder), "SILENT": str(silent), "SERVER": str(self._server)}
        for name, value in known.items():
            text = text.replace(name, value)
        file = self._folder / "nginx.conf"
        file.write_text(text + "}\n")
        self._process = self._launch(program, file)
        try:
            await until(lambda: all(self._listens()), "nginx listens", PROCESS)
        finally:
            for sock in self._held.values():
                sock.close()
        return self

    async def __aexit__(self, *_: object) -> None:
        # nginx ends its workers at this signal; killed, it would leave them.
        self._process.terminate()
        try:
            self._process.wait(PROCESS)
        finally:
            self._process.kill()
        self._listener.close()
        for writer in self._silent:
            writer.transport.abort()

    def _launch(self, program: str, file: Path) -> subprocess.Popen[bytes]:
        with (self._folder / "output.log").open("ab") as output:
            command = [program, "-p", str(self._folder), "-c", str(file)]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def _listens(self) -> Iterator[bool]:
        assert self._process.poll() is None, self.said()
        for port in self.ports.values():
            with contextlib.closing(socket.socket()) as probe:
                yield probe.connect_ex(("127.0.0.1", port)) == 0

    def said(self) -> str:
        """All that it has written."""
        return "".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("*.log")))[-4000:]

    async def _keep_silent(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._silent.add(writer)


def held_port() -> socket.socket:
    """A socket that is bound to a free port. While it is open nobody else gets that port, and nginx can."""
    while True:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", free_port()))
        except OSError:
            sock.close()
        else:
            return sock
