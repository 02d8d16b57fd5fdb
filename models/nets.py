"""The neural systems under test: CNN, LSTM and ECG-Lens, as torch modules from raw millivolts to scores.

Each takes float32 ``(n, leads, samples)`` in millivolts and gives float32 logits ``(n, classes)``. Normalisation is the
first layer, so the exported file needs nothing in front of it. Batch norm stands straight after each convolution (and
nothing else does): exporters fold it away and no float operator is left inside an int8 graph.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """Millivolts to units of the training folds' standard deviation: ``(x - mean) / sigma``.

    One global mean and variance, as the PTB-XL benchmark does (Strodthoff et al. 2020). With ``own_mean`` each lead of
    each recording loses its own mean instead: for recorders whose baseline differs between people.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, own_mean: bool = False) -> None:
        super().__init__()
        self.own_mean = own_mean
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("scale", torch.tensor(4.0))

    def centred(self, x: Tensor) -> Tensor:
        """``x - mean``, still in millivolts."""
        return x - (x.mean(dim=2, keepdim=True) if self.own_mean else self.mean)

    def forward(self, x: Tensor) -> Tensor:
        return self.centred(x) * self.scale


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Convolution, batch norm, ReLU: the one block of all nets here. "Same" padding for odd kernels."""
    layers: list[nn.Module] = [
        nn.Conv1d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm1d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


class MeanOverTime(nn.Module):
    """Mean over time, ``(n, channels, samples)`` to ``(n, channels * pieces)``.

    One piece answers "is it anywhere": right for ten seconds of rhythm. Several equal pieces keep *where*: a window
    around a beat asks about the beat in its middle, not about its neighbours. Samples that do not fill the last piece
    are left out.
    """

    def __init__(self, pieces: int = 1) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        if self.pieces == 1:
            return x.mean(dim=-1)
        n, channels, samples = x.shape
        each = samples // self.pieces
        return x[:, :, : each * self.pieces].reshape(n, channels * self.pieces, each).mean(dim=-1)


class Cnn(nn.Module):
    """A plain convolutional net: five convolutions, each halving the rate but the last, mean over time, one linear
    layer.

    The "CNN" of the ECG-Lens paper is not published; this one is of the size that fits a wearable (about 0.2 M
    parameters at 12 leads).
    """

    def __init__(
        self,
        leads: int,
        samples: int,
        classes: int,
        width: int = 32,
        pieces: int = 1,
        dropout: float = 0.2,
        own_mean: bool = False,
    ) -> None:
        super().__init__()
        del samples  # any length: the mean over time takes it
        self.normalise = Normalise(own_mean)
        self.body = nn.Sequential(
            conv(leads, width, 15, stride=2),
            conv(width, width * 2, 9, stride=2),
            conv(width * 2, width * 3, 7, stride=2),
            conv(width * 3, width * 4, 5, stride=2),
            conv(width * 4, width * 4, 5),
        )
        self.head = nn.Sequential(MeanOverTime(pieces), nn.Dropout(dropout), nn.Linear(width * 4 * pieces, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.normalise(x)))


class Residual(nn.Module):
    """Two convolutions and a shortcut, ReLU after the sum (He et al. 2016; ``resnet1d`` of Strodthoff et al. 2020)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.first = conv(inputs, outputs, kernel, stride)
        self.second = conv(outputs, outputs, kernel, relu=False)
        same = inputs == outputs and stride == 1
        self.shortcut: nn.Module = nn.Identity() if same else conv(inputs, outputs, 1, stride, relu=False)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.second(self.first(x)) + self.shortcut(x))


class EcgLens(nn.Module):
    """ECG-Lens, our reconstruction: a deep residual CNN on the raw 12-lead signal, 17 convolutions on its longest path.

    The paper (arXiv 2604.15822) publishes neither layer table nor code; what it says is kept: raw 12-lead input, a deep
    convolutional network, training with stationary-wavelet augmentation (:mod:`models.augment`).
    ``pulseproof layers ecg-lens`` prints the layer table.
    """

    def __init__(
        self,
        leads: int,
        samples: int,
        classes: int,
        width: int = 32,
        pieces: int = 1,
        dropout: float = 0.3,
        own_mean: bool = False,
    ) -> None:
        super().__init__()
        del samples
        self.normalise = Normalise(own_mean)
        stages: list[nn.Module] = [conv(leads, width, 15, stride=2)]
        channels = width
        for stage, (outputs, kernel) in enumerate([(width, 7), (width * 2, 7), (width * 3, 5), (width * 4, 5)]):
            for block in range(2):
                stages.append(Residual(channels, outputs, kernel, stride=2 if block == 0 and stage > 0 else 1))
                channels = outputs
        self.body = nn.Sequential(*stages)
        self.head = nn.Sequential(MeanOverTime(pieces), nn.Dropout(dropout), nn.Linear(channels * pieces, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.normalise(x)))


class Lstm(nn.Module):
    """One LSTM layer over the signal, cut into patches of ``patch`` samples, and a linear layer on its mean output
    (one mean, or one for each of ``pieces`` equal pieces of the window, see :class:`MeanOverTime`).

    A patch is what the recurrence takes in one step (at 100 Hz and patch 8: 80 ms of all leads), so ten seconds are
    125 steps: an eighth of the latency, and gradients that reach the beginning. The samples that do not fill a last
    patch are left out.
    """

    def __init__(
        self,
        leads: int,
        samples: int,
        classes: int,
        hidden: int = 128,
        patch: int = 8,
        pieces: int = 1,
        dropout: float = 0.3,
        own_mean: bool = False,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.pieces = pieces
        self.steps = samples // patch
        self.normalise = Normalise(own_mean)
        self.lstm = nn.LSTM(leads * patch, hidden, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden * pieces, classes))

    def patches(self, x: Tensor) -> Tensor:
        """``(n, leads, samples)`` to ``(n, steps, leads * patch)``."""
        n, leads = x.shape[0], x.shape[1]
        x = x[:, :, : self.steps * self.patch].reshape(n, leads, self.steps, self.patch)
        return x.permute(0, 2, 1, 3).reshape(n, self.steps, leads * self.patch)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(self.patches(self.normalise(x)))
        n, hidden = x.shape[0], states.shape[2]
        each = self.steps // self.pieces
        kept = states[:, : each * self.pieces].reshape(n, self.pieces, each, hidden)
        return self.head(kept.mean(dim=2).reshape(n, self.pieces * hidden))
