"""How every engine ends connections, and in which order it tells what happens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from helpers.rig import Event, Rig

from fanwire._engine import Closed, Overloaded

KINDS = ["json", None]


@pytest.mark.parametrize("session", KINDS)
def test_the_host_closes_and_the_client_answers(rig: Rig, session: str | None) -> None:
    peer = rig.peer(session)
    rig.engine.send(peer.conn, "before")
    rig.engine.close(peer.conn, 1001, "bye")
    rig.engine.close(peer.conn, 1002, "later")
    rig.engine.send(peer.conn, "after")
    frames, farewell = peer.rest()
    assert (len(frames), farewell) == (1, (1001, "bye"))
    # What it says after that does not count.
    peer.says("late")
    peer.closes(1001)
    events = rig.until("closed")
    assert [(kind, link) for kind, link, _ in events if kind != "peer_closed"] == [
        ("ended", peer.conn), ("closed", peer.link),
    ]  # fmt: skip
    assert events[-1][2] == "over"
    assert peer.is_over()


def test_a_close_without_a_code_is_empty_and_a_long_reason_is_cut(rig: Rig) -> None:
    first, second = rig.peer(), rig.peer()
    rig.engine.close(first.conn, None, "unheard")
    rig.engine.close(second.conn, 4999, "\N{SNOWMAN}" * 100)
    assert first.rest()[1] == (None, "")
    assert second.rest()[1] == (4999, "\N{SNOWMAN}" * 41)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_codes_that_may_not_be_sent(rig: Rig, code: int) -> None:
    peer = rig.peer()
    for call in (
        lambda: rig.engine.close(peer.conn, code),
        lambda: rig.engine.retire(peer.conn, peer.link, (code, ""), False),
    ):
        with pytest.raises(ValueError, match=r"the close code [0-9]+ must not be sent"):
            call()
    with pytest.raises(OverflowError):
        rig.engine.close(peer.conn, 1 << 16)


@pytest.mark.parametrize("session", KINDS)
def test_the_client_closes_and_messages_come_before_that(rig: Rig, session: str | None) -> None:
    peer = rig.peer(session)
    for text in ("a", "b", "c"):
        peer.says(text)
    peer.closes(1000, "done")
    events = rig.until("closed")
    messages = [text for kind, _, detail in events if kind == "messages" for text in detail[1]]
    assert messages == ["a", "b", "c"]
    order = [kind for kind, _, _ in events if kind not in ("messages", "ended")]
    assert order == ["peer_closed", "closed"]
    last = max(place for place, (kind, _, _) in enumerate(events) if kind == "messages")
    assert [kind for kind, _, _ in events].index("peer_closed") > last
    assert next(detail for kind, _, detail in events if kind == "peer_closed") == (1000, "done")
    assert events[-1] == ("closed", peer.link, "over")
    assert peer.rest()[1] == (1000, "done")


def test_a_close_without_a_code_is_answered_without_one(rig: Rig) -> None:
    peer = rig.peer()
    peer.closes()
    assert rig.event("peer_closed") == (peer.link, (None, ""))
    assert rig.event("closed") == (peer.link, "over")
    assert peer.rest() == ([], (None, ""))


def test_a_code_of_a_client_that_comes_back_is_left_to_the_host(rig: Rig) -> None:
    peer, raw = rig.peer(), rig.peer(None)
    for each in (peer, raw):
        each.closes(4499, "soon")
    # Without a session there is nothing to decide.
    assert rig.event("closed") == (raw.link, "over")
    rig.engine.close(peer.conn, 1000, "no", False)
    assert rig.event("closed") == (peer.link, "over")
    assert (peer.rest()[1], raw.rest()[1]) == ((1000, "no"), (4499, "soon"))


def test_a_client_without_a_session_that_leaves(rig: Rig) -> None:
    peer = rig.peer(None)
    # A socket that is closed with bytes that it has not read resets its connection.
    rig.engine.send(peer.conn, "first")
    assert peer.frames(1) == ["first"]
    peer.says("last")
    peer.leaves()
    events = rig.until("closed")
    assert ("messages", peer.link, (4, ["last"])) in events
    assert events[-1] == ("closed", peer.link, "eof")


@pytest.mark.parametrize(("session", "kind"), [("json", "parked"), (None, "closed")])
def test_a_client_that_resets_its_connection(rig: Rig, session: str | None, kind: str) -> None:
    peer = rig.peer(session)
    rig.engine.send(peer.conn, "text")
    assert len(peer.frames(1)) == 1
    peer.resets()
    assert rig.event(kind) == (peer.link, "reset")


@pytest.mark.parametrize("session", KINDS)
def test_a_client_that_breaks_a_rule(rig: Rig, session: str | None) -> None:
    peer = rig.peer(session)
    peer.breaks()
    link, (code, reason) = rig.event("broke")
    assert (link, code) == (peer.link, 1002)
    assert peer.rest() == ([], (1002, reason))
    peer.leaves()
    assert rig.event("closed")[0] == peer.link


def test_what_came_before_a_broken_rule_is_answered_first(rig: Rig) -> None:
    peer = rig.peer()
    peer.says("before")
    peer.breaks()
    events = rig.until("broke")
    assert ("messages", peer.link, (6, ["before"])) in events
    code, reason = events[-1][2]
    rig.engine.send_envelope(peer.conn, "json", b'{"type":"reply"}')
    rig.engine.close(peer.conn, code, reason)
    frames, farewell = peer.rest()
    # Where the two came one by one, the engine has closed it already.
    assert frames in ([], ['{"type":"reply"}'])
    assert farewell == (1002, reason)


def test_a_client_that_does_not_read_is_closed_as_slow(rigged: Callable[..., Rig]) -> None:
    rig = rigged(connection_bytes=100_000)
    peer = rig.peer()
    peer.stalls()
    events: list[Event] = []

    def is_slow() -> bool:
        # The kernel takes some megabytes before anything waits.
        for _ in range(50):
            with contextlib.suppress(Overloaded):
                rig.engine.send(peer.conn, "x" * 60_000)
        events.extend(rig.engine.events())
        return bool(events)

    rig.becomes(is_slow)
    assert events == [("closing", peer.link, "slow")]
    frames, farewell = peer.rest()
    assert farewell == (4008, "too slow, reconnect")
    peer.closes(4008)
    _, (messages, _, drops, highest_queue, _) = rig.event("ended")
    assert messages == len(frames)
    assert highest_queue > 60_000
    assert drops["closed"] >= 1
    assert rig.event("closed") == (peer.link, "over")


@pytest.mark.parametrize("session", KINDS)
def test_a_client_that_does_not_answer_a_close_is_ended(rigged: Callable[..., Rig], session: str | None) -> None:
    rig = rigged(close_timeout=0.05)
    peer = rig.peer(session)
    rig.engine.close(peer.conn, 1000)
    assert peer.rest() == ([], (1000, ""))
    rig.let_close_timeout_pass()
    assert rig.event("closed") == (peer.link, "close timeout")
    assert peer.is_over()


def test_a_connection_that_the_host_drops(rig: Rig) -> None:
    peer, raw = rig.peer(), rig.peer(None)
    for each in (peer, raw):
        rig.engine.join(each.conn, "r")
        rig.engine.gone(each.conn)
        assert [(kind, link) for kind, link, _ in rig.until("closed")] == [("ended", each.conn), ("closed", each.link)]
        assert each.is_over()
    rig.becomes(lambda: rig.engine.members("r") == 0)


def test_a_link_without_a_session_that_is_cut(rig: Rig) -> None:
    raw = rig.peer(None)
    rig.engine.cut(raw.conn, raw.link)
    assert rig.event("closed") == (raw.link, "cut")
    assert raw.is_over()


def test_an_end_tells_what_was_sent(rig: Rig) -> None:
    peer = rig.peer()
    for _ in range(3):
        rig.engine.send(peer.conn, "text")
    assert len(peer.envelopes(3)) == 3
    rig.engine.gone(peer.conn)
    conn, (messages, size, drops, highest_queue, median_age) = rig.event("ended")
    assert (conn, messages, drops) == (peer.conn, 3, {})
    assert size > 3 * 50
    assert highest_queue > 50
    assert median_age is None, "the client has reported no age"


def test_messages_are_text_or_bytes_with_their_size(rig: Rig) -> None:
    peer = rig.peer()
    for frame in ("\N{SNOWMAN}", b"\x00\xff", ""):
        peer.says(frame)
    heard: list[str | bytes] = []
    size = 0
    while len(heard) < 3:
        link, (more, messages) = rig.event("messages")
        assert link == peer.link
        heard += messages
        size += more
    assert (heard, size) == (["\N{SNOWMAN}", b"\x00\xff", ""], 5)


def test_a_flood_of_one_does_not_delay_the_others(rig: Rig) -> None:
    loud, quiet = rig.peer(), rig.peer()
    for number in range(30):
        loud.says(str(number))
    quiet.says("here")
    heard: dict[int, list[str]] = {loud.link: [], quiet.link: []}
    while sum(map(len, heard.values())) < 31:
        link, (_, messages) = rig.event("messages")
        heard[link] += messages
    assert heard == {loud.link: [*map(str, range(30))], quiet.link: ["here"]}


def test_what_is_held_is_not_read(rig: Rig) -> None:
    peer, other = rig.peer(), rig.peer()
    rig.engine.hold(peer.conn, True)
    # When this has come, the engine has seen the order before it.
    rig.engine.send(peer.conn, "held")
    assert peer.envelope()["payload"] == "held"
    peer.says("waits")
    other.says("comes")
    assert rig.event("messages") == (other.link, (5, ["comes"]))
    rig.engine.hold(peer.conn, False)
    assert rig.event("messages") == (peer.link, (5, ["waits"]))


# The end of the engine.


def test_nothing_works_after_the_end(rigged: Callable[..., Rig]) -> None:
    rig = rigged()
    peer, newcomer = rig.peer(), rig.newcomer()
    engine = rig.engine
    engine.publish("r", b"x")
    assert engine.shutdown(10)
    assert engine.shutdown(0)
    for call in (
        lambda: engine.publish("r", b"x"),
        lambda: engine.deliver("r", 1, 1, b"x"),
        lambda: engine.place("r", "e", 1),
        lambda: engine.extend("r", "e", 1, []),
        lambda: engine.skip("r", 1, "backplane"),
        lambda: engine.floor("r"),
        lambda: engine.position("r"),
        lambda: engine.notify("r", "member_left", "{}", []),
        lambda: engine.join(peer.conn, "r"),
        lambda: engine.leave(peer.conn, "r"),
        lambda: engine.forget("r", "k"),
        lambda: engine.forget_older("r", "k", 1, True),
        lambda: engine.values("r"),
        lambda: engine.rooms(),
        lambda: engine.history("r", None, 1),
        lambda: engine.take_values("r", 0, []),
        lambda: engine.send(peer.conn, "x"),
        lambda: engine.send_envelope(peer.conn, "json", b"{}"),
        lambda: engine.send_control(peer.conn, "json", b"{}"),
        lambda: engine.broadcast("x"),
        lambda: engine.report(peer.conn, 1, None),
        lambda: engine.close(peer.conn, 1000),
        lambda: engine.cut(peer.conn, peer.link),
        lambda: engine.retire(peer.conn, peer.link, (1000, ""), True),
        lambda: engine.gone(peer.conn),
        lambda: engine.hold(peer.conn, True),
        lambda: engine.accept(newcomer.request),
        lambda: engine.refuse(newcomer.request, 503),
        lambda: engine.stop_listening(),
    ):
        with pytest.raises(Closed, match="shut down"):
            call()
    # What a host still asks while it stops.
    engine.left(newcomer.request)
    engine.set_ready(False)
    assert engine.members("r") >= 0
    assert not engine.has_value("r", "k")
    assert engine.now_ms > 0
    assert engine.stats()["published"] == 1


def test_the_end_is_told_of_all_that_were_there(rigged: Callable[..., Rig]) -> None:
    rig = rigged()
    peers = [rig.peer(), rig.peer(None)]
    rig.engine.broadcast("text")
    # Both are there when they have this.
    assert [len(peer.frames(1)) for peer in peers] == [1, 1]
    assert rig.engine.shutdown(10)
    events = rig.engine.events()
    assert sorted(link for kind, link, _ in events if kind == "ended") == sorted(peer.conn for peer in peers)
    assert {link: detail for kind, link, detail in events if kind == "closed"} == {peer.link: "cut" for peer in peers}
    assert rig.engine.events() == []
