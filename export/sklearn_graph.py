"""A fitted scikit-learn estimator as an ONNX graph: written by skl2onnx, and cut to its scores.

In: an estimator of any kind that skl2onnx has a converter for. Out: its graph, float32 ``features`` (1, count) to
float32 ``scores`` (1, classes), which are those that :func:`models.classical.probabilities` gives: no map of names
around them, no label beside them, and where an estimator tells two classes by one decision value, a score for each.

What skl2onnx 1.20 trips over is mended in a copy of the estimator, or in the graph; each mend says what it mends. That
the scores are right is for the gate to say (:mod:`export.gate.parity`), not for this module.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from pulseproof.core.errors import InputError
from pulseproof.export import sklearn_plain as plain
from pulseproof.export.boosters import register
from pulseproof.export.job import OUTPUT, NotApplicableError, RefusedError
from pulseproof.export.onnx.graph import OPSET
from pulseproof.models.brought.estimator_checks import parts_of
from pulseproof.models.trees import PER_CLASS

if TYPE_CHECKING:
    import onnx

FEATURES = "features"
ML_OPSET = 3  # of the domain ai.onnx.ml: the newest that ONNX Runtime and skl2onnx have in common for trees


def estimator_graph(
    estimator: Any, width: int, order: Sequence[int] | None, classes: int, double: bool = False
) -> onnx.ModelProto:
    """The graph of a fitted estimator that is fed ``width`` features and has ``classes`` scores to give.

    ``order``: which of its own classes comes first, second and so on; None: as they are. ``double``: everything between
    its ends is computed in double precision. Raises RefusedError, with a sentence, where skl2onnx has no converter.
    """
    import onnx

    last, raw = final_estimator(estimator), not hasattr(estimator, "predict_proba")
    made = _converted(_mended(estimator), width, raw, double)
    graph = made.graph
    for one in made.opset_import:  # it says the newest that any of its nodes needs, and was told to write for this one
        one.version = OPSET if one.domain == "" else one.version
    plain.without_maps(graph)
    plain.distances_as_they_are(graph)
    if not double:
        plain.scalers(graph)
        plain.linear_layers(graph)
    plain.flat_biases(graph)
    plain.softmax_of_logarithms(graph)
    plain.normalised_once(graph)
    scores = graph.output[-1].name
    columns = _columns(graph.output[-1])
    if _is_one_an_output(last):
        scores = _positives(graph, scores, last)
        columns = len(last.classes_)
    scores = _fitted_to(graph, scores, columns, order, classes)
    graph.node.append(onnx.helper.make_node("Cast", [scores], [OUTPUT], to=onnx.TensorProto.FLOAT))
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, (1, classes)))
    if double:
        _from_float(graph, width)
    del graph.value_info[:]
    _prune(graph)
    onnx.checker.check_model(made)
    return made


def final_estimator(estimator: Any) -> Any:
    """What a pipeline ends in; the estimator itself where it is none."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


def _converted(estimator: Any, width: int, raw: bool, double: bool) -> onnx.ModelProto:
    try:
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
        from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
    except ImportError as error:
        raise InputError(
            f"skl2onnx cannot be imported ({error})", "pip install skl2onnx: it writes the ONNX file of an estimator"
        ) from None
    register()
    try:
        with _whole_numbers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts of scikit-learn that skl2onnx asks for, and that will go one day
            made: onnx.ModelProto = convert_sklearn(
                estimator,
                initial_types=[(FEATURES, (DoubleTensorType if double else FloatTensorType)([1, width]))],
                options=_options(estimator, raw),
                target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
            )
    except (MissingConverter, MissingShapeCalculator) as error:
        raise NotApplicableError(f"skl2onnx has no converter for {_named_in(str(error), estimator)}") from None
    except Exception as error:  # a converter that meets what it was not made for raises anything
        said = " ".join(str(error).split())[:200]
        raise RefusedError(f"skl2onnx does not convert it: {type(error).__name__}: {said}") from None
    return made


@contextmanager
def _whole_numbers() -> Iterator[None]:
    """skl2onnx 1.20 writes True and False into lists of integers (histogram trees), which protobuf takes no more."""
    from skl2onnx.common import _container

    make_node = _container.make_node

    def make(*names: Any, **attributes: Any) -> onnx.NodeProto:
        for name, value in attributes.items():
            if isinstance(value, list):
                attributes[name] = [int(one) if isinstance(one, bool | np.bool_) else one for one in value]
        node: onnx.NodeProto = make_node(*names, **attributes)
        return node

    _container.make_node = make
    try:
        yield
    finally:
        _container.make_node = make_node


def _named_in(message: str, estimator: Any) -> str:
    """The class that a message of skl2onnx names; its whole path says nothing more to a reader."""
    between = message.partition("<class '")[2].partition("'>")[0]
    return between.rpartition(".")[2] or type(estimator).__name__


def _options(estimator: Any, raw: bool) -> dict[int, dict[str, Any]]:
    """What skl2onnx is told of each part: no map around its scores, and decision values where those are asked for."""
    from skl2onnx import get_model_alias
    from skl2onnx.common._registration import get_converter

    asked = set()
    if raw:
        last = final_estimator(estimator)
        members = last.estimators_ if isinstance(last, PER_CLASS) else []
        asked = {id(final_estimator(one)) for one in (last, *members)} | {id(one) for one in (estimator, *members)}
    options: dict[int, dict[str, Any]] = {}
    for part in parts_of(estimator):
        if isinstance(part, Pipeline):  # what it is told, it tells its last step, which may not know it
            continue
        try:
            allowed = get_converter(get_model_alias(type(part))).get_allowed_options() or {}
        except (RuntimeError, ValueError, TypeError):  # a part that has no converter is no estimator, or is told later
            continue
        wanted = {"zipmap": False} if "zipmap" in allowed else {}
        if id(part) in asked and "raw_scores" in allowed:
            wanted["raw_scores"] = True
        if wanted:
            options[id(part)] = wanted
    return options


def _mended(estimator: Any) -> Any:
    """A copy that skl2onnx 1.20 reads rightly.

    Labels that are small integers (uint8, as studies hold them) it takes for texts; a soft vote it refuses unless
    ``flatten_transform`` is off, which changes what ``transform`` gives and nothing of the probabilities. A LinearSVC
    within another estimator it trips over; any other linear classifier of the same weights has the same decision
    values.
    """
    made = _by_other_means(copy.deepcopy(estimator))
    for part in list(parts_of(made)):
        if isinstance(part, VotingClassifier):
            part.flatten_transform = False
        known = getattr(part, "__dict__", {}).get("classes_")
        if isinstance(known, list):
            part.classes_ = [_whole(labels) for labels in known]
        elif known is not None:
            part.classes_ = _whole(known)
    return made


def _by_other_means(made: Any) -> Any:
    """The same estimator with another linear classifier in the place of a LinearSVC that ends a pipeline, or that is
    asked about one class."""
    for part in list(parts_of(made)):
        if isinstance(part, Pipeline):
            name, last = part.steps[-1]
            part.steps[-1] = (name, _linear_like(last))
        elif isinstance(part, OneVsRestClassifier) and hasattr(part, "estimators_"):
            part.estimators_ = [_linear_like(one) for one in part.estimators_]
    return _linear_like(made)


def _linear_like(one: Any) -> Any:
    if not isinstance(one, LinearSVC) or not hasattr(one, "coef_"):
        return one
    other = SGDClassifier(loss="hinge")
    other.coef_, other.intercept_ = np.atleast_2d(one.coef_), np.atleast_1d(one.intercept_)
    other.classes_, other.n_features_in_ = one.classes_, one.n_features_in_
    return other


def _whole(labels: Any) -> Any:
    found = np.asarray(labels)
    return found.astype(np.int64) if found.dtype.kind in "uib" else labels


def _is_one_an_output(last: Any) -> bool:
    """True for an estimator of several labels at once, whose scores come as (classes, 1, labels)."""
    return isinstance(getattr(last, "classes_", None), list)


def _columns(scores: onnx.ValueInfoProto) -> int:
    sizes = [size.dim_value for size in scores.type.tensor_type.shape.dim]
    return sizes[-1] if sizes else 0


def _positives(graph: onnx.GraphProto, scores: str, last: Any) -> str:
    """Of (outputs, 1, labels), or a sequence of (1, labels), the probability of a 1 in each: (1, outputs)."""
    import onnx

    maker = next((node for node in graph.node if scores in node.output), None)
    parts = list(maker.input) if maker is not None and maker.op_type == "SequenceConstruct" else []
    columns = []
    for at, labels in enumerate(last.classes_):
        found = [int(label) for label in labels]
        if 1 not in found:
            raise RefusedError("one of its outputs was never positive in its training data: it has no such score")
        if parts:
            one = parts[at]
        else:
            plain.constant(graph, f"output.{at}", np.array(at, np.int64))
            one = f"of.{at}"
            graph.node.append(onnx.helper.make_node("Gather", [scores, f"output.{at}"], [one], axis=0))
        plain.constant(graph, f"positive.{at}", np.array([found.index(1)], np.int64))
        graph.node.append(onnx.helper.make_node("Gather", [one, f"positive.{at}"], [f"column.{at}"], axis=1))
        columns.append(f"column.{at}")
    graph.node.append(onnx.helper.make_node("Concat", columns, ["columns"], axis=1))
    return "columns"


def _fitted_to(graph: onnx.GraphProto, scores: str, columns: int, order: Sequence[int] | None, classes: int) -> str:
    """The scores with one column for each of ``classes``, in their order."""
    import onnx

    if columns == 1 and classes == 2:  # one decision value: that of the first class is it, negated
        graph.node.append(onnx.helper.make_node("Neg", [scores], ["negated"]))
        graph.node.append(onnx.helper.make_node("Concat", ["negated", scores], ["both"], axis=1))
        scores, columns = "both", 2
    if columns == 2 and classes == 1:  # the class that is asked for stands behind that of its absence
        order = [1]
    elif columns not in (0, classes):
        raise RefusedError(f"skl2onnx gives {columns} scores where the study has {classes} classes")
    if order is None:
        return scores
    plain.constant(graph, "order", np.array(order, np.int64))
    graph.node.append(onnx.helper.make_node("Gather", [scores, "order"], ["ordered"], axis=1))
    return "ordered"


def _from_float(graph: onnx.GraphProto, width: int) -> None:
    """A graph of double precision that is fed float32."""
    import onnx

    inner = f"{FEATURES}.double"
    for node in graph.node:
        for at, name in enumerate(node.input):
            if name == FEATURES:
                node.input[at] = inner
    cast = onnx.helper.make_node("Cast", [FEATURES], [inner], to=onnx.TensorProto.DOUBLE)
    graph.node.insert(0, cast)
    del graph.input[:]
    graph.input.append(onnx.helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, (1, width)))


def _prune(graph: onnx.GraphProto) -> None:
    """Leave out what the scores do not depend on: the label and all that is computed for it alone. What is left has a
    name."""
    wanted, kept = {OUTPUT}, []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input) | set(_outer(node))
            kept.append(node)
    constants = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    for at, node in enumerate(graph.node):  # recipes call layers by the names of their nodes
        node.name = node.name or f"{node.op_type}_{at}"
    graph.initializer.extend(constants)


def _outer(node: onnx.NodeProto) -> Iterator[str]:
    """What the graphs inside a node take from outside it."""
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for part in inner.node:
                yield from part.input
                yield from _outer(part)
