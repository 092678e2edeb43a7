"""The commands: options and arguments in, one call out."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec
import uvloop
from click.core import ParameterSource

from fanwire.cli import serve as serving
from fanwire.cli.address import check_room, server_url
from fanwire.cli.failure import CommandFailed, Misuse
from fanwire.cli.lines import read_lines
from fanwire.cli.publish import publish as publish_lines
from fanwire.cli.settings import Settings, parse_room
from fanwire.cli.settings_file import PLACES, jwt_table, load_settings, nats_table, server_table
from fanwire.cli.subscribe import subscribe as subscribe_lines

__all__ = ["main"]

OF_PROGRAMS = {
    *PLACES, "program", "workers", "nats_servers", "nats_credentials", "nats_ca", "nats_store", "log_level",
}  # fmt: skip
"""Options that may be given together with MODULE:SERVER."""


def check_key(ctx: click.Context, param: click.Parameter, value: str | tuple[str, ...] | None) -> Any:
    """Checks that a key can be sent as `Authorization: Bearer` (RFC 6750 section 2.1)."""
    for key in (value,) if isinstance(value, str) else value or ():
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            # Not quoted: it may be a real key with a typing error.
            raise click.BadParameter("a key must be printable ASCII without spaces, and must not be empty")
    return value


def check_mode(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Reads permissions in octal, as chmod(1) does."""
    if value is None:
        return None
    try:
        return int(value, 8)
    except ValueError as error:
        raise click.BadParameter(f"must be an octal number such as 660, got {value!r}") from error


def check_fd(ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    """Reads the number of a file descriptor, or `systemd`."""
    if value is None or value == "systemd":
        return value
    if not value.isascii() or not value.isdecimal():
        raise click.BadParameter(f"must be the number of a file descriptor, or systemd, got {value!r}")
    return int(value)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fanwire")
def main() -> None:
    """Fanwire: a broadcast server. Publish a message once, and every subscriber gets it."""


@main.command()
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
    help="Settings file (TOML). Options of the command line replace its values.",
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
@click.option("--tls-cert", type=click.Path(), help="File with the server's certificate chain (PEM).")
@click.option("--tls-key", type=click.Path(), help="File with the private key of --tls-cert (PEM, without a password).")
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
    "--workers", type=click.IntRange(1, 1024), default=1, help="Number of processes; more than one needs --nats."
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
def serve(
    program: str | None,
    config: str | None,
    origins: tuple[str, ...],
    api_keys: tuple[str, ...],
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

    With MODULE:SERVER, such as app:server or app.py:server, this command runs the server of your program: a
    fanwire.Server, or a function that returns one. Then only the options for the place to listen at (host, port, unix,
    fd), --workers, --log-level and the options for NATS are allowed.

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
        where = {name: value for name, value in given.items() if name in PLACES}
        serving.run_program(program, where, nats_table(None, nats), workers, given.get("log_level"))
        return
    settings = load_settings(config) if config is not None else Settings()
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
    serving.run(
        msgspec.structs.replace(
            settings,
            server=server_table(settings.server, given),
            limits=limits,
            jwt=jwt_table(settings.jwt, tokens),
            nats=nats_table(settings.nats, nats),
            rooms=rules + settings.rooms,
        ),
        workers,
    )


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


@main.command()
@click.argument("name")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="URL of the server.")
@click.option(
    "--api-key", callback=check_key, envvar="FANWIRE_API_KEY", show_envvar=True, help="API key or token for the server."
)
@click.option("--key", help="In a room with the delivery class latest: the key of all messages.")
@click.option(
    "--text/--binary",
    "is_text",
    default=True,
    show_default=True,
    help="Publish the lines as text or as binary messages.",
)
@click.option("--quiet", is_flag=True, help="Do not print the number of messages at the end.")
@click.option("--verbose", is_flag=True, help="Print sessions and attempts to connect on the standard error.")
def publish(
    name: str, url: str, api_key: str | None, key: str | None, is_text: bool, quiet: bool, verbose: bool
) -> None:
    """Publishes each line of the standard input as one message to the room NAME, in order.

    Each line is sent as soon as it is read; up to 64 lines may wait for their answers. When the connection is lost, the
    command reconnects by itself, and publishes no line twice.

    The exit code is 0 at the end of the input, and 1 after the first line that the server refuses. If the server is
    overloaded, the command tries again for up to a minute.
    """
    lines = read_lines(sys.stdin.fileno())
    options: dict[str, Any] = {"api_key": api_key, "key": key, "is_text": is_text, "tell": tell if verbose else None}
    try:
        count = uvloop.run(publish_lines(server_url(url), check_room(name), lines, **options))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    if not quiet:
        tell(f"published {count} message{'s' if count != 1 else ''} to {name}")


@main.command()
@click.argument("name")
@click.option("--url", default="ws://127.0.0.1:8000", show_default=True, help="URL of the server.")
@click.option(
    "--api-key", callback=check_key, envvar="FANWIRE_API_KEY", show_envvar=True, help="API key or token for the server."
)
@click.option("--count", type=click.IntRange(1), help="End after this number of messages.")
@click.option("--raw", "is_raw", is_flag=True, help="Print binary messages unchanged, not as base64.")
@click.option("--quiet", is_flag=True, help="Do not print a line on the standard error when subscribed.")
@click.option("--verbose", is_flag=True, help="Print sessions, positions and skipped messages on the standard error.")
def subscribe(
    name: str, url: str, api_key: str | None, count: int | None, is_raw: bool, quiet: bool, verbose: bool
) -> None:
    """Prints each message of the room NAME as a line: text unchanged, bytes as base64, any other value as JSON.

    When the connection is lost, the command reconnects by itself and continues after the last message. If the server
    no longer keeps some messages that were missed, their numbers are printed on the standard error.

    The exit code is 0 after --count messages and on Ctrl-C, and 1 if the command cannot connect and gives up.
    """

    def joined() -> None:
        if not quiet:
            tell(f"subscribed to {name} at {url}")

    options: dict[str, Any] = {
        "api_key": api_key, "count": count, "is_raw": is_raw, "joined": joined, "tell": tell if verbose else None,
    }  # fmt: skip
    try:
        uvloop.run(subscribe_lines(server_url(url), check_room(name), sys.stdout.buffer, missed=tell, **options))
    except KeyboardInterrupt:
        # Ctrl-C is the usual end of this command.
        return


def tell(line: str) -> None:
    """Prints a line for people on the standard error."""
    click.echo(line, err=True)


@main.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port of the page; 0 means any free port.",
)
@click.option("--open/--no-open", "is_opened", default=False, show_default=True, help="Open the page in a browser.")
def demo(port: int, is_opened: bool) -> None:
    """Shows live rooms on a web page: readings of this machine, 20 times a second. It listens at 127.0.0.1 only."""
    try:
        from fanwire.demo.app import Demo
    except ModuleNotFoundError as error:
        if error.name != "psutil":
            raise
        raise CommandFailed("the demo needs psutil: pip install 'fanwire[demo]'") from error

    app = Demo(port)

    def ready() -> None:
        app.begin()
        click.echo(f"the demo is at {app.page}")
        if is_opened:
            click.launch(app.page)

    serving.raise_file_limit()
    serving.run_server(app.server, ready)
