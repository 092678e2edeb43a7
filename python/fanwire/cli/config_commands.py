"""`fanwire config check` and `fanwire config reference`."""

from __future__ import annotations

import os
from collections import Counter

import click
import msgspec

from fanwire.cli.failure import CommandFailed, Misuse
from fanwire.cli.settings import Settings
from fanwire.cli.settings_layers import LoadedSettings, read_settings, with_origin
from fanwire.cli.settings_reference import in_force, reference
from fanwire.values.processors import processors

__all__ = ["check_settings", "config"]


@click.group()
def config() -> None:
    """Checks the settings of a server, and prints what settings there are."""


@config.command()
@click.argument("file", type=click.Path(dir_okay=False), envvar="FANWIRE_CONFIG", required=False)
@click.option("--show", is_flag=True, help="Print all values in force and where each comes from; secrets are masked.")
def check(file: str | None, show: bool) -> None:
    """Checks the settings in FILE and in the environment (FANWIRE_...), as `fanwire serve` would read them.

    Nothing is started. Whatever a start on this machine would refuse is refused, except for where the server listens
    and whether a NATS server can be reached. The files that the settings name (certificates, keys) are read.

    The exit code is 0 if all settings are valid, 2 if one is not, and 1 if a file that a setting names cannot be used.
    """
    loaded = read_settings(file, os.environ)
    notes = check_settings(loaded)
    if show:
        click.echo(in_force(loaded.settings, loaded.origins), nl=False)
    else:
        click.echo(summary(file, loaded))
    for note in notes:
        click.echo(f"note: {note}", err=True)


@config.command("reference")
def print_reference() -> None:
    """Prints a settings file with every key, its default, range, variable and meaning; all keys are comments."""
    click.echo(reference(), nl=False)


def check_settings(loaded: LoadedSettings, *, reads_files: bool = True) -> list[str]:
    """Checks what the settings say together, and what they need of this machine. Returns notes: what options have to
    add, and what is allowed but seldom meant.

    Args:
        loaded: the settings.
        reads_files: whether the files of TLS are read, too.

    Raises:
        CommandFailed: a file, a directory or a program that is needed cannot be used.
        Misuse: settings contradict each other, or one is not what it must be.
    """
    # The whole server: `fanwire config reference` does not need it.
    from fanwire.backplane.embedded import program
    from fanwire.cli.backplane import embedded_store
    from fanwire.cli.serve import build_server, reason_of, tls_of
    from fanwire.process.shard_cores import crowded
    from fanwire.tls.certificates import check_certificates

    settings, notes = loaded.settings, []
    if not opens(settings):
        notes.append("no client may connect, unless an option says who: --api-key, --jwt-key or --insecure")
        settings = msgspec.structs.replace(settings, server=msgspec.structs.replace(settings.server, insecure=True))
    try:
        server = build_server(settings)
        server._assembly().check()
        if embedded_store(settings.nats) is not None:
            program()
        tls = tls_of(settings.server)
        if tls is not None and reads_files:
            check_certificates(tls)
    except Misuse as error:
        raise Misuse(with_origin(error.message, loaded.origins)) from error
    except OSError as error:
        raise CommandFailed(reason_of(error)) from error
    except ValueError as error:
        raise Misuse(with_origin(str(error), loaded.origins)) from error
    if fault := crowded(settings.limits, processors()):
        notes.append(f"{fault}; lower limits.shards, or set limits.shard_spin = 0")
    return notes


def opens(settings: Settings) -> bool:
    """Whether the settings let any client connect."""
    return bool(settings.server.api_keys or settings.jwt is not None or settings.server.insecure)


def summary(file: str | None, loaded: LoadedSettings) -> str:
    """How many settings there are, in one line."""
    counts = Counter("environment" if origin.startswith("FANWIRE_") else "file" for origin in loaded.origins.values())
    if file is None:
        return f"the environment is valid: {counted(counts['environment'])}; no file is given"
    return f"{file} is valid: {counted(counts['file'])} of the file, {counts['environment']} of the environment"


def counted(count: int) -> str:
    """A number of settings in words."""
    return f"{count} setting{'' if count == 1 else 's'}"
