"""What a caller may hand in wrongly: each mistake is called by its name, with what to do about it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import pulseproof as pp
from pulseproof.face.given import recordings_of

N = 24
RNG = np.random.default_rng(1)
SIGNALS = RNG.normal(0, 0.3, (N, 2, 50)).astype(np.float32)
LABELS = (np.arange(2 * N).reshape(N, 2) % 3 == 0).astype(np.uint8)
HOLE = SIGNALS.copy()
HOLE[3, 1, 7] = np.nan
PEAK = SIGNALS.copy()
PEAK[3, 1, 7] = 40.0

WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("nan", {"signals_mv": HOLE}, r"signals_mv: not finite in 1 of 24 recordings \(3\)", "leave these recordings out"),
    ("infinite", {"signals_mv": np.where(np.isnan(HOLE), np.inf, HOLE)}, "not finite", "leave these"),
    ("two dimensions", {"signals_mv": SIGNALS[:, 0]}, r"shape \(24, 50\)", r"signals_mv\[:, None, :\]"),
    ("none", {"signals_mv": SIGNALS[:0], "labels": LABELS[:0]}, r"shape \(0, 2, 50\)", "one row a recording"),
    ("turned round", {"signals_mv": SIGNALS.transpose(0, 2, 1)}, "more leads than samples", r"transpose\(0, 2, 1\)"),
    ("microvolts", {"signals_mv": SIGNALS * 1000}, "looks like microvolts", "/ 1000"),
    ("volts", {"signals_mv": SIGNALS / 1000}, "looks like volts", r"1000 \*"),
    ("steps", {"signals_mv": (SIGNALS * 1000).astype(np.int16)}, "int16 numbers, not millivolts", "multiply"),
    ("flat", {"signals_mv": 0 * SIGNALS}, "every recording is flat", "look at"),
    ("words", {"signals_mv": np.full((N, 2, 50), "x")}, "not numbers", "numpy array"),
    ("ragged", {"signals_mv": [[[0.1, 0.2]], [[0.1]]]}, "not an array", "the same leads and samples"),
    ("beyond", {"signals_mv": PEAK}, "beyond 16 bits", "adc_step_mv"),
    ("no step", {"adc_step_mv": 0.0}, "adc_step_mv is 0.0", "such as .001"),
    ("no rate", {"fs_hz": -100.0}, "fs_hz is -100.0", "samples a second"),
    ("a rate in words", {"fs_hz": "100"}, "fs_hz is '100'", "samples a second"),
    ("a step in words", {"adc_step_mv": None}, "adc_step_mv is None", "such as .001"),
    ("too few labels", {"labels": LABELS[:-1]}, r"shape \(23, 2\) for 24", "a column a class"),
    ("classes by number", {"labels": np.arange(N) % 3}, "labels hold 0, 1, 2, not 0 and 1", r"numpy.eye\(classes\)"),
    ("shares", {"labels": LABELS * 0.5}, "labels hold 0.0, 0.5", "0 and 1"),
    ("unknown labels", {"labels": np.where(LABELS, np.nan, 0.0)}, "not 0 and 1", "0 and 1"),
    ("one kind", {"labels": np.ones((N, 2))}, "no class has both", "both kinds"),
    ("too few patients", {"patients": [1, 2]}, r"shape \(2,\) for 24", "one a recording"),
    ("one patient", {"patients": [1] * N}, "all recordings are of one", "two at least"),
    ("unknown patient", {"patients": [np.nan, *range(N - 1)]}, "not known", "name of its own"),
    ("names", {"classes": ["NORM"]}, "classes names 1, labels have 2", "each column once"),
]


@pytest.mark.parametrize(("given", "what", "mend"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_recordings_that_are_wrong_are_refused(given: dict[str, Any], what: str, mend: str) -> None:
    right: dict[str, Any] = {"signals_mv": SIGNALS, "labels": LABELS, "fs_hz": 100.0, "adc_step_mv": 0.001}
    with pytest.raises(pp.InputError) as caught:
        recordings_of(**right | given)
    assert re.search(what, caught.value.what), caught.value.what
    assert re.search(mend, caught.value.mend), caught.value.mend


def test_what_is_right_in_other_clothes_is_taken() -> None:
    patients = [f"patient {at // 2}" for at in range(N)]
    plain = recordings_of(SIGNALS, LABELS, patients, fs_hz=100, adc_step_mv=0.001)
    assert np.abs(plain.signals(np.arange(N)) - SIGNALS).max() <= 0.0005 + 1e-6
    assert len(np.unique(plain.patients)) == N // 2 and not plain.about.exclusive
    for signals, labels in (
        (torch.from_numpy(SIGNALS), torch.from_numpy(LABELS).bool()),
        (SIGNALS.astype(np.float64), LABELS.astype(float)),
        (SIGNALS.tolist(), LABELS.tolist()),
    ):
        other = recordings_of(signals, labels, patients, fs_hz=100, adc_step_mv=0.001)
        assert other.fingerprint == plain.fingerprint
    assert recordings_of(SIGNALS, LABELS[:, 0], fs_hz=100, adc_step_mv=0.001).labels.shape == (N, 1)
    assert recordings_of(SIGNALS, np.eye(2)[np.arange(N) % 2], fs_hz=100, adc_step_mv=0.001).about.exclusive


class Noisy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=2) + torch.rand(len(x), 2)


class Divides(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=2) / 0.0 * 0.0


class Closed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return x.mean(dim=2)


MODULES: list[tuple[str, Any, str]] = [
    ("function", lambda x: x, "not a torch.nn.Module"),
    ("three scores", nn.Sequential(nn.Flatten(), nn.Linear(100, 3)), r"scores \(24, 3\) for 24 recordings"),
    ("no classes", nn.Flatten(0), "does not score|depend on the others|scores"),
    ("another shape", nn.Sequential(nn.Flatten(), nn.Linear(99, 2)), "does not score real recordings"),
    ("random", Noisy(), "gives another score when the same recording is run again"),
    ("nan", Divides(), "not finite"),
    ("no gradient", Closed(), "no gradient reaches the signal"),
]


@pytest.mark.parametrize(("module", "what"), [each[1:] for each in MODULES], ids=[each[0] for each in MODULES])
def test_a_module_that_is_no_model_is_refused(module: Any, what: str) -> None:
    with pytest.raises(pp.InputError, match=what):
        pp.attack_model(module, SIGNALS, LABELS, budgets_mv=[0.01], fs_hz=100, steps=1)


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"budgets_mv": []}, "no budget"),
        ({"budgets_mv": 0.01}, "budgets_mv is 0.01"),
        ({"budgets_mv": [0.02, 0.01]}, "rising order"),
        ({"budgets_mv": [0.0001]}, "below one step"),
        ({"budgets_mv": [-0.01]}, "above 0"),
        ({"steps": 0}, "steps"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"methods": ["pdg"]}, "methods"),
        ({"methods": ["square"]}, "methods: square"),
        ({"methods": ["pgd-l2"]}, "methods: pgd-l2"),
        ({"methods": ["universal"]}, "methods: universal"),
        ({"methods": []}, "methods: none"),
        ({"references": SIGNALS}, "references is no pair"),
        ({"references": (SIGNALS[:, :, 1:], LABELS)}, "references are"),
        ({"references": (HOLE, LABELS)}, r"references\[0\]: not finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_are_wrong_are_refused(asked: dict[str, Any], what: str) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(100, 2))
    with pytest.raises(pp.InputError, match=what):
        pp.attack_model(module, SIGNALS, LABELS, **{"budgets_mv": [0.01], "fs_hz": 100} | asked)
