"""Nets that end in a sigmoid or a softmax are no harder to attack: public cases of saturated heads.

Carlini and Wagner (2017, section 5.2) and Athalye et al. (2018) on masked gradients; of published ECG models 15 of 20
TFLite files end in SOFTMAX. One net in seven forms, in torch, ONNX and TFLite, keeps the attacked AUC of its logits,
with no sibling to transfer from. The judge is always the form itself. The net's logits spread by .5, so 40 times them
spread by 20: a sigmoid has no gradient there, and its float32 scores still tell most recordings apart. (At larger
logits they do not: then the file has ties, and its own clean AUC is another.)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pulseproof.attacks.aim.ends import Ranked, before_ends
from pulseproof.twins import open_twin
from pulseproof.twins.ends import log_odds
from pulseproof.twins.gate import check
from tests.attacks.deserving import sides
from tests.attacks.forms import (
    FORMS,
    Ended,
    attacked,
    by_engine,
    by_torch,
    int8_of,
    onnx_file,
    small_net,
    softmax_options,
    tflite_file,
)

SCALE, EPSILON_MV = 0.15, 0.04
WITHIN = 0.02


@pytest.fixture(scope="module")
def expected() -> float:
    """What the attack leaves of the logits."""
    net = small_net(SCALE)
    return attacked(net, by_torch(net), EPSILON_MV)


@pytest.mark.parametrize("name", FORMS)
def test_seven_forms_of_a_module(name: str, expected: float) -> None:
    """Gradient masking by a saturated head (Athalye et al. 2018)."""
    whole = Ended(small_net(SCALE), FORMS[name]).eval()
    before = before_ends(whole, sides().references.signals)
    assert before.reason is None and isinstance(before.module, Ranked) == (name != "logits")
    assert attacked(before.module, by_torch(whole), EPSILON_MV) == pytest.approx(expected, abs=WITHIN)
    assert expected < 0.6


def test_through_the_sigmoid_the_attack_goes_nowhere(expected: float) -> None:
    """The case for it: 40 times the logits, attacked as they are."""
    whole = Ended(small_net(SCALE), FORMS["sigmoid of 40 times"]).eval()
    assert attacked(whole, by_torch(whole), EPSILON_MV) > expected + 0.1


# A logarithm of 8 bits is not finite, so that form has no int8 file.
ONNX_FORMS = [(name, False) for name in FORMS]
ONNX_FORMS += [(name, True) for name in FORMS if name != "logarithm of a sigmoid"]
TFLITE_FORMS = [([], False), ([], True), (["LOGISTIC"], False), (["LOGISTIC"], True), (["LOGISTIC", "LOG"], False)]


@pytest.mark.parametrize(("name", "quantized"), ONNX_FORMS)
def test_seven_forms_of_an_onnx_file(name: str, quantized: bool, expected: float, tmp_path: Path) -> None:
    """The same through the files' own graphs, float and static int8 with a DequantizeLinear at the end."""
    path = onnx_file(Ended(small_net(SCALE), FORMS[name]).eval(), tmp_path / "a.onnx")
    assert_attacked(int8_of(path) if quantized else path, expected, name != "logits")


@pytest.mark.parametrize(("ends", "quantized"), TFLITE_FORMS)
def test_forms_of_a_tflite_file(ends: list[str], quantized: bool, expected: float, tmp_path: Path) -> None:
    """LOGISTIC, float and int8 with a DEQUANTIZE behind it."""
    path = tflite_file(small_net(SCALE), [(kind, None) for kind in ends], tmp_path / "a.tflite")
    assert_attacked(int8_of(path) if quantized else path, expected, bool(ends))


def assert_attacked(path: Path, expected: float, ended: bool) -> None:
    references = sides().references
    twin = open_twin(path)
    assert check(twin, path, references.signals.numpy(), references.labels.numpy()).reason is None
    before = before_ends(twin, references.signals)
    assert before.reason is None and isinstance(before.module, Ranked) == ended
    reached = attacked(before.module, by_engine(path), EPSILON_MV)
    assert reached < expected + WITHIN
    if "int8" not in path.stem:  # 256 probabilities tie recordings that the logits tell apart, so less may be left
        assert reached > expected - WITHIN


@pytest.mark.parametrize(
    ("kind", "quantized"), [("torch", False), *((kind, each) for kind in ("onnx", "tflite") for each in (False, True))]
)
def test_a_softmax_over_all_classes(kind: str, quantized: bool, tmp_path: Path) -> None:
    """Its order is that of the log-odds, which a net of logits can give as well: the same AUC is left of both."""
    net = small_net(1.0)
    odds = Ended(net, lambda z: log_odds(z, 1)).eval()
    expected = attacked(odds, by_torch(odds), EPSILON_MV)
    whole = Ended(net, lambda z: torch.softmax(z, 1)).eval()
    references = sides().references.signals
    if kind == "torch":
        before, judge = before_ends(whole, references), by_torch(whole)
    else:
        path = tmp_path / f"a.{kind}"
        if kind == "onnx":
            onnx_file(whole, path)
        else:
            tflite_file(net, [("SOFTMAX", softmax_options())], path)
        path = int8_of(path) if quantized else path
        before, judge = before_ends(open_twin(path), references), by_engine(path)
    assert isinstance(before.module, Ranked) and before.module.ends == ("softmax",)
    assert attacked(before.module, judge, EPSILON_MV) == pytest.approx(expected, abs=WITHIN)


def test_log_odds_are_exact_where_a_softmax_is_flat() -> None:
    z = torch.tensor([[200.0, -100.0, 0.0], [1.0, 2.0, 3.0]], dtype=torch.float64)
    p = torch.softmax(z[1], 0)
    torch.testing.assert_close(log_odds(z, 1)[1], torch.log(p / (1 - p)))
    np.testing.assert_allclose(log_odds(z, 1)[0].numpy(), [200.0, -300.0, -200.0])
