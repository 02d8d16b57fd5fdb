"""Studies for the tests of comparisons and answers: a bundle of many patients whose scores follow one stated strength
for each (artifact, signal set), so that a test knows what is true of them. They are nobody's result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from tests.bench.making import audit, change_json, make_bundle, write_result

BUDGET = 0.02
Strength = Callable[[dict[str, Any], dict[str, Any]], float]


def study(
    folder: Path,
    strength: Strength,
    *,
    models: Sequence[str] = ("cnn",),
    recipes: Sequence[str] = ("onnx-fp32", "onnx-int8-static"),
    sources: Sequence[str] = ("cnn",),
    n: int = 600,
    patients: int = 400,
    jitter: float = 0.02,
    budgets: Sequence[float] = (BUDGET,),
    audited: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Write ``folder/bundle`` and the results of this machine; return the bundle's head. ``strength(artifact,
    signals)`` is how far the labels lie apart in the scores; the noise is the model's, ``jitter`` each file's own."""
    options = {"synthetic": False, "note": None} | options
    head = make_bundle(
        folder / "bundle",
        models=models,
        recipes=recipes,
        sources=sources,
        n=n,
        patients=patients,
        budgets=budgets,
        **options,
    )
    for artifact in head["artifacts"]:
        for signals in head["signals"]:
            if not signals["only"] or artifact["model"] in signals["only"]:
                put(folder, head, artifact, signals, strength(artifact, signals), jitter)
    if audited:
        audit(folder)
    return head


def put(
    folder: Path,
    head: dict[str, Any],
    artifact: dict[str, Any],
    signals: dict[str, Any],
    strength: float,
    jitter: float = 0.0,
    on: str = "host",
    first: int | None = None,
    **changed: Any,
) -> None:
    """Write one result; ``first``: of so many recordings only; ``on``: the device."""
    labels = np.load(folder / "bundle" / "labels.npy")
    shared = np.random.default_rng(sum(map(ord, artifact["model"]))).normal(size=labels.shape)
    own = np.random.default_rng(sum(map(ord, artifact["name"] + signals["name"]))).normal(size=labels.shape)
    scores = (labels * strength + shared + jitter * own).astype(np.float32)[:first]
    write_result(folder / "results" / on, head, artifact, signals, scores, **changed)


def set_latency(folder: Path, **p50: float) -> None:
    """Give clean results their latency in ms, by recipe with ``_`` for ``-``, of every model."""
    for recipe, value in p50.items():
        for path in (folder / "results" / "host").glob(f"*__{recipe.replace('_', '-')}/clean.json"):
            change_json(path, latency_ms={"count": 200, "p50": value, "p90": value, "p99": value})


def evaluated(folder: Path, delta: float = 0.01) -> Evaluation:
    return evaluate(folder, resamples=400, seed=1, delta=delta)
