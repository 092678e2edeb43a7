"""protocol/protocol.toml: what is made from it is not stale, and the code has no words that it does not have."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import msgspec
import pytest

from fanwire.client import codec, commands, incoming, membership, rooms
from fanwire.handshake.opening import REASONS
from fanwire.protocol import envelopes as wire
from fanwire.protocol import table
from fanwire.rooms import command_payloads, inputs, join_request
from fanwire.runtime import reports
from fanwire.sessions import renewal

ROOT = Path(__file__).parents[3]
MADE = [
    "docs/http.md",
    "docs/protocol.md",
    "python/fanwire/protocol/table.py",
    "rust/wire/table.rs",
    "typescript/src/table.ts",
]
SOURCES = [path for path in sorted((ROOT / "python" / "fanwire").rglob("*.py")) if path.name != "table.py"]
CALLS = [
    (path, node) for path in SOURCES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
]


def reader() -> ModuleType:
    spec = importlib.util.spec_from_file_location("protocol_table", ROOT / "protocol" / "table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DATA = reader().load()


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    """The calls of a function or method of this name, and where each is."""
    for path, node in CALLS:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if called == name:
            yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def words(node: ast.expr | None) -> set[str]:
    """The strings that an expression can be, as far as they stand there."""
    if isinstance(node, ast.IfExp):
        return words(node.body) | words(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def keyword(node: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in node.keywords if one.arg == name), None)


def payload(kind: str, side: str, reply: bool = False) -> dict[str, Any]:
    row = next(row for row in DATA["message"] if (row["type"], row["from"]) == (kind, side))
    return fields(row["reply_payload" if reply else "payload"])


def fields(rows: Any) -> dict[str, Any]:
    if isinstance(rows, str):
        rows = next(row["payload"] for row in DATA["struct"] if row["name"] == rows)
    return {row["name"]: row["optional"] for row in rows}


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-B", "protocol", *arguments], cwd=root, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for path in (*MADE, *(path.relative_to(ROOT) for path in (ROOT / "protocol").glob("*.*"))):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, target)
    return tmp_path


# What is made.


def test_nothing_is_stale() -> None:
    found = run(ROOT, "--check")
    assert (found.returncode, found.stderr) == (0, "")


def test_a_change_of_the_table_makes_all_files_stale_until_they_are_made(copy: Path) -> None:
    source = copy / "protocol" / "protocol.toml"
    text = source.read_text().replace("\"the application's handler failed", '"a handler failed')
    source.write_text(text.replace('"the body does not match its type"', '"the body is of another type"'))
    assert source.read_text() != text
    found = run(copy, "--check")
    assert found.returncode == 1
    # The words of an error are in no constant of Python, only its code is.
    assert re.findall(r"^(\S+) is not what", found.stderr, re.MULTILINE) == [
        "docs/protocol.md", "docs/http.md", "rust/wire/table.rs",
    ]  # fmt: skip
    assert run(copy).returncode == 0
    assert run(copy, "--check").returncode == 0
    source.write_text(source.read_text().replace('code = "bad_room"', 'code = "no_room"'))
    assert "python/fanwire/protocol/table.py" in run(copy, "--check").stderr


@pytest.mark.parametrize("path", MADE)
def test_an_edit_by_hand_is_found(copy: Path, path: str) -> None:
    file = copy / path
    file.write_text(file.read_text().replace("unavailable", "not_there"))
    assert f"{path} is not what" in run(copy, "--check").stderr


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('answer = ["left", "error"]', 'answer = ["gone", "error"]', "there are no types ['gone']"),
        ('fields = ["re"]', 'fields = ["ref"]', "there is no field 'ref'"),
        ('type = "list of member"', 'type = "list of people"', "there is no type 'people'"),
        ('code = "forbidden"', 'code = "bad_room"', "('bad_room',) is there twice"),
        ("code = 4503", "code = 4003", "its number says that reconnect is True"),
        ("immediate = true", "at_once = true", "['at_once']"),
        ("droppable = false\n", "", "has no droppable"),
    ],
)
def test_a_mistake_in_the_table_is_told(copy: Path, old: str, new: str, error: str) -> None:
    source = copy / "protocol" / "protocol.toml"
    source.write_text(source.read_text().replace(old, new, 1))
    found = run(copy)
    assert found.returncode != 0
    assert error in found.stderr


# Errors.


def test_error_codes_of_the_server_are_in_the_table_and_all_of_the_table_are_used() -> None:
    used = {}
    for where, node in calls("Refusal"):
        for code in words(node.args[0]):
            used[code] = where
    assert set(used) == table.ERROR_CODES
    # Those that the client looks for.
    compared = {
        (path.name, code)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr == "code"
        for code in words(node.comparators[0])
    }
    assert compared
    assert {code for _, code in compared} <= table.ERROR_CODES
    assert rooms.PASSING <= table.ERROR_CODES


def test_errors_say_whether_to_try_again_as_the_table_does() -> None:
    seen = 0
    for where, node in calls("Refusal"):
        retry = keyword(node, "retry") or ast.Constant(False)
        if isinstance(retry, ast.Constant):
            for code in words(node.args[0]):
                seen += 1
                assert retry.value is (code in table.RETRY), where
    assert seen > 20


def test_answers_of_http_are_in_the_table() -> None:
    told = {(row["status"], row["code"]) for row in DATA["http_error"]}
    made = set()
    for _, node in calls("HttpError"):
        if isinstance(node.args[0], ast.Attribute) and node.args[0].attr in HTTPStatus.__members__:
            made |= {(HTTPStatus[node.args[0].attr].value, code) for code in words(node.args[1])}
    replies = [node.args for _, node in calls("LinkReply") if len(node.args) > 2]
    made |= {(args[0].value, code) for args in replies if isinstance(args[0], ast.Constant) for code in words(args[2])}
    assert made == told
    assert {code for _, code in told} == set(get_args(table.HttpErrorCode))


# Messages.


def test_types_that_the_code_sends_are_in_the_table() -> None:
    told = {kind for _, node in calls("tell") if len(node.args) > 1 for kind in words(node.args[1])}
    told |= {kind for _, node in calls("_tell") if len(node.args) > 1 for kind in words(node.args[1])}
    assert told >= {"reply", "left", "error", "closing", "token_expiring", "member_joined"}
    assert told <= table.SERVER_TYPES
    asked = {kind for name in ("ask", "say") for _, node in calls(name) if node.args for kind in words(node.args[0])}
    # A subject of NATS is no type.
    asked = {kind for kind in asked if not kind.startswith("$JS.")}
    assert asked >= {"join", "leave", "publish", "token"}
    envelopes = {kind for _, node in calls("Envelope") if node.args for kind in words(node.args[0])}
    assert envelopes >= {"ack", "received"}
    assert asked | envelopes <= table.CLIENT_TYPES
    whole = {
        kind
        for path in SOURCES
        if not path.relative_to(ROOT).as_posix().startswith(("python/fanwire/http/", "python/fanwire/admin/"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if words(key) == {"type"}
        for kind in words(value)
    }
    assert whole == {"error", "message", "pong", "received", "welcome"}


def test_the_client_hears_every_type_and_sends_none_of_the_protocol_by_itself() -> None:
    assert set(incoming._HANDLERS) | {"closing"} == table.SERVER_TYPES
    assert table.CLIENT_TYPES - {"message"} == commands.RESERVED
    assert incoming.PAYLOAD_MATTERS <= table.SERVER_TYPES


def test_reasons_are_in_the_table() -> None:
    welcome = {reason for _, node in calls("Claim") for reason in words(keyword(node, "reason"))}
    for name in ("ended", "_expired"):
        welcome |= {reason for _, node in calls(name) if node.args for reason in words(node.args[-1])}
    assert welcome >= {"unknown", "other node", "overflow", "closed"}
    assert welcome | set(REASONS) <= set(get_args(table.WelcomeReason))
    left = set()
    for _, node in calls("tell"):
        if len(node.args) > 1 and words(node.args[1]) == {"left"}:
            sent = keyword(node, "payload")
            left |= words(sent.values[0]) if isinstance(sent, ast.Dict) else set()
    assert left == {"forbidden"}
    assert left <= set(get_args(table.LeftReason))


@pytest.mark.parametrize(
    ("struct", "told"),
    [
        (join_request.Join, lambda: payload("join", "client")),
        (command_payloads.Configure, lambda: payload("configure", "client")),
        (command_payloads.Listing, lambda: payload("presence", "client")),
        (join_request.Since, lambda: fields("position")),
        (inputs.InputPayload, lambda: payload("input", "client")),
        (renewal.RenewalToken, lambda: payload("token", "client")),
        (reports.Received, lambda: payload("received", "client")),
        (reports.Taken, lambda: fields("taken")),
        (codec.JoinedInfo, lambda: payload("joined", "server")),
        (codec.RatesInfo, lambda: payload("configure", "client", reply=True)),
        (codec.MemberInfo, lambda: fields("member")),
        (codec.SkippedInfo, lambda: payload("skipped", "server")),
        (codec.ErrorInfo, lambda: payload("error", "server")),
        (codec.Closing, lambda: payload("closing", "server")),
        (codec.Count, lambda: payload("received", "server")),
        (codec.ProcessedInfo, lambda: payload("inputs", "server")),
        (codec.WindowInfo, lambda: payload("window", "server")),
        (codec.TokenInfo, lambda: payload("token", "client", reply=True)),
    ],
)
def test_payloads_have_the_fields_of_the_table(struct: type, told: Callable[[], dict[str, Any]]) -> None:
    has = {field.name: not field.required for field in msgspec.structs.fields(struct)}
    assert has.keys() == told().keys()
    # What is optional in the protocol must have a default in the program; the reverse is lenience.
    assert [name for name, is_optional in told().items() if is_optional and not has[name]] == []


def test_the_client_reads_of_a_welcome_and_a_left_what_it_needs() -> None:
    has = {field.name for field in msgspec.structs.fields(codec.Welcome)}
    assert payload("welcome", "server").keys() - has <= {"batch", "delta", "link", "rooms"}
    has = {field.name for field in msgspec.structs.fields(codec.LeftInfo)}
    assert payload("left", "server").keys() <= has


def test_envelopes_have_the_fields_of_the_table() -> None:
    told = {row["name"] for row in DATA["field"]}
    assert {field.name for field in msgspec.structs.fields(codec.Envelope)} == told
    read = {field.name for field in msgspec.structs.fields(wire.Incoming)}
    sent = {name.removesuffix("?") for row in DATA["message"] if row["from"] == "client" for name in row["fields"]}
    assert sent | {"type", "id"} == read


def test_the_codecs_and_classes_of_the_code_are_those_of_the_table() -> None:
    assert [*wire.SUBPROTOCOLS, wire.RAW] == [row["name"] for row in DATA["subprotocol"]]
    assert {codec.ClientCodec(name).subprotocol for name in ("json", "msgpack")} == set(wire.SUBPROTOCOLS)
    assert {row["name"] for row in DATA["delivery"] if row["keyed"]} == table.KEYED
    assert set(table.DELIVERIES) - table.DROPPABLE == {membership.RELIABLE}


# Close codes.


def test_the_engine_has_no_words_or_codes_of_its_own() -> None:
    for path in (ROOT / "rust").rglob("*.rs"):
        if "/tests" in path.as_posix() or path.name == "table.rs":
            continue
        source = re.split(r"#\[cfg\((?:all\()?test", path.read_text())[0]
        for pattern in (
            r"Violation \{ code: \d+",
            r'Role::Event\("',
            r'\.note\([^)]*"',
            r'=> "(?:drop-|reliable|latest)',
        ):
            assert re.search(pattern, source) is None, f"{path.relative_to(ROOT)} has {pattern}"
