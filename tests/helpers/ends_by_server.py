"""Ends for which the application or the server is the reason: closes, lifetimes, limits, and the stop."""

from __future__ import annotations

import time

import fanwire
from helpers.ends import flood, go_on_elsewhere, parked, way
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within
from helpers.wire import close_frame

# The application.


@way("The application closes the connection")
async def _(server: Book) -> None:
    async with server.client("/a") as client:
        await until(lambda: server.opened)
        server.opened[0].close(4999, "no more of this")
        await within(client.wait_closed())


@way("The application closes the connection without a reason")
async def _(server: Book) -> None:
    async with server.client("/a") as client:
        await until(lambda: server.opened)
        server.opened[0].close()
        await within(client.wait_closed())


@way("The application disconnects the user", authenticate=lambda request: "ann")
async def _(server: Book) -> None:
    async with server.client("/a") as client:
        await until(lambda: server.opened)
        server.disconnect_user("ann", reason="not you")
        await within(client.wait_closed())


@way("The application revokes the session")
async def _(server: Book) -> None:
    talk = await Talk.open(server)
    server.revoke(talk.session, reason="not this one")
    await within(talk.socket.wait_closed())


@way("The application revokes a session whose client is away")
async def _(server: Book) -> None:
    talk = await Talk.open(server)
    talk.cut()
    await parked(server)
    server.revoke(talk.session, reason="not this one")
    await server.ended()


@way("A message handler raises an error")
async def _(server: Book) -> None:
    async with server.client("/a") as client:
        await client.send("boom")
        await within(client.wait_closed())


@way("`on_message` rejects a message (`Reject`)")
async def _(server: Book) -> None:
    async with server.client("/a") as client:
        await client.send("reject")
        await within(client.wait_closed())


@way("`on_message` rejects a message for now (`Reject(retry=True)`)")
async def _(server: Book) -> None:
    async with server.client("/a") as client:
        await client.send("later")
        await within(client.wait_closed())


# Lifetimes.


def soon(request: fanwire.Request) -> fanwire.Identity:
    """An identity that expires at once; a new token is that of another user."""
    return fanwire.Identity(subject="ann" if request.renewal is None else "bob", expires=time.time() + 0.2)


@way("The token has expired", {"token_notice": 0.1, "token_grace": 0.1}, authenticate=soon)
async def _(server: Book) -> None:
    talk = await Talk.open(server)
    await within(talk.socket.wait_closed())


def later(request: fanwire.Request) -> fanwire.Identity:
    """The same, but with time for a new token before the end."""
    return fanwire.Identity(subject="ann" if request.renewal is None else "bob", expires=time.time() + 1.0)


@way(
    "The token has expired, and the new one was refused", {"token_notice": 0.1, "token_grace": 1.0}, authenticate=later
)
async def _(server: Book) -> None:
    talk = await Talk.open(server)
    name = await talk.say("token", payload={"token": "bobs"})
    while (answer := await talk.hear()).get("re") != name:
        # On a busy machine the notice comes first.
        assert answer["type"] in ("received", "token_expiring", "token_expired")
    assert answer["type"] == "error"
    await within(talk.socket.wait_closed())


@way("The connection is older than `max_age`", {"max_age": 0.1})
async def _(server: Book) -> None:
    async with server.client("/a") as client:
        await within(client.wait_closed())


@way("The connection of a session is older than `max_age`", {"max_age": 0.1, "close_timeout": 0.1})
async def _(server: Book) -> None:
    await Talk.open(server)
    await parked(server)


# Too slow.


@way("More waits for the client than `connection_bytes`", {"connection_bytes": 4096, "unsent_bytes": 4096})
async def _(server: Book) -> None:
    async with await Talk.open(server, "/a") as talk:
        await talk.hear("joined")
        talk.socket.transport.pause_reading()
        await flood(server, "x" * 2000)
        talk.socket.transport.resume_reading()


@way("More waits for a client that is away than `connection_bytes`", {"connection_bytes": 4096})
async def _(server: Book) -> None:
    talk = await Talk.open(server, "/a")
    await talk.hear("joined")
    talk.cut()
    await parked(server)
    await flood(server, "x" * 2000)


@way("More waits in all than `engine_bytes`", {"engine_bytes": 1 << 20, "unsent_bytes": 4096})
async def _(server: Book) -> None:
    async with await server.peer("/a", rcvbuf=4096) as one, await server.peer("/b", rcvbuf=4096) as two:
        await until(lambda: len(server.opened) == 2)
        one.stall()
        two.stall()
        # More waits for the first one.
        await flood(server, b"x" * 1500, "a", "b", "a")
        one.resume()
        assert (await one.closed())[0] == 4008
        await one.send(close_frame(4008))
        await one.end()


# Limits on sessions.


@way("More sessions wait than `max_parked`", {"max_parked": 1})
async def _(server: Book) -> None:
    for _ in range(2):
        (await Talk.open(server)).cut()
    await server.ended()


@way(
    "A user's new connection takes the place of a session that waits",
    {"max_user_connections": 1},
    authenticate=lambda request: "ann",
)
async def _(server: Book) -> None:
    (await Talk.open(server)).cut()
    await parked(server)
    async with server.client("/a"):
        await server.ended()


@way("The client of a session has gone on at another node", cluster=True)
async def _(server: Book) -> None:
    await go_on_elsewhere(server, is_cut=True)


@way("The client of a session goes on at another node, and still has this connection", cluster=True)
async def _(server: Book) -> None:
    await go_on_elsewhere(server, is_cut=False)


# The server.


@way("The server stops")
async def _(server: Book) -> None:
    async with server.client("/a"):
        await until(lambda: server.opened)
        await server.stop()


@way("The server stops, and the client does not answer in time", {"drain_timeout": 0.1, "close_timeout": 5.0})
async def _(server: Book) -> None:
    async with await server.peer("/a"):
        await until(lambda: server.opened)
        await server.stop()


@way("The server stops while the client of a session is away")
async def _(server: Book) -> None:
    (await Talk.open(server)).cut()
    await parked(server)
    await server.stop()


@way("An event of the connection cannot be handled")
async def _(server: Book) -> None:
    async with server.client("/a") as client:
        await until(lambda: server.opened)
        link = server._host.registry.links[server.opened[0]._link]
        # Slots cannot be replaced on the object: the queue that it hands messages to can.
        link.handler_queue = None  # type: ignore[assignment]  # what a defect would look like
        await client.send("hello")
        await within(client.wait_closed())
