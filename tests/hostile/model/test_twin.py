"""The door of twins: whatever stands in a file, it is a twin or a sentence, in bounded time and memory."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as tfl
from onnx import TensorProto, helper, numpy_helper

from pulseproof.core.errors import InputError
from pulseproof.export.tflite.flatbuffer import Graph
from pulseproof.twins import NotCoveredError, open_twin
from tests.twins.one_operator import tflite_file
from tests.twins.test_operators import onnx_file

HOME = Path(__file__).parents[3]
STRANGERS = HOME / "tests" / "fixtures" / "strangers"
MEMORY_KB, TIME_S = 700 << 10, 20
Make = Callable[[Path], Path]


def nodes(*made: onnx.NodeProto, **constants: Any) -> Make:
    """An ONNX file of the signal through these nodes."""
    return lambda folder: onnx_file(folder / "m.onnx", made, {name: np.asarray(one) for name, one in constants.items()})


def node(kind: str, *names: str, **attributes: Any) -> onnx.NodeProto:
    *inputs, output = names
    return helper.make_node(kind, inputs, [output], **attributes)


def endless(folder: Path) -> Path:
    """A loop of 2**40 turns."""
    body = helper.make_graph(
        [node("Identity", "go", "goes"), node("Sin", "before", "after")],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [1, 2, 20]),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [1, 2, 20]),
        ],
    )
    loop = node("Loop", "times", "yes", "signal", "y", body=body)
    return nodes(loop, times=np.array(2**40), yes=np.array(True))(folder)


def itself(folder: Path) -> Path:
    """A graph whose branch is a graph whose branch is ..., 12 deep."""
    end = helper.make_empty_tensor_value_info
    graph = helper.make_graph([node("Identity", "signal", "end")], "inside", [], [end("end")])
    for depth in range(12):
        inside = node("If", "yes", f"end{depth}", then_branch=graph, else_branch=graph)
        graph = helper.make_graph([inside], str(depth), [], [end(f"end{depth}")])
    return nodes(node("If", "yes", "y", then_branch=graph, else_branch=graph), yes=np.array(True))(folder)


def declared(sizes: list[int]) -> Make:
    """An input of other sizes than anybody has room for."""

    def make(folder: Path) -> Path:
        path = nodes(node("Abs", "signal", "y"))(folder)
        model = onnx.load(path)
        for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, sizes, strict=True):
            dim.dim_value = size
        onnx.save(model, path)
        return path

    return make


def lying_constant(folder: Path) -> Path:
    """A constant of four bytes that says that it is of 100 GB."""
    path = nodes(node("Add", "signal", "c", "y"), c=np.zeros(1, np.float32))(folder)
    model = onnx.load(path)
    model.graph.initializer[0].dims[:] = [25 * 10**9]
    onnx.save(model, path)
    return path


def doubles(folder: Path) -> Path:
    """Each node as large as all before it: 2**40 numbers behind forty of them."""
    made = [node("Concat", *["signal" if at == 0 else f"v{at}"] * 2, f"v{at + 1}", axis=2) for at in range(40)]
    return nodes(*made, node("Identity", "v40", "y"))(folder)


def tfl_shape(folder: Path, sizes: list[int], kind: str = "FILL") -> Path:
    """A TFLite file that fills or repeats the signal to these sizes."""
    case: Any = ("TILE", [np.array(sizes, np.int32)], None, (1, 40), (1, 40))
    return tflite_file(folder / "m.tflite", case)


def tfl_loop(folder: Path, body: int) -> Path:
    """A loop whose body is the graph that it stands in, or one that is not there."""
    case: Any = ("ABS", [], None, (1, 40), (1, 40))
    graph = Graph.open(tflite_file(folder / "m.tflite", case))
    options = tfl.WhileOptionsT()
    options.condSubgraphIndex = options.bodySubgraphIndex = body
    index = next(at for at, one in enumerate(graph.operators()) if one == "ABS")
    graph.graph.operators[index].builtinOptions = options
    graph.graph.operators[index].builtinOptionsType = tfl.BuiltinOptions.WhileOptions
    code = graph.model.operatorCodes[graph.graph.operators[index].opcodeIndex]
    code.builtinCode = tfl.BuiltinOperator.WHILE
    code.deprecatedBuiltinCode = tfl.BuiltinOperator.WHILE
    graph.write(folder / "m.tflite")
    return folder / "m.tflite"


# name: (how the file is made, what the sentence says)
WRONG: dict[str, tuple[Make, str]] = {
    "a node that takes its own result": (nodes(node("Add", "signal", "y", "y")), "which nothing before it gives"),
    "a circle of two": (
        nodes(node("Add", "signal", "b", "a"), node("Abs", "a", "b"), node("Abs", "b", "y")),
        "which nothing before it gives",
    ),
    "a node twice": (nodes(node("Abs", "signal", "y"), node("Neg", "signal", "y")), "which there is already"),
    "nothing that gives the scores": (
        nodes(node("Abs", "signal", "z")),
        "which nothing before it gives",
    ),
    "a fill of 100 GB": (
        nodes(node("ConstantOfShape", "sizes", "c"), node("Add", "signal", "c", "y"), sizes=np.array([25 * 10**9])),
        "25,000,000,000 numbers",
    ),
    "a row of 2**40": (
        nodes(node("Range", "o", "n", "i", "c"), node("Add", "signal", "c", "y"), o=0, n=2**40, i=1),
        "1,099,511,627,776 numbers",
    ),
    "repeated 2**30 times": (
        nodes(node("Tile", "signal", "n", "y"), n=np.array([1, 2**20, 2**20])),
        "numbers a record",
    ),
    "expanded to 2**50": (nodes(node("Expand", "signal", "n", "y"), n=np.array([2**44, 2, 20])), "numbers a recording"),
    "padded by 2**40": (nodes(node("Pad", "signal", "n", "y"), n=np.array([0, 0, 0, 0, 0, 2**40])), "numbers a rec"),
    "resized 2**30 times": (
        nodes(node("Resize", "signal", "", "n", "y", mode="nearest"), n=np.array([1, 1, 2**30], np.float32)),
        "numbers a recording",
    ),
    "an outer product": (
        nodes(
            node("Expand", "signal", "n", "row"),
            node("Reshape", "row", "flat", "rows"),
            node("Reshape", "row", "up", "columns"),
            node("MatMul", "columns", "rows", "y"),
            **{"n": np.array([2**17, 2, 20]), "flat": np.array([1, -1]), "up": np.array([-1, 1])},
        ),
        "numbers a recording",
    ),
    "doubled forty times": (doubles, "numbers a recording"),
    "a loop of 2**40 turns": (endless, "loops of more than 4,096 turns"),
    "branches within branches": (itself, "deep in each other"),
    "an input of 2**40": (declared([1, 2**20, 2**20]), "numbers a recording"),
    "an input of no samples": (declared([1, 2, 0]), "without fixed numbers"),
    "a constant that lies": (lying_constant, "not a readable ONNX file"),
    "a gather far away": (
        nodes(node("Gather", "signal", "n", "y", axis=2), n=np.array([2**40])),
        "places outside of 20",
    ),
    "a stride of 0": (
        nodes(node("MaxPool", "signal", "y", kernel_shape=[3], strides=[0])),
        "does not run",
    ),
    "a pool of 2**40": (nodes(node("MaxPool", "signal", "y", kernel_shape=[2**40])), "does not run"),
    "tflite, repeated 2**30 times": (lambda folder: tfl_shape(folder, [2**15, 2**15]), "numbers a recording"),
    "tflite, a loop in itself": (lambda folder: tfl_loop(folder, 0), "with itself inside"),
    "tflite, a loop of nothing": (lambda folder: tfl_loop(folder, 7), "with itself inside, or nothing"),
}


def expect_sentence(error: Exception) -> None:
    said = str(error)
    assert "Traceback" not in said and 10 < len(said) < 1200 and said.replace("\n", " ").isprintable()


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    make, said = WRONG[name]
    path = make(tmp_path)
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises((NotCoveredError, InputError)) as raised:
        open_twin(path)
    expect_sentence(raised.value)
    assert said in str(raised.value), str(raised.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY_KB
    assert time.monotonic() - begun < TIME_S


# The files that are damaged, and how often.
DAMAGED = {
    "tf2onnx-gru-13.onnx": 75,
    "torch-inception-20.onnx": 75,
    "keras-cnn-int8.tflite": 75,
    "keras-gru-float32.tflite": 75,
}


def mutated(path: Path, seed: int) -> bytes:
    """A file with bits turned, cut short, or with nodes left out, doubled or in another order."""
    rng = np.random.default_rng(seed)
    data, way = bytearray(path.read_bytes()), seed % 5
    if way == 0:
        return bytes(data[: rng.integers(0, len(data))])
    if way in (1, 2):
        for at in rng.integers(0, len(data), 1 if way == 1 else 12):
            data[at] ^= 1 << rng.integers(0, 8)
        return bytes(data)
    if path.suffix == ".onnx":
        model = onnx.load(path)
        changed = _changed(list(model.graph.node), way, rng)
        del model.graph.node[:]
        model.graph.node.extend(changed)
        for tensor in list(model.graph.initializer)[: int(rng.integers(0, 2))]:
            tensor.CopyFrom(numpy_helper.from_array(np.full((7,), 2**40), tensor.name))
        return model.SerializeToString()
    graph = Graph.open(path)
    graph.graph.operators = _changed(list(graph.graph.operators), way, rng)
    tensor = graph.graph.tensors[rng.integers(0, len(graph.graph.tensors))]
    tensor.shape = [int(size) for size in rng.choice([-1, 0, 1, 2**15, 2**30], 3)]
    out = path.parent / f"{seed}.out"
    graph.write(out)
    return out.read_bytes()


def _changed(made: list[Any], way: int, rng: np.random.Generator) -> list[Any]:
    at = int(rng.integers(0, len(made)))
    if way == 3:
        return made[:at] + made[at + 1 :]
    other = int(rng.integers(0, len(made)))
    return [*made[:at], made[other], *made[at:]]


OPENS = """
import resource, signal, sys
from pathlib import Path
import torch
from pulseproof.core.errors import InputError
from pulseproof.runtime.score import confine
from pulseproof.twins import NotCoveredError, open_twin
from tests.hostile.model.test_twin import mutated
torch.set_num_threads(1)
confine(4 << 30)
source, folder = Path(sys.argv[1]), Path(sys.argv[2])
held = folder / source.name
held.write_bytes(source.read_bytes())
for seed in range(int(sys.argv[3]), int(sys.argv[4])):
    signal.alarm(30)
    path = folder / f"m{source.suffix}"
    path.write_bytes(mutated(held, seed))
    print(seed, "opens", flush=True)
    try:
        twin = open_twin(path)
    except (InputError, NotCoveredError) as error:
        said = str(error)
        assert 10 < len(said) < 1200 and said.replace("\\n", " ").isprintable(), said
        continue
    print(seed, "runs", flush=True)
    try:
        twin(torch.zeros(2, *twin.shape))
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        pass  # of a twin the gate asks its scores, before anything rests on it
print("largest", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGED)
def test_300_mutations_end_in_a_sentence_or_a_twin(name: str, tmp_path: Path) -> None:
    """In a child, which may not die of any, nor need more than 30 s for one, nor 4 GiB for all."""
    command = [sys.executable, "-c", OPENS, str(STRANGERS / name), str(tmp_path), "0", str(DAMAGED[name])]
    ended = subprocess.run(command, cwd=HOME, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, (ended.stdout[-200:], ended.stderr[-2000:])
    assert ended.stdout.count("opens") == DAMAGED[name] and "largest" in ended.stdout
