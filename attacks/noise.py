"""Controls: disturbances of the same budget that do not know the model. An attack must beat them to be one.

In: recordings and a budget, for recorded noise also long pieces of it. Out: perturbations in millivolts. Random signs
fill the L-infinity ball. Gaussian and recorded noise have the *energy* of random signs: each recording's root mean
square over leads and samples is the budget, so all controls of a budget have the same SNR. Their peaks exceed the
budget; that is no help to an attack that has to beat them, and the description of a set gives its largest change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pulseproof.attacks.aim.ball import L2
from pulseproof.attacks.aim.norms import Norm
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.method import Model, Perturbed, Prepared, Scene
from pulseproof.core.errors import InputError


def random_sign(shape: tuple[int, ...], budget_mv: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Every sample moved by plus or minus ``budget_mv``, by a fair coin: as loud as L-infinity allows, and blind."""
    signs = rng.integers(0, 2, size=shape, dtype=np.int8) * 2 - 1
    return signs.astype(np.float32) * np.float32(budget_mv)


def recorded_noise(
    noise: NDArray[np.float32], shape: tuple[int, int, int], budget_mv: float, generator: torch.Generator
) -> Tensor:
    """Pieces of ``noise`` (channels, samples) cut at random: of ``shape`` (n, leads, samples), RMS ``budget_mv`` each.

    Every lead has a channel and a place of its own; a recording's leads are scaled together, so that a burst on one of
    them stays one. Silence stays silence. Raises ValueError when the noise is shorter than a recording.
    """
    n, leads, samples = shape
    channels, length = noise.shape
    if length < samples:
        raise ValueError(f"{length:,} samples of noise for recordings of {samples:,}")
    channel = torch.randint(channels, (n, leads, 1), generator=generator)
    first = torch.randint(length - samples + 1, (n, leads, 1), generator=generator)
    pieces = torch.from_numpy(noise)[channel, first + torch.arange(samples)]
    return budget_mv * L2.steepest(pieces)


@dataclass(frozen=True)
class Control:
    """What all controls share: nothing is prepared. Each says its norm, and whether the budget bounds it; where it does
    not, a recorder rounds and clips to its range alone."""

    def prepare(self, model: Model, scene: Scene, generator: Generator) -> dict[str, Tensor]:
        """Nothing."""
        del model, scene, generator
        return {}


@dataclass(frozen=True)
class RandomSign(Control):
    """See :func:`random_sign`."""

    norm: ClassVar[Norm] = "linf"
    bounded: ClassVar[bool] = True

    def perturb(self, model: Model, scene: Scene, made: Prepared, victims: Victims, generator: Generator) -> Perturbed:
        """The noise of one shard."""
        del model, made
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        return Perturbed(torch.from_numpy(random_sign(tuple(victims.signals.shape), scene.budget_mv, rng)))


@dataclass(frozen=True)
class Gaussian(Control):
    """White noise, normally distributed: RMS ``budget_mv`` of each recording."""

    norm: ClassVar[Norm] = "l2"
    bounded: ClassVar[bool] = False

    def perturb(self, model: Model, scene: Scene, made: Prepared, victims: Victims, generator: Generator) -> Perturbed:
        """The noise of one shard."""
        del model, made
        return Perturbed(L2.random(victims.signals, scene.budget_mv, generator))


@dataclass(frozen=True)
class RecordedNoise(Control):
    """Noise that was recorded on people (:mod:`ecg.noise_records`): ``kind`` is one of ``scene.noise``."""

    kind: str
    norm: ClassVar[Norm] = "l2"
    bounded: ClassVar[bool] = False

    def perturb(self, model: Model, scene: Scene, made: Prepared, victims: Victims, generator: Generator) -> Perturbed:
        """The noise of one shard. Raises InputError where that noise is missing or shorter than a recording."""
        del model, made
        mend = "fetch the MIT-BIH noise stress records, or leave this method out of the study"
        if self.kind not in scene.noise:
            raise InputError(f"there is no recorded noise {self.kind!r}", mend)
        n, leads, samples = victims.signals.shape
        try:
            delta = recorded_noise(scene.noise[self.kind], (n, leads, samples), scene.budget_mv, generator)
        except ValueError as error:
            raise InputError(f"recorded noise {self.kind!r}: {error}", mend) from None
        return Perturbed(delta)
