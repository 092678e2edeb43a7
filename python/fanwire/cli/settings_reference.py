"""All settings as a commented TOML file: the reference, and the values in force. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import NODEFAULT

from fanwire.cli.setting_key import TABLES, SettingKey, keys_of, table_text
from fanwire.cli.settings import Settings
from fanwire.cli.toml_document import KeyPath, toml_value

__all__ = ["in_force", "reference"]


def reference() -> str:
    """A settings file with every key, its default, range, variable and meaning. All keys are comments, so that the file
    sets nothing until a `#` is removed."""
    return "\n".join(_reference_lines()) + "\n"


def in_force(settings: Settings, origins: Mapping[KeyPath, str]) -> str:
    """A settings file with the values in force, each with where it comes from. Secrets are masked.

    Args:
        settings: the values.
        origins: where those that are set come from, see `LoadedSettings`.
    """
    return "\n".join(_lines_in_force(settings, origins)).strip("\n") + "\n"


def _reference_lines() -> Iterator[str]:
    yield "# The settings of `fanwire serve --config FILE`. To set one, remove the # before its name."
    yield "# Order of precedence: command line, environment variable, this file, default."
    for table in TABLES:
        yield ""
        yield from _comment(f"{header(table)}: {table_text(table)}")
        # A table with a key that must be set would be incomplete.
        yield f"{'#' if needs_keys(table) else ''}{header(table)}"
        for key in keys_of(table).values():
            yield ""
            yield from _comment(key.sentence)
            yield from _comment(f"{kind_line(key)}. {_default_line(key)}")
            yield f"#{key.name} = {example(key)}"


def _lines_in_force(settings: Settings, origins: Mapping[KeyPath, str]) -> Iterator[str]:
    for table in TABLES:
        found = getattr(settings, table)
        if table == "rooms":
            for place, room in enumerate(found):
                yield from _table_in_force("rooms", ("rooms", place), room, origins)
        elif found is not None:
            yield from _table_in_force(table, (table,), found, origins)
        else:
            yield f"\n# [{table}] is not set"
    if not settings.rooms:
        yield "\n# There is no table [[rooms]]"


def _table_in_force(table: str, path: KeyPath, found: Any, origins: Mapping[KeyPath, str]) -> Iterator[str]:
    yield f"\n{header(table)}"
    for name, value in msgspec.structs.asdict(found).items():
        origin = origins.get((*path, name), "default")
        if value is None:
            yield f"# {name} is not set"
            continue
        shown = masked(keys_of(table)[name], value)
        text = f"0o{shown:03o}" if name == "unix_mode" else toml_value(shown)
        yield f"{name} = {text:<{WIDTH - len(name)}}  # {origin}"


def masked(key: SettingKey, value: Any) -> Any:
    """A value as it may be shown: keys are left out, and passwords in URLs."""
    if key.path == ("server", "api_keys"):
        return ["***" for _ in value]
    if isinstance(value, dict) and key.is_secret:
        # The keys of this table are the secrets. A table needs other names for two of them.
        return {f"***{number}": scopes for number, scopes in enumerate(value.values(), 1)}
    return [_without_password(url) for url in value] if key.is_secret else value


def _without_password(url: str) -> str:
    # A token may be in the query, which no URL of NATS needs.
    url, query, _ = url.partition("?")
    url += "?***" if query else ""
    place, at, rest = url.rpartition("@")
    if not at:
        return url
    scheme = urlsplit(place).scheme
    return f"{scheme}://***@{rest}" if scheme else f"***@{rest}"


def header(table: str) -> str:
    """The line that begins a table."""
    return "[[rooms]]" if table == "rooms" else f"[{table}]"


def needs_keys(table: str) -> bool:
    """Whether a table has a key without a default, which must be set if the table is there."""
    return any(key.default is NODEFAULT for key in keys_of(table).values())


def kind_line(key: SettingKey) -> str:
    """The type and the range of a key, such as "A number of seconds, at least 0"."""
    text = f"{key.wanted}, {key.range}" if key.range else key.wanted
    return text[:1].upper() + text[1:]


def example(key: SettingKey) -> str:
    """The default of a key as the file has it; where there is none, an example."""
    if key.default is None or key.default is NODEFAULT:
        value = EXAMPLES[key.path]
        return f"0o{value:03o}" if key.name == "unix_mode" else toml_value(value)
    return toml_value(key.default)


def _default_line(key: SettingKey) -> str:
    variable = "" if key.table == "rooms" else f"{key.variable}. "
    if key.default is NODEFAULT:
        return f"{variable}Must be set, for example:"
    return f"{variable}{'Default: not set. Example:' if key.default is None else 'Default:'}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDE, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


EXAMPLES: dict[tuple[str, str], Any] = {
    ("server", "host"): "127.0.0.1",
    ("server", "port"): 8000,
    ("server", "unix"): "/run/fanwire/fanwire.sock",
    ("server", "unix_mode"): 0o660,
    ("server", "fd"): "systemd",
    ("server", "origins"): ["https://www.example.com"],
    ("server", "hosts"): ["fanwire.example.com"],
    ("server", "tls_certificate"): "fullchain.pem",
    ("server", "tls_key"): "privkey.pem",
    ("server", "tls_client_ca"): "clients.pem",
    ("jwt", "key"): "https://login.example.com/.well-known/jwks.json",
    ("jwt", "algorithms"): ["ES256"],
    ("jwt", "audience"): "fanwire",
    ("jwt", "issuer"): "https://login.example.com",
    ("admin", "keys"): {"sha256:9f86d081884c7d65": ["read", "publish", "manage"]},
    ("nats", "servers"): ["nats://127.0.0.1:4222"],
    ("nats", "credentials"): "fanwire.creds",
    ("nats", "ca"): "nats-ca.pem",
    ("nats", "certificate"): "node.pem",
    ("nats", "key"): "node.key",
    ("recording", "rooms"): ["quotes.*"],
    ("recording", "directory"): "recordings",
    ("rooms", "pattern"): "quotes.*",
}
"""Values for the keys that have no default."""

WIDE = 100
"""Characters in a line of a comment."""

WIDTH = 40
"""Characters before the comment of a line."""
