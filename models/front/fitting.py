"""How a model that somebody brings is fitted to a study: what both say of its ends, in one place.

In: the study's task, and what its ``[models.<name>]`` says of the input, the output and the classes. Out: the front and
the tail of a file, or an InputError that says which of them do not go together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.core.studies.model_input import InputSpec
from pulseproof.models.front.layouts import Declared
from pulseproof.models.front.others import InputEnd, OtherInput, tell_apart
from pulseproof.models.front.plan import Front, make_front
from pulseproof.models.front.tail import Tail, make_tail

MOST_CLIPPED = 0.01  # share of the samples that an input of whole numbers may clip


@dataclass(frozen=True)
class Fitting:
    """``shape`` (leads, samples), ``fs_hz``, ``leads`` and ``names`` (of the classes) are the study's, as far as they
    are known; ``spec``, ``output`` (the name of the one that gives the scores) and ``order`` (the file's own classes)
    what it says of the model."""

    shape: tuple[int, int]
    classes: int
    fs_hz: float | None = None
    leads: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    spec: InputSpec = field(default_factory=InputSpec)
    output: str | None = None
    order: tuple[str, ...] = ()

    def signal_of(self, ends: Sequence[InputEnd], what: str) -> tuple[int, tuple[OtherInput, ...]]:
        """The place of the input of a file that takes the signal, and what the others are held at. Raises
        InputError."""
        return tell_apart(ends, self.spec, what, self.shape, self.fs_hz)

    def front(self, declared: Declared | None, what: str, others: tuple[OtherInput, ...] = ()) -> Front:
        """The front of a file whose input is ``declared``, with others beside it. Raises InputError."""
        return make_front(self.spec, declared, self.shape, what, self.fs_hz, self.leads, others)

    def tail(self, given: int | None, probability: bool, what: str) -> Tail:
        """The tail of a file that gives so many scores (None: it does not say). Raises InputError."""
        known = given if given is not None else len(self.order) or self.classes
        return make_tail(known, self.classes, probability, what, self.names, self.order)


@dataclass(frozen=True)
class Steps:
    """An input of whole numbers from ``low`` to ``high``: ``scale * (q - zero)``."""

    low: int
    high: int
    scale: float
    zero: int

    @property
    def holds(self) -> tuple[float, float]:
        """The least and the largest value that it tells from those beyond."""
        return (self.low - self.zero) * self.scale, (self.high - self.zero) * self.scale

    def clipped(self, seen: NDArray[np.float32]) -> float:
        """The share of the samples of what the model sees that it clips, by more than a rounding."""
        low, high = self.holds
        half = self.scale / 2
        return float(np.mean((seen < low - half) | (seen > high + half)))


def expect_unclipped(steps: Steps, front: Front, spec: InputSpec, signals: NDArray[np.float32], what: str) -> None:
    """Raises InputError where an input of whole numbers clips too many samples of ``signals`` (k, leads, samples) mV,
    and the study does not say that it may."""
    import torch  # late: who reads a file in a process of its own needs none

    from pulseproof.models.front.module import FrontModule

    with torch.inference_mode():
        share = steps.clipped(FrontModule(front)(torch.from_numpy(signals)).numpy())
    if share > MOST_CLIPPED and not spec.clips:
        low, high = steps.holds
        raise InputError(
            f"{what}: its input of whole numbers holds {low:.3g} to {high:.3g}, and {share:.0%} of the samples lie "
            "beyond: they are clipped",
            "say in [models.x.input] what it was trained on (`pulseproof bring FILE --study STUDY` tries the usual "
            "scalings), or clips = true to take it so",
        )


def choose_output(names: tuple[str, ...], counts: tuple[int | None, ...], fitting: Fitting, what: str) -> int:
    """The place of the output that gives the scores: by the name that the study says, the only one, or the only one of
    so many numbers (``counts``, None: not said or no floats) as the study has classes. Raises InputError."""
    if fitting.output is not None:
        if fitting.output in names:
            return names.index(fitting.output)
        raise InputError(f"{what}: it has no output {fitting.output!r}", f"its outputs are {_listed(names)}")
    if len(names) == 1:
        return 0
    wanted = len(fitting.order) or fitting.classes
    exact = [at for at, count in enumerate(counts) if count == wanted]
    found = exact or [at for at, count in enumerate(counts) if {count, wanted} == {1, 2}]
    if len(found) == 1:
        return found[0]
    raise InputError(
        f"{what}: it has the outputs {_listed(names)}",
        "say under [models.x] which of them gives the scores: output = 'name'",
    )


def count_scores(declared: Declared | None) -> int | None:
    """How many scores an output of this shape gives for one recording; None where it does not say."""
    if declared is None:
        return None
    sizes = declared[1:] if len(declared) > 1 and declared[0] in (1, None) else declared
    count = 1
    for size in sizes:
        if size is None:
            return None
        count *= size
    return count


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names))
