"""Models that nobody here wrote, through every standard recipe: right, or refused with a reason, never silently wrong.

Each file that counts is run here once more, on recordings that the gate did not see, and held against the original.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import Tensor, nn

from pulseproof.core.engines import score
from pulseproof.core.recipes import STANDARD
from pulseproof.core.study import Study
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.manifest import Manifest, ManifestEntry
from pulseproof.export.quiet import quiet
from pulseproof.export.run import export_study
from pulseproof.models.classical import probabilities
from pulseproof.models.features import Features
from pulseproof.models.run import train_study
from tests.export.making import small_study

pytestmark = pytest.mark.slow
HERE = "tests.export.test_strangers:"
LEADS, SAMPLES, CLASSES = 2, 160, 3
Original = Callable[[Tensor], NDArray[np.float32]]


class Branches(nn.Module):
    """Three kernels side by side, as Inception has it, and batch norm after their concatenation, where no exporter
    folds it."""

    def __init__(self, leads: int = LEADS, classes: int = CLASSES, width: int = 6) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(leads, width, 7, 2, 3), nn.GELU())
        self.sides = nn.ModuleList(nn.Conv1d(width, width, kernel, padding=kernel // 2) for kernel in (3, 7, 15))
        self.pool = nn.Sequential(nn.MaxPool1d(3, 1, 1), nn.Conv1d(width, width, 1))
        self.norm = nn.BatchNorm1d(4 * width)
        self.last = nn.Sequential(nn.Conv1d(4 * width, 16, 3, 2, 1), nn.BatchNorm1d(16), nn.GELU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([*(side(x) for side in self.sides), self.pool(x)], dim=1)
        return self.head(self.last(nn.functional.gelu(self.norm(x))))


class BothWays(nn.Module):
    """Two LSTM layers that read in both directions, with dropout between them."""

    def __init__(self, leads: int = LEADS, classes: int = CLASSES, hidden: int = 12) -> None:
        super().__init__()
        self.reduce = nn.Conv1d(leads, 8, 8, 8)
        self.lstm = nn.LSTM(8, hidden, num_layers=2, bidirectional=True, dropout=0.3, batch_first=True)
        self.head = nn.Linear(2 * hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(self.reduce(x).transpose(1, 2))
        return self.head(states.mean(dim=1))


class Attends(nn.Module):
    """Patches, a class token, positions, and two layers of self-attention."""

    def __init__(self, leads: int = LEADS, classes: int = CLASSES, width: int = 16, patch: int = 10) -> None:
        super().__init__()
        self.patches = nn.Conv1d(leads, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        places = torch.arange(SAMPLES // patch + 1).unsqueeze(1)
        angles = places * torch.exp(torch.arange(0, width, 2) * (-math.log(1000.0) / width))
        self.register_buffer("positions", torch.stack([angles.sin(), angles.cos()], -1).flatten(1).unsqueeze(0))
        layer = nn.TransformerEncoderLayer(width, 4, 32, dropout=0.1, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
        return self.head(self.encoder(x)[:, 0])


NETS: dict[str, type[nn.Module]] = {"branches": Branches, "both-ways": BothWays, "attends": Attends}


def fitted_net(kind: type[nn.Module], recordings: Recordings) -> nn.Module:
    """Trained for a second or two, as somebody would elsewhere."""
    torch.manual_seed(1)
    net, rows = kind(), recordings.indices("train")
    x = torch.from_numpy(recordings.signals(rows))
    y = torch.from_numpy(recordings.labels[rows]).float()
    optimizer = torch.optim.Adam(net.parameters(), 4e-3)
    for step in range(90):
        batch = torch.arange(step * 36, step * 36 + 36) % len(rows)
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(x[batch]), y[batch]).backward()
        optimizer.step()
    return net.eval()


def of_net(net: nn.Module) -> Original:
    def say(x: Tensor) -> NDArray[np.float32]:
        with torch.inference_mode():
            return net(x).numpy()

    return say


def fitted_on_samples(recordings: Recordings) -> dict[str, tuple[Any, Original]]:
    """Estimators that take the recording itself, lead after lead."""
    rows = recordings.indices("train")
    x, y = recordings.signals(rows).reshape(len(rows), -1), recordings.labels[rows]
    forest = RandomForestClassifier(10, max_depth=5, random_state=0).fit(x, y)
    linear = make_pipeline(MinMaxScaler(), OneVsRestClassifier(LogisticRegression(C=0.1))).fit(x, y)
    return {
        "sample-forest": (forest, lambda signals: probabilities(forest, signals.flatten(1).numpy())),
        "sample-logistic": (
            linear, lambda signals: linear.decision_function(signals.flatten(1).numpy()).astype(np.float32)
        ),
    }  # fmt: skip


def fitted_pipeline(recordings: Recordings) -> tuple[Any, Original]:
    rows = recordings.indices("train")
    features = Features(recordings.about.leads, SAMPLES, recordings.about.fs_hz)
    boosted = HistGradientBoostingClassifier(max_iter=15, min_samples_leaf=8, random_state=0)
    pipeline = make_pipeline(StandardScaler(), OneVsRestClassifier(boosted))
    pipeline.fit(features(torch.from_numpy(recordings.signals(rows))).numpy(), recordings.labels[rows])
    return pipeline, lambda x: pipeline.decision_function(features(x).numpy()).astype(np.float32)


def write_files(folder: Path, net: nn.Module) -> dict[str, Path]:
    """The same net in files, made by the converters as their documentation has it."""
    import litert_torch
    from onnxruntime.quantization import quantize_dynamic

    x = torch.zeros(2, LEADS, SAMPLES)
    files = {name: folder / f"{name}.{name.split('-')[0]}" for name in ("onnx-old", "onnx-new", "onnx-int8", "tflite")}
    with quiet():
        torch.onnx.export(net, (x,), files["onnx-old"], dynamo=False, dynamic_axes={"x": {0: "n"}}, input_names=["x"])
        batch = {0: torch.export.Dim("n")}
        torch.onnx.export(net, (x,), files["onnx-new"], dynamo=True, dynamic_shapes=(batch,), external_data=True)
        quantize_dynamic(files["onnx-old"], files["onnx-int8"])
        litert_torch.convert(net, (x[:1],)).export(str(files["tflite"]))
    return files


@pytest.fixture(scope="module")
def exported(
    recordings: Recordings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Manifest, Path, dict[str, Original]]:
    """(what became of every file, where they are, the original of every model)."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("strangers")
    originals: dict[str, Original] = {}
    models: dict[str, dict[str, Any]] = {}
    for name, kind in NETS.items():
        net = fitted_net(kind, recordings)
        originals[name] = of_net(net)
        save_file({key: tensor.clone() for key, tensor in net.state_dict().items()}, folder / f"{name}.safetensors")
        models[name] = {"factory": HERE + kind.__name__, "trained": True, "weights": f"{folder}/{name}.safetensors"}
        if name == "branches":
            for file, path in write_files(folder, net).items():
                models[file], originals[file] = {"file": str(path)}, originals[name]
    for name, (estimator, original) in {
        "boosted": fitted_pipeline(recordings), **fitted_on_samples(recordings)
    }.items():  # fmt: skip
        skops.io.dump(estimator, folder / f"{name}.skops")
        models[name], originals[name] = {"file": str(folder / f"{name}.skops")}, original
    study: Study = small_study(models, recipes=list(STANDARD))
    trained = train_study(study, recordings, folder)
    return export_study(study, recordings, trained, folder, jobs=2), folder / study.name, originals


TREES = ("boosted", "sample-forest")
MODELS = (*NETS, *TREES, "sample-logistic", "onnx-old", "onnx-new", "onnx-int8", "tflite")


def entries(exported: tuple[Manifest, Path, Any], model: str) -> dict[str, ManifestEntry]:
    return {entry.recipe: entry for entry in exported[0].entries if entry.model == model}


def wrong(scores: NDArray[np.float32], expected: NDArray[np.float32], recipe: str, steps: bool) -> str | None:
    """What is wrong with a file's scores, by limits of this test's own; None when they are right."""
    spread = float(expected.std())
    apart = np.abs(scores - expected).max(axis=1)
    noise = float(np.sqrt(np.square(scores - expected).mean())) / spread
    if recipe.endswith("fp32"):
        moved = float((apart > 1e-4 * max(1.0, spread)).mean())
        return None if moved <= (0.02 if steps else 0) else f"{moved:.0%} of recordings differ by up to {apart.max()}"
    allowed = 0.6 if "int" in recipe or steps else 0.01
    return None if noise <= allowed else f"noise of {noise:.2f} standard deviations"


@pytest.mark.parametrize("model", MODELS)
def test_no_file_is_wrong_in_silence(
    model: str, exported: tuple[Manifest, Path, dict[str, Original]], recordings: Recordings
) -> None:
    _, root, originals = exported
    signals = recordings.signals(recordings.indices("test"))
    expected = originals[model](torch.from_numpy(signals))
    assert expected.std() > 0.1  # they say something
    found = entries(exported, model)
    assert set(STANDARD) <= set(found)
    for recipe, entry in found.items():
        if entry.status != "ok":
            assert entry.reason is not None and len(entry.reason) > 40, f"{entry.name}: {entry.reason}"
            continue
        assert entry.file is not None
        for parity in entry.parity:
            if parity.reason is None:
                scores = score(root / entry.file, signals, parity.engine)
                # The quantized file is its own original; that it is near the float one was its maker's business.
                limit = "int8" if recipe == "onnx-as-given" else recipe
                problem = wrong(scores, expected, limit, model in TREES)
                assert problem is None, f"{entry.name} on {parity.engine}: {problem}"


# What must be there at the least: a stranger's float model is not turned away.
WANTED = {
    "branches": {"onnx-fp32", "onnx-fp16", "onnx-int8-static", "tflite-fp32", "tflite-fp16", "tflite-int8-static"},
    "both-ways": {"onnx-fp32", "onnx-fp16", "onnx-int8-dynamic"},
    "attends": {"onnx-fp32", "onnx-fp16", "onnx-int8-dynamic", "tflite-fp32", "tflite-fp16"},
    "boosted": {"onnx-fp32", "tflite-fp32"},
    "sample-forest": {"onnx-fp32", "tflite-fp32"},
    "sample-logistic": {"onnx-fp32", "onnx-int8-static", "tflite-fp32", "tflite-int8-static"},
    "onnx-old": {"onnx-fp32", "onnx-fp16", "onnx-int8-static"},
    "onnx-new": {"onnx-fp32", "onnx-fp16", "onnx-int8-static"},
    "onnx-int8": {"onnx-as-given"},
    "tflite": {"tflite-as-given"},
}


@pytest.mark.parametrize("model", WANTED)
def test_what_can_be_made_is_made(model: str, exported: tuple[Manifest, Path, Any]) -> None:
    found = entries(exported, model)
    refused = {recipe: found[recipe].reason for recipe in WANTED[model] if found[recipe].status != "ok"}
    assert not refused


def test_files_taken_as_they_are_have_no_other_recipes(exported: tuple[Manifest, Path, Any]) -> None:
    for model, kept in (("onnx-int8", "onnx-as-given"), ("tflite", "tflite-as-given")):
        assert [recipe for recipe, entry in entries(exported, model).items() if entry.status == "ok"] == [kept]


def test_every_file_that_was_made_here_can_be_brought_again(
    exported: tuple[Manifest, Path, Any], recordings: Recordings, tmp_path: Path
) -> None:
    """Float, half, 8-bit with float or 8-bit ends, 16-bit activations: with the scores that the file has."""
    made = {recipe: entry for recipe, entry in entries(exported, "branches").items() if entry.status == "ok"}
    study = small_study({recipe: {"file": str(exported[1] / str(entry.file))} for recipe, entry in made.items()})
    trained = train_study(study, recordings, tmp_path)
    signals = recordings.signals(recordings.indices("test")[:10])
    for recipe, entry in made.items():
        module = trained[recipe].module
        assert module.quantized == (not recipe.endswith("fp32")), recipe
        expected = score(exported[1] / str(entry.file), signals, entry.parity[0].engine)
        assert np.array_equal(module(torch.from_numpy(signals)).numpy(), expected), recipe
