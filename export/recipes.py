"""The explicit table: which function makes which recipe of which kind of system, or why there is no such file.

A new recipe is a name in :data:`core.recipes.RECIPES` and a line here for every kind; a new kind of system is a line in
:func:`kind_of` and a column here. Where a cell holds several functions they are tried in turn: the first whose file
passes the gate is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from torch import nn

from pulseproof.core.recipes import RECIPES, Format
from pulseproof.export import sklearn_files, tree_files
from pulseproof.export.fronted import behind_front
from pulseproof.export.job import ExportJob, MadeFile
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.tflite import files as tflite_files
from pulseproof.export.tflite import lstm as lstm_flatbuffer
from pulseproof.export.tflite import lstm_int8
from pulseproof.models.brought.model import FileModel
from pulseproof.models.classical import FeatureModel, Logistic
from pulseproof.models.features import Features
from pulseproof.models.front.fronted import FrontedNet, own_net
from pulseproof.models.nets import Lstm
from pulseproof.models.trees import TreeWalk

Kind = Literal[
    "net", "lstm", "recurrent", "trees", "logistic", "estimator", "onnx-file", "onnx-quantized-file", "tflite-file"
]
Write = Callable[[ExportJob], MadeFile]
Cell = tuple[Write, ...] | str

NO_STATIC_LSTM_ONNX = (
    "ONNX Runtime has no recurrent kernel with static int8 activations, the layer would stay float; onnx-int8-dynamic "
    "is its int8 file"
)
NO_INT16_LSTM = (
    "LiteRT's LSTM kernel takes int8 activations with int8 weights and keeps its cell in int16; it has no form with "
    "int16 activations"
)
NO_RECURRENT_TFLITE = (
    "the converter unrolls a recurrent layer into thousands of operators; only models.nets.Lstm has a writer of its own"
)
NO_MIXED_LSTM = "the recurrent layer is nearly all there is to quantize: with it in float nothing is won"
NO_FULL_FEATURES = (
    "its features hold logarithms and square roots of powers that span six orders of magnitude, with int8 between the "
    "operators nothing is left of the small ones; C code behind the features is what a microcontroller takes"
)
NO_FULL_SAMPLES = (
    "its samples go straight into thresholds or one linear layer, of which no writer here makes an int8 form; C code "
    "of the trees is what a microcontroller takes"
)
NO_MIXED_FEATURES = "its matrix products are quantized or not as a whole: the other recipes say what stayed float"
NO_TFLITE_FROM_ONNX = (
    "there is no route from an ONNX file to TFLite here that keeps its graph fast: bring the torch module"
)
NO_ONNX_FROM_TFLITE = "no converter here makes ONNX of a TFLite file: bring the torch module, or the ONNX file"
TAKEN_AS_IT_IS = "the file is taken as it is (recipe {}-as-given): what was quantized or converted is not undone"
NO_FULL_FRONT = (
    "what [models.x.input] puts before the net is float32 and stays so: a file with an int8 signal would leave it out"
)
IS_FLOAT = "its weights are float: it is the {}-fp32 file"
ONLY_A_FILE = "only a model that came as a file is taken as it is"


def _of(file_format: Format) -> list[str]:
    return [name for name, recipe in RECIPES.items() if recipe.format == file_format]


# What is made of the float files of a head on features: its products, or where there are none its last layer.
ON_FEATURES: Mapping[str, Cell] = {
    "onnx-fp16": (onnx_files.write_fp16_products,),
    "onnx-int8-dynamic": (onnx_files.write_dynamic_products, onnx_files.write_dynamic_last_layer),
    "onnx-int8-static": (onnx_files.write_static_products, onnx_files.write_static_last_layer),
    "onnx-int8-static-s8s8": (onnx_files.write_static_s8s8_products, onnx_files.write_static_s8s8_last_layer),
    "onnx-int8-mixed": NO_MIXED_FEATURES,
    "onnx-as-given": ONLY_A_FILE,
    "tflite-fp16": (tflite_files.write_fp16_products,),
    "tflite-int8-dynamic": (tflite_files.write_dynamic_products, tflite_files.write_dynamic_last_layer),
    "tflite-int8-static": (tflite_files.write_static_products, tflite_files.write_static_last_layer),
    "tflite-int8-full": NO_FULL_FEATURES,
    "tflite-int16x8": (tflite_files.write_int16x8_products, tflite_files.write_int16x8_last_layer),
    "tflite-int8-mixed": NO_MIXED_FEATURES,
    "tflite-as-given": ONLY_A_FILE,
}

# kind -> recipe -> the functions that make the file, tried in turn, or the reason why there is none.
TABLE: Mapping[Kind, Mapping[str, Cell]] = {
    "net": {
        "onnx-fp32": (onnx_files.write_float,),
        "onnx-fp16": (onnx_files.write_fp16,),
        "onnx-int8-dynamic": (onnx_files.write_dynamic,),
        "onnx-int8-static": (onnx_files.write_static,),
        "onnx-int8-static-s8s8": (onnx_files.write_static_s8s8,),
        "onnx-int8-mixed": (onnx_files.write_mixed,),
        "onnx-as-given": ONLY_A_FILE,
        "tflite-fp32": (tflite_files.write_float,),
        "tflite-fp16": (tflite_files.write_fp16,),
        "tflite-int8-dynamic": (tflite_files.write_dynamic,),
        "tflite-int8-static": (tflite_files.write_static,),
        "tflite-int8-full": (tflite_files.write_full,),
        "tflite-int16x8": (tflite_files.write_int16x8,),
        "tflite-int8-mixed": (tflite_files.write_mixed,),
        "tflite-as-given": ONLY_A_FILE,
    },
    "lstm": {
        "onnx-fp32": (onnx_files.write_float,),
        "onnx-fp16": (onnx_files.write_fp16,),
        "onnx-int8-dynamic": (onnx_files.write_dynamic,),
        "onnx-int8-static": NO_STATIC_LSTM_ONNX,
        "onnx-int8-static-s8s8": NO_STATIC_LSTM_ONNX,
        "onnx-int8-mixed": NO_MIXED_LSTM,
        "onnx-as-given": ONLY_A_FILE,
        "tflite-fp32": (lstm_flatbuffer.write_float,),
        "tflite-fp16": (lstm_flatbuffer.write_fp16,),
        "tflite-int8-dynamic": (lstm_flatbuffer.write_dynamic,),
        "tflite-int8-static": (lstm_int8.write_static,),
        "tflite-int8-full": (lstm_int8.write_full,),
        "tflite-int16x8": NO_INT16_LSTM,
        "tflite-int8-mixed": NO_MIXED_LSTM,
        "tflite-as-given": ONLY_A_FILE,
    },
    "recurrent": {
        "onnx-fp32": (onnx_files.write_float,),
        "onnx-fp16": (onnx_files.write_fp16,),
        "onnx-int8-dynamic": (onnx_files.write_dynamic,),
        "onnx-int8-static": NO_STATIC_LSTM_ONNX,
        "onnx-int8-static-s8s8": NO_STATIC_LSTM_ONNX,
        "onnx-int8-mixed": NO_MIXED_LSTM,
        "onnx-as-given": ONLY_A_FILE,
        "tflite-fp32": NO_RECURRENT_TFLITE,
        "tflite-fp16": NO_RECURRENT_TFLITE,
        "tflite-int8-dynamic": NO_RECURRENT_TFLITE,
        "tflite-int8-static": NO_RECURRENT_TFLITE,
        "tflite-int8-full": NO_RECURRENT_TFLITE,
        "tflite-int16x8": NO_RECURRENT_TFLITE,
        "tflite-int8-mixed": NO_RECURRENT_TFLITE,
        "tflite-as-given": ONLY_A_FILE,
    },
    "trees": {
        "onnx-fp32": (tree_files.write_onnx,),
        "onnx-fp16": (onnx_files.write_fp16_products,),
        "onnx-int8-dynamic": (onnx_files.write_dynamic_products,),
        "onnx-int8-static": (onnx_files.write_static_products,),
        "onnx-int8-static-s8s8": (onnx_files.write_static_s8s8_products,),
        "onnx-int8-mixed": NO_MIXED_FEATURES,
        "onnx-as-given": ONLY_A_FILE,
        "tflite-fp32": (tree_files.write_tflite,),
        "tflite-fp16": (tflite_files.write_fp16_products,),
        "tflite-int8-dynamic": (tflite_files.write_dynamic_products,),
        "tflite-int8-static": (tflite_files.write_static_products,),
        "tflite-int8-full": NO_FULL_FEATURES,
        "tflite-int16x8": (tflite_files.write_int16x8_products,),
        "tflite-int8-mixed": NO_MIXED_FEATURES,
        "tflite-as-given": ONLY_A_FILE,
    },
    "logistic": {"onnx-fp32": (onnx_files.write_float,), "tflite-fp32": (tflite_files.write_float,), **ON_FEATURES},
    "estimator": {
        "onnx-fp32": (sklearn_files.write_onnx, sklearn_files.write_onnx_double),
        "tflite-fp32": (sklearn_files.write_tflite,),
        **ON_FEATURES,
    },
    "onnx-file": {
        "onnx-fp32": (onnx_files.write_given,),
        "onnx-fp16": (onnx_files.write_fp16,),
        "onnx-int8-dynamic": (onnx_files.write_dynamic,),
        "onnx-int8-static": (onnx_files.write_static,),
        "onnx-int8-static-s8s8": (onnx_files.write_static_s8s8,),
        "onnx-int8-mixed": (onnx_files.write_mixed,),
        "onnx-as-given": IS_FLOAT.format("onnx"),
        **dict.fromkeys(_of("tflite"), NO_TFLITE_FROM_ONNX),
    },
    "onnx-quantized-file": {
        **{recipe: TAKEN_AS_IT_IS.format("onnx") for recipe in _of("onnx")},
        **dict.fromkeys(_of("tflite"), NO_TFLITE_FROM_ONNX),
        "onnx-as-given": (onnx_files.write_given,),
    },
    "tflite-file": {
        **dict.fromkeys(_of("onnx"), NO_ONNX_FROM_TFLITE),
        **{recipe: TAKEN_AS_IT_IS.format("tflite") for recipe in _of("tflite")},
        "tflite-as-given": (tflite_files.write_given,),
    },
}


def kind_of(module: nn.Module) -> Kind:
    """Which column of the table a trained module belongs to."""
    if isinstance(module, FileModel):
        if module.format == "tflite":
            return "tflite-file"
        return "onnx-quantized-file" if module.quantized else "onnx-file"
    if isinstance(module, FeatureModel):
        if isinstance(module.head, TreeWalk):
            return "trees"
        return "logistic" if isinstance(module.head, Logistic) else "estimator"
    if type(module) is Lstm:  # not a user's subclass: its forward may do anything
        return "lstm"
    return "recurrent" if any(isinstance(part, nn.RNNBase) for part in module.modules()) else "net"


def cell_of(module: nn.Module, recipe: str) -> Cell:
    """The functions that make this recipe of this module, or the reason why there is no such file."""
    cell = TABLE[kind_of(own_net(module))][recipe]
    if isinstance(module, FrontedNet):
        if recipe == "tflite-int8-full":
            return NO_FULL_FRONT
        return cell if isinstance(cell, str) else tuple(map(behind_front, cell))
    if cell is NO_FULL_FEATURES and isinstance(module, FeatureModel) and not isinstance(module.features, Features):
        return NO_FULL_SAMPLES
    return cell
