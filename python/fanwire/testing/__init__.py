"""Help for tests of applications: servers on free ports, clients, a clock that can be advanced, a proxy with faults,
and assertions on what a room received. docs/testing.md describes it, and the fixtures of the pytest plugin."""

from fanwire.testing.expectation import Expectation, expect, received
from fanwire.testing.fake_clock import FakeClock
from fanwire.testing.fault_proxy import FaultProxy
from fanwire.testing.publications import Publications, PublishedRoom, RecordedPublish
from fanwire.testing.raw_client import RawClient
from fanwire.testing.server_run import ServerRun, running
from fanwire.testing.waiting import until

__all__ = [
    "Expectation",
    "FakeClock",
    "FaultProxy",
    "Publications",
    "PublishedRoom",
    "RawClient",
    "RecordedPublish",
    "ServerRun",
    "expect",
    "received",
    "running",
    "until",
]
