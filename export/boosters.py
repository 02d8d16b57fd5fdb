"""XGBoost, LightGBM and CatBoost for skl2onnx: the converters that onnxmltools and CatBoost have, registered.

Nothing comes in and nothing goes out: skl2onnx's own table of converters has a line more for each of the three that is
installed. None of them is needed here; a model of one of them cannot be there without it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from typing import Any

OPTIONS = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
RAW = {"raw_scores": [True, False]}
CATBOOST_OUTPUTS = 2  # label, probabilities


@functools.cache
def register() -> None:
    """Once a process."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes as shapes

    def known(package: str) -> Any | None:
        return importlib.import_module(package) if importlib.util.find_spec(package) is not None else None

    tools = known("onnxmltools")
    xgboost, lightgbm = (known(package) if tools is not None else None for package in ("xgboost", "lightgbm"))
    if xgboost is not None:
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

        update_registered_converter(
            xgboost.XGBClassifier, "XGBoostXGBClassifier", shapes, convert_xgboost, options=OPTIONS | RAW
        )
    if lightgbm is not None:
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        update_registered_converter(
            lightgbm.LGBMClassifier, "LightGbmLGBMClassifier", shapes, convert_lightgbm, options=OPTIONS | RAW
        )
    catboost = known("catboost")
    if catboost is not None:
        update_registered_converter(
            catboost.CatBoostClassifier, "CatBoostClassifier", shapes, _convert_catboost, parser=_ends, options=OPTIONS
        )


def _ends(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """The label and the probabilities of a model that skl2onnx does not know as a classifier."""
    from skl2onnx import get_model_alias
    from skl2onnx.common.data_types import Int64TensorType, guess_tensor_type

    operator = scope.declare_local_operator(get_model_alias(type(model)), model)
    operator.inputs = inputs
    operator.outputs.append(scope.declare_local_variable("label", Int64TensorType()))
    operator.outputs.append(scope.declare_local_variable("probabilities", guess_tensor_type(inputs[0].type)))
    return operator.outputs


def _convert_catboost(scope: Any, operator: Any, container: Any) -> None:
    """CatBoost writes its own graph: its one node of trees, between the names that skl2onnx has for its ends."""
    import onnx
    from catboost.utils import convert_to_onnx_object

    made = convert_to_onnx_object(operator.raw_operator)
    node = next(each for each in made.graph.node if each.op_type == "TreeEnsembleClassifier")
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    container.add_node(
        node.op_type,
        [operator.inputs[0].full_name],
        [operator.outputs[at].full_name for at in range(CATBOOST_OUTPUTS)],
        op_domain="ai.onnx.ml",
        op_version=1,
        name=scope.get_unique_operator_name("CatBoost"),
        **attributes,
    )
