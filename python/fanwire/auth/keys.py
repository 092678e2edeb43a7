"""The sources of keys for tokens: a secret, PEM, a file, or a URL."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from ssl import SSLContext

import aiohttp
from yarl import URL

from fanwire.auth.key_set import FAMILIES, SECRET, Key, KeySet
from fanwire.errors import Refused
from fanwire.timing.clock import monotonic
from fanwire.values.checks import check_bytes_or_text, check_instance, check_number, check_optional, check_text

__all__ = ["Keys"]

logger = logging.getLogger("fanwire.auth")

Clock = Callable[[], float]


class Keys:
    """The keys that check tokens, from one source. Make an object with `secret`, `pem`, `file` or `url`."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    @staticmethod
    def secret(secret: str | bytes) -> Keys:
        """A secret that this server shares with the issuer of the tokens, for HS256, HS384 and HS512.

        Raises:
            TypeError: the secret is not str or bytes.
            ValueError: the secret is empty, or is a public key.
        """
        check_bytes_or_text("secret", secret)
        return Keys(KeySet.secret(secret.encode() if isinstance(secret, str) else secret))

    @staticmethod
    def pem(text: str | bytes) -> Keys:
        """A public key in PEM, for RS, PS, ES and EdDSA.

        Raises:
            TypeError: the text is not str or bytes.
            ValueError: the text is not one public key in PEM.
        """
        check_bytes_or_text("text", text)
        return Keys(KeySet.pem(text.encode() if isinstance(text, str) else text))

    @staticmethod
    def file(path: str | Path, *, clock: Clock = monotonic) -> Keys:
        """A file with a public key in PEM, a JWK Set or a secret.

        A changed file is read again within a second. If it is then missing or invalid, the old keys stay in use, and an
        error is logged once.

        Args:
            path: the path of the file.
            clock: a function that returns seconds and never goes back; for tests.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file has no key.
        """
        check_instance("path", path, (str, Path), "a str or a Path")
        return _FileKeys(Path(path), clock)

    @staticmethod
    def url(
        url: str,
        *,
        lifespan: float = 300.0,
        cooldown: float = 30.0,
        max_stale: float = 86_400.0,
        timeout: float = 3.0,
        ssl: ssl.SSLContext | None = None,
        clock: Clock = monotonic,
    ) -> Keys:
        """A JWK Set (RFC 7517) at a URL, of public keys only. It is fetched when the first token comes.

        Args:
            url: begins with https; http is allowed only for this machine.
            lifespan: seconds after which the set is fetched again.
            cooldown: the least seconds between two fetches for tokens that name an unknown key.
            max_stale: seconds for which the old keys are used while the set cannot be fetched.
            timeout: seconds of one fetch; less than `Config.handshake_timeout`, so that waiting clients get an answer.
            ssl: a context for a provider with a private certificate authority; None: the default.
            clock: a function that returns seconds and never goes back; for tests.

        Raises:
            ValueError: the URL does not begin with https, or a number is out of range.
        """
        check_text("url", url)
        for name, value in (
            ("lifespan", lifespan),
            ("cooldown", cooldown),
            ("max_stale", max_stale),
            ("timeout", timeout),
        ):
            check_number(name, value, above=0)
        check_optional(check_instance, "ssl", ssl, kind=SSLContext, what="an ssl.SSLContext")
        return _URLKeys(url, lifespan, cooldown, max_stale, timeout, ssl, clock)

    def check(self, algorithms: Sequence[str]) -> None:
        """Checks that the keys fit these algorithms, also after each change of the keys.

        Raises:
            ValueError: they do not.
        """
        self._keys.check(algorithms)

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        """Returns a loaded key; None: call `look_up`. It takes a microsecond."""
        return self._keys.find(kid, algorithm)

    async def look_up(self, kid: str | None, algorithm: str) -> Key | None:
        """Fetches the keys if that is due, and returns a key; None: there is no such key.

        Raises:
            Refused: 503: there are no keys now.
        """
        return None


class _FileKeys(Keys):
    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._checks: list[Sequence[str]] = []
        self._stamp = self._look()
        self._looked = clock()
        self._is_broken = False
        super().__init__(self._read())

    def check(self, algorithms: Sequence[str]) -> None:
        super().check(algorithms)
        self._checks.append(algorithms)

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        now = self._clock()
        if now - self._looked >= LOOK_INTERVAL:
            self._looked = now
            self._follow()
        return super().find(kid, algorithm)

    def _follow(self) -> None:
        try:
            stamp = self._look()
            if stamp == self._stamp and not self._is_broken:
                return
            keys = self._read()
            for algorithms in self._checks:
                keys.check(algorithms)
        except (OSError, ValueError) as error:
            if not self._is_broken:
                logger.error("%s: %s; the old keys stay in use", self._path, error)
            self._is_broken = True
            return
        logger.info("%s: read again", self._path)
        self._keys, self._stamp, self._is_broken = keys, stamp, False

    def _look(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> KeySet:
        with self._path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        return KeySet.parse(text)


class _URLKeys(Keys):
    """The keys of a JWK Set at a URL.

    Not by `jwt.PyJWKClient`: it blocks a thread for each waiting client, reads answers of any length, and has a timeout
    for each read only, so that an endpoint that sends a byte at a time blocks it for ever.
    """

    def __init__(
        self,
        url: str,
        lifespan: float,
        cooldown: float,
        max_stale: float,
        timeout: float,
        ssl: ssl.SSLContext | None,
        clock: Clock,
    ) -> None:
        super().__init__(KeySet([]))
        # The parser of the HTTP client, so that the checked host is the one that is asked.
        self._url = URL(url)
        if self._url.user is not None or not self._url.host:
            raise ValueError("url must have a host, and no user name or password")
        if self._url.scheme != "https" and not (self._url.scheme == "http" and _is_loopback(self._url.host)):
            raise ValueError("url must begin with https: on plain http an attacker could replace the keys")
        if max_stale < lifespan:
            raise ValueError(f"max_stale must be at least lifespan ({lifespan:g}), got {max_stale:g}")
        # For logs: a query may hold a key of the provider's API.
        self._name = str(self._url.with_query(None).with_fragment(None))
        self._lifespan = lifespan
        self._cooldown = cooldown
        self._max_stale = max_stale
        self._timeout = timeout
        self._ssl = ssl
        self._clock = clock
        self._fetched = -math.inf
        self._tried = -math.inf
        self._failure: str | None = None
        self._flight: asyncio.Task[None] | None = None

    def check(self, algorithms: Sequence[str]) -> None:
        if any(FAMILIES[algorithm] == SECRET for algorithm in algorithms):
            raise ValueError(
                "algorithms must not be HS256, HS384 or HS512 for keys from a URL: a URL has public keys only"
            )

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        now = self._clock()
        if now - self._fetched >= self._lifespan:
            if self._failure is None or not self._is_usable(now):
                return None
            # The provider fails: clients get the old keys without waiting, and it is asked again every 5 s.
            if now - self._tried >= RETRY_INTERVAL:
                self._fetch()
        return super().find(kid, algorithm)

    async def look_up(self, kid: str | None, algorithm: str) -> Key | None:
        now = self._clock()
        if self._failure is not None:
            due = self._tried + RETRY_INTERVAL
        elif now - self._fetched >= self._lifespan:
            due = now
        else:
            due = self._fetched + self._cooldown
        if now >= due or self._is_fetching():
            # Shielded: other clients wait for the same fetch.
            await asyncio.shield(self._fetch())
        if not self._is_usable(self._clock()):
            raise Refused(503, f"no keys from {self._name}: {self._failure}", retry_after=math.ceil(RETRY_INTERVAL))
        return super().find(kid, algorithm)

    def _is_usable(self, now: float) -> bool:
        return now - self._fetched < self._max_stale

    def _is_fetching(self) -> bool:
        flight = self._flight
        # A task of a loop that was stopped never ends.
        return flight is not None and not flight.done() and flight.get_loop() is asyncio.get_running_loop()

    def _fetch(self) -> asyncio.Task[None]:
        """Fetches the set, with one request at a time. The task does not raise: `_failure` has the error."""
        if self._flight is None or not self._is_fetching():
            self._flight = asyncio.get_running_loop().create_task(self._renew())
        return self._flight

    async def _renew(self) -> None:
        try:
            keys = KeySet.jwks(await self._get())
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            if self._failure is None:
                logger.error("no keys from %s: %s", self._name, _text(error))
            self._failure = _text(error)
        else:
            if self._failure is not None:
                logger.info("keys from %s again", self._name)
            self._keys, self._failure, self._fetched = keys, None, self._clock()
        finally:
            self._tried = self._clock()

    async def _get(self) -> bytes:
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        # No compression: a kilobyte could become a gigabyte.
        headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers, auto_decompress=False) as session,
            session.get(self._url, allow_redirects=False, ssl=self._ssl or True) as response,
        ):
            if response.status != 200:
                # Redirects are errors, too: only the checked URL is fetched.
                raise ValueError(f"it answered {response.status}")
            text = b""
            async for part in response.content.iter_any():
                text += part
                if len(text) > MAX_BYTES:
                    raise ValueError(f"more than {MAX_BYTES} bytes")
            return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _text(error: Exception) -> str:
    return "it took too long" if isinstance(error, asyncio.TimeoutError) else str(error)[:200] or type(error).__name__


LOOK_INTERVAL = 1.0
"""Seconds between checks of a file."""

RETRY_INTERVAL = 5.0
"""Seconds from a failed fetch to the next: handshakes, a thousand a second, must not cause as many requests."""

MAX_BYTES = 256 << 10
"""The most bytes of a file or a JWK Set. Those of large providers have up to 20 KB."""
