"""Rounding and its gradient, which must stop where the quantizer clips."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pulseproof.twins.rounding import rounded

VALUES = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20)
LIMITS = st.tuples(st.integers(-300, 0), st.integers(1, 300))


@given(VALUES, LIMITS, st.booleans())
def test_values_are_the_nearest_steps_within_the_limits(
    values: list[float], limits: tuple[int, int], masked: bool
) -> None:
    low, high = limits
    x = torch.tensor(values)
    assert rounded(x, low, high, masked).tolist() == [min(max(round(one), low), high) for one in x.tolist()]


@given(VALUES, LIMITS)
def test_the_gradient_is_that_of_clamp(values: list[float], limits: tuple[int, int]) -> None:
    ours, clamps = (torch.tensor(values, requires_grad=True) for _ in range(2))
    rounded(ours, *limits).sum().backward()
    clamps.clamp(*limits).sum().backward()
    assert torch.equal(ours.grad, clamps.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "masked", "gradient"),
    [(0.4, True, 1), (-0.4, True, 0), (-0.4, False, 1), (3, True, 0), (3, False, 1), (0, True, 1), (2, True, 1)],
)
def test_the_mask_looks_at_the_unclipped_value(value: float, masked: bool, gradient: float) -> None:
    x = torch.tensor([float(value)], requires_grad=True)
    rounded(x, 0, 2, masked).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [gradient]


@pytest.mark.parametrize("masked", [True, False])
def test_mapped_over_a_batch_it_is_the_same(masked: bool) -> None:
    x = torch.linspace(-4, 4, 24).reshape(2, 3, 4).requires_grad_(True)
    for dim in range(3):
        mapped = torch.func.vmap(lambda part: rounded(part, -2, 2, masked), in_dims=dim, out_dims=dim)(x)
        assert torch.equal(mapped, rounded(x, -2, 2, masked))
        (one,), (other,) = (torch.autograd.grad(y.sum(), x) for y in (mapped, rounded(x, -2, 2, masked)))
        assert torch.equal(one, other)
