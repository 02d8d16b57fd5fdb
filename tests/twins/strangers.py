"""Models as strangers make them (``tests/fixtures/strangers``), for the tests that open them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from tests.fixtures.strangers.recordings import beats
from tests.fixtures.strangers.torch_nets import NETS

FOLDER = Path(__file__).parents[1] / "fixtures" / "strangers"
FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".onnx", ".tflite"))


def of_torch(name: str) -> bool:
    return name.startswith("torch-")


def as_taken(name: str, signals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Recordings (n, leads, samples) as a file takes them: Keras puts the samples before the leads."""
    return signals if of_torch(name) else np.ascontiguousarray(signals.transpose(0, 2, 1))


def drawn(name: str, count: int, seed: int = 7) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    signals, labels = beats(count, seed)
    return as_taken(name, signals), labels


def original(name: str) -> nn.Module:
    """The torch module that a file was exported from."""
    net = name.removeprefix("torch-").rpartition("-")[0]
    module = NETS[net]()
    module.load_state_dict(load_file(FOLDER / f"torch-{net}.safetensors"))
    return module.eval().requires_grad_(False)
