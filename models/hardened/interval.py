"""Numbers known by their bounds, which pass through a twin's own operators and come out as bounds of its scores.

In: an :class:`Interval`, the lowest and the highest value of every sample of a recording. Out: an interval of whatever
a torch function computes of it. An interval takes torch's functions by its protocol (``__torch_function__``), so that
the operators of :mod:`twins`, and the layers of a torch module, run on it as they are: what bounds a file's scores is
the file's own graph, roundings and clamps included, and not a second reading of it (interval propagation: Gowal et al.
2018, arXiv 1810.12715). A function that has no rule here is refused by name.

Bounds hold for what an engine computes in float32, in whatever order it adds (Higham 2002, "Accuracy and Stability of
Numerical Algorithms", section 3.1): a sum of K products is off by at most ``gamma(K)`` times the sum of their absolute
values. Ends are kept in float64 and moved outward by that much. Sums of whole numbers are exact in an integer kernel,
and are exact here. ``unit = 0`` leaves the margins away: for training, where bounds are a loss and not a promise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as f

UNIT = 2.0**-24  # of float32: the largest relative error of one operation
# Engines compute exp, sigmoid, tanh and the like by approximations of their own; tests/certify measures how far off.
APPROXIMATION = 4e-6
Rule = Callable[..., Any]


class NoBoundsError(Exception):
    """A function of a signal that has no rule here, by its name."""


class Interval:
    """``lower`` and ``upper``: tensors of one shape, in the unit of what they bound. ``unit``: the relative error of
    one operation of the engine (0: none is counted). ``whole``: all values between them are whole numbers."""

    def __init__(self, lower: Tensor, upper: Tensor, unit: float = UNIT, whole: bool = False) -> None:
        self.lower, self.upper, self.unit, self.whole = lower, upper, unit, whole

    def like(self, lower: Tensor, upper: Tensor, whole: bool = False) -> Interval:
        """Other bounds, for the same engine."""
        return Interval(lower, upper, self.unit, whole)

    @property
    def shape(self) -> torch.Size:
        return self.lower.shape

    @property
    def ndim(self) -> int:
        return self.lower.ndim

    @property
    def dtype(self) -> torch.dtype:
        return self.lower.dtype

    @property
    def device(self) -> torch.device:
        return self.lower.device

    @property
    def T(self) -> Interval:  # noqa: N802 (torch's name)
        return self.like(self.lower.T, self.upper.T, self.whole)

    @property
    def largest(self) -> Tensor:
        """The largest absolute value that an element can have."""
        return torch.maximum(self.lower.abs(), self.upper.abs())

    def size(self, dim: int | None = None) -> Any:
        return self.lower.shape if dim is None else self.lower.shape[dim]

    def dim(self) -> int:
        return self.lower.ndim

    def numel(self) -> int:
        return self.lower.numel()

    def widened(self, by: Tensor | float) -> Interval:
        """Moved outward by ``by``, which is not negative."""
        return self.like(self.lower - by, self.upper + by)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return apply(func.__name__.strip("_"), *args, **(kwargs or {}))

    def __getitem__(self, where: Any) -> Interval:
        return self.like(self.lower[where], self.upper[where], self.whole)

    def __add__(self, other: Any) -> Any:
        return apply("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return apply("add", self, other)

    def __sub__(self, other: Any) -> Any:
        return apply("sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return apply("sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return apply("mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return apply("mul", self, other)

    def __truediv__(self, other: Any) -> Any:
        return apply("div", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return apply("div", other, self)

    def __matmul__(self, other: Any) -> Any:
        return apply("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return apply("matmul", other, self)

    def __neg__(self) -> Any:
        return apply("neg", self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in RULES:
            raise AttributeError(name)
        return lambda *args, **kwargs: apply(name, self, *args, **kwargs)


def apply(name: str, *args: Any, **kwargs: Any) -> Any:
    """What the torch function of this name gives of arguments of which some are intervals."""
    rule = RULES.get(name)
    if rule is None:
        raise NoBoundsError(f"there are no bounds for {name} of a signal")
    return rule(*args, **kwargs)


def gamma(terms: int, unit: float) -> float:
    """The relative error of a sum of ``terms`` products, whatever its order."""
    return terms * unit / (1 - terms * unit)


def _unit(*values: Any) -> float:
    return max(value.unit for value in values if isinstance(value, Interval))


def _ends(value: Any) -> tuple[Any, Any]:
    return (value.lower, value.upper) if isinstance(value, Interval) else (value, value)


def _is_whole(value: Any) -> bool:
    """True where all numbers are whole: of an interval as it says, of a constant as it is."""
    if isinstance(value, Interval):
        return value.whole
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool((value == value.round()).all())
    return float(value).is_integer()


def _rounded_once(lower: Tensor, upper: Tensor, unit: float) -> Interval:
    """The result of one operation of the engine on single numbers."""
    if not unit:
        return Interval(lower, upper, unit)
    return Interval(lower - unit * lower.abs(), upper + unit * upper.abs(), unit)


def _moves(function: Callable[..., Any]) -> Rule:
    """A function that only puts numbers elsewhere."""

    def rule(x: Interval, *args: Any, **kwargs: Any) -> Any:
        lower, upper = function(x.lower, *args, **kwargs), function(x.upper, *args, **kwargs)
        if isinstance(lower, tuple | list):
            return tuple(x.like(low, high, x.whole) for low, high in zip(lower, upper, strict=True))
        return x.like(lower, upper, x.whole)

    return rule


def _joins(function: Callable[..., Any]) -> Rule:
    def rule(parts: Sequence[Any], *args: Any, **kwargs: Any) -> Interval:
        lower, upper = zip(*(_ends(part) for part in parts), strict=True)
        dtype = next(part.dtype for part in parts if isinstance(part, Interval))
        joined = [function([one.to(dtype) for one in side], *args, **kwargs) for side in (lower, upper)]
        return Interval(joined[0], joined[1], _unit(*parts), all(map(_is_whole, parts)))

    return rule


def _rises(function: Callable[..., Tensor], approximated: bool = False, whole: bool = False) -> Rule:
    """A function that does not fall in any of its elements; ``approximated``: an engine has its own way to compute
    it."""

    def rule(x: Interval, *args: Any, **kwargs: Any) -> Interval:
        lower, upper = function(x.lower, *args, **kwargs), function(x.upper, *args, **kwargs)
        if not approximated:
            return x.like(lower, upper, whole and x.whole)
        if not x.unit:
            return x.like(lower, upper)
        return x.like(lower - APPROXIMATION * (1 + lower.abs()), upper + APPROXIMATION * (1 + upper.abs()))

    return rule


def _valley(function: Callable[[Tensor], Tensor], bottom: float) -> Rule:
    """A function that falls up to ``bottom`` and rises behind it."""

    def rule(x: Interval, *args: Any, **kwargs: Any) -> Interval:
        ends = function(x.lower), function(x.upper)
        lower, upper = torch.minimum(*ends), torch.maximum(*ends)
        least = function(torch.full_like(lower, bottom))
        lower = torch.where((x.lower <= bottom) & (x.upper >= bottom), least, lower)
        margin = APPROXIMATION if x.unit else 0.0
        return x.like(lower - margin * (1 + lower.abs()), upper + margin * (1 + upper.abs()))

    return rule


def _add(a: Any, b: Any, *, alpha: float = 1) -> Interval:
    if alpha != 1:
        b = b * alpha
    (la, ua), (lb, ub) = _ends(a), _ends(b)
    whole = _is_whole(a) and _is_whole(b)
    if whole:
        return Interval(la + lb, ua + ub, _unit(a, b), whole)
    return _rounded_once(la + lb, ua + ub, _unit(a, b))


def _sub(a: Any, b: Any, *, alpha: float = 1) -> Interval:
    return _add(a, -b if alpha == 1 else b * -alpha)


def _neg(x: Interval) -> Interval:
    return x.like(-x.upper, -x.lower, x.whole)


def _mul(a: Any, b: Any) -> Interval:
    if a is b:
        return _square(a)
    (la, ua), (lb, ub) = _ends(a), _ends(b)
    if isinstance(a, Interval) != isinstance(b, Interval):
        one, other = la * lb, ua * ub
        lower, upper = torch.minimum(one, other), torch.maximum(one, other)
    else:
        corners = torch.stack(torch.broadcast_tensors(la * lb, la * ub, ua * lb, ua * ub))
        lower, upper = corners.amin(dim=0), corners.amax(dim=0)
    if _is_whole(a) and _is_whole(b):
        return Interval(lower, upper, _unit(a, b), True)
    return _rounded_once(lower, upper, _unit(a, b))


def _square(x: Interval) -> Interval:
    lower = torch.where((x.lower <= 0) & (x.upper >= 0), 0.0, torch.minimum(x.lower.abs(), x.upper.abs()))
    return _rounded_once(lower**2, x.largest**2, x.unit)


def _pow(x: Interval, exponent: Any) -> Interval:
    if not isinstance(exponent, Interval) and float(exponent) == 2:
        return _square(x)
    raise NoBoundsError(f"there are no bounds for a power of {exponent}")


def _div(a: Any, b: Any, *, rounding_mode: str | None = None) -> Interval:
    if rounding_mode is not None:
        raise NoBoundsError("there are no bounds for a division that rounds")
    if not isinstance(b, Interval):
        lower, upper = a.lower / b, a.upper / b
        return _rounded_once(torch.minimum(lower, upper), torch.maximum(lower, upper), a.unit)
    crosses = (b.lower <= 0) & (b.upper >= 0)
    inverse = b.like(
        torch.where(crosses, -torch.inf, 1 / b.upper), torch.where(crosses, torch.inf, 1 / b.lower)
    )  # of what may be zero nothing is known
    result = _mul(a, inverse)
    lower = torch.where(torch.isnan(result.lower), -torch.inf, result.lower)
    return b.like(lower, torch.where(torch.isnan(result.upper), torch.inf, result.upper))


def _affine(x: Interval, weight: Tensor, bias: Tensor | None, terms: int, run: Callable[..., Tensor]) -> Interval:
    """``run(x, weight)`` plus ``bias`` (of the result's shape), by centre and radius. ``terms``: products a sum has."""
    weight = weight.to(x.dtype)
    centre, radius = (x.lower + x.upper) / 2, (x.upper - x.lower) / 2
    exact = not x.unit or (x.whole and _is_whole(weight) and (bias is None or _is_whole(bias)))
    if not exact:
        radius = radius + gamma(terms + 2, x.unit) * x.largest
    middle, around = run(centre, weight), run(radius, weight.abs())
    if bias is not None:
        bias = bias.to(x.dtype)
        middle = middle + bias
        # Whole biases beyond 2**24 were rounded on their way into a twin's float32.
        around = around + (gamma(terms + 2, x.unit) if not exact else x.unit * (bias.abs() >= 2**24)) * bias.abs()
    return x.like(middle - around, middle + around, exact and bool(x.unit))


def _constant(what: str, *values: Any) -> None:
    if any(isinstance(value, Interval) for value in values):
        raise NoBoundsError(f"there are no bounds for {what} whose weights depend on the signal")


def _conv(function: Callable[..., Tensor], axes: int) -> Rule:
    def rule(
        x: Interval,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Interval:
        _constant("a convolution", weight, bias)
        shaped = None if bias is None else bias.reshape(-1, *[1] * axes)

        def run(values: Tensor, weights: Tensor) -> Tensor:
            return function(values, weights, None, stride, padding, dilation, groups)

        return _affine(x, weight, shaped, weight[0].numel(), run)

    return rule


def _linear(x: Interval, weight: Tensor, bias: Tensor | None = None) -> Interval:
    _constant("a dense layer", weight, bias)
    return _affine(x, weight, bias, weight.shape[-1], f.linear)


def _matmul(a: Any, b: Any) -> Interval:
    if isinstance(a, Interval) and isinstance(b, Interval):
        raise NoBoundsError("there are no bounds for a product of two signals")
    if isinstance(a, Interval):
        return _affine(a, b, None, b.shape[0] if b.ndim == 1 else b.shape[-2], torch.matmul)
    return _affine(b, a, None, a.shape[-1], lambda values, weights: torch.matmul(weights, values))


def _batch_norm(
    x: Interval,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Interval:
    if training or mean is None or variance is None:
        raise NoBoundsError("there are no bounds for a batch norm by the statistics of its batch")
    shape = [-1] + [1] * (x.ndim - 2)
    factor = (variance.to(x.dtype) + eps).rsqrt() * (1.0 if weight is None else weight.to(x.dtype))
    shift = (0.0 if bias is None else bias.to(x.dtype)) - mean.to(x.dtype) * factor
    lower, upper = x.lower * factor.reshape(shape), x.upper * factor.reshape(shape)
    found = x.like(
        torch.minimum(lower, upper) + shift.reshape(shape), torch.maximum(lower, upper) + shift.reshape(shape)
    )
    if not x.unit:
        return found
    return found.widened(
        gamma(6, x.unit)
        * (
            (x.largest + mean.abs().reshape(shape)) * factor.abs().reshape(shape)
            + (0.0 if bias is None else bias.abs().reshape(shape))
        )
    )


def _sums(mean: bool) -> Rule:
    def rule(x: Interval, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Interval:
        axes = tuple(range(x.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
        count = 1
        for axis in axes:
            count *= x.shape[axis]
        lower, upper = x.lower.sum(dim=axes, keepdim=keepdim), x.upper.sum(dim=axes, keepdim=keepdim)
        margin = 0.0 if x.whole and not mean else gamma(count + 1, x.unit) * x.largest.sum(dim=axes, keepdim=keepdim)
        by = count if mean else 1
        return x.like((lower - margin) / by, (upper + margin) / by, x.whole and not mean)

    return rule


def _average_pool(function: Callable[..., Tensor]) -> Rule:
    def rule(x: Interval, kernel_size: Any, *args: Any, **kwargs: Any) -> Interval:
        count = kernel_size if isinstance(kernel_size, int) else int(torch.tensor(kernel_size).prod())
        lower, upper = (function(end, kernel_size, *args, **kwargs) for end in (x.lower, x.upper))
        margin = gamma(count + 1, x.unit) * function(x.largest, kernel_size, *args, **kwargs) if x.unit else 0.0
        return x.like(lower - margin, upper + margin)

    return rule


def _softmax(log: bool) -> Rule:
    """Of each value: least where it is lowest and the others are highest."""

    def rule(x: Interval, dim: int, *args: Any, **kwargs: Any) -> Interval:
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


def _abs(x: Interval) -> Interval:
    lower = torch.where((x.lower <= 0) & (x.upper >= 0), 0.0, torch.minimum(x.lower.abs(), x.upper.abs()))
    return x.like(lower, x.largest, x.whole)


def _clamp(x: Interval, min: Any = None, max: Any = None) -> Interval:
    whole = x.whole and all(limit is None or _is_whole(limit) for limit in (min, max))
    return x.like(x.lower.clamp(min, max), x.upper.clamp(min, max), whole)


def _extreme(function: Callable[..., Tensor]) -> Rule:
    return lambda a, b: Interval(
        function(_ends(a)[0], _ends(b)[0]),
        function(_ends(a)[1], _ends(b)[1]),
        _unit(a, b),
        _is_whole(a) and _is_whole(b),
    )


def _to(x: Interval, *args: Any, **kwargs: Any) -> Interval:
    """To another type of float: ends stay in float64. Whole numbers stay what they are as integers."""
    kinds = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.dtype)]
    if any(not kind.is_floating_point for kind in kinds) and not x.whole:
        raise NoBoundsError("there are no bounds for what is cut to whole numbers")
    return x


def _to_steps(x: Interval, low: float, high: float, masked: bool = True) -> Interval:
    """:func:`twins.rounding.rounded`, which does not fall anywhere."""
    return x.like(torch.round(x.lower).clamp(low, high), torch.round(x.upper).clamp(low, high), True)


def _rescaled(x: Interval, by: Any, low: float, high: float, masked: bool = True) -> Interval:
    """:func:`twins.rounding.rescaled`. A kernel multiplies by a factor of 31 bits and rounds twice, first to a unit
    that is at most twice ``by``, or by a float32 that is itself a product of three (the scales)."""
    found = _mul(x, by)
    size = torch.as_tensor(by, dtype=x.dtype).abs()
    return _to_steps(found.widened(size + 4 * x.unit * found.largest) if x.unit else found, low, high, masked)


def _looked_up(x: Interval) -> Interval:
    """:func:`twins.rounding.looked_up`: an integer kernel's table or fixed point, or the step beside it."""
    return x.like(x.lower - 1, x.upper + 1, x.whole)


RULES: dict[str, Rule] = {
    "abs": _abs,
    "add": _add,
    "amax": _rises(torch.amax, whole=True),
    "amin": _rises(torch.amin, whole=True),
    "avg_pool1d": _average_pool(f.avg_pool1d),
    "avg_pool2d": _average_pool(f.avg_pool2d),
    "batch_norm": _batch_norm,
    "cat": _joins(torch.cat),
    "chunk": _moves(torch.chunk),
    "clamp": _clamp,
    "contiguous": lambda x, *args, **kwargs: x,
    "conv1d": _conv(f.conv1d, 1),
    "conv2d": _conv(f.conv2d, 2),
    "div": _div,
    "dropout": lambda x, p=0.5, training=False, inplace=False: x,
    "elu": _rises(f.elu, approximated=True),
    "exp": _rises(torch.exp, approximated=True),
    "expand": _moves(Tensor.expand),
    "flatten": _moves(torch.flatten),
    "float": _to,
    "gelu": _valley(f.gelu, -0.7517916243),
    "hardsigmoid": _rises(f.hardsigmoid, approximated=True),
    "index_select": _moves(torch.index_select),
    "leaky_relu": _rises(f.leaky_relu, approximated=True),
    "linear": _linear,
    "log": _rises(torch.log, approximated=True),
    "log_softmax": _softmax(log=True),
    "looked_up": _looked_up,
    "matmul": _matmul,
    "max_pool1d": _rises(f.max_pool1d, whole=True),
    "max_pool2d": _rises(f.max_pool2d, whole=True),
    "maximum": _extreme(torch.maximum),
    "mean": _sums(mean=True),
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
    "sum": _sums(mean=False),
    "tanh": _rises(torch.tanh, approximated=True),
    "to": _to,
    "transpose": _moves(torch.transpose),
    "truediv": _div,
    "true_divide": _div,
    "unsqueeze": _moves(torch.unsqueeze),
    "view": _moves(Tensor.reshape),
}
