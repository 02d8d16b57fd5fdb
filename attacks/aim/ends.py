"""Scores of a torch module before its final sigmoid or softmax: the space in which an attack is made.

In: a module from millivolts to scores. Out: a :class:`Ranked`: scores in the same order, class by class, from before
what squeezes them (why: :mod:`twins.ends`); or the module as it is, where it ends in nothing of the kind. The judge
stays the module itself.

No graph is traced: while the module runs, the functions of torch that it calls are noted, and from its result the way
is followed back through what only moves, clips, shifts or scales numbers. So it does not matter whether the sigmoid is
a layer or a function, nor what the module decides on the way. A part that torch cannot look into (TorchScript) hides
its end; then the scores are attacked as they are, and the audit's flag ``zero-gradient`` tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as f
from torch.overrides import TorchFunctionMode

from pulseproof.models.classical import FeatureModel
from pulseproof.models.held import Held, hold, same_order
from pulseproof.twins.ends import log_odds
from pulseproof.twins.program import Twin

Function = Callable[..., Any]
TRIED = 2  # recordings that show how a module ends
MOST = 2**14  # numbers of one recording that an end can have: what is larger is not noted

SIGMOIDS: Mapping[Function, str] = {
    **dict.fromkeys((torch.sigmoid, Tensor.sigmoid, f.sigmoid, torch.special.expit), "sigmoid"),
    f.logsigmoid: "sigmoid",
    **dict.fromkeys((torch.tanh, Tensor.tanh, f.tanh), "tanh"),
    **dict.fromkeys((f.hardsigmoid, f.softsign), "sigmoid"),
}
SOFTMAXES = {
    *(torch.softmax, Tensor.softmax, f.softmax, torch.special.softmax),
    *(torch.log_softmax, Tensor.log_softmax, f.log_softmax, torch.special.log_softmax),
}
MOVES = {
    *(Tensor.__getitem__, torch.select, Tensor.select, torch.narrow, Tensor.narrow),
    *(torch.index_select, Tensor.index_select, torch.gather, Tensor.gather),
    *(torch.reshape, Tensor.reshape, Tensor.view, torch.flatten, Tensor.flatten, Tensor.unflatten),
    *(torch.squeeze, Tensor.squeeze, torch.unsqueeze, Tensor.unsqueeze),
    *(torch.transpose, Tensor.transpose, torch.permute, Tensor.permute, torch.movedim, Tensor.movedim),
    *(torch.cat, torch.concat, torch.stack, torch.hstack, Tensor.contiguous, torch.clone, Tensor.clone),
    *(Tensor.float, Tensor.double, Tensor.to, Tensor.type),
    *(torch.split, Tensor.split, torch.chunk, Tensor.chunk, torch.unbind, Tensor.unbind),
}
INCREASING = {
    *(torch.clamp, Tensor.clamp, torch.clip, Tensor.clip, torch.clamp_min, Tensor.clamp_min),
    *(torch.clamp_max, Tensor.clamp_max, torch.nan_to_num, Tensor.nan_to_num, f.hardtanh),
    *(torch.log, Tensor.log, torch.log1p, Tensor.log1p, torch.logit, Tensor.logit, torch.exp, Tensor.exp),
    *(torch.special.logit, torch.sqrt, Tensor.sqrt, torch.log10, Tensor.log10, torch.log2, Tensor.log2),
}
# Changed in place, and in the same order as before.
CLIPS_IN_PLACE = {torch.clamp_, Tensor.clamp_, torch.clip_, Tensor.clip_, Tensor.clamp_min_, Tensor.clamp_max_}
# Of scores on one side and a number on the other: the sign with which the result follows the left and the right side;
# None: that of the number.
AFFINE: Mapping[Function, tuple[int | None, int | None]] = {
    **dict.fromkeys((torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__), (1, 1)),
    **dict.fromkeys((torch.sub, Tensor.sub, Tensor.__sub__), (1, -1)),
    **dict.fromkeys((torch.rsub, Tensor.__rsub__), (-1, 1)),
    **dict.fromkeys((torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__), (None, None)),
    **dict.fromkeys((torch.div, Tensor.div, Tensor.__truediv__, torch.true_divide), (None, 0)),
}
NEGATIONS = {torch.neg, Tensor.neg, Tensor.__neg__}
KNOWN = {*SIGMOIDS, *SOFTMAXES, *MOVES, *INCREASING, *AFFINE, *NEGATIONS}


class Ranked(nn.Module):
    """``before``: scores (n, classes) that order recordings as those of ``whole`` do, class by class; ``ends`` names
    what ``whole`` ends in."""

    def __init__(self, before: nn.Module, whole: nn.Module, ends: tuple[str, ...]) -> None:
        super().__init__()
        self.before, self.whole, self.ends = before, whole, ends
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.before(x)
        return scores


class _Before(nn.Module):
    """The scores of ``whole`` before its ends, found anew in every run."""

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        return _run(self.whole, x)[0]


def before_ends(module: nn.Module, signals: Tensor) -> Held:
    """What an attack is made on: the scores of ``module`` before its ends, held against it on recordings
    (k, leads, samples) mV; the module itself where it ends in none, or where the order is not the same, and why."""
    if isinstance(module, FeatureModel):  # its heads give logits, or the trees' own probabilities
        return Held(module, None)
    if isinstance(module, Twin):
        found = module.before_ends()
        return Held(module, None) if found is None else _held(Ranked(found[0], module, found[1]), module, signals)
    with torch.no_grad():
        _, ends = _run(module, signals[:TRIED])
    return _held(Ranked(_Before(module), module, ends), module, signals) if ends else Held(module, None)


def _held(ranked: Ranked, module: nn.Module, signals: Tensor) -> Held:
    return hold(lambda: ranked, module, signals, same_order)


def whole_of(module: nn.Module) -> nn.Module:
    """The module as it is judged."""
    return module.whole if isinstance(module, Ranked) else module


def alike(one: nn.Module, other: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Both before their ends where these are the same, so that one threshold serves both; else both as they are."""
    if isinstance(one, Ranked) and isinstance(other, Ranked) and one.ends == other.ends:
        return one, other
    return whole_of(one), whole_of(other)


def _run(module: nn.Module, x: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """The scores of ``module`` before its ends, and what these are; its own scores where there are none."""
    with _Tape() as tape:
        scores = module(x)
    before = _Way(tape.calls, [])
    result = before.of(scores)
    return result, tuple(before.ends)


@dataclass(frozen=True)
class _Call:
    """``at``: which of several results it is; None for the only one. ``result`` is kept so that no other tensor gets
    its id."""

    function: Function
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    result: Tensor
    at: int | None = None


class _Tape(TorchFunctionMode):
    """Notes the calls that can stand between a net's logits and its scores."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[int, _Call] = {}

    def __torch_function__(
        self, function: Function, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        first = args[0] if args else None
        if isinstance(first, Tensor) and (result is first or result is None):
            if function not in MOVES | CLIPS_IN_PLACE:  # changed in place: what was known of it is over
                self.calls.pop(id(first), None)
        elif function in KNOWN:
            for at, one in enumerate(result if isinstance(result, tuple | list) else [result]):
                if isinstance(one, Tensor) and one.ndim and one[:1].numel() <= MOST:
                    several = isinstance(result, tuple | list)
                    self.calls[id(one)] = _Call(function, args, kwargs, one, at if several else None)
        return result


@dataclass(frozen=True)
class _Way:
    """Back from a tensor through the calls that made it. ``ends``: those that were met."""

    calls: Mapping[int, _Call]
    ends: list[str]

    def of(self, value: Any) -> Any:
        """What orders recordings as ``value`` does, from before an end; ``value`` itself where there is none."""
        call = self.calls.get(id(value)) if isinstance(value, Tensor) else None
        if call is None:
            return value
        if call.function in SIGMOIDS or call.function in SOFTMAXES:
            return self._end(call, value)
        if call.function in MOVES:
            return self._moved(call, value)
        sign, inner = _direction(call)
        before = self.of(inner) if sign else inner
        if before is inner:
            return value
        if sign < 0:
            self.ends.append("minus")
        return before if sign > 0 else -before

    def _end(self, call: _Call, value: Tensor) -> Tensor:
        z: Tensor = call.args[0] if call.args else call.kwargs["input"]
        if call.function in SIGMOIDS:
            self.ends.append(SIGMOIDS[call.function])
            return z
        dim = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else None)
        if dim is None:  # torch's own old rule
            dim = 0 if z.ndim in (0, 1, 3) else 1
        if dim % z.ndim == 0 or z.shape[dim] < 2:  # over the recordings, or of one number
            return value
        self.ends.append("softmax")
        return log_odds(z, dim)

    def _moved(self, call: _Call, value: Tensor) -> Tensor:
        first, *rest = call.args
        inner = list(first) if isinstance(first, tuple | list) else [first]
        before = [self.of(one) for one in inner]
        if all(new is old for new, old in zip(before, inner, strict=True)):
            return value
        moved = call.function(before if isinstance(first, tuple | list) else before[0], *rest, **call.kwargs)
        result: Tensor = moved if call.at is None else moved[call.at]
        return result


def _direction(call: _Call) -> tuple[int, Any]:
    """How a result follows the one tensor that it was made of (1: it rises, -1: it falls, 0: neither is sure)."""
    numbers = [*call.args, *call.kwargs.values()]
    many = [at for at, one in enumerate(numbers) if _many(one)]
    if len(many) != 1 or many[0] >= len(call.args):
        return 0, None
    at, inner = many[0], numbers[many[0]]
    if call.function in INCREASING:
        return int(at == 0), inner
    if call.function in NEGATIONS:
        return -1, inner
    if len(numbers) != 2:  # a factor or a rounding beside the two
        return 0, None
    sign = AFFINE[call.function][at]
    number = float(numbers[1 - at])
    return (number > 0) - (number < 0) if sign is None else sign, inner


def _many(value: Any) -> bool:
    """True for a tensor of more than one number: a single one is a constant, such as a temperature."""
    return isinstance(value, Tensor) and value.numel() != 1
