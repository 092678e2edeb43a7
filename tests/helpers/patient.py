"""A plugin of pytest for tests of applications: on a machine that runs much else, what comes late is waited for."""

from __future__ import annotations

from fanwire.testing import expect, until
from helpers.wait import PROCESS

for function, argument in ((until, "seconds"), (expect, "within")):
    assert argument in function.__kwdefaults__
    function.__kwdefaults__[argument] = PROCESS
