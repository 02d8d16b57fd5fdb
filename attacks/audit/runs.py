"""The audit's own runs on a study's models: which there are, and their scores, computed once.

In: a study, its trained models and signal sets. Out: which attacks are run again (:mod:`attacks.audit.rechecks`), and
for each the scores float32 ``(k, classes)`` of the source on its own attacked recordings, kept beside the other scores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pulseproof.attacks.aim.recorder import Recorder
from pulseproof.attacks.aim.sources import model_source
from pulseproof.attacks.audit.rechecks import RECHECKS, Recheck, run_again
from pulseproof.attacks.audit.scores import ScoreBook
from pulseproof.attacks.code import ENSEMBLES, GRID, TABLE
from pulseproof.attacks.grid.context import open_context
from pulseproof.attacks.grid.sets import MadeSet
from pulseproof.attacks.method import Precision
from pulseproof.core.code_digest import code_of
from pulseproof.core.compute.device import CPU, kind_of, resolved
from pulseproof.core.compute.placed import steady
from pulseproof.core.study import Study
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.run import Trained

# Bump when the same settings would give other scores.
VERSION = 2
DEFAULT = "pgd"  # the attack that is run again
MOST = 400  # recordings, enough for an interval: twenty steps of a small net take them half a minute


def some_of(count: int, seed: int) -> NDArray[np.intp]:
    """Which of ``count`` recordings the runs take, in rising order."""
    if count <= MOST:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, MOST, replace=False))


@dataclass(frozen=True)
class OwnRuns:
    """``rows``: the recordings that they take."""

    study: Study
    recordings: Recordings
    trained: Mapping[str, Trained]
    book: ScoreBook
    rows: NDArray[np.intp]

    def wanted(self, sets: Sequence[MadeSet]) -> list[tuple[Recheck, MadeSet]]:
        """Each run with the set that it is held against: the default attack of every model on itself."""
        found = []
        for name in self.trained:
            own = [one for one in sets if (one.source, one.method) == (name, DEFAULT)]
            own.sort(key=lambda one: one.budget_mv)
            middle = own[(len(own) - 1) // 2 :][:1]
            found += [(recheck, one) for recheck in RECHECKS for one in (own if recheck.every_budget else middle)]
        return found

    def scores(self, recheck: Recheck, one: MadeSet) -> NDArray[np.float32]:
        """The scores of the set's source under the attack that is run again.

        Raises NoGradientError when no gradient reaches the signal.
        """
        assert one.source is not None, f"{one.name} is made on no model"
        source, recordings, seed = self.trained[one.source], self.recordings, self.study.seed
        spec, about = self.study.attacks, recordings.about
        precision: Precision = one.precision or "float32"  # as the set that it is held against
        inputs: dict[str, object] = {
            "version": VERSION,
            "recheck": recheck.name,
            "source": source.digest,
            "recordings": recordings.fingerprint,
            "leads": about.leads,
            "window": recordings.window,
            "rows": hashlib.sha256(self.rows.astype(np.int64).tobytes()).hexdigest(),
            "budget_mv": one.budget_mv,
            "attack": [spec.steps, spec.temperature, spec.references, spec.effort],
            "seed": seed,
            "torch": torch.__version__,
            "precision": precision,
        }
        device = resolved(self.study.compute)
        if device != CPU:
            inputs["compute"] = kind_of(device)

        def compute() -> NDArray[np.float32]:
            made_on = model_source(source)
            context = open_context(
                recordings, spec, seed, one.budget_mv, made_on, "gradient", precision=precision, device=device
            )
            assert isinstance(context.model, torch.nn.Module)
            recorder = Recorder(about.adc_step_mv, *about.adc_range)
            clean, labels = recordings.adc(self.rows), recordings.labels[self.rows]
            generator = torch.Generator().manual_seed(_seed(seed, f"{one.source}/{recheck.name}/{one.budget_mv:g}"))
            with steady(context.device, context.model):
                return run_again(
                    recheck, context.model, source.module, context.scene, recorder, clean, labels, generator
                )

        path = self.book.folder / "again" / source.name / f"{recheck.name}-{one.budget_mv:g}mV.npy"
        own = code_of(("pulseproof.attacks.audit.rechecks", GRID), without=(TABLE, ENSEMBLES))
        return self.book.kept(path, inputs, compute, (own, code_of(("pulseproof.models.fold",))))


def _seed(seed: int, name: str) -> int:
    """One seed a run, the same whatever else is run."""
    return int.from_bytes(hashlib.sha256(f"{seed}/audit/{name}".encode()).digest()[:6], "big")
