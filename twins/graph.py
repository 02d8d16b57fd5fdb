"""The graph of a file as a torch module: steps in the order of the file, each a function of tensors.

In: the steps that a reader (:mod:`twins.onnx_files`, :mod:`twins.tflite_files`) adds one by one. Out: a :class:`Twin`.

Files are made for one recording at a time, and operators such as Reshape have that in their shapes. So every tensor
here, constants too, has one dimension more in front than in the file: n for what depends on the recording, 1 for what
does not. An axis of the file is counted one further, and batches never meet a shape of the file.

Quantized tensors are held as the real numbers that their integers stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Run = Callable[..., Tensor | tuple[Tensor, ...]]
TRIED = 2  # recordings on which steps are tried as they are added: a step that mixes recordings is found out


class NotCoveredError(ValueError):
    """The file holds something that is not computed here as its engine does. One sentence, without the file's name."""


@dataclass(frozen=True)
class Step:
    """``run`` takes the values of ``inputs`` (None for one left out) and gives those of ``outputs``. ``last``: values
    that no later step needs."""

    run: Run
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    last: tuple[str, ...] = ()


class Twin(nn.Module):
    """A file's arithmetic with gradients: float32 ``(n, leads, samples)`` mV to float32 ``(n, classes)``.

    ``shape``: (leads, samples). ``output_step``: how far one step of the file's last rounding moves a score at most;
    None where scores do not move in steps. Frozen: no parameters, the file's numbers are buffers. It computes in
    float32 wherever it is called, since half floats would round what the file does not.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        steps: Sequence[Step],
        constants: Mapping[str, Tensor],
        ends: tuple[str, str],
        output_step: float | None,
    ) -> None:
        super().__init__()
        self.shape, self.output_step = shape, output_step
        self._signal, self._scores = ends
        self._steps = _with_last(steps, self._scores)
        self._held = {name: f"constant_{at}" for at, name in enumerate(constants)}
        for name, buffer in self._held.items():
            self.register_buffer(buffer, constants[name])

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError for signals of another shape."""
        if x.ndim != 3 or tuple(x.shape[1:]) != self.shape:
            raise ValueError(f"signals are {tuple(x.shape)}, the file takes (n, {self.shape[0]}, {self.shape[1]})")
        with torch.autocast(x.device.type, enabled=False):
            values = {name: self.get_buffer(buffer) for name, buffer in self._held.items()}
            values[self._signal] = x.float().unsqueeze(1)
            for step in self._steps:
                made = step.run(*(None if name is None else values[name] for name in step.inputs))
                values.update(zip(step.outputs, made if isinstance(made, tuple) else (made,), strict=False))
                for name in step.last:
                    values.pop(name, None)
            return values[self._scores].flatten(1)


class Walk:
    """A twin being built. A step that depends on no recording is computed once, here, and becomes a constant.

    ``rounded``: how far one step of a tensor's rounding moves its numbers, for tensors that are rounded or follow
    linearly from one that is.
    """

    def __init__(self, signal: str, shape: tuple[int, int]) -> None:
        self.shape, self.signal = shape, signal
        self.constants: dict[str, Tensor] = {}
        self.rounded: dict[str, float] = {}
        self._tried = {signal: torch.zeros(TRIED, 1, *shape)}
        self._steps: list[Step] = []

    def hold(self, name: str, values: Tensor) -> None:
        """Add a constant, in the shape of the file."""
        self.constants[name] = values.unsqueeze(0)

    def is_constant(self, name: str) -> bool:
        return name in self.constants

    def value(self, name: str) -> Tensor:
        """A constant (1, ...), or what a tensor was when the steps were tried (2, ...)."""
        return self.constants[name] if name in self.constants else self._tried[name]

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor in the file."""
        return tuple(self.value(name).shape[1:])

    def knows(self, name: str) -> bool:
        return name in self.constants or name in self._tried

    def add(self, run: Run, inputs: Sequence[str | None], outputs: Sequence[str]) -> None:
        """Try a step, and keep it."""
        step = Step(run, tuple(inputs), tuple(outputs))
        with torch.no_grad():
            made = run(*(None if name is None else self.value(name) for name in inputs))
        fixed = all(name is None or name in self.constants for name in inputs)
        for name, value in zip(outputs, made if isinstance(made, tuple) else (made,), strict=False):
            if fixed:
                self.constants[name] = value
            elif len(value) == TRIED:
                self._tried[name] = value
            else:
                raise ValueError(f"{name} mixes recordings")
        if not fixed:
            self._steps.append(step)

    def finish(self, scores: str) -> Twin:
        """The twin whose output is ``scores``. Raises NotCoveredError when they are not (1, classes)."""
        if self.is_constant(scores):
            raise NotCoveredError("its scores do not depend on the signal")
        if len(self.shape_of(scores)) != 2 or self.shape_of(scores)[0] != 1:
            raise NotCoveredError(f"its scores are {self.shape_of(scores)}, not (1, classes)")
        used = {name for step in self._steps for name in step.inputs if name is not None}
        constants = {name: values for name, values in self.constants.items() if name in used}
        ends, step = (self.signal, scores), self.rounded.get(scores)
        return Twin(self.shape, self._steps, constants, ends, step).eval()


def _with_last(steps: Sequence[Step], scores: str) -> list[Step]:
    """The steps, each with the values that may be forgotten after it."""
    seen, found = {scores}, []
    for step in reversed(steps):
        names = {*step.outputs, *(name for name in step.inputs if name is not None)}
        found.append(Step(step.run, step.inputs, step.outputs, tuple(sorted(names - seen))))
        seen |= names
    return found[::-1]
