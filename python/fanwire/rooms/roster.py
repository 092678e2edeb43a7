"""The members of one room with presence, and their JSON. Pure.

The JSON list is built again only when a member in it has left. A new member is appended, so that thousands of joins in
a row each cost a copy of the list, but not building it.
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
    """A page of members.

    Attributes:
        members: a list, as JSON or MessagePack.
        next: the `after` of the next page; None: this is the last page.
    """

    members: bytes
    next: str | None


class RosterEntry(NamedTuple):
    """One member: its number in the order of coming, its info, its JSON, and whether it is at this node."""

    place: int
    info: Any
    text: str
    is_here: bool


class Roster:
    """The members of a room in the order of their coming. Not safe for threads: the caller has a lock.

    Args:
        remote: the members at other nodes: their infos, by id.
    """

    __slots__ = ("_bytes", "_cut", "_here", "_last", "_listed", "_members", "_name", "_packed", "_places", "_text")

    def __init__(self, remote: Mapping[str, Any]) -> None:
        self._members: dict[str, RosterEntry] = {}
        self._places = 0
        self._here = 0
        # Part of the cursors of pages, so that a cursor of another roster is refused.
        self._name = secrets.token_hex(4)
        # The JSON of the first members, joined by commas, and their ids; None: it has to be built.
        self._text: str | None = None
        self._listed: set[str] = set()
        self._bytes = 0
        self._last = 0
        # The length of the text without the last member of a full list.
        self._cut = 0
        # The list of the first members as MessagePack; None: it has to be built.
        self._packed: bytes | None = None
        for name, info in remote.items():
            self.come(name, info, member_text(name, info), is_here=False)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, id: str) -> bool:
        return id in self._members

    def come(self, id: str, info: Any, text: str, *, is_here: bool) -> None:
        """Adds a member, or replaces it. `text` is its JSON, as `member_text` makes it."""
        self.go(id)
        self._places += 1
        self._here += is_here
        self._members[id] = RosterEntry(self._places, info, text, is_here)
        # Appended only if all other members are in the list: it has no gaps, since the next page begins at its end.
        if self._text is not None and len(self._listed) == len(self._members) - 1 and self._fits(text):
            self._cut = len(self._text)
            self._text = f"{self._text},{text}" if self._text else text
            self._list(id, self._members[id])
            self._packed = None

    def go(self, id: str) -> str | None:
        """Removes a member. Returns its JSON; None: it was not there."""
        entry = self._members.pop(id, None)
        if entry is None:
            return None
        self._here -= entry.is_here
        if id in self._listed:
            self._text = self._packed = None
        return entry.text

    @property
    def has_members_here(self) -> bool:
        """Whether the room has members at this node."""
        return self._here > 0

    def infos(self) -> dict[str, Any]:
        """The infos of all members, by id."""
        return {name: entry.info for name, entry in self._members.items()}

    def here(self) -> dict[str, Any]:
        """The infos of the members at this node, by id."""
        return {name: entry.info for name, entry in self._members.items() if entry.is_here}

    def list_for(self, id: str, text: str) -> tuple[int, str]:
        """The number of members, and the JSON list of the first of them; both include the member that joins."""
        listed = self._first()
        if id in self._listed:
            return len(self._members), f"[{listed}]"
        if len(self._listed) == LISTED:
            # The new member takes the place of the last one.
            listed = listed[: self._cut]
        return len(self._members) + (id not in self._members), f"[{listed},{text}]" if listed else f"[{text}]"

    def first(self, *, packed: bool = False) -> Page:
        """The first page: up to 1,000 members or 64 KiB. It is cached until it changes.

        Args:
            packed: MessagePack instead of JSON.
        """
        text = self._first()
        following = None if len(self._listed) == len(self._members) else self._cursor(self._last)
        if not packed:
            return Page(f"[{text}]".encode(), following)
        if self._packed is None:
            self._packed = pack(f"[{text}]".encode())
        return Page(self._packed, following)

    def page(self, after: str | None, limit: int, *, packed: bool = False) -> Page:
        """The page after another one, in the order of coming.

        Args:
            after: the `next` of the other page; None: the first page.
            limit: the most members of the page; it has fewer beyond 64 KiB.
            packed: MessagePack instead of JSON.

        Raises:
            ValueError: `after` is no cursor of this roster.
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

    def _list(self, id: str, entry: RosterEntry) -> None:
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
            raise ValueError("the page is no longer known: begin with the first page")
        return int(place)


def member_text(id: str, info: Any) -> str:
    """The JSON of a member: its id and its info."""
    return f'{{"id":"{id}","info":{document(info).decode()}}}'


def check_info(info: Any) -> None:
    """Checks a `Connection.info`.

    Raises:
        TypeError, ValueError: it cannot be encoded as JSON.
        ValueError: it is larger than 4,096 bytes of JSON.
    """
    if info is not None and (size := len(document(info))) > INFO_MAX:
        raise ValueError(f"Connection.info must be at most {INFO_MAX} bytes of JSON, got {size}")


LISTED = MEMBERS_LISTED
"""The most members in a list. Larger rooms have pages."""

LISTED_BYTES = MEMBERS_BYTES
"""The most bytes of a list, about: each joiner gets one."""
