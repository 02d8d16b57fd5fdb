"""Small systems for the tests of the exporters: trained for seconds on small recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pulseproof.core.study import Study
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.job import ExportJob
from pulseproof.models.run import Trained, task_of

NETS: dict[str, dict[str, Any]] = {
    "cnn": {"options": {"width": 8}, "epochs": 8, "batch_size": 16},
    "ecg-lens": {"options": {"width": 8}, "epochs": 6, "batch_size": 16},
    "lstm": {"options": {"hidden": 16, "patch": 7}, "epochs": 8, "batch_size": 16},  # 160 samples: 6 are left over
}
CLASSICAL: dict[str, dict[str, Any]] = {
    "decision-tree": {},
    "random-forest": {"options": {"trees": 10}},
    "logistic-regression": {},
}


def small_study(models: dict[str, dict[str, Any]] | None = None, **export: Any) -> Study:
    """A study of all systems (or of ``models``), calibrated and compared on few recordings."""
    export = {"calibration_records": 40, "parity_records": 60} | export
    return Study.model_validate(
        {
            "name": "small",
            "title": "small",
            "data": {"source": "synthetic"},
            "models": models or {**CLASSICAL, **NETS},
            "export": export,
        }
    )


def as_trained(module: nn.Module, recordings: Recordings, name: str = "own") -> Trained:
    """A module as if it had been trained."""
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return Trained(name, module, task_of(recordings), None, True, "0" * 64)


def job_for(module: nn.Module, shape: tuple[int, int], out: Path, source: Path | None = None) -> ExportJob:
    """A job without calibration recordings."""
    none: NDArray[np.float32] = np.zeros((0, *shape), np.float32)
    return ExportJob(module.eval(), shape, out, source or out, none, "minmax")


def random_signals(n: int, shape: tuple[int, int], seed: int = 0) -> NDArray[np.float32]:
    """Recordings of whole microvolts, as a recorder gives them: float32 (n, leads, samples) mV."""
    steps = np.random.default_rng(seed).normal(0, 300, (n, *shape)).round().astype(np.int16)
    return steps.astype(np.float32) * np.float32(0.001)
