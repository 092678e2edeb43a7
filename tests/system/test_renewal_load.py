"""Tokens that last a second, keys that change every second, users who are sent away, connections that grow old: all at
once and under load, and nobody who may stay misses a message. `FANWIRE_RENEWALS` is for how many seconds."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from helpers.serving import Book
from helpers.wait import PROCESS, until, within
from jwt.algorithms import ECAlgorithm

import fanwire
from fanwire.auth import JWT, Keys
from fanwire.codes import CloseCode

SECONDS = float(os.environ.get("FANWIRE_RENEWALS", "5"))
STAYERS, LEAVERS, RATE = 20, 5, 500
LIFE = 1.5
GOOD = 10
"""More than change while a busy machine looks at a token."""


class Login:
    """What makes tokens: with the newest but one of its keys, of which the last `GOOD` are good."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers = itertools.count(1)
        self._keys: dict[str, Any] = {}
        self.rotate()

    def rotate(self) -> None:
        self._keys[f"key {next(self._numbers)}"] = ec.generate_private_key(ec.SECP256R1())
        self._keys = dict(list(self._keys.items())[-GOOD:])
        found = [
            {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": name, "alg": "ES256", "use": "sig"}
            for name, key in self._keys.items()
        ]
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"keys": found}))
        fresh.replace(self._path)

    def token(self, subject: str) -> str:
        # The server looks for another file once a second, so the newest key may be unknown to it for that long.
        name = list(self._keys)[-2:][0]
        claims = {"sub": subject, "exp": time.time() + LIFE}
        return jwt.encode(claims, self._keys[name], "ES256", headers={"kid": name})


class Reader:
    """A client, and the numbers it has got."""

    def __init__(self, server: Book, login: Login, subject: str) -> None:
        self.subject = subject
        self.client = fanwire.connect(server.url, token=lambda: login.token(subject), max_attempts=None)
        self.got: list[int] = []
        self.error: BaseException | None = None

    async def run(self) -> None:
        try:
            async with self.client:
                async for message in await self.client.join("a"):
                    assert message.gap is None, message.gap
                    self.got.append(message.data)
        except fanwire.ConnectionFailed as error:
            self.error = error


@pytest.mark.timeout(180 + 2 * SECONDS)
@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_nobody_who_may_stay_misses_a_message(tmp_path: Path) -> None:
    login = Login(tmp_path / "keys.json")
    # A busy machine may need longer than a token lasts to look at it.
    check = JWT(Keys.file(tmp_path / "keys.json"), algorithms=["ES256"], leeway=10.0)
    banned: set[str] = set()
    shown = {"at the upgrade": 0, "in place": 0}

    async def authenticate(request: fanwire.Request) -> fanwire.Identity:
        identity = await check(request)
        shown["at the upgrade" if request.renewal is None else "in place"] += 1
        if identity.subject in banned:
            raise fanwire.Refused(403, "banned")
        return identity

    config = {"token_notice": 0.7, "token_grace": 5.0, "max_age": 2.0, "max_parked": 1000}
    server = Book(config, authenticate=authenticate)
    server.room("a", history=10_000, join="identified")
    async with server:
        stayers = [Reader(server, login, f"stayer {number}") for number in range(STAYERS)]
        leavers = [Reader(server, login, f"leaver {number}") for number in range(LEAVERS)]
        readers = [*stayers, *leavers]
        tasks = {reader.subject: asyncio.ensure_future(reader.run()) for reader in readers}
        await until(lambda: server.count("a") == len(readers), "all have joined")
        published = 0
        due = time.monotonic()
        end = due + SECONDS

        def is_enough() -> bool:
            # It was both renewed in place and made anew, for everyone. A busy machine needs longer for it.
            return shown["in place"] > len(readers) and shown["at the upgrade"] > 2 * len(readers)

        for second in itertools.count():
            if time.monotonic() >= end and is_enough():
                break
            login.rotate()
            if second < LEAVERS:
                leaver = leavers[second]
                # First the application says no, then whoever is in is sent away: nobody slips through between.
                banned.add(leaver.subject)
                server.disconnect_user(leaver.subject)
                await within(asyncio.gather(tasks[leaver.subject]))
                assert isinstance(leaver.error, fanwire.ConnectionFailed)
                # One that happened to be on its way back was refused before the upgrade.
                assert leaver.error.code == CloseCode.REVOKED or leaver.error.status == 403
                assert leaver.got == list(range(len(leaver.got)))
            for _ in range(RATE):
                server.publish("a", published)
                published += 1
                due += 1 / RATE
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            # What a busy machine has not done in time is not made up for: keys would change faster than they are read.
            due = max(due, time.monotonic())
        await until(lambda: all(len(reader.got) >= published for reader in stayers), "all have all", PROCESS)
        for reader in stayers:
            assert reader.got == list(range(published)), (reader.subject, reader.error)
        # All that was on the way to those who were sent away has ended there. A busy machine has fewer, longer seconds.
        assert second > 0
        assert all(len(leaver.got) < published for leaver in leavers[:second])
        assert not server.closed or {conn.identity.subject for conn in server.closed} <= banned
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
