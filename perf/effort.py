"""``pulseproof perf effort``: what enough steps of PGD spare beside all of them, and what they lose.

In: trained nets and the recordings of their study. Out: for each net and budget the AUC that both reach and the ratio
of their times; and how soon ours is where ART's PGD of 20 steps ends. All in one process in turn, in float32,
references counted in, by processor time: on a machine that others use too, a clock says who else was at work. An AUC
does not change from round to round, a time does, so the median ratio counts. Never part of the tests.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.table import Table

from perf.attacks import DEFAULT, OURS, STEP_CHOICES, STEPS, TUNING, Ring
from perf.referees import Attack, Limits, art_pgd
from pulseproof.core.markdown import markdown_table
from pulseproof.core.study import Study
from pulseproof.core.terminal.console import follow
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.run import Trained

BUDGETS_MV = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)
REACH_MV = (0.01, 0.02)  # where it is looked how soon ART's AUC is reached
FEWEST = (2, 3, 4, 5, 6, 8, 10)  # steps tried for that, until one reaches it
RECORDS = 321
ROUNDS = 3
WEAKER, TIME, REACHED = 0.002, 0.6, 1 / 3  # what is claimed, at most
HEADS = ("net", "budget, mV", "AUC, all steps", "AUC, enough", "difference", "times the time", "range")
REACH_HEADS = ("net", "budget, mV", "AUC, ART PGD-20", "AUC, ours", "steps", "times ART's time", "range")


@dataclass(frozen=True)
class Effort:
    """One net at one budget: the AUC of all steps and of enough, and the ratio of their times in each round."""

    model: str
    budget_mv: float
    all_steps: float
    enough: float
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of the rounds."""
        return float(np.median(self.ratios))


@dataclass(frozen=True)
class Reach:
    """How soon ``art``, the AUC of ART's PGD, is reached: ``ours`` after ``steps`` of ours (None: not in the most that
    were tried), and the ratio of times in each round."""

    model: str
    budget_mv: float
    art: float
    ours: float
    steps: int | None
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of the rounds."""
        return float(np.median(self.ratios))


def measure_effort(
    study: Study,
    recordings: Recordings,
    trained: Sequence[Trained],
    *,
    budgets_mv: Sequence[float] = BUDGETS_MV,
    reach_mv: Sequence[float] = REACH_MV,
    records: int = RECORDS,
    rounds: int = ROUNDS,
) -> list[Effort | Reach]:
    """Attack at most ``records`` test recordings with both efforts at every budget; and ART's PGD at ``reach_mv``.

    Raises InputError where a referee is asked for and not installed.
    """
    references = recordings.sample("validation", study.attacks.references, study.seed)
    ring = Ring(study, recordings, recordings.sample("test", records, study.seed), references)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a task of the grid computes
    try:
        cells = [(one, budget, False) for one in trained for budget in budgets_mv]
        cells += [(one, budget, True) for one in trained for budget in reach_mv]
        found: list[Effort | Reach] = []
        for one, budget, reach in follow(cells, "attacking"):
            found.append((_reach if reach else _effort)(ring, one, budget, rounds))
    finally:
        torch.set_num_threads(threads)
    return found


def _effort(ring: Ring, one: Trained, budget_mv: float, rounds: int) -> Effort:
    both = [ring.ours(OURS[DEFAULT], "float32", effort=effort) for effort in ("all", "enough")]
    aucs, seconds = _in_turn(ring, one, budget_mv, both, [0.0, 0.0], rounds)
    return Effort(one.name, budget_mv, aucs[0], aucs[1], _ratios(seconds[1], seconds[0]))


def _reach(ring: Ring, one: Trained, budget_mv: float, rounds: int) -> Reach:
    few = ring.few(TUNING, 0)
    step = min(STEP_CHOICES, key=lambda each: _try(few, one, art_pgd, budget_mv, each)[0])
    art = _try(ring, one, art_pgd, budget_mv, step)[0]
    for steps in FEWEST:
        # Enough is half of the steps that are asked for.
        ours = ring.ours(OURS[DEFAULT], "float32", steps=2 * steps, effort="enough")
        reached = _try(ring, one, ours, budget_mv, 0.0)[0]
        if reached <= art:
            break
    _, seconds = _in_turn(ring, one, budget_mv, [art_pgd, ours], [step, 0.0], rounds)
    held = steps if reached <= art else None
    return Reach(one.name, budget_mv, art, reached, held, _ratios(seconds[1], seconds[0]))


def _in_turn(
    ring: Ring, one: Trained, budget_mv: float, attacks: Sequence[Attack], steps: Sequence[float], rounds: int
) -> tuple[list[float], list[list[float]]]:
    """The AUC that each attack reaches, and its seconds in each round."""
    aucs, seconds = [0.0] * len(attacks), [list[float]() for _ in attacks]
    for _ in range(rounds):
        for at, attack in enumerate(attacks):
            aucs[at], took = _try(ring, one, attack, budget_mv, steps[at])
            seconds[at].append(took)
    return aucs, seconds


def _try(ring: Ring, one: Trained, attack: Attack, budget_mv: float, step: float) -> tuple[float, float]:
    """The AUC that an attack reaches and the processor's seconds that it takes."""
    victims, begun = ring.victims(), time.process_time()
    delta = attack(one.module, victims, Limits(budget_mv, STEPS, step))
    took = time.process_time() - begun
    return ring.auc(ring.judge(one.module, delta, budget_mv)), took


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    return tuple(one / other for one, other in zip(ours, theirs, strict=True))


def missed(found: Sequence[Effort | Reach]) -> list[str]:
    """The claims that do not hold, a sentence each: no AUC is higher by more than :data:`WEAKER`, a net's budgets take
    at most :data:`TIME` of the time together, and ART's AUC is reached in :data:`REACHED` of its time."""
    said = []
    efforts = [one for one in found if isinstance(one, Effort)]
    for one in efforts:
        if not one.enough - one.all_steps <= WEAKER:
            said.append(f"{one.model} at {one.budget_mv:g} mV: weaker by {one.enough - one.all_steps:.4f}")
    for model in dict.fromkeys(one.model for one in efforts):
        mean = float(np.mean([one.ratio for one in efforts if one.model == model]))
        if not mean <= TIME:
            said.append(f"{model}: {mean:.2f} of the time, not {TIME:g}")
    for reach in (one for one in found if isinstance(one, Reach)):
        if reach.steps is None or not reach.ratio <= REACHED:
            when = "is not reached" if reach.steps is None else f"is reached in {reach.ratio:.2f} of its time"
            said.append(f"{reach.model} at {reach.budget_mv:g} mV: ART's AUC {when}")
    return said


def effort_tables(found: Sequence[Effort | Reach]) -> list[Table]:
    """For a terminal."""
    drawn = []
    for heads, lines in _tables(found):
        table = Table(*heads)
        for line in lines:
            table.add_row(*line)
        drawn.append(table)
    return drawn


def effort_markdown(found: Sequence[Effort | Reach]) -> str:
    """For a page of the docs."""
    return "\n\n".join(markdown_table(heads, lines, left=1) for heads, lines in _tables(found)) + "\n"


def _tables(found: Sequence[Effort | Reach]) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    efforts = [_effort_cells(one) for one in found if isinstance(one, Effort)]
    reaches = [_reach_cells(one) for one in found if isinstance(one, Reach)]
    return [(heads, lines) for heads, lines in ((HEADS, efforts), (REACH_HEADS, reaches)) if lines]


def _effort_cells(one: Effort) -> tuple[str, ...]:
    aucs = f"{one.all_steps:.4f}", f"{one.enough:.4f}", f"{one.enough - one.all_steps:+.4f}"
    return one.model, f"{one.budget_mv:g}", *aucs, *_times(one)


def _reach_cells(one: Reach) -> tuple[str, ...]:
    steps = "not reached" if one.steps is None else str(one.steps)
    return one.model, f"{one.budget_mv:g}", f"{one.art:.4f}", f"{one.ours:.4f}", steps, *_times(one)


def _times(one: Effort | Reach) -> tuple[str, str]:
    return f"{one.ratio:.2f}", f"{min(one.ratios):.2f} to {max(one.ratios):.2f}"
