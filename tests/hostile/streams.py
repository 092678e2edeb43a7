"""Limits of what a client sends, and of what waits for it."""

from __future__ import annotations

import asyncio
import contextlib

from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until
from helpers.wire import BINARY, CLOSE, CONT, FIN, PING, PONG, TEXT, frame
from hostile.limits import BYSTANDERS, Limit, answer_of, park, raw, session
from websockets.exceptions import ConnectionClosed


async def messages_of_a_session(server: Book) -> str:
    async with await session(server) as talk:
        answers = [await answer_of(talk, "echo") for _ in range(6)]
        assert answers[:5] == ["reply"] * 5
        return answers[-1]


async def bytes_of_a_session(server: Book) -> str:
    async with await session(server) as talk:
        answers = [await answer_of(talk, "echo", payload="x" * 1900) for _ in range(3)]
        assert answers[0] == "reply"
        return answers[-1]


async def messages_of_one_who_cannot_be_told(server: Book) -> str:
    """Reading slows down, and nothing is lost."""
    async with await raw(server) as peer:
        await peer.send(*(frame(TEXT, b"%d" % number) for number in range(30)))
        assert [await peer.message() for _ in range(30)] == [b"%d" % number for number in range(30)]
        return "all heard"


async def bytes_of_one_who_cannot_be_told(server: Book) -> str:
    async with await raw(server) as peer:
        await peer.send(*(frame(BINARY, bytes(1500)) for _ in range(5)))
        assert [len(await peer.message()) for _ in range(5)] == [1500] * 5
        return "all heard"


async def fragments_of_one_who_cannot_be_told(server: Book) -> str:
    async with await raw(server) as peer:
        part = bytes(1000)
        await peer.send(frame(BINARY, part, fin=False), *[frame(CONT, part, fin=False)] * 20, frame(CONT, part))
        assert await peer.message() == part * 22
        return "all heard"


async def pings(server: Book) -> str:
    async with await raw(server) as peer:
        for number in range(5):
            await peer.send(frame(PING, b"%d" % number))
            assert await peer.frame() == (FIN | PONG, b"%d" % number)
        await peer.send(frame(PING, b"over"), frame(TEXT, b"behind"))
        first, payload = await peer.frame()
        return "pong" if (first, payload) == (FIN | PONG, b"over") else "no pong"


async def pongs(server: Book) -> str:
    async with await raw(server) as peer:
        await peer.send(*[frame(PONG, b"x")] * 6, frame(TEXT, b"behind"))
        assert await peer.frame() == (FIN | TEXT, b"behind")
        return "ignored"


async def reports_of_one_who_cannot_be_told(server: Book) -> str:
    """They are read more slowly, and every one of them counts."""
    async with await session(server) as talk:
        # Each counts as eight, and 200 may come at once whatever the rate of messages is: so many that it does not
        # matter how long they take.
        others = {f"a{number}": {"count": 0} for number in range(127)}
        for number in range(70):
            await talk.say("received", payload={"count": 0, "taken": {"a": {"count": number}, **others}})
        await talk.say("echo", payload="behind")
        while (answer := await talk.hear())["type"] != "reply":
            assert answer["type"] in ("pong", "received"), answer
        return "all heard"


async def too_many_refused(server: Book) -> str:
    """Who goes on although it is told."""
    async with await session(server) as talk:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(30):
                await talk.say("echo")
            for _ in range(30):
                while (await talk.hear())["type"] == "received":
                    pass
        return str(talk.socket.close_code)


async def too_many_pings(server: Book) -> str:
    async with await raw(server) as peer:
        await peer.send(*(frame(PING, b"%d" % number) for number in range(30)), frame(TEXT, b"behind"))
        while True:
            first, payload = await peer.frame()
            if first == FIN | CLOSE:
                return str(int.from_bytes(payload[:2], "big"))
            if first == FIN | TEXT:
                return "None"


async def a_third_room(server: Book) -> str:
    async with await session(server) as talk:
        assert [await answer_of(talk, "join", room=room) for room in "aba"] == ["joined"] * 3
        answer = await answer_of(talk, "join", room="c")
        await talk.ask("leave", room="a")
        # One has gone, so there is room for another; in a dry run there always is.
        assert await answer_of(talk, "join", room="d") == "joined"
        return answer


async def a_bad_name(server: Book) -> str:
    async with await session(server) as talk:
        return await answer_of(talk, "join", room="a b")


async def a_name_too_long_for_anybody(server: Book) -> str:
    async with await session(server) as talk:
        return await answer_of(talk, "join", room="\u00e9" * 200)


async def a_member_too_many(server: Book) -> str:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(50):
            talk = await stack.enter_async_context(await session(server))
            assert await answer_of(talk, "join", room="full") == "joined"
        talk = await stack.enter_async_context(await session(server))
        return await answer_of(talk, "join", room="full")


async def close_code(server: Book, *data: bytes) -> str:
    async with await raw(server) as peer:
        # On a busy machine the server waits no longer for the end of it.
        with contextlib.suppress(ConnectionError):
            await peer.send(*data)
        return str((await peer.closed())[0])


async def a_large_message(server: Book) -> str:
    return await close_code(server, frame(BINARY, bytes(2001)))


async def a_large_message_in_parts(server: Book) -> str:
    return await close_code(server, frame(BINARY, bytes(1000), fin=False), frame(CONT, bytes(1001), fin=False))


async def a_large_part_of_which_little_has_come(server: Book) -> str:
    """Nobody waits for the rest of it."""
    whole = frame(CONT, bytes(1_000_000))
    return await close_code(server, frame(BINARY, bytes(900_000), fin=False), whole[:300_000])


async def many_fragments(server: Book) -> str:
    return await close_code(server, frame(BINARY, b"", fin=False), *[frame(CONT, b"", fin=False)] * 5)


async def a_message_without_end(server: Book) -> str:
    return await close_code(server, frame(TEXT, b"x", fin=False))


async def a_message_without_end_that_goes_on(server: Book) -> str:
    """Slowly: its time is that of the whole."""
    async with await raw(server) as peer:
        await peer.send(frame(TEXT, b"x", fin=False))

        async def go_on() -> None:
            # The connection may end before this is stopped.
            with contextlib.suppress(ConnectionError):
                while True:
                    await peer.send(frame(CONT, b"x", fin=False))
                    await asyncio.sleep(0.02)

        drip = asyncio.ensure_future(go_on())
        code = (await peer.closed())[0]
        drip.cancel()
        return str(code)


async def unfinished_messages(server: Book) -> str:
    """Of many, none too large alone."""
    async with contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(await raw(server)) for _ in range(8)]
        for peer in peers:
            await peer.send(frame(BINARY, bytes(15_000), fin=False))
        closed = [asyncio.ensure_future(peer.closed()) for peer in peers]
        done, waiting = await asyncio.wait(closed, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        codes = {str(one.result()[0]) for one in done}
        assert waiting, "not all: what those who were closed have held is free again"
        for one in waiting:
            one.cancel()
        return ", ".join(codes)


async def a_reader_with_a_zero_window(server: Book) -> str:
    async with await server.dial(rcvbuf=4096) as peer:
        await peer.upgrade("/busy", {"Authorization": "Bearer mallory"})
        peer.stall()
        await until(lambda: server.publish("busy", bytes(10_000)) and server.closed)
        return str(server.closed[0].close_code)


async def many_readers_with_a_zero_window(server: Book) -> str:
    """Of whom none has too much alone."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(8):
            peer = await stack.enter_async_context(await server.dial(rcvbuf=4096))
            await peer.upgrade("/", {"Authorization": "Bearer mallory"})
            peer.stall()
        await until(lambda: len(server.opened) == BYSTANDERS + 8)
        for _ in range(30):
            for conn in server.opened[BYSTANDERS:]:
                conn.send(bytes(10_000))
            await asyncio.sleep(0)
        await until(lambda: server.closed)
        return str(server.closed[0].close_code)


async def a_session_too_many(server: Book) -> str:
    talks = [await session(server) for _ in range(3)]
    for talk in talks:
        await park(server, talk)
    async with await Talk.open(server, after=talks[0], additional_headers={"Authorization": "Bearer mallory"}) as again:
        return str(again.welcome.get("reason"))


# A thousandth of a message is enough for the next one, on credit: at the slowest of these rates that takes ten seconds.
STREAMS = [
    Limit("message_rate", {"message_rate": 0.0001, "message_burst": 5}, messages_of_a_session, "rate_limited", "reply"),
    Limit("message_rate", {"message_rate": 100, "message_burst": 5}, messages_of_one_who_cannot_be_told,
          "all heard", "all heard"),
    Limit("byte_rate", {"byte_rate": 1, "byte_burst": 2000}, bytes_of_a_session, "rate_limited", "reply"),
    Limit("byte_rate", {"byte_rate": 10_000, "byte_burst": 2000}, bytes_of_one_who_cannot_be_told,
          "all heard", "all heard"),
    Limit("byte_rate", {"byte_rate": 10_000, "byte_burst": 1000}, fragments_of_one_who_cannot_be_told,
          "all heard", "all heard"),
    Limit("message_rate", {"message_rate": 50, "message_burst": 5}, reports_of_one_who_cannot_be_told,
          "all heard", "all heard"),
    Limit("ping_rate", {"ping_rate": 0.0001, "ping_burst": 5}, pings, "no pong", "pong"),
    Limit("ping_rate", {"ping_rate": 0.0001, "ping_burst": 5}, pongs, "ignored", "ignored"),
    # The client has to read the close frame before its connection is cut.
    Limit("max_refused", {"message_rate": 0.0001, "message_burst": 1, "max_refused": 5, "close_timeout": 10},
          too_many_refused, "1008", "None"),
    Limit("max_refused", {"ping_rate": 0.0001, "ping_burst": 1, "max_refused": 5}, too_many_pings, "1008", "None"),
    Limit("max_rooms_per_connection", {"max_rooms_per_connection": 2}, a_third_room, "room_limit", "joined"),
    Limit("room_name", {}, a_bad_name, "bad_room", "joined"),
    Limit("room_name", {}, a_name_too_long_for_anybody, "bad_room", "bad_room"),
    Limit("max_members", {}, a_member_too_many, "room_full", "room_full"),
    Limit("max_message", {"max_message": 2000}, a_large_message, "1009", "1009"),
    Limit("max_message", {"max_message": 2000}, a_large_message_in_parts, "1009", "1009"),
    Limit("max_message", {"max_message": 1_000_000}, a_large_part_of_which_little_has_come, "1009", "1009"),
    Limit("max_fragments", {"max_fragments": 5}, many_fragments, "1009", "1009"),
    Limit("message_timeout", {"message_timeout": 0.3}, a_message_without_end, "1008", "1008"),
    Limit("message_timeout", {"message_timeout": 0.3}, a_message_without_end_that_goes_on, "1008", "1008"),
    Limit("inbound_bytes", {"inbound_bytes": 80_000}, unfinished_messages, "1013", "1013"),
    Limit("connection_bytes", {"connection_bytes": 200_000}, a_reader_with_a_zero_window, "4008", "4008"),
    Limit("engine_bytes", {"engine_bytes": 1 << 20}, many_readers_with_a_zero_window, "4008", "4008"),
    Limit("max_parked", {"max_parked": 2}, a_session_too_many, "overflow", "overflow"),
]  # fmt: skip
