"""The scores that an audit compares: every target on every signal set, computed once.

In: a trained model or a deployed file, and a signal set. Out: float32 ``(n, classes)``, kept as ``.npy`` under
``build/<study>/audit/<target>/``, one step a (target, set), so that a killed audit goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.attacks.audit.rechecks import scores_of
from pulseproof.attacks.code import ENSEMBLES, TABLE
from pulseproof.attacks.grid.sets import MadeSet
from pulseproof.core.code_digest import Code, code_of
from pulseproof.core.engines import engines_of, score
from pulseproof.core.steps import Step
from pulseproof.ecg.recordings import to_millivolts
from pulseproof.export.manifest import ManifestEntry
from pulseproof.models.run import Trained
from pulseproof.runtime.engines import EngineError
from pulseproof.runtime.files import read_array, write_array

# Bump when the same target would get other scores.
VERSION = 2
CHUNK = 512  # recordings in memory at once


@dataclass(frozen=True)
class JudgedTarget:
    """What is judged: ``name``, the ``digest`` of its bytes, and ``score`` from steps int16 (k, leads, samples) to
    scores float32 (k, classes). ``engine``: what runs it."""

    name: str
    digest: str
    engine: str
    score: Callable[[NDArray[np.int16]], NDArray[np.float32]]


def model_target(trained: Trained, step_mv: float) -> JudgedTarget:
    """A trained model, as it is: no copy judges, and a forest does so with its true thresholds."""
    module = trained.module
    return JudgedTarget(trained.name, trained.digest, "torch", lambda steps: scores_of(module, steps, step_mv).numpy())


def file_target(entry: ManifestEntry, file: Path, step_mv: float) -> JudgedTarget:
    """A deployed file on the engine that decides about it. Raises EngineError when no engine here opens it."""
    able = [engine for engine in engines_of(entry.format) if engine not in entry.not_on]
    if not able:
        raise EngineError(f"{entry.name}: there is no engine here that runs it")
    assert entry.sha256 is not None, f"{entry.name} has no file"
    return JudgedTarget(
        entry.name, entry.sha256, able[0], lambda steps: score(file, to_millivolts(steps, step_mv), able[0])
    )


class ScoreBook:
    """``signals`` is the folder of the signal sets, ``folder`` that of the scores."""

    def __init__(self, folder: Path, signals: Path) -> None:
        self.folder = folder
        self.signals = signals
        self._used: set[Path] = set()

    def scores(self, target: JudgedTarget, one: MadeSet) -> NDArray[np.float32]:
        """Scores of a target on a set. Raises EngineError when a file does not give them."""

        def compute() -> NDArray[np.float32]:
            steps = read_array(self.signals / f"{one.name}.npy", mapped=True)
            parts = [target.score(np.array(steps[at : at + CHUNK])) for at in range(0, len(steps), CHUNK)]
            return np.concatenate(parts)

        inputs = {"version": VERSION, "target": target.digest, "engine": target.engine, "signals": one.sha256}
        path = self.folder / target.name / f"{one.name}.npy"
        own = code_of(("pulseproof.attacks.audit.scores",), without=(TABLE, ENSEMBLES, "pulseproof.attacks.grid.sets"))
        return self.kept(path, inputs, compute, (own, code_of(("pulseproof.models.fold",))))

    def kept(
        self, path: Path, inputs: dict[str, object], compute: Callable[[], NDArray[np.float32]], code: Sequence[Code]
    ) -> NDArray[np.float32]:
        """The array at ``path``, computed when its ``inputs`` or the ``code`` that computes it changed."""
        step = Step(path.parent, path.stem, inputs, code)
        self._used |= {path, step.stamp}
        if not step.fresh():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_array(path, compute())
            step.done([path])
        return read_array(path)

    def sweep(self) -> None:
        """Remove what this audit did not use: the folder holds what the study says."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path not in self._used:
                path.unlink()
