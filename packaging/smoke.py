"""Whether an installed Fanwire works: a server, a client with and without TLS, a message, and an end without an error.

It is run by the interpreter that has Fanwire installed, and needs nothing beside it. Everything is at 127.0.0.1.
`packaging/try_wheels.py` runs it for each wheel and interpreter.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import fanwire

KEY = "key-of-the-smoke-test"
DEADLINE = float(os.environ.get("FANWIRE_SMOKE_DEADLINE", "30"))
"""Seconds for each step. An emulated machine needs more."""
PRICES = {"eur": 1.08, "text": "größer", "list": [None, True, 2**40]}


def main() -> None:
    """Runs the steps; an exception ends it with exit code 1."""
    installed = Path(fanwire.__file__).resolve()
    if not installed.is_relative_to(Path(sys.prefix).resolve()):
        raise SystemExit(f"fanwire: {installed} is not what was installed in {sys.prefix}")
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = signed(Path(folder))
        serve_once("ws", [], None)
        serve_once("wss", ["--tls-certificate", certificate, "--tls-key", key], certificate)
    print(f"fanwire works: {platform.python_implementation()} {platform.python_version()}, {platform.machine()}")


def serve_once(scheme: str, options: list[str], ca: str | None) -> None:
    """Starts `fanwire serve`, sends a message through it, and ends it as a supervisor does."""
    command = [sys.executable, "-m", "fanwire", "serve", "--insecure", "--port", "0", "--api-key", KEY, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        # Whatever waits below ends with the server.
        timer = threading.Timer(3 * DEADLINE, server.kill)
        timer.start()
        try:
            port = port_of(server)
            asyncio.run(asyncio.wait_for(exchange(f"{scheme}://localhost:{port}", ca), DEADLINE))
            checked = [sys.executable, "-m", "fanwire", "health", "--url", f"{scheme}://localhost:{port}"]
            more = ["--ca", ca] if ca else []
            subprocess.run([*checked, *more], check=True, timeout=DEADLINE, stdout=subprocess.DEVNULL)
            server.send_signal(signal.SIGTERM)
            if server.wait(DEADLINE) != 0:
                raise SystemExit(f"fanwire: the server has ended with exit code {server.returncode}")
        finally:
            timer.cancel()
            server.kill()


def port_of(server: subprocess.Popen[str]) -> int:
    """The port in the line that says where the server listens."""
    assert server.stdout is not None
    for line in server.stdout:
        if found := re.search(r"wss?://[^\s,]+:(\d+)", line):
            return int(found[1])
    raise SystemExit("fanwire: the server has ended before it listened")


async def exchange(url: str, ca: str | None) -> None:
    """One client joins a room and publishes, and gets its message."""
    context = ssl.create_default_context(cafile=ca) if ca else None
    async with fanwire.connect(url, token=KEY, ssl=context) as client:
        room = await client.join("prices")
        await client.publish("prices", PRICES)
        async for message in room:
            if message.data != PRICES:
                raise SystemExit(f"fanwire: published {PRICES}, got {message.data}")
            return


def signed(folder: Path) -> tuple[str, str]:
    """The files of a certificate for localhost, signed by itself, and of its key."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(secret, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(files[0]), str(files[1])


if __name__ == "__main__":
    main()
