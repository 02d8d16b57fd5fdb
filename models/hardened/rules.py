"""How bounds pass through each function: the one table that says so, and its rules.

In: :class:`~models.hardened.ends.Ends` and constants, as torch's function of that name takes them. Out: bounds of what
it gives. They hold for what an engine computes in float32, in whatever order it adds (Higham 2002, "Accuracy and
Stability of Numerical Algorithms", section 3.1): a sum of K products is off by at most ``gamma(K)`` times the sum of
their absolute values. Ends are kept in float64 and moved outward by that much. Sums of whole numbers are exact in an
integer kernel, and are exact here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as f

from pulseproof.models.hardened.affine import average_pool, batch_norm, conv, linear, matmul, sums
from pulseproof.models.hardened.ends import Ends, NoBoundsError, ends_of, is_whole, one_of

# Engines compute exp, sigmoid, tanh and the like by approximations of their own; tests/certify measures how far off.
APPROXIMATION = 4e-6
Rule = Callable[..., Any]


def _rounded_once(one: Ends, lower: Tensor, upper: Tensor) -> Ends:
    """The result of one operation of the engine on single numbers."""
    if not one.unit:
        return one.like(lower, upper)
    return one.like(lower - one.unit * lower.abs(), upper + one.unit * upper.abs())


def _moves(function: Callable[..., Any]) -> Rule:
    """A function that only puts numbers elsewhere."""

    def rule(x: Ends, *args: Any, **kwargs: Any) -> Any:
        lower, upper = function(x.lower, *args, **kwargs), function(x.upper, *args, **kwargs)
        if isinstance(lower, tuple | list):
            return tuple(x.like(low, high, x.whole) for low, high in zip(lower, upper, strict=True))
        return x.like(lower, upper, x.whole)

    return rule


def _joins(function: Callable[..., Any]) -> Rule:
    def rule(parts: Sequence[Any], *args: Any, **kwargs: Any) -> Ends:
        lower, upper = zip(*(ends_of(part) for part in parts), strict=True)
        dtype = next(part.dtype for part in parts if isinstance(part, Ends))
        joined = [function([one.to(dtype) for one in side], *args, **kwargs) for side in (lower, upper)]
        return one_of(*parts).like(joined[0], joined[1], all(map(is_whole, parts)))

    return rule


def _rises(function: Callable[..., Tensor], approximated: bool = False, whole: bool = False) -> Rule:
    """A function that does not fall in any of its elements; ``approximated``: an engine has its own way to compute
    it."""

    def rule(x: Ends, *args: Any, **kwargs: Any) -> Ends:
        lower, upper = function(x.lower, *args, **kwargs), function(x.upper, *args, **kwargs)
        if not approximated:
            return x.like(lower, upper, whole and x.whole)
        if not x.unit:
            return x.like(lower, upper)
        return x.like(lower - APPROXIMATION * (1 + lower.abs()), upper + APPROXIMATION * (1 + upper.abs()))

    return rule


def _valley(function: Callable[[Tensor], Tensor], bottom: float) -> Rule:
    """A function that falls up to ``bottom`` and rises behind it."""

    def rule(x: Ends, *args: Any, **kwargs: Any) -> Ends:
        ends = function(x.lower), function(x.upper)
        lower, upper = torch.minimum(*ends), torch.maximum(*ends)
        least = function(torch.full_like(lower, bottom))
        lower = torch.where((x.lower <= bottom) & (x.upper >= bottom), least, lower)
        margin = APPROXIMATION if x.unit else 0.0
        return x.like(lower - margin * (1 + lower.abs()), upper + margin * (1 + upper.abs()))

    return rule


def _gelu(x: Ends, approximate: str = "none") -> Ends:
    if approximate != "none":
        raise NoBoundsError(f"there are no bounds for gelu by {approximate}")
    return _valley(f.gelu, -0.7517916243)(x)


def _scaled(value: Any, by: float) -> Any:
    if not isinstance(value, Ends):
        return value * by
    return _neg(value) if by == -1 else _mul(value, by)


def _add(a: Any, b: Any, *, alpha: float = 1) -> Ends:
    if alpha != 1:
        b = _scaled(b, alpha)
    (la, ua), (lb, ub) = ends_of(a), ends_of(b)
    whole = is_whole(a) and is_whole(b)
    if whole:
        return one_of(a, b).like(la + lb, ua + ub, whole)
    return _rounded_once(one_of(a, b), la + lb, ua + ub)


def _sub(a: Any, b: Any, *, alpha: float = 1) -> Ends:
    return _add(a, _scaled(b, -alpha))


def _neg(x: Ends) -> Ends:
    return x.like(-x.upper, -x.lower, x.whole)


def _mul(a: Any, b: Any) -> Ends:
    if a is b:
        return _square(a)
    (la, ua), (lb, ub) = ends_of(a), ends_of(b)
    if isinstance(a, Ends) != isinstance(b, Ends):
        one, other = la * lb, ua * ub
        lower, upper = torch.minimum(one, other), torch.maximum(one, other)
    else:
        corners = torch.stack(torch.broadcast_tensors(la * lb, la * ub, ua * lb, ua * ub))
        lower, upper = corners.amin(dim=0), corners.amax(dim=0)
    if is_whole(a) and is_whole(b):
        return one_of(a, b).like(lower, upper, True)
    return _rounded_once(one_of(a, b), lower, upper)


def _square(x: Ends) -> Ends:
    lower = torch.where((x.lower <= 0) & (x.upper >= 0), 0.0, torch.minimum(x.lower.abs(), x.upper.abs()))
    return _rounded_once(x, lower**2, x.largest**2)


def _pow(x: Ends, exponent: Any) -> Ends:
    if not isinstance(exponent, Ends) and float(exponent) == 2:
        return _square(x)
    raise NoBoundsError(f"there are no bounds for a power of {exponent}")


def _div(a: Any, b: Any, *, rounding_mode: str | None = None) -> Ends:
    if rounding_mode is not None:
        raise NoBoundsError("there are no bounds for a division that rounds")
    if not isinstance(b, Ends):
        lower, upper = a.lower / b, a.upper / b
        return _rounded_once(a, torch.minimum(lower, upper), torch.maximum(lower, upper))
    crosses = (b.lower <= 0) & (b.upper >= 0)
    inverse = b.like(
        torch.where(crosses, -torch.inf, 1 / b.upper), torch.where(crosses, torch.inf, 1 / b.lower)
    )  # of what may be zero nothing is known
    result = _mul(a, inverse)
    lower = torch.where(torch.isnan(result.lower), -torch.inf, result.lower)
    return b.like(lower, torch.where(torch.isnan(result.upper), torch.inf, result.upper))


def _softmax(log: bool) -> Rule:
    """Of each value: least where it is lowest and the others are highest."""

    def rule(x: Ends, dim: int, *args: Any, **kwargs: Any) -> Ends:
        low, high = x.lower.movedim(dim, -1), x.upper.movedim(dim, -1)
        itself = torch.eye(low.shape[-1], dtype=torch.bool)

        def log_share(mine: Tensor, others: Tensor) -> Tensor:
            rest = others.unsqueeze(-2).expand(*others.shape, others.shape[-1]).masked_fill(itself, -torch.inf)
            return -f.softplus(rest.logsumexp(dim=-1) - mine)

        ends = [log_share(low, high).movedim(-1, dim), log_share(high, low).movedim(-1, dim)]
        lower, upper = ends if log else [end.exp() for end in ends]
        margin = APPROXIMATION if x.unit else 0.0
        return x.like(lower - margin * (1 + lower.abs()), upper + margin * (1 + upper.abs()))

    return rule


def _abs(x: Ends) -> Ends:
    lower = torch.where((x.lower <= 0) & (x.upper >= 0), 0.0, torch.minimum(x.lower.abs(), x.upper.abs()))
    return x.like(lower, x.largest, x.whole)


def _clamp(x: Ends, min: Any = None, max: Any = None) -> Ends:
    whole = x.whole and all(limit is None or is_whole(limit) for limit in (min, max))
    return x.like(x.lower.clamp(min, max), x.upper.clamp(min, max), whole)


def _extreme(function: Callable[..., Tensor]) -> Rule:
    return lambda a, b: one_of(a, b).like(
        function(ends_of(a)[0], ends_of(b)[0]), function(ends_of(a)[1], ends_of(b)[1]), is_whole(a) and is_whole(b)
    )


def _to(x: Ends, *args: Any, **kwargs: Any) -> Ends:
    """To another type of float: ends stay in float64. Whole numbers stay what they are as integers."""
    kinds = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.dtype)]
    if any(not kind.is_floating_point for kind in kinds) and not x.whole:
        raise NoBoundsError("there are no bounds for what is cut to whole numbers")
    return x


def _to_steps(x: Ends, low: float, high: float, masked: bool = True) -> Ends:
    """:func:`twins.rounding.rounded`, which does not fall anywhere."""
    return x.like(torch.round(x.lower).clamp(low, high), torch.round(x.upper).clamp(low, high), True)


def _rescaled(x: Ends, by: Any, low: float, high: float, masked: bool = True, slack: float | None = None) -> Ends:
    """:func:`twins.rounding.rescaled`. A kernel multiplies by a factor of 31 bits and rounds twice, first to a unit
    that is at most twice ``by``, or by a float32 that is itself a product of three (the scales). ``slack``: what
    another kernel can be off by, in steps."""
    found = _mul(x, by)
    size = torch.as_tensor(by, dtype=x.dtype).abs() if slack is None else slack
    return _to_steps(found.widened(size + 4 * x.unit * found.largest) if x.unit else found, low, high, masked)


def _looked_up(x: Ends) -> Ends:
    """:func:`twins.rounding.looked_up`: an integer kernel's table or fixed point, or the step beside it."""
    return x.like(x.lower - 1, x.upper + 1, x.whole)


RULES: dict[str, Rule] = {
    "abs": _abs,
    "add": _add,
    "amax": _rises(torch.amax, whole=True),
    "amin": _rises(torch.amin, whole=True),
    "avg_pool1d": average_pool(f.avg_pool1d),
    "avg_pool2d": average_pool(f.avg_pool2d),
    "batch_norm": batch_norm,
    "cat": _joins(torch.cat),
    "chunk": _moves(torch.chunk),
    "clamp": _clamp,
    "contiguous": lambda x, *args, **kwargs: x,
    "conv1d": conv(f.conv1d, 1),
    "conv2d": conv(f.conv2d, 2),
    "div": _div,
    "dropout": lambda x, p=0.5, training=False, inplace=False: x,
    "elu": _rises(f.elu, approximated=True),
    "exp": _rises(torch.exp, approximated=True),
    "expand": _moves(Tensor.expand),
    "flatten": _moves(torch.flatten),
    "float": _to,
    "gelu": _gelu,
    "hardsigmoid": _rises(f.hardsigmoid, approximated=True),
    "index_select": _moves(torch.index_select),
    "leaky_relu": _rises(f.leaky_relu, approximated=True),
    "linear": linear,
    "log": _rises(torch.log, approximated=True),
    "log_softmax": _softmax(log=True),
    "looked_up": _looked_up,
    "matmul": matmul,
    "max_pool1d": _rises(f.max_pool1d, whole=True),
    "max_pool2d": _rises(f.max_pool2d, whole=True),
    "maximum": _extreme(torch.maximum),
    "mean": sums(mean=True),
    "minimum": _extreme(torch.minimum),
    "movedim": _moves(torch.movedim),
    "mul": _mul,
    "neg": _neg,
    "pad": lambda x, sizes, mode="constant", value=0.0: x.like(
        f.pad(x.lower, sizes, mode, value),
        f.pad(x.upper, sizes, mode, value),
        x.whole and float(value or 0).is_integer(),
    ),
    "permute": _moves(Tensor.permute),
    "pow": _pow,
    "relu": _rises(f.relu, whole=True),
    "rescaled": _rescaled,
    "reshape": _moves(Tensor.reshape),
    "rounded": _to_steps,
    "sigmoid": _rises(torch.sigmoid, approximated=True),
    "softmax": _softmax(log=False),
    "softplus": _rises(f.softplus, approximated=True),
    "sqrt": _rises(torch.sqrt, approximated=True),
    "squeeze": _moves(torch.squeeze),
    "stack": _joins(torch.stack),
    "sub": _sub,
    "sum": sums(mean=False),
    "tanh": _rises(torch.tanh, approximated=True),
    "to": _to,
    "transpose": _moves(torch.transpose),
    "truediv": _div,
    "true_divide": _div,
    "unsqueeze": _moves(torch.unsqueeze),
    "view": _moves(Tensor.reshape),
}
