"""The certificates of a running server: loads them into the engine, again when their files change, and says until when
they are valid."""

from __future__ import annotations

import asyncio
import logging
import math
import os.path
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import NamedTuple

from fanwire._engine import Engine, check_tls
from fanwire.errors import ENGINE_ERRORS
from fanwire.observability.health import Health
from fanwire.tls.files import FileStamp, read_files, stamps_of
from fanwire.tls.leaf import Leaf, leaf_of
from fanwire.tls.settings import TLS

__all__ = ["Certificates", "LoadedCertificate", "check_certificates"]

logger = logging.getLogger("fanwire.tls")


class LoadedCertificate(NamedTuple):
    """A certificate that the engine uses.

    Attributes:
        file: the path of its file, without "..".
        names: the names of servers in it.
        expires: when it expires, in seconds since 1970.
        leaf: what the host has read of it; None: it could not.
    """

    file: str
    names: list[str]
    expires: int
    leaf: Leaf | None = None


def check_certificates(tls: TLS) -> None:
    """Reads the files of TLS and checks what is in them, as the start of a server does. Blocks.

    Raises:
        OSError: a file cannot be read; its text names the file.
        ValueError: a file is not what it must be, or a key is not that of its certificate.
    """
    files = read_files(tls)
    is_required = tls.client_certificates == "required"
    check_tls(
        files.certificates, client_ca=files.client_ca, client_required=is_required, min_version=tls.min_version
    )  # fmt: skip


class Certificates:
    """Loads the certificates of one engine, and watches their files.

    A file that cannot be used changes nothing: the engine goes on with what it has, and the log says why. Connections
    that are open keep their keys in any case.

    Args:
        engine: gets them.
        tls: names the files.
        health: logs and counts errors of the watch.
        clock: returns seconds since 1970.

    Attributes:
        loaded: those in use.
    """

    def __init__(self, engine: Engine, tls: TLS, health: Health, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._tls = tls
        self._health = health
        self._clock = clock
        self.loaded: list[LoadedCertificate] = []
        # Several threads may load: callers of `load`, and those of the event loop's executor.
        self._lock = threading.Lock()
        self._stamps: tuple[FileStamp, ...] = ()
        self._digest = b""
        # What was logged last of files that cannot be used, and when of each certificate that it expires.
        self._failure = ""
        self._warned: dict[str, float] = {}
        self._watching: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Reads the files, and has the engine use them from the next handshake on. Blocks for as long as reading takes.
        From any thread.

        Raises:
            OSError: a file cannot be read; its text names the file. The engine goes on with what it has.
            ValueError: a file is not what it must be, or a key is not that of its certificate; as above.
            Closed: the engine has ended.
        """
        with self._lock:
            self._load(only_changed=False)

    def load_later(self) -> None:
        """Does `load` in a thread, and logs an error. On the loop's thread: SIGHUP calls it."""
        asyncio.get_running_loop().run_in_executor(None, self._load_or_log)

    def begin(self) -> None:
        """Begins to watch the files, on the running loop."""
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    def end(self) -> None:
        """Stops watching. A second call does nothing."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()

    def look(self) -> None:
        """Loads the files if one has changed, and warns of certificates that expire. A thread calls it now and then.

        A pair that a tool has written only half of cannot be used, and is tried again at the next look. The log has the
        reason once.
        """
        with self._lock:
            if self._tls.watch_interval and stamps_of(self._tls) != self._stamps:
                try:
                    self._load(only_changed=True)
                except ENGINE_ERRORS:
                    # The server stops.
                    return
                except (OSError, ValueError) as error:
                    reason = reason_of(error)
                    if reason != self._failure:
                        self._failure = reason
                        logger.warning(
                            "a changed file of TLS is not used, and what was loaded before stays: %s", reason
                        )
            self._warn()

    def _load(self, *, only_changed: bool) -> None:
        # Before reading: a change that comes meanwhile is seen at the next look.
        stamps, files = stamps_of(self._tls), read_files(self._tls)
        if not (only_changed and files.digest == self._digest):
            described = self._engine.set_tls(
                files.certificates,
                client_ca=files.client_ca,
                client_required=self._tls.client_certificates == "required",
                min_version=self._tls.min_version,
                handshake_timeout=self._tls.handshake_timeout,
            )
            self.loaded = [
                LoadedCertificate(os.path.normpath(file), *about, leaf_of(chain))
                for (file, chain, *_), about in zip(files.certificates, described, strict=True)
            ]
            self._digest = files.digest
            self._warned.clear()
            self._log()
            for text in [*without_name(self.loaded), *hidden(self.loaded)][:LOGGED]:
                logger.warning("%s", text)
            self._warn()
        self._stamps, self._failure = stamps, ""

    def _load_or_log(self) -> None:
        try:
            self.load()
        except ENGINE_ERRORS:
            # The server stops.
            return
        except (OSError, ValueError) as error:
            logger.error("the files of TLS are not used, and what was loaded before stays: %s", reason_of(error))

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(self._tls.watch_interval or HOUR, HOUR))
            try:
                await loop.run_in_executor(None, self.look)
            except Exception as error:  # noqa: BLE001 - the next look may succeed
                self._health.internal_error("the watch of certificates", error)

    def _log(self) -> None:
        for file, names, expires, _ in self.loaded[:LOGGED]:
            logger.info("TLS uses %s for %s until %s", file, listed(names), moment(expires))
        if len(self.loaded) > LOGGED:
            logger.info("TLS uses %d more certificates", len(self.loaded) - LOGGED)

    def _warn(self) -> None:
        now = self._clock()
        for file, names, expires, leaf in self.loaded:
            is_early = leaf is not None and leaf.begins > now
            if (expires - now >= NOTICE and not is_early) or now - self._warned.get(file, -math.inf) < AGAIN:
                continue
            self._warned[file] = now
            when: float = expires
            if expires <= now:
                text = "the certificate %s for %s has expired at %s, so that clients refuse it: renew it"
            elif leaf is not None and is_early:
                text, when = "the certificate %s for %s is valid from %s on, and clients refuse it before", leaf.begins
            else:
                text = "the certificate %s for %s expires at %s: renew it"
            logger.warning(text, file, listed(names), moment(when))


def reason_of(error: OSError | ValueError) -> str:
    """The text of an error, without its number."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def without_name(certificates: list[LoadedCertificate]) -> list[str]:
    """Warnings of certificates that name no server."""
    return [
        f"the certificate {found.file} has no subjectAltName, so that clients refuse it: get one with names"
        for found in certificates
        if not found.names
    ]


def hidden(certificates: list[LoadedCertificate]) -> list[str]:
    """Warnings of certificates that an earlier one keeps from their clients."""
    texts = []
    first: dict[tuple[str, str], str] = {}
    for found in certificates:
        if found.leaf is None:
            continue
        names = list(dict.fromkeys(name.lower() for name in found.names))
        both = [name for name in names if (name, found.leaf.key) in first]
        if both:
            wins = first[both[0], found.leaf.key]
            texts.append(
                f"the certificates {wins} and {found.file} are both for {listed(both)}: clients get {wins}, which is "
                "named first"
            )
        for name in names:
            first.setdefault((name, found.leaf.key), found.file)
    return texts


def listed(names: list[str]) -> str:
    """Some names for the log."""
    shown = ", ".join(names[:MOST_NAMES]) or "no name"
    return shown if len(names) <= MOST_NAMES else f"{shown} and {len(names) - MOST_NAMES} more"


def moment(seconds: float) -> str:
    """A time for the log, in UTC."""
    try:
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        # A certificate may say that it never ends.
        return "the end of time"


HOUR = 3600.0
"""Seconds between two looks at most, so that a certificate that expires is seen whatever `watch_interval` is."""

NOTICE = 14 * 24 * 3600.0
"""Seconds before a certificate expires from which on the log warns. Tools renew 30 days before, so they have failed for
two weeks by then."""

AGAIN = 24 * 3600.0
"""Seconds between two warnings of one certificate."""

LOGGED = 20
"""Certificates of which each has a line in the log at a load, and warnings of all of them."""

MOST_NAMES = 5
"""Names of a certificate in a line."""
