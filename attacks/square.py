"""Square: an attack that only asks. No gradient, so nothing that hides gradients can hide from it.

In: a ``predict`` (any file on any engine), recordings with their labels, an objective a budget. Out: perturbations in
whole recorder steps, with the number of queries that they cost. It is a search at random: a window in time on some of
the leads is pushed to the edge of the L-infinity ball, up or down on each lead, and stays there if the objective did
not fall. Windows start large and shrink.

From: Andriushchenko, Croce, Flammarion and Hein, "Square Attack", ECCV 2020, made for images; its squares are windows
in time here. What is added is the heart: most windows are laid around *every beat* of the recording at the same
distance from it. A net or a feature sums over beats, so one query then tries on all of them what it would otherwise
try on one. On PTB-XL at 0.02 mV and 500 queries that lowers the AUC of the int8 CNN more than twice as far as plain
windows do.

It is an alarm (if it beats the white box, the white box is broken), not a measure of robustness: see the docs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor, nn

from pulseproof.attacks.aim.norms import Norm
from pulseproof.attacks.aim.objectives import AucObjective, Objective, Watch
from pulseproof.attacks.aim.recorder import INT16, Recorder
from pulseproof.attacks.aim.references import TEMPERATURE, spread_of
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.method import Model, Perturbed, Predict, Prepared, Scene
from pulseproof.core.study import AttackSpec

QRS_S, REFRACTORY_S = 0.05, 0.25


@dataclass(frozen=True)
class Square:
    """``queries``: of each recording, the start among them. ``first_share``, ``last_share``: the share of a recording's
    values that a window changes, falling geometrically from query to query. ``in_step``: the share of windows that are
    laid around every beat; the others are laid once (0: the plain attack of the paper)."""

    queries: int = 500
    first_share: float = 0.3
    last_share: float = 0.01
    in_step: float = 0.8

    def __call__(
        self,
        predict: Predict,
        victims: Victims,
        objectives: Sequence[Objective],
        budgets_mv: Sequence[float],
        generator: torch.Generator,
        *,
        step_mv: float,
        fs_hz: float,
        watch: Watch | None = None,
    ) -> list[Perturbed]:
        """One perturbation a budget (mV, L-infinity), for ``objectives``, one a budget.

        ``predict`` only sees signals rounded to ``step_mv`` as a recorder at ``fs_hz`` would give them, so what was
        accepted is what is recorded (but for a sample at the very end of the recorder's range). ``watch`` sees the
        accepted scores after each query. ``facts["queries"]`` is what each recording cost. A budget below one step
        gives no perturbation and asks nothing.
        """
        return [
            self._one(predict, victims, objective, Recorder(step_mv, *INT16), budget, fs_hz, generator, watch)
            for objective, budget in zip(objectives, budgets_mv, strict=True)
        ]

    def _one(
        self,
        predict: Predict,
        victims: Victims,
        objective: Objective,
        recorder: Recorder,
        budget_mv: float,
        fs_hz: float,
        generator: torch.Generator,
        watch: Watch | None,
    ) -> Perturbed:
        most, step_mv = recorder.budget_steps(budget_mv), recorder.step_mv
        if most == 0:
            return Perturbed(torch.zeros_like(victims.signals), {"queries": torch.zeros(len(victims))})
        clean = torch.round(victims.signals / step_mv).to(torch.int32)

        def ask(steps: Tensor) -> Tensor:
            # The product that makes millivolts of recorded steps everywhere (ecg.recordings.to_millivolts).
            return torch.from_numpy(predict((clean + steps).numpy().astype(np.float32) * np.float32(step_mv)))

        windows = _Windows(victims.signals, fs_hz, generator)
        steps = (most * windows.stripes()).to(torch.int32)
        scores = ask(steps)
        for query in range(1, self.queries):
            progress = query / max(1, self.queries - 1)
            share = self.first_share * (self.last_share / self.first_share) ** progress
            tried = windows.push(steps, most, share, self.in_step)
            found = ask(tried)
            before, after = (objective(some, victims.labels, progress) for some in (scores, found))
            # Equal is good enough: forests and int8 scores have plateaus, and one leaves them by walking.
            better = after >= before
            steps[better], scores[better] = tried[better], found[better]
            if watch is not None:
                watch(progress, scores.clone())
        return Perturbed(steps * step_mv, {"queries": torch.full((len(victims),), float(self.queries))})


class _Windows:
    """Random windows on n recordings: where a sample lies in the recording, and where it lies in its beat."""

    def __init__(self, signals: Tensor, fs_hz: float, generator: torch.Generator) -> None:
        self.n, self.leads, self.samples = signals.shape
        self.generator = generator
        beats = [find_beats(signal.numpy(), fs_hz) for signal in signals]
        self.from_start = torch.arange(self.samples).expand(self.n, self.samples)
        self.from_beat = torch.stack([torch.from_numpy(_from_nearest(some, self.samples)) for some in beats])
        self.beats = torch.tensor([[max(1, len(some))] for some in beats])

    def stripes(self) -> Tensor:
        """The start: plus or minus 1 for each sample, alike on all leads (n, leads, samples)."""
        return self._signs(1, self.samples).repeat(1, self.leads, 1)

    def push(self, steps: Tensor, most: int, share: float, in_step: float) -> Tensor:
        """``steps`` with a window of each recording set to plus or minus ``most``, its sign drawn for each lead."""
        shuffled = torch.rand((self.n, self.leads), generator=self.generator).argsort(dim=1)
        count = torch.randint(1, self.leads + 1, (self.n, 1), generator=self.generator)
        width = torch.round((share * self.leads / count).clamp(max=1) * self.samples).clamp_min(1)
        around_beats = torch.rand((self.n, 1), generator=self.generator) < in_step
        place = torch.where(around_beats, self.from_beat, self.from_start)
        width = torch.where(around_beats, torch.round(width / self.beats).clamp_min(1), width)
        # About a sample drawn anywhere, so that the window is never empty and all samples are tried alike.
        centre = place.gather(1, torch.randint(self.samples, (self.n, 1), generator=self.generator))
        first = centre - (width / 2).floor()
        inside = (place >= first) & (place < first + width)
        touched = (shuffled < count).unsqueeze(2) & inside.unsqueeze(1)
        signs = most * self._signs(self.leads, 1)
        # A window that changes nothing would waste its query: it is turned over.
        idle = ~(touched & (steps != signs)).flatten(1).any(dim=1)
        signs[idle] *= -1
        return torch.where(touched, signs, steps)

    def _signs(self, leads: int, samples: int) -> Tensor:
        drawn = torch.randint(0, 2, (self.n, leads, samples), generator=self.generator, dtype=torch.int32)
        return 2 * drawn - 1


def find_beats(signal: np.ndarray, fs_hz: float) -> np.ndarray:
    """Samples int64 (k,) of the heart beats in a signal (leads, samples): where it is steepest, all leads together.

    Good enough to lay windows by, not to measure with: peaks of the summed slope over 50 ms above 0.4 of its 99th
    percentile, 250 ms apart at least. None in a flat signal.
    """
    from scipy.ndimage import uniform_filter1d  # late, as the next: half a second that few processes need
    from scipy.signal import find_peaks

    slope = np.abs(np.diff(signal, axis=1, prepend=signal[:, :1])).sum(axis=0, dtype=np.float64)
    slope = uniform_filter1d(slope, max(1, round(QRS_S * fs_hz)))
    height = 0.4 * np.quantile(slope, 0.99)
    if not height > 0:
        return np.empty(0, np.int64)
    return np.asarray(find_peaks(slope, height=height, distance=max(1, round(REFRACTORY_S * fs_hz)))[0], np.int64)


def _from_nearest(beats: np.ndarray, samples: int) -> np.ndarray:
    """int64 (samples,): each sample's distance from the nearest beat, negative before it; without beats, from 0."""
    distances = np.arange(samples)[:, None] - (beats if len(beats) else np.zeros(1, np.int64))
    nearest: np.ndarray = distances[np.arange(samples), np.abs(distances).argmin(axis=1)]
    return nearest


@dataclass(frozen=True)
class SquareMethod:
    """Square on the AUC objective. The opponents are the ``scene.references`` after ``reference_queries`` queries each
    (a few bring most of the gain: measured on PTB-XL, 100 of 500 against clean references lower the AUC by .02)."""

    attack: Square = Square()
    reference_queries: int = 100
    norm: ClassVar[Norm] = "linf"
    bounded: ClassVar[bool] = True

    @classmethod
    def of(cls, asked: AttackSpec) -> SquareMethod:
        """As a study asks for it: a fifth of the queries for a reference."""
        return cls(Square(asked.queries), max(1, asked.queries // 5))

    def prepare(self, model: Model, scene: Scene, generator: Generator) -> dict[str, Tensor]:
        """``scores`` (1, m, classes) of the attacked references, their ``labels``, ``spread`` and ``prevalence``."""
        predict = _predict(model)
        references = scene.references
        calm = torch.from_numpy(predict(references.signals.numpy()))
        spread = spread_of(calm)
        last = [calm]
        Square(self.reference_queries)(
            predict,
            references,
            [AucObjective(calm.unsqueeze(0), references.labels, spread, TEMPERATURE, scene.prevalence)],
            [scene.budget_mv],
            generator,
            step_mv=scene.step_mv,
            fs_hz=scene.fs_hz,
            watch=lambda progress, scores: last.__setitem__(0, scores),
        )
        return {
            "scores": last[0].unsqueeze(0),
            "labels": references.labels,
            "spread": spread,
            "prevalence": scene.prevalence,
        }

    def perturb(self, model: Model, scene: Scene, made: Prepared, victims: Victims, generator: Generator) -> Perturbed:
        """The attack on one shard."""
        scores, labels, spread, prevalence = (made[key] for key in ("scores", "labels", "spread", "prevalence"))
        objective = AucObjective(scores, labels, spread, TEMPERATURE, prevalence)
        (found,) = self.attack(
            _predict(model),
            victims,
            [objective],
            [scene.budget_mv],
            generator,
            step_mv=scene.step_mv,
            fs_hz=scene.fs_hz,
        )
        return found


def _predict(model: Model) -> Predict:
    assert model is not None and not isinstance(model, nn.Module), "Square asks a predict, not a module"
    return model
