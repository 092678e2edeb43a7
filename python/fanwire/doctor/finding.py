"""What one check has found. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

__all__ = ["Finding", "Verdict", "count", "ok", "problem", "skipped", "warning"]

Verdict = Literal["ok", "warning", "problem", "skipped"]
"""ok: nothing to do. warning: it limits the server under load, or soon. problem: it fails. skipped: not known here."""


class Finding(msgspec.Struct, frozen=True):
    """One finding.

    Attributes:
        check: what was looked at, such as "open files".
        verdict: see `Verdict`.
        found: the value that was found.
        why: why it matters.
        advice: what to do; "" if there is nothing to do.
    """

    check: str
    verdict: Verdict
    found: str
    why: str
    advice: str = ""


def ok(check: str, found: str, why: str) -> Finding:
    """Nothing to do."""
    return Finding(check, "ok", found, why)


def warning(check: str, found: str, why: str, advice: str) -> Finding:
    """It limits the server under load, or soon."""
    return Finding(check, "warning", found, why, advice)


def problem(check: str, found: str, why: str, advice: str) -> Finding:
    """It fails."""
    return Finding(check, "problem", found, why, advice)


def skipped(check: str, found: str, why: str) -> Finding:
    """It cannot be seen here."""
    return Finding(check, "skipped", found, why)


def count(findings: Iterable[Finding], verdict: Verdict) -> int:
    """How many have this verdict."""
    return sum(finding.verdict == verdict for finding in findings)
