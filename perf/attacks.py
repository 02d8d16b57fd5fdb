"""What ``make perf`` says of the attacks: ours beside ART's, foolbox's and a plain loop.

In: trained nets and the recordings of their study. Out: for each net, budget and attack the AUC reached and the time it
took, and one line a claim. All in one process, one after the other, on the same module, recordings, budget and number
of gradients a recording, with torch's own number of threads. What an attack makes is rounded to the recorder's steps
before it is judged, and judged on all recordings. Ours pays for the references that it walks first; a referee's step
is the better of two, found beforehand at no cost to its time. Never part of the tests.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor, nn

from perf.referees import Attack, Limits, art_apgd, art_pgd, foolbox_pgd, plain_loop
from pulseproof.attacks.aim.precision import choose
from pulseproof.attacks.aim.recorder import Recorder
from pulseproof.attacks.aim.references import clean_scores
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.method import Precision, Scene
from pulseproof.attacks.methods import METHODS
from pulseproof.core.errors import InputError
from pulseproof.core.statistics import Interval, difference
from pulseproof.core.study import Method, Study
from pulseproof.core.terminal.console import follow
from pulseproof.ecg.recordings import Recordings, to_millivolts
from pulseproof.models.fold import held_fold
from pulseproof.models.run import Trained
from pulseproof.runtime.auc import macro_auc

BUDGETS_MV = (0.005, 0.01, 0.02, 0.05)
TIMED_MV = 0.01  # rounds are repeated at this budget: an AUC does not change, a time does
RECORDS = 321
ROUNDS = 3
STEPS = 20
STEP_CHOICES = (2.5 / STEPS, 0.25)  # of the budget: 2.5 epsilon / steps (Madry et al. 2018), and twice that
TUNING = 64  # recordings on which a referee's step is chosen

OURS: Mapping[str, Method] = {"Pulseproof PGD": "pgd", "Pulseproof APGD": "apgd"}
SINGLE = "Pulseproof PGD in float32"
REFEREES: Mapping[str, Attack] = {
    "ART PGD": art_pgd,
    "ART APGD": art_apgd,  # its step is its own
    "foolbox PGD": foolbox_pgd,
    "plain loop": plain_loop,
}
DEFAULT, ART = "Pulseproof PGD", "ART PGD"


@dataclass(frozen=True)
class Reached:
    """One attack on one net at one budget: ``scores`` float32 (n, classes) of what was recorded, their macro AUC, and
    the seconds of each round."""

    model: str
    budget_mv: float
    attack: str
    scores: NDArray[np.float32]
    auc: float
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class AttackClaim:
    """``"auc"``: at this budget the AUC that our default reaches, less that of the strongest referee, is at most
    ``bound``; ``"time"``: our default takes at most ``bound`` times as long as ART's PGD;
    ``"float32"``: as itself with all steps in float32, whatever the processor."""

    what: Literal["auc", "time", "float32"]
    bound: float
    budget_mv: float | None = None


CLAIMS = (
    AttackClaim("auc", 0.0, 0.005),
    AttackClaim("auc", -0.03, 0.01),
    AttackClaim("auc", -0.03, 0.02),
    AttackClaim("auc", 0.0, 0.05),
    AttackClaim("time", 0.5),
    AttackClaim("float32", 1.2),
)


@dataclass(frozen=True)
class AttackOutcome:
    """A claim about one net against one referee: the difference of AUC with its 95 % interval over patients, in pairs;
    or the median ratio of times with the lowest and the highest."""

    claim: AttackClaim
    model: str
    against: str
    found: Interval

    @property
    def held(self) -> bool:
        return self.found.estimate <= self.claim.bound


@dataclass(frozen=True)
class Ring:
    """Where they meet: test recordings ``rows``, and the validation recordings that ours may walk."""

    study: Study
    recordings: Recordings
    rows: NDArray[np.intp]
    references: NDArray[np.intp]

    def few(self, records: int, references: int) -> Ring:
        """The same with fewer recordings."""
        return Ring(self.study, self.recordings, self.rows[:records], self.references[:references])

    def victims(self) -> Victims:
        return self._victims(self.rows)

    def ours(self, name: Method, precision: Precision | None = None, **further: Any) -> Attack:
        """A method of ours on a module as it was loaded: its batch norms are folded, the precision of its steps chosen
        (or given), the references walked. ``further``: settings of the study's attacks."""
        about = self.recordings.about
        settings = self.study.attacks.model_copy(update={"steps": STEPS} | further)
        method, references = METHODS[name].make(settings), self._victims(self.references)
        validation = self.recordings.labels[self.recordings.indices("validation")]
        prevalence = torch.from_numpy(validation.mean(axis=0, dtype=np.float32))

        def attack(module: nn.Module, victims: Victims, limits: Limits) -> Tensor:
            scene = Scene(
                budget_mv=limits.budget_mv,
                step_mv=about.adc_step_mv,
                fs_hz=about.fs_hz,
                settings=settings,
                references=references,
                prevalence=prevalence,
                training=self._training,
            )
            fast = held_fold(module, references.signals).module
            chosen = precision or choose(fast, references).precision  # a second at most, counted in
            here, generator = replace(scene, precision=chosen), torch.Generator().manual_seed(limits.seed)
            return method.perturb(fast, here, method.prepare(fast, here, generator), victims, generator).delta

        return attack

    def judge(self, module: nn.Module, delta: Tensor, budget_mv: float) -> NDArray[np.float32]:
        """Scores (n, classes) of what a recorder would have kept of the disturbed recordings."""
        about = self.recordings.about
        recorder = Recorder(about.adc_step_mv, *about.adc_range)
        steps = recorder.record(self.recordings.adc(self.rows), delta.numpy(), budget_mv)
        signals = torch.from_numpy(to_millivolts(steps, about.adc_step_mv))
        return clean_scores(module, Victims(signals, self.victims().labels)).numpy()

    def auc(self, scores: NDArray[np.float32]) -> float:
        return macro_auc(scores, self.recordings.labels[self.rows])

    def _training(self, count: int) -> Victims:
        return self._victims(self.recordings.sample("train", count, self.study.seed))

    def _victims(self, rows: NDArray[np.intp]) -> Victims:
        labels = torch.from_numpy(self.recordings.labels[rows].astype(np.float32))
        return Victims(torch.from_numpy(self.recordings.signals(rows)), labels)


def measure_attacks(
    study: Study,
    recordings: Recordings,
    trained: Sequence[Trained],
    *,
    budgets_mv: Sequence[float] = BUDGETS_MV,
    records: int = RECORDS,
    rounds: int = ROUNDS,
) -> tuple[list[Reached], list[AttackOutcome]]:
    """Attack at most ``records`` test recordings with everybody, once at every budget and ``rounds`` times at
    :data:`TIMED_MV`; and hold the claims.

    Raises InputError where a net has no gradient of its own, or a referee is not installed.
    """
    for one in trained:
        if not one.differentiable:
            raise InputError(f"{one.name} has no gradient of its own", "compare the attacks on nets, such as cnn")
    references = recordings.sample("validation", study.attacks.references, study.seed)
    ring = Ring(study, recordings, recordings.sample("test", records, study.seed), references)
    cells = [(one, budget) for one in trained for budget in budgets_mv]
    reached = []
    for one, budget in follow(cells, "attacking"):
        reached += _round(ring, one, budget, rounds if budget == TIMED_MV else 1)
    return reached, [_outcome(ring, claim, one.name, reached) for one in trained for claim in _possible(budgets_mv)]


def _possible(budgets_mv: Sequence[float]) -> list[AttackClaim]:
    return [claim for claim in CLAIMS if claim.budget_mv is None or claim.budget_mv in budgets_mv]


def _round(ring: Ring, trained: Trained, budget_mv: float, rounds: int) -> list[Reached]:
    """Everybody in turn, ``rounds`` times, on one net at one budget."""
    attacks = {name: ring.ours(method) for name, method in OURS.items()}
    attacks |= {SINGLE: ring.ours(OURS[DEFAULT], "float32")} | dict(REFEREES)
    steps = {
        name: _best_step(ring.few(TUNING, 0), trained.module, attack, budget_mv) for name, attack in REFEREES.items()
    }
    small = ring.few(16, 16)
    for method in OURS.values():  # warm: what torch does once is nobody's time
        small.ours(method)(trained.module, small.victims(), Limits(budget_mv, STEPS))
    victims, seconds = ring.victims(), {name: list[float]() for name in attacks}
    deltas = {}
    for _ in range(rounds):
        for name, attack in attacks.items():
            limits = Limits(budget_mv, STEPS, steps.get(name, 0.0))
            begun = time.perf_counter()
            deltas[name] = attack(trained.module, victims, limits)
            seconds[name].append(time.perf_counter() - begun)
    made = []
    for name, delta in deltas.items():
        scores = ring.judge(trained.module, delta, budget_mv)
        made.append(Reached(trained.name, budget_mv, name, scores, ring.auc(scores), tuple(seconds[name])))
    return made


def _best_step(ring: Ring, module: nn.Module, attack: Attack, budget_mv: float) -> float:
    """The step, in budgets, with which a referee reaches the lower AUC."""
    aucs = [
        ring.auc(ring.judge(module, attack(module, ring.victims(), Limits(budget_mv, STEPS, step)), budget_mv))
        for step in STEP_CHOICES
    ]
    return STEP_CHOICES[int(np.argmin(aucs))]


def _outcome(ring: Ring, claim: AttackClaim, model: str, reached: Sequence[Reached]) -> AttackOutcome:
    here = [one for one in reached if one.model == model and claim.budget_mv in (None, one.budget_mv)]
    if claim.what != "auc":
        against = ART if claim.what == "time" else SINGLE
        ours, theirs = ([s for one in here if one.attack == name for s in one.seconds] for name in (DEFAULT, against))
        ratios = np.array(ours) / np.array(theirs)
        return AttackOutcome(
            claim, model, against, Interval(float(np.median(ratios)), float(ratios.min()), float(ratios.max()))
        )
    (own,) = [one for one in here if one.attack == DEFAULT]
    strongest = min((one for one in here if one.attack in REFEREES), key=lambda one: one.auc)
    labels, patients = ring.recordings.labels[ring.rows], ring.recordings.patients[ring.rows]
    return AttackOutcome(claim, model, strongest.attack, difference(own.scores, strongest.scores, labels, patients))


def attacks_table(reached: Sequence[Reached]) -> Table:
    """What everybody reached, and in what time, for a terminal."""
    drawn = Table("net", "budget", "attack", "AUC", "time", "times ART PGD's")
    of_art = {(one.model, one.budget_mv): np.array(one.seconds) for one in reached if one.attack == ART}
    for one in reached:
        ratio = np.median(np.array(one.seconds) / of_art[one.model, one.budget_mv])
        drawn.add_row(
            one.model,
            f"{one.budget_mv:g} mV",
            one.attack,
            f"{one.auc:.4f}",
            f"{np.median(one.seconds):.1f} s",
            f"{ratio:.2f}",
            end_section=one.attack == list(REFEREES)[-1],
        )
    return drawn


def claims_table(outcomes: Sequence[AttackOutcome]) -> Table:
    """The claims for a terminal."""
    drawn = Table("net", "what", "against", "found", "range", "at most", "held")
    for one in outcomes:
        sign, found = ("+.4f" if one.claim.what == "auc" else ".2f"), one.found
        drawn.add_row(
            one.model,
            "time" if one.claim.what != "auc" else f"AUC at {one.claim.budget_mv:g} mV, difference",
            one.against,
            f"{found.estimate:{sign}}",
            f"{found.low:{sign}} to {found.high:{sign}}",
            f"{one.claim.bound:g}",
            "yes" if one.held else "NO",
        )
    return drawn
