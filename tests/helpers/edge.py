"""The proxies of ops/proxies as processes, started with those very files: only ports and paths are other ones."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from helpers.listening import free_port
from helpers.wait import PROCESS

DEPLOY = Path(__file__).parents[2] / "ops" / "proxies"
FILES = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "haproxy-tcp": "haproxy-tcp.cfg"}


def program_of(name: str) -> str | None:
    """Where a proxy's program is; None: it is not installed."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Edge:
    """A proxy in front of a server, from `start` to `stop`, perhaps several times.

    Args:
        name: "nginx", "haproxy", or "haproxy-tcp".
        folder: for its files.
        upstream: the port of the server at 127.0.0.1, or its Unix socket.
        pem: certificate and key.
        changes: what else to replace in its file.

    Attributes:
        port: where it listens, at 127.0.0.1.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        upstream: int | Path,
        pem: tuple[Path, Path],
        changes: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        known = self._nginx(pem) if name == "nginx" else self._haproxy(pem)
        text = (DEPLOY / FILES[name]).read_text()
        there = f"127.0.0.1:{upstream}" if isinstance(upstream, int) else f"unix:{upstream}"
        for old, new in {"127.0.0.1:8000": there, **known, **(changes or {})}.items():
            assert old in text, f"{FILES[name]} has no {old!r} any more"
            text = text.replace(old, new)
        self._file = folder / FILES[name]
        self._file.write_text(text)

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"wss://127.0.0.1:{self.port}"

    @property
    def logs(self) -> str:
        """All that it has written."""
        return "".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("*.log")))

    @property
    def is_up(self) -> bool:
        """Whether the last check that has changed anything, if there was one, has found the server ready."""
        return self.logs.count("is DOWN") == self.logs.count("is UP")

    async def start(self) -> Edge:
        """Starts it, and waits until it listens."""
        process = self._process = self._launch()
        loop = asyncio.get_running_loop()
        until = loop.time() + PROCESS
        while True:
            assert process.poll() is None, self.logs[-2000:]
            assert loop.time() < until, self.logs[-2000:]
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.transport.abort()
                return self
            await asyncio.sleep(0.02)

    def stop(self) -> None:
        """Ends it at once, and every connection through it."""
        process, self._process = self._process, None
        if process is None:
            return
        # nginx ends its workers at this signal; killed, it would leave them.
        process.terminate()
        try:
            process.wait(PROCESS)
        finally:
            process.kill()

    def _launch(self) -> subprocess.Popen[bytes]:
        program = program_of(self.name.removesuffix("-tcp"))
        assert program is not None
        how = ["-p", str(self._folder), "-g", "daemon off;", "-c"] if self.name == "nginx" else ["-db", "-f"]
        with (self._folder / "output.log").open("ab") as output:
            return subprocess.Popen(
                [program, *how, str(self._file)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def _nginx(self, pem: tuple[Path, Path]) -> dict[str, str]:
        # Those that it was compiled with are root's.
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{kind}_temp_path {self._folder / kind};" for kind in kinds)
        return {
            "worker_processes auto;": "worker_processes 1;",
            "worker_rlimit_nofile 131072;": "",
            "worker_connections 65536;": "worker_connections 512;",
            "/run/nginx.pid": str(self._folder / "nginx.pid"),
            "/var/log/nginx": str(self._folder),
            "http {": f"http {{ {temporary}",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            "listen [::]:443 ssl;": "",
            "/etc/ssl/fanwire/fullchain.pem": str(pem[0]),
            "/etc/ssl/fanwire/key.pem": str(pem[1]),
        }

    def _haproxy(self, pem: tuple[Path, Path]) -> dict[str, str]:
        both = self._folder / "both.pem"
        both.write_text(pem[0].read_text() + pem[1].read_text())
        changes = {
            "maxconn 100000": "maxconn 500",
            "tune.ssl.cachesize 200000": "tune.ssl.cachesize 1000",
            "bind [::]:443 v6only ssl crt /etc/haproxy/fanwire.pem alpn http/1.1": "",
            "bind :443 ": f"bind 127.0.0.1:{self.port} ",
            "/etc/haproxy/fanwire.pem": str(both),
        }
        if os.geteuid() != 0:
            # Only root can become somebody else.
            changes |= {"user haproxy": "", "group haproxy": "", "chroot /var/lib/haproxy": ""}
        return changes
