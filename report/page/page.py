"""One HTML file out of sections: head, contents, and everything that it needs inside.

The page asks the network for nothing, and its policy (Content-Security-Policy) forbids it to: style and scripts are
those of this package, named by their hashes, so that no text from a result file can ever run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup

from pulseproof.report.page.markup import Section, render

STYLES = (("pulseproof.report.charts", "charts.css"), ("pulseproof.report.page", "style.css"))
SCRIPTS = ("state.js", "tables.js", "files.js", "viewer.js")
# The site's own mark, an ECG in a square, so that a browser does not ask for one.
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M1 9h4l2-6 3 10 "
    "2-4h3' fill='none' stroke='%23b5532a' stroke-width='1.6'/%3E%3C/svg%3E"
)


@dataclass(frozen=True)
class InlineFile:
    """A style or a script of this package inside the page: its text, and its name in the page's policy."""

    text: Markup
    source: Markup


def page(
    title: str,
    note: str,
    loud: bool,
    subtitle: str,
    sections: Sequence[Section],
    data: Sequence[Markup] = (),
    made_from: str = "result files alone",
    screen: Markup | None = None,
) -> str:
    """The whole file. ``note`` stands above everything (``loud`` for synthetic recordings); ``data`` are the blocks of
    :func:`report.page.markup.data_block`; ``made_from`` says what all of it is made of; ``screen`` is what stands above
    the list of ``sections``."""
    return render(
        "page.html",
        title=title,
        note=note,
        loud=loud,
        subtitle=subtitle,
        screen=screen,
        sections=sections,
        data=data,
        made_from=made_from,
        icon=Markup(ICON),
        style=_inline("".join(_packaged(*each) for each in STYLES)),
        scripts=[_inline(_packaged("pulseproof.report.page", name)) for name in SCRIPTS],
    )


def _packaged(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _inline(text: str) -> InlineFile:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return InlineFile(Markup(text), Markup(f"'sha256-{digest}'"))
