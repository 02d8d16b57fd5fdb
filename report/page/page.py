"""One HTML file out of sections: head, contents, and everything that it needs inside.

The page asks the network for nothing, and its policy (Content-Security-Policy) forbids it to: style and scripts are
those of this package, named by their hashes, so that no text from a result file can ever run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from pulseproof.report.page.markup import Section, esc, paragraph

SCRIPTS = ("tables.js", "viewer.js")
# The site's own mark, an ECG in a square, so that a browser does not ask for one.
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M1 9h4l2-6 3 10 "
    "2-4h3' fill='none' stroke='%23b5532a' stroke-width='1.6'/%3E%3C/svg%3E"
)


def page(
    title: str,
    note: str,
    loud: bool,
    subtitle: str,
    sections: Sequence[Section],
    data: Sequence[str] = (),
    made_from: str = "result files alone",
) -> str:
    """The whole file. ``note`` stands above everything (``loud`` for synthetic recordings); ``data`` are the blocks of
    :func:`report.page.markup.data_block`, ``made_from`` says what all of it is made of."""
    style = _packaged("style.css")
    scripts = [_packaged(name) for name in SCRIPTS]
    allowed = " ".join(_hash(script) for script in scripts)
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {allowed}"
    policy += "; base-uri 'none'; form-action 'none'"
    contents = "".join(f'<li><a href="#{each.anchor}">{esc(each.title)}</a></li>' for each in sections)
    body = "\n".join(
        f'<section id="{each.anchor}" aria-labelledby="{each.anchor}-title">\n'
        f'<h2 id="{each.anchor}-title">{esc(each.title)}</h2>\n{each.body}\n</section>'
        for each in sections
    )
    banner = f'<p class="note{" loud" if loud else ""}" role="note">{esc(note)}</p>' if note else ""
    return f"""<!DOCTYPE html>
<html lang="en" class="no-script">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Pulseproof: {esc(title)}</title>
<link rel="icon" href="{ICON}">
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<p class="brand">Pulseproof report</p>
<h1>{esc(title)}</h1>
{banner}
{paragraph(subtitle, "dim")}
</header>
<div class="columns">
<nav aria-label="Contents"><ol>{contents}</ol></nav>
<main id="main" tabindex="-1">
{body}
</main>
</div>
<footer><p>Made by Pulseproof from {esc(made_from)}. This page needs no network.</p></footer>
{"".join(data)}{"".join(f"<script>{script}</script>" for script in scripts)}
</body>
</html>
"""


def _packaged(name: str) -> str:
    return files("pulseproof.report.page").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
