"""Make the signal sets of a study: the clean test recordings and every disturbed version of them.

In: a study, its recordings and trained models. Out: ``build/<study>/signals/<name>.npy`` (int16 steps of the recorder,
``(n, leads, samples)``) and ``<name>.json`` beside it, one pair a :class:`SignalSet`. Each is a step of its own: one
more budget makes one more set and leaves the others alone.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attacks.gradient import NoGradientError, pgd
from attacks.noise import random_sign
from attacks.objectives import References, auc_objective
from attacks.recorder import Recorder, distances
from core.console import follow, say
from core.errors import InputError
from core.steps import Step
from core.study import Study
from ecg.recordings import Recordings, to_millivolts
from models.fold import folded
from models.run import Trained
from runtime.files import read_json, sha256_file, write_array, write_json

# Bump when the same settings would give other bytes.
VERSION = 1
NEEDS_SOURCE = ("pgd",)


@dataclass(frozen=True)
class SignalSet:
    """One version of the test recordings. ``source`` is None for the clean set and for controls. ``linf_mv``, ``l2_mv``
    (mean over recordings) and ``snr_db`` (mean) are measured on the bytes written; ``settings`` made them."""

    name: str
    source: str | None
    method: str
    epsilon_mv: float
    n: int
    linf_mv: float
    l2_mv: float
    snr_db: float | None
    settings: dict[str, Any]
    sha256: str


@dataclass(frozen=True)
class _Wanted:
    name: str
    source: str | None
    method: str
    epsilon_mv: float


def attack_study(study: Study, recordings: Recordings, trained: Mapping[str, Trained], build: Path) -> list[SignalSet]:
    """Make every signal set of the study that is not made yet, and give all of them, the clean one first.

    Raises InputError when a source has no gradient.
    """
    for source in study.attacks.sources:
        if not trained[source].differentiable:
            raise InputError(
                f"[attacks] sources: {source!r} has no gradient, so PGD cannot start from it",
                f"differentiable here are {', '.join(n for n, t in trained.items() if t.differentiable) or 'none'}",
            )
    folder = build / study.name / "signals"
    recorder = Recorder(recordings.about.adc_step_mv, *recordings.about.adc_range)
    rows = recordings.sample("test", study.test_records, study.seed)
    wanted = _wanted(study, recorder)
    steps = {want.name: _step(study, recordings, rows, trained, folder, want) for want in wanted}
    stale = [want for want in wanted if not steps[want.name].fresh()]
    if stale:
        _clear(folder, wanted)
        work = _Work(study, recordings, rows, recorder, trained)
        for want in follow(stale, "signal sets"):
            try:
                steps[want.name].run(functools.partial(work.make, want, folder))
            except NoGradientError as error:
                raise InputError(f"[attacks] sources: {want.source!r}: {error}", "take it out of the sources") from None
    return [SignalSet(**read_json(folder / f"{want.name}.json")) for want in wanted]


def _wanted(study: Study, recorder: Recorder) -> list[_Wanted]:
    attacks = study.attacks
    sets = [_Wanted("clean", None, "clean", 0.0)]
    seen = set()
    for asked in attacks.budgets_mv:
        # A budget counts as what can be recorded of it, and is called so: the columns must not promise more.
        budget = round(recorder.budget_steps(asked) * recorder.step_mv, 9)
        if budget == 0:
            say(f"budget {asked:g} mV is below the recorder's step of {recorder.step_mv:g} mV: not applicable")
        elif abs(budget - asked) > 1e-9:
            say(f"budget {asked:g} mV is recorded as {budget:g} mV, whole steps of {recorder.step_mv:g} mV")
        if budget == 0 or budget in seen:
            continue
        seen.add(budget)
        for method in attacks.methods:
            for source in attacks.sources if method in NEEDS_SOURCE else (None,):
                name = "-".join(part for part in (method, source, f"{budget:g}mV") if part)
                sets.append(_Wanted(name, source, method, budget))
    return sets


def _step(
    study: Study,
    recordings: Recordings,
    rows: NDArray[np.intp],
    trained: Mapping[str, Trained],
    folder: Path,
    want: _Wanted,
) -> Step:
    inputs: dict[str, Any] = {
        "version": VERSION,
        "recordings": recordings.fingerprint,
        "leads": recordings.about.leads,
        "window": recordings.window,
        "rows": hashlib.sha256(rows.astype(np.int64).tobytes()).hexdigest(),
        "method": want.method,
        "epsilon_mv": want.epsilon_mv,
        "seed": study.seed,
    }
    if want.source is not None:
        inputs |= {"source": trained[want.source].digest, "settings": _settings(study), "torch": torch.__version__}
    return Step(folder, want.name, inputs)


def _settings(study: Study) -> dict[str, Any]:
    attacks = study.attacks
    return {
        "objective": "auc",
        "steps": attacks.steps,
        "temperature": attacks.temperature,
        "references": attacks.references,
    }


def _clear(folder: Path, wanted: list[_Wanted]) -> None:
    """Remove sets that the study no longer asks for: the folder holds what the study says."""
    keep = {want.name for want in wanted}
    for stamp in folder.glob("*.stamp.json"):
        name = stamp.name.removesuffix(".stamp.json")
        if name not in keep:
            for suffix in (".stamp.json", ".npy", ".json"):
                (folder / f"{name}{suffix}").unlink(missing_ok=True)


class _Work:
    """What several sets share: the clean recordings, and for each source its folded net and reference recordings."""

    def __init__(
        self,
        study: Study,
        recordings: Recordings,
        rows: NDArray[np.intp],
        recorder: Recorder,
        trained: Mapping[str, Trained],
    ) -> None:
        self.study = study
        self.recordings = recordings
        self.rows = rows
        self.recorder = recorder
        self.trained = trained
        self.clean = recordings.adc(rows)
        self._nets: dict[str, nn.Module] = {}

    def make(self, want: _Wanted, folder: Path) -> list[Path]:
        """Write one set and its description; returns the two files."""
        if want.method == "clean":
            steps = self.clean
        elif want.method == "random-sign":
            rng = np.random.default_rng(self._seed(want))
            delta = random_sign(self.clean.shape, want.epsilon_mv, rng)
            steps = self.recorder.record(self.clean, delta, want.epsilon_mv)
        else:
            steps = self.recorder.record(self.clean, self._pgd(want).numpy(), want.epsilon_mv)
        array, about = folder / f"{want.name}.npy", folder / f"{want.name}.json"
        write_array(array, steps)
        linf, l2, snr = distances(self.clean, steps, self.recorder.step_mv)
        described = SignalSet(
            name=want.name,
            source=want.source,
            method=want.method,
            epsilon_mv=want.epsilon_mv,
            n=len(steps),
            linf_mv=linf,
            l2_mv=l2,
            snr_db=snr,
            settings=_settings(self.study) if want.source else {},
            sha256=sha256_file(array),
        )
        write_json(about, asdict(described))
        return [array, about]

    def _pgd(self, want: _Wanted) -> Tensor:
        assert want.source is not None
        attacks = self.study.attacks
        net = self._net(want.source)
        rows = reference_rows(self.recordings, attacks.references, self.study.seed)
        known = torch.from_numpy(self.recordings.signals(rows))
        known_labels = torch.from_numpy(self.recordings.labels[rows]).float()
        with torch.inference_mode():
            calm = torch.cat([net(part) for part in known.split(64)]).clone()
        spread = calm.std(dim=0).clamp_min(1e-6)

        # The references' own attack: at each step they play against each other's scores of the step before.
        walked: list[Tensor] = []

        def against_themselves(scores: Tensor, truth: Tensor, step: int) -> Tensor:
            before = References((walked[-1] if walked else calm).unsqueeze(0), known_labels)
            return auc_objective(before, spread, attacks.temperature)(scores, truth, step)

        generator = torch.Generator().manual_seed(self._seed(want) + 1)
        pgd(
            net,
            known,
            known_labels,
            against_themselves,
            want.epsilon_mv,
            attacks.steps,
            generator,
            watch=lambda step, scores: walked.append(scores),
        )
        objective = auc_objective(References(torch.stack(walked), known_labels), spread, attacks.temperature)
        labels = torch.from_numpy(self.recordings.labels[self.rows]).float()
        signals = torch.from_numpy(to_millivolts(self.clean, self.recorder.step_mv))
        generator = torch.Generator().manual_seed(self._seed(want))
        return pgd(net, signals, labels, objective, want.epsilon_mv, attacks.steps, generator)

    def _net(self, source: str) -> nn.Module:
        if source not in self._nets:
            self._nets[source] = folded(self.trained[source].module)
        return self._nets[source]

    def _seed(self, want: _Wanted) -> int:
        """One seed for each set, the same wherever and in whatever order the sets are made."""
        text = f"{self.study.seed}/{want.name}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def reference_rows(recordings: Recordings, count: int, seed: int) -> NDArray[np.intp]:
    """Validation recordings that serve as opponents: at most ``count``, half of them shared out evenly among the
    classes, so that a rare class (fusion beats) has opponents as well, the rest drawn at random."""
    rows = recordings.indices("validation")
    if len(rows) <= count:
        return rows
    rng = np.random.default_rng(seed)
    labels = recordings.labels[rows]
    chosen: set[int] = set()
    each = count // (2 * labels.shape[1])
    for column in range(labels.shape[1]):
        positive = np.flatnonzero(labels[:, column])
        chosen.update(rng.choice(positive, min(each, len(positive)), replace=False).tolist())
    rest = np.setdiff1d(np.arange(len(rows)), list(chosen))
    chosen.update(rng.choice(rest, count - len(chosen), replace=False).tolist())
    return np.sort(rows[list(chosen)])
