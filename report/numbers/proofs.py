"""What is proved of each file on each device: the lower side of the bracket whose upper side is the attacked AUC.

In come ``certified.json`` with its bounds (:mod:`certify.study`), a bundle and the results of its devices; out comes
for each device, file and budget the AUC that no disturbance brings lower, or for the file why there is none. A proof is
of bytes: one of another file, of other recordings or by other rules is stale. It is of the file's own arithmetic: a
device whose engine departs from it loses the proof, and so does one with any score, clean or attacked, outside of the
bounds. A device that ran fewer recordings has the proof of those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from pulseproof.bench.wire.results import DeviceResults, HostBundle, MeasuredResult
from pulseproof.bench.wire.schema import ArtifactEntry, SignalEntry, within
from pulseproof.certify.file import Certified, ProofEntry, read_certified, rules_now
from pulseproof.certify.proved import Proof, ScoreBounds, proved
from pulseproof.core.errors import InputError
from pulseproof.core.statistics import Interval, Resamples, draw_resamples
from pulseproof.core.terminal.hints import command
from pulseproof.report.numbers.metrics import rules_of
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import Row, known
from pulseproof.runtime.exact import DIFFERS, SATURATES
from pulseproof.runtime.files import read_array

EVIDENCE = "a proof"  # what a proved number rests on, beside measured-on-host and the others
STALE = "stale, not used: "
LOST = "lost on this device: "
CLEAN = "0mV.npy"  # the bounds without any disturbance, beside the others of a file
AGAIN = f"run {command('certify')}"


@dataclass(frozen=True)
class Proofs:
    """``proved`` by device, artifact and budget in mV; ``why_not`` by device and artifact: the reason why nothing is
    proved of it there, which begins with :data:`STALE` or :data:`LOST` where something was. Both are empty where
    nothing was certified."""

    proved: Mapping[tuple[str, str, float], Proof] = field(default_factory=dict)
    why_not: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def of(self, device: str, artifact: str) -> dict[float, Proof]:
        """{budget: proof} of a file on a device, budgets rising."""
        found = {at: each for (where, name, at), each in self.proved.items() if (where, name) == (device, artifact)}
        return dict(sorted(found.items()))

    def lost(self, device: str, artifact: str) -> str | None:
        """Why a device has no proof of a file that has one elsewhere; None where it has not lost it."""
        reason = self.why_not.get((device, artifact), "")
        return reason.removeprefix(LOST) if reason.startswith(LOST) else None


def proofs_of(bundle: HostBundle, devices: Sequence[DeviceResults], home: Path, count: int, seed: int) -> Proofs:
    """The proofs of a study; ``home`` is ``build/<study>``, ``count`` and ``seed`` those of the resamples.

    Raises InputError for a damaged certified.json.
    """
    certified = read_certified(home / "certified.json")
    if certified is None:
        return Proofs()
    found: dict[tuple[str, str, float], Proof] = {}
    why_not: dict[tuple[str, str], str] = {}
    resamples = cache(lambda n: draw_resamples(bundle.patients[:n], count, seed))
    for artifact in bundle.head.artifacts:
        reason = _unproved(certified, bundle, artifact)
        entries = {} if reason else certified.of(artifact.name)
        places = {budget: home / entry.bounds for budget, entry in entries.items()}
        for place in list(places.values())[:1]:
            places[0.0] = place.with_name(CLEAN)
        every = {budget: _bounds_of(home, place, len(bundle.labels)) for budget, place in places.items()}
        kept = {budget: bounds for budget, bounds in every.items() if bounds is not None}
        if len(kept) < len(places):
            reason = f"{STALE}its bounds are not there any more; {AGAIN}"
        for device in devices:
            ran = _ran(device, artifact.name)
            if not ran:
                continue
            lost = reason or _lost(bundle, artifact, ran, kept)
            if lost:
                why_not[device.name, artifact.name] = lost
                continue
            n = min(len(scores) for each in ran.values() if (scores := each.scores) is not None)
            for budget, entry in entries.items():
                here = _proof(bundle, artifact, entry, kept[budget], n, resamples)
                found[device.name, artifact.name, budget] = here
    return Proofs(found, why_not)


def with_proofs(rows: Sequence[Row], proofs: Proofs) -> list[Row]:
    """The rows, clean ones and worst cases with what is proved or why nothing is."""
    return [_with_proof(row, proofs) if row.method in ("clean", WORST) else row for row in rows]


def _with_proof(row: Row, proofs: Proofs) -> Row:
    why_not = proofs.why_not.get((str(row.device), row.artifact))
    if why_not is not None:
        return row.model_copy(update={"proof": why_not})
    if row.method == "clean":
        return row.model_copy(update={"proof": "proved" if proofs.of(str(row.device), row.artifact) else None})
    here = proofs.proved.get((str(row.device), row.artifact, row.budget_mv or 0.0))
    if here is None:
        return row
    lowest = known(here.auc)
    return row.model_copy(
        update={
            "proof": "proved",
            "proved_auc": lowest,
            "proved_auc_low": known(here.auc_low),
            "proved_auc_high": known(here.auc_high),
            "proof_gap": None if row.auc is None or lowest is None else row.auc - lowest,
            "proved_decided": known(here.decided),
            "proved_sensitivity": known(here.sensitivity),
            "proved_specificity": known(here.specificity),
        }
    )


def _ran(device: DeviceResults, artifact: str) -> dict[str, MeasuredResult]:
    """What was measured of a file, by signal set."""
    return {
        signals: each
        for (name, signals), each in device.results.items()
        if name == artifact and each.scores is not None and len(each.scores)
    }


def _unproved(certified: Certified, bundle: HostBundle, artifact: ArtifactEntry) -> str | None:
    """Why there is no proof of a file, on whatever device; None where there is one."""
    files = bundle.head.files
    clean = next((each.file for each in bundle.head.signals if each.method == "clean"), None)
    mine = {each.sha256 for each in certified.proofs if each.artifact == artifact.name}
    mine |= {each.sha256 for each in certified.unproved if each.artifact == artifact.name}
    if not mine:
        return f"not certified; {AGAIN}"
    if certified.rules != rules_now():
        return f"{STALE}bounds are made by other rules now; {AGAIN}"
    if clean is None or (files[clean].sha256, files["labels.npy"].sha256) != (certified.signals, certified.labels):
        return f"{STALE}it is of other recordings; {AGAIN}"
    if mine != {files[artifact.file].sha256}:
        return f"{STALE}it is of other bytes of this file; {AGAIN}"
    return next((each.reason for each in certified.unproved if each.artifact == artifact.name), None)


def _bounds_of(home: Path, path: Path, n: int) -> ScoreBounds | None:
    """The bounds of ``n`` recordings; None where they are gone. Raises InputError where what is there are none."""
    inside = path.resolve().is_relative_to(home.resolve())
    try:
        ends = np.asarray(read_array(path), np.float64) if inside else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        ends = None
    if ends is None or ends.shape[:2] != (2, n) or ends.ndim != 3:
        raise InputError(f"{path}: not the bounds of {n:,} recordings", f"delete certified.json; {AGAIN}")
    return ScoreBounds(ends[0], ends[1])


def _lost(
    bundle: HostBundle, artifact: ArtifactEntry, ran: Mapping[str, MeasuredResult], kept: Mapping[float, ScoreBounds]
) -> str | None:
    """Why the proof of a file does not hold on a device; None where nothing speaks against it."""
    for mark in (SATURATES, DIFFERS):
        if any(mark in (each.result.marks or ()) for each in ran.values()):
            return f"{LOST}{mark}, its engine departs from the file's exact arithmetic"
    for each in bundle.head.signals:
        bounds, result = _that_hold(each, kept), ran.get(each.name)
        if bounds is None or result is None or result.scores is None:
            continue
        outside = int(bounds.outside(result.scores.astype(np.float64)).sum())
        if outside:
            return f"{LOST}{outside} of {len(result.scores):,} recordings of {each.name} have scores outside the bounds"
    return None


def _that_hold(signals: SignalEntry, kept: Mapping[float, ScoreBounds]) -> ScoreBounds | None:
    """The narrowest bounds that hold for a signal set: those of the smallest budget that no sample of it exceeds."""
    largest = 0.0 if signals.method == "clean" else signals.linf_mv
    if largest is None:
        return None
    return next((kept[budget] for budget in sorted(kept) if within(largest, budget)), None)


def _proof(
    bundle: HostBundle,
    artifact: ArtifactEntry,
    entry: ProofEntry,
    bounds: ScoreBounds,
    n: int,
    resamples: Callable[[int], Resamples],
) -> Proof:
    """The proof of the first ``n`` recordings: as the file has it, or of those alone."""
    if n == len(bundle.labels):
        classes = [entry.class_aucs.get(name) for name in bundle.head.task.classes]
        return Proof(
            auc=_value(entry.auc),
            auc_low=_value(entry.auc_low),
            auc_high=_value(entry.auc_high),
            class_aucs=tuple(Interval(_value(e.auc), _value(e.low), _value(e.high)) for e in classes if e),
            decided=_value(entry.decided),
            sensitivity=_value(entry.sensitivity),
            specificity=_value(entry.specificity),
        )
    first = ScoreBounds(bounds.lower[:n], bounds.upper[:n])
    rules = rules_of(bundle.head.task, artifact)
    thresholds = None if rules.thresholds is None else np.asarray(rules.thresholds, np.float64)
    return proved(first, bundle.labels[:n], resamples(n), thresholds, rules.exclusive)


def _value(number: float | None) -> float:
    return float("nan") if number is None else number
