"""The values of every layer of a torch module, and which layer depends on which.

In: a module and recordings. Out: its innermost modules in the order in which they ran, each with its values, under the
names that ``named_modules`` gives them. What is computed between them by plain functions (a sum, a mean) has no name of
its own, but what depends on what is followed through it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class TorchLayer:
    """``name``: such as ``body.2.0 (Conv1d)``. ``values``: float32 (k, 1, ...), one row a recording. ``behind``: the
    places of all layers on which it depends; ``before``: that of the layer whose very output it takes, None if it takes
    something else. ``plain``: it has no weights."""

    name: str
    values: NDArray[np.float32]
    behind: frozenset[int]
    before: int | None
    plain: bool


def layers_of(module: nn.Module, signals: NDArray[np.float32]) -> tuple[TorchLayer, ...]:
    """The layers of a module on ``signals`` (k, leads, samples) mV, each run by itself.

    Raises ValueError when another recording runs through other layers.
    """
    runs = []
    with torch.inference_mode():
        for signal in signals:
            run = _Run()
            with _hooked(module, run), run:
                module(torch.from_numpy(signal[None].copy()))
            runs.append(run.layers)
    if any([layer.name for layer in run] != [layer.name for layer in runs[0]] for run in runs):
        raise ValueError("which layers run depends on the recording")
    return tuple(
        replace(same[0], values=np.stack([layer.values for layer in same])) for same in zip(*runs, strict=True)
    )


class _Run(TorchFunctionMode):
    """One pass through a module. Every function of torch that runs in it passes on what its arguments depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[TorchLayer] = []
        self._behind: dict[int, frozenset[int]] = {}
        self._maker: dict[int, int] = {}  # tensor -> the layer that gave it
        self._alive: list[Tensor] = []  # so that no other tensor gets its id
        self._inside: list[bool] = []  # of the modules that are running: has another run inside it?

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        self._note(result, self._behind_all((args, kwargs)))
        return result

    def begin(self) -> None:
        self._inside.append(False)

    def end(self, name: str, part: nn.Module, given: Any, result: Any) -> None:
        has_inner = self._inside.pop()
        if self._inside:
            self._inside[-1] = True
        first = next(_tensors(result), None)
        if has_inner or not name or first is None:
            return
        at, behind = len(self.layers), self._behind_all(given)
        before = [self._maker[id(tensor)] for tensor in _tensors(given) if id(tensor) in self._maker]
        self._note(result, behind | {at})
        for tensor in _tensors(result):
            self._maker[id(tensor)] = at
        values = first.detach().to(torch.float32).numpy().copy()  # a layer behind it may work in place
        plain = next(part.parameters(), None) is None
        told = f"{name} ({type(part).__name__})"
        self.layers.append(TorchLayer(told, values, behind, before[0] if before else None, plain))

    def _behind_all(self, values: Any) -> frozenset[int]:
        return frozenset().union(*(self._behind.get(id(tensor), frozenset()) for tensor in _tensors(values)))

    def _note(self, result: Any, behind: frozenset[int]) -> None:
        for tensor in _tensors(result):
            self._alive.append(tensor)
            self._behind[id(tensor)] = behind | self._behind.get(id(tensor), frozenset())


@contextlib.contextmanager
def _hooked(module: nn.Module, run: _Run) -> Iterator[None]:
    """While this is entered, every module inside ``module`` tells the run when it begins and ends."""
    with contextlib.ExitStack() as stack:
        for name, part in module.named_modules():
            begins = part.register_forward_pre_hook(lambda part, given: run.begin())
            ends = part.register_forward_hook(functools.partial(run.end, name))
            stack.callback(begins.remove)
            stack.callback(ends.remove)
        yield


def _tensors(values: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dictionaries."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
