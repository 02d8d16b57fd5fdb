"""The results of a run: one JSON a (artifact, signal set) with its scores beside it, as docs/formats.md says.

In come what is asked for (a bundle's artifact and signal set, the engine, the device) and what was measured; out come
files, the scores first and the JSON last, so that a JSON never names scores that are not there. What is asked for is
written into the result, and that is how a later run tells whether the result is still good.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.files import read_json, sha256_file, write_array, write_json
from pulseproof.runtime.wire.bundle import Artifact, Bundle, RunRules, SignalSet

FORMAT = 1
TIMED = ("times", "latency_ms", "load_ms", "first_ms", "overhead_us", "peak_rss_mb")
STATE = ("noise", "marks", "affinity", "condition", "energy", "exact")
MEASURED = ("scores", "auc_macro", *TIMED, "instructions", *STATE)


@dataclass(frozen=True)
class WantedResult:
    """One result that is asked for: where it goes (``json``), and its head, all that is known before measuring."""

    json: Path
    signals: SignalSet
    head: dict[str, Any]

    @property
    def scores(self) -> Path:
        """Where its scores go."""
        return self.json.with_name(f"{self.signals.name}.npy")

    @property
    def times(self) -> Path:
        """Where the time of every call goes; no signal set is named with a "_" in front."""
        return self.json.with_name(f"_{self.signals.name}.times.npy")


def wanted(
    out: Path,
    bundle: Bundle,
    artifact: Artifact,
    signals: SignalSet,
    *,
    device: dict[str, Any],
    engine: dict[str, Any],
    n: int,
    rules: RunRules,
    affinity: str = "auto",
    runner: str | None = None,
) -> WantedResult:
    """Describe one result: ``device`` and ``engine`` as the result holds them, ``n`` recordings under ``rules``;
    ``runner`` is :func:`runtime.version.runner_sha256`."""
    head = {
        "format": FORMAT,
        "study": bundle.study,
        "device": device,
        "artifact": {
            "name": artifact.name,
            "model": artifact.model,
            "recipe": artifact.recipe,
            "sha256": artifact.sha256,
            "size_bytes": artifact.size_bytes,
        },
        "signals": {
            "name": signals.name,
            "source": signals.source,
            "method": signals.method,
            "budget_mv": signals.budget_mv,
            "sha256": signals.sha256,
        },
        "engine": engine,
        "runner": runner,
        "asked": {
            "adc_step_mv": bundle.adc_step_mv,
            "labels_sha256": bundle.sha256["labels.npy"],
            "warmup_s": rules.warmup_s,
            "min_runs": rules.min_runs,
            "min_s": rules.min_s,
            "affinity": affinity,
        },
        "n": n,
    }
    return WantedResult(out / artifact.name.replace("/", "__") / f"{signals.name}.json", signals, head)


def read_good(one: WantedResult) -> dict[str, Any] | None:
    """Return the result that is there if it is still good, else None: missing, damaged, failed or of something else."""
    try:
        result: dict[str, Any] = read_json(one.json)
        good = (
            result["status"] == "ok"
            and _identity(result) == _identity(one.head)
            and _same_features(result, one.head)
            and result["scores"]["file"] == one.scores.name
            and result["scores"]["sha256"] == sha256_file(one.scores)
            and (result["times"] is None or result["times"]["sha256"] == sha256_file(one.times))
        )
        return result if good else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_ok(
    one: WantedResult, scores: np.ndarray, labels: np.ndarray, measured: dict[str, Any], times: np.ndarray | None = None
) -> None:
    """Write a result that was measured; ``measured`` has what TIMED and STATE name, as far as it is known, and
    ``times`` is int64 (count,) in ns."""
    value = macro_auc(scores, labels)
    one.json.unlink(missing_ok=True)  # an earlier one names other scores: killed from here on, there is no result
    write_array(one.scores, scores)
    if times is not None:
        write_array(one.times, times)
        measured = {**measured, "times": {"file": one.times.name, "sha256": sha256_file(one.times)}}
    filled = {
        "status": "ok",
        "reason": None,
        "scores": {"file": one.scores.name, "sha256": sha256_file(one.scores)},
        "auc_macro": None if np.isnan(value) else value,
        **measured,
    }
    write_json(one.json, _ordered(one.head, filled))


def write_failed(one: WantedResult, reason: str, status: str = "failed") -> None:
    """Write that a result could not be had, and why. Scores of an earlier run are removed."""
    for left in (one.json, one.scores, one.times):
        left.unlink(missing_ok=True)
    write_json(one.json, _ordered(one.head, {"status": status, "reason": reason}))


def write_not_applicable(one: WantedResult, reason: str) -> None:
    """Write that a result cannot be had on this device, and why: nothing was run."""
    write_failed(one, reason, "not-applicable")


def sweep(out: Path) -> None:
    """Remove what a killed run left half-written."""
    for folder in (out, *(child for child in out.iterdir() if child.is_dir())):
        for left in folder.glob(".*.partial.*"):
            left.unlink()


def _identity(result: dict[str, Any]) -> dict[str, Any]:
    device = result["device"]
    same = {key: result[key] for key in ("format", "study", "artifact", "signals", "engine", "asked", "n")}
    same["device"] = [
        device["name"],
        device["evidence"],
        device["fingerprint"]["machine"],
        device["fingerprint"]["cpu"],
    ]
    return same


def _same_features(result: dict[str, Any], head: dict[str, Any]) -> bool:
    """False for a processor of the same name with other instructions. Results from before they were noted are kept."""
    found, now = (each["device"]["fingerprint"].get("features") for each in (result, head))
    return found is None or now is None or bool(found == now)


def _ordered(head: dict[str, Any], filled: dict[str, Any]) -> dict[str, Any]:
    """The keys of a result in the order of docs/formats.md, null where nothing was measured."""
    first = {key: head[key] for key in ("format", "study", "device", "artifact", "signals", "engine", "runner")}
    rest = {key: filled.get(key) for key in MEASURED}
    state = {"status": filled["status"], "reason": filled["reason"]}
    return {**first, **state, "asked": head["asked"], "n": head["n"], **rest}
