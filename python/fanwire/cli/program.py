"""Loading a program's own server by name: `module:server`, or `app.py:server`."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import traceback
from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import click

from fanwire.cli.failure import CommandFailed, Misuse
from fanwire.server import Server
from fanwire.values.checks import described

__all__ = ["load_server"]


def load_server(target: str) -> Server:
    """Imports a program, and returns its server. Modules are found from the current directory, a file by its path.

    Args:
        target: "module:name" or "path/to/file.py:name". The name, which may have dots, is that of a `fanwire.Server`,
            or of a function without arguments that returns one. Without it: "server".

    Raises:
        CommandFailed: code of the program has raised an exception; its traceback was written to the standard error.
        Misuse: there is no such module or name, or it is no server.
    """
    where, colon, name = target.rpartition(":")
    if not colon:
        where, name = target, DEFAULT
    if not where or not all(part.isidentifier() for part in name.split(".")):
        raise Misuse(f"the program must be given as MODULE:SERVER, such as 'app:server', got {described(target)}")
    with _nothing_starts():
        module = _module(where)
        found = _attribute(module, where, name)
        return _server(found, f"{where}:{name}")


def _module(where: str) -> ModuleType:
    file: Path | None = None
    if where.endswith(".py") or os.sep in where:
        file = Path(where).resolve()
        if not file.is_file():
            raise Misuse(f"there is no file {where}")
        root, name = _place_of(file)
    else:
        if not all(part.isidentifier() for part in where.split(".")):
            raise Misuse(f"{where!r} is not the name of a Python module; for a file, write 'path/to/app.py:server'")
        root, name = Path.cwd(), where
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _told(error, f"cannot import {where}") from error
        where_not = "" if ";" in error.msg else f" in {root}, nor among the installed packages"
        raise Misuse(f"cannot import {where}: {error.msg}{where_not}") from error
    except Exception as error:
        raise _told(error, f"cannot import {where}") from error
    if file is not None and (module.__file__ is None or not file.samefile(module.__file__)):
        raise Misuse(f"{where} has the name of another module, {module.__file__ or name}: rename the file")
    return module


def _place_of(file: Path) -> tuple[Path, str]:
    """The directory from which a file is imported, and its name as a module, with the names of its packages."""
    root, names = file.parent, [] if file.stem == "__init__" else [file.stem]
    while (root / "__init__.py").exists():
        names.insert(0, root.name)
        root = root.parent
    return root, ".".join(names)


def _attribute(module: ModuleType, where: str, name: str) -> Any:
    try:
        return attrgetter(name)(module)
    except AttributeError:
        servers = [known for known, value in vars(module).items() if isinstance(value, Server)]
        hint = f"; its servers: {', '.join(servers)}" if servers else ""
        raise Misuse(f"there is no {name!r} in {where}{hint}") from None


def _server(found: Any, target: str) -> Server:
    if isinstance(found, Server):
        return found
    # An ASGI application is callable, too, but no function.
    if not inspect.isroutine(found) and not inspect.isclass(found):
        hint = ""
        if callable(found):
            hint = "; if it is an ASGI application, make a server that serves it: fanwire.Server(app=...)"
        raise Misuse(f"{target} must be a fanwire.Server or a function that returns one, got {_described(found)}{hint}")
    if inspect.iscoroutinefunction(found):
        raise Misuse(f"{target} must be a plain function, not a coroutine function")
    try:
        inspect.signature(found).bind()
    except TypeError:
        raise Misuse(f"{target} must be a function without required arguments") from None
    except ValueError:
        # The function has no signature.
        pass
    try:
        made = found()
    except Exception as error:
        raise _told(error, f"{target} has failed") from error
    if not isinstance(made, Server):
        raise Misuse(f"{target} must return a fanwire.Server, got {_described(made)}")
    return made


def _described(value: Any) -> str:
    return "None" if value is None else f"an object of type {type(value).__name__}"


def _told(error: Exception, what: str) -> CommandFailed:
    """Prints the traceback of the program's code, without the frames of Fanwire and of the import."""
    trace = error.__traceback__
    while trace is not None and _leads_there(trace):
        trace = trace.tb_next
    click.echo("".join(traceback.format_exception(type(error), error, trace)), err=True, nl=False)
    return CommandFailed(f"{what}: {''.join(traceback.format_exception_only(type(error), error)).splitlines()[-1]}")


def _leads_there(trace: TracebackType) -> bool:
    name = trace.tb_frame.f_code.co_filename
    return name in (__file__, import_module.__code__.co_filename) or name.startswith("<frozen importlib")


@contextlib.contextmanager
def _nothing_starts() -> Iterator[None]:
    """Refuses starts of servers inside: a program that starts its server on import would never return."""
    Server._not_now = NOT_NOW
    try:
        yield
    finally:
        Server._not_now = ""


DEFAULT = "server"

NOT_NOW = (
    "`fanwire serve` starts the server, once the program is imported: what starts it here belongs under "
    "`if __name__ == '__main__':`"
)
