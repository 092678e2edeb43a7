"""The members of one room with presence, and the JSON that tells of them. Pure.

A list of members is made anew only when somebody who stands in it has left. A newcomer is appended, so that each of
thousands of joins in a row costs the copy of a list and not the making of one.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

from fanwire.protocol.table import INFO_MAX, MEMBERS_BYTES, MEMBERS_LISTED
from fanwire.values.encoding import document
from fanwire.values.encoding import packed as pack

__all__ = ["LISTED", "Page", "Roster", "check_info", "member_text"]


class Page(NamedTuple):
    """Some of the members.

    Attributes:
        members: the bytes of a list, as JSON or MessagePack.
        next: where the page after this one begins; None: this is the last.
    """

    members: bytes
    next: str | None


class Entry(NamedTuple):
    """One member: its place in the order of coming, what is told of it, and the same as JSON."""

    place: int
    info: Any
    text: str
    is_here: bool


class Roster:
    """See the module's head. Not safe for threads: the caller has a lock.

    Args:
        afar: members at other nodes, by id, with what is told of them.
    """

    __slots__ = ("_bytes", "_cut", "_here", "_last", "_listed", "_members", "_name", "_packed", "_places", "_text")

    def __init__(self, afar: Mapping[str, Any]) -> None:
        self._members: dict[str, Entry] = {}
        self._places = 0
        self._here = 0
        # Cursors of pages name the roster: in another one they mean nothing.
        self._name = secrets.token_hex(4)
        # The first members, joined by commas, and their ids; None until it is needed again.
        self._text: str | None = None
        self._listed: set[str] = set()
        self._bytes = 0
        self._last = 0
        # Where the text ends without the last of a full list.
        self._cut = 0
        # The list of the first members as MessagePack.
        self._packed: bytes | None = None
        for name, info in afar.items():
            self.come(name, info, member_text(name, info), is_here=False)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, id: str) -> bool:
        return id in self._members

    def come(self, id: str, info: Any, text: str, *, is_here: bool) -> None:
        """Somebody has come, or is told of anew."""
        self.go(id)
        self._places += 1
        self._here += is_here
        self._members[id] = Entry(self._places, info, text, is_here)
        # The list has no gaps: where it ends the next page begins.
        if self._text is not None and len(self._listed) == len(self._members) - 1 and self._fits(text):
            self._cut = len(self._text)
            self._text = f"{self._text},{text}" if self._text else text
            self._list(id, self._members[id])
            self._packed = None

    def go(self, id: str) -> str | None:
        """Somebody has left. Returns what was told of it; None if it was not there."""
        entry = self._members.pop(id, None)
        if entry is None:
            return None
        self._here -= entry.is_here
        if id in self._listed:
            self._text = self._packed = None
        return entry.text

    @property
    def has_members_here(self) -> bool:
        """Whether any are at this node."""
        return self._here > 0

    def infos(self) -> dict[str, Any]:
        """What is told of each, by id."""
        return {name: entry.info for name, entry in self._members.items()}

    def here(self) -> dict[str, Any]:
        """The same of those at this node."""
        return {name: entry.info for name, entry in self._members.items() if entry.is_here}

    def list_for(self, id: str, text: str) -> tuple[int, str]:
        """How many members there are, and the JSON list of the first of them, with one who is there or about to be."""
        listed = self._first()
        if id in self._listed:
            return len(self._members), f"[{listed}]"
        if len(self._listed) == LISTED:
            # One place is for the newcomer.
            listed = listed[: self._cut]
        return len(self._members) + (id not in self._members), f"[{listed},{text}]" if listed else f"[{text}]"

    def first(self, *, packed: bool = False) -> Page:
        """The members that a list has room for. Made once, and again when it has changed.

        Args:
            packed: as MessagePack and not as JSON.
        """
        text = self._first()
        following = None if len(self._listed) == len(self._members) else self._cursor(self._last)
        if not packed:
            return Page(f"[{text}]".encode(), following)
        if self._packed is None:
            self._packed = pack(f"[{text}]".encode())
        return Page(self._packed, following)

    def page(self, after: str | None, limit: int, *, packed: bool = False) -> Page:
        """The members that came after those of another page, in the order of their coming.

        Args:
            after: what that page has as `next`; None: the first.
            limit: members of the page; fewer if they are large.
            packed: as MessagePack and not as JSON.

        Raises:
            ValueError: the cursor is none of this roster's.
        """
        place = self._place(after)
        texts: list[str] = []
        size, last, following = 0, place, None
        for entry in self._members.values():
            if entry.place <= place:
                continue
            size += len(entry.text)
            if len(texts) >= limit or (texts and size > LISTED_BYTES):
                following = self._cursor(last)
                break
            texts.append(entry.text)
            last = entry.place
        data = f"[{','.join(texts)}]".encode()
        return Page(pack(data) if packed else data, following)

    def _first(self) -> str:
        if self._text is None:
            self._listed.clear()
            self._bytes = self._last = 0
            texts = []
            for name, entry in islice(self._members.items(), LISTED):
                if not self._fits(entry.text):
                    break
                texts.append(entry.text)
                self._list(name, entry)
            self._text = ",".join(texts)
            if len(texts) == LISTED:
                self._cut = len(self._text) - len(texts[-1]) - 1
            self._packed = None
        return self._text

    def _fits(self, text: str) -> bool:
        return len(self._listed) < LISTED and self._bytes + len(text) <= LISTED_BYTES

    def _list(self, id: str, entry: Entry) -> None:
        self._listed.add(id)
        self._bytes += len(entry.text)
        self._last = entry.place

    def _cursor(self, place: int) -> str:
        return f"{self._name}.{place}"

    def _place(self, cursor: str | None) -> int:
        if cursor is None:
            return 0
        name, _, place = cursor.partition(".")
        if name != self._name or not (place.isascii() and place.isdecimal() and len(place) < 19):
            raise ValueError("it is no longer known here: begin with the first page")
        return int(place)


def member_text(id: str, info: Any) -> str:
    """What a room is told of a member, as JSON."""
    return f'{{"id":"{id}","info":{document(info).decode()}}}'


def check_info(info: Any) -> None:
    """Checks what the application wants to be told of a member.

    Raises:
        TypeError, ValueError: it cannot be encoded.
        ValueError: it is larger than `INFO_MAX`.
    """
    if info is not None and (size := len(document(info))) > INFO_MAX:
        raise ValueError(f"Connection.info must be at most {INFO_MAX} bytes of JSON, got {size}")


LISTED = MEMBERS_LISTED
"""Members in a list. In larger rooms the count is what matters, and there are pages."""

LISTED_BYTES = MEMBERS_BYTES
"""Bytes of them, about: each joiner gets such a list."""
