"""What `fanwire top` shows: readings as tables for a terminal. The only import of rich."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

__all__ = ["screen"]


def screen(
    reading: dict[str, Any] | None,
    nodes: list[dict[str, Any]],
    silent: dict[str, float],
    state: str,
    rows: int = 20,
    width: int = 120,
) -> RenderableType:
    """The screen.

    Args:
        reading: the sum of all nodes; None: none has come yet.
        nodes: the readings of the nodes that are heard.
        silent: seconds since the other nodes were heard.
        state: what is said about the connection; "": it is there.
        rows: lines of a table.
        width: characters of a line. Below `WIDE` the tables stand one above the other.
    """
    if reading is None:
        return Text(printable(state) or "waiting for readings ...", style="dim")
    parts: list[RenderableType] = [_head(reading, state), _figures(reading)]
    if width >= WIDE:
        tables = Table.grid(expand=True, padding=(0, 2, 0, 0))
        tables.add_column(ratio=2)
        tables.add_column(ratio=3)
        tables.add_row(_rooms(reading, rows), _readers(reading, rows))
        parts += [tables, _counts(reading)]
    else:
        parts += [_rooms(reading, rows // 2), _readers(reading, rows // 2), _counts(reading)]
    if len(nodes) > 1 or silent:
        parts.append(_nodes(nodes, silent))
    return Group(*parts)


def printable(text: str) -> str:
    """Text with escapes for what a terminal would obey or not show. Names of rooms and subjects come from clients."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _head(reading: dict[str, Any], state: str) -> Text:
    node = reading["node"]
    count = reading["now"]["nodes"]
    name = f"{count} nodes" if count > 1 else printable(node.get("name", "one node"))
    head = Text.assemble(("Fanwire", "bold"), f"  {name}  ")
    if state:
        head.append(printable(state), style="bold red")
    elif node["ready"]:
        head.append("ready", style="green")
    else:
        head.append(printable("; ".join(["not ready for new clients", *node["reasons"]])), style="bold red")
    if node["troubles"] and not state:
        head.append(printable(f"  {'; '.join(node['troubles'])}"), style="yellow")
    return head


def _figures(reading: dict[str, Any]) -> Panel:
    now, rates = reading["now"], reading["rates"]
    pairs = [
        ("clients", number(now["connections"])), ("away", number(now["parked_sessions"])),
        ("rooms", number(now["rooms"])), ("slow", number(now["slow"])),
        ("published/s", number(rates["published"])), ("received/s", number(rates["received"])),
        ("delivered/s", number(rates["delivered"])), ("out/s", size(rates["delivered_bytes"])),
        ("p50", ms(reading["p50_ms"])), ("p99", ms(reading["p99_ms"])), ("p99.9", ms(reading["p999_ms"])),
        ("drops/s", number(sum(reading["drops"].values()))),
        ("waiting", size(now["waiting_bytes"])), ("memory", size(reading["memory"])),
        ("cpu", f"{100 * reading['cpu']:.0f} %"), ("loop late", ms(reading["loop_late_ms"])),
    ]  # fmt: skip
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in range(4):
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(justify="right", style="bold", no_wrap=True)
    for start in range(0, len(pairs), 4):
        grid.add_row(*(text for pair in pairs[start : start + 4] for text in pair))
    return Panel(grid, padding=(0, 1))


def _table(title: str, *columns: str, numbers: int) -> Table:
    """A table whose last columns are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, expand=True, pad_edge=False)
    for place, name in enumerate(columns):
        is_number = place >= len(columns) - numbers
        table.add_column(
            name,
            justify="right" if is_number else "left",
            no_wrap=True,
            overflow="ellipsis",
            header_style="dim",
            min_width=len(name) if is_number else 6,
            ratio=None if is_number else 1,
        )
    return table


def _rooms(reading: dict[str, Any], rows: int) -> Table:
    table = _table("Busiest rooms", "room", "members", "msgs/s", "sent/s", numbers=3)
    for name, members, messages, deliveries in reading["rooms"][:rows]:
        table.add_row(Text(printable(name)), number(members), number(messages), number(deliveries))
    return table


def _readers(reading: dict[str, Any], rows: int) -> Table:
    table = _table("Slow readers", "connection", "subject", "waits for", "queue", "oldest", "dropped", numbers=3)
    for conn, subject, address, _, waiting, _, age, waits_for, _, dropped in reading["readers"][:rows]:
        style = "red" if age > 5 else "yellow" if age > 1 else ""
        table.add_row(
            Text(printable(conn)), Text(printable(subject or address or "-")), printable(waits_for), size(waiting),
            Text(f"{age:.1f} s", style=style), number(dropped),
        )  # fmt: skip
    if not reading["readers"]:
        table.add_row(Text("none", style="dim"))
    return table


def _counts(reading: dict[str, Any]) -> Text:
    def listed(title: str, counts: dict[str, Any]) -> str:
        found = ", ".join(f"{printable(name)} {number(count)}" for name, count in counts.items() if count)
        return f"{title}: {found or 'none'}"

    parts = [
        listed("transports", reading["transports"]),
        listed("drops/s", reading["drops"]),
        listed("closes", reading["closes"]),
        listed("handshakes/s", reading["handshakes"]),
    ]
    return Text("   ".join(parts), style="dim")


def _nodes(nodes: list[dict[str, Any]], silent: dict[str, float]) -> Table:
    table = _table("Nodes", "node", "state", "connections", "delivered/s", "p99", "cpu", "memory", numbers=5)
    for reading in nodes:
        node = reading["node"]
        table.add_row(
            Text(printable(f"{node['id']} ({node['name']})")), "ready" if node["ready"] else "not ready",
            number(reading["now"]["connections"]), number(reading["rates"]["delivered"]), ms(reading["p99_ms"]),
            f"{100 * reading['cpu']:.0f} %", size(reading["memory"]),
        )  # fmt: skip
    for name, seconds in silent.items():
        table.add_row(Text(printable(name)), Text(f"not heard for {seconds:.0f} s", style="red"))
    return table


def number(count: float) -> str:
    """A count with separators for thousands; small fractions keep one digit."""
    return f"{count:,.1f}" if count < 100 and count != int(count) else f"{count:,.0f}"


def size(count: float) -> str:
    """Bytes in the largest unit in which there is one."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def ms(count: float | None) -> str:
    """Milliseconds, or seconds from one second on."""
    if count is None:
        return "-"
    return f"{count / 1000:.2f} s" if count >= 1000 else f"{count:.2f} ms" if count < 10 else f"{count:.0f} ms"


WIDE = 110
"""Characters of a line for two tables side by side."""
