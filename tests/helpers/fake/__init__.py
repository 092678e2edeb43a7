"""An engine in pure Python, with the interface and the rules of the real one: no sockets, no threads, one clock.

`tests/contract/test_engine*.py` run against both, so what is tested with this one holds with the real one, too.

* `clock` and `ids`: time, and the numbers of connections;
* `message`, `settings`, `room`, `rooms`: what is published, and what rooms keep of it;
* `replay`, `outbox`: what waits for one connection, and what its session can send again;
* `link`, `slot`, `shard`: peers, connections, and how both end;
* `arrivals`: what `events` returns, and in which order;
* `core`, `room_calls`, `connection_calls`, `engine`: the interface.

What it has not: TLS and plain HTTP (`feed`, `grant`, `take_back`), sockets that the host brings (`open`, `listen`,
`resume_socket`, `send_raw`, `fileno`), pings, rates, windows, and limits of connections. A peer says with `wait` that
a message came too fast.
"""
