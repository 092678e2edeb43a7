"""The client's protocol, rule by rule, driven through frames: calls, what a server must not send, and the end."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.by_hand import RATE_LIMITED, Driver, only, sent, seqs

from fanwire.client import actions as do
from fanwire.client.heartbeat import WELCOME
from fanwire.errors import Closed, ConnectionFailed
from fanwire.state import ConnectionState

# Calls.


def test_answers_of_all_sorts() -> None:
    driver = Driver().up()
    publish = driver.machine.commands.publish("r", {"a": 1}, "k")
    request = driver.machine.commands.request("sum", [1, 2])
    empty = driver.machine.commands.request("nothing")
    presence = driver.machine.commands.request("presence", room="r")
    frames = sent(driver.take())
    assert frames[0] == {"type": "publish", "id": publish, "room": "r", "key": "k", "payload": {"a": 1}}
    assert frames[1] == {"type": "sum", "id": request, "payload": [1, 2]}
    assert driver.hear("reply", re=request, payload=3) == [do.ResolveCall(request, 3)]
    assert driver.hear("reply", re=publish, room="r", seq=9) == [do.ResolveCall(publish, 9)]
    assert driver.hear("reply", re=empty) == [do.ResolveCall(empty, None)]
    assert driver.hear("reply", re=presence, payload={"count": 0}) == [do.ResolveCall(presence, {"count": 0})]
    assert driver.hear("reply", re=publish, room="r", seq=9) == []


def test_an_applications_type_may_have_any_name() -> None:
    driver = Driver().up()
    key = driver.machine.commands.request("rejoin", 1)
    driver.take()
    driver.lose()
    driver.open()
    assert [frame["id"] for frame in sent(driver.welcome(session="T"))] == [key]
    assert driver.hear("reply", re=key, payload=2) == [do.ResolveCall(key, 2)]


def test_an_error_that_answers_nothing_is_told() -> None:
    driver = Driver().up()
    (action,) = driver.hear("error", payload={"code": "bad_message", "text": "t", "retry": False})
    assert isinstance(action, do.Complained)
    assert str(action.error) == "bad_message: t"
    # An answer that no call waits for any more has no effect.
    assert driver.hear("error", re="c-99", payload={"code": "overloaded", "retry": True}) == []


def test_a_call_that_comes_too_fast_is_told_when_it_may_come_again() -> None:
    driver = Driver().up()
    for key in (
        driver.machine.commands.publish("r", 1),
        driver.machine.commands.request("sum", [1]),
        driver.machine.commands.join("r"),
    ):
        (reject,) = only(driver.hear("error", re=key, payload=RATE_LIMITED), do.RejectCall)
        assert (reject.key, reject.error.code) == (key, "rate_limited")
        assert (reject.error.retry, reject.error.retry_after_ms) == (True, 500)
    assert driver.wait(10) == []
    assert driver.machine.state is ConnectionState.OPEN


def test_what_cannot_be_encoded_or_is_too_large_is_the_callers_error_and_leaves_nothing() -> None:
    driver = Driver().up(max_message=100)
    with pytest.raises(TypeError):
        driver.machine.commands.publish("r", object())
    with pytest.raises(ValueError, match="100 bytes"):
        driver.machine.commands.publish("r", "x" * 100)
    with pytest.raises(ValueError, match="type of the protocol"):
        driver.machine.commands.request("publish", 1)
    assert driver.take() == []
    assert not driver.machine.is_full


# What a server must not send.


@pytest.mark.parametrize(
    "frame",
    [
        "", "{", "[]", "null", "1", '"x"', "{}", b"{}", '{"type":1}', '{"type":"message","room":"r"}',
        '{"type":"message","room":"r","seq":-1}', '{"type":"message","room":"r","seq":"1"}',
        '{"type":"message","id":7}',
        '{"type":"joined"}', '{"type":"joined","room":"r"}', '{"type":"left"}', '{"type":"reply"}',
        '{"type":"skipped","room":"r","payload":{"reason":"x","count":1,"first":3,"last":2}}',
        '{"type":"skipped","room":"r","payload":{"reason":"x","count":1,"first":1,"last":9223372036854775808}}',
        '{"type":"skipped","room":"r"}', '{"type":"member_joined","room":"r"}', '{"type":"error"}',
        '{"type":"received"}', '{"type":"closing"}', '{"type":"welcome","payload":{"session":"S","resumed":false}}',
        "[" * 100_000, '{"type":"x","payload":' + "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_not_the_protocol_ends_the_session_and_not_the_client(frame: bytes | str) -> None:
    driver = Driver().up()
    driver.joined()
    actions = driver.frame(frame)
    assert [type(action) for action in actions] == [do.Drop, do.StateChanged, do.Connect]
    assert only(actions, do.Drop)[0].code == 1002
    assert only(actions, do.Connect)[0].query == {}
    assert driver.message(1) == []


def test_a_number_that_no_float_holds_or_that_cannot_be_sent_back_ends_the_session() -> None:
    driver = Driver()
    driver.open()
    assert only(driver.welcome(heartbeat_ms=10**400), do.Drop)
    driver.up()
    key = driver.machine.commands.join("r")
    for seq, most in ((0, 1 << 64), (0, -1 << 64), (1 << 64, None)):
        joined = driver.hear("joined", re=key, room="r", seq=seq, payload={"epoch": "e", "max_bytes": most})
        assert only(joined, do.Drop)
        driver.up(session="T")


def test_something_before_the_welcome() -> None:
    driver = Driver()
    driver.open()
    assert only(driver.hear("message", payload=1), do.Drop)


def test_an_answer_that_is_none_leaves_the_question() -> None:
    driver = Driver().up()
    publish = driver.machine.commands.publish("r", 1)
    join = driver.machine.commands.join("r")
    driver.take()
    assert only(driver.hear("reply", re=publish, room="r"), do.Drop)
    driver.open()
    assert [frame["id"] for frame in sent(driver.welcome(session="T"))] == [join, publish]
    assert only(driver.hear("joined", re=join, room="r", payload={"epoch": "e"}), do.Drop)
    driver.open()
    assert [frame["id"] for frame in sent(driver.welcome(session="U"))] == [join, publish]


def test_unknown_fields_and_types_are_ignored() -> None:
    driver = Driver().up()
    assert driver.raw({"type": "news", "id": "1", "colour": "red"}) == []
    assert driver.raw({"type": "left", "re": "nobody", "room": "r"}) == []
    assert driver.message(1, "elsewhere") == []


# Signs of life.


@pytest.mark.parametrize(("own", "seconds"), [(None, 25.0), (5.0, 5.0)])
def test_silence_is_answered_with_a_ping_and_then_with_a_new_connection(own: float | None, seconds: float) -> None:
    driver = Driver(heartbeat=own).up()
    assert driver.machine.deadline == driver.now + seconds
    assert driver.wait(seconds - 0.1) == []
    assert sent(driver.wait(0.1)) == [{"type": "ping"}]
    assert driver.wait(seconds / 2) == []
    driver.hear("pong")
    assert sent(driver.wait(seconds)) == [{"type": "ping"}]
    actions = driver.wait(seconds)
    assert [type(action) for action in actions] == [do.Drop, do.StateChanged, do.Connect]
    # Not a code that ends the session.
    assert only(actions, do.Drop)[0].code == 4000
    assert only(actions, do.Connect)[0].query == {"session": "S", "received": "0"}


def test_a_server_that_does_not_say_welcome() -> None:
    driver = Driver()
    driver.open()
    assert driver.machine.deadline == driver.now + WELCOME
    assert [type(action) for action in driver.wait(WELCOME)] == [do.Drop, do.Connect]


# The end.


@pytest.mark.parametrize(
    ("code", "comes_back"),
    [(1000, False), (1001, True), (1002, False), (1005, True), (1006, True), (1008, False), (1011, True),
     (1012, True), (4008, True), (4499, True), (4500, False), (4999, False)],
)  # fmt: skip
def test_the_close_code_says_whether_to_come_back(code: int, comes_back: bool) -> None:
    driver = Driver().up()
    actions = driver.lose(code, "because")
    if comes_back:
        assert only(actions, do.Connect)
        return
    assert driver.machine.state is ConnectionState.CLOSED
    (changed,) = only(actions, do.StateChanged)
    assert isinstance(changed.error, ConnectionFailed)
    assert (changed.error.code, changed.error.reason, str(changed.error)) == (code, "because", f"{code} because")


def test_closing_says_it_better() -> None:
    driver = Driver().up()
    payload = {"code": 1001, "reason": "restart", "reconnect": True, "after_ms": 3000}
    assert driver.hear("closing", payload=payload) == []
    assert 3 <= only(driver.lose(1000), do.Connect)[0].delay <= 3.3
    driver.up(session="T")
    driver.hear("closing", payload={"code": 1001, "reason": "for good", "reconnect": False})
    (changed,) = driver.lose(1001)
    assert isinstance(changed, do.StateChanged)
    assert str(changed.error) == "1001 for good"


def test_what_was_said_of_a_connection_is_not_said_of_the_attempts_after_it() -> None:
    driver = Driver().up()
    driver.hear("closing", payload={"code": 1001, "reason": "restart", "reconnect": True, "after_ms": 3000})
    assert only(driver.lose(1001), do.Connect)[0].delay >= 3
    assert only(driver.lose(), do.Connect)[0].delay <= 1


@pytest.mark.parametrize("after", [-(10**400), -1, 10**400])
def test_a_wait_that_is_none_does_not_end_the_program(after: int) -> None:
    for code in (1001, 4000):
        driver = Driver().up()
        actions = driver.hear("closing", payload={"code": code, "reconnect": True, "after_ms": after})
        (connect,) = only(actions or driver.lose(1001), do.Connect)
        assert 0 <= connect.delay <= 3600 * 1.1


@pytest.mark.parametrize(("code", "text"), [(4501, "token has expired"), (4502, "has revoked this session")])
def test_who_is_sent_away_for_good_is_told_why(code: int, text: str) -> None:
    driver = Driver().up()
    (changed,) = driver.lose(code)
    assert isinstance(changed, do.StateChanged)
    assert isinstance(changed.error, ConnectionFailed)
    assert changed.error.code == code
    assert text in changed.error.reason
    assert str(changed.error) == f"{code} {changed.error.reason}"
    driver = Driver().up()
    (changed,) = driver.lose(code, "moved to another server")
    assert isinstance(changed, do.StateChanged)
    assert str(changed.error) == f"{code} moved to another server"


# Asked to come back.

COME_BACK = {"code": 4000, "reason": "please reconnect", "reconnect": True, "after_ms": 2000}


def test_who_is_asked_to_come_back_goes_at_once_and_resumes() -> None:
    driver = Driver().up(ack_frames=2)
    driver.joined()
    driver.message(1)
    publish = driver.machine.commands.publish("r", "mine")
    (frame,) = only(driver.take(), do.Send)
    driver.now += 60
    actions = driver.hear("closing", payload=COME_BACK)
    assert actions[:2] == [
        do.Drop(4000, "please reconnect", is_asked=True),
        do.StateChanged(ConnectionState.RECONNECTING),
    ]
    (connect,) = actions[2:]
    assert isinstance(connect, do.Connect)
    assert connect.query == {"session": "S", "received": "3"}
    assert 2 <= connect.delay <= 2.2
    # What was under way does not count: it comes again.
    assert driver.message(2) == []
    assert driver.machine.deadline is None
    driver.open()
    assert only(driver.welcome(resumed=True, received=1), do.Send) == [do.Send(frame.frame)]
    assert seqs(driver.message(2)) == [2]
    assert driver.hear("reply", re=publish, room="r", seq=3) == [do.ResolveCall(publish, 3)]


def test_what_is_given_meanwhile_waits() -> None:
    driver = Driver().up()
    driver.hear("closing", payload=COME_BACK)
    key = driver.machine.commands.publish("r", 1)
    assert driver.take() == []
    driver.open()
    assert [frame["id"] for frame in sent(driver.welcome(resumed=True))] == [key]


def test_coming_back_is_no_failure() -> None:
    driver = Driver(max_attempts=1)
    for _ in range(50):
        driver.up(resumed=driver.machine.session.id == "S")
        assert only(driver.hear("closing", payload={**COME_BACK, "after_ms": 0}), do.Connect)
    # What then fails is one.
    driver.lose()
    assert str(driver.machine.error) == "given up after 1 attempt since the connection was lost: 1006"


def test_a_session_that_is_gone_meanwhile_is_begun_anew() -> None:
    driver = Driver().up()
    driver.joined()
    driver.hear("closing", payload=COME_BACK)
    driver.open()
    (frame,) = sent(driver.welcome(session="T", reason="expired"))
    assert (frame["type"], frame["payload"]) == ("join", {"since": {"epoch": "e", "seq": 0}})


@pytest.mark.parametrize(
    "payload",
    [{"code": 1001, "reconnect": True}, {"code": 4008, "reconnect": True}, {"code": 4000, "reconnect": False}],
)
def test_any_other_closing_waits_for_the_close_frame(payload: dict[str, Any]) -> None:
    driver = Driver().up()
    driver.joined()
    assert driver.hear("closing", payload=payload) == []
    assert seqs(driver.message(1)) == [1]
    assert driver.machine.state is ConnectionState.OPEN


def test_a_client_that_closes_is_not_asked_to_come_back() -> None:
    driver = Driver().up()
    driver.machine.close()
    driver.take()
    assert driver.hear("closing", payload=COME_BACK) == []


def test_the_end_fails_what_waits() -> None:
    driver = Driver().up()
    driver.joined()
    publish, join = driver.machine.commands.publish("r", 1), driver.machine.commands.join("s")
    driver.take()
    actions = driver.lose(4500, "banned")
    assert [action.key for action in only(actions, do.RejectCall)] == [publish, join]
    assert [(action.room, str(action.error)) for action in only(actions, do.Left)] == [
        ("r", "4500 banned"), ("s", "4500 banned")
    ]  # fmt: skip
    with pytest.raises(ConnectionFailed, match="4500 banned"):
        driver.machine.commands.publish("r", 1)
    for actions in (driver.open(), driver.message(1), driver.lose(), driver.wait(100)):
        assert actions == []
    driver.machine.close()
    assert driver.take() == []


def test_it_gives_up() -> None:
    driver = Driver(max_attempts=2)
    assert only(driver.lose(reason="refused"), do.Connect)
    assert driver.machine.state is ConnectionState.CONNECTING
    driver.lose(reason="refused")
    assert str(driver.machine.error) == "given up after 2 attempts in a row, in 0 s: 1006 refused"


@pytest.mark.parametrize(("status", "is_renewable", "outcome"), [
    (401, False, "fail"), (401, True, "now"), (403, True, "fail"), (404, False, "fail"), (400, False, "fail"),
    (302, False, "fail"), (408, False, "later"), (425, False, "later"), (429, False, "later"), (503, False, "later"),
    (500, False, "later"),
])  # fmt: skip
def test_refusals(status: int, is_renewable: bool, outcome: str) -> None:
    driver = Driver()
    driver.machine.refused(status, 7.0, driver.now, is_renewable=is_renewable)
    actions = driver.take()
    if outcome == "fail":
        assert isinstance(driver.machine.error, ConnectionFailed)
        assert driver.machine.error.status == status
        assert ("path of the URL" in str(driver.machine.error)) == (status in (403, 404))
        assert ("token" in str(driver.machine.error)) == (status in (401, 403))
    else:
        (connect,) = only(actions, do.Connect)
        assert connect.delay == 0 if outcome == "now" else 7 <= connect.delay <= 7.7


def test_a_new_token_is_tried_once_for_each_welcome() -> None:
    driver = Driver()
    for _ in range(2):
        driver.machine.refused(401, None, driver.now, is_renewable=True)
        assert only(driver.take(), do.Connect)
        driver.up()
        driver.lose()
    for _ in range(2):
        driver.machine.refused(401, None, driver.now, is_renewable=True)
    assert driver.machine.state is ConnectionState.CLOSED


def test_closing_with_a_connection_waits_for_it() -> None:
    driver = Driver().up()
    driver.joined()
    key = driver.machine.commands.publish("r", 1)
    driver.take()
    driver.machine.close()
    assert driver.take() == [do.StateChanged(ConnectionState.CLOSING), do.Close(1000)]
    assert driver.machine.deadline is None
    assert driver.message(1) == []
    with pytest.raises(Closed):
        driver.machine.commands.join("s")
    actions = driver.lose(1000)
    assert actions[0] == do.StateChanged(ConnectionState.CLOSED)
    assert [action.key for action in only(actions, do.RejectCall)] == [key]
    assert isinstance(only(actions, do.RejectCall)[0].error, Closed)
    assert only(actions, do.Left) == [do.Left("r")]
    assert driver.machine.error is None


def test_closing_without_a_connection_is_at_once() -> None:
    driver = Driver().up()
    driver.lose()
    driver.machine.close()
    assert driver.take() == [do.Close(1000), do.StateChanged(ConnectionState.CLOSED)]
    assert driver.open() == []
