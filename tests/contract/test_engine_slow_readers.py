"""What every engine tells of those who do not read what they are sent."""

from __future__ import annotations

from typing import Any

from helpers.rig import Rig


def test_a_slow_reader_is_listed_with_what_waits_for_it(rig: Rig) -> None:
    quick, slow = rig.peer(), rig.peer()
    for peer in (quick, slow):
        rig.engine.join(peer.conn, "r", reply=True)
        assert peer.envelope()["type"] == "joined"
    assert rig.engine.slow_readers(5, 10.0) == (0, [])
    slow.stalls()
    published = 0
    while not (listed := rig.engine.slow_readers(5, 10.0)[1]) or listed[0][2] < 20:
        # The kernel takes some before anything waits.
        published += 1
        rig.engine.publish("r", "x" * 9_000)
        quick.envelope()
    found: list[Any] = []

    def is_at_rest() -> bool:
        # The kernel may take a little more at any time.
        found[:] = rig.engine.slow_readers(5, 10.0), rig.engine.connection_reading(slow.conn, 10.0)
        _, [(_, size, messages, _, _, sent, _)] = found[0]
        reading = found[1]
        return (reading["waiting_bytes"], reading["waiting_messages"], reading["sent_messages"]) == (
            size,
            messages,
            sent,
        )

    rig.becomes(is_at_rest)
    (count, [(conn, size, messages, age, waits_for, sent, dropped)]), reading = found
    assert (count, conn, waits_for, dropped) == (1, slow.conn, "socket", 0)
    assert size >= 9_000 * messages > 0
    assert sent + messages <= published + 1
    assert age >= 0
    assert rig.engine.slow_readers(0, 10.0) == (1, [])
    assert (reading["waits_for"], reading["drops"]) == ("socket", {})
    assert reading["highest_queue"] >= size
    assert reading["waiting_age"] >= age
    other = rig.engine.connection_reading(quick.conn, 10.0)
    assert other is not None
    assert (other["sent_messages"], other["waiting_bytes"], other["waits_for"]) == (published + 1, 0, None)
    assert rig.engine.connection_reading(quick.conn + 1_000, 10.0) is None
