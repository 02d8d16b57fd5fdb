"""What the tests of firmware share: a small full-integer LSTM, and LiteRT's reference kernels on it and on others."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pulseproof.export.job import ExportJob
from pulseproof.export.tflite.lstm_int8 import write_full
from pulseproof.firmware.graph import NetTensor
from pulseproof.firmware.project import MadeProject
from pulseproof.models.nets import Lstm

STRANGERS = Path(__file__).parents[1] / "fixtures" / "strangers"
LEADS, SAMPLES, CLASSES = 1, 64, 3


def write_lstm(out: Path) -> Path:
    """A small LSTM as ``tflite-int8-full``, without any converter."""
    torch.manual_seed(4)
    net = Lstm(LEADS, SAMPLES, CLASSES, hidden=8).eval()
    signals = np.random.default_rng(5).normal(0, 0.5, (24, LEADS, SAMPLES)).astype(np.float32)
    write_full(ExportJob(net, (LEADS, SAMPLES), out, out, signals, "minmax"))
    return out


def recordings(entrance: NetTensor, n: int = 3) -> NDArray[np.int8]:
    """Noise over the whole range of an int8 tensor."""
    noise = np.random.default_rng(6).normal(entrance.zero, 50, (n, *entrance.shape[1:]))
    return np.clip(np.rint(noise), -128, 127).astype(np.int8)


class Reference:
    """A file on LiteRT's reference kernels, every tensor of it kept."""

    def __init__(self, path: Path, made: MadeProject) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.made = made
        self.interpreter = Interpreter(
            str(path),
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
        )
        self.interpreter.allocate_tensors()

    def run(self, recording: NDArray[np.int8]) -> None:
        """One int8 recording; a file that takes floats gets those that it rounds to these numbers."""
        detail: dict[str, Any] = self.interpreter.get_input_details()[0]
        entrance = self.made.entrance
        given = recording.reshape(detail["shape"])
        if detail["dtype"] is np.float32:
            given = (given.astype(np.float32) - entrance.zero) * entrance.scale
        self.interpreter.reset_all_variables()
        self.interpreter.set_tensor(detail["index"], given.astype(detail["dtype"]))
        self.interpreter.invoke()
        assert (self.interpreter.get_tensor(entrance.at) == recording.reshape(entrance.shape)).all()

    def tensors(self) -> Iterator[tuple[str, NDArray[np.int8]]]:
        """(kind of operator, what it gave), in their order."""
        for kind, output in zip(self.made.kinds, self.made.outputs, strict=True):
            yield kind, self.interpreter.get_tensor(output.at).ravel()


def given_by(program: Path, signals: NDArray[np.int8]) -> NDArray[np.int8]:
    """What a program for this machine writes."""
    done = subprocess.run([program], input=signals.tobytes(), capture_output=True, check=True, timeout=60)
    return np.frombuffer(done.stdout, np.int8)
