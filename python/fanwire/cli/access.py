"""The authenticator of `fanwire serve`, made from its settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fanwire.cli.failure import CommandFailed, Misuse
from fanwire.cli.settings import JWTTable, Settings
from fanwire.config import Config
from fanwire.errors import Refused
from fanwire.identity.identity import ANONYMOUS, Anonymous, Identity
from fanwire.identity.request import Request
from fanwire.protocol.envelopes import SUBPROTOCOLS

if TYPE_CHECKING:
    from fanwire.auth import JWT

__all__ = ["PUBLISH", "ROOMS", "access", "room_of"]

Ask = Callable[[Request], Awaitable[Any]]

PUBLISH = "publish"
"""The scope that clients need to publish, unless the room's table has another rule; API keys have it."""

ROOMS = "/rooms/"


def access(settings: Settings) -> Ask:
    """The `authenticate` of the server: accepts clients with an API key or a token and, if the settings are insecure,
    clients with neither.

    Raises:
        CommandFailed: the keys of tokens cannot be read.
        Misuse: the settings accept no client, or are wrong about tokens.
    """
    table = settings.server
    if not table.api_keys and settings.jwt is None and not table.insecure:
        raise Misuse("no client may connect: give an API key (--api-key), keys of tokens (--jwt-key), or --insecure")
    from fanwire.auth import ApiKeys, Chain  # 50 ms of cryptography, for servers alone

    keys = {f"key {number}": (key, (PUBLISH,)) for number, key in enumerate(table.api_keys, 1)}
    # No rate limit: the keys are for the operator's own programs.
    ways: list[Any] = [ApiKeys(keys, rate=0)] if keys else []
    if settings.jwt is not None:
        ways.append(tokens(settings.jwt))
    ask = Chain(*ways) if ways else None
    sources = () if settings.jwt is None else settings.jwt.credentials

    async def authenticate(request: Request) -> Identity | Anonymous:
        if not _is_for_sessions(request):
            room_of(request, settings.limits)
        if table.insecure and not request.credential(("header", "subprotocol", *sources)):
            return ANONYMOUS
        if ask is None:
            # Credentials for a proxy in front of the server are ignored.
            return ANONYMOUS
        identity: Identity = await ask(request)
        return identity

    return authenticate


def tokens(table: JWTTable) -> JWT:
    """The authenticator of a table `[jwt]`.

    Raises:
        CommandFailed, Misuse: as `access`.
    """
    from fanwire.auth import JWT, Keys

    try:
        keys = Keys.url(table.key) if "://" in table.key else Keys.file(table.key)
        return JWT(
            keys,
            algorithms=table.algorithms,
            audience=table.audience,
            issuer=table.issuer,
            leeway=table.leeway,
            credentials=table.credentials,
        )
    except OSError as error:
        # The value is not quoted: it may be a key, where the name of its file belongs.
        raise CommandFailed(f"cannot read the file that jwt.key names: {error.strerror}") from None
    except ValueError as error:
        raise Misuse(f"jwt: {error}") from error


def room_of(request: Request, limits: Config) -> str:
    """The room in the path of a client without a session.

    Raises:
        Refused: 404: the path has no valid room.
    """
    prefix, room = request.path[: len(ROOMS)], request.path[len(ROOMS) :]
    if prefix != ROOMS or not limits.is_room_name(room):
        raise Refused(404, f"no room: {request.path!r}")
    return room


def _is_for_sessions(request: Request) -> bool:
    offers = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    if "Upgrade" not in request.headers:
        # A fallback transport has no such header.
        offers += "," + request.query.get("protocol", "")
    return request.renewal is not None or any(offer.strip() in SUBPROTOCOLS for offer in offers.split(","))
