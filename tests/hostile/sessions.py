"""How a session may be asked for, and what becomes of it: guessed, stolen, replayed, and with counts that are none."""

from __future__ import annotations

from typing import NamedTuple


class Resume(NamedTuple):
    """A row: a query, with the id of Alice's session for ID, who asks with it, and why it does not go on; "": it does.

    Attributes:
        survives: whether Alice can go on with it afterwards.
    """

    name: str
    query: str
    reason: str
    user: str = "alice"
    codec: str = "json"
    survives: bool = True

    def __repr__(self) -> str:
        return self.name


GUESSED = [
    *(Resume(f"id {guess[:24]!r}", f"session={guess}&received=0", "unknown") for guess in (
        "A" * 32, "x", "0", "-1", "null", "undefined", "__proto__", "%00", "%ff%fe", "%ED%A0%80", "*", "ID*", "%25",
        "..", "../ID", "ID%00", "ID%20", "%20ID", "IDA", "ID=", "%22ID%22", "[ID]", "x" * 10_000, "%F0%9F%92%A9",
    )),
    Resume("no id", "session=&received=0", "unknown"),
    Resume("an id with its last letter changed", "session=SHORT!&received=0", "unknown"),
    Resume("an id cut short", "session=SHORT&received=0", "unknown"),
    Resume("an id in other letters", "session=SWAPPED&received=0", "unknown"),
    Resume("another id behind it: the last counts", "session=ID&session=x&received=0", "unknown"),
    Resume("another parameter that ends like it", "xsession=ID&received=0", "none"),
    Resume("in another case", "SESSION=ID&received=0", "none"),
    Resume("twice a question mark", "?session=ID&received=0", "none"),
]  # fmt: skip

STOLEN = [
    Resume("another user's", "session=ID&received=COUNT", "unknown", user="bob"),
    Resume("another user's, whose name begins like it", "session=ID&received=COUNT", "unknown", user="alice2"),
    Resume("another user's, in another case", "session=ID&received=COUNT", "unknown", user="Alice"),
    Resume("another user's, with a count of nonsense", "session=ID&received=x", "unknown", user="bob"),
    Resume("of another encoding", "session=ID&received=COUNT", "codec", codec="msgpack"),
]

COUNTS = [
    *(Resume(f"received {count[:24]!r}", f"session=ID&received={count}", "overflow", survives=False) for count in (
        "", "-1", "%2B1", "1.0", "1e3", "0x1", "x", "%20", "1,2", "%D9%A3", "%EF%BC%91", "\u0661".encode().hex(), "NaN",
        "999999", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
        "4611686018427387904", "9" * 40, "9" * 10_000, "1_0",
    )),
    Resume("no count", "session=ID", "overflow", survives=False),
    Resume("two counts: the last one counts", "session=ID&received=COUNT&received=x", "overflow", survives=False),
]  # fmt: skip

GOOD = [
    Resume("as it should be", "session=ID&received=COUNT", ""),
    Resume("an id in percents", "session=%ID&received=COUNT", ""),
    Resume("with another id before it", "session=x&session=ID&received=COUNT", ""),
    Resume("with much else", "a=b&" * 90 + "session=ID&received=COUNT", ""),
]

RESUMES = [*GUESSED, *STOLEN, *COUNTS, *GOOD]
