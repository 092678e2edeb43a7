"""`fanwire serve`: options and arguments in, one call out."""

from __future__ import annotations

import os
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from fanwire.cli import serve as serving
from fanwire.cli.failure import Misuse
from fanwire.cli.log_format import LOG_FORMATS
from fanwire.cli.option_tables import admin_table, jwt_table, nats_table, server_table
from fanwire.cli.option_values import admin_keys, check_fd, check_key, check_mode, check_worker_timeout
from fanwire.cli.settings import ServerTable, parse_room
from fanwire.cli.settings_layers import PLACES, only_of_program, read_settings, with_origin

__all__ = ["serve"]

OF_PROGRAMS = {
    *PLACES, "program", "workers", "worker_timeout", "nats_servers", "nats_credentials", "nats_ca", "nats_store",
    "log_level", "log_format",
}  # fmt: skip
"""Options that may be given together with MODULE:SERVER."""


@click.command()
@click.argument("program", metavar="[MODULE:SERVER]", required=False)
@click.option("--host", help="Address to listen at; :: means all IPv6 and IPv4 addresses.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen at; 0 means any free port.  [default: 8000]"
)
@click.option("--unix", type=click.Path(dir_okay=False), help="Unix socket to listen at, instead of host and port.")
@click.option(
    "--unix-mode", metavar="OCTAL", callback=check_mode, help="Permissions of the Unix socket's file, such as 660."
)
@click.option(
    "--fd",
    metavar="N|systemd",
    callback=check_fd,
    help="Number of an inherited socket to listen at; `systemd`: all sockets that systemd passes.",
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False),
    envvar="FANWIRE_CONFIG",
    show_envvar=True,
    help="Settings file (TOML). Environment variables (FANWIRE_...) replace its values, and options replace both.",
)
@click.option(
    "--api-key",
    "api_keys",
    callback=check_key,
    multiple=True,
    envvar="FANWIRE_API_KEY",
    show_envvar=True,
    help="API key. Clients that send it may subscribe and publish. May be repeated.",
)
@click.option(
    "--admin-key",
    "admin",
    metavar="KEY[=SCOPES]",
    callback=admin_keys,
    multiple=True,
    envvar="FANWIRE_ADMIN_KEY",
    show_envvar=True,
    help="Key of the admin API and the dashboard, or `sha256:` and its SHA-256. SCOPES: some of read,publish,manage; "
    "without it, all. May be repeated.",
)
@click.option("--insecure", is_flag=True, help="Clients without an API key or a token may subscribe, too.")
@click.option(
    "--jwt-key",
    metavar="FILE|URL",
    help="Keys that check tokens: a file with a PEM key, a JWK Set or a secret, or the URL of a JWK Set.",
)
@click.option(
    "--jwt-algorithm",
    "jwt_algorithms",
    multiple=True,
    help="Allowed algorithm of tokens, such as ES256. May be repeated.",
)
@click.option("--jwt-audience", help="Audience that a token must have (claim aud).")
@click.option("--jwt-issuer", help="Issuer that a token must have (claim iss).")
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    metavar="NETWORK",
    multiple=True,
    help="Address or network of proxies whose X-Forwarded-For is trusted; `unix`: all clients of the Unix socket. "
    "May be repeated.",
)
@click.option("--proxy-protocol", is_flag=True, help="Each connection must begin with a header of the PROXY protocol.")
@click.option(
    "--prefix", metavar="PATH", help="Prefix that a proxy adds to all paths, such as /rt; the server removes it."
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    help="Allowed origin of web pages, such as https://example.com; without this option, all. May be repeated.",
)
@click.option(
    "--room",
    "rooms",
    metavar="PATTERN=DELIVERY",
    multiple=True,
    help="Delivery class of the rooms whose names match PATTERN. May be repeated.",
)
@click.option(
    "--tls-certificate",
    type=click.Path(),
    help="File with the server's certificate chain (PEM). It is read again when it changes, and at SIGHUP.",
)
@click.option(
    "--tls-key", type=click.Path(), help="File with the private key of --tls-certificate (PEM, without a password)."
)
@click.option(
    "--nats",
    "nats_servers",
    metavar="URL|embedded",
    multiple=True,
    help="URL of a NATS server, which connects the nodes of a cluster and stores histories; `embedded`: start a NATS "
    "server. May be repeated.",
)
@click.option("--nats-credentials", type=click.Path(dir_okay=False), help="File with the credentials of a NATS user.")
@click.option(
    "--nats-ca", type=click.Path(dir_okay=False), help="File with trusted certificates for NATS servers (PEM)."
)
@click.option(
    "--nats-store",
    type=click.Path(file_okay=False),
    help="Directory for the data of `--nats embedded`.  [default: fanwire-data]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    default=1,
    envvar="FANWIRE_WORKERS",
    show_envvar=True,
    help="Number of processes; more than one needs --nats.",
)
@click.option(
    "--worker-timeout",
    metavar="SECONDS",
    type=float,
    callback=check_worker_timeout,
    default=60.0,
    show_default=True,
    envvar="FANWIRE_WORKER_TIMEOUT",
    show_envvar=True,
    help="Seconds after which a worker whose event loop does not run is killed and started again; 0: never.",
)
@click.option(
    "--shards",
    type=click.IntRange(0),
    help="Number of writing threads; 0: chosen by the number of processors.  [default: 0]",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Least severe level that is logged.  [default: info]",
)
@click.option(
    "--log-format",
    type=click.Choice(LOG_FORMATS),
    help="Format of the log; json and logfmt need fanwire[logs].  [default: console]",
)
def serve(
    program: str | None,
    config: str | None,
    origins: tuple[str, ...],
    api_keys: tuple[str, ...],
    admin: dict[str, list[str]],
    rooms: tuple[str, ...],
    shards: int | None,
    insecure: bool,
    jwt_key: str | None,
    jwt_algorithms: tuple[str, ...],
    jwt_audience: str | None,
    jwt_issuer: str | None,
    trusted_proxies: tuple[str, ...],
    proxy_protocol: bool,
    nats_servers: tuple[str, ...],
    nats_credentials: str | None,
    nats_ca: str | None,
    nats_store: str | None,
    workers: int,
    worker_timeout: float,
    **given: Any,
) -> None:
    """Runs a server until SIGINT or SIGTERM.

    Clients with sessions (`fanwire subscribe`, `fanwire publish`, fanwire.connect) connect at any path. Any other
    WebSocket client connects to /rooms/NAME and gets the messages of that room. POST /rooms/NAME publishes one message,
    POST /publish publishes several messages to several rooms.

    A client needs an API key (--api-key) or a token (--jwt-key). An API key allows to subscribe and publish. A token
    (JWT) allows to subscribe; to publish it needs the scope "publish", if the settings file has no other rule for the
    room. With --insecure, clients without either may subscribe. The server does not start without one of these three,
    as an option or in the settings file. Each room keeps its newest 1,000 messages for clients that reconnect; the
    settings file may change that.

    DELIVERY says what happens to a message for a slow client: reliable (nothing is dropped; a client over its limit is
    disconnected and reconnects), latest (a newer message replaces the waiting one of the same key), drop-oldest or
    drop-newest. In PATTERN, `*` stands for any characters. The first matching pattern counts: first the options, then
    the settings file.

    Each setting of the file is also an environment variable, such as FANWIRE_LIMITS__GRACE=60 for grace below [limits].
    `fanwire config reference` prints all of them. Options win over variables, and variables over the file.

    With MODULE:SERVER, such as app:server or app.py:server, this command runs the server of your program: a
    fanwire.Server, or a function that returns one. Then only the options for the place to listen at (host, port, unix,
    fd), --workers, --worker-timeout, --log-level, --log-format and the options for NATS are allowed.

    A worker that dies is started again, and so is one whose event loop has not run for --worker-timeout seconds. Use 0
    when you attach a debugger to a worker.

    With --tls-certificate and --tls-key clients connect by wss. After SIGHUP all workers read the files again, and
    connections stay open. The settings file has more settings of TLS (server.tls_*).

    The soft limit of open files is raised to the hard limit. SIGINT and SIGTERM send the waiting messages and close
    every connection with 1001, within limits.drain_timeout of the settings file (10 seconds). A second signal ends the
    process at once.
    """
    given = {name: value for name, value in given.items() if value is not None}
    nats = {
        name: value
        for name, value in (
            ("servers", list(nats_servers)),
            ("credentials", nats_credentials),
            ("ca", nats_ca),
            ("store", nats_store),
        )
        if value
    }
    if program is not None:
        refuse_others(program)
        found = only_of_program(os.environ)
        nats = {**found.get("nats", {}), **nats}
        table = msgspec.structs.asdict(server_table(msgspec.convert(found.get("server", {}), ServerTable), given))
        where = {name: table[name] for name in PLACES if table[name] is not None}
        chosen = {**found.get("server", {}), **given}
        log = (table[name] if name in chosen else None for name in ("log_level", "log_format"))
        serving.run_program(program, where, nats_table(None, nats), workers, worker_timeout, *log)
        return
    loaded = read_settings(config, os.environ)
    settings = loaded.settings
    if api_keys:
        given["api_keys"] = list(api_keys)
    if origins:
        given["origins"] = list(origins)
    if trusted_proxies:
        given["trusted_proxies"] = list(trusted_proxies)
    if insecure:
        given["insecure"] = True
    if proxy_protocol:
        given["proxy_protocol"] = True
    tokens = {
        name: value
        for name, value in (
            ("key", jwt_key),
            ("algorithms", list(jwt_algorithms)),
            ("audience", jwt_audience),
            ("issuer", jwt_issuer),
        )
        if value
    }
    try:
        rules = [parse_room(text) for text in rooms]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--room") from error
    try:
        limits = settings.limits if shards is None else msgspec.structs.replace(settings.limits, shards=shards)
    except ValueError as error:
        raise Misuse(str(error).removeprefix("Config.")) from error
    settings = msgspec.structs.replace(
        settings,
        server=server_table(settings.server, given),
        limits=limits,
        jwt=jwt_table(settings.jwt, tokens),
        admin=admin_table(settings.admin, admin),
        nats=nats_table(settings.nats, nats),
        rooms=rules + settings.rooms,
    )
    replaced = {("server", name) for name in given} | {("jwt", name) for name in tokens}
    untouched = {path: origin for path, origin in loaded.origins.items() if path not in replaced}
    try:
        serving.run(settings, workers, worker_timeout)
    except Misuse as error:
        raise Misuse(with_origin(error.message, untouched)) from error


def refuse_others(program: str) -> None:
    """Refuses options that do not apply to the server of a program.

    Raises:
        Misuse: such an option is given.
    """
    ctx = click.get_current_context()
    for param in ctx.command.params:
        name = param.name or ""
        is_typed = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if is_typed and name not in OF_PROGRAMS:
            raise Misuse(
                f"{param.opts[0]} cannot be used with {program}: set it as an argument of fanwire.Server in the program"
            )
