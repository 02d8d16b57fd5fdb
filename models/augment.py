"""What training does to a batch so that a small data set goes further.

In and out: float32 ``(n, leads, samples)`` in millivolts. The stationary-wavelet augmentation is ECG-Lens's own: each
recording is taken apart by a stationary wavelet transform (shift-invariant, Nason & Silverman 1995), every band gets a
random gain, and it is put together again. The plain one, for every net, is what a study's ``augment`` says.
"""

from __future__ import annotations

import functools

import numpy as np
import pywt
import torch
from torch import Tensor

from pulseproof.core.study import AugmentSpec

WAVELET = "db4"
LEVELS = 3


@functools.cache
def band_filters(wavelet: str, levels: int) -> Tensor:
    """The zero-phase filters that split a signal into its SWT bands: ``(levels + 1, taps)``, and they sum to a delta.

    Analysis and synthesis of one band of the undecimated transform are one linear, shift-invariant filter: the
    reconstruction from that band alone. Its impulse response is read off ``pywt.swt``/``iswt`` once; a convolution
    then does what a transform per recording would, in the training loop's own threads.
    """
    taps = (pywt.Wavelet(wavelet).dec_len - 1) * (2**levels - 1) + 1
    size = 2**levels * int(np.ceil(2 * taps / 2**levels))
    impulse = np.zeros(size)
    impulse[size // 2] = 1.0
    # trim_approx: one approximation, then details from the coarsest to the finest.
    bands = pywt.swt(impulse, wavelet, level=levels, trim_approx=True, norm=True)
    responses = []
    for band in range(levels + 1):
        kept = [coefficients if i == band else np.zeros(size) for i, coefficients in enumerate(bands)]
        responses.append(pywt.iswt(kept, wavelet, norm=True)[size // 2 - taps + 1 : size // 2 + taps])
    return torch.tensor(np.stack(responses), dtype=torch.float32)


def swt_bands(x: Tensor, wavelet: str = WAVELET, levels: int = LEVELS) -> Tensor:
    """``(n, leads, samples)`` to its SWT bands ``(n, leads, levels + 1, samples)``; their sum is ``x``."""
    n, leads, samples = x.shape
    filters = band_filters(wavelet, levels)
    half = filters.shape[1] // 2
    padded = torch.nn.functional.pad(x.reshape(n * leads, 1, samples), (half, half), mode="reflect")
    # conv1d correlates; the responses are symmetric (zero phase), so that is the convolution.
    return torch.nn.functional.conv1d(padded, filters.unsqueeze(1)).reshape(n, leads, levels + 1, samples)


def swt_augment(x: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """Give every wavelet band of every recording its own gain, uniform in ``1 - spread .. 1 + spread``."""
    bands = swt_bands(x)
    gains = 1 + spread * _uniform((x.shape[0], 1, bands.shape[2], 1), generator)
    return (bands * gains).sum(dim=2)


def disturb(x: Tensor, spec: AugmentSpec, generator: torch.Generator) -> Tensor:
    """Shift in time (circularly), scale, stretch, offset, noise and band gains, each as large as ``spec`` allows."""
    n, _, samples = x.shape
    most = int(spec.shift * samples)
    offsets = torch.randint(-most, most + 1, (n,), generator=generator)
    columns = (torch.arange(samples).unsqueeze(0) - offsets.unsqueeze(1)) % samples
    x = x.gather(2, columns.unsqueeze(1).expand_as(x)) * (1 + spec.scale * _uniform((n, 1, 1), generator))
    if spec.stretch:
        x = stretched(x, 1 + spec.stretch * _uniform((n, 1), generator), spec.stretch_about * samples)
    if spec.offset_mv:
        x = x + spec.offset_mv * torch.randn(n, 1, 1, generator=generator)
    if spec.noise_mv:  # every recording has a loudness of its own
        loudness = spec.noise_mv * torch.rand(n, 1, 1, generator=generator)
        x = x + loudness * torch.randn(x.shape, generator=generator)
    return swt_augment(x, spec.wavelet, generator) if spec.wavelet else x


def stretched(x: Tensor, factors: Tensor, about: float) -> Tensor:
    """Play each recording ``factors`` ``(n, 1)`` times as fast, by linear interpolation. Sample ``about`` stays where
    it is (the beat that a window is about), and what would lie outside the window repeats its edge."""
    samples = x.shape[2]
    places = ((torch.arange(samples) - about) * factors + about).clamp(0, samples - 1)
    before = places.long().clamp(max=samples - 2)
    share = (places - before).unsqueeze(1)
    left = x.gather(2, before.unsqueeze(1).expand_as(x))
    right = x.gather(2, (before + 1).unsqueeze(1).expand_as(x))
    return left * (1 - share) + right * share


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Between -1 and 1."""
    return 2 * torch.rand(shape, generator=generator) - 1
