"""A torch module behind what its study says of its input: recordings in millivolts go in, and it sees what it was
trained on.

In: the module of a factory, and ``[models.<name>.input]``. Out: a :class:`FrontedNet`, a module like any other: attacks
go through both, and files get the same prologue before the module's own graph (:mod:`export.fronted`).
"""

from __future__ import annotations

from torch import Tensor, nn

from pulseproof.core.errors import InputError
from pulseproof.core.studies.model_input import InputSpec
from pulseproof.models.front.layouts import Layout
from pulseproof.models.front.module import FrontModule
from pulseproof.models.front.plan import Front, make_front, without_layout


class LaidOut(nn.Module):
    """``net`` fed in its own layout: takes float32 (n, leads, samples)."""

    def __init__(self, net: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.net = net
        self.turned, self.shape = layout.turned, layout.shape[1:]

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2) if self.turned else x
        scores: Tensor = self.net(x.reshape(-1, *self.shape))
        return scores


class FrontedNet(nn.Module):
    """``net`` behind ``front``, which has no weights: float32 (n, leads, samples) mV to scores (n, classes)."""

    def __init__(self, front: Front, net: nn.Module) -> None:
        super().__init__()
        self.front = FrontModule(without_layout(front))
        self.net = net if front.layout.usual else LaidOut(net, front.layout)

    @property
    def plan(self) -> Front:
        """What is done before the module."""
        return self.front.front

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.net(self.front(x))
        return scores


def front_of_net(
    spec: InputSpec | None, shape: tuple[int, int], fs_hz: float, leads: tuple[str, ...], what: str
) -> Front | None:
    """The front of a torch module for recordings ``shape`` (leads, samples); None where nothing stands before it.
    ``what`` begins every message. Raises InputError."""
    if spec is None:
        return None
    if spec.others or spec.clips:
        raise InputError(
            f"{what}: input.{'others' if spec.others else 'clips'} is of files: a module takes the recording alone",
            "leave it out, or hold what stands beside the signal in the factory's module",
        )
    named = spec if spec.layout is not None else spec.model_copy(update={"layout": "n c t"})
    front = make_front(named, None, shape, what, fs_hz, leads)
    return None if front.nothing else front


def fronted(front: Front | None, net: nn.Module) -> nn.Module:
    """``net`` behind ``front``; the net itself where there is none."""
    return net if front is None else FrontedNet(front, net)


def own_net(module: nn.Module) -> nn.Module:
    """What a factory returned: the module itself, without what was put before it."""
    inner = module.net if isinstance(module, FrontedNet) else module
    return inner.net if isinstance(inner, LaidOut) else inner
