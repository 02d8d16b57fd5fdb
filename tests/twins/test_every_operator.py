"""Every operator of the tables of twins, against the engine of its format: alone here, or in a stranger's file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.defs import has

from pulseproof.export.job import INPUT
from pulseproof.export.tflite.flatbuffer import Graph
from pulseproof.twins import NotCoveredError, open_twin
from pulseproof.twins.coverage import operators_markdown
from pulseproof.twins.onnx import operators as onnx_operators
from pulseproof.twins.onnx.classical import CLASSICAL, DOMAIN
from pulseproof.twins.tflite import operators as tflite_operators
from pulseproof.twins.tflite.format import OPERATORS, TfliteFile
from tests.twins import test_operators
from tests.twins.one_operator import ONNX, ONNX_ANSWERS, TFLITE, single, tflite_file
from tests.twins.strangers import FILES, FOLDER
from tests.twins.test_operators import Constants, both, onnx_file


@pytest.mark.parametrize("name", sorted({**ONNX, **ONNX_ANSWERS}))
def test_an_onnx_operator(name: str, tmp_path: Path) -> None:
    operator, inputs, attributes = {**ONNX, **ONNX_ANSWERS}[name]
    names = ["" if one is None else f"c{at}" for at, one in enumerate(inputs)]
    constants: Constants = {f"c{at}": one for at, one in enumerate(inputs) if one is not None}
    given = "answer" if name in ONNX_ANSWERS else "y"
    outputs = [given, "rest"] if operator == "Split" else [given]
    nodes = [helper.make_node(operator, ["signal", *names], outputs, **attributes)]
    if name in ONNX_ANSWERS:
        nodes.append(helper.make_node("Cast", ["answer"], ["y"], to=TensorProto.FLOAT))
    if operator in ("Shape", "Size"):  # or all of the file were a constant
        nodes[-1] = helper.make_node("Cast", ["answer"], ["numbers"], to=TensorProto.FLOAT)
        nodes += [helper.make_node("ReduceMean", ["signal"], ["mean"], keepdims=0)]
        nodes += [helper.make_node("Mul", ["numbers", "mean"], ["y"])]
    twins, engines = both(onnx_file(tmp_path / "one.onnx", nodes, constants, 20))
    np.testing.assert_allclose(twins, engines, rtol=2e-5, atol=2e-5)


def test_logic_and_choice_of_onnx(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Less", ["signal", "zero"], ["low"]),
        helper.make_node("Greater", ["signal", "most"], ["high"]),
        helper.make_node("Or", ["low", "high"], ["either"]),
        helper.make_node("Not", ["low"], ["not_low"]),
        helper.make_node("And", ["either", "not_low"], ["both"]),
        helper.make_node("Where", ["both", "most", "signal"], ["chosen"]),
        helper.make_node("Exp", ["chosen"], ["large"]),
        helper.make_node("Log", ["large"], ["y"]),
    ]
    twins, engines = both(onnx_file(tmp_path / "one.onnx", nodes, {"zero": single(0), "most": single(0.2)}))
    np.testing.assert_allclose(twins, engines, rtol=2e-5, atol=2e-6)


def test_shapes_of_onnx(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["signal"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["ones"], value=onnx.numpy_helper.from_array(np.ones(1, "f4"))),
        helper.make_node("Upsample", ["signal", "scales"], ["twice"], mode="nearest"),
        helper.make_node("Mul", ["ones", "ramp"], ["ramps"]),
        helper.make_node("Upsample", ["ramps", "scales"], ["longer"], mode="nearest"),
        helper.make_node("Mul", ["twice", "longer"], ["y"]),
    ]
    constants: Constants = {"ramp": np.arange(20, dtype=np.float32), "scales": np.array([1, 1, 2], np.float32)}
    twins, engines = both(onnx_file(tmp_path / "one.onnx", nodes, constants, 9))
    np.testing.assert_array_equal(twins, engines)


def test_places_and_groups_of_onnx(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Range", ["from", "to", "by"], ["ramp"]),
        helper.make_node("Mul", ["signal", "ramp"], ["ramped"]),
        helper.make_node("GroupNormalization", ["ramped", "scale", "bias"], ["y"], num_groups=1),
    ]
    constants: Constants = {"from": single(0), "to": single(20), "by": single(1)}
    constants |= {"scale": np.array([2, 3], np.float32), "bias": np.array([0, 1], np.float32)}
    twins, engines = both(onnx_file(tmp_path / "one.onnx", nodes, constants, 21))
    np.testing.assert_allclose(twins, engines, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_integer_products_of_onnx(kind: type, tmp_path: Path) -> None:
    """Quantized operators of the older kind: the numbers themselves between them."""
    rng = np.random.default_rng(2)
    constants: Constants = {
        **{"s": single(0.004), "z": np.array(3, kind), "sw": np.array([0.01, 0.02, 0.005], np.float32)},
        **{"zw": np.zeros(3, np.int8), "w": rng.integers(-127, 127, (3, 2, 5)).astype(np.int8)},
        **{"b": rng.integers(-500, 500, 3).astype(np.int32), "sm": single(0.01), "zm": np.array(0, np.int8)},
        **{"m": rng.integers(-127, 127, (20, 4)).astype(np.int8), "sy": single(0.03), "sp": single(0.05)},
    }
    conv = ["q", "s", "z", "w", "sw", "zw", "sy", "z", "b"]
    nodes = [
        helper.make_node("QuantizeLinear", ["signal", "s", "z"], ["q"]),
        helper.make_node("QLinearConv", conv, ["c"], pads=[2, 2]),
        helper.make_node("QLinearMatMul", ["c", "sy", "z", "m", "sm", "zm", "sp", "z"], ["p"]),
        helper.make_node("DequantizeLinear", ["p", "sp", "z"], ["y"]),
    ]
    twins, engines = both(onnx_file(tmp_path / "one.onnx", nodes, constants, 13), n=20)
    steps = np.abs(twins - engines) / 0.05
    assert steps.max() <= 1.01 and (steps < 0.5).mean() >= 0.99


@pytest.mark.parametrize("name", sorted(TFLITE))
def test_a_tflite_operator(name: str, tmp_path: Path) -> None:
    kind, inputs, options, before, after = TFLITE[name]
    if np.prod(before) != 40:
        pytest.fail("the signal has 40 numbers")
    twins, engines = both(tflite_file(tmp_path / "one.tflite", (kind, inputs, options, before, after)))
    np.testing.assert_allclose(twins, engines, rtol=2e-5, atol=2e-5)


# name: what becomes of "signal" (1, 40), as steps of (operator, inputs, options, result); the last is float "y"
LOGIC: dict[str, list[tuple[str, list[str], str, type]]] = {
    "choice": [
        ("GREATER", ["signal", "some"], "above", np.bool_),
        ("LESS_EQUAL", ["signal", "one"], "small", np.bool_),
        ("LOGICAL_OR", ["above", "small"], "either", np.bool_),
        ("LOGICAL_NOT", ["either"], "none", np.bool_),
        ("SELECT_V2", ["none", "some", "signal"], "y", np.float32),
    ],
    "other choice": [
        ("GREATER_EQUAL", ["signal", "some"], "above", np.bool_),
        ("NOT_EQUAL", ["signal", "some"], "other", np.bool_),
        ("EQUAL", ["above", "other"], "same", np.bool_),
        ("SELECT", ["same", "some", "signal"], "y", np.float32),
    ],
    "number": [("GREATER", ["signal", "some"], "above", np.bool_), ("CAST", ["above"], "y", np.float32)],
    "roots": [
        ("ABS", ["signal"], "size", np.float32),
        ("SQRT", ["size"], "root", np.float32),
        ("EXP", ["root"], "large", np.float32),
        ("LOG", ["large"], "y", np.float32),
    ],
    "filled": [("FILL", ["sizes", "half"], "halves", np.float32), ("ADD", ["signal", "halves"], "y", np.float32)],
}


@pytest.mark.parametrize("name", sorted(LOGIC))
def test_logic_and_choice_of_tflite(name: str, tmp_path: Path) -> None:
    graph = Graph.empty()
    signal = graph.tensor(INPUT, (1, 2, 20))
    known = {"some": graph.constant("some", np.linspace(-0.5, 0.5, 40, dtype=np.float32)[None])}
    known["one"] = graph.constant("one", np.full((1, 40), -0.2, np.float32))
    known["sizes"] = graph.constant("sizes", np.array([1, 40], np.int32))
    known["half"] = graph.constant("half", single(0.5))
    known["signal"] = graph.add("RESHAPE", [signal, known["sizes"]], graph.tensor("flat", (1, 40)))
    for kind, inputs, result, dtype in LOGIC[name]:
        known[result] = graph.add(kind, [known[one] for one in inputs], graph.tensor(result, (1, 40), dtype))
    graph.graph.inputs, graph.graph.outputs = [signal], [known["y"]]
    graph.write(tmp_path / "one.tflite")
    np.testing.assert_allclose(*both(tmp_path / "one.tflite"), rtol=1e-6, atol=1e-6)


def in_files(suffix: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for name in FILES:
        if name.endswith(suffix):
            if suffix == ".onnx":
                found.update(_kinds(onnx.load(FOLDER / name).graph))
            else:
                graph = TfliteFile.open(FOLDER / name)
                parts = [graph.part(at).operators() for at in range(len(graph.model.subgraphs))]
                found.update(kind for part in parts for kind in part)
    return found


def _kinds(graph: onnx.GraphProto) -> list[str]:
    inside = [one for node in graph.node for each in node.attribute for one in _kinds(each.g)]
    return [*(node.op_type for node in graph.node), *inside]


# Held by other tests: of quantized files that our own recipes make, the ones above, and tests/models/front.
ELSEWHERE = {
    *("And", "Or", "Not", "Where", "ConstantOfShape", "Upsample", "QLinearConv", "QLinearMatMul"),
    *("Range", "GroupNormalization", "Log", "TopK", "TOPK_V2"),
    *CLASSICAL,  # tests/export/test_sklearn_files.py, as skl2onnx writes them
}


def test_every_operator_is_held_against_its_engine() -> None:
    alone = {one[0] for one in (*ONNX.values(), *ONNX_ANSWERS.values(), *test_operators.ONNX.values())}
    assert set(onnx_operators.OPERATORS) <= alone | set(in_files(".onnx")) | ELSEWHERE
    logic = {one[0] for steps in LOGIC.values() for one in steps}
    alone = {one[0] for one in TFLITE.values()} | logic
    assert set(tflite_operators.OPERATORS) <= alone | set(in_files(".tflite")) | ELSEWHERE


def test_the_names_are_those_of_the_formats() -> None:
    assert [name for name in onnx_operators.OPERATORS if not has(name, DOMAIN if name in CLASSICAL else "")] == []
    assert set(tflite_operators.OPERATORS) <= set(OPERATORS.values())


def test_the_table_of_the_docs_is_that_of_the_code() -> None:
    """Written by ``pulseproof docs``."""
    table = operators_markdown()
    assert Path("docs/results/operators.md").read_text(encoding="utf-8") == table + "\n"
    assert table in Path("docs/operators.md").read_text(encoding="utf-8")


def test_one_that_is_missing_is_named(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "one.onnx", [helper.make_node("Det", ["signal"], ["y"], name="odd")], {})
    with pytest.raises(NotCoveredError, match=r"operator Det \(odd\) is not covered"):
        open_twin(path)
