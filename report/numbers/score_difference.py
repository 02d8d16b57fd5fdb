"""The scores of a device beside those of this machine: the same file, the same recordings, another processor.

In come the results of two devices; out comes for each (artifact, signal set) how far the scores are apart. A quantized
file rounds its scores, so two processors agree exactly or are a step apart, where a sum fell on either side of a half;
a float file adds in another order. More than that is a file that is another model there: each is a row with a note.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from pulseproof.bench.wire.results import DeviceResults, HostBundle
from pulseproof.core.errors import InputError

FLOAT = 1e-5  # of a score: what the order of additions may change
Verdict = Literal["exact", "within one step", "within 1e-5", "LARGER"]
HOST = "measured-on-host"


@dataclass(frozen=True)
class ScoreDifference:
    """The scores of the first ``n`` recordings of one artifact on one signal set: ``largest`` absolute difference of
    any score, ``share`` of recordings with a difference, and the ``step`` of the file's scores (None: not rounded, or
    not asked for, since they are hardly apart)."""

    n: int
    largest: float
    share: float
    step: float | None

    @property
    def verdict(self) -> Verdict:
        """exact; within one output step (quantized) or 1e-5 (else); or LARGER."""
        if self.largest == 0:
            return "exact"
        if self.largest <= FLOAT:
            return "within 1e-5"
        # Scores are float32: a step between two of them is the scale up to their last digits.
        return "within one step" if self.step is not None and self.largest <= 1.001 * self.step + FLOAT else "LARGER"

    @property
    def text(self) -> str:
        """``exact``, ``1 step, 3 %`` or ``2.1e-07``: the largest difference and of a rounded file the share."""
        if self.largest == 0:
            return "exact"
        if self.step is None or self.largest <= FLOAT:
            return f"{self.largest:.1e}"
        steps = f"{self.largest / self.step:.3g}"
        return f"{steps} step{'s' * (steps != '1')}, {100 * self.share:.3g} %"

    @property
    def note(self) -> str | None:
        """What a table must say of a difference larger than it may be."""
        if self.verdict != "LARGER":
            return None
        steps = "" if self.step is None else f" ({self.largest / self.step:.1f} steps)"
        return (
            f"its scores differ from this machine's by up to {self.largest:.2g}{steps}, in "
            f"{round(self.share * self.n)} of {self.n} recordings"
        )


def host_of(devices: tuple[DeviceResults, ...]) -> DeviceResults | None:
    """The device that is this machine; None when it did not run the bundle."""
    return next((each for each in devices if each.device is not None and each.device.evidence == HOST), None)


def score_differences(
    bundle: HostBundle, device: DeviceResults, host: DeviceResults | None
) -> dict[tuple[str, str], ScoreDifference]:
    """By (artifact, signal set): a device's scores against the host's, on the recordings that both ran; nothing for the
    host itself and where one of both has none."""
    if host is None or host.name == device.name:
        return {}
    files = {each.name: bundle.folder / each.file for each in bundle.head.artifacts}
    steps: dict[str, float | None] = {}
    found = {}
    for key, measured in device.results.items():
        other = host.results.get(key)
        if other is None or other.scores is None or measured.scores is None:
            continue
        n = min(len(measured.scores), len(other.scores))
        apart = np.abs(measured.scores[:n].astype(np.float64) - other.scores[:n])
        largest, share = float(apart.max()), float((apart > 0).any(axis=1).mean())
        if largest > FLOAT and key[0] not in steps:  # a file is opened only where its step is needed
            steps[key[0]] = _step(files[key[0]])
        found[key] = ScoreDifference(n, largest, share, steps.get(key[0]) if largest > FLOAT else None)
    return found


def _step(path: Path) -> float | None:
    """None also for a file that cannot be read: no table fails for it, and without a step no difference is excused."""
    from pulseproof.twins.output_step import output_step  # late: its room brings torch, and few tables ask for a step

    try:
        return output_step(path)
    except InputError:
        return None
