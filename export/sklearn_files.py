"""Files of an estimator that is no tree, forest or logistic regression: our feature graph, and behind it skl2onnx's.

In: a job whose module is a :class:`~models.classical.FeatureModel` with a :class:`~models.classical.PythonHead`. Out:
ONNX from raw millivolts to the estimator's scores, in float32, or (a second try, where float32 does not give
scikit-learn's own scores) in double precision behind float32 features; TFLite by way of the twin of that ONNX file
(:mod:`twins`), for whatever has one. Which of them is right the gate measures.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pulseproof.export.job import OUTPUT, ExportJob, MadeFile, NotApplicableError
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.sklearn_graph import FEATURES, estimator_graph
from pulseproof.models.brought.estimator_checks import parts_of
from pulseproof.models.classical import FeatureModel, PythonHead
from pulseproof.twins import NotCoveredError, open_twin
from pulseproof.twins.program import Twin

if TYPE_CHECKING:
    import onnx

DOUBLE = "the estimator behind its float32 features is computed in double precision: in float32 it gives other scores"

# What only an estimator with steps has: a tree, the trees of a histogram, those of XGBoost, LightGBM and CatBoost, and
# the points of which neighbours are sought.
STEPPED = ("tree_", "_predictors", "_Booster", "tree_count_", "_fit_X")


def write_onnx(job: ExportJob) -> MadeFile:
    """``onnx-fp32``. Raises NotApplicableError where skl2onnx has no converter for the estimator or for a part of
    it."""
    write_estimator(_model(job), job.shape, job.out)
    return MadeFile()


def write_onnx_double(job: ExportJob) -> MadeFile:
    """``onnx-fp32`` whose ends are float32 and whose estimator is not: log-likelihoods of a naive Bayes, say, are sums
    of hundreds that nearly cancel."""
    write_estimator(_model(job), job.shape, job.out, double=True)
    return MadeFile(DOUBLE)


def write_estimator(model: FeatureModel, shape: tuple[int, int], path: Path, double: bool = False) -> None:
    """Write features (or a flattened recording) and estimator as one ONNX file. ``shape``: (leads, samples)."""
    import onnx

    onnx_files.export_module(model.features, shape, path, FEATURES)
    before = onnx.load(path)
    onnx.save(_joined(before, _estimator_of(model, double)), path)


def has_steps(module: nn.Module) -> bool:
    """True for features with an estimator whose scores are flat between steps: it holds a tree, or asks neighbours. A
    feature is a sum in another order of additions in the file, and a value within a rounding of a step falls on its
    other side."""
    head = module.head if isinstance(module, FeatureModel) else None
    return isinstance(head, PythonHead) and any(
        any(hasattr(part, name) for name in STEPPED) for part in parts_of(head.estimator)
    )


def _joined(before: onnx.ModelProto, behind: onnx.ModelProto) -> onnx.ModelProto:
    """Two graphs as one: the features of the first are those of the second."""
    import onnx

    behind.ir_version = before.ir_version
    # A name of the one must not be one of the other's; what the two share, and what comes out, keep theirs.
    behind = onnx.compose.add_prefix(behind, "estimator.")
    made = onnx.compose.merge_models(before, behind, io_map=[(FEATURES, f"estimator.{FEATURES}")])
    for node in made.graph.node:
        for at, name in enumerate(node.output):
            if name == f"estimator.{OUTPUT}":
                node.output[at] = OUTPUT
    made.graph.output[0].name = OUTPUT
    imports = {one.domain: one for one in made.opset_import}  # a domain that both name stands there twice
    del made.opset_import[:]
    made.opset_import.extend(imports.values())
    onnx.checker.check_model(made)
    return made


def _estimator_of(model: FeatureModel, double: bool) -> onnx.ModelProto:
    head = model.head
    assert isinstance(head, PythonHead)
    width = int(head.estimator.n_features_in_)
    with torch.inference_mode():
        classes = int(head(torch.zeros(1, width)).shape[1])
    return estimator_graph(head.estimator, width, None if head.alone else head.order, classes, double)


def estimator_twin(model: FeatureModel, shape: tuple[int, int]) -> Twin:
    """The differentiable form of features and estimator, opened from their ONNX file.

    Raises RefusedError where there is no such file, and NotCoveredError, which names an operator that no twin has.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "estimator.onnx"
        write_estimator(model, shape, path)
        return open_twin(path)


class _OneRecording(nn.Module):
    """A twin for the converter: one recording in, without the map over recordings."""

    def __init__(self, twin: Twin) -> None:
        super().__init__()
        self.twin = twin

    def forward(self, signal: Tensor) -> Tensor:
        return self.twin.one(signal.squeeze(0)).unsqueeze(0)


def write_tflite(job: ExportJob) -> MadeFile:
    """``tflite-fp32``: the twin of the ONNX file, converted. Raises NotApplicableError where an operator has none."""
    from pulseproof.export.tflite.files import convert

    try:
        twin = estimator_twin(_model(job), job.shape)
    except NotCoveredError as error:
        raise NotApplicableError(f"it goes to TFLite by way of its ONNX file's twin, and there {error}") from None
    convert(_OneRecording(twin), job.shape, job.out)
    return MadeFile()


def _model(job: ExportJob) -> FeatureModel:
    assert isinstance(job.module, FeatureModel)
    return job.module
