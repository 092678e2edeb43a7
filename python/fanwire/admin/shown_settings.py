"""The arguments of a server as operators may see them: secrets are masked, objects are named. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any

from fanwire.handlers.calls import name_of

__all__ = ["MASK", "shown_settings"]


def shown_settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments, by name, as JSON values. Only values of known types are shown as they are, so that no
    object can tell a secret in its text."""
    return {name: _masked(value) if name in SECRETS else _shown(value) for name, value in arguments.items()}


def _masked(value: Any) -> Any:
    if isinstance(value, Collection) and not isinstance(value, (str, bytes)):
        return [MASK for _ in value]
    return MASK if value else value


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "_asdict"):
        return {"kind": type(value).__name__.lower(), **shown_settings(value._asdict())}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_shown(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return shown_settings(fields)
    # A function, or an object: a backplane, whose address may hold a password, has only its class here.
    return name_of(value)


MASK = "***"
"""In place of a secret."""

SECRETS = frozenset({"api_keys", "key", "keys", "password", "token", "secret", "credentials"})
"""Names of arguments whose values are masked. The path of a private key is masked as well."""
