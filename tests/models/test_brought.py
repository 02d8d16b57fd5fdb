"""Files from a stranger: what is right is taken as it is, what is wrong is said in words, and nothing is half-taken."""

from __future__ import annotations

import io
import pickle
import platform
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.brought.files import take_file
from pulseproof.models.brought.model import FileModel, spec_for
from pulseproof.models.run import load_metrics, train_study
from pulseproof.runtime.files import read_json
from tests.models.making import small_recordings

SHAPE, CLASSES = (2, 160), 3
RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(320, 3)).astype(np.float32)
Make = Callable[[Path], Path]


def signals(n: int = 6) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.3, (n, *SHAPE)).astype(np.float32)


def graph(
    path: Path,
    shape: tuple[Any, ...] = ("batch", 2, 160),
    scores: tuple[Any, ...] | None = ("batch", 3),
    kind: int = TensorProto.FLOAT,
    weight: np.ndarray = WEIGHT,
    more: tuple[onnx.NodeProto, ...] = (),
    inputs: tuple[str, ...] = ("x",),
    outputs: tuple[str, ...] = ("y",),
    listed: bool = False,
) -> Path:
    """One linear layer: Flatten, Gemm to y, and ``more`` nodes (which may use y). ``listed``: the weight is among the
    graph's inputs, as IR version 3 had it."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "W"], ["y"]),
        *more,
    ]
    given = [helper.make_tensor_value_info(name, kind, shape) for name in inputs]
    if listed:
        given.append(helper.make_tensor_value_info("W", TensorProto.FLOAT, weight.shape))
    given_out = [helper.make_tensor_value_info(name, kind, scores) for name in outputs]
    body = helper.make_graph(nodes, "g", given, given_out, [numpy_helper.from_array(weight, "W")])
    opsets = [helper.make_opsetid(domain, version) for domain, version in (("", 17), ("my.company", 1))]
    onnx.save(helper.make_model(body, opset_imports=opsets, ir_version=8), path)
    return path


def external(folder: Path, location: str | None = None) -> Path:
    """The same with its weight in a file beside it, whose entry then says ``location``."""
    path = graph(folder / "m.onnx")
    onnx.save_model(onnx.load(path), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    if location is not None:
        model = onnx.load(path, load_external_data=False)
        for entry in model.graph.initializer[0].external_data:
            if entry.key == "location":
                entry.value = location
        path.write_bytes(model.SerializeToString())
    return path


def linked(folder: Path) -> Path:
    path = external(folder / "inside")
    secret = folder / "secret.bin"
    shutil.move(folder / "inside" / "w.bin", secret)
    (folder / "inside" / "w.bin").symlink_to(secret)
    return path


def outside(folder: Path) -> Path:
    path = external(folder / "inside", "../w.bin")
    shutil.move(folder / "inside" / "w.bin", folder / "w.bin")
    return path


def absolute(folder: Path) -> Path:
    return external(folder / "inside", str(folder / "inside" / "w.bin"))


def missing_data(folder: Path) -> Path:
    path = external(folder / "inside")
    (folder / "inside" / "w.bin").unlink()
    return path


def short_data(folder: Path) -> Path:
    path = external(folder / "inside")
    data = folder / "inside" / "w.bin"
    data.write_bytes(data.read_bytes()[:-4])
    return path


def content(name: str, data: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def checkpoint() -> bytes:
    held = io.BytesIO()
    torch.save({"w": torch.zeros(3)}, held)
    return held.getvalue()


def truncated(make: Callable[[Path], Path], share: float) -> Make:
    def cut(folder: Path) -> Path:
        path = make(folder)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        return path

    return cut


def made(**changes: Any) -> Make:
    return lambda folder: graph(folder / "m.onnx", **changes)


def node(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> tuple[onnx.NodeProto, ...]:
    return (helper.make_node(op, inputs, outputs, **attributes),)


def tflite(path: Path, shape: tuple[int, ...] = (1, 2, 160), weight: np.ndarray = WEIGHT, classes: int = 3) -> Path:
    """One linear layer as a TFLite file: RESHAPE, FULLY_CONNECTED. Kept small: the converter takes seconds."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT()
    model.version, model.description = 3, "by a stranger"
    model.operatorCodes, model.buffers, body = [], [schema.BufferT()], schema.SubGraphT()
    body.tensors, body.operators, body.inputs, body.outputs = [], [], [0], [2]
    model.subgraphs = [body]
    path.write_bytes(_packed(schema, model, body, shape, weight, classes))
    return path


def _packed(schema: Any, model: Any, body: Any, shape: tuple[int, ...], weight: np.ndarray, classes: int) -> bytes:
    import flatbuffers

    def tensor(name: str, sizes: tuple[int, ...], data: np.ndarray | None = None) -> None:
        made = schema.TensorT()
        made.name, made.shape, made.type = name.encode(), list(sizes), schema.TensorType.FLOAT32
        made.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        body.tensors.append(made)

    tensor("x", shape)
    tensor("W", (classes, int(np.prod(shape[1:]))), weight.T[:classes])
    tensor("y", (1, classes))
    code, call, options = schema.OperatorCodeT(), schema.OperatorT(), schema.FullyConnectedOptionsT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 1
    call.opcodeIndex, call.inputs, call.outputs = 0, [0, 1, -1], [2]
    call.builtinOptionsType, call.builtinOptions = schema.BuiltinOptions.FullyConnectedOptions, options
    model.operatorCodes.append(code)
    body.operators.append(call)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def made_tflite(**changes: Any) -> Make:
    return lambda folder: tflite(folder / "m.tflite", **changes)


def random_after_head(folder: Path) -> Path:
    path = tflite(folder / "m.tflite")
    data = path.read_bytes()
    path.write_bytes(data[:8] + np.random.default_rng(3).bytes(len(data) - 8))
    return path


def overflows(folder: Path) -> Path:
    """The least int32 divided by -1: the processor traps, and the process is gone (ONNX Runtime 1.31.1 on x86-64)."""
    more = (
        helper.make_node("Constant", [], ["least"], value=numpy_helper.from_array(np.array([-(2**31)], np.int32))),
        helper.make_node("Constant", [], ["minus"], value=numpy_helper.from_array(np.array([-1], np.int32))),
        helper.make_node("Div", ["least", "minus"], ["ratio"]),
        helper.make_node("Cast", ["ratio"], ["offset"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["y", "offset"], ["z"]),
    )
    return graph(folder / "m.onnx", outputs=("z",), more=more)


def eats_memory(folder: Path) -> Path:
    more = (
        helper.make_node("Constant", [], ["size"], value=numpy_helper.from_array(np.array([1 << 36], np.int64))),
        helper.make_node("ConstantOfShape", ["size"], ["many"]),
        helper.make_node("ReduceSum", ["many"], ["sum"]),
        helper.make_node("Add", ["y", "sum"], ["z"]),
    )
    return graph(folder / "m.onnx", outputs=("z",), more=more)


NAN = WEIGHT.copy()
NAN[7, 1] = np.nan
INFINITE = WEIGHT.copy()
INFINITE[7, 1] = np.inf

# name: (the file, what the message says, what it says to do)
WRONG: dict[str, tuple[Make, str, str]] = {
    "missing": (lambda folder: folder / "none.onnx", "no such file", "working directory"),
    "a folder": (lambda folder: folder, "no such file", "working directory"),
    "pickle": (content("m.onnx", pickle.dumps([1])), "a pickle", "safetensors"),
    "torch checkpoint": (content("m.tflite", checkpoint()), "checkpoint of PyTorch", "safetensors"),
    "tflite named onnx": (content("m.onnx", b"\x1c\0\0\0TFL3" + b"\0" * 40), "a .tflite file", "name it .tflite"),
    "joblib": (content("m.onnx", b"\x1f\x8b\x08" + b"\0" * 40), "compressed as joblib does it", "skops.io.dump"),
    "keras": (content("m.tflite", b"\x89HDF\r\n\x1a\n"), "Keras", "TFLiteConverter"),
    "empty": (content("m.onnx", b""), "not an ONNX file", "export it again"),
    "random": (content("m.onnx", RNG.bytes(4000)), "not an ONNX file", "export it again"),
    "half": (truncated(made(), 0.5), "not an ONNX file", "export it again"),
    "outside": (outside, "outside its own folder", "save_as_external_data=False"),
    "absolute": (absolute, "outside its own folder", "save_as_external_data=False"),
    "linked": (linked, "behind a link", "save_as_external_data=False"),
    "no data": (missing_data, "no such file", "copy that file"),
    "short data": (short_data, "ends at 3840", "cut short"),
    "two inputs": (made(inputs=("x", "age"), more=node("Flatten", ["age"], ["a"])), "'x', 'age'", "others] what each"),
    "two outputs": (made(outputs=("y", "z"), more=node("Relu", ["y"], ["z"])), "'y', 'z'", "output = 'name'"),
    "integer input": (made(kind=TensorProto.INT32), "is int32, and nothing in the file says", "a float input"),
    "no shape": (made(shape=None), "declares no shape", "layout = 'n c t'"),
    "either order": (made(shape=(1, "leads", "time")), "may be in either order", "layout = 'n t c'"),
    "flat": (made(shape=(1, 320)), "the recordings are (1, 2, 160)", "input"),
    "12 leads": (
        made(shape=(1, 12, 1000)),
        "(1, 12, 1000), the recordings are (1, 2, 160)",
        "the leads and the window",
    ),
    "batch of 8": (made(shape=(8, 2, 160)), "a batch of 8", "a batch of 1"),
    "two classes": (made(scores=("batch", 2), weight=WEIGHT[:, :2]), "the study has 3 classes", "classes = ["),
    "two classes, unsaid": (made(scores=None, weight=WEIGHT[:, :2]), "shape (1, 2), not (1, 3)", "one score a class"),
    "label": (made(outputs=("z",), scores=None, more=node("ArgMax", ["y"], ["z"])), "does not", "export it again"),
    "nan": (made(weight=NAN), "'W' hold a value that is NaN", "train or export it again"),
    "infinite": (made(weight=INFINITE), "'W' hold a value that is infinite", "train or export it again"),
    "custom operator": (
        made(outputs=("z",), more=node("Peaks", ["y"], ["z"], domain="my.company")),
        "my.company.Peaks is a custom one",
        "operators of ONNX only",
    ),
    "unknown operator": (made(outputs=("z",), more=node("Wavelet", ["y"], ["z"])), "Wavelet", "export it again"),
    "not finite": (made(outputs=("z",), more=node("Log", ["y"], ["z"])), "score that is not finite", "logarithm"),
    "random scores": (
        made(outputs=("z",), more=node("RandomNormalLike", ["y"], ["z"])),
        "other scores when it is run again",
        "evaluation mode",
    ),
    "crash": (overflows, "it crashed its process (SIGFPE)", "export it again"),
    "memory": (eats_memory, "running ConstantOfShape", "export it again"),
    "tflite random": (content("m.tflite", RNG.bytes(4000)), "not a TFLite file", "convert it again"),
    "tflite random after its head": (random_after_head, "m.tflite: ", "convert it again"),
    "tflite half": (truncated(made_tflite(), 0.5), "m.tflite: ", "convert it again"),
    "tflite two classes": (made_tflite(classes=2), "the study has 3 classes", "classes = ["),
    "tflite nan": (made_tflite(weight=NAN), "'W' hold a value that is NaN", "train or convert it again"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_and_nothing_is_kept(name: str, tmp_path: Path) -> None:
    if name == "crash" and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("only x86 traps there")
    make, said, mend = WRONG[name]
    (tmp_path / "inside").mkdir()
    path = make(tmp_path)
    kept = tmp_path / "kept" / f"given{path.suffix}"
    with pytest.raises(InputError) as raised:
        take_file(path, f"[models.own]: {path}", signals(), CLASSES, kept)
    assert str(path) in raised.value.what
    assert said in raised.value.what, raised.value.what
    assert mend in raised.value.mend, raised.value.mend
    assert not kept.parent.exists() or not list(kept.parent.iterdir())


def half_weights(folder: Path) -> Path:
    cast = (helper.make_node("Cast", ["H"], ["W"], to=TensorProto.FLOAT),)
    path = graph(folder / "m.onnx")
    model = onnx.load(path)
    model.graph.node.insert(0, cast[0])
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(WEIGHT.astype(np.float16), "H"))
    onnx.save(model, path)
    return path


# name: (the file, whether it counts as quantized, its threshold)
RIGHT: dict[str, tuple[Make, bool, float]] = {
    "free batch": (made(), False, 0.0),
    "batch 1": (made(shape=(1, 2, 160), scores=(1, 3)), False, 0.0),
    "weights among its inputs": (made(listed=True), False, 0.0),
    "no shape of its scores": (made(scores=None), False, 0.0),
    "external data": (external, False, 0.0),
    "probabilities": (made(outputs=("z",), more=node("Softmax", ["y"], ["z"])), False, 0.5),
    "half weights": (half_weights, True, 0.0),
    "tflite": (made_tflite(), False, 0.0),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_taken_with_the_same_scores(name: str, tmp_path: Path) -> None:
    make, quantized, threshold = RIGHT[name]
    path = make(tmp_path)
    kept = tmp_path / "kept" / f"given{path.suffix}"
    taken = take_file(path, "own", signals(), CLASSES, kept)
    assert (taken.quantized, taken.threshold) == (quantized, threshold)
    shutil.move(path, tmp_path / f"elsewhere{path.suffix}")  # the kept file needs nothing of the folder it came from
    x = signals(5)
    flat = x.reshape(5, -1) @ (WEIGHT.astype(np.float16).astype(np.float32) if name == "half weights" else WEIGHT)
    expected = np.exp(flat) / np.exp(flat).sum(axis=1, keepdims=True) if name == "probabilities" else flat
    model = FileModel(kept, SHAPE)
    assert model(torch.from_numpy(x)).numpy() == pytest.approx(expected, abs=1e-4)
    again = pickle.loads(pickle.dumps(model))  # as a spawned process gets it
    assert torch.equal(again(torch.from_numpy(x)), model(torch.from_numpy(x)))
    assert not model.differentiable
    if name not in ("external data",):
        assert kept.read_bytes() == (tmp_path / f"elsewhere{path.suffix}").read_bytes()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1), byte=st.integers(0, 255))
@example(at=0.005859375, byte=128)  # the name of an operator is no longer text
def test_one_changed_byte_is_taken_or_refused_but_never_escapes(tmp_path: Path, at: float, byte: int) -> None:
    """Whatever a damaged protobuf says, it ends in an InputError or in a file that gives finite scores."""
    from pulseproof.models.brought.onnx_checks import check_onnx

    path = graph(tmp_path / "m.onnx", shape=(1, 2, 160))
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] = byte
    path.write_bytes(bytes(data))
    try:
        check_onnx(path, "own", SHAPE, CLASSES)
    except InputError as error:
        assert error.what.startswith("own: ")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return small_recordings(tmp_path_factory.mktemp("recordings") / "small")


def study(**models: Any) -> Study:
    head = {"name": "small", "title": "small", "data": {"source": "synthetic"}}
    return Study.model_validate({**head, "models": models})


@pytest.mark.parametrize("make", [graph, tflite], ids=["onnx", "tflite"])
def test_a_study_takes_a_file_measures_it_and_notices_when_it_changes(
    make: Callable[..., Path], tmp_path: Path, recordings: Recordings
) -> None:
    suffix = ".onnx" if make is graph else ".tflite"
    path = make(tmp_path / f"mine{suffix}")
    asked = study(mine={"file": str(path)})
    trained = train_study(asked, recordings, tmp_path)["mine"]
    assert isinstance(trained.module, FileModel) and not trained.differentiable
    folder = tmp_path / "small" / "models" / "mine"
    assert (folder / f"given{suffix}").read_bytes() == path.read_bytes()
    found = load_metrics(asked, tmp_path)["mine"]
    assert 0 < found["test"]["auc"] < 1 and not found["published"]
    stamp = (folder / "train.stamp.json").stat().st_mtime_ns
    assert train_study(asked, recordings, tmp_path)["mine"].digest == trained.digest
    assert (folder / "train.stamp.json").stat().st_mtime_ns == stamp
    make(path, weight=WEIGHT * 2)
    other = train_study(asked, recordings, tmp_path)["mine"]
    assert other.digest != trained.digest
    x = torch.from_numpy(recordings.signals(recordings.indices("test")[:4]))
    assert other.module(x).numpy() == pytest.approx(x.flatten(1).numpy() @ (2 * WEIGHT), abs=1e-3)
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        train_study(asked, recordings, tmp_path)


def test_changed_external_data_is_noticed(tmp_path: Path, recordings: Recordings) -> None:
    path = external(tmp_path)
    asked = study(mine={"file": str(path)})
    first = train_study(asked, recordings, tmp_path)["mine"].digest
    (tmp_path / "w.bin").write_bytes((WEIGHT * 2).tobytes())
    assert train_study(asked, recordings, tmp_path)["mine"].digest != first


def test_a_refused_file_leaves_no_step(tmp_path: Path, recordings: Recordings) -> None:
    path = graph(tmp_path / "mine.onnx", weight=NAN)
    with pytest.raises(InputError, match=r"\[models.mine\]"):
        train_study(study(mine={"file": str(path)}), recordings, tmp_path)
    assert not [file for file in (tmp_path / "small").rglob("*") if file.is_file()]


@pytest.mark.parametrize("key", ["epochs", "balanced", "options"])
def test_settings_of_a_training_do_not_go_with_a_file(key: str, tmp_path: Path, recordings: Recordings) -> None:
    value = {"epochs": 3, "balanced": True, "options": {"width": 3}}[key]
    path = graph(tmp_path / "mine.onnx")
    with pytest.raises(InputError, match=f"{key} say how to train it"):
        train_study(study(mine={"file": str(path), key: value}), recordings, tmp_path)


# what a command is given: (model, weights), and what it means or what is wrong with it
SPECS = {
    "onnx": (("a/b.onnx", None), {"file": "a/b.onnx"}),
    "tflite": (("b.tflite", None), {"file": "b.tflite"}),
    "skops": (("b.skops", None), {"file": "b.skops"}),
    "class of a net": (("models.nets:Cnn", None), {"factory": "models.nets:Cnn", "trained": True}),
    "with weights": (
        ("models.nets:Cnn", "w.safetensors"),
        {"factory": "models.nets:Cnn", "trained": True, "weights": "w.safetensors"},
    ),
    "function of sizes": (
        ("tests.models.test_strangers:first_three", None),
        {"factory": "tests.models.test_strangers:first_three", "trained": True},
    ),
    "function of a net": (
        ("tests.models.test_strangers:takes_nothing", None),
        {"factory": "tests.models.test_strangers:takes_nothing", "trained": True},
    ),
    "function of an estimator": (
        ("tests.models.test_strangers:fitted_forest", None),
        {"estimator": "tests.models.test_strangers:fitted_forest", "trained": True},
    ),
    "checkpoint": (("net.pt", None), "safetensors.torch.save_file"),
    "joblib": (("forest.joblib", None), "skops.io.dump"),
    "keras": (("net.keras", None), "TFLiteConverter"),
    "weights alone": (("net.safetensors", None), "factory"),
    "weights of a file": (("net.onnx", "w.safetensors"), "leave them out"),
    "weights as checkpoint": (("models.nets:Cnn", "w.pt"), "safetensors.torch.save_file"),
    "something": (("net.txt", None), ".onnx"),
    "capitals": (("net.ONNX", None), "so spelt"),
    "no name": (("my-net:make", "w.safetensors"), "package.module:name"),
    "unknown module": (("no_such_module:net", None), "package.module:name"),
    "a number": (("tests.models.test_brought:CLASSES", None), "package.module:name"),
    "gives a number": (("builtins:int", None), "returns the trained model"),
}


@pytest.mark.parametrize("name", SPECS)
def test_what_a_command_is_given_becomes_a_specification(name: str) -> None:
    (model, weights), expected = SPECS[name]
    if isinstance(expected, str):
        with pytest.raises(InputError) as raised:
            spec_for(model, weights)
        assert expected in raised.value.mend
        return
    assert spec_for(model, weights).model_dump(exclude_defaults=True) == expected


@pytest.mark.slow
def test_a_skops_file_that_is_another_zip_is_refused(tmp_path: Path, recordings: Recordings) -> None:
    path = tmp_path / "mine.skops"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no estimator")
    with pytest.raises(InputError, match="not a readable skops file"):
        train_study(study(mine={"file": str(path)}), recordings, tmp_path)


def test_the_head_of_a_kept_model_says_where_it_came_from(tmp_path: Path, recordings: Recordings) -> None:
    path = graph(tmp_path / "mine.onnx")
    train_study(study(mine={"file": str(path)}), recordings, tmp_path)
    head = read_json(tmp_path / "small" / "models" / "mine" / "model.json")
    assert (head["origin"], head["file"], head["spec"]["file"]) == ("file", "given.onnx", str(path))
