"""The explicit table: which function makes which recipe of which kind of system, or why there is no such file.

A new recipe is a name in :data:`core.study.RECIPES` and a line here for every kind; a new kind of system is a line in
:func:`kind_of` and a line here for every recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import nn

from export import lstm_flatbuffer, onnx_files, tflite_files, tree_files
from export.job import Job
from models.classical import FeatureModel, Logistic, PythonHead
from models.nets import Lstm
from models.trees import TreeWalk

Kind = Literal["net", "lstm", "recurrent", "trees", "logistic", "python"]

# Which float file a quantized one is made from.
SOURCES: Mapping[str, str] = {"onnx": "onnx-fp32", "tflite": "tflite-fp32"}
# Whose calibration recordings decide about the file.
CALIBRATED = ("onnx-int8-static", "tflite-int8-static")
NO_INT8_TREE = (
    "a tree compares features with thresholds: features rounded to 8 bits fall on other sides of them, so it would be "
    "another tree, not a smaller form of this one, and there are no multiplications to save"
)
NO_STATIC_LSTM_ONNX = (
    "ONNX Runtime has no recurrent kernel with static int8 activations, the layer would stay float; onnx-int8-dynamic "
    "is its int8 file"
)
NO_STATIC_LSTM_TFLITE = (
    "a static int8 LSTM needs calibrated ranges of its gates and an int16 cell, which no converter here makes; "
    "tflite-int8-weights is its int8 file"
)
NO_RECURRENT_TFLITE = (
    "the converter unrolls a recurrent layer into thousands of operators; only models.nets.Lstm has a writer of its own"
)

# (kind, recipe) -> the function that makes the file, or the reason why there is none.
TABLE: Mapping[tuple[Kind, str], Callable[[Job], None] | str] = {
    ("net", "onnx-fp32"): onnx_files.write_float,
    ("net", "onnx-int8-static"): onnx_files.write_static,
    ("net", "onnx-int8-dynamic"): onnx_files.write_dynamic,
    ("net", "tflite-fp32"): tflite_files.write_float,
    ("net", "tflite-int8-static"): tflite_files.write_static,
    ("net", "tflite-int8-weights"): tflite_files.write_weights,
    ("lstm", "onnx-fp32"): onnx_files.write_float,
    ("lstm", "onnx-int8-static"): NO_STATIC_LSTM_ONNX,
    ("lstm", "onnx-int8-dynamic"): onnx_files.write_dynamic,
    ("lstm", "tflite-fp32"): lstm_flatbuffer.write_float,
    ("lstm", "tflite-int8-static"): NO_STATIC_LSTM_TFLITE,
    ("lstm", "tflite-int8-weights"): lstm_flatbuffer.write_int8_weights,
    ("recurrent", "onnx-fp32"): onnx_files.write_float,
    ("recurrent", "onnx-int8-static"): NO_STATIC_LSTM_ONNX,
    ("recurrent", "onnx-int8-dynamic"): onnx_files.write_dynamic,
    ("recurrent", "tflite-fp32"): NO_RECURRENT_TFLITE,
    ("recurrent", "tflite-int8-static"): NO_RECURRENT_TFLITE,
    ("recurrent", "tflite-int8-weights"): NO_RECURRENT_TFLITE,
    ("trees", "onnx-fp32"): tree_files.write_onnx,
    ("trees", "onnx-int8-static"): NO_INT8_TREE,
    ("trees", "onnx-int8-dynamic"): NO_INT8_TREE,
    ("trees", "tflite-fp32"): tree_files.write_tflite,
    ("trees", "tflite-int8-static"): NO_INT8_TREE,
    ("trees", "tflite-int8-weights"): NO_INT8_TREE,
    ("logistic", "onnx-fp32"): onnx_files.write_float,
    ("logistic", "onnx-int8-static"): onnx_files.write_static_last_layer,
    ("logistic", "onnx-int8-dynamic"): onnx_files.write_dynamic_last_layer,
    ("logistic", "tflite-fp32"): tflite_files.write_float,
    ("logistic", "tflite-int8-static"): tflite_files.write_static_last_layer,
    ("logistic", "tflite-int8-weights"): tflite_files.write_weights_last_layer,
}


def kind_of(module: nn.Module) -> Kind:
    """Which row of the table a trained module belongs to."""
    if isinstance(module, FeatureModel):
        if isinstance(module.head, TreeWalk):
            return "trees"
        return "logistic" if isinstance(module.head, Logistic) else "python"
    if type(module) is Lstm:  # not a user's subclass: its forward may do anything
        return "lstm"
    return "recurrent" if any(isinstance(part, nn.RNNBase) for part in module.modules()) else "net"


def recipe_for(module: nn.Module, recipe: str) -> Callable[[Job], None] | str:
    """The function that makes this recipe of this module, or the reason why there is no such file."""
    kind = kind_of(module)
    if kind != "python":
        return TABLE[kind, recipe]
    assert isinstance(module, FeatureModel) and isinstance(module.head, PythonHead)
    return (
        f"{_class_name(module.head.estimator)} runs in Python only: trees, forests and logistic regressions have "
        "exporters"
    )


def _class_name(estimator: Any) -> str:
    inner = getattr(estimator, "estimator", None)
    return type(estimator).__name__ + (f" of {type(inner).__name__}" if inner is not None else "")
