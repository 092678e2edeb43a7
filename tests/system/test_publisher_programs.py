"""The programs of docs/publishing.md, run as they stand there: Flask, Django, Celery, a script, an event loop."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from helpers.serving import Book
from helpers.wait import PROCESS, until

import fanwire

KEY = "KEY-KEY"
PAGE = Path(__file__).parents[2] / "docs" / "publishing.md"
ON_ONE_LOOP = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The programs are processes, whose loop is their own business."""

pytestmark = ON_ONE_LOOP


class Programs:
    """A server, and a folder with the programs of the page that publish to it."""

    def __init__(self, server: Book, folder: Path) -> None:
        self.server = server
        self.folder = folder
        for name, text in re.findall(r"```py(?:thon)?\n# (\w+\.py)\n(.*?)```", PAGE.read_text(), re.DOTALL):
            program = text.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{server.port}")
            program = program.replace('key="KEY"', f"key={KEY!r}")
            (folder / name).write_text(program)

    async def run(self, *arguments: str, text: str = "") -> str:
        """Runs Python to its end, and returns what it prints."""
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, *arguments], cwd=self.folder, env=self.env, input=text, text=True,
            capture_output=True, timeout=PROCESS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def worker(self) -> subprocess.Popen[bytes]:
        """A Celery worker with two forked processes."""
        options = ["--pool", "prefork", "--concurrency", "2", "--loglevel", "ERROR"]
        options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        command = [sys.executable, "-m", "celery", "-A", "celery_tasks", "--config", "celeryconfig", "worker", *options]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def env(self) -> dict[str, str]:
        """The programs find each other."""
        return {**os.environ, "PYTHONPATH": str(self.folder)}


@pytest_asyncio.fixture
async def programs(tmp_path: Path) -> AsyncIterator[Programs]:
    server = Book(api_keys=[KEY])
    server.room("*", history=1000)
    async with server:
        yield Programs(server, tmp_path)


async def kept(server: fanwire.Server, room: str) -> list[object]:
    return [message.data for message in await server.history(room, limit=1000)]


async def test_flask_publishes_from_its_threads(programs: Programs) -> None:
    found = await programs.run("-c", textwrap.dedent("""
        from concurrent.futures import ThreadPoolExecutor
        from flask_app import app

        def pay(order):
            return app.test_client().post(f"/orders/{order % 2}/pay").json["seq"]

        with ThreadPoolExecutor(8) as threads:
            print(sorted(threads.map(pay, range(40))))
    """))  # fmt: skip
    assert found.strip() == str(sorted([*range(1, 21), *range(1, 21)]))
    assert await kept(programs.server, "orders.1") == [{"order": 1, "state": "paid"}] * 20


async def test_django_publishes_when_the_transaction_is_committed(programs: Programs) -> None:
    found = await programs.run("-c", textwrap.dedent("""
        import django
        from django.conf import settings

        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        settings.configure(DATABASES={"default": database}, ALLOWED_HOSTS=["*"])
        django.setup()
        from django.db import transaction
        from django.test import RequestFactory
        from django_views import pay

        print(pay(RequestFactory().post("/"), 1).content.decode())
        try:
            with transaction.atomic():
                pay(RequestFactory().post("/"), 2)
                raise KeyError
        except KeyError:
            print("rolled back")
    """))  # fmt: skip
    assert found.split("\n")[:2] == ['{"order": 1}', "rolled back"]
    assert await kept(programs.server, "orders.1") == [{"order": 1, "state": "paid"}]
    assert await kept(programs.server, "orders.2") == []


async def test_celery_publishes_from_its_forked_workers(programs: Programs) -> None:
    broker = programs.folder / "broker"
    broker.mkdir()
    (programs.folder / "celeryconfig.py").write_text(
        f"broker_url = 'filesystem://'\n"
        f"broker_transport_options = {{'data_folder_in': {str(broker)!r}, 'data_folder_out': {str(broker)!r}, "
        f"'control_folder': {str(broker)!r}}}\n"
        "worker_hijack_root_logger = False\n"
    )
    worker = programs.worker()
    try:
        await programs.run("-c", textwrap.dedent("""
            import celeryconfig
            from celery_tasks import app, publisher, ship

            app.config_from_object(celeryconfig)
            # The parent has a connection of its own, and the same task runs twice.
            publisher.publish("orders.1", "before")
            for number in range(6):
                ship.apply_async((1,), task_id=f"task {number // 2}")
        """))  # fmt: skip
        shipped = {"state": "shipped"}
        await until(
            lambda: programs.server._engine.position("orders.1")[1] >= 4, "the workers have published", 2 * PROCESS
        )
        # Both deliveries of each task have been taken when the folder is empty.
        await until(lambda: not list(broker.glob("*.msg")), "the tasks were taken")
        await asyncio.sleep(0.3)
        assert await kept(programs.server, "orders.1") == ["before", shipped, shipped, shipped]
    finally:
        worker.terminate()
        try:
            await asyncio.to_thread(worker.wait, PROCESS)
        finally:
            worker.kill()
            worker.wait()


async def test_a_script_and_a_loop(programs: Programs) -> None:
    assert await programs.run("script.py", text="one\ntwo\n") == "2 published\n"
    assert await kept(programs.server, "log") == ["one", "two"]
    await programs.run("asynchronous.py")
    found = await kept(programs.server, "ticks")
    assert len(found) == 100
    assert set(found) == set(range(100))
