"""What is done to a recording in millivolts before a model sees it: one plan, written as torch, ONNX and TFLite.

In: what a study says of a model's input (:mod:`core.studies.model_input`), its leads, samples and rate, and the layout
of the model. Out: a :class:`Front`, plain numbers, from which :mod:`models.front.module` makes a torch module,
:mod:`models.front.onnx_front` and :mod:`models.front.tflite_front` the same operators in front of a file's own graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.core.studies.model_input import InputSpec, Normalise
from pulseproof.models.front.layouts import Declared, Layout, find_layout
from pulseproof.models.front.others import OtherInput

PER_MV = {"mV": 1.0, "uV": 1000.0, "V": 0.001}
SMALL_MV = 1e-7  # beside a deviation or a range: a flat lead gives 0 and no division by 0; lost on any other
LARGEST_FILTER = 1 << 18  # numbers of a resampling filter: 1 MiB
HALF_WIDTH = 10  # zero crossings on each side of the filter, and its window: scipy.signal.resample_poly's
KAISER = 5.0


@dataclass(frozen=True)
class Resampling:
    """By ``up / down``, as ``scipy.signal.resample_poly(x, up, down, padtype="mean")``: a convolution of stride
    ``down`` with ``up`` output channels, ``kernel`` float32 (up, width), over ``before`` and ``after`` zeros, of
    ``blocks`` places; its channels are the samples within a place."""

    up: int
    down: int
    kernel: NDArray[np.float32]
    before: int
    after: int
    blocks: int


@dataclass(frozen=True)
class Front:
    """``leads`` and ``samples`` of the recording; ``sees``: those of the model. In the order in which they are done:
    ``clip_mv``, ``order`` of the leads, ``window`` (first sample, samples), ``resampling``, ``per_mv``, ``normalise``,
    ``scale``, ``offset``, ``layout``; None and 1 and 0: nothing is done. ``others``: the inputs beside the signal."""

    leads: int
    samples: int
    sees: tuple[int, int]
    layout: Layout
    clip_mv: float | None = None
    order: tuple[int, ...] | None = None
    window: tuple[int, int] | None = None
    resampling: Resampling | None = None
    per_mv: float = 1.0
    normalise: Normalise = "none"
    scale: float = 1.0
    offset: float = 0.0
    others: tuple[OtherInput, ...] = ()

    @property
    def nothing(self) -> bool:
        """True where the model takes the recordings as they are, and nothing else."""
        signal = self.layout.usual and not self.arithmetic and self.order is None and self.window is None
        return signal and not self.others

    @property
    def arithmetic(self) -> bool:
        """True where numbers are computed, and not only put elsewhere."""
        return bool(
            self.clip_mv is not None
            or self.resampling is not None
            or self.normalise != "none"
            or (self.per_mv, self.scale, self.offset) != (1.0, 1.0, 0.0)
        )

    @property
    def small(self) -> float:
        """What is added to a deviation (to its square: the square of it) or to a range, in the model's units."""
        return SMALL_MV * self.per_mv

    @property
    def quartiles(self) -> tuple[tuple[tuple[int, float], ...], ...]:
        """Lower quartile, median and upper quartile as sums of sorted samples, the largest first: (place, weight)."""
        return tuple(_quantile(self.sees[1], share) for share in (0.25, 0.5, 0.75))

    def says(self) -> str:
        """What stands in front, in words, for messages and tables."""
        parts = [f"clipped at {self.clip_mv:g} mV"] if self.clip_mv is not None else []
        parts += [f"{len(self.order)} of {self.leads} leads, reordered"] if self.order is not None else []
        parts += [f"samples {self.window[0]} to {sum(self.window)}"] if self.window is not None else []
        if self.resampling is not None:
            parts.append(f"resampled by {self.resampling.up}/{self.resampling.down}")
        parts += [f"times {self.per_mv:g}"] if self.per_mv != 1 else []
        parts += [self.normalise] if self.normalise != "none" else []
        parts += [f"times {self.scale:g}"] if self.scale != 1 else []
        parts += [f"plus {self.offset:g}"] if self.offset else []
        shape = self.layout.shape
        parts += [f"{'TRANSPOSE' if self.layout.turned else 'RESHAPE'} to {shape}"] if not self.layout.usual else []
        parts += [other.says for other in self.others]
        return ", ".join(parts) or "nothing"


def make_front(
    spec: InputSpec,
    declared: Declared | None,
    shape: tuple[int, int],
    what: str,
    fs_hz: float | None = None,
    leads: tuple[str, ...] = (),
    others: tuple[OtherInput, ...] = (),
) -> Front:
    """The front of a model whose input is ``declared``, for recordings ``shape`` (leads, samples) at ``fs_hz`` with
    ``leads`` by these names; ``others``: its inputs beside the signal. ``what`` begins every message. Raises InputError
    where they do not go together."""
    order = _order(spec, leads, shape, what)
    window = _window(spec, shape[1], fs_hz, what)
    length = shape[1] if window is None else window[1]
    resampling = _resampling(spec, length, fs_hz, what)
    seen = length if resampling is None else math.ceil(length * resampling.up / resampling.down)
    sees = (shape[0] if order is None else len(order), seen)
    return Front(
        *shape,
        sees,
        find_layout(declared, *sees, what, spec.layout),
        spec.clip_mv,
        order,
        window,
        resampling,
        PER_MV[spec.unit],
        spec.normalise,
        spec.scale,
        spec.offset,
        others,
    )


def without_layout(front: Front) -> Front:
    """The same for a module that takes (n, leads, samples)."""
    return replace(front, layout=Layout("n c t", (1, *front.sees), False))


def _order(spec: InputSpec, leads: tuple[str, ...], shape: tuple[int, int], what: str) -> tuple[int, ...] | None:
    if spec.leads is None:
        return None
    if not leads and spec.leads:
        raise InputError(f"{what}: the study does not say the names of its leads", "name them under [data]")
    unknown = [name for name in spec.leads if name not in leads]
    if unknown:
        raise InputError(
            f"{what}: input.leads names {', '.join(unknown)}, which the study does not have",
            f"its leads are {', '.join(leads)}",
        )
    order = tuple(leads.index(name) for name in spec.leads)
    return None if order == tuple(range(shape[0])) else order


def _window(spec: InputSpec, samples: int, fs_hz: float | None, what: str) -> tuple[int, int] | None:
    if spec.window_s is None:
        return None
    rate = _rate(fs_hz, what)
    length = round(spec.window_s * rate)
    first = (samples - length) // 2 if spec.start_s is None else round(spec.start_s * rate)
    if not 0 < length <= samples or first < 0 or first + length > samples:
        raise InputError(
            f"{what}: input.window_s asks for {spec.window_s:g} s of recordings of {samples / rate:g} s",
            "give the study longer recordings, or the model less of them",
        )
    return None if length == samples else (first, length)


def _resampling(spec: InputSpec, samples: int, fs_hz: float | None, what: str) -> Resampling | None:
    if spec.fs_hz is None:
        return None
    rate = _rate(fs_hz, what)
    ratio = Fraction(spec.fs_hz / rate).limit_denominator(1000)
    if ratio == 1:
        return None
    if ratio.numerator == 0:
        raise InputError(f"{what}: input.fs_hz is {spec.fs_hz:g} of recordings at {rate:g} Hz", "give its rate")
    return _polyphase(ratio.numerator, ratio.denominator, samples, what)


def _rate(fs_hz: float | None, what: str) -> float:
    if fs_hz is None:
        raise InputError(f"{what}: the study does not say at which rate its recordings are", "say fs_hz under [data]")
    return fs_hz


def _polyphase(up: int, down: int, samples: int, what: str) -> Resampling:
    """Output m of resample_poly is the sum over n of x[n] h[m down - n up]. With m = up b + r and n = down b + j that
    is a convolution of stride ``down`` over places b, with one row of weights h[r down - j up] for every r."""
    most = max(up, down)
    half = HALF_WIDTH * most
    taps = up * _low_pass(half, 1.0 / most)
    first, last = -(half // up), ((up - 1) * down + half) // up
    width = last - first + 1
    if up * width > LARGEST_FILTER:
        raise InputError(
            f"{what}: resampling by {up}/{down} takes a filter of {up * width:,} numbers",
            "give a rate that is a simpler fraction of the study's (fs_hz), or the study that rate",
        )
    places = np.arange(up)[:, None] * down - np.arange(first, last + 1)[None, :] * up + half
    inside = (places >= 0) & (places < len(taps))
    kernel = np.where(inside, taps[np.clip(places, 0, len(taps) - 1)], 0.0).astype(np.float32)
    wanted = math.ceil(samples * up / down)
    blocks = math.ceil(wanted / up)
    after = max(0, (blocks - 1) * down + width - samples + first)
    return Resampling(up, down, kernel, -first, after, blocks)


def _low_pass(half: int, cutoff: float) -> NDArray[np.float64]:
    """``scipy.signal.firwin(2 * half + 1, cutoff, window=("kaiser", KAISER))``, without the second that importing
    scipy.signal takes: who is refused is refused before."""
    taps: NDArray[np.float64] = cutoff * np.sinc(cutoff * np.arange(-half, half + 1)) * np.kaiser(2 * half + 1, KAISER)
    return taps / taps.sum()


def _quantile(count: int, share: float) -> tuple[tuple[int, float], ...]:
    """A quantile with linear interpolation, as numpy's, in places of a descending order."""
    place = share * (count - 1)
    low = math.floor(place)
    part = place - low
    pairs = [(count - 1 - low, 1 - part)] + ([(count - 2 - low, part)] if part else [])
    return tuple(pairs)
