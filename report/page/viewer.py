"""The recordings that the page can show: a few of the bundle, clean and as every signal set has them.

In come the bundle's signals and the scores of one device (this machine's where it ran); out comes a block of data for
the page's script. What is chosen, and by which rule, is said on the page. Recordings are int16 steps of the recorder;
of an attacked one only the difference is kept, as int8 where it fits, packed by DEFLATE (RFC 1951), which browsers
unpack.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from pulseproof.bench.wire.results import REMAKE, DeviceResults, HostBundle
from pulseproof.bench.wire.schema import SignalEntry
from pulseproof.core.errors import InputError
from pulseproof.report.numbers.pivot import budgets as budgets_of
from pulseproof.report.numbers.pivot import middle_budget
from pulseproof.report.numbers.rows import HOST, Row
from pulseproof.report.page.markup import Section, data_block, section
from pulseproof.runtime.files import read_array, sha256_file

MOST_CHANGED, AT_RANDOM = 5, 3
SEED = 6  # of those at random; the page says that they are random, not that they are typical
MOST_BYTES = 7_500_000  # of base64: the page stays below 15 MB whatever the study
# What is chosen on the page, and what its lines look like.
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
ORDER = ("pgd", "twin", "random-sign", "square", "smooth", "band", "universal")  # what is kept first, then the rest


@dataclass(frozen=True)
class ChosenRecordings:
    """Which recordings are shown: ``rows`` of the bundle, why each, and the rule in a sentence."""

    rows: tuple[int, ...]
    why: tuple[str, ...]
    rule: str


@dataclass(frozen=True)
class Viewer:
    """The data block, and what the page says: which recordings, and how many signal sets had no room."""

    data: Markup
    rule: str
    left_out: int


def viewer_data(
    bundle: HostBundle,
    devices: Sequence[DeviceResults],
    rows: Sequence[Row],
    artifact: str | None,
    budget: float | None,
) -> Viewer | None:
    """Everything that the viewer needs; None where nothing was measured. ``artifact`` is shown first (the recommended
    one); at ``budget`` (mV; None: the middle one of ``rows``) recordings are chosen."""
    device = next((each for each in devices if each.device and each.device.evidence == HOST), None)
    device = device or next((each for each in devices if each.results), None)
    if device is None or not device.results:
        return None
    budget = middle_budget(rows) if budget is None else budget
    chosen = choose(bundle, device, budget)
    clean_set = next(each for each in bundle.head.signals if each.method == "clean")
    shown = bundle.first_signals(chosen.rows)
    clean = _read(bundle, clean_set)[shown]
    kept, packed, left_out = _pack(bundle, clean, shown, budgets_of(rows))
    artifacts = [each for each in bundle.head.artifacts if (each.name, clean_set.name) in device.results]
    task = bundle.head.task
    value: dict[str, Any] = {
        "device": device.name,
        "fs": task.fs_hz,
        "step": task.adc_step_mv,
        "samples": task.samples,
        "leads": list(task.leads),
        "classes": list(task.classes),
        "exclusive": task.exclusive,
        "records": [
            {"row": row, "why": why, "labels": [int(one) for one in bundle.labels[row]]}
            for row, why in zip(chosen.rows, chosen.why, strict=True)
        ],
        "sets": [
            {"name": each.name, "method": each.method, "source": each.source, "budget": each.budget_mv} for each in kept
        ],
        "clean": deflated(clean.astype("<i2")),
        "differences": packed,
        "artifacts": [
            {
                "name": each.name,
                "thresholds": each.thresholds,
                "scores": _scores(device, each.name, [clean_set, *kept], chosen.rows),
            }
            for each in artifacts
        ],
        "first": {"artifact": artifact, "budget": budget},
    }
    rule = chosen.rule + ("" if bundle.wholes is None else " Of each its first window, beside its joined scores.")
    return Viewer(data_block("viewer-data", value), rule, left_out)


def recordings_section(viewer: Viewer) -> Section:
    """The controls, the paper and the scores, empty until the script fills them."""
    said = f"Shown are: {viewer.rule[0].lower()}{viewer.rule[1:]}"
    if viewer.left_out:
        said += f" {viewer.left_out} signal sets had no room in this page; they lie in the bundle."
    gist = (
        "A few test recordings on ECG paper, clean and attacked over each other, with the scores of any file before and"
    )
    gist += " after."
    return section(
        "recordings", "The recordings themselves", gist, off_paper=True, said=said, selects=SELECTS, traces=TRACES
    )


def choose(bundle: HostBundle, device: DeviceResults, budget: float | None) -> ChosenRecordings:
    """Those that the worst attack at ``budget`` changes most, then some at random.

    The change of a recording is, for each artifact, the largest change of any of its scores under any attack, in
    standard deviations of that score over the clean recordings; of this the mean over the artifacts.
    """
    n = min((len(each.scores) for each in device.results.values() if each.scores is not None), default=0)
    rng = np.random.default_rng(SEED)
    changes = _changes(bundle, device, budget, n)
    most: list[int] = []
    if changes is not None:
        most = [int(at) for at in np.argsort(-changes, kind="stable")[:MOST_CHANGED]]
    rest = np.setdiff1d(np.arange(n), most)
    count = min(len(rest), MOST_CHANGED + AT_RANDOM - len(most))
    drawn = sorted(int(at) for at in rng.choice(rest, count, replace=False))
    rule = f"{count} recordings drawn at random"
    if most:
        rule = (
            f"The {len(most)} recordings whose scores the worst attack at {budget:g} mV changes most (the largest "
            "change of any score, in standard deviations of that score over clean recordings, averaged over the "
            f"artifacts), and {count} drawn at random from the rest"
        )
    return ChosenRecordings((*most, *drawn), ("changed most",) * len(most) + ("at random",) * count, f"{rule}.")


def deflated(array: NDArray[Any]) -> str:
    """The bytes of an array in C order, by raw DEFLATE, in base64."""
    return _deflated(np.ascontiguousarray(array).tobytes())


def deflated_text(text: str) -> str:
    """The UTF-8 of a text, likewise."""
    return _deflated(text.encode())


def _deflated(data: bytes) -> str:
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(packer.compress(data) + packer.flush()).decode()


def _changes(bundle: HostBundle, device: DeviceResults, budget: float | None, n: int) -> NDArray[np.float64] | None:
    """float64 (n,): how far the attacks at ``budget`` move each recording's scores; None without any."""
    clean_name = next(each.name for each in bundle.head.signals if each.method == "clean")
    names = [each.name for each in bundle.head.signals if each.attack and each.budget_mv == budget]
    totals = []
    for artifact in bundle.head.artifacts:
        clean = _scored(device, artifact.name, clean_name)
        attacked = [scores for name in names if (scores := _scored(device, artifact.name, name)) is not None]
        if clean is None or not attacked:
            continue
        spread = clean[:n].std(axis=0)
        spread = np.where(spread > 0, spread, 1)
        totals.append(np.max([np.abs(scores[:n] - clean[:n]) / spread for scores in attacked], axis=(0, 2)))
    return np.mean(totals, axis=0) if totals else None


def _scored(device: DeviceResults, artifact: str, signals: str) -> NDArray[np.float64] | None:
    measured = device.results.get((artifact, signals))
    return None if measured is None or measured.scores is None else measured.scores.astype(np.float64)


def _pack(
    bundle: HostBundle, clean: NDArray[np.int16], rows: Sequence[int], budgets: Sequence[float]
) -> tuple[list[SignalEntry], list[dict[str, str]], int]:
    """The signal sets that have room, in the bundle's order, and their packed differences; how many had none."""
    middle = (len(budgets) - 1) / 2

    def weight(each: SignalEntry) -> tuple[int, float]:
        rank = ORDER.index(each.method) if each.method in ORDER else len(ORDER)
        return rank, abs(budgets.index(each.budget_mv) - middle) if each.budget_mv in budgets else 0.0

    asked = [each for each in bundle.head.signals if each.method != "clean"]
    packed: dict[str, dict[str, str]] = {}
    room = MOST_BYTES
    for each in sorted(asked, key=weight):
        difference = _read(bundle, each)[list(rows)].astype(np.int32) - clean
        kind = "i1" if np.abs(difference).max(initial=0) < 128 else "i2" if np.abs(difference).max() < 32768 else "i4"
        text = deflated(difference.astype(f"<{kind}"))
        if len(text) <= room:
            room -= len(text)
            packed[each.name] = {"kind": kind, "data": text}
    kept = [each for each in asked if each.name in packed]
    return kept, [packed[each.name] for each in kept], len(asked) - len(kept)


def _scores(device: DeviceResults, artifact: str, sets: Sequence[SignalEntry], rows: Sequence[int]) -> str:
    """float32 (sets, recordings, classes) of one artifact, packed; NaN where it was not run."""
    found = [_scored(device, artifact, each.name) for each in sets]
    shape = next(each.shape[1] for each in found if each is not None)
    empty = np.full((len(rows), shape), np.nan)
    return deflated(np.array([empty if each is None else each[list(rows)] for each in found], "<f4"))


def _read(bundle: HostBundle, signals: SignalEntry) -> NDArray[np.int16]:
    """int16 (n, leads, samples) of one signal set, mapped; its bytes must be those that were measured."""
    path = bundle.folder / signals.file
    task, n = bundle.head.task, bundle.signals
    try:
        array = read_array(path, mapped=True)
    except (OSError, ValueError) as error:
        raise InputError(str(error), REMAKE) from None
    if sha256_file(path) != bundle.head.files[signals.file].sha256:
        raise InputError(f"{path}: not the bytes that bundle.json lists (SHA-256 differs)", REMAKE)
    if array.dtype != np.int16 or array.shape != (n, len(task.leads), task.samples):
        wanted = (n, len(task.leads), task.samples)
        raise InputError(f"{path}: {array.dtype} {array.shape}, not int16 {wanted}", REMAKE)
    return array
