"""Names of rooms that no client may use, and what it is told (docs/protocol.md, `Config.room_name`)."""

from __future__ import annotations

from typing import NamedTuple


class Name(NamedTuple):
    """A row: a name, and the code of the error."""

    name: str
    room: str
    code: str

    def __repr__(self) -> str:
        return self.name


PLACES = {"start": "{}a", "middle": "a{}a", "end": "a{}"}
CHARACTERS = (
    '\0\x01\x08\t\n\v\f\r\x1b\x7f\x80\x85\u00a0\u200b\u2028\u202e\u2066\ufeff\uffff\U000e0001 "*>$%<?[]\\^`{|};'
)

NAMES = [
    *(Name(f"{ord(char):#x} at the {place}", shape.replace("{}", char), "bad_room")
      for char in CHARACTERS for place, shape in PLACES.items()),
    *(Name(f"name {room!r}", room, "bad_room") for room in (
        "*", ">", "a.*", "*.a", "a.>", "$SYS.x", "$JS.API.>", "_INBOX.>", ".", "..", "a.", ".a", "a..b", "../a",
        "a/../..", "%2e%2e", "a\r\nPUB x 1\r\ny", "{a,b}", "[a-z]", "a|b", "\U0001f4a9", "a*", "w*", "?", "<script>",
        "a;b", "${a}",
    )),
    # Letters, but too many bytes.
    Name("255 letters of two bytes", "w" + "\u00e9" * 254, "bad_room"),
    Name("128 letters of two bytes", "w" + "\u00e9" * 128, "bad_room"),
    Name("64 letters of four bytes", "w" + "\U00020000" * 64, "bad_room"),
    Name("parts that never end well", "a." * 127, "bad_room"),
    Name("nothing", "", "bad_message"),
    Name("256 bytes", "x" * 256, "bad_message"),
    Name("10 KB", "x" * 10_000, "bad_message"),
    Name("10 KB of parts", "a." * 5000 + "a", "bad_message"),
    Name("500 KB", "x" * 500_000, "bad_message"),
    *(Name(f"nearly another's: {room!r:.30}", room, "forbidden") for room in (
        "Open", "OPEN", "op\u0435n", "open.x", "\uff4fpen", "o\u00ffen", "opEn", "all:", "/all", "all/", "@all", "_all",
        "x" * 255, "__proto__", "constructor", "__class__", "hasOwnProperty", "toString", "null", "undefined", "None",
        "0", "-1", "a.b.c.d.e.f.g", "\u0660", "\u00b2", "\u2167", "\u00df",
    )),
]  # fmt: skip
