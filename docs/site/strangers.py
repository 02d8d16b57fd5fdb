"""The table of strangers' files: how each fares that Keras, tf2onnx, torch's exporters and ONNX Runtime made.

    python docs/site/strangers.py

In: the files of tests/fixtures/strangers and drawn (synthetic) recordings, on which they were trained. Out:
``docs/results/strangers.md`` and the page that holds it: what each takes, how far its scores are from one engine to
another, how it was attacked, and how long all of that took. Nothing is told about a file but its path.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pulseproof as pp
from pulseproof.core.errors import InputError
from pulseproof.core.markdown import markdown_table
from pulseproof.core.terminal.console import say
from pulseproof.face.results import WAYS
from pulseproof.runtime.files import write_text

ROOT = Path(__file__).parents[2]
FILES = ROOT / "tests" / "fixtures" / "strangers"
TABLE, PAGE = ROOT / "docs" / "results" / "strangers.md", ROOT / "docs" / "strangers.md"
RECORDS, SEED, FS_HZ, BUDGET_MV = 200, 7, 160.0, 0.05
HEADS = ("file", "kB", "input", "other engine within", "clean AUC", "attacked AUC", "random signs", "attacked by", "s")


def row(path: Path) -> tuple[str, ...]:
    """The line of one file; of one that is refused its reason."""
    from pulseproof.export.bring.looks import look
    from pulseproof.models.front.layouts import said
    from tests.fixtures.strangers.recordings import beats

    signals_mv, labels = beats(RECORDS, SEED)
    began = time.perf_counter()
    shape = said(look(path).inputs[0].shape or ())
    first = (path.name, f"{path.stat().st_size / 1000:.1f}", shape)
    try:
        report = pp.check_file(path, signals_mv, labels, fs_hz=FS_HZ, budgets_mv=(BUDGET_MV,))
    except InputError as error:
        return (*first, "", "", "", "", f"refused: {error.what}", f"{time.perf_counter() - began:.0f}")
    others = [f"{each.max_difference:.2g}" if each.reason is None else "not run there" for each in report.parity[1:]]
    at = report.at(BUDGET_MV)
    aucs = (f"{report.clean_auc:.3f}", f"{at.auc:.3f}", f"{at.control_auc:.3f}")
    return (*first, ", ".join(others), *aucs, WAYS[report.attack.way], f"{time.perf_counter() - began:.0f}")


def main() -> None:
    """Check every file, and write the table and its page."""
    from pulseproof.report.docs import fill

    rows = []
    for path in sorted(path for path in FILES.iterdir() if path.suffix in (".onnx", ".tflite")):
        rows.append(row(path))
        say(", ".join(rows[-1]))
    write_text(TABLE, markdown_table(HEADS, rows, left=1) + "\n")
    fill(PAGE, ROOT)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
