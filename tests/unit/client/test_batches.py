"""Several envelopes in one message: each counts and is handled as if it had come alone."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.by_hand import Driver, only, sent, seqs

from fanwire.client import actions as do
from fanwire.client.codec import ClientCodec
from fanwire.client.errors import ProtocolError


def message(seq: int, room: str = "r", **more: Any) -> dict[str, Any]:
    return {"type": "message", "id": f"m{seq}", "ts": 1, "room": room, "seq": seq, "payload": seq, **more}


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_each_message_is_delivered_in_order_and_counts(encoding: str) -> None:
    driver = Driver(encoding).up(ack_frames=4)
    driver.joined()
    received = driver.machine.session.received
    actions = driver.raw([message(seq) for seq in range(1, 6)])
    assert seqs(actions) == [1, 2, 3, 4, 5]
    assert driver.machine.session.received == received + 5
    # As due, and not at the end of the batch.
    place = [isinstance(action, do.Send) for action in actions].index(True)
    assert sent(actions) == [{"type": "received", "payload": {"count": 4}}]
    assert seqs(actions[:place]) == [1, 2, 3]


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("ack_bytes", [100, 150, 250])
def test_each_has_the_bytes_that_it_would_have_alone(encoding: str, ack_bytes: int) -> None:
    sizes = [0, 150, 3, 40, 0, 90]
    messages = [message(seq, payload="\u00e9" * size) for seq, size in enumerate(sizes, 1)]
    drivers = [Driver(encoding).up(ack_bytes=ack_bytes) for _ in range(2)]
    for driver in drivers:
        driver.joined()
    batch = sent(drivers[0].raw(messages))
    alone = [frame for each in messages for frame in sent(drivers[1].raw(each))]
    assert batch == alone != []


def test_answers_of_all_sorts_come_in_batches() -> None:
    driver = Driver().up()
    key = driver.machine.commands.join("r")
    driver.take()
    joined = {"type": "joined", "re": key, "room": "r", "seq": 0, "payload": {"epoch": "e", "delivery": "reliable"}}
    skipped = {"type": "skipped", "room": "r", "payload": {"reason": "excluded", "count": 1, "first": 2, "last": 2}}
    actions = driver.raw([joined, message(1), skipped, message(3), {"type": "unknown"}])
    assert seqs(actions) == [1, 3]
    assert [type(action) for action in only(actions, do.Joined) + only(actions, do.Gap)] == [do.Joined]


def test_one_that_is_wrong_ends_the_session_behind_those_before_it() -> None:
    driver = Driver().up()
    driver.joined()
    actions = driver.raw([message(1), message(2), {"type": 7}, message(3)])
    assert seqs(actions) == [1, 2]
    assert only(actions, do.Drop)
    assert driver.machine.session.id is None


@pytest.mark.parametrize("frame", ['[{"type":"a"}', "[1]", "[]", '[{"type":"a"},]', "[[]]", '[{"type":"a"}]x'])
def test_what_is_no_batch_ends_the_session(frame: str) -> None:
    driver = Driver().up()
    assert only(driver.frame(frame), do.Drop)


@pytest.mark.parametrize(
    "frame", [b"\x92\x81\xa4type\xa1a", b"\x91\x01", b"\x90", b"\xdd\xff\xff\xff\xff", b"\xdc\x00"]
)
def test_what_is_no_batch_in_messagepack_ends_the_session(frame: bytes) -> None:
    driver = Driver("msgpack").up()
    assert only(driver.frame(frame), do.Drop)


def test_a_payload_that_cannot_be_read_is_one_message_lost() -> None:
    driver = Driver().up()
    driver.joined()
    actions = driver.raw([message(1), {**message(2), "encoding": "base64", "payload": "?"}, message(3)])
    assert seqs(actions) == [1, 3]
    assert len(only(actions, do.NotRead)) == 1


def test_nothing_is_taken_behind_the_end_of_the_connection() -> None:
    driver = Driver().up()
    driver.joined()
    received = driver.machine.session.received
    closing = {"type": "closing", "payload": {"code": 4000, "reason": "", "reconnect": True}}
    actions = driver.raw([message(1), closing, message(2)])
    assert seqs(actions) == [1]
    # What comes behind it comes again over the next connection.
    assert driver.machine.session.received == received + 2


def test_those_that_came_before_over_another_link_are_dropped_one_by_one() -> None:
    driver = Driver().up()
    driver.joined()
    driver.machine.switching()
    driver.raw([message(1), message(2)])
    driver.machine.switched(driver.now)
    driver.welcome(resumed=True)
    assert seqs(driver.raw([message(1), message(2), message(3), message(4)])) == [3, 4]


def test_a_welcome_comes_first() -> None:
    driver = Driver()
    driver.open()
    assert only(driver.raw([message(1), message(2)]), do.Drop)


def test_a_frame_of_the_other_encoding_is_not_split() -> None:
    for encoding, frame in (("json", b"\x92\x01\x02"), ("msgpack", "[1,2]")):
        codec = ClientCodec(encoding)
        assert codec.split(frame) == (frame,)
        with pytest.raises(ProtocolError):
            codec.decode(frame)
