"""Proofs for the tests of the report: bounds around what a made study measured, and certified.json. Nobody's result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pulseproof.certify.file import Certified, ClassProof, ProofEntry, UnprovedEntry, rules_now, write_certified
from pulseproof.certify.proved import ScoreBounds, proved
from pulseproof.core.statistics import draw_resamples
from pulseproof.runtime.files import write_array
from tests.bench.making import change_json

RESAMPLES = 100


def certify(folder: Path, head: dict[str, Any], artifacts: list[str], margin: float = 0.1, on: str = "host") -> None:
    """Write certified.json into ``folder``: at each budget bounds by ``margin`` around all scores of ``artifacts`` up
    to it; of the other files nothing is proved."""
    labels, patients = (np.load(folder / "bundle" / f"{name}.npy") for name in ("labels", "patients"))
    proofs, unproved = [], []
    budgets = sorted({each["budget_mv"] for each in head["signals"]} - {0.0})
    for each in head["artifacts"]:
        sha256 = head["files"][each["file"]]["sha256"]
        if each["name"] not in artifacts:
            unproved.append(UnprovedEntry(artifact=each["name"], sha256=sha256, reason="operator Erf is not covered"))
            continue
        home = folder / "results" / on / each["name"].replace("/", "__")
        for budget in [0.0, *budgets]:
            sets = [one for one in head["signals"] if one["budget_mv"] <= budget and not one["only"]]
            scores = np.stack([np.load(home / f"{one['name']}.npy") for one in sets]).astype(np.float64)
            bounds = ScoreBounds(scores.min(axis=0) - margin, scores.max(axis=0) + margin)
            where = Path("certified") / each["name"] / f"{budget:g}mV.npy"
            write_array(folder / where, np.stack([bounds.lower, bounds.upper]))
            found = proved(bounds, labels, draw_resamples(patients, RESAMPLES, 1), np.array([0.5, 0.6, 0.7]), False)
            if budget:
                proofs.append(
                    ProofEntry(
                        artifact=each["name"],
                        sha256=sha256,
                        budget_mv=budget,
                        auc=found.auc,
                        auc_low=found.auc_low,
                        auc_high=found.auc_high,
                        class_aucs={
                            name: ClassProof(auc=one.estimate, low=one.low, high=one.high)
                            for name, one in zip(head["task"]["classes"], found.class_aucs, strict=True)
                        },
                        decided=found.decided,
                        sensitivity=found.sensitivity,
                        specificity=found.specificity,
                        width=1.0,
                        bounds=str(where),
                    )
                )
    files = head["files"]
    certified = Certified(
        study="made",
        note="",
        recordings=len(labels),
        patients=len(np.unique(patients)),
        signals=files["signals/clean.npy"]["sha256"],
        labels=files["labels.npy"]["sha256"],
        rules=rules_now(),
        proofs=tuple(proofs),
        unproved=tuple(unproved),
    )
    write_certified(folder / "certified.json", certified)


def change_certified(folder: Path, **changed: Any) -> None:
    change_json(folder / "certified.json", **changed)
