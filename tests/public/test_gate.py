"""Public cases of files that run and answer something else than the model that was validated.

Each test is one small input, made here, with the right value, and names the public thread that it stands for.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from pulseproof.core.errors import InputError
from pulseproof.core.scores import are_probabilities
from pulseproof.core.study import Study
from pulseproof.export.gate import alike, bounds, parity
from pulseproof.models.brought.before import refuse_unsuitable
from pulseproof.models.brought.files import take_file
from pulseproof.models.brought.onnx_checks import check_onnx
from pulseproof.report.numbers.metrics import probabilities
from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.engines import EngineError, open_engine
from pulseproof.runtime.words import LONGEST, advice, explained, one_line, printable_lines

LEADS, SAMPLES, CLASSES, N = 2, 60, 3, 120


def recordings(seed: int = 0, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, leads, samples) mV whose mean over a lead says something about the labels (n, classes)."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, CLASSES)) < 0.4).astype(np.uint8)
    signals = rng.normal(size=(n, LEADS, SAMPLES))
    signals[:, 0] += 0.3 * labels[:, :1] - 0.3 * labels[:, 1:2]
    signals[:, 1] += 0.3 * labels[:, 2:]
    return signals.astype(np.float32), labels


def reference_of(module: nn.Module, seed: int = 0) -> parity.Reference:
    signals, labels = recordings(seed)
    with torch.inference_mode():
        scores = module(torch.from_numpy(signals)).numpy()
    threshold = 0.5 * are_probabilities(scores)
    return parity.Reference(signals, labels, np.arange(N), scores, threshold, False, False, classes=("A", "B", "C"))


class Head(nn.Module):
    """Means of the leads, a linear layer, and what stands at the end."""

    def __init__(self, gain: float, end: nn.Module, bias: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.end = nn.Linear(LEADS, CLASSES), end
        with torch.no_grad():
            self.linear.weight.copy_(gain * torch.tensor([[1.0, 0.1], [-1.0, 0.1], [0.1, 1.0]]))
            self.linear.bias.fill_(bias)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.linear(x.mean(dim=2)))


def exported(module: nn.Module, path: Path, **how: object) -> Path:
    torch.onnx.export(module, (torch.zeros(1, LEADS, SAMPLES),), path, opset_version=17, dynamo=False, **how)
    return path


def test_a_sigmoid_that_is_flat_where_the_source_is_not_is_refused_with_its_cause(tmp_path: Path) -> None:
    """onnx #6713: ONNX Runtime's float sigmoid gives 0 below about -18 and multiples of 3e-8 above; every score is
    within 1e-4 of the source's, and a third of the recordings are tied."""
    module = Head(25, nn.Sigmoid(), bias=-20)
    file = exported(module, tmp_path / "sigmoid.onnx")
    reference = reference_of(module)
    verdict = parity.check(file, "onnx-fp32", reference, module, None)
    found = verdict.parity[0]
    assert found.max_difference is not None and found.max_difference < 1e-4
    assert found.auc_change is not None and found.auc_change < -0.01
    assert verdict.reason is not None and "validation macro AUC" in verdict.reason
    assert "its last operator (Sigmoid) gives the same number" in verdict.reason
    assert "export the logits" in verdict.reason

    logits = Head(25, nn.Identity(), bias=-20)
    kept = parity.check(exported(logits, tmp_path / "logits.onnx"), "onnx-fp32", reference_of(logits), logits, None)
    assert kept.reason is None and kept.notes == ()
    before = macro_auc(reference_of(logits).scores, reference.labels)
    assert kept.parity[0].auc_file == pytest.approx(before, abs=1e-9)


def test_a_sigmoid_of_moderate_logits_passes_without_a_word(tmp_path: Path) -> None:
    """onnx #6713, the other side: what is not flat is not named."""
    module = Head(3, nn.Sigmoid())
    verdict = parity.check(exported(module, tmp_path / "m.onnx"), "onnx-fp32", reference_of(module), module, None)
    assert verdict.reason is None and verdict.notes == ()


def test_a_given_file_that_ties_its_own_logits_is_said(tmp_path: Path) -> None:
    """onnx #6713: a file that came like this has no source to lose against; its logits are one."""
    file = exported(Head(25, nn.Sigmoid(), bias=-20), tmp_path / "sigmoid.onnx")
    signals, labels = recordings()
    session = onnxruntime.InferenceSession(file)
    name = session.get_inputs()[0].name
    scores = np.concatenate([session.run(None, {name: signal[None]})[0] for signal in signals])
    told = alike.tied_by_its_end(file, signals, scores, labels)
    assert told is not None and "costs" in told and "of AUC" in told


def test_small_probabilities_are_not_held_to_an_absolute_bound() -> None:
    """Probabilities of a rare class all lie within 1e-4: a file that gives any others must not pass as float."""
    rng = np.random.default_rng(3)
    module = Head(1, nn.Identity())
    reference = replace(reference_of(module), scores=(1e-3 + 2e-5 * rng.normal(size=(N, CLASSES))).astype(np.float32))
    wrong = (1e-3 + 2e-5 * rng.normal(size=(N, CLASSES))).astype(np.float32)
    assert np.abs(wrong - reference.scores).max() < 1e-4
    measured = parity.measure(wrong, reference, bounds.FP32, "onnxruntime")
    assert parity.judge(measured, wrong, reference, bounds.FP32)[0] is not None
    rounded = np.nextafter(reference.scores, np.float32(1))
    measured = parity.measure(rounded, reference, bounds.FP32, "onnxruntime")
    assert parity.judge(measured, rounded, reference, bounds.FP32) == (None, None)


@pytest.mark.parametrize("bound", [bounds.FP32, bounds.FP16, bounds.INT8, bounds.INT16X8])
def test_a_constant_answer_is_refused(bound: bounds.Bound) -> None:
    """A quantized net whose activations are all clipped answers its biases. Between
    classes its scores differ as its source's do, so that the spread over all of them together says nothing."""
    rng = np.random.default_rng(1)
    reference = reference_of(Head(1, nn.Identity()))
    offsets = np.array([-4, 0, 5], np.float32)
    poor = replace(reference, scores=(offsets + 0.3 * rng.normal(size=(N, CLASSES))).astype(np.float32))
    constant = np.tile(offsets, (N, 1))
    rms = np.sqrt(np.square(constant - poor.scores).mean())
    assert rms / poor.scores.std() < 0.5  # what a spread over all classes would let pass
    measured = parity.measure(constant, poor, bound, "onnxruntime")
    assert "gives all 120 validation recordings the same scores" in str(
        parity.judge(measured, constant, poor, bound)[0]
    )


def test_one_constant_class_of_several_is_refused_by_name() -> None:
    """The same of one class: the class that a patient may have."""
    reference = reference_of(Head(1, nn.Identity()))
    scores = reference.scores.copy()
    scores[:, 1] = scores[:, 1].mean()
    measured = parity.measure(scores, reference, bounds.INT8, "onnxruntime")
    assert "the same score of B" in str(parity.judge(measured, scores, reference, bounds.INT8)[0])
    never = replace(reference, labels=reference.labels * np.array([1, 0, 1], np.uint8))  # no AUC of B to lose
    assert alike.constant_reason(scores, never.scores, never.labels, never.classes) is None


def test_a_source_that_is_constant_in_a_class_may_have_a_file_that_is() -> None:
    """A class without a training example is constant in its source as well (scikit-learn #886)."""
    reference = reference_of(Head(1, nn.Identity()))
    scores = reference.scores.copy()
    scores[:, 1] = -10
    constant = replace(reference, scores=scores)
    for bound in (bounds.FP32, bounds.FP16, bounds.INT8):
        measured = parity.measure(scores, constant, bound, "onnxruntime")
        assert parity.judge(measured, scores, constant, bound) == (None, None)


def test_noise_counts_in_each_class_own_spread() -> None:
    """More than one class's own spread, and a fortieth of the spread over all classes."""
    rng = np.random.default_rng(5)
    reference = reference_of(Head(1, nn.Identity()))
    source = rng.normal(size=(N, CLASSES)) * np.array([1, 1, 0.1]) + np.array([-8, 0, 8])
    noisy = source.copy()
    noisy[:, 2] += 0.15 * rng.normal(size=N)
    reference = replace(reference, scores=source.astype(np.float32))
    noise = alike.class_noise(noisy.astype(np.float32), reference.scores)
    assert noise[0] < 1e-6 and noise[1] < 1e-6 and 1 < noise[2] < 2
    reason = alike.noise_reason(noisy.astype(np.float32), reference.scores, ("A", "B", "C"), 1.0, "its source")
    assert reason is not None and "its scores of C differ from its source's by 1." in reason


class Normed(nn.Module):
    """A batch normalisation and a dropout, trained on other recordings than the one that is asked."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.norm, self.drop = nn.BatchNorm1d(LEADS), nn.Dropout(0.5)
        self.head = nn.Linear(LEADS * SAMPLES, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.norm(x)).flatten(1))


def training_file(path: Path) -> Path:
    return exported(Normed().train(), path, training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False)


def test_a_file_in_training_mode_is_refused(tmp_path: Path) -> None:
    """onnxscript #1791, onnxruntime #14185, pytorch #75252: training_mode = 1. It runs, by the recording's own mean and
    variance (.657 of AUC instead of .895 of one net)."""
    file = training_file(tmp_path / "train.onnx")
    nodes = {node.op_type for node in onnx.load(file).graph.node}
    assert {"BatchNormalization", "Dropout"} <= nodes
    with pytest.raises(InputError) as raised:
        check_onnx(file, f"[models.own]: {file}", (LEADS, SAMPLES), CLASSES)
    assert "it was exported in training mode" in raised.value.what and "training_mode = 1" in raised.value.what
    assert "Dropout" in raised.value.what and "model.eval()" in raised.value.mend
    good = exported(Normed().eval(), tmp_path / "eval.onnx")
    assert not check_onnx(good, "good", (LEADS, SAMPLES), CLASSES).quantized


def graph_with(node: onnx.NodeProto, opset: int, path: Path, *more: onnx.NodeProto) -> Path:
    """A file with one node of a kind before its linear head."""
    stored = {name: np.full(LEADS, name in "sv", np.float32) for name in "sbmv"}
    weights = np.random.default_rng(0).normal(size=(LEADS * SAMPLES, CLASSES)).astype(np.float32)
    graph = helper.make_graph(
        [
            *more,
            node,
            helper.make_node("Reshape", ["inner", "flat"], ["row"]),
            helper.make_node("MatMul", ["row", "weights"], ["scores"]),
        ],
        "one",
        [helper.make_tensor_value_info("signal", TensorProto.FLOAT, [1, LEADS, SAMPLES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, CLASSES])],
        [
            *(onnx.numpy_helper.from_array(values, name) for name, values in stored.items()),
            onnx.numpy_helper.from_array(np.array([1, LEADS * SAMPLES]), "flat"),
            onnx.numpy_helper.from_array(weights, "weights"),
            onnx.numpy_helper.from_array(np.float32(0.5), "ratio"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


NORM = ["signal", *"sbmv"]
WRONG = {
    "training_mode": (helper.make_node("BatchNormalization", NORM, ["inner", "a", "b"], training_mode=1), 17),
    "five outputs": (helper.make_node("BatchNormalization", NORM, ["inner", *"acde"]), 9),
    "is_test": (helper.make_node("BatchNormalization", NORM, ["inner"], is_test=0), 6),
    "dropout by a constant": (helper.make_node("Dropout", ["signal", "ratio", "mode"], ["inner"]), 17),
}
RIGHT = {
    "inference": (helper.make_node("BatchNormalization", NORM, ["inner"], training_mode=0), 17),
    "old, one output": (helper.make_node("BatchNormalization", NORM, ["inner"]), 9),
    "old, is_test": (helper.make_node("BatchNormalization", NORM, ["inner"], is_test=1), 6),
    "dropout without a mode": (helper.make_node("Dropout", ["signal", "ratio"], ["inner"]), 17),
    "old dropout": (helper.make_node("Dropout", ["signal"], ["inner"], ratio=0.5), 9),
}
MODE = helper.make_node("Constant", [], ["mode"], value=onnx.numpy_helper.from_array(np.array(True), "v"))


@pytest.mark.parametrize("name", WRONG)
def test_every_form_of_training_mode_is_known(name: str, tmp_path: Path) -> None:
    """BatchNormalization and Dropout of each operator set, by https://onnx.ai/onnx/operators (onnxruntime #3873)."""
    node, opset = WRONG[name]
    more = [MODE] if "mode" in node.input else []
    with pytest.raises(InputError, match="exported in training mode"):
        check_onnx(graph_with(node, opset, tmp_path / "m.onnx", *more), "m", (LEADS, SAMPLES), CLASSES)


@pytest.mark.parametrize("name", RIGHT)
def test_inference_mode_of_every_operator_set_is_taken(name: str, tmp_path: Path) -> None:
    node, opset = RIGHT[name]
    check_onnx(graph_with(node, opset, tmp_path / "m.onnx"), "m", (LEADS, SAMPLES), CLASSES)


def test_a_hair_outside_is_a_probability_everywhere(tmp_path: Path) -> None:
    """fastText #718, and softmaxes by a logarithm: -6e-8 and 1 + 6e-8. As logits their threshold would be 0, and every
    recording would have every class."""
    scores = np.array([[-6e-8, 0.3], [1 + 1.2e-7, 0.7]], np.float32)
    assert are_probabilities(scores)
    assert np.array_equal(probabilities(scores, scores), np.clip(scores.astype(np.float64), 0, 1))
    assert not are_probabilities(scores - np.float32(1e-3)) and not are_probabilities(2 * scores)
    assert not are_probabilities(np.full((2, 2), np.nan))

    class Hair(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(x.mean(dim=2).repeat(1, 2)[:, :CLASSES] * 4) * 1.0000005 - 2e-7

    signals, _ = recordings(n=24)
    file = exported(Hair().eval(), tmp_path / "hair.onnx")
    signals[0] = -9.0
    assert take_file(file, "m", signals, CLASSES, tmp_path / "given.onnx").threshold == 0.5


def relu(path: Path, ir_version: int = 8, opset: int = 17, operator: str = "Relu") -> Path:
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir_version
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("how", "says", "mend"),
    [
        ({"ir_version": 99}, "Unsupported model IR version: 99, max supported IR version: ", "lower IR version"),
        ({"opset": 99}, "Current official support for domain ai.onnx is till opset", "lower operator set"),
        ({"operator": "NoSuch"}, "No Op registered for NoSuch with domain_version of 17", "another operator set"),
    ],
)
def test_the_end_of_an_engines_message_is_kept_with_what_to_do(
    how: dict[str, int | str], says: str, mend: str, tmp_path: Path
) -> None:
    """onnxruntime #20559, #15874: the sentence stands behind a path and a C++ signature of 300 characters."""
    folder = tmp_path / ("a long folder " * 12).strip()
    folder.mkdir()
    file = relu(folder / "m.onnx", **how)  # type: ignore[arg-type]
    with pytest.raises(EngineError) as raised:
        open_engine(file)
    assert says in str(raised.value) and mend in str(raised.value)
    assert "onnxruntime_src" not in str(raised.value) and "Model::Model" not in str(raised.value)


def test_what_an_engine_repeats_of_a_stranger_is_no_command_to_a_terminal() -> None:
    """A node may be called anything: a colour, the title of the window, a line of its own."""
    said = explained("Encountered unresolved custom op: \x1b[31mX\x1b]0;title\x07\nline\u2028two.")
    assert said.isprintable() and "unresolved custom op: [31mX" in said and "TFLITE_BUILTINS" in said
    assert printable_lines("a\x1b[2J\r\nb") == "a [2J \nb"
    assert len(one_line("a" * 5000 + " the end")) == LONGEST and one_line("a" * 5000 + " the end").endswith("the end")
    assert one_line(ValueError("")) == "ValueError" and advice("nothing that is known") is None


def study_with(file: Path, **data: object) -> Study:
    given = {"source": "ptb-xl", "path": "nowhere", "leads": ["I", "II"], "window_s": [0, 0.6]} | data
    return Study.model_validate({"name": "s", "title": "s", "data": given, "models": {"own": {"file": str(file)}}})


def two_inputs(path: Path) -> Path:
    model = onnx.load(exported(Head(1, nn.Identity()), path))
    model.graph.input.append(helper.make_tensor_value_info("rr", TensorProto.FLOAT, [1, 4]))
    onnx.save(model, path)
    return path


class Transposed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=1).repeat(1, 3)[:, :5]


def too_long(path: Path) -> Path:
    torch.onnx.export(Transposed().eval(), (torch.zeros(1, SAMPLES + 1, LEADS),), path, opset_version=17, dynamo=False)
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (two_inputs, "expected one: a recording"),
        (too_long, "the recordings are"),
        (training_file, "training mode"),
        (lambda path: exported(Head(1, nn.Identity()), path), "the study has 5 classes"),
        (lambda path: path, "no such file"),
        (lambda path: path.write_bytes(b"\x80\x02pickle") and path, "by its content it is a pickle"),
    ],
    ids=["two inputs", "too long", "training mode", "classes", "missing", "pickle"],
)
def test_an_unsuitable_file_is_refused_before_recordings_are_read(make, says: str, tmp_path: Path) -> None:
    """Strangers waited 25 to 35 s of reading recordings for this. Here there are none to read."""
    file = make(tmp_path / "own.onnx")
    begun = time.monotonic()
    with pytest.raises(InputError) as raised:
        refuse_unsuitable(study_with(file), tmp_path / "build")
    assert says in raised.value.what and "[models.own]" in raised.value.what and str(file) in raised.value.what
    assert time.monotonic() - begun < 20


def test_every_command_looks_at_the_file_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from pulseproof.main import app
    from pulseproof.pipeline import bundle_study

    monkeypatch.delenv("PULSEPROOF_DATA", raising=False)
    file, toml = two_inputs(tmp_path / "own.onnx"), tmp_path / "s.toml"
    with pytest.raises(InputError, match="expected one: a recording"):
        bundle_study(study_with(file), None, tmp_path / "build")
    toml.write_text(
        'name = "s"\ntitle = "s"\n[data]\nsource = "ptb-xl"\npath = "nowhere"\nleads = ["I", "II"]\n'
        "window_s = [0, 0.6]\n[models.cnn]\nepochs = 1\n"
    )
    asked = ["export", "--study", str(toml), "--build", str(tmp_path / "build"), "--model"]
    for model, says in ((str(file), "expected one: a recording"), ("net.keras", "not a file of a trained model")):
        error = CliRunner().invoke(app, [*asked, model]).exception
        assert isinstance(error, InputError) and says in error.what
