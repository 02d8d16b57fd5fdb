"""How much a file withstands, as one number: the budget at which it loses .05 of AUC, and that at which it crosses .5.

In come the clean AUC and the worst case at each budget, both of all recordings and of every resample; out comes a
:class:`Crossing`, the estimate with its 95 % interval. What is found in a small ball lies in every larger one, so the
curve is its running minimum. Between two measured budgets it is taken as linear in AUC on the log axis of the budget.
Below the smallest budget there is no log axis (0 has no logarithm), and above the largest nothing was measured: there a
number is an inequality, and so is an end of an interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.statistics import LEVEL

LOST = 0.05  # of AUC: the loss that is asked after
CHANCE = 0.5
BELOW, ABOVE = 0.0, math.inf  # how a crossing outside of the measured budgets is held


@dataclass(frozen=True)
class Crossing:
    """The budget in mV at which a curve first falls to a level: ``estimate`` and its 95 % interval. 0 is below
    ``smallest``, infinity above ``largest``, the measured budgets at the ends. All three are None where there is no
    such number, and ``reason`` says why."""

    estimate: float | None
    low: float | None
    high: float | None
    smallest: float
    largest: float
    reason: str | None = None

    @property
    def text(self) -> str:
        """``0.0123 mV [0.0101, > 0.05]``, ``< 0.005 mV``; a dash where there is none."""
        if self.estimate is None or self.low is None or self.high is None:
            return "-"
        ends = [self._end(value) for value in (self.low, self.high)]
        whole = self._end(self.estimate)
        return f"{whole} mV" if ends == [whole, whole] else f"{whole} mV [{', '.join(ends)}]"

    @property
    def sentence(self) -> str:
        """:attr:`text` within a sentence: ``at 0.0123 mV [0.0101, > 0.05]``, ``below 0.005 mV``, ``not up to 0.05 mV``;
        of an inequality with an interval, that as well."""
        words = {BELOW: f"below {self.smallest:g} mV", ABOVE: f"not up to {self.largest:g} mV"}
        if self.estimate not in words:
            return f"at {self.text}"
        _, bracket, interval = self.text.partition(" [")
        return words[self.estimate] + (f" [{interval}" if bracket else "")

    @property
    def numbers(self) -> tuple[float | None, float | None, float | None]:
        """Estimate, low and high as a file has them: None for an inequality, which :attr:`text` tells."""
        low, middle, high = (
            None if value is None or value in (BELOW, ABOVE) else value
            for value in (self.low, self.estimate, self.high)
        )
        return middle, low, high

    def _end(self, value: float) -> str:
        if value == BELOW:
            return f"< {self.smallest:g}"
        return f"> {self.largest:g}" if value == ABOVE else f"{value:#.3g}".rstrip(".")


@dataclass(frozen=True)
class LossBudgets:
    """Of one file on one device: where it loses :data:`LOST` of AUC (``lost``), where it crosses .5 (``chance``)."""

    lost: Crossing
    chance: Crossing


def crossings(
    budgets: Sequence[float],
    curve: NDArray[np.float64],
    clean: NDArray[np.float64],
    level: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    """Where each of k curves first falls to ``level`` (k,), in mV, float64 (k,).

    ``budgets`` rising, above 0; ``curve`` (budgets, k) AUCs; ``clean`` (k,). :data:`BELOW` where that is below the
    smallest budget, :data:`ABOVE` where it is not reached, NaN where an AUC is not defined.
    """
    places, level = np.asarray(budgets, np.float64), np.broadcast_to(level, clean.shape)
    lowest = np.minimum.accumulate(curve, axis=0)
    reached = lowest <= level
    first, every = reached.argmax(axis=0), np.arange(len(clean))
    before = np.maximum(first - 1, 0)
    high, low = lowest[before, every], lowest[first, every]
    share = np.divide(high - level, high - low, out=np.zeros(len(clean)), where=high > low)
    found = np.exp(np.log(places[before]) + share * (np.log(places[first]) - np.log(places[before])))
    found = np.clip(found, places[before], places[first])  # the logarithm's last digits
    found = np.where((first == 0) & (lowest[0] < level), BELOW, found)
    found = np.where(reached.any(axis=0), found, ABOVE)
    found = np.where(clean <= level, BELOW, found)
    undefined = np.isnan(curve).any(axis=0) | np.isnan(clean) | np.isnan(level)
    return np.where(undefined, np.nan, found)


def crossing(
    budgets: Sequence[float],
    curve: NDArray[np.float64],
    clean: NDArray[np.float64],
    *,
    loss: float | None = None,
    auc: float = CHANCE,
) -> Crossing:
    """Where a file loses ``loss`` of its clean AUC or, without it, crosses ``auc``.

    ``curve`` (budgets, 1 + resamples) and ``clean`` (1 + resamples,): of all recordings, then of each resample. The
    interval takes whole resamples for its ends, since between an inequality and a number there is nothing.
    """
    smallest, largest = min(budgets, default=0.0), max(budgets, default=0.0)

    def empty(reason: str) -> Crossing:
        return Crossing(None, None, None, smallest, largest, reason)

    if not len(budgets):
        return empty("no attack was measured")
    if np.isnan(clean[0]) or np.isnan(curve[:, 0]).any():
        return empty("its AUC is not defined")
    if clean[0] < CHANCE:
        return empty("its clean AUC is below .5")
    if loss is None and clean[0] <= auc:
        return empty(f"its clean AUC is not above {auc:g}")
    values = crossings(budgets, curve, clean, auc if loss is None else clean - loss)
    drawn = np.sort(values[1:][~np.isnan(values[1:])])
    if not len(drawn):
        return empty("it has no interval: no resample of the patients is defined")
    tail = (1 - LEVEL) / 2 * (len(drawn) - 1)
    low, high = drawn[math.floor(tail)], drawn[math.ceil(len(drawn) - 1 - tail)]
    return Crossing(float(values[0]), float(low), float(high), smallest, largest)


def loss_budgets(budgets: Sequence[float], curve: NDArray[np.float64], clean: NDArray[np.float64]) -> LossBudgets:
    """Both numbers of a file, from arrays as :func:`crossing` takes them."""
    return LossBudgets(crossing(budgets, curve, clean, loss=LOST), crossing(budgets, curve, clean))
