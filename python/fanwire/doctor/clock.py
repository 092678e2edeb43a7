"""The clock: whether the system keeps it in step, and how far a server's clock is from ours."""

from __future__ import annotations

import ctypes
import struct
import sys
from email.utils import parsedate_to_datetime

from fanwire.doctor.finding import Finding, ok, problem, skipped, warning

__all__ = ["check_clock", "check_offset", "is_clock_synchronized", "offset_of"]


def is_clock_synchronized() -> bool | None:
    """Whether a program such as chrony or systemd-timesyncd keeps the clock right (adjtimex(2)); None: unknown."""
    if sys.platform != "linux" or struct.calcsize("P") != 8:
        return None
    buffer = ctypes.create_string_buffer(SIZE)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    if state < 0:
        # Not allowed here, as in some containers.
        return None
    (status,) = struct.unpack_from("i", buffer, STATUS)
    return not status & UNSYNCHRONIZED


def check_clock(is_synchronized: bool | None, now: float) -> Finding:
    """Checks the clock of this machine.

    Args:
        is_synchronized: whether the system keeps it in step; None: unknown.
        now: its time, in seconds since 1970.
    """
    name = "clock"
    why = "Tokens and certificates are valid between two times. With a wrong clock they are refused."
    if now < EARLIEST:
        return problem(
            name, "the clock is before 2025", why, "Set the clock, and keep it with chrony or systemd-timesyncd."
        )
    if is_synchronized is None:
        return skipped(name, "whether it is synchronized cannot be seen here", why)
    if is_synchronized:
        return ok(name, "synchronized (NTP)", why)
    return warning(
        name,
        "not synchronized",
        why,
        "Run chrony or systemd-timesyncd (timedatectl set-ntp true); in a container: on the machine below it.",
    )


def offset_of(date: str | None, asked: float, answered: float) -> float | None:
    """Seconds by which a server's clock is ahead of ours, as its header `Date` says; None: it has none.

    The header has whole seconds, and the answer was on its way: less than that counts as 0.

    Args:
        date: the header.
        asked: our time when the request was sent, in seconds since 1970.
        answered: our time when the answer came.
    """
    try:
        told = parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError):
        return None
    if told + 1 < asked:
        return told + 1 - asked
    return told - answered if told > answered else 0.0


def check_offset(offset: float | None) -> Finding:
    """Checks a server's clock against ours."""
    name = "clock of the server"
    why = "A token that one machine makes and another checks must be valid by both clocks (jwt.leeway, 10 s)."
    if offset is None:
        return skipped(name, "the answer has no header Date", why)
    if not offset:
        return ok(name, "the same as here, to a second", why)
    shown = f"{abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} this machine"
    advice = "Keep both clocks with chrony or systemd-timesyncd."
    return problem(name, shown, why, advice) if abs(offset) > LEEWAY else warning(name, shown, why, advice)


SIZE = 256
"""Bytes for a `struct timex`, which has 208."""

STATUS = 40
"""Where its field `status` begins, where long has eight bytes."""

UNSYNCHRONIZED = 0x40
"""STA_UNSYNC."""

EARLIEST = 1735689600.0
"""2025-01-01: a clock before it was never set."""

LEEWAY = 10.0
"""Seconds that tokens allow by default."""
