"""Messages of sessions as they should not be, in both encodings, and what they are answered (docs/protocol.md)."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec

BAD, INVALID = "bad_message", "invalid_payload"
NOTHING = ""
"""It is not answered."""


class Envelope(NamedTuple):
    """A row: a message as it is, and the code of its error, or the type of another answer."""

    name: str
    frame: str | bytes
    answer: str

    def __repr__(self) -> str:
        return self.name


def js(**fields: Any) -> str:
    """An envelope in JSON."""
    return json.dumps(fields)


def echo(payload: str) -> str:
    """A message of the application's type that is answered with its payload, given as it stands in the document."""
    return f'{{"type":"echo","id":"row","payload":{payload}}}'


def strict(payload: str) -> str:
    """A message of a type with a schema: a number `n`, not negative."""
    return f'{{"type":"strict","id":"row","payload":{payload}}}'


def join(payload: Any) -> str:
    """A join of an open room."""
    return js(type="join", id="row", room="open", payload=payload)


def taken(rooms: Any) -> str:
    """A report of what was taken."""
    return js(type="received", payload={"count": 1, "taken": rooms})


def publish(payload: str, more: str = "") -> str:
    """A publish to an open room."""
    return f'{{"type":"publish","id":"row","room":"open","payload":{payload}{more}}}'


DOCUMENTS = [
    *(Envelope(f"document {text!r}", text, BAD) for text in (
        "", " ", "{", "}", "[", "]", "nul", "null", "true", "1", '"x"', "[]", "{}", "{,}", '{"type"}', '{"type":}',
        '{"type":"echo"', '{"type":"echo",}', "{'type':'echo'}", '{type:"echo"}', '{"type":"echo"} x',
        '{"type":"echo"}{}', '// x\n{"type":"echo"}', '{"type":"echo"/**/}', '\ufeff{"type":"echo"}',
        '{"type":"echo"}\0', '\0{"type":"echo"}', '{"type":"ec\nho"}', '{"type":"ec\0ho"}', '{"type":"\\u12"}',
        '{"type":"\\x41"}', '{"type":"echo"', '{"type":"echo', '["type","echo"]', '[{"type":"echo"}]',
        '<type>echo</type>', "type=echo",
    )),
    Envelope("a binary message", b'{"type":"echo","id":"row"}', "bad_encoding"),
    Envelope("an empty binary message", b"", "bad_encoding"),
    Envelope("MessagePack", msgspec.msgpack.encode({"type": "echo"}), "bad_encoding"),
    Envelope("arrays to the bottom", "[" * 500_000, BAD),
    Envelope("objects to the bottom", '{"a":' * 100_000, BAD),
    Envelope("an unknown field to the bottom", '{"type":"echo","x":' + "[" * 500_000, BAD),
    Envelope("an unknown field to the bottom and back",
             '{"type":"echo","x":' + "[" * 200_000 + "]" * 200_000 + "}", BAD),
    Envelope("a payload to the bottom and back", echo("[" * 200_000 + "]" * 200_000), INVALID),
    Envelope("a payload of objects to the bottom and back", echo('{"a":' * 100_000 + "1" + "}" * 100_000), INVALID),
    Envelope("a string without end", '{"type":"' + "x" * 900_000, BAD),
    Envelope("100,000 unknown fields", "{" + ",".join(f'"f{n}":{n}' for n in range(60_000)) + "}", BAD),
    Envelope("100,000 times the same field", '{"type":"echo"' + ',"id":"row"' * 90_000 + "}", "reply"),
]  # fmt: skip

FIELDS = [
    *(Envelope(f"type {value!r:.20}", js(type=value, id="row"), BAD) for value in (
        "", "x" * 65, "\u00e9" * 65, None, 7, 1.5, True, [], {}, ["echo"],
    )),
    *(Envelope(f"type {value!r}", js(type=value, id="row"), "unknown_type") for value in (
        "Echo", "ECHO", "echo ", " echo", "echo\0", "__proto__", "constructor", "__class__", "welcome", "joined",
        "left", "reply", "error", "closing", "skipped", "member_joined", "token_expiring", "token_expired", "_join",
        "\u202eohce", "x" * 64,
    )),
    *(Envelope(f"id {value!r:.20}", js(type="echo", id=value), BAD) for value in (
        "", "x" * 65, 7, True, [], {}, 1.5,
    )),
    Envelope("no id", js(type="echo", payload=1), NOTHING),
    Envelope("id null", js(type="echo", id=None, payload=1), NOTHING),
    Envelope("an id of control characters", js(type="echo", id="\0\n\x1b[31m"), "reply"),
    Envelope("an id like a prototype", js(type="echo", id="__proto__"), "reply"),
    *(Envelope(f"re {value!r:.20}", js(type="ack", id="row", re=value), BAD) for value in ("", "x" * 65, 7, [])),
    *(Envelope(f"ack of {value!r:.20}", js(type="ack", id="row", re=value), NOTHING) for value in (
        None, "nothing", "0-1", "__proto__", "x" * 64,
    )),
    *(Envelope(f"encoding {value!r}", js(type="echo", id="row", encoding=value), BAD) for value in (7, [], True)),
    Envelope("the type twice: the last counts", '{"type":"boom","type":"echo","id":"row"}', "reply"),
    Envelope("the payload twice: the last counts",
             '{"type":"strict","id":"row","payload":"x","payload":{"n":1}}', "reply"),
    Envelope("the payload twice: the last is wrong",
             '{"type":"strict","id":"row","payload":{"n":1},"payload":"x"}', INVALID),
    Envelope("the type in escapes", '{"\\u0074ype":"\\u0065cho","id":"row"}', "reply"),
    Envelope("the type as a lone surrogate", '{"type":"\\ud800","id":"row"}', BAD),
    Envelope("the id as a lone surrogate", '{"type":"echo","id":"\\udfff"}', BAD),
    Envelope("the room as a lone surrogate", '{"type":"join","id":"row","room":"\\ud800"}', BAD),
    Envelope("an id that only looks long: 64 pairs", js(type="echo", id="\U0001f4a9" * 16), "reply"),
]  # fmt: skip

NUMBERS = [
    *(Envelope(f"number {text:.12}", echo(text), INVALID) for text in (
        "NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x10", "1e", "--1", "1_000", "-",
    )),
    *(Envelope(f"number {text:.12} of {len(text)} characters", echo(text), INVALID) for text in (
        "1e400", "-1e400", "1e99999999999", "9" * 900_000, "18446744073709551616", "-9223372036854775809", "1" * 500,
    )),
    *(Envelope(f"number {text:.12} of {len(text)} characters", echo(text), "reply") for text in (
        "1e308", "1e-400", "-0", "18446744073709551615", "-9223372036854775808", "0." + "0" * 900_000 + "1",
    )),
    *(Envelope(f"number {text:.12} for an int", strict(f'{{"n":{text}}}'), INVALID)
      for text in ("1.5", "1e400", "9" * 900_000, "-1", "true", "null", '"1"')),
]  # fmt: skip

PAYLOADS = [
    *(Envelope(f"strict {text}", strict(text), INVALID) for text in (
        "null", "1", '"x"', "[]", "{}", '{"N":1}', '{"n":[1]}', '{"n":{}}', "[1]",
    )),
    Envelope("strict without a payload", js(type="strict", id="row"), INVALID),
    Envelope("strict with more than it has", js(type="strict", id="row", payload={"n": 1, "__class__": "x"}), "reply"),
    *(Envelope(f"base64 {value!r}", js(type="echo", id="row", encoding="base64", payload=value), INVALID) for value in (
        "x", "****", "AA=A", "A" * 5, 7, None, [], "\u00e9", "QUJD\n",
    )),
    Envelope("base64 in another encoding", js(type="echo", id="row", encoding="gzip", payload="x"), BAD),
    Envelope("a lone surrogate", echo('"\\ud800"'), INVALID),
    Envelope("surrogates the wrong way round", echo('"\\udca9\\ud83d"'), INVALID),
    Envelope("control characters in escapes", echo('"\\u0000\\u001b"'), "reply"),
    Envelope("control characters as they are", echo('"\0\x1b"'), INVALID),
    Envelope("a handler that fails", js(type="boom", id="row"), "internal"),
]  # fmt: skip

PUBLISHES = [
    *(Envelope(f"publish {text:.20}", publish(text), "reply") for text in (
        "1", "null", '""', '"\\u0000"', "[]", '{"__proto__":{"admin":true}}', '"</script>"',
        '"\\u2028"', '{"":{"":{}}}', " [ 1 , 2 ] ", '"\\ud83d\\udca9"', "1e308", "18446744073709551615",
        "[" * 64 + "]" * 64,
    )),
    *(Envelope(f"publish {text:.20}", publish(text), INVALID) for text in (
        "1e400", "-1e400", "[1e999]", '{"a":1,"a":2}', "[" * 65 + "]" * 65, "[" * 500 + "]" * 500, "1" * 400, "NaN",
        "[1,]", '{"a"}', '"\\ud800"', '["\\udc00"]', '{"\\ud800":1}', "[" * 100_000 + "]" * 100_000,
    )),
    *(Envelope(f"publish {text:.20}", publish(text), BAD) for text in (
        "1}", "[1", '"x',
    )),
    Envelope("publish with a key, in a room without", publish("1", ',"key":"k"'), BAD),
    Envelope("publish with an empty key", publish("1", ',"key":""'), BAD),
    Envelope("publish with a key of 256", publish("1", f',"key":"{"k" * 256}"'), BAD),
    Envelope("publish with a key that is no text", publish("1", ',"key":7'), BAD),
    Envelope("publish of bytes that are none", publish('"***"', ',"encoding":"base64"'), INVALID),
    Envelope("publish of bytes", publish('"AAEC"', ',"encoding":"base64"'), "reply"),
    Envelope("publish a wrong type to a room of types",
             js(type="publish", id="row", room="typed", payload="x"), INVALID),
    Envelope("publish where nobody may", js(type="publish", id="row", room="all", payload=1), "forbidden"),
    Envelope("publish where nothing is", js(type="publish", id="row", room="nowhere", payload=1), "forbidden"),
    Envelope("publish with a key of control characters",
             js(type="publish", id="row", room="latest", key="\0\n\u202e", payload=1), "reply"),
    Envelope("publish with a key of 255 letters of two bytes",
             js(type="publish", id="row", room="latest", key="\u00e9" * 255, payload=1), "reply"),
]  # fmt: skip

RECEIVED = [
    *(Envelope(f"received {value!r}", js(type="received", payload=value), INVALID) for value in (
        None, {}, [], 1, {"count": None}, {"count": "1"}, {"count": 1.5}, {"count": -1}, {"count": -(1 << 63)},
        {"count": 1 << 63}, {"count": (1 << 64) - 1}, {"count": 1 << 64}, {"count": 1 << 70}, {"count": [1]},
    )),
    *(Envelope(f"taken {str(said)[:40]}", taken(said), INVALID) for said in (
        1, 0, True, "open", [], ["open"], {"open": 1}, {"open": None}, {"open": []}, {"open": {}}, {"": {"count": 1}},
        {"open": {"count": -1}}, {"open": {"count": "1"}}, {"open": {"count": 1.0}}, {"open": {"count": 1 << 63}},
        {"open": {"count": 1, "ts": -1}}, {"open": {"count": 1, "ts": "now"}}, {"open": {"count": 1, "ts": 1e3}},
        {"x" * 256: {"count": 1}}, {str(number): {"count": 1} for number in range(1025)},
    )),
    *(Envelope(f"taken {str(said)[:40]}", taken(said), NOTHING) for said in (
        None, {}, {"open": {"count": 0}}, {"open": {"count": (1 << 63) - 1, "ts": (1 << 63) - 1}},
        {"nope": {"count": 5}},
        {"x" * 255: {"count": 1}}, {"\u00e9" * 255: {"count": 1}}, {"a b*": {"count": 1}}, {"\0": {"count": 1}},
        {str(number): {"count": 1, "ts": 0, "more": {}} for number in range(1024)},
    )),
    Envelope("received in base64", js(type="received", payload="e30=", encoding="base64"), INVALID),
    Envelope("received without a payload", js(type="received"), INVALID),
    *(Envelope(f"received {count}", js(type="received", payload={"count": count}), NOTHING) for count in (
        0, 1_000_000, (1 << 63) - 1,
    )),
    Envelope("a pong that nobody asked for", js(type="pong"), NOTHING),
    Envelope("a pong with an id", js(type="pong", id="row", payload=[1]), NOTHING),
]  # fmt: skip

SINCE = [
    *(Envelope(f"since {value!r:.40}", join({"since": value}), INVALID) for value in (
        1, "x", [], {}, {"epoch": "x"}, {"seq": 1}, {"epoch": 1, "seq": 1}, {"epoch": None, "seq": 1},
        {"epoch": "x", "seq": "1"}, {"epoch": "x", "seq": None}, {"epoch": "x", "seq": 1.5}, {"epoch": "x", "seq": -1},
        {"epoch": "x", "seq": -(1 << 63)}, {"epoch": "x", "seq": 1 << 63}, {"epoch": "x", "seq": (1 << 64) - 1},
        {"epoch": "x", "seq": 1 << 64}, {"epoch": "x", "seq": 10**30},
    )),
    *(Envelope(f"since {value!r:.40}", join({"since": value}), "joined") for value in (
        None, {"epoch": "x", "seq": 0}, {"epoch": "", "seq": 1}, {"epoch": "x", "seq": (1 << 63) - 1},
        {"epoch": "x" * 100_000, "seq": 1}, {"epoch": "\0\u202e", "seq": 1},
    )),
    *(Envelope(f"join with {value!r}", join(value), INVALID) for value in (
        1, "x", [], [1], True,
    )),
]  # fmt: skip

PROTOCOL = [
    *(Envelope(f"{kind} without a room", js(type=kind, id="row"), BAD)
      for kind in ("join", "leave", "publish", "presence")),
    Envelope("leave a room that it is not in", js(type="leave", id="row", room="open"), "not_joined"),
    Envelope("leave a room of others", js(type="leave", id="row", room="all"), "not_joined"),
    Envelope("presence where there is none", js(type="presence", id="row", room="open"), "forbidden"),
    Envelope("presence where it may not be", js(type="presence", id="row", room="nowhere"), "forbidden"),
    Envelope("join where it may not be", js(type="join", id="row", room="nowhere"), "forbidden"),
    Envelope("join a pattern that no room matches", js(type="join", id="row", room="w*"), "reply"),
    *(Envelope(f"join the pattern {name!r:.20}", js(type="join", id="row", room=name), "bad_room") for name in (
        "a\n*", "a\0*", "\u20ac" * 85 + "*",
    )),
    Envelope("join a pattern of 256 characters", js(type="join", id="row", room="*" * 256), BAD),
    *(Envelope(f"{kind} with the name of a pattern", js(type=kind, id="row", room="w*", payload=value), "bad_room")
      for kind, value in (("publish", 1), ("presence", {}), ("configure", {}))),
    Envelope("leave a pattern that it has not joined", js(type="leave", id="row", room="w*"), "not_joined"),
    Envelope("a pattern with a position", js(type="join", id="row", room="w*",
             payload={"since": {"epoch": "x", "seq": 1}}), INVALID),
    *(Envelope(f"a pattern with {value!r:.20}", js(type="join", id="row", room="w*", payload=value), INVALID)
      for value in (1, [], {"rooms": 1}, {"rooms": ["w"]}, {"rooms": {"w": 1}}, {"last": -1}, {"last": "x"})),
    *(Envelope(f"token {value!r:.20}", js(type="token", id="row", payload=value), INVALID) for value in (
        None, "x", {}, {"token": None}, {"token": 7}, {"token": ""}, {"token": "x" * 8193}, {"token": ["x"]},
    )),
]  # fmt: skip

JSON = [*DOCUMENTS, *FIELDS, *NUMBERS, *PAYLOADS, *PUBLISHES, *RECEIVED, *SINCE, *PROTOCOL]


def mp(*fields: bytes, **plain: Any) -> bytes:
    """An envelope in MessagePack; `fields` are names and values as they are."""
    whole = msgspec.msgpack.encode(plain)
    assert whole[0] == 0x80 | len(plain)
    return bytes([0x80 | len(plain) + len(fields) // 2]) + whole[1:] + b"".join(fields)


def packed(value: Any) -> bytes:
    """A value in MessagePack."""
    return msgspec.msgpack.encode(value)


TYPE, PAYLOAD, ROOM, ID = packed("type"), packed("payload"), packed("room"), packed("id")


def mp_echo(payload: bytes) -> bytes:
    """As `echo`."""
    return mp(PAYLOAD, payload, type="echo", id="row")


def mp_publish(payload: bytes) -> bytes:
    """As `publish`."""
    return mp(PAYLOAD, payload, type="publish", id="row", room="open")


def mp_taken(rooms: bytes) -> bytes:
    """As `taken`."""
    return mp(PAYLOAD, b"\x82\xa5count\x01\xa5taken" + rooms, type="received")


MSGPACK = [
    *(Envelope(f"document {data[:8].hex()}", data, BAD) for data in (
        b"", b"\xc0", b"\x01", b"\x80", b"\x90", b"\xc1", b"\xff" * 10, b"\x81", b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff", b"\xde\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",
        b"\x81\xa4type", b"\x81\xa4type\xa4ech", b"\x81\xa4type\xa4echo\x00", b"\x92\xa4type\xa4echo",
        b"\x91" * 500_000, b"\x81\xa1a" * 100_000, b"\x81\x01\x02", b"\x81\xc0\xc0", b"\x81\xc4\x04type\xa4echo",
        b"\x81\x91\x01\x02", b"\x81\xa4type\xc4\x04echo",
    )),
    Envelope("a text message", '{"type":"echo","id":"row"}', "bad_encoding"),
    Envelope("a type that is no UTF-8", mp(TYPE, b"\xa2\xff\xfe"), BAD),
    Envelope("an id that is no UTF-8", mp(ID, b"\xa2\xff\xfe", type="echo"), BAD),
    Envelope("a room that is no UTF-8", mp(ROOM, b"\xa2\xff\xfe", type="join", id="row"), BAD),
    Envelope("a room of surrogates", mp(ROOM, b"\xa3\xed\xa0\x80", type="join", id="row"), BAD),
    Envelope("an unknown field that is no UTF-8", mp(packed("x"), b"\xa2\xff\xfe", type="echo", id="row"), "reply"),
    Envelope("a payload that is no UTF-8", mp_echo(b"\xa2\xff\xfe"), INVALID),
    Envelope("a payload of surrogates", mp_echo(b"\xa3\xed\xa0\x80"), INVALID),
    Envelope("a payload that is cut", mp_echo(b"\x93\x01"), BAD),
    Envelope("a payload of the reserved byte", mp_echo(b"\xc1"), INVALID),
    Envelope("a payload to the bottom", mp_echo(b"\x91" * 300_000 + b"\xc0"), INVALID),
    Envelope("a payload of 4 billion", mp_echo(b"\xdd\xff\xff\xff\xff"), BAD),
    Envelope("an extension", mp_echo(b"\xd4\x05\x00"), INVALID),
    Envelope("a timestamp of nonsense", mp_echo(b"\xc7\x0c" + b"\xff" * 13), INVALID),
    Envelope("bytes", mp_echo(packed(b"\0\xff")), "reply"),
    Envelope("the largest number", mp_echo(packed((1 << 64) - 1)), "reply"),
    Envelope("a map with numbers for keys", mp_echo(packed({1: 2})), INVALID),
    Envelope("a map with a list for a key", mp_echo(b"\x81\x91\x01\x02"), INVALID),
    Envelope("a map with a map for a key", mp_echo(b"\x81\x80\x02"), INVALID),
    Envelope("publish: a number for a key", mp_publish(packed({1: 2})), INVALID),
    Envelope("publish: nil for a key", mp_publish(b"\x81\xc0\x01"), INVALID),
    Envelope("publish: bytes within", mp_publish(packed({"a": b"\xff"})), INVALID),
    Envelope("publish: an extension", mp_publish(b"\xd4\x05\x00"), INVALID),
    Envelope("publish: NaN", mp_publish(packed(float("nan"))), INVALID),
    Envelope("publish: infinity", mp_publish(packed([float("inf")])), INVALID),
    Envelope("publish: text that is no UTF-8", mp_publish(b"\xa2\xff\xfe"), INVALID),
    Envelope("publish: bytes", mp_publish(packed(b"\xff\0")), "reply"),
    Envelope("publish: 300 deep", mp_publish(b"\x91" * 300 + b"\xc0"), INVALID),
    Envelope("publish: a field twice", mp_publish(b"\x82\xa1a\x01\xa1a\x02"), INVALID),
    Envelope("publish: a timestamp", mp_publish(b"\xd6\xff\x00\x00\x00\x01"), INVALID),
    Envelope("received: -1", mp(type="received", payload={"count": -1}), INVALID),
    Envelope("taken: a name of bytes",
             mp(type="received", payload={"count": 1, "taken": {b"open": {"count": 1}}}), INVALID),
    Envelope("taken: a name of no UTF-8", mp_taken(b"\x81\xa1\xff\x81\xa5count\x01"), INVALID),
    Envelope("taken: a name that is a number", mp_taken(b"\x81\x05\x81\xa5count\x01"), INVALID),
    Envelope("taken: a room twice", mp_taken(b"\x82" + b"\xa1a\x81\xa5count\x01" * 2), NOTHING),
    Envelope("taken: 300 deep in what is not looked at",
             mp_taken(b"\x81\xa1a\x82\xa5count\x01\xa4more" + b"\x91" * 300 + b"\xc0"), NOTHING),
    Envelope("received: 2^64-1", mp(type="received", payload={"count": (1 << 64) - 1}), INVALID),
    Envelope("since: -1",
             mp(type="join", id="row", room="open", payload={"since": {"epoch": "x", "seq": -1}}), INVALID),
]  # fmt: skip
