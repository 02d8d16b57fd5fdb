"""The section of the recordings: ECG paper, clean and attacked laid over each other, and the scores of both.

In comes what :mod:`report.page.viewer` chose; out comes the HTML that the page's script (viewer.js) fills.
"""

from __future__ import annotations

from pulseproof.report.page.markup import Section, section
from pulseproof.report.page.viewer import Viewer

SELECTS = (
    ("record", "Recording"),
    ("method", "Method"),
    ("source", "Made on"),
    ("budget", "Budget"),
    ("lead", "Lead"),
    ("artifact", "Scores of"),
)
TRACES = (
    ("clean", "clean: thick and pale"),
    ("attacked", "attacked: thin and dashed"),
    ("difference", "difference, magnified"),
)


def recordings_section(viewer: Viewer) -> Section:
    """The controls, the paper and the scores, empty until the script fills them."""
    said = f"Shown are: {viewer.rule[0].lower()}{viewer.rule[1:]}"
    if viewer.left_out:
        said += f" {viewer.left_out} signal sets had no room in this page; they lie in the bundle."
    gist = "A few test recordings on ECG paper, clean and attacked over each other, with the scores of any file before and"
    gist += " after."
    return section("recordings", "The recordings themselves", gist, off_paper=True, said=said, selects=SELECTS, traces=TRACES)
