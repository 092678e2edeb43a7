"""`fanwire serve`: makes the server of the settings, or loads that of a program, and runs it in some processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

import click
import msgspec

from fanwire.admin.settings import Admin
from fanwire.backplane.base import Unavailable
from fanwire.backplane.embedded import EmbeddedServer
from fanwire.backplane.memory import MemoryBackplane
from fanwire.cli.access import access, room_of
from fanwire.cli.backplane import URL_VARIABLE, build_backplane, embedded_store
from fanwire.cli.failure import CommandFailed, Misuse
from fanwire.cli.log_format import LogFormat, count_missing_lines, log_to_stderr
from fanwire.cli.program import load_server
from fanwire.cli.settings import AdminTable, NATSTable, RecordingTable, RoomTable, ServerTable, Settings
from fanwire.cli.workers import is_worker, place_of_worker, run_workers, shared_metrics, tell_ready
from fanwire.codes import CloseCode
from fanwire.config import Config
from fanwire.connection import Connection
from fanwire.errors import Overloaded
from fanwire.listening.listeners import Place, Tcp, Unix
from fanwire.process.exit import failed, run_whole
from fanwire.process.gc_tuning import calm
from fanwire.process.server_arguments import check_place
from fanwire.process.signals import Signals, ignore_hangups
from fanwire.server import Server
from fanwire.tls.settings import TLS

__all__ = ["build_server", "run", "run_program", "run_server"]

logger = logging.getLogger("fanwire")


def run(settings: Settings, workers: int = 1, worker_timeout: float = 0.0) -> None:
    """Serves in a number of processes until a signal.

    Raises:
        CommandFailed: the server cannot start.
        Misuse: several processes without a backplane.
    """
    log_to_stderr(settings.server.log_level, settings.server.log_format)
    if workers > 1 and settings.recording is not None:
        raise Misuse("recording: several workers cannot write the same files; run nodes with settings of their own")
    try:
        server = build_server(settings)
    except ValueError as error:
        raise Misuse(str(error)) from error
    run_processes(server, settings.nats, workers, worker_timeout)


def run_program(
    target: str,
    where: Mapping[str, Any],
    nats: NATSTable | None,
    workers: int = 1,
    worker_timeout: float = 0.0,
    log_level: str | None = None,
    log_format: LogFormat | None = None,
) -> None:
    """Serves with a program's own server, in a number of processes, until a signal.

    Args:
        target: the name of the server, see `load_server`.
        where: arguments of `Server` that replace where it listens.
        nats: a backplane for a server without one; None: none.
        workers: the number of processes.
        worker_timeout: see `run_workers`.
        log_level: of Fanwire's log; None: that of the program, or "info".
        log_format: of the log; None: that of the program, or "console".

    Raises:
        CommandFailed: it cannot be imported, or cannot start.
        Misuse: there is no such server, it has a backplane already, or several processes have none.
    """
    server = load_server(target)
    # Without a format this does nothing if the program has configured its own log.
    log_to_stderr(log_level or "info", log_format or "console", replaces=log_format is not None)
    if log_level is not None:
        logger.setLevel(log_level.upper())
    try:
        server._listen_at(other_place(server._listeners.place, where))
    except ValueError as error:
        raise Misuse(str(error)) from error
    if nats is not None:
        if server._backplane is not None:
            raise Misuse(
                f"{target} already has a backplane: leave out --nats, or the argument `backplane` in the program"
            )
        server._use_backplane(build_backplane(nats))
    run_processes(server, nats, workers, worker_timeout)


def other_place(place: Place, where: Mapping[str, Any]) -> Place:
    """The place of a program's server, with the options of the command line in place of its own.

    Raises:
        ValueError: it names two places.
    """
    if not where:
        return place
    if isinstance(place, Tcp) and not where.keys() - {"host", "port"}:
        return place._replace(**where)
    if isinstance(place, Unix) and where.keys() == {"unix_mode"}:
        return place._replace(mode=where["unix_mode"])
    return check_place(**where)


def run_processes(server: Server, nats: NATSTable | None, workers: int, worker_timeout: float) -> None:
    """Runs a server in this process or in several, with an embedded NATS server if configured.

    Raises:
        CommandFailed: the server cannot start.
        Misuse: several processes have no backplane between them.
    """
    if server._tls is not None:
        ignore_hangups()
    store = embedded_store(nats)
    if workers > 1:
        if server._backplane is None:
            raise Misuse("several workers need NATS: add --nats embedded, or the address of a server")
        if isinstance(server._backplane, MemoryBackplane):
            raise Misuse(
                "a MemoryBackplane does not reach other processes: use fanwire.backplane.nats.NATS for several workers"
            )
    if is_worker():
        server._listen_at(place_of_worker(server._listeners.place))
        run_server(server, partial(tell_ready, server), store)
    elif workers > 1:
        with contextlib.suppress(KeyboardInterrupt):
            second = asyncio.run(supervise(server, workers, store, worker_timeout))
            if second is not None:
                signal.raise_signal(second)
    else:
        run_server(server, lambda: click.echo(f"fanwire listens at {server.url}"), store)


async def supervise(server: Server, workers: int, store: str | None, worker_timeout: float) -> signal.Signals | None:
    """Runs the workers, and the NATS server that they share. The server itself is not started here. Returns the signal
    by which this process has to end, see `run_workers`."""
    async with embedded(store) as nats_url:
        env = {} if nats_url is None else {URL_VARIABLE: nats_url}

        def ready() -> None:
            click.echo(f"fanwire listens at {server.url}, {workers} workers")

        config = server.config
        return await run_workers(
            workers, server._listeners, config.backlog, env, config.drain_timeout + 10, ready,
            worker_timeout=worker_timeout, reloads=server._tls is not None,
        )  # fmt: skip


@contextlib.asynccontextmanager
async def embedded(store: str | None) -> AsyncIterator[str | None]:
    """Runs an embedded NATS server; yields its address, or None without a store.

    Raises:
        CommandFailed: it does not start.
    """
    if store is None:
        yield None
        return
    server = EmbeddedServer(store)
    try:
        await server.start()
    except OSError as error:
        raise CommandFailed(str(error)) from error
    try:
        yield server.url
    finally:
        await server.stop()


def run_server(server: Server, ready: Callable[[], object], store: str | None = None) -> None:
    """Runs a server on uvloop, with an embedded NATS server if there is a store for it.

    Raises:
        CommandFailed: the server cannot start.
    """
    count_missing_lines(server._metrics.line_suppressed)
    is_up = False

    def note_ready() -> None:
        nonlocal is_up
        is_up = True
        ready()

    async def serve(signals: Signals) -> None:
        try:
            async with embedded(store) as url:
                if url is not None:
                    os.environ[URL_VARIABLE] = url
                async with shared_metrics(server):
                    await server._serve(signals, note_ready)
        except Unavailable as error:
            raise CommandFailed(str(error)) from error
        except (OSError, ValueError) as error:
            if is_up:
                raise
            if isinstance(error, ValueError):
                raise Misuse(str(error)) from error
            raise CommandFailed(reason_of(error)) from error

    try:
        calm()
        run_whole(serve, tell)
    except KeyboardInterrupt:
        # Before the server was up: the shell's exit status for Ctrl-C.
        raise SystemExit(130) from None


def tell(error: BaseException) -> int:
    """Prints an error as the command line does; returns the exit status."""
    if not isinstance(error, click.ClickException):
        return failed(error)
    error.show()
    return error.exit_code


def build_server(settings: Settings) -> Server:
    """Makes the server of the settings, which is not started yet.

    Raises:
        Misuse: a certificate without its key, or the reverse; no client could connect; an invalid rule or admin key.
    """
    table = settings.server
    server = Server(
        table.host,
        table.port,
        unix=table.unix,
        unix_mode=table.unix_mode,
        fd=table.fd,
        backplane=build_backplane(settings.nats),
        authenticate=access(settings),
        origins=table.origins,
        hosts=table.hosts,
        trusted_proxies=table.trusted_proxies,
        proxy_protocol=table.proxy_protocol,
        tls=tls_of(table),
        api_keys=table.api_keys,
        admin=admin_of(settings.admin),
        prefix=table.prefix,
        config=settings.limits,
    )
    for room in [*settings.rooms, RoomTable(pattern="*")]:
        server.room(**msgspec.structs.asdict(room))
    if settings.recording is not None:
        record(server, settings.recording)
    # A client with a session joins rooms by messages.
    server.on_connect(lambda conn: subscribe(conn, settings.limits) if conn.session is None else None)
    return server


def record(server: Server, table: RecordingTable) -> None:
    """Records from the server's start on.

    Raises:
        Misuse: a setting is wrong.
    """
    given = msgspec.structs.asdict(table)
    try:
        server.record(given.pop("rooms"), given.pop("directory"), **{**given, "keep_bytes": table.keep_bytes or None})
    except ValueError as error:
        raise Misuse(f"recording: {error}") from error


async def subscribe(conn: Connection, limits: Config) -> None:
    """Makes a client without a session a member of the room in its path."""
    room = room_of(conn.request, limits)
    if not await conn.may("join", room):
        conn.close(CloseCode.POLICY, "this room is not open to you")
        return
    try:
        conn.join(room)
    except Overloaded as error:
        logger.warning("%r: %s", conn, error)
        conn.close(CloseCode.TRY_AGAIN_LATER, "try again later")


def tls_of(table: ServerTable) -> TLS | None:
    """The TLS of the server; None: there is no certificate.

    Raises:
        Misuse: a certificate without its key, or the reverse, or other settings of TLS without both.
    """
    names = [name for name in ServerTable.__struct_fields__ if name.startswith("tls_")]
    given = {name: getattr(table, name) for name in names}
    if given == {name: getattr(ServerTable(), name) for name in names}:
        return None
    certificate, key = given.pop("tls_certificate"), given.pop("tls_key")
    if certificate is None or key is None:
        raise Misuse(
            "TLS needs a certificate and its private key: give both --tls-certificate and --tls-key, or "
            "tls_certificate and tls_key in the file"
        )
    try:
        return TLS(certificate, key, **{name.removeprefix("tls_"): value for name, value in given.items()})
    except ValueError as error:
        raise Misuse(f"tls: {error}") from error


def admin_of(table: AdminTable | None) -> Admin | None:
    """The admin API of the server; None: it is off.

    Raises:
        Misuse: a key or a scope is wrong.
    """
    if table is None:
        return None
    try:
        return Admin(table.keys, prefix=table.prefix)
    except ValueError as error:
        raise Misuse(f"admin: {error}") from error


def reason_of(error: OSError) -> str:
    """The text of an error, without its number."""
    return error.strerror or str(error)
