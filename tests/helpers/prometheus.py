"""Prometheus and promtool, and what ops/ gives them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from helpers.listening import free_port
from helpers.wait import PROCESS, within

OPS = Path(__file__).parents[2] / "ops"
ALERTS = OPS / "prometheus" / "alerts.yml"
ALERTS_TEST = OPS / "prometheus" / "alerts_test.yml"
DASHBOARD = OPS / "grafana" / "fanwire.json"


def needs(program: str) -> str:
    """Returns the path of a program; skips the test without it. A run that has to be complete (FANWIRE_CI) fails."""
    path = shutil.which(program)
    if path is None:
        why = f"{program} is not installed (Debian: apt install prometheus)"
        if os.environ.get("FANWIRE_CI", "0") not in ("", "0"):
            pytest.fail(why)
        pytest.skip(why)
    return path


def promtool(*args: str | Path, text: str | None = None) -> str:
    """Runs promtool, which has to succeed. Returns what it has written."""
    command = [needs("promtool"), *map(str, args)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=PROCESS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def alerts() -> Iterator[tuple[str, str]]:
    """Returns the alerts by name, with their expressions."""
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def panels() -> Iterator[tuple[str, str]]:
    """Returns the queries of the dashboard, with the titles of their panels and without variables."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"].replace("$__rate_interval", "30s").replace("$instance", ".*")
            assert "$" not in query
            yield panel["title"], query


def selectors(query: str) -> Iterator[tuple[str, set[str]]]:
    """Returns the metrics that a query names, each with the labels that it selects by."""
    for name, labels in re.findall(r"\b((?:fanwire|process|python)_\w+)(?:\{([^}]*)\})?", query):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))


def groupings(query: str) -> set[str]:
    """Returns the labels by which a query groups or joins."""
    lists = re.findall(r"\b(?:by|on|ignoring)\s*\(([^)]*)\)", query)
    return {label.strip() for each in lists for label in each.split(",")} - {""}


class Prometheus:
    """A Prometheus that scrapes one server.

    Args:
        url: its own address.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    async def get(self, path: str, **query: str) -> Any:
        """Returns the data of an answer of its API; None: it does not answer yet, or not with data."""
        timeout = aiohttp.ClientTimeout(total=PROCESS)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            try:
                async with http.get(f"{self._url}/api/v1/{path}", params=query) as answer:
                    body = await answer.json(content_type=None)
            except (aiohttp.ClientError, ValueError):
                return None
        return body["data"] if body["status"] == "success" else None

    async def query(self, query: str) -> list[dict[str, Any]]:
        """Returns the samples that a query gives now."""
        data = await self.get("query", query=query)
        return [] if data is None else list(data["result"])


@contextlib.asynccontextmanager
async def prometheus(folder: Path, port: int, key: str) -> AsyncIterator[Prometheus]:
    """Runs Prometheus with the rules of ops/, for a server with TLS at a port and with an API key."""
    program = needs("prometheus")
    config = {
        # No scrape may take longer than the time to the next one.
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [
            {
                "job_name": "fanwire",
                "scheme": "https",
                "tls_config": {"insecure_skip_verify": True},
                "authorization": {"type": "Bearer", "credentials": key},
                "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
            }
        ],
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    own = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        program, f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={own}",
        "--log.level=error", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield Prometheus(f"http://{own}")
    finally:
        process.kill()
        await within(process.wait(), PROCESS)
