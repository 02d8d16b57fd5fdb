"""Markdown in which texts of strangers are text: a title, a reason, an engine's message never become a heading, a link,
an image, a cell more, or HTML. In come plain texts; out comes Markdown as GitHub reads it (GFM).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pulseproof.runtime.words import printable

# What means something anywhere in a line: escapes, cells, emphasis and code, HTML, entities; the middle of a link or an
# image, the end of the label of a definition, and addresses that become links by themselves.
_INSIDE = re.compile(r"[\\|*<>`]|&(?=#?\w+;)|(?<=\])[(:\[]|:(?=//)|(?<=www)\.|(?<=!)\[", re.IGNORECASE)
# What makes a block of the line that it begins: a heading, a rule, a fence, an entry of a list. Not a sign of a number.
_AT_FIRST = re.compile(r"[#=~]|[-+_](?=[\s+_-])|\d{1,9}(?=[.)](\s|$))")


def markdown(text: str) -> str:
    """Markdown that shows ``text`` as it is, on one line, inside a table's cell too."""
    line = _INSIDE.sub(r"\\\g<0>", " ".join(printable(text).split()))
    first = _AT_FIRST.match(line)
    if first is None:
        return line
    at = first.end() if first[0].isdecimal() else 0  # of "1." the dot is escaped: a digit cannot be
    return f"{line[:at]}\\{line[at:]}"


def code(name: str) -> str:
    """Markdown of a name in the type of code, inside a table's cell too."""
    return f"`{printable(name)}`" if not set(name) & set("`|") else markdown(name)


def markdown_table(columns: Sequence[str], lines: Sequence[Sequence[str]], left: int = 2) -> str:
    """A table of Markdown; the first ``left`` columns stand left, the others, which are numbers, right."""
    marks = ["---"] * left + ["---:"] * (len(columns) - left)
    shown = [list(map(markdown, columns)), marks, *(list(map(markdown, line)) for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in shown)
