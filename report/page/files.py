"""What can be taken along: the rows as CSV and JSON, each class, and every picture, out of the page itself.

In come the texts of the files that are written beside the page; out comes a section of links and a block of data. A
page that was sent by mail has no files beside it, so it carries ``results.json`` packed (raw DEFLATE, RFC 1951) and its
script makes the files on a click: results.csv and class-aucs.csv are other forms of the same rows, the pictures are the
page's own drawings, painted by the browser.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pulseproof.report.page.markup import Section, data_block, section
from pulseproof.report.page.viewer import deflated_text

# A file's name and what is in it.
FILES = (
    ("results.csv", "every row: one an artifact and signal set, all columns"),
    ("results.json", "the same, as JSON"),
    ("class-aucs.csv", "the AUC of each class, a line a class and row"),
    ("per-class.csv", "the recommended file: sensitivity, specificity, calibration and AUC of each class"),
)
MOST_BYTES = 4_000_000  # of base64; beyond, the files beside the page are all there is


def files_section(per_class: bool, pictures: Sequence[str]) -> Section:
    """The links. ``pictures``: the names of the PNG files beside the page."""
    listed = [each for each in FILES if per_class or each[0] != "per-class.csv"]
    gist = "Every number as CSV and JSON and every picture as PNG, out of this page itself: it needs no file beside it."
    return section("files", "CSV, JSON, PNG", gist, off_paper=True, files=listed, pictures=pictures)


def files_data(results_json: str, per_class_csv: str | None) -> Markup:
    """The block that the script makes files of."""
    packed = deflated_text(results_json)
    value = {"results": packed if len(packed) <= MOST_BYTES else None, "per-class.csv": per_class_csv}
    return data_block("files-data", value)
