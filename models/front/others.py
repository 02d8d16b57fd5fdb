"""The inputs of a brought file beside the signal: which they are, and what each is held at inside the exported graph.

In: the inputs that a file declares, and what the study says under ``[models.<name>.input.others]``: numbers, or RR
intervals. Out: an :class:`OtherInput` each, plain numbers, which the writers of this room put before the file's own
graph, so that what is exported takes a recording and nothing else. RR intervals are annotated where a model is trained;
a file sees no annotation, so they are found in the recording itself, where it shows the beats before and after
(:class:`RrPlan`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulseproof.core.errors import InputError
from pulseproof.core.studies.model_input import InputSpec, RrSpec
from pulseproof.models.front.layouts import Declared, said

FLOATS = ("float16", "float", "float32", "double", "float64")  # as the two formats call them
# The least and the largest of the whole numbers that an input may be held at.
WHOLE: dict[str, tuple[float, float]] = {"bool": (0.0, 1.0)} | {
    kind: (float(np.iinfo(kind).min), float(np.iinfo(kind).max))
    for kind in ("int8", "uint8", "int16", "uint16", "int32", "int64")
}
MOST_HELD = 1 << 20  # numbers of an input that is held
LEAST_S = 1.2  # of a recording on the side of the beat of which an interval is asked: 50 beats a minute
# The finder of beats, by their slopes. Held against the annotations of MIT-BIH (MLII at 100 Hz, 1.6 s on either side of
# a beat; 1,500 beats of the four test records of tests/models/strangers/beats_rr.toml): median error 2 ms, 97 of 100
# within 40 ms.
SLOPE_S, SMOOTH_S, OWN_S, REFRACTORY_S, HUMP_S = 0.02, 0.08, 0.1, 0.2, 0.12
SHARE = 0.3  # of the energy of the largest beat on that side, or of the beat itself: above it there is a beat
TINY = 1e-18  # beside a sum of energies (mV^4): nothing, but for a flat recording, whose intervals are then 0


@dataclass(frozen=True)
class InputEnd:
    """An input as a file declares it: ``names``, that of its graph first; ``shape``, None for a free size; ``limits``:
    the least and the largest number that it holds, None for floats; ``scales``: of whole numbers, (scale, zero point)
    where they mean ``scale * (q - zero)``."""

    names: tuple[str, ...]
    shape: Declared | None
    kind: str
    limits: tuple[float, float] | None = None
    scaled: tuple[float, int] | None = None


@dataclass(frozen=True)
class RrPlan:
    """RR intervals from ``of`` (-1 before, 1 after the beat), in this order, as plain numbers.

    The energy of a place is the mean over leads of the squared slope over ``slope`` samples to either side, averaged
    over ``smooth`` places; it has ``places`` of them. The beat's own place is the mean, weighed by squared energies, of
    those from ``own[0]`` to ``own[1]``; those before ``before`` and from ``after`` on hold its neighbours. The nearest
    place above ``SHARE`` of the lesser of the side's largest energy and the beat's own is the edge of a neighbour; its
    place is the weighed mean over ``hump`` places from that edge on. Their distance is multiplied by ``scale``, and
    ``offset`` added."""

    of: tuple[int, ...]
    leads: int
    samples: int
    slope: int
    smooth: int
    own: tuple[int, int]
    before: int
    after: int
    hump: int
    scale: float
    offset: float

    @property
    def places(self) -> int:
        """How many places have an energy."""
        return self.samples - 2 * self.slope - self.smooth + 1

    def side(self, way: int) -> tuple[int, int]:
        """(first place, places) of the side of the beat on which a neighbour is looked for."""
        return (0, self.before) if way < 0 else (self.after, self.places - self.after)


@dataclass(frozen=True)
class OtherInput:
    """``name`` in the file's graph, ``shape`` with a batch of one, ``values`` of all its numbers in order as the file
    holds them, or ``rr``; ``says``: what it is held at, in words."""

    name: str
    shape: tuple[int, ...]
    says: str
    values: tuple[float, ...] = ()
    rr: RrPlan | None = None


def tell_apart(
    ends: Sequence[InputEnd],
    spec: InputSpec,
    what: str,
    shape: tuple[int, int],
    fs_hz: float | None,
) -> tuple[int, tuple[OtherInput, ...]]:
    """The place of the input that takes the signal, and the others, of recordings ``shape`` (leads, samples) at
    ``fs_hz``. ``what`` begins every message. Raises InputError."""
    names = ", ".join(repr(end.names[-1]) for end in ends) or "none"
    known = {name: at for at, end in enumerate(ends) for name in reversed(end.names)}
    unknown = [name for name in spec.others if name not in known]
    if unknown:
        raise InputError(f"{what}: it has no input {unknown[0]!r}, which input.others names", f"its inputs are {names}")
    held = {known[name]: value for name, value in spec.others.items()}
    left = [at for at in range(len(ends)) if at not in held]
    if len(left) != 1:
        raise InputError(
            f"{what}: it has the inputs {names}, and {len(left)} of them would get the signal, expected one: a "
            "recording is all that there is to feed",
            "say in [models.x.input.others] what each input beside the signal is held at: "
            + "; ".join(proposed(ends[at].names[-1], ends[at].shape) for at in _beside(ends, left))
            if ends
            else "give a file whose input takes the signal",
        )
    others = tuple(_other(ends[at], value, what, shape, fs_hz) for at, value in sorted(held.items()))
    return left[0], others


def _beside(ends: Sequence[InputEnd], left: Sequence[int]) -> list[int]:
    """All but the largest of those that nothing is said of; all where nothing is left."""
    signal = largest([ends[at].shape for at in left])
    return [at for place, at in enumerate(left) if place != signal] or list(range(len(ends)))


def largest(shapes: Sequence[Declared | None]) -> int:
    """The place of the largest, the likeliest to take the signal; a free size counts as none."""
    return max(range(len(shapes)), key=lambda at: _count(shapes[at]), default=0)


def _count(shape: Declared | None) -> int:
    return math.prod(size or 1 for size in shape or ())


def proposed(name: str, shape: Declared | None) -> str:
    """What a study could say of an input beside the signal: a line of its block."""
    count, key = _count(shape), name
    key = key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else f'"{key}"'
    if count > 2:
        return f"{key} = 0.0 (one number for all {count} of it, or each)"
    numbers = f"{key} = {[0.0] * count} (its values)"
    which = "previous" if count == 1 else "previous-next"
    return f'{numbers}, or {key} = {{rr = "{which}"}} (RR intervals in seconds)'


def _other(end: InputEnd, value: object, what: str, shape: tuple[int, int], fs_hz: float | None) -> OtherInput:
    name = end.names[-1]
    if end.kind not in (*FLOATS, *WHOLE):
        raise InputError(
            f"{what}: its input {name!r} is {end.kind}, which is held at nothing here",
            f"convert it again with one of {', '.join((*FLOATS[:2], *WHOLE))}",
        )
    if end.shape is None or None in end.shape[1:]:
        size = "of no declared shape" if end.shape is None else said(end.shape)
        raise InputError(
            f"{what}: its input {name!r} is {size}: how many numbers it takes is not said",
            "convert it again with fixed sizes for that input",
        )
    sizes = tuple(1 if size is None else size for size in end.shape)
    count = math.prod(sizes)
    if not 0 < count <= MOST_HELD:
        raise InputError(f"{what}: its input {name!r} takes {count:,} numbers", f"at most {MOST_HELD:,} are held")
    if isinstance(value, RrSpec):
        plan = plan_rr(value, shape, fs_hz, f"{what}: its input {name!r}")
        if len(plan.of) != count:
            raise InputError(
                f"{what}: its input {name!r} takes {count} numbers, and rr = {value.rr!r} gives {len(plan.of)}",
                'say rr = "previous", "next" or "previous-next", or the numbers themselves',
            )
        if end.limits is not None and end.scaled is None:
            raise InputError(f"{what}: its input {name!r} takes whole numbers ({end.kind})", "hold it at some")
        return OtherInput(end.names[0], sizes, f"{name} = RR ({value.rr})", rr=plan)
    given = value if isinstance(value, tuple) else (value,)
    numbers = [float(one) for one in given if isinstance(one, int | float)]
    if len(numbers) not in (1, count):
        raise InputError(
            f"{what}: its input {name!r} takes {count} numbers, and input.others gives it {len(numbers)}",
            "give one number for all of them, or each",
        )
    kept = [_stored(one, end, f"{what}: its input {name!r}") for one in numbers]
    told = ", ".join(f"{one:g}" for one in numbers[:4]) + (", ..." if len(numbers) > 4 else "")
    return OtherInput(end.names[0], sizes, f"{name} = {told}", tuple(kept * (count if len(kept) == 1 else 1)))


def _stored(value: float, end: InputEnd, what: str) -> float:
    """The number that an input holds for a value. Raises InputError where it holds none."""
    if end.limits is None:
        return value
    step = value if end.scaled is None else float(np.rint(value / end.scaled[0])) + end.scaled[1]
    if step != int(step) or not end.limits[0] <= step <= end.limits[1]:
        raise InputError(f"{what} is {end.kind}, and does not hold {value:g}", "give a number that it holds")
    return step


def plan_rr(spec: RrSpec, shape: tuple[int, int], fs_hz: float | None, what: str) -> RrPlan:
    """How RR intervals are found in recordings ``shape`` (leads, samples) at ``fs_hz``. Raises InputError where they
    do not show the neighbours of their beat: those intervals are annotations, and no part of what a file gets."""
    if fs_hz is None:
        raise InputError(f"{what}: the study does not say at which rate its recordings are", "say fs_hz under [data]")
    leads, samples = shape
    place = samples // 2 if spec.beat_s is None else round(spec.beat_s * fs_hz)
    of = {"previous": (-1,), "next": (1,), "previous-next": (-1, 1)}[spec.rr]
    shown = {-1: place / fs_hz, 1: (samples - place) / fs_hz}
    for way in of:
        if shown[way] < LEAST_S:
            side = {-1: "before", 1: "after"}[way]
            raise InputError(
                f"{what} takes RR intervals, which a database annotates and a file does not get; they can be found in "
                f"recordings that show the beats beside their own, and these show {max(0.0, shown[way]):g} s {side} it",
                f"give the study recordings that show {LEAST_S:g} s or more {side} the beat (before_s, after_s), and "
                "the model its part of them by window_s and start_s; or hold that input at numbers",
            )
    slope = max(1, round(SLOPE_S * fs_hz))
    smooth = round(SMOOTH_S * fs_hz) | 1
    at = place - slope - smooth // 2
    own, far = round(OWN_S * fs_hz), round(REFRACTORY_S * fs_hz)
    per = {"s": 1.0, "ms": 1000.0}[spec.unit] / fs_hz
    return RrPlan(
        of,
        leads,
        samples,
        slope,
        smooth,
        (at - own, at + own),
        at - far,
        at + far,
        round(HUMP_S * fs_hz),
        per * spec.scale,
        spec.offset,
    )
