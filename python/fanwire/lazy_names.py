"""Names of a package that are imported when they are first used (PEP 562): a program waits only for what it uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(
    package: str, namespace: dict[str, Any], modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Makes the functions `__getattr__` and `__dir__` of a package.

    Args:
        package: its name.
        namespace: its `globals()`; a name is kept there once it is imported.
        modules: for each name the module that has it. Any other name may be that of a submodule.
    """

    def found(name: str) -> Any:
        if name not in modules:
            missing = AttributeError(f"module {package!r} has no attribute {name!r}")
            if name.startswith("_"):
                raise missing
            # A submodule, such as `fanwire.backplane` after `import fanwire`. Its import makes it an attribute.
            module = f"{package}.{name}"
            try:
                return import_module(module)
            except ModuleNotFoundError as error:
                if error.name != module:
                    raise
                raise missing from None
        value = namespace[name] = getattr(import_module(modules[name]), name)
        return value

    def listed() -> list[str]:
        return sorted({*namespace, *modules})

    return found, listed
