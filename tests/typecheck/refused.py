"""What a type checker has to refuse: each line that ends with `# wrong` has an error, and no other line has."""

from __future__ import annotations

import msgspec

import fanwire

server = fanwire.Server(port=0, insecure=True)


class Order(msgspec.Struct):
    """A schema."""

    amount: int


def no_argument() -> None: ...


def two_arguments(conn: fanwire.Connection, more: int) -> None: ...


def of_an_order(conn: fanwire.Connection, order: Order) -> None: ...


def of_a_request(request: fanwire.Request) -> None: ...


def of_a_text(conn: fanwire.Connection, text: str) -> None: ...


async def asks(conn: fanwire.Connection, room: str) -> bool:
    return True


server.on_connect(no_argument)  # wrong
server.on_connect(two_arguments)  # wrong
server.on_connect(of_a_request)  # wrong
server.on_disconnect(two_arguments)  # wrong
server.on_message(no_argument)  # wrong
server.on_join(two_arguments)  # wrong
server.on_leave(no_argument)  # wrong
server.on("order", Order)(of_a_text)  # wrong
server.on("order", Order)(no_argument)  # wrong
server.on("order", int)(of_an_order)  # wrong
server.on("order")(no_argument)  # wrong
server.on(5, Order)  # wrong
server.room("a", join=asks)  # wrong
server.room("a", join=5)  # wrong
server.room("a", history=1, snapshot=lambda room: 5)  # wrong
fanwire.Server(authenticate=two_arguments)  # wrong
fanwire.Server(authorize=lambda identity, action: True)  # wrong
fanwire.Server(insecure=True, tls=("chain.pem", "key.pem"))  # wrong
fanwire.TLS("chain.pem", "key.pem", min_version="1.1")  # wrong
fanwire.Server(insecure=True, ssl=None)  # wrong
fanwire.Reject()  # wrong
fanwire.Reject("no", retry_after="soon")  # wrong


def client_side(client: fanwire.Client) -> None:
    client.on_state(of_a_request)  # wrong
    client.on_room(no_argument)  # wrong
    client.presence("a", after="b")  # wrong
    client.rooms["a"].seq = 5  # wrong


server.on_connect(lambda conn: conn.join("a"))
server.on("order", Order)(of_an_order)
