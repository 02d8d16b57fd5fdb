"""Tiny real models and bundles for the tests of the runtime: an engine opens every one of them."""

from __future__ import annotations

import json
import zipapp
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as tfl
from onnx import TensorProto, helper, numpy_helper

from pulseproof.runtime.files import sha256_file
from pulseproof.runtime.version import sources

LEADS, SAMPLES, CLASSES, STEP_MV, N = 2, 20, 3, 0.005, 24
RUN = {"threads": 1, "warmup_s": 0.01, "min_runs": 30, "min_s": 0.0}


def linear_weights(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Weights (classes, leads * samples) and biases (classes,) of the linear model."""
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(CLASSES, LEADS * SAMPLES)).astype(np.float32),
        rng.normal(size=CLASSES).astype(np.float32),
    )


def onnx_linear(path: Path, samples: int = SAMPLES, bias: float = 0.0) -> Path:
    """Flatten and Gemm: scores = W x + b + ``bias``; a model of another width for another ``samples``."""
    weights, biases = linear_weights()
    weights = np.resize(weights, (CLASSES, LEADS * samples))
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["scores"], transB=1),
    ]
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(biases + np.float32(bias), "b")]
    return _save_onnx(path, nodes, constants, samples)


def onnx_endless(path: Path) -> Path:
    """A Loop of 2^63 - 1 rounds before the scores: it loads, and its first inference never ends."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Sin", ["before"], ["after"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["rounds", "", "x"], ["end"], body=body),
        helper.make_node("ReduceMean", ["end", "axes"], ["mean"], keepdims=0),
        helper.make_node("Concat", ["mean"] * CLASSES, ["flat"], axis=0),
        helper.make_node("Reshape", ["flat", "shape"], ["scores"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(2**63 - 1, np.int64), "rounds"),
        numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
        numpy_helper.from_array(np.array([1, CLASSES], np.int64), "shape"),
    ]
    return _save_onnx(path, nodes, constants, SAMPLES)


def onnx_typed(path: Path, kind: int, outputs: int = 1) -> Path:
    """A model whose input and outputs have another element type, or that has more than one output."""
    names = [f"scores{number}" for number in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], [name]) for name in names],
        "typed",
        [helper.make_tensor_value_info("x", kind, [1, LEADS, SAMPLES])],
        [helper.make_tensor_value_info(name, kind, [1, LEADS * SAMPLES]) for name in names],
    )
    return _save_graph(path, graph)


def _save_onnx(path: Path, nodes: list[Any], constants: list[Any], samples: int) -> Path:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, LEADS, samples])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, CLASSES])],
        constants,
    )
    return _save_graph(path, graph)


def _save_graph(path: Path, graph: Any) -> Path:
    # Versions that an onnxruntime of 2024 still reads.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def tflite_linear(path: Path) -> Path:
    """RESHAPE and FULLY_CONNECTED: the same scores as :func:`onnx_linear`."""
    weights, biases = linear_weights()
    wide = np.array([1, LEADS * SAMPLES], np.int32)
    tensors = [
        _tensor("x", (1, LEADS, SAMPLES)),
        _tensor("flat", wide),
        _tensor("shape", (2,), 1, tfl.TensorType.INT32),
        _tensor("w", weights.shape, 2),
        _tensor("b", biases.shape, 3),
        _tensor("scores", (1, CLASSES)),
    ]
    reshape = tfl.ReshapeOptionsT()
    reshape.newShape = wide
    operators = [
        ("RESHAPE", [0, 2], 1, "ReshapeOptions", reshape),
        ("FULLY_CONNECTED", [1, 3, 4], 5, "FullyConnectedOptions", tfl.FullyConnectedOptionsT()),
    ]
    return _save_tflite(path, tensors, [wide, weights, biases], operators, output=5)


def tflite_recurrent(path: Path) -> Path:
    """A recurrent layer over the leads, whose last state is the scores: it remembers the recording before."""
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(CLASSES, SAMPLES), scale=0.3).astype(np.float32)
    recurrent = rng.normal(size=(CLASSES, CLASSES), scale=0.5).astype(np.float32)
    first, last = np.array([0, LEADS - 1, 0], np.int32), np.array([1, 1, CLASSES], np.int32)
    flat = np.array([1, CLASSES], np.int32)
    tensors = [
        _tensor("x", (1, LEADS, SAMPLES)),
        _tensor("w", weights.shape, 1),
        _tensor("r", recurrent.shape, 2),
        _tensor("b", (CLASSES,), 3),
        _tensor("state", (1, CLASSES), variable=True),
        _tensor("states", (1, LEADS, CLASSES)),
        _tensor("first", (3,), 4, tfl.TensorType.INT32),
        _tensor("last", (3,), 5, tfl.TensorType.INT32),
        _tensor("last_state", (1, 1, CLASSES)),
        _tensor("flat", (2,), 6, tfl.TensorType.INT32),
        _tensor("scores", (1, CLASSES)),
    ]
    sequence, reshape = tfl.SequenceRNNOptionsT(), tfl.ReshapeOptionsT()
    sequence.fusedActivationFunction = tfl.ActivationFunctionType.TANH
    reshape.newShape = flat
    operators = [
        ("UNIDIRECTIONAL_SEQUENCE_RNN", [0, 1, 2, 3, 4], 5, "SequenceRNNOptions", sequence),
        ("SLICE", [5, 6, 7], 8, "SliceOptions", tfl.SliceOptionsT()),
        ("RESHAPE", [8, 9], 10, "ReshapeOptions", reshape),
    ]
    constants = [weights, recurrent, np.zeros(CLASSES, np.float32), first, last, flat]
    return _save_tflite(path, tensors, constants, operators, output=10)


def _tensor(name: str, shape: Any, buffer: int = 0, kind: int = tfl.TensorType.FLOAT32, variable: bool = False) -> Any:
    tensor = tfl.TensorT()
    tensor.name, tensor.shape, tensor.buffer, tensor.type = name.encode(), np.array(shape, np.int32), buffer, kind
    tensor.isVariable = variable
    return tensor


def _save_tflite(
    path: Path, tensors: list[Any], constants: list[np.ndarray], operators: list[Any], output: int
) -> Path:
    graph, model = tfl.SubGraphT(), tfl.ModelT()
    graph.tensors, graph.inputs, graph.outputs = tensors, np.array([0], np.int32), np.array([output], np.int32)
    graph.operators, model.operatorCodes, model.buffers = [], [], [tfl.BufferT()]
    for constant in constants:
        model.buffers.append(tfl.BufferT())
        model.buffers[-1].data = np.frombuffer(constant.tobytes(), np.uint8)
    for index, (kind, inputs, result, options_type, options) in enumerate(operators):
        code, operator = tfl.OperatorCodeT(), tfl.OperatorT()
        code.builtinCode = getattr(tfl.BuiltinOperator, kind)
        code.deprecatedBuiltinCode, code.version = code.builtinCode, 1
        operator.opcodeIndex, operator.inputs, operator.outputs = index, np.array(inputs, np.int32), [result]
        operator.builtinOptionsType, operator.builtinOptions = getattr(tfl.BuiltinOptions, options_type), options
        model.operatorCodes.append(code)
        graph.operators.append(operator)
    model.version, model.subgraphs = 3, [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def steps(seed: int, n: int = N) -> np.ndarray:
    """int16 (n, leads, samples): recorder steps of some signal set."""
    return np.random.default_rng(seed).integers(-400, 400, (n, LEADS, SAMPLES)).astype(np.int16)


def labels() -> np.ndarray:
    """uint8 (N, classes), every class with both."""
    rng = np.random.default_rng(5)
    found = rng.integers(0, 2, (N, CLASSES)).astype(np.uint8)
    found[0], found[1] = 0, 1
    return found


def write_bundle(root: Path, artifacts: dict[str, Any], sets: tuple[str, ...] = ("clean", "pgd-0.01mV")) -> Path:
    """A bundle of ``artifacts`` {"model/recipe": function that writes the file to a path, or bytes}."""
    manifest: dict[str, Any] = {
        "format": 1,
        "study": "tiny",
        "title": "Tiny",
        "note": "SYNTHETIC",
        "synthetic": True,
        "task": {"classes": ["A", "B", "C"], "leads": ["I", "II"], "fs_hz": 10.0, "samples": SAMPLES},
        "files": {},
        "artifacts": [],
        "signals": [],
        "not_applicable": [],
        "run": RUN,
    }
    manifest["task"]["adc_step_mv"] = STEP_MV
    (root / "signals").mkdir(parents=True)
    np.save(root / "labels.npy", labels())
    np.save(root / "patients.npy", np.arange(N, dtype=np.int64))
    for seed, name in enumerate(sets):
        np.save(root / "signals" / f"{name}.npy", steps(seed))
        about = {"name": name, "file": f"signals/{name}.npy", "source": None, "l2_mv": 0.0, "snr_db": None}
        about.update(method=name.partition("-")[0], budget_mv=0.01 if seed else 0.0)
        manifest["signals"].append(about)
    for name, content in artifacts.items():
        model, _, recipe = name.partition("/")
        kind = recipe.partition("-")[0]
        path = root / "artifacts" / model / f"{recipe}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(path)
        about = {"name": name, "model": model, "recipe": recipe, "format": kind, "note": None}
        manifest["artifacts"].append({**about, "file": path.relative_to(root).as_posix()})
    return seal(root, manifest)


def write_two(root: Path) -> Path:
    """A bundle of one model in two formats."""
    return write_bundle(root, {"cnn/onnx-fp32": onnx_linear, "cnn/tflite-fp32": tflite_linear})


def edit(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change ``bundle.json`` and leave the files alone."""
    manifest = json.loads((root / "bundle.json").read_text())
    change(manifest)
    (root / "bundle.json").write_text(json.dumps(manifest))


def set_key(*keys: Any) -> Callable[[Path], None]:
    """Set manifest[keys[0]][keys[1]]... to the last one given."""

    def change(manifest: dict[str, Any]) -> None:
        *way, key, value = keys
        inner: Any = manifest
        for step in way:
            inner = inner[step]
        inner[key] = value

    return lambda root: edit(root, change)


def seal(root: Path, manifest: dict[str, Any]) -> Path:
    """Write ``bundle.json`` with the sizes and hashes of the files as they are now."""
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.name != "bundle.json")
    manifest["files"] = {
        path.relative_to(root).as_posix(): {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
        for path in paths
    }
    (root / "bundle.json").write_text(json.dumps(manifest))
    return root


def pack_runner(folder: Path) -> Path:
    """``runner.pyz``, as bench packs it."""
    source = folder / "source"
    for name, content in sources().items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    (source / "__main__.py").write_text("from pulseproof.runtime.runner import main\n\nraise SystemExit(main())\n")
    zipapp.create_archive(source, folder / "runner.pyz", compressed=True)
    return folder / "runner.pyz"
