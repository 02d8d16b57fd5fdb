"""Folding changes the operators and not the scores."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pulseproof.export.fold import for_export
from pulseproof.models.fold import BATCH_NORMS, folded
from pulseproof.models.nets import Cnn, EcgLens, Lstm


class Branching(nn.Module):
    """torch.fx cannot trace a branch on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 3, 5)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return x.mean(dim=2) if x.mean() > 0 else x.amax(dim=2)


NETS = {
    "cnn": lambda: Cnn(2, 160, 3, width=8),
    "cnn in pieces": lambda: Cnn(2, 160, 3, width=8, pieces=3),
    "ecg-lens": lambda: EcgLens(2, 160, 3, width=8),
    "ecg-lens by its own mean": lambda: EcgLens(2, 160, 3, width=8, own_mean=True),
    "lstm": lambda: Lstm(2, 160, 3, hidden=8),
    "branching": Branching,
}


def lived_in(net: nn.Module) -> nn.Module:
    """A net whose batch norms and normalisation are not the identity."""
    torch.manual_seed(0)
    for part in net.modules():
        if isinstance(part, BATCH_NORMS):
            for tensor in (part.running_mean, part.bias):
                tensor.data.normal_()
            for tensor in (part.running_var, part.weight):
                tensor.data.uniform_(0.3, 3)
    if hasattr(net, "normalise"):
        net.normalise.mean.fill_(0.07)
        net.normalise.scale.fill_(1 / 0.31)
    return net.eval()


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("fold", [folded, for_export])
def test_the_scores_stay(name: str, fold) -> None:
    net = lived_in(NETS[name]())
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    x = torch.randn(6, 2, 160)
    with torch.inference_mode():
        expected = net(x)
        got = fold(net)(x)
    assert (got - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


@pytest.mark.parametrize("name", ["cnn", "cnn in pieces", "ecg-lens"])
def test_no_batch_norm_is_left(name: str) -> None:
    fused = folded(lived_in(NETS[name]()))
    assert not any(isinstance(part, BATCH_NORMS) for part in fused.modules())
    assert not any(parameter.requires_grad for parameter in fused.parameters())


def test_gradients_reach_the_signal() -> None:
    net = lived_in(NETS["cnn"]())
    gradients = []
    for module in (net, folded(net)):
        x = torch.ones(2, 2, 160, requires_grad=True)
        module(x).sum().backward()
        gradients.append(x.grad)
    assert torch.allclose(*gradients, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_traced_or_has_nothing_to_fold_stays_itself() -> None:
    for name in ("branching", "lstm"):
        net = lived_in(NETS[name]())
        assert folded(net) is net
