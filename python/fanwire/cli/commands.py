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
"""What the command line says of a program's own server."""


def check_key(ctx: click.Context, param: click.Parameter, value: str | tuple[str, ...] | None) -> Any:
    """Takes what `Authorization: Bearer` can carry (RFC 6750 section 2.1), and nothing empty."""
    for key in (value,) if isinstance(value, str) else value or ():
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            # Not quoted: it may be a real key with a typing error.
            raise click.BadParameter("a key is of ASCII characters without spaces, and not empty")
    return value


def check_mode(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Takes permissions as chmod(1) does."""
    if value is None:
        return None
    try:
        return int(value, 8)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no octal number, such as 660") from error


def check_fd(ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    """Takes a number, or systemd."""
    if value is None or value == "systemd":
        return value
    if not value.isascii() or not value.isdecimal():
        raise click.BadParameter(f"{value!r} is neither the number of a descriptor nor systemd")
    return int(value)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fanwire")
def main() -> None:
    """Publish once, every subscriber."""


@main.command()
@click.argument("program", metavar="[MODULE:SERVER]", required=False)
@click.option("--host", help="Address to listen at; :: is all of this machine's.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes any free one.  [default: 8000]")
@click.option("--unix", type=click.Path(dir_okay=False), help="Unix socket to listen at, instead of host and port.")
@click.option("--unix-mode", metavar="OCTAL", callback=check_mode, help="Permissions of its file, such as 660.")
@click.option(
    "--fd",
    metavar="N|systemd",
    callback=check_fd,
    help="Inherited socket to listen at; `systemd`: all that a socket unit passes.",
)
@click.option("--config", type=click.Path(dir_okay=False), help="TOML file; options given here win over it.")
@click.option(
    "--api-key",
    "api_keys",
    callback=check_key,
    multiple=True,
    envvar="FANWIRE_API_KEY",
    show_envvar=True,
    help="Key whose holders subscribe and publish. May be repeated.",
)
@click.option("--insecure", is_flag=True, help="Let everyone subscribe who shows neither key nor token.")
@click.option(
    "--jwt-key", metavar="FILE|URL", help="Keys of tokens: PEM, JWKS or secret in a file, or the URL of a JWKS."
)
@click.option("--jwt-algorithm", "jwt_algorithms", multiple=True, help="Algorithm of tokens. May be repeated.")
@click.option("--jwt-audience", help="Audience that tokens must be for.")
@click.option("--jwt-issuer", help="Issuer that tokens must be from.")
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    metavar="NETWORK",
    multiple=True,
    help="Proxies whose X-Forwarded-For is believed; `unix`: all at the Unix socket. May be repeated.",
)
@click.option("--proxy-protocol", is_flag=True, help="Proxies begin connections with a header of the PROXY protocol.")
@click.option("--prefix", metavar="PATH", help="Prefix of the paths by which a proxy asks, such as /rt; taken off.")
@click.option(
    "--origin", "origins", multiple=True, help="Origin that browsers may come from; all without one. May be repeated."
)
@click.option(
    "--room",
    "rooms",
    metavar="PATTERN=DELIVERY",
    multiple=True,
    help="Delivery class of the rooms that match. May be repeated.",
)
@click.option("--tls-cert", type=click.Path(), help="Certificate chain, PEM.")
@click.option("--tls-key", type=click.Path(), help="Its private key, PEM, without a password.")
@click.option(
    "--nats",
    "nats_servers",
    metavar="URL|embedded",
    multiple=True,
    help="NATS servers of a cluster, where other nodes are met and histories kept; `embedded` starts one. May be "
    "repeated.",
)
@click.option("--nats-credentials", type=click.Path(dir_okay=False), help="A NATS user's credentials.")
@click.option("--nats-ca", type=click.Path(dir_okay=False), help="Certificates that are believed of NATS servers.")
@click.option("--nats-store", type=click.Path(file_okay=False), help="Where an embedded one keeps what it stores.")
@click.option("--workers", type=click.IntRange(1, 1024), default=1, help="Processes; more than one needs --nats.")
@click.option("--shards", type=click.IntRange(0), help="Writing threads; 0 chooses.  [default: 0]")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[default: info]")
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
    """Serves rooms, to sessions (`fanwire subscribe`, `fanwire publish`, fanwire.connect) at any path, and to any
    WebSocket: one to /rooms/NAME subscribes to that room. POST /rooms/NAME publishes to it, POST /publish several
    messages to several rooms.

    Holders of an API key subscribe and publish. Holders of a token (a JWT) subscribe, and publish if it has the scope
    "publish", unless the file says otherwise of a room. Without either there is no server, but with --insecure: then
    anyone who reaches the port may subscribe. Rooms keep their newest messages, 1,000 unless the file says otherwise,
    for sessions that were away.

    DELIVERY is what happens when a reader is slow: reliable (nothing is dropped, a reader over its limit is closed to
    reconnect), latest (a newer message replaces the waiting one of the same key), drop-oldest or drop-newest. The first
    PATTERN that matches wins, those given here before those of the file; `*` stands for any characters.

    With MODULE:SERVER, such as app:server or app.py:server, it runs the server of a program: a fanwire.Server, or a
    function that returns one. Options say where it listens, in how many processes and with which NATS; everything else
    is said in the program.

    The soft limit of open files is raised to the hard one. SIGINT and SIGTERM close every connection with 1001 after
    what waits for it, within the file's limits.drain_timeout; a second signal ends the process at once.
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
    """Looks for options that a program with a server of its own decides.

    Raises:
        Misuse: there is one.
    """
    ctx = click.get_current_context()
    for param in ctx.command.params:
        name = param.name or ""
        is_typed = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if is_typed and name not in OF_PROGRAMS:
            raise Misuse(f"{param.opts[0]} does not go with {program}: arguments of its fanwire.Server decide that")


@main.command()
@click.argument("name")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The server.")
@click.option(
    "--api-key", callback=check_key, envvar="FANWIRE_API_KEY", show_envvar=True, help="A key or token of the server's."
)
@click.option("--key", help="In a room of latest values, what every line is the newest value of.")
@click.option("--text/--binary", "is_text", default=True, show_default=True, help="Kind of the messages.")
@click.option("--quiet", is_flag=True, help="No count at the end.")
@click.option("--verbose", is_flag=True, help="Tell of sessions and attempts to connect on the standard error.")
def publish(
    name: str, url: str, api_key: str | None, key: str | None, is_text: bool, quiet: bool, verbose: bool
) -> None:
    """Publishes each line of the standard input as one message to the room NAME, in order, as it comes.

    Up to 64 lines are under way at once. Comes back by itself when the connection is lost, and publishes nothing twice.

    Ends with exit code 1 at the first line that the server does not take; one that is overloaded is asked again for up
    to a minute.
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
@click.option("--url", default="ws://127.0.0.1:8000", show_default=True, help="The server.")
@click.option(
    "--api-key", callback=check_key, envvar="FANWIRE_API_KEY", show_envvar=True, help="A key or token of the server's."
)
@click.option("--count", type=click.IntRange(1), help="End after so many messages.")
@click.option("--raw", "is_raw", is_flag=True, help="Binary messages as they are, not as base64.")
@click.option("--quiet", is_flag=True, help="No line on the standard error when subscribed.")
@click.option("--verbose", is_flag=True, help="Tell of sessions, positions and what is skipped on the standard error.")
def subscribe(
    name: str, url: str, api_key: str | None, count: int | None, is_raw: bool, quiet: bool, verbose: bool
) -> None:
    """Prints each message of the room NAME as a line: text as it is, bytes as base64, anything else as JSON.

    Comes back by itself when the connection is lost, and goes on where it was; what was missed meanwhile and is no
    longer kept is told on the standard error.

    Ends with exit code 0 after --count messages and on Ctrl-C, and with 1 when there is no connection and will be none.
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
        # How one ends it.
        return


def tell(line: str) -> None:
    """Writes a line for people."""
    click.echo(line, err=True)


@main.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 takes any free one."
)
@click.option("--open/--no-open", "is_opened", default=False, show_default=True, help="Open the page in a browser.")
def demo(port: int, is_opened: bool) -> None:
    """Shows live rooms on a page: this machine's own readings, 20 times a second. Loopback only."""
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
