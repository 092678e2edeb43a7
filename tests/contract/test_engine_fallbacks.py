"""How every engine carries connections by event streams and polls, and sessions from one transport to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers.rig import FAREWELL, Rig

FALLBACKS = ("sse", "long-poll")

TRANSPORTS = ("websocket", *FALLBACKS)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_request_names_its_transport(rig: Rig, transport: str) -> None:
    peer = rig.newcomer("/a?b=c", "fanwire.v1.json", "X-One: 1", transport=transport)
    target, headers, _, _, _, subprotocol, named, *_ = peer.asked
    assert target.startswith(b"/a?b=c")
    assert b"X-One: 1\r\n" in headers
    assert (subprotocol, named) == ("fanwire.v1.json", transport)
    rig.engine.accept(peer.request, "json", b'{"type":"welcome"}')
    assert peer.envelope() == {"type": "welcome"}
    assert rig.engine.stats()["handshakes"] == {101 if transport == "websocket" else 200: 1}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_request_is_refused(rig: Rig, transport: str) -> None:
    peer = rig.newcomer("/", "fanwire.v1.json", transport=transport)
    rig.engine.refuse(peer.request, 503, ["Retry-After: 7"])
    status, headers = peer.refusal()
    assert (status, headers["Retry-After"]) == (503, "7")


def test_a_stream_without_a_session(rig: Rig) -> None:
    peer = rig.newcomer(transport="sse")
    assert peer.asked[5:7] == ("fanwire.v1.raw", "sse")
    conn = rig.engine.accept(peer.request)
    rig.engine.join(conn, "room")
    rig.engine.publish("room", "one\ntwo")
    rig.engine.publish("room", b"\x00\xff")
    rig.engine.send(conn, "three")
    rig.engine.close(conn, 1001, "bye")
    assert peer.rest() == (["one\ntwo", b"\x00\xff", "three"], (1001, "bye"))
    assert peer.is_over()
    assert rig.event("closed") == (conn, "over")


@pytest.mark.parametrize("code", [None, 1000])
def test_a_close_event_says_what_a_close_frame_says(rig: Rig, code: int | None) -> None:
    peer = rig.peer("json", "sse")
    rig.engine.close(peer.conn, code, "reason")
    assert peer.rest() == ([], (code, "reason" if code else ""))
    assert rig.event("closed") == (peer.conn, "over")


@pytest.mark.parametrize("session", ["json", "msgpack"])
@pytest.mark.parametrize("transport", FALLBACKS)
def test_the_client_sends_by_other_requests(rig: Rig, session: str, transport: str) -> None:
    peer = rig.peer(session, transport)
    messages = ['{"type":"a"}', '{"type":"b"}'] if session == "json" else [b"\x81\xa4type\xa1a", b"\x81\xa4type\xa1b"]
    rig.posts(peer, *messages)
    link, (size, heard) = rig.event("messages")
    assert (link, heard) == (peer.link, messages)
    assert size == sum(map(len, messages))


def test_reports_come_by_other_requests_too(rig: Rig) -> None:
    peer = rig.peer("json", "sse")
    rig.engine.send(peer.conn, "one")
    assert peer.envelope()["payload"] == "one"
    rig.posts(peer, '{"type":"received","payload":{"count":1}}')
    peer.leaves()
    assert rig.event("parked") == (peer.conn, "eof")
    # What the client has is not kept.
    assert rig.event_of_resume(peer, 0) == ("refused", (peer.conn, "overflow"))


def test_a_body_that_is_not_right(rig: Rig) -> None:
    peer = rig.peer("msgpack", "sse")
    for body, is_binary, what in [
        (b"\xff", False, "the body is not UTF-8"),
        (b"gaR0eXBloWE=\n*", True, "line 2 is not base64"),
    ]:
        with pytest.raises(ValueError, match=what):
            rig.engine.post(peer.conn, peer.link, body, is_binary)
    assert rig.engine.post(peer.conn, peer.link, b"\n\r\n") == 0


def test_a_post_waits_while_the_host_reads_nothing(rig: Rig) -> None:
    peer = rig.peer("json", "sse")
    rig.engine.hold(peer.conn, True)
    size = rig.engine.post(peer.conn, peer.link, b'{"type":"a"}')
    rig.engine.send(peer.conn, "one")
    assert peer.envelope()["payload"] == "one"
    rig.engine.hold(peer.conn, False)
    assert rig.event("read") == (peer.link, size)


def test_only_one_way_links_take_posts_and_only_links_of_polls_polls(rig: Rig) -> None:
    socket, stream = rig.peer(), rig.peer("json", "sse")
    for peer in (socket, stream):
        rig.engine.poll(peer.conn, peer.link, 5)
    rig.engine.post(socket.conn, socket.link, b'{"type":"a"}')
    rig.engine.post(stream.conn, socket.link, b'{"type":"b"}')
    rig.posts(stream, '{"type":"c"}')
    assert rig.event("messages") == (stream.link, (12, ['{"type":"c"}']))
    for peer in (socket, stream):
        rig.engine.send(peer.conn, "one")
        assert peer.envelope()["payload"] == "one"


def test_a_poll_waits_until_there_is_something_and_gets_all_of_it(rig: Rig) -> None:
    peer = rig.peer("json", "long-poll")
    rig.engine.send(peer.conn, "one")
    rig.engine.send(peer.conn, "two")
    assert [each["payload"] for each in rig.polls(peer, 0)] == ["one", "two"]
    rig.engine.poll(peer.conn, peer.link, 2)
    rig.engine.send(peer.conn, "three")
    ((text,), farewell) = rig.polled(peer)
    assert '"three"' in text
    assert farewell is None


def test_what_an_answer_has_lost_comes_with_the_next_one(rig: Rig) -> None:
    peer = rig.peer("json", "long-poll")
    for payload in ("one", "two", "three"):
        rig.engine.send(peer.conn, payload)
    for received, expected in [(0, 3), (0, 3), (1, 2), (2, 1)]:
        assert len(rig.polls(peer, received)) == expected
    rig.engine.poll(peer.conn, peer.link, 3)
    rig.engine.send(peer.conn, "four")
    assert len(rig.polled(peer)[0]) == 1


def test_a_poll_ends_when_the_next_one_comes(rig: Rig) -> None:
    peer = rig.peer("json", "long-poll")
    rig.engine.poll(peer.conn, peer.link, 0)
    rig.engine.poll(peer.conn, peer.link, 0)
    assert rig.polled(peer) == ([], None)
    rig.engine.send_control(peer.conn, "json", b'{"type":"pong"}')
    assert rig.polled(peer) == (['{"type":"pong"}'], None)


@pytest.mark.parametrize(("received", "kept"), [(2, 1 << 20), (0, 1)])
def test_a_poll_with_a_count_that_cannot_be_served(rigged: Callable[..., Rig], received: int, kept: int) -> None:
    rig = rigged(replay_bytes=kept)
    peer = rig.peer("json", "long-poll")
    rig.engine.send(peer.conn, "one")
    assert len(rig.polls(peer, 0)) == 1
    rig.engine.poll(peer.conn, peer.link, received)
    assert rig.event("parked") == (peer.conn, "reset")
    rig.engine.poll(peer.conn, peer.link, 1)
    assert rig.event_of_resume(peer, 1) == ("resumed", peer.conn)


@pytest.mark.parametrize("flush", [True, False])
def test_the_next_poll_is_told_of_a_close(rig: Rig, flush: bool) -> None:
    peer = rig.peer("json", "long-poll")
    rig.engine.send(peer.conn, "one")
    rig.engine.close(peer.conn, 4000, "later", flush)
    rig.engine.poll(peer.conn, peer.link, 0)
    frames, farewell = rig.polled(peer)
    assert (len(frames), farewell) == (1 if flush else 0, (4000, "later"))
    assert rig.event("closed") == (peer.conn, "over")


@pytest.mark.parametrize("transport", FALLBACKS)
def test_a_link_that_is_cut_parks_the_session(rig: Rig, transport: str) -> None:
    peer = rig.peer("json", transport)
    rig.engine.cut(peer.conn, peer.link)
    assert rig.event("parked") == (peer.conn, "cut")
    assert peer.is_over()


@pytest.mark.parametrize("before", TRANSPORTS)
@pytest.mark.parametrize("after", TRANSPORTS)
def test_a_session_goes_on_over_another_transport(rig: Rig, before: str, after: str) -> None:
    old = rig.peer("json", before)
    rig.engine.send(old.conn, "one")
    assert payloads(rig, old, before) == ["one"]
    rig.engine.send(old.conn, "two")
    if before != "long-poll":
        assert old.envelope()["payload"] == "two"
    new = rig.resumes(old, 1, transport=after)
    assert rig.event("resumed") == (new.link, old.conn)
    assert new.envelope() == {"type": "welcome"}
    assert payloads(rig, new, after, 1) == ["two"]
    rig.engine.send(old.conn, "three")
    assert payloads(rig, new, after, 2) == ["three"]
    if before == "long-poll":
        # The answer to a poll whose client has gone.
        assert old.is_over()
    else:
        assert old.rest() == ([], FAREWELL)


def payloads(rig: Rig, peer: Any, transport: str, received: int = 0) -> list[str]:
    """The payloads of the next message, or of those that answer the next poll."""
    envelopes = rig.polls(peer, received) if transport == "long-poll" else [peer.envelope()]
    return [each["payload"] for each in envelopes]


@pytest.mark.parametrize("transport", FALLBACKS)
def test_another_codec_is_refused_over_any_transport(rig: Rig, transport: str) -> None:
    old = rig.peer("json")
    new = rig.resumes(old, 0, "msgpack", transport)
    assert rig.event("refused") == (new.link, (old.conn, "codec"))
    assert new.envelope() == {"type": "welcome", "reason": "codec"}


def test_a_link_of_polls_that_is_retired_says_so_without_a_poll(rig: Rig) -> None:
    peer = rig.peer("json", "long-poll")
    rig.engine.retire(peer.conn, peer.link, FAREWELL, False)
    assert rig.polled(peer) == ([], FAREWELL)
    assert rig.event("closed") == (peer.link, "over")
    assert rig.event_of_resume(peer, 0) == ("resumed", peer.conn)
