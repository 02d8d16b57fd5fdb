"""The section of the recordings: ECG paper, clean and attacked laid over each other, and the scores of both.

In comes what :mod:`report.page.viewer` chose; out comes the HTML that the page's script (viewer.js) fills.
"""

from __future__ import annotations

from pulseproof.report.page.markup import Section, esc, paragraph, scrolling
from pulseproof.report.page.viewer import Viewer

SELECTS = (
    ("record", "Recording"),
    ("method", "Method"),
    ("source", "Made on"),
    ("budget", "Budget"),
    ("lead", "Lead"),
    ("artifact", "Scores of"),
)


def recordings_section(viewer: Viewer) -> Section:
    """The controls, the paper and the scores, empty until the script fills them."""
    said = f"Shown are: {viewer.rule[0].lower()}{viewer.rule[1:]}"
    if viewer.left_out:
        said += f" {viewer.left_out} signal sets had no room in this page; they lie in the bundle."
    selects = "".join(f'<label>{esc(name)} <select id="viewer-{key}"></select></label>' for key, name in SELECTS)
    paper = scrolling("ECG paper", '<div id="viewer-paper"></div>')
    scores = scrolling(
        "Scores before and after", '<table id="viewer-scores"><caption>Scores before and after</caption></table>'
    )
    body = (
        f"{paragraph(said, 'dim measure')}"
        '<p class="without-script">The viewer needs a script; the recordings themselves lie in the bundle.</p>'
        '<div class="needs-script" id="viewer">'
        f'<div class="filters" role="group" aria-label="What is shown">{selects}</div>'
        '<p id="viewer-said" role="status"></p>'
        f"{paper}{_key()}{scores}</div>"
    )
    return Section("recordings", "The recordings themselves", body)


def _key() -> str:
    """What the two lines look like, in words and in a drawing."""
    drawn = [
        ("clean", "clean: thick and pale"),
        ("attacked", "attacked: thin and dashed"),
        ("difference", "difference, magnified"),
    ]
    items = "".join(
        '<li><svg class="key" viewBox="0 0 10 4" width="40" height="16" aria-hidden="true">'
        f'<path class="trace {name}" d="M0,2H10"/></svg> {esc(said)}</li>'
        for name, said in drawn
    )
    return f'<ul class="legend">{items}<li>25 mm/s, 10 mm/mV; small squares 1 mm, large ones 5 mm</li></ul>'
