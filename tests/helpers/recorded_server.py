"""A server with a recording and a client, as a program of its own: limits of files and mounts hold for a process.

Commands come on stdin, one line each, and each is answered by a line of JSON:

    publish COUNT      publishes so many messages of 1,000 bytes; answered once the client has read them
    limit BYTES        no file may become larger (RLIMIT_FSIZE); -1: no limit
    run COMMAND        runs a command in a shell, and so in this process's mounts
    stats              what is known of the recording, and how many messages wait to be written
    end                ends the recording, and tells what its files contain
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fanwire

ROOM = "live.a"


class RecordedServer:
    """What the commands act on."""

    def __init__(self, directory: Path, queue_bytes: int) -> None:
        self._directory = directory
        self._server = fanwire.Server(port=0, insecure=True)
        self._server.room("live.*")
        self._queue_bytes = queue_bytes
        self._published = 0

    async def run(self) -> None:
        """Answers commands until the end of stdin."""
        async with self._server:
            self._recorder = self._server.record(
                "live.*", self._directory, flush_interval=0, queue_bytes=self._queue_bytes
            )
            async with fanwire.connect(self._server.url) as client:
                self._room = await client.join(ROOM)
                while line := await asyncio.to_thread(sys.stdin.readline):
                    name, _, argument = line.strip().partition(" ")
                    print(json.dumps(await getattr(self, f"_{name}")(argument)), flush=True)

    async def _publish(self, argument: str) -> Any:
        first = self._published
        for number in range(first, first + int(argument)):
            self._server.publish(ROOM, {"number": number, "more": "x" * 1000})
        self._published += int(argument)
        read = [(await asyncio.wait_for(anext(self._room), 20)).data["number"] for _ in range(int(argument))]
        return read == list(range(first, self._published))

    async def _limit(self, argument: str) -> Any:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(argument), hard))

    async def _run(self, argument: str) -> Any:
        options: dict[str, Any] = {"shell": True, "capture_output": True, "text": True, "check": False}
        return (await asyncio.to_thread(subprocess.run, argument, **options)).stderr

    async def _stats(self, argument: str) -> Any:
        stats = self._recorder.stats
        waiting = self._published - stats.messages - stats.left_out
        return {**asdict(stats), "waiting": waiting, "failing": self._server._gauges()["failing_recordings"]}

    async def _end(self, argument: str) -> Any:
        stats = await self._recorder.stop()
        found: dict[str, Any] = {"seqs": [], "gaps": [], "torn": 0, "stats": asdict(stats)}
        recording = fanwire.open_recording(self._directory)
        for entry in recording:
            if isinstance(entry, fanwire.RecordedGap):
                found["gaps"].append([entry.reason, entry.first, entry.last, entry.missing])
            else:
                found["seqs"].append(entry.seq)
        found["torn"] = sum(summary.torn for summary in recording.summaries())
        return found


if __name__ == "__main__":
    os.umask(0o022)
    asyncio.run(RecordedServer(Path(sys.argv[1]), int(sys.argv[2])).run())
