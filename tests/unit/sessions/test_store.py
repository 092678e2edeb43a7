"""Records in memory: kept, replaced, forgotten in time."""

from __future__ import annotations

from fanwire.sessions.store import MemoryStore, Record


def record(id: str, ended: str | None = None) -> Record:
    return Record(id=id, owner="o", lineage=id, ended=ended)


def test_records_live_as_long_as_they_were_given() -> None:
    now = 0.0
    store = MemoryStore(clock=lambda: now)
    store.save(record("a"), 10)
    store.save(record("a", "expired"), 20)
    found = store.load("a")
    assert found is not None
    assert found.ended == "expired"
    now = 20.1
    assert store.load("a") is None
    assert len(store) == 0


def test_the_oldest_go_first() -> None:
    store = MemoryStore(max_records=2)
    for name in "aba":
        store.save(record(name), 10)
    store.save(record("c"), 10)
    assert [store.load(name) is not None for name in "abc"] == [True, False, True]
    store.delete("a")
    store.delete("a")
    assert len(store) == 1
