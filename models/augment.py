"""What training does to a batch so that a small data set goes further.

In and out: float32 ``(n, leads, samples)`` in millivolts. The stationary-wavelet augmentation is ECG-Lens's own: each
recording is taken apart by a stationary wavelet transform (shift-invariant, Nason & Silverman 1995), every band gets a
random gain, and it is put together again. The plain one, for every net, shifts in time and scales.
"""

from __future__ import annotations

import functools

import numpy as np
import pywt
import torch
from torch import Tensor

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


def swt_augment(x: Tensor, generator: torch.Generator, spread: float = 0.3) -> Tensor:
    """Give every wavelet band of every recording its own gain, uniform in ``1 - spread .. 1 + spread``."""
    bands = swt_bands(x)
    gains = 1 + spread * (2 * torch.rand(x.shape[0], 1, bands.shape[2], 1, generator=generator) - 1)
    return (bands * gains).sum(dim=2)


def shift_and_scale(x: Tensor, generator: torch.Generator, shift: float = 0.1, spread: float = 0.2) -> Tensor:
    """Shift each recording in time by up to ``shift`` of its length (circularly) and scale it by ``1 +- spread``."""
    n, _, samples = x.shape
    most = int(shift * samples)
    offsets = torch.randint(-most, most + 1, (n,), generator=generator)
    columns = (torch.arange(samples).unsqueeze(0) - offsets.unsqueeze(1)) % samples
    gains = 1 + spread * (2 * torch.rand(n, 1, 1, generator=generator) - 1)
    return x.gather(2, columns.unsqueeze(1).expand_as(x)) * gains
