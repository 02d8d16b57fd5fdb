"""The page of two runs side by side, and the same as csv and JSON.

In come two folders of results of one study (:mod:`report.page.side_by_side`); out come ``index.html``,
``comparison.csv`` and ``comparison.json``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from pulseproof.bench.wire.results import DeviceResults, HostBundle, read_bundle
from pulseproof.bench.wire.schema import plain
from pulseproof.core.errors import InputError
from pulseproof.core.terminal.hints import command
from pulseproof.report.numbers.texts import auc_text, csv_text, milliseconds
from pulseproof.report.page.differences import ForestLine, ForestTable, forest_table
from pulseproof.report.page.markup import HtmlCell, HtmlTable, Section, artifact_cell, section, text_cell
from pulseproof.report.page.page import page
from pulseproof.report.page.provenance import SHOWN
from pulseproof.report.page.side_by_side import Both, compared, read_runs
from pulseproof.runtime.files import sha256_file, write_json, write_text

LEAST_TOLD = 0.0001  # a difference that is written in figures
MOST_DRAWN = 400  # differences on the page, the largest; the files hold all


def write_comparison(
    home: Path, first: Path, second: Path, folder: Path, resamples: int = 1000, seed: int = 1, delta: float = 0.01
) -> Path:
    """Compare two folders of results of ``build/<study>`` = ``home`` and write ``index.html``, ``comparison.csv`` and
    ``comparison.json`` into ``folder``; return the page's path. Raises InputError as :func:`read_runs` does, and when
    the two have nothing in common."""
    bundle = read_bundle(home / "bundle")
    runs = read_runs(bundle, first, second)
    both = compared(bundle, runs, resamples, seed, delta)
    if not both:
        raise InputError(
            f"{first} and {second}: no artifact and signal set that both measured", f"{command('bench')} measures more"
        )
    names = _names(first, second)
    write_json(
        folder / "comparison.json", {"first": names[0], "second": names[1], "rows": [asdict(each) for each in both]}
    )
    write_text(folder / "comparison.csv", _csv(both))
    note = "; ".join(
        part for part in ("SYNTHETIC recordings" if bundle.head.synthetic else "", bundle.head.note or "") if part
    )
    sections = [
        _summary(both, names),
        _latencies(both, names),
        _differences(both, names, delta),
        _origin(runs, names, bundle),
    ]
    path = folder / "index.html"
    title = f"{names[0]} and {names[1]}, side by side"
    subtitle = f"{bundle.head.title}: {len(both):,} runs that both measured, on the same bytes."
    write_text(
        path, page(title, note, bundle.head.synthetic, subtitle, [each for each in sections if each is not None])
    )
    return path


def _names(first: Path, second: Path) -> tuple[str, str]:
    """The folders' names, with as much of the path as tells them apart."""
    parts = [Path(each).absolute().parts for each in (first, second)]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if names[0] != names[1]:
            return names[0], names[1]
    raise InputError(f"{first}: named twice", "name two different folders of results")


def _csv(both: Sequence[Both]) -> str:
    return csv_text([each.name for each in fields(Both)], (asdict(each).values() for each in both))


def _summary(both: Sequence[Both], names: tuple[str, str]) -> Section:
    same = sum(each.same_scores for each in both)
    said = [f"{same:,} of {len(both):,} runs have the very same scores on both."]
    apart = [each for each in both if not each.same_scores and each.difference is not None]
    if apart:
        most = max(apart, key=lambda each: abs(each.difference or 0))
        where = f"{most.artifact} on {most.signals}"
        small = abs(most.difference or 0) < LEAST_TOLD
        told = f"No AUC differs by as much as {LEAST_TOLD:g}; the largest difference is of {where}."
        said.append(told if small else f"The largest difference of AUC is {most.difference:+.4f}: {where}.")
        counts = {
            name: sum(each.verdict == name for each in apart)
            for name in ("better", "worse", "no-difference", "undecided")
        }
        told = ", ".join(f"{count:,} {name.replace('-', ' ')}" for name, count in counts.items())
        said.append(f"Of the {len(apart):,} that differ, {names[1]} is: {told}.")
    ratios = [each.latency_ratio for each in both if each.latency_ratio is not None]
    if ratios:
        said.append(
            f"Median latency on {names[1]} is {min(ratios):.2f} to {max(ratios):.2f} times that on {names[0]}, "
            f"{float(np.median(ratios)):.2f} times in the middle of {len(ratios)} artifacts."
        )
    return section("summary", "What differs", template="said", said=said)


def _latencies(both: Sequence[Both], names: tuple[str, str]) -> Section | None:
    timed = [each for each in both if each.latency_ratio is not None]
    if not timed:
        return None
    rows = [
        [
            artifact_cell(each.artifact),
            HtmlCell(milliseconds(each.latency_first_ms), each.latency_first_ms),
            HtmlCell(milliseconds(each.latency_second_ms), each.latency_second_ms),
            HtmlCell(f"{each.latency_ratio:.2f}", each.latency_ratio),
        ]
        for each in timed
    ]
    caption = f"Median latency of one inference, ms, and {names[1]} over {names[0]}: above 1 is slower."
    heads = ["artifact", *names, "ratio"]
    table = HtmlTable(caption, heads, rows, "Latencies", "sortable")
    return section("latency", "Latency", template="table", table=table)


def _differences(both: Sequence[Both], names: tuple[str, str], delta: float) -> Section:
    apart = [each for each in both if not each.same_scores and each.verdict is not None]
    apart.sort(key=lambda each: -abs(each.difference or 0))
    if not apart:
        none = ["There is none: all scores are the same."]
        return section("differences", "Differences of AUC", template="said", said=none)
    lines = [
        ForestLine(
            (
                artifact_cell(each.artifact),
                text_cell(each.signals),
                HtmlCell(f"{each.n:,}", each.n),
                HtmlCell(auc_text(each.auc_first), each.auc_first),
                HtmlCell(auc_text(each.auc_second), each.auc_second),
            ),
            each.difference or 0.0,
            math.nan if each.low is None else each.low,
            math.nan if each.high is None else each.high,
            math.nan if each.p_adjusted is None else each.p_adjusted,
            each.verdict or "undecided",
        )
        for each in apart[:MOST_DRAWN]
    ]
    said = (
        f"Macro AUC on {names[1]} minus that on {names[0]}, in pairs, the largest first; shaded: at most {delta:g}, "
        "which does not matter. p is corrected over all that both measured (Holm)."
    )
    if len(apart) > len(lines):
        said += f" The {len(lines)} largest of {len(apart):,}; comparison.csv holds all."
    heads = ["artifact", "signal set", "n", f"AUC {names[0]}", f"AUC {names[1]}"]
    title = "Differences of AUC"
    table = forest_table(lines, heads, delta, title, f"{names[1]} minus {names[0]}", 2)
    return section("differences", title, said=said, tables=[ForestTable(title, "plain", table)])


def _origin(runs: tuple[DeviceResults, DeviceResults], names: tuple[str, str], bundle: HostBundle) -> Section:
    """What both runs were made on, and of which bundle."""
    rows = []
    for name, run in zip(names, runs, strict=True):
        engines = sorted(
            {f"{one.name} {one.version}" for each in run.results.values() if (one := each.result.engine) is not None}
        )
        print_ = run.device.fingerprint if run.device else {}
        told = [plain(str(print_.get(key, "-"))) for key in ("machine", "cpu", "system", "python", "numpy")]
        evidence = run.device.evidence if run.device else "-"
        rows.append([text_cell(text) for text in (name, evidence, *told, ", ".join(engines))])
    heads = ["run", "evidence", "machine", "processor", "system", "Python", "numpy", "engines"]
    table = HtmlTable("What each run says of itself.", heads, rows, "Both runs", left=len(heads))
    digest = sha256_file(bundle.folder / "bundle.json")
    said = f"Every result of both is of the bytes that one bundle lists (SHA-256 of its bundle.json: {digest[:SHOWN]})."
    return section("origin", "Where the numbers come from", template="runs", table=table, said=said)
