"""`fanwire recording` and `fanwire replay`."""

from __future__ import annotations

import base64
import math
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import orjson
import uvloop

from fanwire.cli.address import server_url
from fanwire.cli.client_commands import tell
from fanwire.cli.connecting import reach
from fanwire.cli.failure import CommandFailed, Misuse
from fanwire.cli.option_values import check_key
from fanwire.errors import FanwireError
from fanwire.recording.reading import FileSummary, Recording, open_recording
from fanwire.recording.record import RecordedGap, RecordedMessage, as_datetime
from fanwire.recording.replaying import ReplayReport
from fanwire.recording.replaying import replay as replay_recording

__all__ = ["recording", "replay"]


def _time_of(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | int | None:
    """A time: nanoseconds since 1970, or ISO 8601 with a time zone."""
    if value is None:
        return None
    if value.isdigit():
        return int(value)
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise click.BadParameter(
            f"{value!r} is neither a time with a time zone, such as 2026-11-30T08:00:00Z, nor nanoseconds since 1970",
            ctx, param,
        )  # fmt: skip
    return found


def _speed_of(ctx: click.Context, param: click.Parameter, value: str) -> float:
    try:
        speed = float(value)
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise click.BadParameter(f"{value!r} is no number above 0, such as 1, 2.5 or inf", ctx, param)
    return speed


_path = click.argument("path", type=click.Path(exists=True, path_type=Path))
_name = click.option("--name", help="Name of the recording, if the directory PATH has several.")
_room = click.option("--room", "rooms", multiple=True, help="Name of a room, in which * stands for any characters.")
_since = click.option("--since", callback=_time_of, help="Time of the first message: ISO 8601, or nanoseconds.")
_until = click.option("--until", callback=_time_of, help="Time before which the last message is.")


@click.group()
def recording() -> None:
    """Reads recordings: what they contain, and their messages as JSON lines.

    PATH is a file, or a directory with the files of a recording.
    """


@recording.command()
@_path
@_name
@click.option("--json", "is_json", is_flag=True, help="Print JSON, for programs.")
def info(path: Path, name: str | None, is_json: bool) -> None:
    """Prints what each file contains: messages, times, rooms that were recorded, and whether its end is torn.

    The exit code is 0, and 1 if PATH is no recording.
    """
    summaries = _opened(path, name).summaries()
    if is_json:
        rows = [{**one._asdict(), "path": str(one.path)} for one in summaries]
        click.echo(msgspec.json.format(orjson.dumps(rows)).decode())
        return
    for one in summaries:
        click.echo(_line(one))
    total = sum(one.messages for one in summaries)
    click.echo(f"{total} messages in {len(summaries)} file{'s' if len(summaries) != 1 else ''}")


@recording.command()
@_path
@_name
@_room
@_since
@_until
@click.option("--count", type=click.IntRange(1), help="End after this number of lines.")
def cat(path: Path, name: str | None, count: int | None, **options: Any) -> None:
    """Prints each message as a line of JSON: bytes as base64, and `missing` where messages are missing.

    The exit code is 0, and 1 if PATH is no recording.
    """
    found = _opened(path, name, **options)
    out = sys.stdout.buffer
    try:
        for place, entry in enumerate(found):
            if place == count:
                break
            out.write(line_of(entry))
        out.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has enough. Python would complain at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise CommandFailed(str(error)) from error


@click.command()
@_path
@_name
@_room
@_since
@_until
@click.option("--to", "url", default="ws://127.0.0.1:8000", show_default=True, help="URL of the server.")
@click.option(
    "--api-key", callback=check_key, envvar="FANWIRE_API_KEY", show_envvar=True, help="API key or token for the server."
)
@click.option(
    "--speed", default="1", show_default=True, callback=_speed_of, help="How much faster than recorded; inf: at once."
)
@click.option("--prefix", default="", help="Put this before the names of rooms, such as replay. (with the dot).")
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False),
    help="File with the certificates (PEM) to trust, in place of those of the system.",
)
@click.option("--quiet", is_flag=True, help="Do not print what was published at the end.")
def replay(
    path: Path,
    name: str | None,
    url: str,
    api_key: str | None,
    speed: float,
    prefix: str,
    ca: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Publishes the messages of the recording PATH again, at their times or faster.

    They are published as a client does, so the client must have the right to publish in these rooms. Forgotten keys are
    left out. Ctrl-C ends it.

    The exit code is 0 at the end of the recording, and 1 if the server refuses a message.
    """
    found = _opened(path, name, **options)
    try:
        report = uvloop.run(_replay(found, server_url(url), api_key, ca, speed, prefix))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    if not quiet:
        tell(
            f"published {report.messages} messages in {report.seconds:.1f} s, at most "
            f"{report.max_lateness * 1e3:.1f} ms late; {report.missing} are missing in the recording, "
            f"{report.left_out} forgotten keys were left out"
        )


async def _replay(
    found: Recording, url: str, api_key: str | None, ca: str | None, speed: float, prefix: str
) -> ReplayReport:
    async with reach(url, token=api_key, ca=ca) as client:
        try:
            return await replay_recording(found, client, speed=speed, room=lambda room: prefix + room)
        except (FanwireError, ValueError) as error:
            raise CommandFailed(str(error)) from error


def _opened(path: Path, name: str | None, rooms: tuple[str, ...] = (), **options: Any) -> Recording:
    try:
        found = open_recording(path, rooms=rooms or None, name=name, **options)
        # Says at once that a file is none.
        found.summaries()
    except OSError as error:
        raise CommandFailed(str(error)) from error
    except ValueError as error:
        raise Misuse(str(error)) from error
    return found


def line_of(entry: RecordedMessage | RecordedGap) -> bytes:
    """A line of `fanwire recording cat`."""
    if isinstance(entry, RecordedGap):
        return orjson.dumps(entry._asdict(), option=orjson.OPT_APPEND_NEWLINE)
    fields: dict[str, Any] = {**entry._asdict(), "payload": None}
    if entry.kind == "binary":
        fields["payload"] = base64.b64encode(entry.payload).decode()
    elif entry.kind == "text":
        fields["payload"] = entry.payload.decode()
    elif entry.kind == "json":
        try:
            # As it was published, without a number that changes, but on one line.
            msgspec.json.decode(entry.payload.decode(), type=msgspec.Raw)
            fields["payload"] = orjson.Fragment(entry.payload.translate(ONE_LINE))
        except (msgspec.DecodeError, UnicodeDecodeError):
            # The publisher has promised JSON, and it is none.
            fields["payload"] = entry.payload.decode(errors="replace")
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _line(one: FileSummary) -> str:
    times = "" if one.messages == 0 else f", {as_datetime(one.first_ns)} to {as_datetime(one.last_ns)}"
    torn = f", {one.torn} bytes at the end are no whole block" if one.torn else ""
    rooms = ", ".join(one.header.get("rooms", ()))
    return f"{one.path}: {one.messages} messages in {one.bytes} bytes{times}{torn}; rooms: {rooms}"


ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
"""Line ends stand between the parts of a document only: within a text they are escaped."""
