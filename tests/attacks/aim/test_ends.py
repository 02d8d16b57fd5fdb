"""What stands before a module's final sigmoid or softmax is found, and nothing is taken for one that is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as f

from pulseproof.attacks.aim.ends import Ranked, alike, before_ends, whole_of
from pulseproof.models.held import same_order, scores_of
from tests.attacks.forms import Ended

SIGNALS = torch.randn(64, 2, 20, generator=torch.Generator().manual_seed(0))


def net(classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(40, classes)).eval()


def clipped_in_place(z: Tensor) -> Tensor:
    return torch.sigmoid(z).clamp_(0.1, 0.9)


def spoiled_in_place(z: Tensor) -> Tensor:
    p = torch.sigmoid(z)
    p[:, 0] = z[:, 1]
    return p


# name: what stands behind the logits, and which ends are found (None: none)
ENDS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[str, ...] | None]] = {
    "logits": (lambda z: z, None),
    "function": (torch.sigmoid, ("sigmoid",)),
    "method": (lambda z: z.sigmoid(), ("sigmoid",)),
    "layer": (nn.Sigmoid(), ("sigmoid",)),
    "softmax layer": (nn.Softmax(dim=1), ("softmax",)),
    "log-softmax": (nn.LogSoftmax(-1), ("softmax",)),
    "log of sigmoid": (lambda z: torch.log(torch.sigmoid(z)), ("sigmoid",)),
    "log-sigmoid": (f.logsigmoid, ("sigmoid",)),
    "tanh": (torch.tanh, ("tanh",)),
    "clipped": (lambda z: torch.sigmoid(40 * z).clamp(1e-6, 1 - 1e-6), ("sigmoid",)),
    "clipped in place": (clipped_in_place, ("sigmoid",)),
    "shifted and scaled": (lambda z: 0.01 + torch.sigmoid(z) * 0.98, ("sigmoid",)),
    "one minus": (lambda z: 1 - torch.sigmoid(-z), ("sigmoid", "minus")),
    "times minus one": (lambda z: -2 * torch.softmax(z, 1), ("softmax", "minus")),
    "one column": (lambda z: torch.cat([torch.sigmoid(z[:, :1]), z[:, 1:]], 1), ("sigmoid",)),
    "parted and stacked": (lambda z: torch.stack(torch.unbind(torch.sigmoid(z), 1), 1), ("sigmoid",) * 3),
    "a gate": (lambda z: torch.sigmoid(z) * z, None),
    "a mean of two": (lambda z: (torch.sigmoid(z) + torch.sigmoid(-2 * z)) / 2, None),
    "the largest": (lambda z: torch.sigmoid(z).amax(1, keepdim=True), None),
    "written over": (spoiled_in_place, None),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends(name: str) -> None:
    end, expected = ENDS[name]
    whole = Ended(net(), end).eval()
    found = before_ends(whole, SIGNALS)
    assert found.reason is None
    assert (found.module.ends if isinstance(found.module, Ranked) else None) == expected
    assert whole_of(found.module) is whole
    assert same_order(scores_of(found.module, SIGNALS), scores_of(whole, SIGNALS)) is None


def test_a_softmax_in_pairs() -> None:
    whole = Ended(net(6), lambda z: z.reshape(-1, 3, 2).softmax(-1)[..., 1]).eval()
    found = before_ends(whole, SIGNALS).module
    assert isinstance(found, Ranked) and found.ends == ("softmax",)
    z = net(6)(SIGNALS).reshape(-1, 3, 2)
    torch.testing.assert_close(found(SIGNALS), z[..., 1] - z[..., 0])


def test_a_gradient_reaches_the_signal_where_the_sigmoid_is_flat() -> None:
    whole = Ended(net(), lambda z: torch.sigmoid(400 * z)).eval()
    sums = []
    for module in (whole, before_ends(whole, SIGNALS).module):
        place = SIGNALS.clone().requires_grad_(True)
        sums.append(torch.autograd.grad(module(place).sum(), place)[0].abs().sum(dim=(1, 2)))
    assert float((sums[0] < 1e-6).float().mean()) > 0.5 and float(sums[1].min()) > 1


def test_one_threshold_serves_both_only_before_the_same_end() -> None:
    sigmoid, softmax = (before_ends(Ended(net(), end).eval(), SIGNALS).module for end in (nn.Sigmoid(), nn.Softmax(1)))
    assert alike(sigmoid, sigmoid) == (sigmoid, sigmoid)
    assert alike(sigmoid, softmax) == (whole_of(sigmoid), whole_of(softmax))
    assert alike(sigmoid, net()) != (sigmoid, net())
