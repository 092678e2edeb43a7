"""Finds the `Reject` in the exception of a handler.

It does not handle `Refused`, which is for clients before the upgrade. Any other exception is a failure, and the client
is not told its text.
"""

from __future__ import annotations

from fanwire.errors import CODE_MAX, TEXT_MAX, Reject

__all__ = ["CODE_MAX", "TEXT_MAX", "Reject", "reject_of"]


def reject_of(error: BaseException) -> Reject | None:
    """Returns the `Reject` of an exception, or of a group that consists only of `Reject`; None: the exception is
    something else.

    A handler that uses a `TaskGroup` raises its rejections in a group. A subclass with fields that no client could
    read, such as a number as its `code`, is a mistake of the application and counts as any other exception.
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
