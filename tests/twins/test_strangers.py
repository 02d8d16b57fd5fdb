"""Twins of files that strangers make: the engine's scores, a gradient on every recording, attacks of full strength.

The files are those of Keras and its converter, of tf2onnx, of torch's exporters and of ONNX Runtime's quantization:
tests/fixtures/strangers says how each was made.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pulseproof.attacks.aim.objectives import Bce
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import Pgd
from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.engines import open_engine
from pulseproof.twins import open_twin
from pulseproof.twins.program import Twin, scores_of
from tests.twins.strangers import FILES, FOLDER, as_taken, drawn, of_torch, original

Floats = NDArray[np.float32]
COUNT = 40
EPSILON_MV = 0.1


@cache
def twin_of(name: str) -> Twin:
    return open_twin(FOLDER / name)


def run(name: str, signals: Floats) -> Floats:
    engine = open_engine(FOLDER / name)
    return np.concatenate([engine.run(one[None]) for one in signals])


def before_ends(twin: Twin) -> Twin:
    found = twin.before_ends()
    return twin if found is None else found[0]


def expect_equal(name: str, signals: Floats) -> None:
    """Within 1e-4 of float scores; of rounded ones 99 % of the recordings exact, and none more than a step off. Where
    the steps are read off the recording, a step of an activation may be another in 1 % of them."""
    twin, engines = twin_of(name), run(name, signals)
    apart = np.abs(scores_of(twin, signals) - engines)
    if twin.own_steps:
        assert (apart <= 1e-4).all(axis=1).mean() >= 0.99 and apart.max() <= 0.001
    elif twin.output_step is None:
        assert apart.max() <= 1e-4
    else:
        steps = apart / twin.output_step
        assert steps.max() <= 1.01 and (steps < 0.5).all(axis=1).mean() >= 0.99
    assert engines.std(axis=0).max() > 0.01  # a file that says the same of all would equal anything


@pytest.mark.parametrize("name", FILES)
def test_scores_and_gradient(name: str) -> None:
    signals, _ = drawn(name, COUNT)
    expect_equal(name, signals)
    some = torch.from_numpy(signals[:8]).requires_grad_(True)
    scores = before_ends(twin_of(name))(some)
    (gradient,) = torch.autograd.grad((scores * torch.tensor([1.0, -0.7, 0.3])).sum(), some)
    assert torch.isfinite(gradient).all() and (gradient.abs().sum(dim=(1, 2)) > 0).all()


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("name", FILES)
def test_scores_of_real_recordings(name: str, data_root: Path) -> None:
    expect_equal(name, as_taken(name, real_beats(data_root)))


@cache
def real_beats(data_root: Path) -> Floats:
    """300 windows of two leads from MIT-BIH, as many samples as the files take."""
    import wfdb

    found = []
    for record in ("100", "119", "208"):
        signals = wfdb.rdrecord(str(next(data_root.rglob(f"{record}.hea")).with_suffix(""))).p_signal
        found += [signals[at : at + 160].T for at in range(2000, 82_000, 800)]
    return np.stack(found).astype(np.float32)


def attacked(name: str, module: nn.Module) -> float:
    """The file's AUC on recordings that were disturbed through a module."""
    signals, labels = drawn(name, 60, 9)
    victims = Victims(torch.from_numpy(signals), torch.from_numpy(labels))
    (delta,) = Pgd(steps=6)(module, victims, [Bce()], [EPSILON_MV], torch.Generator().manual_seed(1))
    return macro_auc(run(name, (signals + delta.numpy().round(3)).astype(np.float32)), labels)


class _BeforeSigmoid(nn.Module):
    """A module's logits, where it ends in a sigmoid: as an attack on it should begin."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        return torch.logit(self.module(signals).double()).float()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FILES if of_torch(name)])
def test_an_attack_through_the_twin_is_as_strong_as_through_the_module(name: str) -> None:
    signals, labels = drawn(name, 60, 9)
    module = original(name)
    own = attacked(name, _BeforeSigmoid(module) if "squeeze" in name else module)
    through = attacked(name, before_ends(twin_of(name)))
    clean = macro_auc(run(name, signals), labels)
    assert through <= own + 0.01 and through < clean - 0.02, (through, own, clean)


WAYS = ("int8", "dynamic", "float16")
QUANTIZED = [name for name in FILES if not of_torch(name) and any(way in name for way in WAYS)]
PARENTS = {name: f"{name[: name.index(way)]}float32.tflite" for name in QUANTIZED for way in WAYS if way in name}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in QUANTIZED if (FOLDER / PARENTS[name]).is_file()])
def test_an_attack_through_the_twin_is_as_strong_as_through_the_float_file(name: str) -> None:
    """Transfer from the float file is what there was before the quantized one had a twin."""
    transferred = attacked(name, before_ends(twin_of(PARENTS[name])))
    assert attacked(name, before_ends(twin_of(name))) <= transferred + 0.01


@pytest.mark.parametrize("name", [name for name in FILES if not of_torch(name)])
def test_attacks_begin_before_the_end(name: str) -> None:
    """Keras nets end in probabilities: through them 23 to 59 % of recordings had no gradient."""
    ends = twin_of(name).before_ends()
    assert ends is not None and ends[1] in (("softmax",), ("sigmoid",))
