"""Who may use a server of the command line: what its settings say, as an authenticator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fanwire.cli.failure import Failure, Misuse
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
"""The scope of whoever may publish, where a room's table says nothing else; API keys have it."""

ROOMS = "/rooms/"


def access(settings: Settings) -> Ask:
    """What `Server(authenticate=...)` gets: lets in holders of an API key or of a token and, where the settings are
    insecure, whoever shows neither.

    Raises:
        Failure: the keys of tokens cannot be read.
        Misuse: the settings let nobody in, or say something wrong of tokens.
    """
    table = settings.server
    if not table.api_keys and settings.jwt is None and not table.insecure:
        raise Misuse("who may connect? give API keys (--api-key), keys of tokens (--jwt-key), or --insecure")
    from fanwire.auth import ApiKeys, Chain  # 50 ms of cryptography, for servers alone

    keys = {f"key {number}": (key, (PUBLISH,)) for number, key in enumerate(table.api_keys, 1)}
    # Programs of the operator's own publish as fast as they can.
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
            # What a proxy in front asks for is between it and the client.
            return ANONYMOUS
        identity: Identity = await ask(request)
        return identity

    return authenticate


def tokens(table: JWTTable) -> JWT:
    """The authenticator of a table `[jwt]`.

    Raises:
        Failure, Misuse: as `access`.
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
        raise Failure(f"cannot read {table.key}: {error.strerror or error}") from error
    except ValueError as error:
        raise Misuse(f"jwt: {error}") from error


def room_of(request: Request, limits: Config) -> str:
    """The room that a client without a session asks for by its path.

    Raises:
        Refused: 404, it is none.
    """
    prefix, room = request.path[: len(ROOMS)], request.path[len(ROOMS) :]
    if prefix != ROOMS or not limits.is_room_name(room):
        raise Refused(404, f"no room: {request.path!r}")
    return room


def _is_for_sessions(request: Request) -> bool:
    offers = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    return request.renewal is not None or any(offer.strip() in SUBPROTOCOLS for offer in offers.split(","))
