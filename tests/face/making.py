"""A net that was trained for seconds on synthetic recordings of one lead, and the recordings, for the face's tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pulseproof.ecg.recordings import to_millivolts
from pulseproof.ecg.synthetic import ADC_STEP_MV, draw, to_steps


@dataclass(frozen=True)
class Made:
    """``module`` takes (k, 2, 250) mV; ``signals_mv`` float32 (n, 2, 250), ``labels`` uint8 (n, 2) NORM and MI,
    ``patients`` int64 (n,); ``training_mv``: other recordings of the same kind."""

    module: nn.Module
    signals_mv: NDArray[np.float32]
    labels: NDArray[np.uint8]
    patients: NDArray[np.int64]
    training_mv: NDArray[np.float32]


def small_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 8, 9, stride=4),
        nn.ReLU(),
        nn.Conv1d(8, 8, 9, stride=4),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )


def recordings(seed: int, n: int) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
    drawn = [draw(seed, index) for index in range(n)]
    steps = to_steps(np.stack([one.signals_mv[[1, 7], 100:350] for one in drawn]))
    labels = np.stack([one.labels[:2] for one in drawn]).astype(np.uint8)
    return to_millivolts(steps, ADC_STEP_MV), labels, np.array([one.patient for one in drawn])


def make() -> Made:
    torch.manual_seed(1)
    training_mv, truth, _ = recordings(1, 200)
    signals_mv, labels, patients = recordings(2, 80)
    net = small_net()
    x, y = torch.from_numpy(training_mv), torch.from_numpy(truth).float()
    optimizer = torch.optim.AdamW(net.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(x), y).backward()
        optimizer.step()
    return Made(net.eval(), signals_mv, labels, patients, training_mv)
