"""A rejection as an application may raise it."""

from __future__ import annotations

from fanwire import Reject


def no() -> Reject:
    return Reject("out_of_stock", "3 are left", data={"left": 3}, retry_after=1.5)
