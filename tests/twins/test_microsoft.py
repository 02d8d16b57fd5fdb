"""Operators of ONNX Runtime's own, as its quantizer and its optimizers write them and each alone, beside the engine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from pulseproof.twins import NotCoveredError, open_twin
from pulseproof.twins.onnx.microsoft import CUSTOM, MICROSOFT
from pulseproof.twins.program import scores_of
from tests.twins.one_operator import weights
from tests.twins.strangers import drawn
from tests.twins.test_operators import Constants, both, onnx_file, open_engine

FOLDER = Path(__file__).parents[1] / "fixtures" / "fused"
FILES = sorted(path.name for path in FOLDER.glob("*.onnx"))
COUNT = 40


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_its_tools(name: str) -> None:
    """Float scores within 1e-4; of a file that rounds, 99 of 100 recordings within a step."""
    signals, _ = drawn(name, COUNT)
    twin, engine = open_twin(FOLDER / name), open_engine(FOLDER / name)
    engines = np.concatenate([engine.run(one[None]) for one in signals])
    apart = np.abs(scores_of(twin, signals) - engines).max(axis=1)
    unit = twin.output_step or 1e-4
    assert apart.max() <= 1.01 * unit and engines.std(axis=0).max() > 0.01
    some = torch.from_numpy(signals[:4]).requires_grad_(True)
    (gradient,) = torch.autograd.grad((twin(some) * torch.tensor([1.0, -0.7, 0.3])).sum(), some)
    assert torch.isfinite(gradient).all() and (gradient != 0).any()


def whole(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(-100, 100, shape).astype(np.int8)


S, Z = np.array(0.05, np.float32), np.array(3, np.int8)
# name: the operator, its constants behind the signal, its attributes
ALONE: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "gelu": ("Gelu", [], {}),
    "bias": ("BiasGelu", [weights(20)], {}),
    "fast": ("FastGelu", [weights(20)], {}),
    "quick": ("QuickGelu", [], {"alpha": 1.5}),
    "product": ("FusedMatMul", [weights(20, 4)], {"alpha": 0.5}),
    "product, turned": ("FusedMatMul", [weights(4, 20)], {"transB": 1}),
    "conv": ("FusedConv", [weights(3, 2, 5), weights(3)], {"activation": "LeakyRelu", "activation_params": [0.2]}),
    "conv and sum": ("FusedConv", [weights(3, 2, 5), weights(3), weights(1, 3, 16)], {"activation": "Relu"}),
    "skip": ("SkipLayerNormalization", [weights(1, 2, 20), weights(20), weights(20)], {"epsilon": 1e-5}),
    "skip, biased": ("SkipLayerNormalization", [weights(1, 2, 20), weights(20), weights(20), weights(20)], {}),
    "attention": ("Attention", [weights(20, 60), weights(60)], {"num_heads": 4}),
    "dynamic": ("DynamicQuantizeMatMul", [whole(20, 4), S, np.array(0, np.int8), weights(4)], {}),
}


@pytest.mark.parametrize("name", ALONE)
def test_one_alone(name: str, tmp_path: Path) -> None:
    operator, inputs, attributes = ALONE[name]
    constants: Constants = {f"c{at}": one for at, one in enumerate(inputs)}
    node = helper.make_node(operator, ["signal", *constants], ["y"], domain=CUSTOM, **attributes)
    twins, engines = both(with_domain(onnx_file(tmp_path / "one.onnx", [node], constants, 20)))
    np.testing.assert_allclose(twins, engines, rtol=3e-5, atol=3e-5)


def with_domain(path: Path) -> Path:
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid(CUSTOM, 1))
    onnx.save(model, path)
    return path


QUANTIZED: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "leaky": ("QLinearLeakyRelu", ["q", S, Z, S, Z], {"alpha": 0.3}),
    "sigmoid": ("QLinearSigmoid", ["q", S, Z, np.array(1 / 256, np.float32), np.array(-128, np.int8)], {}),
    "softmax": ("QLinearSoftmax", ["q", S, Z, np.array(1 / 256, np.float32), np.array(-128, np.int8)], {"opset": 13}),
    "sum": ("QLinearAdd", ["q", S, Z, whole(1, 2, 20), S * 2, Z, S * 3, Z], {}),
    "product": ("QLinearMul", ["q", S, Z, whole(1, 2, 20), S * 2, Z, S * 3, Z], {}),
    "float product": ("MatMulIntegerToFloat", ["q", whole(20, 4), S, S, Z, Z, weights(4)], {}),
}


@pytest.mark.parametrize("name", QUANTIZED)
def test_one_of_whole_numbers_alone(name: str, tmp_path: Path) -> None:
    operator, inputs, attributes = QUANTIZED[name]
    constants: Constants = {"s": S, "z": Z} | {
        f"c{at}": one for at, one in enumerate(inputs) if not isinstance(one, str)
    }
    names = [one if isinstance(one, str) else f"c{at}" for at, one in enumerate(inputs)]
    extra = {"axis": -1} if operator == "QLinearSoftmax" else {}
    plain = operator == "MatMulIntegerToFloat"
    nodes = [
        helper.make_node("QuantizeLinear", ["signal", "s", "z"], ["q"]),
        helper.make_node(operator, names, ["y" if plain else "r"], domain=CUSTOM, **attributes, **extra),
    ]
    step = 1e-5
    if not plain:
        at = len(names)
        nodes.append(helper.make_node("DequantizeLinear", ["r", names[at - 2], names[at - 1]], ["y"]))
        step = float(constants[names[at - 2]])
    twins, engines = both(with_domain(onnx_file(tmp_path / "one.onnx", nodes, constants, 20)))
    steps = np.abs(twins - engines) / step
    assert steps.max() <= 1.01 and (steps < 0.5).mean() >= 0.99


def test_each_is_held_against_the_engine() -> None:
    found: Counter[str] = Counter()
    for name in FILES:
        found.update(node.op_type for node in onnx.load(FOLDER / name).graph.node if node.domain == CUSTOM)
    alone = {one[0] for one in (*ALONE.values(), *QUANTIZED.values())}
    assert set(MICROSOFT) - alone - set(found) == {"FusedGemm"}  # the sum of two that are


def test_what_is_not_covered_is_named_with_its_domain(tmp_path: Path) -> None:
    node = helper.make_node("MultiHeadAttention", ["signal"], ["y"], domain=CUSTOM, num_heads=2, name="odd")
    path = with_domain(onnx_file(tmp_path / "one.onnx", [node], {}, 20))
    with pytest.raises(NotCoveredError, match=r"operator MultiHeadAttention \(odd\) of com\.microsoft is not covered"):
        open_twin(path)
    node = helper.make_node("FusedConv", ["signal", "w"], ["y"], domain=CUSTOM, activation="Elu")
    path = with_domain(onnx_file(tmp_path / "one.onnx", [node], {"w": weights(3, 2, 5)}, 20))
    with pytest.raises(NotCoveredError, match="activation=Elu"):
        open_twin(path)
