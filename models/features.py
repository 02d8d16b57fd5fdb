"""Hand-made features of a recording, as a torch module: what the classical systems see.

In: float32 ``(n, leads, samples)`` millivolts. Out: float32 ``(n, count)``. Being a module, the features are exported
into the file, so that a deployed forest takes the same raw signal as a deployed CNN, and gradients pass through them.
Only operators that both ONNX and TFLite have are used: the spectrum is a product with a matrix (no FFT there), taken
over pieces of two seconds and averaged (Welch 1967), so that the matrix is 0.14 MB and not 3.6 MB.

Per lead: mean, standard deviation, minimum, maximum, root mean square, mean absolute difference (all in mV), and the
logarithm of the power in six bands (mV^2). With ``segments`` the lead's mean in that many equal pieces of the
window is added (mV): for a window that is anchored on a beat, a piece has a meaning of its own.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

BANDS_HZ = ((0.0, 0.7), (0.7, 3.0), (3.0, 8.0), (8.0, 15.0), (15.0, 25.0), (25.0, 45.0))
STATISTICS = ("mean", "std", "min", "max", "rms", "mean-abs-diff")
POWER_FLOOR_MV2 = 1e-8
PIECE_S = 2.0


class Features(nn.Module):
    """See the module. ``names`` lists the features in order, ``<lead>:<feature>``."""

    cosines: Tensor
    sines: Tensor
    bands: Tensor
    means: Tensor

    def __init__(self, leads: tuple[str, ...], samples: int, fs_hz: float, segments: int = 0) -> None:
        super().__init__()
        self.samples = samples
        self.segments = segments
        self.piece = min(samples, round(PIECE_S * fs_hz))  # what does not fill a last piece is left out of the spectrum
        self.pieces = samples // self.piece
        frequencies = np.fft.rfftfreq(self.piece, 1 / fs_hz)
        bins = np.flatnonzero((frequencies > 0) & (frequencies < BANDS_HZ[-1][1]))
        # The window of Hann keeps a large slow wave out of the other bands. Power is normalised by its energy.
        window = np.hanning(self.piece)
        phase = 2 * np.pi * np.outer(np.arange(self.piece), bins) / self.piece
        scale = np.sqrt(2 / (window**2).sum() / self.piece)
        self.register_buffer("cosines", _float32(window[:, None] * np.cos(phase) * scale))
        self.register_buffer("sines", _float32(window[:, None] * np.sin(phase) * scale))
        pick = np.zeros((len(bins), len(BANDS_HZ)))
        for band, (low, high) in enumerate(BANDS_HZ):
            pick[(frequencies[bins] >= low) & (frequencies[bins] < high), band] = 1.0
        self.register_buffer("bands", _float32(pick))
        each = [*STATISTICS, *(f"log-power-{low:g}-{high:g}Hz" for low, high in BANDS_HZ)]
        each += [f"segment-{piece}" for piece in range(segments)]
        if segments:
            edges = np.linspace(0, samples, segments + 1).round().astype(int)
            means = np.zeros((samples, segments))
            for piece, (first, last) in enumerate(pairwise(edges)):
                means[first:last, piece] = 1 / (last - first)
            self.register_buffer("means", _float32(means))
        self.names = tuple(f"{lead}:{feature}" for lead in leads for feature in each)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=2)
        centred = x - mean.unsqueeze(2)
        variance = (centred * centred).mean(dim=2)
        statistics = [
            mean,
            torch.sqrt(variance + POWER_FLOOR_MV2),
            x.amin(dim=2),
            x.amax(dim=2),
            torch.sqrt(variance + mean * mean + POWER_FLOOR_MV2),
            (x[:, :, 1:] - x[:, :, :-1]).abs().mean(dim=2),
        ]
        n, leads = x.shape[0], x.shape[1]
        pieces = centred[:, :, : self.pieces * self.piece].reshape(n, leads * self.pieces, self.piece)
        real, imaginary = pieces @ self.cosines, pieces @ self.sines
        density = (real * real + imaginary * imaginary).reshape(n, leads, self.pieces, -1).mean(dim=2)
        power = torch.log(density @ self.bands + POWER_FLOOR_MV2)
        columns = [torch.stack(statistics, dim=2), power]
        if self.segments:
            columns.append(x @ self.means)
        return torch.cat(columns, dim=2).flatten(1)


def _float32(values: np.ndarray) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)
