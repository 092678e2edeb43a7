"""The program itself: versions of Python and of the libraries that serve, and what the extension can do."""

from __future__ import annotations

import importlib
import platform
import ssl
import sys
from importlib.metadata import PackageNotFoundError, version

import msgspec

from fanwire.doctor.finding import Finding, ok, problem, warning

__all__ = ["RuntimeReadings", "check_runtime", "read_runtime"]


class RuntimeReadings(msgspec.Struct, frozen=True, kw_only=True):
    """What was read.

    Attributes:
        python: the version of Python.
        implementation: such as "CPython".
        fanwire: the version of Fanwire; None: it is not installed as a package.
        uvloop: the version of uvloop; None: it cannot be imported.
        extension_error: why the extension cannot be imported; "": it can.
        has_nats: whether the extension can speak to NATS.
        openssl: the version of Python's TLS, which the clients use.
        is_dev_mode: whether Python's development mode is on, or its debug mode of asyncio.
    """

    python: str
    implementation: str
    fanwire: str | None
    uvloop: str | None
    extension_error: str
    has_nats: bool
    openssl: str
    is_dev_mode: bool


def read_runtime() -> RuntimeReadings:
    """Reads this process."""
    error, has_nats = "", False
    try:
        engine = importlib.import_module("fanwire._engine")
        has_nats = hasattr(engine, "NatsConnection")
    except ImportError as failed:
        error = str(failed)
    return RuntimeReadings(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        fanwire=installed("fanwire"),
        uvloop=installed("uvloop"),
        extension_error=error,
        has_nats=has_nats,
        openssl=ssl.OPENSSL_VERSION,
        is_dev_mode=sys.flags.dev_mode,
    )


def installed(package: str) -> str | None:
    """The version of an installed package; None: there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_runtime(found: RuntimeReadings) -> list[Finding]:
    """Checks it."""
    findings = []
    why = "Fanwire runs on CPython 3.10 and newer."
    shown = f"{found.implementation} {found.python}, {found.openssl}"
    if found.is_dev_mode:
        findings.append(
            warning(
                "python",
                f"{shown}, development mode",
                "Python's development mode checks every call of asyncio, and is several times slower.",
                "Start without -X dev and PYTHONDEVMODE.",
            )
        )
    else:
        findings.append(ok("python", shown, why))
    why = "The event loop of `fanwire serve`."
    if found.uvloop is None:
        findings.append(problem("uvloop", "not installed", why, "pip install uvloop"))
    else:
        findings.append(ok("uvloop", found.uvloop, why))
    why = "The engine, in Rust, accepts connections and writes messages."
    if found.extension_error:
        findings.append(
            problem(
                "extension", found.extension_error, why,
                "Install Fanwire again, for this Python and this machine: pip install --force-reinstall fanwire",
            )
        )  # fmt: skip
    else:
        features = "TLS, compression, NATS" if found.has_nats else "TLS, compression, without NATS"
        findings.append(ok("extension", f"fanwire {found.fanwire or 'of unknown version'}: {features}", why))
    return findings
