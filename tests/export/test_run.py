"""Exporting a study: what is made, what is remembered, and what one change makes stale. ONNX, for it is quick."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from sklearn.multioutput import MultiOutputClassifier
from sklearn.semi_supervised import LabelSpreading
from torch import Tensor, nn

from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import Recordings
from pulseproof.export import recipes
from pulseproof.export.job import ExportJob, MadeFile
from pulseproof.export.manifest import ManifestEntry, load_manifest, manifest_path
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.run import export_study
from pulseproof.export.table import manifest_table
from pulseproof.models.classical import FeatureModel, head_of
from pulseproof.models.features import Features
from pulseproof.models.run import Trained
from pulseproof.runtime.files import sha256_file
from tests.export.making import as_trained, small_study

RECIPES = ["onnx-fp32", "onnx-int8-static"]


def export(build: Path, recordings: Recordings, trained: Trained, **settings: object) -> dict[str, ManifestEntry]:
    manifest = export_study(small_study(**settings), recordings, {trained.name: trained}, build)
    return {entry.recipe: entry for entry in manifest.entries}


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_manifest_says_what_was_made(trained: dict[str, Trained], recordings: Recordings, tmp_path: Path) -> None:
    entries = export(tmp_path, recordings, trained["cnn"], recipes=RECIPES)
    for recipe, entry in entries.items():
        path = tmp_path / "small" / entry.file
        assert (entry.name, entry.status, entry.format) == (f"cnn/{recipe}", "ok", "onnx")
        assert entry.file == f"artifacts/cnn/{recipe}.onnx"
        assert (entry.sha256, entry.size_bytes) == (sha256_file(path), path.stat().st_size)
        assert [(one.engine, one.records) for one in entry.parity] == [("onnxruntime", 60)]
        assert set(entry.libraries) == {"torch", "onnx", "onnxruntime", "emlearn"}
        assert entry.price.parameters > 0 and entry.price.macs > 0
    assert entries["onnx-fp32"].operators["Conv"] == 5
    assert entries["onnx-fp32"].calibration is None
    calibration = entries["onnx-int8-static"].calibration
    assert (calibration.records, calibration.method, calibration.split) == (40, "minmax", "train")
    rows = recordings.sample("train", 40, 1)
    mean = np.float32(trained["cnn"].module.normalise.mean)
    signals = recordings.signals(rows) - mean
    assert calibration.input_step_mv == pytest.approx((signals.max() - signals.min()) / 255, rel=1e-4)
    study = small_study(recipes=RECIPES)
    assert load_manifest(study, tmp_path).entries == tuple(entries.values())
    assert manifest_table(load_manifest(study, tmp_path)).row_count == 2


def test_a_second_run_touches_nothing(trained: dict[str, Trained], recordings: Recordings, tmp_path: Path) -> None:
    export(tmp_path, recordings, trained["cnn"], recipes=RECIPES)
    before = stamps(tmp_path)
    export(tmp_path, recordings, trained["cnn"], recipes=RECIPES)
    assert stamps(tmp_path) == before


@pytest.mark.parametrize("harm", ["cut", "flip", "remove"])
def test_a_damaged_file_is_made_again(
    harm: str, trained: dict[str, Trained], recordings: Recordings, tmp_path: Path
) -> None:
    first = export(tmp_path, recordings, trained["cnn"], recipes=RECIPES)
    path = tmp_path / "small" / first["onnx-fp32"].file
    content = path.read_bytes()
    if harm == "remove":
        path.unlink()
    else:
        path.write_bytes(content[:-7] if harm == "cut" else bytes([content[0] ^ 1]) + content[1:])
    before = stamps(tmp_path)
    assert export(tmp_path, recordings, trained["cnn"], recipes=RECIPES) == first
    assert path.read_bytes() == content
    changed = {name for name, stamp in stamps(tmp_path).items() if before.get(name) != stamp}
    assert changed == {f"small/artifacts/cnn/onnx-fp32.{end}" for end in ("onnx", "json", "stamp.json")}


def test_a_killed_run_leaves_nothing_for_long(
    trained: dict[str, Trained], recordings: Recordings, tmp_path: Path
) -> None:
    folder = tmp_path / "small" / "artifacts" / "cnn"
    folder.mkdir(parents=True)
    (folder / "onnx-fp32.onnx").write_bytes(b"renamed, but the stamp was not written")
    (folder / ".onnx-fp32.x.partial.onnx").write_bytes(b"half")
    assert export(tmp_path, recordings, trained["cnn"], recipes=["onnx-fp32"])["onnx-fp32"].status == "ok"
    assert {path.name for path in folder.iterdir()} == {f"onnx-fp32.{end}" for end in ("onnx", "json", "stamp.json")}


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({"calibration_records": 30}, {"onnx-int8-static"}),
        ({"calibration_seed": 2}, {"onnx-int8-static"}),
        ({"calibration_method": "percentile"}, {"onnx-int8-static"}),
        ({"parity_records": 50}, {"onnx-fp32", "onnx-int8-static"}),
    ],
)
def test_a_change_redoes_what_depends_on_it(
    change: dict[str, object], stale: set[str], trained: dict[str, Trained], recordings: Recordings, tmp_path: Path
) -> None:
    export(tmp_path, recordings, trained["cnn"], recipes=RECIPES)
    before = stamps(tmp_path)
    export(tmp_path, recordings, trained["cnn"], recipes=RECIPES, **change)
    changed = {Path(name).name for name, stamp in stamps(tmp_path).items() if before.get(name) != stamp}
    assert changed - {"manifest.json"} == {
        f"{recipe}.{end}" for recipe in stale for end in ("onnx", "json", "stamp.json")
    }


def test_another_identity_is_exported_anew(trained: dict[str, Trained], recordings: Recordings, tmp_path: Path) -> None:
    torch.manual_seed(0)
    system = as_trained(nn.Sequential(nn.Conv1d(2, 3, 160), nn.Flatten()), recordings)
    first = export(tmp_path, recordings, system, recipes=["onnx-fp32"])["onnx-fp32"]
    system.module[0].bias.add_(0.5)
    system = replace(system, digest="other weights")  # models.run: the digest holds the weights' bytes
    second = export(tmp_path, recordings, system, recipes=["onnx-fp32"])["onnx-fp32"]
    assert first.status == second.status == "ok" and first.sha256 != second.sha256


def test_a_quantized_file_alone_brings_its_float_source(
    trained: dict[str, Trained], recordings: Recordings, tmp_path: Path
) -> None:
    entries = export(tmp_path, recordings, trained["cnn"], recipes=["onnx-int8-static"])
    assert list(entries) == ["onnx-int8-static"] and entries["onnx-int8-static"].status == "ok"


@pytest.mark.parametrize("name", ["cnn", "ecg-lens"])
def test_int8_onnx_runs_no_float_convolution(
    name: str, trained: dict[str, Trained], recordings: Recordings, tmp_path: Path
) -> None:
    entry = export(tmp_path, recordings, trained[name], recipes=RECIPES)["onnx-int8-static"]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(tmp_path / "small" / entry.file), options, providers=["CPUExecutionProvider"])
    counts = onnx_files.count_operators(tmp_path / "fused.onnx")
    convolutions = sum(isinstance(part, nn.Conv1d) for part in trained[name].module.modules())
    assert counts["QLinearConv"] == convolutions and "Conv" not in counts
    assert counts["QuantizeLinear"] <= 2  # of the signal, and of the mean over time


class Fourier(nn.Module):
    """A net of a user whose operator has no ONNX form."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.linalg.svdvals(x))


class Lucky(nn.Module):
    """A net of a user whose branch on the data an exporter that records one run loses."""

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=2) if float(x.abs().sum()) == 0 else x.amax(dim=2)
        return torch.cat([means, means[:, :1]], dim=1)


@pytest.mark.parametrize(
    ("module", "says"),
    [(Fourier(), "the converter does not take it"), (Lucky(), "differ from the torch module's")],
    ids=["unknown operator", "branch"],
)
def test_what_cannot_be_exported_is_refused_in_one_sentence(
    module: nn.Module, says: str, recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = as_trained(module, recordings)
    entries = export(tmp_path, recordings, system, recipes=RECIPES)
    for entry in entries.values():
        assert entry.status == "refused" and entry.file is None
        assert "\n" not in entry.reason and "Traceback" not in entry.reason and len(entry.reason) < 400
    assert says in entries["onnx-fp32"].reason
    assert "onnx-fp32, from which it is made, was refused" in entries["onnx-int8-static"].reason
    assert not list(tmp_path.rglob("*.onnx"))

    # It is remembered: the converter is not asked again.
    def again(job: ExportJob) -> MadeFile:
        pytest.fail("tried again")

    again.__module__ = onnx_files.write_float.__module__  # the same code, as far as a step can tell
    monkeypatch.setitem(recipes.TABLE["net"], "onnx-fp32", (again,))
    assert export(tmp_path, recordings, system, recipes=RECIPES) == entries


def test_a_refused_file_takes_the_older_one_away(
    trained: dict[str, Trained], recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = export(tmp_path, recordings, trained["cnn"], recipes=["onnx-fp32"])["onnx-fp32"]

    def broken(job) -> MadeFile:
        onnx_files.write_float(job)
        model = onnx.load(job.out)
        model.graph.initializer[0].CopyFrom(
            onnx.numpy_helper.from_array(
                onnx.numpy_helper.to_array(model.graph.initializer[0]) + np.float32(0.01),
                model.graph.initializer[0].name,
            )
        )
        onnx.save(model, job.out)
        return MadeFile()

    monkeypatch.setitem(recipes.TABLE["net"], "onnx-fp32", (broken,))
    refused = export(tmp_path, recordings, trained["cnn"], recipes=["onnx-fp32"], parity_records=50)["onnx-fp32"]
    assert refused.status == "refused" and refused.parity[0].max_difference > 1e-4
    assert not (tmp_path / "small" / entry.file).exists()


def test_a_copy_is_not_a_quantized_file(recordings: Recordings, tmp_path: Path) -> None:
    """A quantizer that finds nothing it knows copies the float file."""

    class Peaks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x.amax(dim=2), x.abs().mean(dim=2)[:, :1]], dim=1)

    entries = export(tmp_path, recordings, as_trained(Peaks(), recordings), recipes=["onnx-fp32", "onnx-int8-dynamic"])
    assert entries["onnx-fp32"].status == "ok"
    assert entries["onnx-int8-dynamic"].reason == "the quantizer found nothing in it that it can quantize"


def test_an_unknown_estimator_has_no_file_and_a_reason(recordings: Recordings, tmp_path: Path) -> None:
    features, rows = Features(("I", "II"), 160, 100.0), recordings.indices("train")
    values = features(torch.from_numpy(recordings.signals(rows))).numpy()
    spreading = LabelSpreading(gamma=0.01)  # skl2onnx converts none
    head = head_of(MultiOutputClassifier(spreading).fit(values, recordings.labels[rows]))
    entries = export(tmp_path, recordings, as_trained(FeatureModel(features, head), recordings), recipes=RECIPES)
    assert {entry.status for entry in entries.values()} == {"refused"}
    assert "LabelSpreading" in str(entries["onnx-fp32"].reason)


@pytest.mark.parametrize("content", [None, "{", '{"format": 2, "study": "small"}', '{"format": 1}'])
def test_an_unreadable_manifest_is_an_input_error(content: str | None, tmp_path: Path) -> None:
    path = manifest_path(small_study(), tmp_path)
    path.parent.mkdir(parents=True)
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match="manifest"):
        load_manifest(small_study(), tmp_path)


class Gated(nn.Module):
    """A recurrent net of a user: ONNX Runtime has an int8 LSTM, but no int8 GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(2, 24, batch_first=True)
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x.transpose(1, 2)[:, ::8])[0].mean(dim=1))


class Attention(nn.Module):
    """A net of a user with torch's own transformer layer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv1d(2, 16, 20, 20)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.patches(x).transpose(1, 2)).mean(dim=1))


def test_nets_of_users(recordings: Recordings, tmp_path: Path) -> None:
    torch.manual_seed(0)
    entries = export(tmp_path, recordings, as_trained(Attention(), recordings), recipes=RECIPES)
    assert entries["onnx-fp32"].status == "ok", entries["onnx-fp32"].reason
    recipes = ["onnx-fp32", "onnx-int8-dynamic", "onnx-int8-static", "tflite-fp32"]
    entries = export(tmp_path, recordings, as_trained(Gated(), recordings, "gated"), recipes=recipes)
    assert entries["onnx-fp32"].status == "ok", entries["onnx-fp32"].reason
    dynamic = entries["onnx-int8-dynamic"]
    assert dynamic.status == "refused" or "the others stay float" in dynamic.note
    assert entries["onnx-int8-static"].status == entries["tflite-fp32"].status == "not-applicable"
