"""How far the scores of a file may be from its source's: one bound a recipe, with the reason for it.

In: a recipe. Out: its :class:`Bound`, which :mod:`export.gate.parity` holds a file to, on every engine alike: another
engine may round a quantized file by a step more or less, and needs no room of its own for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pulseproof.core.recipes import recipe_of

FLOAT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Bound:
    """What a file may differ from its source by.

    ``tolerance``: of one score, in units of the standard deviation of the source's scores of that class over recordings
    (:func:`export.gate.alike.unit`); where ``in_spread`` is false, near zero an absolute one of what float32 rounds of
    the largest score, and never more than it is for scores of standard deviation 1. ``moved``: share of recordings that
    may be beyond it, None for all. ``noise``: root mean square difference of the scores, in the same units.
    ``auc_refused``, ``auc_noted``: loss of macro AUC; where ``auc_sure``, only a loss whose 95 % interval leaves out 0,
    and a task in which no AUC is defined is judged by its scores alone. ``records``: at most so many recordings are run
    on an engine that does not decide about the file; None for all. The deciding one runs all: its AUC stands in tables
    beside those of other files.
    """

    tolerance: float = FLOAT_TOLERANCE
    in_spread: bool = False
    moved: float | None = None
    noise: float | None = None
    auc_refused: float | None = None
    auc_noted: float | None = None
    auc_sure: bool = False
    records: int | None = None


# Measured over the six systems of four studies (2026-11): float32 files were within 4e-6 standard deviations of the
# source's scores, so 1e-4 leaves room for other processors and deeper nets and none for a wrong weight. No AUC moved in
# the fourth digit. A sigmoid at the end of a graph can be within 1e-4 everywhere and tie a third of the recordings, in
# an engine that is flat where the source is not: what half floats are noted for is refused.
FP32 = Bound(moved=0.0, auc_refused=0.002, auc_noted=0.0005, auc_sure=True)
# A feature is a sum in another order of additions there, and a value within a rounding error of a threshold takes the
# other branch: rare (none of 300 in any of the four studies), and then far off, so recordings are counted.
STEPS = replace(FP32, moved=0.01)
# Half floats carry 11 bits, 5e-4 of a value. Nets were within .005 standard deviations, forests on half-float features
# beyond .02 on at most 2 of 300 recordings, and no AUC moved by more than .0001.
FP16 = Bound(tolerance=0.02, in_spread=True, moved=0.03, noise=0.5, auc_refused=0.005, auc_noted=0.002)
# int8 files that a reader would call good lost up to .012 of AUC (most: 0), with noise of .002 to .46 (nets: .03). The
# AUC alone lets a wrecked file pass by luck, above all of a poor model, whose AUC has little to lose: noise of .5 to .8
# was seen with an AUC within .002. Scores that have nothing to do with the source's have noise of 1 or more.
INT8 = Bound(noise=0.5, auc_refused=0.02, auc_noted=0.01)
# int16 activations lost at most .0008 in nets and .0071 in trees on features; a file with more has no reason to be many
# times slower than int8. For slow it is, 27 ms an inference of ECG-Lens, hence fewer recordings: a number of recordings
# and not of seconds, so that the same file gets the same figures on a busy machine.
INT16X8 = Bound(noise=0.5, auc_refused=0.01, auc_noted=0.005, records=128)

# By the name that a recipe gives (core.recipes).
BOUNDS: Mapping[str, Bound] = {"fp32": FP32, "fp16": FP16, "int8": INT8, "int16x8": INT16X8}


def bound_of(recipe: str, steps: bool) -> Bound:
    """What a file of this recipe may differ from its source by; ``steps``: the scores come from trees."""
    bound = BOUNDS[recipe_of(recipe).bound]
    return STEPS if steps and bound is FP32 else bound
