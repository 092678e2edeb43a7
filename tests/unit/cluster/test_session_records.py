"""Records of sessions in a backplane."""

from __future__ import annotations

from fanwire.backplane import MemoryBackplane, MemoryBus
from fanwire.cluster.session_records import ID_MAX, SessionRecords
from fanwire.sessions.store import Record

RECORD = Record(id="s1", owner="ann", lineage="s0", rooms={"a": ("5f", 7)})


async def test_what_is_saved_is_found_by_another() -> None:
    bus = MemoryBus()
    here, there = SessionRecords(MemoryBackplane(bus)), SessionRecords(MemoryBackplane(bus))
    assert here.is_shared
    await here.save(RECORD, 60)
    assert await there.load("s1") == RECORD
    assert await there.load("s2") is None
    await there.delete("s1")
    assert await here.load("s1") is None


async def test_without_the_backplane_nothing_is_saved_and_nothing_found() -> None:
    bus = MemoryBus()
    records = SessionRecords(MemoryBackplane(bus))
    await records.save(RECORD, 60)
    bus.is_up = False
    await records.save(Record(id="s2", owner="", lineage="s2"), 60)
    assert await records.load("s1") is None
    await records.delete("s1")
    bus.is_up = True
    assert await records.load("s1") == RECORD
    assert await records.load("s2") is None


async def test_ids_that_none_of_ours_is() -> None:
    records = SessionRecords(MemoryBackplane(MemoryBus()))
    for name in ("", "x" * (ID_MAX + 1)):
        assert await records.load(name) is None


async def test_a_record_of_another_version_is_none() -> None:
    bus = MemoryBus()
    backplane = MemoryBackplane(bus)
    for data in (b"", b"\xc1", b"\x80", b"\x92\xa6revoke\xa1\xff"):
        await backplane.put("s1", data, 60)
        assert await SessionRecords(backplane).load("s1") is None
