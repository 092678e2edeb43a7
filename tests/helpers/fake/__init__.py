"""An engine in pure Python, with the interface and the rules of the real one: no sockets, no threads, one clock.

`tests/contract/test_engine_*.py` run with both, so what is tested with this one holds with the real one, too.

* `clock` and `ids`: time, and the numbers of connections;
* `message`, `settings`, `room`, `rooms`: what is published, and what rooms keep of it;
* `replay`, `outbox`: what waits for one connection, and what its session can send again;
* `link`, `slot`, `shard`, `told`: peers and what they report, connections, and how both end;
* `fair_queue`: what `events` returns, and in which order;
* `core`, `room_calls`, `connection_calls`, `engine`: the interface;
* `rig`: an engine with peers, for the contract. `helpers/hosted.py` has a server over the engine, with clients.

What it has not: TLS (`set_tls`) and plain HTTP (`take_back`), sockets (`open`, `listen`, `resume_socket`,
`send_raw`, `fileno`), pings, rates, windows, `engine_bytes`, and limits of connections. A message that came too fast
is what a test says so of, by `wait`. A peer takes what it is sent at once, unless it `stalls`: the real engine writes
a moment later, so that of the values that are published in a row some are replaced.
"""
