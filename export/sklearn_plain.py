"""What skl2onnx writes, in plainer operators: mended where it is wrong, and said in fewer where it can be.

In: the graph of an estimator, changed in place. A linear classifier is a matrix product (which recipes can quantize and
twins can follow), and a softmax is one operator, behind which nothing has to be normalised again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

_ENDS = {"LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}


def constant(graph: onnx.GraphProto, name: str, value: Any) -> None:
    """Put an array among the constants of a graph."""
    import onnx

    graph.initializer.append(onnx.numpy_helper.from_array(value, name))


def without_maps(graph: onnx.GraphProto) -> None:
    """A ZipMap that was not to be left out (a converter that has no such option) gives what it was given."""
    import onnx

    for node in list(graph.node):
        if node.op_type == "ZipMap" and node.output[0] == graph.output[-1].name:
            kept = node.input[0]
            graph.node.remove(node)
            del graph.output[-1]
            graph.output.append(onnx.helper.make_tensor_value_info(kept, onnx.TensorProto.FLOAT, (1, 0)))


def distances_as_they_are(graph: onnx.GraphProto) -> None:
    """skl2onnx 1.20 weighs neighbours by distances that it negates first, so that each is cut to the same least one and
    all weigh alike: the negation goes. (It belongs to a TopK of the largest; here it is one of the smallest.)"""
    import onnx

    makers = {name: node for node in graph.node for name in node.output}
    known = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        source = makers.get(node.input[0]) if node.op_type == "Max" else None
        if source is None or source.op_type != "Mul" or source.input[1] not in known:
            continue
        nearest = makers.get(source.input[0])
        negated = known[source.input[1]].size == 1 and float(known[source.input[1]].item()) == -1
        if negated and nearest is not None and nearest.op_type == "TopK" and attribute(nearest, "largest") == 0:
            node.input[0] = source.input[0]


def softmax_of_logarithms(graph: onnx.GraphProto) -> None:
    """``exp(z - logsumexp(z))``, which a naive Bayes ends in, as the one operator that it is: with logarithms of
    probabilities near -1000 the difference of two of them keeps three digits, and a twin knows where its end is."""
    import onnx

    makers = {name: node for node in graph.node for name in node.output}

    def maker(name: str, kind: str) -> onnx.NodeProto | None:
        node = makers.get(name)
        return node if node is not None and node.op_type == kind else None

    for node in graph.node:
        less = maker(node.input[0], "Sub") if node.op_type == "Exp" else None
        if less is None:
            continue
        shaped = maker(less.input[1], "Reshape")
        whole = maker(less.input[1] if shaped is None else shaped.input[0], "ReduceLogSumExp")
        if whole is not None and whole.input[0] == less.input[0] and _axes(graph, whole) == [1]:
            node.op_type = "Softmax"
            node.input[0] = less.input[0]
            node.attribute.append(onnx.helper.make_attribute("axis", 1))


def _axes(graph: onnx.GraphProto, node: onnx.NodeProto) -> list[int]:
    """Of a reduction, whose axes are an input from operator set 18 on."""
    import onnx

    if len(node.input) > 1:
        given = next((one for one in graph.initializer if one.name == node.input[1]), None)
        return [] if given is None else onnx.numpy_helper.to_array(given).ravel().tolist()
    return list(attribute(node, "axes") or [])


def attribute(node: onnx.NodeProto, name: str) -> Any:
    """The value of an attribute; None where it is left out."""
    import onnx

    return next((onnx.helper.get_attribute_value(each) for each in node.attribute if each.name == name), None)


def scalers(graph: onnx.GraphProto) -> None:
    """``Scaler`` as a difference and a product: nobody infers what type an operator of ai.onnx.ml gives, and without
    the types nothing behind it can be quantized."""
    import onnx

    nodes = []
    for at, node in enumerate(graph.node):
        if node.op_type != "Scaler":
            nodes.append(node)
            continue
        for name in ("offset", "scale"):
            constant(graph, f"scaler.{at}.{name}", np.array(attribute(node, name), np.float32))
        centred = f"scaler.{at}.centred"
        nodes.append(onnx.helper.make_node("Sub", [node.input[0], f"scaler.{at}.offset"], [centred]))
        nodes.append(onnx.helper.make_node("Mul", [centred, f"scaler.{at}.scale"], [node.output[0]]))
    del graph.node[:]
    graph.node.extend(nodes)


def linear_layers(graph: onnx.GraphProto) -> None:
    """``LinearClassifier`` as a matrix product, a sum and what squeezes the scores. One that gives two classes by one
    value stays: it is written differently in every version of ONNX Runtime."""
    import onnx

    nodes = []
    for at, node in enumerate(graph.node):
        if node.op_type != "LinearClassifier":
            nodes.append(node)
            continue
        bias = np.array(attribute(node, "intercepts"), np.float32)
        weight = np.array(attribute(node, "coefficients"), np.float32)
        labels = attribute(node, "classlabels_ints") or attribute(node, "classlabels_strings") or []
        end = (attribute(node, "post_transform") or b"NONE").decode()
        # What takes the label needs the node itself: it goes later, where nothing does.
        nodes.append(node)
        if len(bias) != len(labels) or end not in (*_ENDS, "NONE"):
            continue
        name = f"linear.{at}"
        constant(graph, f"{name}.weight", np.ascontiguousarray(weight.reshape(len(bias), -1).T))
        constant(graph, f"{name}.bias", bias)
        nodes.append(onnx.helper.make_node("MatMul", [node.input[0], f"{name}.weight"], [f"{name}.product"]))
        scores, node.output[1] = node.output[1], f"{name}.unused"
        sums = scores if end == "NONE" else f"{name}.sum"
        nodes.append(onnx.helper.make_node("Add", [f"{name}.product", f"{name}.bias"], [sums]))
        if end in _ENDS:
            squeeze = onnx.helper.make_node(_ENDS[end], [sums], [scores])
            if end == "SOFTMAX":
                squeeze.attribute.append(onnx.helper.make_attribute("axis", 1))
            nodes.append(squeeze)
    del graph.node[:]
    graph.node.extend(nodes)


def flat_biases(graph: onnx.GraphProto) -> None:
    """What a matrix product adds, as (n,): ONNX Runtime's quantizer takes a bias of (1, n) for no bias of a layer, and
    falls over it."""
    import onnx

    products = {node.output[0] for node in graph.node if node.op_type == "MatMul"}
    known = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Add" or not products & set(node.input):
            continue
        for at, name in enumerate(node.input):
            if name in known and len(known[name].dims) == 2 and known[name].dims[0] == 1:
                constant(graph, f"{name}.flat", onnx.numpy_helper.to_array(known[name])[0])
                known[f"{name}.flat"] = graph.initializer[-1]
                node.input[at] = f"{name}.flat"


def normalised_once(graph: onnx.GraphProto) -> None:
    """A softmax sums to one: a Normalizer of sums behind it divides by rounding alone, and goes."""
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        before = makers.get(node.input[0]) if node.op_type == "Normalizer" else None
        if before is not None and before.op_type == "Softmax" and attribute(node, "norm") == b"L1":
            node.op_type, node.domain = "Identity", ""
            del node.attribute[:]
