"""How a `Reject` is found in what a handler raises.

It is not for what the peer of an upgrade is told before it is let in (`Refused`), nor for failures: those are any other
exception. A client gets nothing but the fields that are set here.
"""

from __future__ import annotations

from fanwire.errors import CODE_MAX, TEXT_MAX, Reject

__all__ = ["CODE_MAX", "TEXT_MAX", "Reject", "reject_of"]


def reject_of(error: BaseException) -> Reject | None:
    """The `Reject` that an exception is, or that a group of exceptions consists of; None: it is something else.

    A handler that works with a `TaskGroup` raises its rejections in a group. A subclass whose fields no client could
    read, such as a number as its `code`, is a mistake of the application, and so any other exception.
    """
    if isinstance(error, Reject):
        return error if _is_readable(error) else None
    inner = getattr(error, "exceptions", None)
    if isinstance(inner, (tuple, list)) and inner:
        found = [reject_of(one) for one in inner]
        return found[0] if all(found) else None
    return None


def _is_readable(reject: Reject) -> bool:
    try:
        Reject(reject.code, reject.text, retry_after=reject.retry_after, path=reject.path)
        return isinstance(reject.retry, bool)
    except Exception:  # noqa: BLE001 - a field may be a property
        return False
