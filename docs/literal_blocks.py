"""An extension of griffe: code in docstrings, which follows a line that ends with `::`, becomes a block of Markdown."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from griffe import Extension, Object

_LITERAL = re.compile(r"^( *)(.*)::\n\n((?:\1    .*\n?|\s*\n)+)", re.MULTILINE)


class LiteralBlocks(Extension):
    """Rewrites the docstring of each object."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called by griffe for each object that it has read."""
        if obj.docstring is not None:
            obj.docstring.value = _LITERAL.sub(_fenced, obj.docstring.value)


def _fenced(found: re.Match[str]) -> str:
    indent, before, code = found.groups()
    title = f"{indent}**{before}**\n\n" if before == "Example" else f"{indent}{before}:\n\n" if before else ""
    language = (
        "python"
        if re.search(r"^\s*(async |await |def |class |@|import |from |server|with |\w+ = |\w+\()", code, re.M)
        else "text"
    )
    block = f"```{language}\n{textwrap.dedent(code).strip()}\n```\n\n"
    return title + textwrap.indent(block, indent)
