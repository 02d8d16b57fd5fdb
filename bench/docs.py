"""The tables and pictures of the README, written from result files and from nothing else.

``python -m bench docs`` takes studies that were run and writes ``docs/results/<study>.*``: every row as csv, the table
and the paper's rows as Markdown, the pictures. Then it puts the Markdown between the markers of the README:

    <!-- docs/results/ptb-xl.md -->
    <!-- end -->
"""

from __future__ import annotations

import re
from pathlib import Path

from bench.figures import auc_against_budget
from bench.rows import evaluate
from bench.table import as_csv, as_markdown, by_device
from core.errors import InputError
from core.study import Study
from models.metrics import paper_table
from models.run import load_metrics
from runtime.files import write_text

BLOCK = re.compile(r"(<!-- (docs/results/[\w.-]+\.md) -->\n).*?(<!-- end -->)", re.DOTALL)


def write_results(study: Study, build: Path, folder: Path) -> list[Path]:
    """Write the files of one study into ``folder``; returns them."""
    home = build / study.name
    evaluation = evaluate(home, study.bench.bootstrap, study.seed)
    note = f"**{evaluation.note}**\n\n" if evaluation.note else ""
    paper = paper_table(load_metrics(study, build))
    written = {
        f"{study.name}.csv": as_csv(evaluation.rows),
        f"{study.name}.md": as_markdown(evaluation),
        f"{study.name}-paper.md": f"{note}{paper}",
    }
    for name, text in written.items():
        write_text(folder / name, text)
    for lines in by_device(evaluation).values():
        auc_against_budget(evaluation, lines, folder / f"{study.name}-auc.png")
    return [folder / name for name in written]


def fill(page: Path) -> None:
    """Put the Markdown files that a page names between its markers. Raises InputError for one that is not there."""

    def block(found: re.Match[str]) -> str:
        source = page.parent / found[2]
        if not source.exists():
            raise InputError(f"{page}: names {found[2]}, which is not there", "run the study, then make docs")
        return f"{found[1]}{source.read_text(encoding='utf-8').strip()}\n{found[3]}"

    write_text(page, BLOCK.sub(block, page.read_text(encoding="utf-8")))
