"""A device that is none: tensors that say they are on ``cuda:0``, and an error where one of them meets one that is not.

In: a test inside :class:`FarAway`. Out: the same numbers as on the processor, since they are computed there, and what
a real device would refuse is refused: two tensors on different devices in one operation, ``numpy`` of what is far away.
So code that forgets to move something fails without a card. What a card computes otherwise it does not show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_map

CARD = torch.device("cuda", 0)


class Far(Tensor):
    """A tensor whose numbers lie in ``near``."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> Far:
        made: Far = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, near.size(), strides=near.stride(), storage_offset=near.storage_offset(), dtype=near.dtype
        )
        made.near = near
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return CARD

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}

        def near(value: Any) -> Any:
            if isinstance(value, Far):
                return value.near
            if isinstance(value, Tensor) and value.ndim:
                raise RuntimeError(f"{func}: expected all tensors to be on the same device, cuda:0 and cpu")
            return value

        found = func(*tree_map(near, args), **tree_map(near, kwargs))
        away = tree_map(lambda value: Far(value) if isinstance(value, Tensor) else value, found)
        return return_and_correct_aliasing(func, args, kwargs, away)


class _Go(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, near: Tensor) -> Tensor:
        return Far(near.detach().clone())

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        assert isinstance(gradient, Far)
        return gradient.near


class _Come(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, far: Far) -> Tensor:
        return far.near.detach().clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return Far(gradient)


class FarAway(TorchFunctionMode):
    """Within it ``cuda:0`` is there. ``went``: the shapes of what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.went: list[tuple[int, ...]] = []

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (Tensor.to, Tensor.cpu):
            where = "cpu" if func is Tensor.cpu else kwargs.get("device", args[1] if len(args) > 1 else None)
            if isinstance(where, str | torch.device):
                return self._sent(args[0], torch.device(where))
        where = kwargs.get("device")
        if where is not None and torch.device(where).type == "cuda":
            return self._sent(func(*args, **kwargs | {"device": "cpu"}), CARD)
        return func(*args, **kwargs)

    def _sent(self, tensor: Tensor, where: torch.device) -> Tensor:
        is_far = isinstance(tensor, Far)
        if (where.type == "cuda") == is_far:
            return tensor
        if is_far:
            come: Tensor = _Come.apply(tensor)
            return come
        self.went.append(tuple(tensor.shape))
        if not (torch.is_grad_enabled() and tensor.requires_grad):
            return Far(tensor.detach().clone())
        gone: Tensor = _Go.apply(tensor)
        return gone


def with_a_card(monkeypatch: pytest.MonkeyPatch) -> FarAway:
    """``cuda:0`` as the only device that torch sees, with little memory free; a context in which it is."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    # Otherwise a parameter keeps its class and gets the bare storage of what is far away.
    monkeypatch.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (1 << 30, 1 << 31))
    return FarAway()
