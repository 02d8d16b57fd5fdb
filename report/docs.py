"""The tables and pictures of the docs, written from result files and from nothing else.

``pulseproof docs`` takes studies that were run and writes ``docs/results/<study>.*``: every row as csv; as
Markdown the table, the answers in words, the paper's rows, the files with their prices, the tables of the attacks and
of the emulated cores, microcontrollers in one of their own; the pictures; and ``recipes.md``, what can be made of which
system. Then it puts the Markdown between the markers of pages, and leaves none behind that no page has a place for:

    <!-- docs/results/ptb-xl.md -->
    <!-- end -->
"""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from pathlib import Path

from pulseproof.bench.devices.local import DEVICE
from pulseproof.core.errors import InputError
from pulseproof.core.markdown import markdown
from pulseproof.core.study import Study
from pulseproof.export.manifest import load_manifest
from pulseproof.export.table import bounds_table, files_markdown, recipe_table
from pulseproof.models.metrics import paper_table
from pulseproof.models.run import load_metrics
from pulseproof.report.answers.questions import answers
from pulseproof.report.answers.short import as_short_markdown
from pulseproof.report.answers.text import as_markdown as answers_markdown
from pulseproof.report.charts.sheets import budget_sheet, forest_sheet, matrix_sheet, write_sheet
from pulseproof.report.numbers import machines
from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from pulseproof.report.numbers.pivot import by_device, fullest_budget
from pulseproof.report.tables import matrix
from pulseproof.report.tables.attacks import controls_markdown, methods_markdown, twins_markdown
from pulseproof.report.tables.defences import defences_markdown, has_defences
from pulseproof.report.tables.limits import verdicts
from pulseproof.report.tables.table import as_csv, as_markdown
from pulseproof.runtime.files import write_bytes, write_text
from pulseproof.twins.coverage import operators_markdown

PAGES = (
    "README.md",
    "docs/ptb-xl.md",
    "docs/mit-bih.md",
    "docs/export.md",
    "docs/export-results.md",
    "docs/attacks-results.md",
    "docs/emulation.md",
    "docs/cortex-m.md",
    "docs/operators.md",
)
BLOCK = re.compile(r"(<!-- (docs/results/[\w.-]+\.md) -->\n).*?(<!-- end -->)", re.DOTALL)


def write_files(study: Study, build: Path, folder: Path) -> Path:
    """Write the table of a study's files, their prices and what the gate found."""
    path = folder / f"{study.name}-files.md"
    write_text(path, files_markdown(load_manifest(study, build)) + "\n")
    return path


def write_results(study: Study, build: Path, folder: Path) -> list[Path]:
    """Write the measured results of one study into ``folder``; returns the files."""
    whole = evaluate(build / study.name, study.bench.bootstrap, study.seed, study.bench.delta)
    evaluation = _of_this_machine(whole)
    note = f"**{markdown(evaluation.note)}**\n\n" if evaluation.note else ""
    written = {
        f"{study.name}.md": as_markdown(evaluation),
        f"{study.name}-paper.md": f"{note}{paper_table(load_metrics(study, build))}",
    }
    found = answers(whole)
    written[f"{study.name}-answers.md"] = note + answers_markdown(found)
    written[f"{study.name}-short.md"] = as_short_markdown(found, evaluation.delta, evaluation.note)
    budget = fullest_budget(evaluation.rows)
    if budget is not None:
        written |= {
            f"{study.name}-matrix.md": matrix.as_markdown(evaluation, budget),
            f"{study.name}-twins.md": twins_markdown(evaluation),
            f"{study.name}-controls.md": controls_markdown(evaluation),
            f"{study.name}-methods.md": methods_markdown(evaluation, budget),
        }
    if has_defences(evaluation):
        written[f"{study.name}-defences.md"] = defences_markdown(evaluation)
    if len(whole.devices) > len(evaluation.devices):
        micro, others = machines.apart(machines.machine_lines(build / study.name))
        if others:
            written[f"{study.name}-machines.md"] = machines.as_markdown(others)
        if micro:
            written[f"{study.name}-micro.md"] = machines.micro_markdown(micro) + _fitting(study, micro)
    for name, text in written.items():
        write_text(folder / name, text)
    rows = folder / f"{study.name}.csv.gz"
    write_bytes(rows, gzip.compress(as_csv(whole.rows).encode(), mtime=0))  # of equal rows, equal bytes
    for lines in by_device(evaluation).values():
        write_sheet(budget_sheet(evaluation, lines), folder / f"{study.name}-auc.png")
    write_sheet(forest_sheet(evaluation, found.comparisons, DEVICE), folder / f"{study.name}-forest.png")
    for each in matrix.matrices(evaluation, budget) if budget is not None else []:
        write_sheet(matrix_sheet(evaluation, each), folder / f"{study.name}-matrix.png")
    return [rows, *(folder / name for name in written)]


def _fitting(study: Study, lines: list[machines.MachineLine]) -> str:
    """What keeps the study's limits, where it has some."""
    if study.bench.limits is None:
        return ""
    return "\n" + "".join(f"* {markdown(each.text)}\n" for each in verdicts(lines, study.bench.limits))


def _of_this_machine(evaluation: Evaluation) -> Evaluation:
    """What was measured here, without the devices: they have a table of their own."""
    return replace(
        evaluation,
        devices=tuple(each for each in evaluation.devices if each.name == DEVICE),
        rows=tuple(row for row in evaluation.rows if row.device in (None, DEVICE)),
        differences=tuple(each for each in evaluation.differences if each.device == DEVICE),
    )


def write_recipes(folder: Path) -> None:
    """Write the tables of systems and recipes, of bounds and of operators that twins compute, as the code has them."""
    write_text(folder / "recipes.md", recipe_table() + "\n")
    write_text(folder / "bounds.md", bounds_table() + "\n")
    write_text(folder / "operators.md", operators_markdown() + "\n")


def shown(root: Path) -> set[str]:
    """The names of the Markdown files that the pages under ``root`` have a place for."""
    pages = [root / page for page in PAGES if (root / page).exists()]
    return {Path(found[1]).name for page in pages for found in BLOCK.findall(page.read_text(encoding="utf-8"))}


def fill(page: Path, root: Path) -> None:
    """Put the Markdown files that a page names between its markers, paths relative to ``root``.

    Raises InputError for one that is not there.
    """

    def block(found: re.Match[str]) -> str:
        source = root / found[2]
        if not source.exists():
            raise InputError(f"{page}: names {found[2]}, which is not there", "run the study, then make docs")
        return f"{found[1]}{source.read_text(encoding='utf-8').strip()}\n{found[3]}"

    write_text(page, BLOCK.sub(block, page.read_text(encoding="utf-8")))
