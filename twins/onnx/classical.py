"""Operators of classical machine learning in torch: those of ai.onnx.ml that have a gradient.

In: a :class:`~twins.onnx.node.Node`. Out: a function of the node's inputs, as the specification
(https://onnx.ai/onnx/operators/index_ai_onnx_ml.html) and ONNX Runtime, where that leaves a choice open, have it.
Trees and look-ups of neighbours are not here: their scores are flat between steps, and a gradient of zero is no twin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as f

from pulseproof.twins.ends import SIGMOID, softmax_end
from pulseproof.twins.onnx.node import Node
from pulseproof.twins.steps import Run

DOMAIN = "ai.onnx.ml"
LEAST = 1e-7  # a pair's probability is kept this far from 0 and 1 (ONNX Runtime, as libsvm does)
COUPLED = 0.005  # how well libsvm solves for the probabilities of several classes, over their number
ROUNDS = 100  # of that, at most


def _row(node: Node, name: str) -> Tensor:
    """An attribute of floats, float32."""
    return torch.tensor(node.get(name, []), dtype=torch.float32)


def _squeezed(node: Node, scores: int) -> Callable[[Tensor], Tensor]:
    """What stands behind the scores of a classifier of ai.onnx.ml."""
    kind = node.get("post_transform", "NONE")
    if kind == "NONE":
        return lambda x: x
    if kind == "LOGISTIC":
        return SIGMOID
    if kind == "SOFTMAX":
        return softmax_end(-1, scores)  # type: ignore[return-value]
    raise node.refusal(f"post_transform={kind}")


def _scaler(node: Node) -> Run:
    offset, scale = _row(node, "offset"), _row(node, "scale")
    return lambda x: (x.float() - offset) * scale


def _linear(node: Node) -> tuple[Tensor, Tensor]:
    bias = _row(node, "intercepts")
    weight = _row(node, "coefficients")
    width = node.value(0).shape[-1]
    if weight.numel() % width:
        raise node.refusal(f"{weight.numel()} coefficients for {width} features")
    weight = weight.reshape(-1, width)
    return weight, bias if bias.numel() else torch.zeros(len(weight))


def _linear_classifier(node: Node) -> Run:
    weight, bias = _linear(node)
    labels = node.get("classlabels_ints") or node.get("classlabels_strings") or []
    if len(labels) != len(weight):
        raise node.refusal(f"{len(weight)} scores for {len(labels)} classes")
    squeeze = _squeezed(node, len(weight))
    return _beside_a_label(lambda x: f.linear(x.float(), weight, bias), squeeze)


def _linear_regressor(node: Node) -> Run:
    weight, bias = _linear(node)
    squeeze = _squeezed(node, len(weight))
    return lambda x: squeeze(f.linear(x.float(), weight, bias))


class _Labelled:
    """A classifier gives its label, and behind it its scores. Only the scores have a gradient; nothing here asks for
    the label, which is that of the largest score."""

    def __init__(self, scores: Callable[[Tensor], Tensor], squeeze: Callable[[Tensor], Tensor]) -> None:
        self.scores, self.squeeze = scores, squeeze

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.squeeze(self.scores(x))
        return scores.argmax(dim=-1), scores


def _beside_a_label(scores: Callable[[Tensor], Tensor], squeeze: Callable[[Tensor], Tensor]) -> Run:
    return _Labelled(scores, squeeze)


def _kernel(node: Node, vectors: Tensor) -> Callable[[Tensor], Tensor]:
    """The kernel of a row (1, features) with each support vector (vectors, features): (1, vectors)."""
    kind = node.get("kernel_type", "LINEAR")
    gamma, offset, degree = (*node.get("kernel_params", [0.0, 0.0, 0.0]), 0.0, 0.0, 0.0)[:3]
    if kind == "LINEAR":
        return lambda x: x @ vectors.T
    if kind == "POLY":
        return lambda x: (gamma * (x @ vectors.T) + offset) ** degree
    if kind == "RBF":
        return lambda x: torch.exp(-gamma * ((x.unsqueeze(-2) - vectors) ** 2).sum(dim=-1))
    if kind == "SIGMOID":
        return lambda x: torch.tanh(gamma * (x @ vectors.T) + offset)
    raise node.refusal(f"kernel_type={kind}")


def _svm_classifier(node: Node) -> Run:
    """A machine for every pair of classes: with probabilities theirs, else the value of every pair, and for two classes
    that of each."""
    counts = node.get("vectors_per_class", [])
    if not counts:
        raise node.refusal("one vector a class (a linear machine)")
    node.demand(post_transform="NONE")
    width, total, classes = node.value(0).shape[-1], sum(counts), len(counts)
    vectors = _row(node, "support_vectors").reshape(total, width)
    kernel, weights = _kernel(node, vectors), _pairs(_row(node, "coefficients").reshape(classes - 1, total), counts)
    rho, slope, shift = _row(node, "rho"), _row(node, "prob_a"), _row(node, "prob_b")
    if len(rho) != len(weights):
        raise node.refusal(f"{len(rho)} offsets for {len(weights)} pairs of classes")

    def values(x: Tensor) -> Tensor:
        return kernel(x.float()) @ weights.T + rho

    def squeeze(v: Tensor) -> Tensor:
        if slope.numel():
            return coupled(torch.sigmoid(-(v * slope + shift)), classes)
        return torch.cat([-v, v], dim=-1) if classes == 2 else v

    return _beside_a_label(values, squeeze)


def _pairs(coefficients: Tensor, counts: list[int]) -> Tensor:
    """libsvm's coefficients (classes - 1, vectors) as the weights of every pair of classes, (pairs, vectors)."""
    starts = [sum(counts[:at]) for at in range(len(counts) + 1)]
    rows = []
    for first in range(len(counts)):
        for second in range(first + 1, len(counts)):
            row = torch.zeros(coefficients.shape[1])
            row[starts[first] : starts[first + 1]] = coefficients[second - 1, starts[first] : starts[first + 1]]
            row[starts[second] : starts[second + 1]] = coefficients[first, starts[second] : starts[second + 1]]
            rows.append(row)
    return torch.stack(rows)


def coupled(pairs: Tensor, classes: int) -> Tensor:
    """(..., pairs) probabilities of the first class of each pair to (..., classes): Wu, Lin and Weng 2004, second
    method, solved as libsvm does, and as far (it stops at an error of :data:`COUPLED` over the classes)."""
    pairs = pairs.clamp(LEAST, 1 - LEAST)
    of = [[pairs.new_zeros(pairs.shape[:-1])] * classes for _ in range(classes)]
    at = 0
    for first in range(classes):
        for second in range(first + 1, classes):
            of[first][second], of[second][first] = pairs[..., at], 1 - pairs[..., at]
            at += 1
    rows = []
    for one in range(classes):
        own = reduce(torch.add, (of[other][one] ** 2 for other in range(classes) if other != one))
        rows.append(
            torch.stack([own if one == other else -of[other][one] * of[one][other] for other in range(classes)], dim=-1)
        )
    matrix = torch.stack(rows, dim=-2)
    found = pairs.new_full((*pairs.shape[:-1], classes), 1 / classes)
    for _ in range(ROUNDS):
        product = (matrix @ found.unsqueeze(-1)).squeeze(-1)
        whole = (found * product).sum(dim=-1, keepdim=True)
        going = (product - whole).abs().amax(dim=-1, keepdim=True) >= COUPLED / classes
        found = torch.where(going, _once_around(matrix, found, product, whole), found)
    return found


def _once_around(matrix: Tensor, found: Tensor, product: Tensor, whole: Tensor) -> Tensor:
    """Each probability in turn, the others held."""
    for one in range(found.shape[-1]):
        own = matrix[..., one, one : one + 1]
        step = (whole - product[..., one : one + 1]) / own
        chosen = torch.zeros(found.shape[-1])
        chosen[one] = 1.0
        found = (found + step * chosen) / (1 + step)
        whole = (whole + step * (step * own + 2 * product[..., one : one + 1])) / (1 + step) / (1 + step)
        product = (product + step * matrix[..., one, :]) / (1 + step)
    return found


def _normalizer(node: Node) -> Run:
    kind = node.get("norm", "MAX")
    norms: dict[str, Callable[[Tensor], Tensor]] = {
        "MAX": lambda x: x.amax(dim=-1, keepdim=True),
        "L1": lambda x: x.abs().sum(dim=-1, keepdim=True),
        "L2": lambda x: (x * x).sum(dim=-1, keepdim=True).sqrt(),
    }
    norm = norms[kind]

    def run(x: Tensor) -> Tensor:
        size = norm(x)
        return x / torch.where(size == 0, torch.ones_like(size), size)

    return run


def _feature_extractor(node: Node) -> Run:
    indices = node.constant(1).reshape(-1).long()
    return lambda x, _: x.index_select(-1, indices) if x.ndim > 1 else x.index_select(-1, indices).unsqueeze(0)


def _binarizer(node: Node) -> Run:
    limit = float(node.get("threshold", 0.0))
    return lambda x: (x > limit).to(x.dtype)


def _imputer(node: Node) -> Run:
    values, replaced = _row(node, "imputed_value_floats"), float(node.get("replaced_value_float", 0.0))
    if not values.numel():
        raise node.refusal("whole numbers")
    return lambda x: torch.where(x.isnan() if math.isnan(replaced) else x == replaced, values, x)


# Of the domain ai.onnx.ml, which shares no name with the other one.
CLASSICAL: dict[str, Callable[[Node], Run]] = {
    "ArrayFeatureExtractor": _feature_extractor,
    "Binarizer": _binarizer,
    "Imputer": _imputer,
    "LinearClassifier": _linear_classifier,
    "LinearRegressor": _linear_regressor,
    "Normalizer": _normalizer,
    "SVMClassifier": _svm_classifier,
    "Scaler": _scaler,
}
