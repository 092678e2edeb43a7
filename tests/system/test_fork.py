"""A fork takes the memory and not the threads: the child is told so, and the parent's connections never notice."""

from __future__ import annotations

from helpers.script import run

FORK = """
    import asyncio, os, threading
    import fanwire
    from helpers.serving import Book, take

    def child(server, conn, parent):
        calls = {
            "publish": lambda: server.publish("a", "child"),
            "broadcast": lambda: server.broadcast("child"),
            "send": lambda: conn.send("child"),
            "join": lambda: conn.join("b"),
            "leave": lambda: conn.leave("a"),
            "close": lambda: conn.close(),
            "forget": lambda: server.forget("a", "k"),
            "stats": lambda: server.stats(),
            "members": lambda: server.count("a"),
            "waiting": lambda: server._engine.waiting,
            "events": lambda: server._engine.events(),
            "set_ready": lambda: server._engine.set_ready(True),
            "left": lambda: server._engine.left(5),
            "set_compression": lambda: server._engine.set_compression(6, 256),
            "stop_listening": lambda: server._engine.stop_listening(),
            "take_back": lambda: server._engine.take_back(5, 1, b""),
            "has_value": lambda: server._engine.has_value("a", "k"),
            "values": lambda: server._engine.values("a"),
        }
        for name, call in calls.items():
            try:
                call()
            except fanwire.Closed as error:
                assert str(parent) in str(error), (name, str(error))
            else:
                raise AssertionError(f"{name} worked")

    async def main():
        async with Book() as server, server.client("/a") as client:
            (conn,) = server.opened
            is_busy = threading.Event()
            is_busy.set()
            def publish():
                while is_busy.is_set():
                    server.publish("busy", "x", delivery="latest", key="k")
            thread = threading.Thread(target=publish)
            thread.start()
            parent = os.getpid()
            children = []
            for number in range(5):
                server.publish("a", f"before {number}")
                pid = os.fork()
                if pid == 0:
                    try:
                        child(server, conn, parent)
                    except BaseException:
                        import traceback
                        traceback.print_exc()
                        os._exit(1)
                    os._exit(0)
                children.append(pid)
                server.publish("a", f"after {number}")
            for child_pid in children:
                assert await asyncio.to_thread(os.waitpid, child_pid, 0) == (child_pid, 0)
            is_busy.clear()
            thread.join()
            server.publish("a", "end")
            expected = [f"{word} {number}" for number in range(5) for word in ("before", "after")]
            assert await take(client, 11) == [*expected, "end"]
            assert not server.closed

    asyncio.run(main())
    print("well")
"""


def test_a_forked_child_is_refused_and_the_parent_lives_on() -> None:
    assert run(FORK) == (0, "well\n", "")


def test_a_forked_child_waits_for_no_lock_that_a_thread_held() -> None:
    # While newcomers come and go the acceptor holds its lock much of the time, and a fork copies it as it is.
    code = """
        import asyncio, os, signal, socket, struct, threading, time
        import fanwire
        from helpers.serving import Book

        async def main():
            rates = {"handshake_rate": 0, "address_handshake_rate": 0, "max_address_connections": 0}
            async with Book(rates) as server:
                is_busy = threading.Event()
                is_busy.set()
                def come():
                    while is_busy.is_set():
                        peers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(10)]
                        for peer in peers:
                            peer.send(b"GET / HTTP/1.1\\r\\nHo")
                            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                            peer.close()
                threads = [threading.Thread(target=come) for _ in range(2)]
                for thread in threads:
                    thread.start()
                statuses = set()
                # Fewer on a busy machine.
                end = time.monotonic() + 5
                for _ in range(300):
                    if time.monotonic() > end:
                        break
                    await asyncio.sleep(0.002)
                    child = os.fork()
                    if child == 0:
                        signal.signal(signal.SIGALRM, signal.SIG_DFL)
                        signal.alarm(20)
                        for call in (server.stats, lambda: server._engine.waiting):
                            try:
                                call()
                            except fanwire.Closed:
                                continue
                            os._exit(1)
                        os._exit(0)
                    statuses.add(os.waitpid(child, 0)[1])
                is_busy.clear()
                for thread in threads:
                    await asyncio.to_thread(thread.join)
                assert statuses == {0}, statuses

        asyncio.run(main())
        print("well")
    """
    assert run(code) == (0, "well\n", "")


def test_a_forked_child_may_end_like_any_process() -> None:
    # Its interpreter takes down what it has, the engine among it; the parent's sockets must not feel that.
    code = """
        import asyncio, os, threading
        from helpers.serving import Book, take

        async def main():
            async with Book() as server, server.client("/a") as client:
                there.append(server)
                is_up.set()
                await asyncio.to_thread(is_forked.wait)
                server.publish("a", "after")
                assert await take(client, 2) == ["before", "after"]

        there, is_up, is_forked = [], threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        is_up.wait()
        there[0].publish("a", "before")
        pids = []
        for _ in range(5):
            pids.append(os.fork())
            if not pids[-1]:
                import warnings
                warnings.simplefilter("ignore")
                del there
                sys.exit(0)
        for pid in pids:
            assert os.waitpid(pid, 0) == (pid, 0)
        is_forked.set()
        thread.join()
        print("well")
    """
    status, out, err = run(code)
    assert (status, out) == (0, "well\n"), err


def test_a_child_may_start_a_server_of_its_own() -> None:
    code = """
        import asyncio, multiprocessing
        from helpers.serving import Book, take

        async def serve(word):
            async with Book() as server, server.client("/a") as client:
                server.publish("a", word)
                assert await take(client, 1) == [word]

        def child():
            asyncio.run(serve("child"))

        if __name__ == "__main__":
            asyncio.run(serve("parent"))
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start()
            asyncio.run(serve("parent again"))
            process.join(40)
            assert process.exitcode == 0
            print("well")
    """
    assert run(code) == (0, "well\n", "")
