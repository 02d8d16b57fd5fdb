"""The report of a study: one page to decide by, that opens without a network, and the same as files.

In comes an :class:`~report.numbers.evaluation.Evaluation`, with the files that it was made from and the answers; out
comes a folder:

    index.html           the page, everything inside
    results.json .csv    every row, as `pulseproof table` prints them
    class-aucs.csv       the AUC of each class, as `pulseproof table --classes` prints it
    per-class.csv        the recommended file: AUC, sensitivity, specificity and calibration of each class
    *.png                the pictures by themselves, for a paper or a slide

Each section of the page is a module that says what stands in it, and a template that writes it: ``screen``, which is
what one sees first, and those that fold below it, ``answered`` ``classes`` ``tried`` ``table`` ``budgets`` ``cost``
``transfer`` ``differences`` ``latency`` ``viewer`` ``look`` ``provenance`` ``files`` ``words``.
``markup`` is what they are made with, ``page`` puts them together; the charts come from :mod:`report.charts`.
"""

from __future__ import annotations

from pathlib import Path

from pulseproof.bench.wire.results import read_bundle, read_results
from pulseproof.ecg.look import kept_look
from pulseproof.report.answers.types import Answers
from pulseproof.report.charts.pictures import write_pictures
from pulseproof.report.numbers.class_aucs import as_csv as class_csv
from pulseproof.report.numbers.class_aucs import class_aucs
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.page.answered import answers_section
from pulseproof.report.page.budgets import budgets_section
from pulseproof.report.page.classes import PER_CLASS, classes_section
from pulseproof.report.page.cost import cost_section
from pulseproof.report.page.differences import differences_section
from pulseproof.report.page.files import files_data, files_section
from pulseproof.report.page.latency import latency_section, read_latencies
from pulseproof.report.page.look import look_section
from pulseproof.report.page.page import page
from pulseproof.report.page.provenance import audit_section, machines_section, missing_section, origin_section
from pulseproof.report.page.screen import answer_screen
from pulseproof.report.page.table import results_section, rows_data
from pulseproof.report.page.transfer import transfer_section
from pulseproof.report.page.tried import tried_section
from pulseproof.report.page.viewer import recordings_section, viewer_data
from pulseproof.report.page.words import words_section
from pulseproof.report.tables import per_class
from pulseproof.report.tables.per_class import ClassLine, class_lines
from pulseproof.report.tables.remarks import banner
from pulseproof.report.tables.table import as_csv, as_json
from pulseproof.runtime.files import write_text


def write_report(
    evaluation: Evaluation, folder: Path, home: Path | None = None, answers: Answers | None = None
) -> Path:
    """Write the report into ``folder`` and return the page's path.

    ``home`` is ``build/<study>``, from which ``evaluation`` was made: with it the page has the recordings, the
    latencies and the hashes too. Raises InputError for a damaged file there.
    """
    bundle = None if home is None else read_bundle(home / "bundle")
    devices = () if home is None or bundle is None else read_results(bundle, home / "results")
    timed = [] if home is None or bundle is None else read_latencies(bundle, devices, home / "results")
    recommendation = answers.recommendation if answers else None
    shipped, budget = (recommendation.artifact, recommendation.budget_mv) if recommendation else (None, None)
    viewer = None if bundle is None else viewer_data(bundle, devices, evaluation.rows, shipped, budget)
    kept = None if home is None else kept_look(home)
    lines: list[ClassLine] = []
    if recommendation is not None:
        device = evaluation.auc_device(recommendation.device, recommendation.artifact)
        lines = class_lines(evaluation, bundle, devices, device, recommendation.artifact, budget)
    rows_json, per_class_csv = as_json(evaluation.rows), per_class.as_csv(lines) if lines else None
    write_text(folder / "results.json", rows_json)
    write_text(folder / "results.csv", as_csv(evaluation.rows))
    write_text(folder / "class-aucs.csv", class_csv(class_aucs(evaluation)))
    (folder / PER_CLASS).unlink(missing_ok=True)
    if per_class_csv is not None:
        write_text(folder / PER_CLASS, per_class_csv)
    pictures = write_pictures(evaluation, answers.comparisons if answers else (), folder)
    every = [
        answers_section(answers) if answers else None,
        classes_section(evaluation, lines),
        tried_section(evaluation, recommendation),
        results_section(evaluation),
        budgets_section(evaluation),
        cost_section(recommendation) if recommendation else None,
        transfer_section(evaluation),
        differences_section(answers.comparisons, evaluation.delta) if answers else None,
        latency_section(timed),
        machines_section(evaluation, home) if home is not None else None,
        recordings_section(viewer) if viewer else None,
        look_section(kept) if kept else None,
        audit_section(evaluation),
        missing_section(evaluation),
        files_section(bool(lines), [each.name for each in pictures]),
        words_section(),
        origin_section(evaluation, bundle, devices),
    ]
    sections = [each for each in every if each is not None]
    data = [rows_data(evaluation), files_data(rows_json, per_class_csv), *([viewer.data] if viewer else [])]
    path = folder / "index.html"
    head = evaluation.head
    screen = answer_screen(evaluation, answers, sections) if answers else None
    write_text(
        path, page(head.title, banner(evaluation), head.synthetic, _subtitle(evaluation), sections, data, screen=screen)
    )
    return path


def _subtitle(evaluation: Evaluation) -> str:
    """What was measured, in a line."""
    task, devices = evaluation.head.task, ", ".join(f"{each.name} ({each.evidence})" for each in evaluation.devices)
    counts = f"{len(evaluation.head.artifacts)} artifacts, {len(evaluation.head.signals)} signal sets"
    of = f"{evaluation.recordings:,} recordings of {evaluation.patients:,} patients" if evaluation.recordings else ""
    leads = f"{len(task.leads)} lead{'s' * (len(task.leads) != 1)}, {task.fs_hz:g} Hz, {task.samples / task.fs_hz:g} s"
    return "; ".join(part for part in (f"{counts}, {of}".rstrip(", "), leads, devices) if part) + "."
