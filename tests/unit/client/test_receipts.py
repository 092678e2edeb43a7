"""Messages to this client alone, driven through frames."""

from __future__ import annotations

from helpers.by_hand import Driver, only, sent

from fanwire.client import actions as do
from fanwire.client.message import Message
from fanwire.client.receipts import MAX_REMEMBERED


def test_an_ack_is_sent_once_the_message_is_processed_and_again_for_a_duplicate() -> None:
    driver = Driver().up()
    envelope = {"type": "message", "id": "m1", "ack": True, "payload": "x"}
    assert driver.raw(envelope) == [do.Deliver(Message("x", id="m1"), ack=True)]
    assert driver.raw(envelope) == []
    driver.machine.commands.processed("m1")
    assert sent(driver.take()) == [{"type": "ack", "re": "m1"}]
    driver.machine.commands.processed("m1")
    assert driver.take() == []
    assert sent(driver.raw(envelope)) == [{"type": "ack", "re": "m1"}]


def test_an_ack_is_a_counted_frame() -> None:
    driver = Driver().up()
    driver.raw({"type": "message", "id": "m1", "ack": True, "payload": "x"})
    driver.lose()
    driver.machine.commands.processed("m1")
    assert driver.take() == []
    driver.open()
    assert sent(driver.welcome(resumed=True)) == [{"type": "ack", "re": "m1"}]


def test_remembered_ids_are_bounded() -> None:
    driver = Driver().up()
    for number in range(MAX_REMEMBERED + 1):
        driver.raw({"type": "message", "id": f"m{number}", "ack": True, "payload": 0})
    assert only(driver.raw({"type": "message", "id": "m0", "ack": True, "payload": 0}), do.Deliver)
    assert driver.raw({"type": "message", "id": f"m{MAX_REMEMBERED}", "ack": True, "payload": 0}) == []


def test_bytes_travel_in_both_encodings() -> None:
    json_driver = Driver().up()
    json_driver.machine.commands.publish("r", b"\x00\xff")
    (frame,) = sent(json_driver.take())
    assert (frame["payload"], frame["encoding"]) == ("AP8=", "base64")
    (deliver,) = json_driver.raw({"type": "message", "payload": "AP8=", "encoding": "base64"})
    assert isinstance(deliver, do.Deliver)
    assert deliver.message.data == b"\x00\xff"
    binary_driver = Driver("msgpack").up()
    binary_driver.machine.commands.publish("r", b"\x00\xff")
    (frame,) = sent(binary_driver.take())
    assert (frame["payload"], "encoding" in frame) == (b"\x00\xff", False)
    (deliver,) = binary_driver.raw({"type": "message", "payload": b"\x00\xff"})
    assert isinstance(deliver, do.Deliver)
    assert deliver.message.data == b"\x00\xff"
