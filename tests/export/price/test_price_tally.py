"""Parameters, multiply-accumulates and activation memory: both formats, torch, and what one can count by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from pulseproof.core.errors import InputError
from pulseproof.export.fold import for_export
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.price import onnx_graph, price, tflite_graph
from pulseproof.export.price.tally import Operation, Tally, peak_bytes
from pulseproof.export.quiet import quiet
from pulseproof.export.tflite import files as tflite_files
from pulseproof.export.tflite import lstm as lstm_flatbuffer
from pulseproof.models.nets import Cnn, EcgLens, Lstm, MeanOverTime
from tests.export.making import job_for

SHAPE = (2, 160)


class Recurrent(nn.Module):
    """A recurrent layer on the signal, step by step, and a linear one on its last output."""

    def __init__(self, layer: type[nn.RNNBase], **options: bool) -> None:
        super().__init__()
        self.layer = layer(2, 6, batch_first=True, **options)
        self.last = nn.Linear(12 if options.get("bidirectional") else 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(x.transpose(1, 2))[0][:, -1])


class PerStep(nn.Module):
    """A linear layer on every step: a matrix product with its bias apart, in ONNX."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2, 7), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x.transpose(1, 2)))).mean(dim=1)


def convolutions(*layers: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(*layers, MeanOverTime(), nn.Linear(channels, 3))


NETS: dict[str, Callable[[], nn.Module]] = {
    "cnn": lambda: Cnn(*SHAPE, 3, width=4, pieces=2),
    "ecg-lens": lambda: EcgLens(*SHAPE, 3, width=4, own_mean=True),
    "lstm": lambda: Lstm(*SHAPE, 3, hidden=6, patch=7, pieces=2),
    "strides": lambda: convolutions(nn.Conv1d(2, 5, 4, stride=3), nn.ReLU(), nn.Conv1d(5, 4, 3, padding=1), channels=4),
    "dilated, without bias": lambda: convolutions(nn.Conv1d(2, 6, 5, dilation=2, bias=False), channels=6),
    "groups": lambda: convolutions(nn.Conv1d(2, 8, 3), nn.ReLU(), nn.Conv1d(8, 12, 3, groups=4), channels=12),
    "depthwise": lambda: convolutions(nn.Conv1d(2, 8, 3), nn.Conv1d(8, 8, 5, groups=8), nn.Conv1d(8, 6, 1), channels=6),
    "transposed": lambda: convolutions(nn.Conv1d(2, 4, 5, stride=2), nn.ConvTranspose1d(4, 6, 4, stride=2), channels=6),
    "per step": PerStep,
}
ONLY_ONNX: dict[str, Callable[[], nn.Module]] = {
    "torch's LSTM": lambda: Recurrent(nn.LSTM),
    "LSTM both ways": lambda: Recurrent(nn.LSTM, bidirectional=True),
    "GRU": lambda: Recurrent(nn.GRU),
    "RNN": lambda: Recurrent(nn.RNN),
}


def make(name: str) -> nn.Module:
    """A net in which no two biases are equal: the exporter would keep one of them."""
    torch.manual_seed(1)
    net = (NETS | ONLY_ONNX)[name]()
    for tensor in [
        *net.parameters(),
        *(part.running_mean for part in net.modules() if isinstance(part, nn.BatchNorm1d)),
    ]:
        nn.init.uniform_(tensor, 0.1, 0.3)
    return net.eval()


def counted_by_torch(net: nn.Module) -> tuple[int, int]:
    """(parameters, MACs) of the layers that really ran, from their weights and the shapes that they saw."""
    parameters, macs = 0, 0

    def see(layer: nn.Module, given: tuple[Tensor, ...], made: Tensor | tuple[Tensor, ...]) -> None:
        nonlocal parameters, macs
        sizes = {key: tensor.numel() for key, tensor in layer.named_parameters()}
        parameters += sum(sizes.values())
        if isinstance(layer, nn.RNNBase):
            macs += given[0].shape[1] * sum(size for key, size in sizes.items() if key.startswith("weight"))
            gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[layer.mode.split("_")[0]]
            shared = 2 if layer.mode == "GRU" else gates  # gates in which the two biases are only added
            parameters -= shared * layer.hidden_size * (2 if layer.bidirectional else 1)
        elif isinstance(layer, nn.ConvTranspose1d):
            macs += given[0].numel() * math.prod(layer.weight.shape[1:])
        else:
            assert isinstance(made, Tensor)
            macs += made.numel() * math.prod(layer.weight.shape[1:])

    layers = [
        part for part in net.modules() if isinstance(part, nn.Conv1d | nn.ConvTranspose1d | nn.Linear | nn.RNNBase)
    ]
    hooks = [layer.register_forward_hook(see) for layer in layers]
    with torch.inference_mode():
        net(torch.zeros(1, *SHAPE))
    for hook in hooks:
        hook.remove()
    return parameters, macs


def as_onnx(net: nn.Module, path: Path) -> Path:
    with quiet():
        onnx_files.write_float(job_for(net, SHAPE, path))
    return path


@pytest.mark.parametrize("name", [*NETS, *ONLY_ONNX])
def test_onnx_holds_and_computes_what_torch_does(name: str, tmp_path: Path) -> None:
    net = make(name)
    counted = onnx_graph.tally(as_onnx(net, tmp_path / "net.onnx"))
    assert (counted.parameters, counted.macs) == counted_by_torch(for_export(net))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_tflite_holds_and_computes_what_torch_does(name: str, tmp_path: Path) -> None:
    net, path = make(name), tmp_path / "net.tflite"
    with quiet():
        (lstm_flatbuffer if isinstance(net, Lstm) else tflite_files).write_float(job_for(net, SHAPE, path))
    counted = tflite_graph.tally(path)
    assert (counted.parameters, counted.macs) == counted_by_torch(for_export(net))


@pytest.mark.parametrize("kind", ["write_fp16", "write_dynamic"])
def test_smaller_weights_of_a_tflite_lstm_are_as_many(kind: str, tmp_path: Path) -> None:
    net = Lstm(*SHAPE, 3, hidden=32).eval()
    paths = [tmp_path / "float.tflite", tmp_path / "small.tflite"]
    lstm_flatbuffer.write_float(job_for(net, SHAPE, paths[0]))
    getattr(lstm_flatbuffer, kind)(job_for(net, SHAPE, paths[1], paths[0]))
    whole, small = (tflite_graph.tally(path) for path in paths)
    assert small == whole and paths[1].stat().st_size < paths[0].stat().st_size


@pytest.mark.parametrize("weights", [QuantType.QInt8, QuantType.QUInt8])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", ["cnn", "per step", "torch's LSTM"])
def test_dynamic_int8_weights_are_as_many(name: str, per_channel: bool, weights: QuantType, tmp_path: Path) -> None:
    path, small = as_onnx(make(name), tmp_path / "net.onnx"), tmp_path / "int8.onnx"
    with quiet():
        quantize_dynamic(path, small, weight_type=weights, per_channel=per_channel)
    kinds = {node.op_type for node in onnx.load(small).graph.node}
    assert kinds & {"ConvInteger", "MatMulInteger", "DynamicQuantizeLSTM"}
    before, after = onnx_graph.tally(path), onnx_graph.tally(small)
    assert (after.parameters, after.macs) == (before.parameters, before.macs)


def qdq_conv(path: Path) -> Path:
    """signal (1, 2, 160), int8, a convolution to 50 channels with ReLU, int8, the mean over time, scores (1, 50)."""
    constants = {
        "scale": np.float32(0.1),
        "zero": np.int8(0),
        "weights": np.ones((50, 2, 3), np.int8),
        "weight_scales": np.full(50, 0.01, np.float32),
        "weight_zeros": np.zeros(50, np.int8),
        "bias": np.ones(50, np.int32),
        "bias_scales": np.full(50, 0.001, np.float32),
        "time": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["signal", "scale", "zero"], ["signal_8"]),
        helper.make_node("DequantizeLinear", ["signal_8", "scale", "zero"], ["signal_f"]),
        helper.make_node("DequantizeLinear", ["weights", "weight_scales", "weight_zeros"], ["weights_f"], axis=0),
        helper.make_node("DequantizeLinear", ["bias", "bias_scales"], ["bias_f"], axis=0),
        helper.make_node("Conv", ["signal_f", "weights_f", "bias_f"], ["conv"], pads=[1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("QuantizeLinear", ["relu", "scale", "zero"], ["relu_8"]),
        helper.make_node("DequantizeLinear", ["relu_8", "scale", "zero"], ["relu_f"]),
        helper.make_node("ReduceMean", ["relu_f", "time"], ["scores"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "qdq",
        [helper.make_tensor_value_info("signal", TensorProto.FLOAT, (1, 2, 160))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 50))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def test_a_qdq_convolution_is_one_int8_operator(tmp_path: Path) -> None:
    counted = onnx_graph.tally(qdq_conv(tmp_path / "qdq.onnx"))
    signal, result = 2 * 160, 50 * 160
    # The mean is not fused, so its float input is really there, beside the int8 it was made from.
    assert counted == Tally(parameters=50 * 2 * 3 + 50, macs=result * 2 * 3, activation_bytes=result + 4 * result)
    assert counted.activation_bytes > 4 * signal + signal


def test_activations_by_hand(tmp_path: Path) -> None:
    net = convolutions(nn.Conv1d(2, 8, 5, stride=2), nn.ReLU(), nn.Conv1d(8, 3, 1), channels=3)
    path = as_onnx(net, tmp_path / "net.onnx")
    # (2, 160) to (8, 78) to (3, 78), float32; the ReLU is part of its convolution.
    assert onnx_graph.tally(path).activation_bytes == 4 * (2 * 160 + 8 * 78)


@pytest.mark.parametrize("axis", [1, 2])
def test_a_free_size_is_refused(axis: int, tmp_path: Path) -> None:
    path = as_onnx(make("cnn"), tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "any"
    onnx.save(model, path)
    with pytest.raises(InputError, match=rf"net\.onnx: axis {axis} of its input signal"):
        onnx_graph.tally(path)


def test_a_free_batch_is_one(tmp_path: Path) -> None:
    path = as_onnx(make("cnn"), tmp_path / "net.onnx")
    fixed, model = onnx_graph.tally(path), onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "n"
    onnx.save(model, path)
    assert onnx_graph.tally(path) == fixed


def test_an_onnx_net_has_no_price_on_a_microcontroller(tmp_path: Path) -> None:
    net = make("cnn")
    found = price(as_onnx(net, tmp_path / "net.onnx"), net)
    assert (found.parameters, found.macs) == counted_by_torch(for_export(net))
    assert set(found.unpriced) == {"micro", "ethos", "c_code"}
    assert all("TFLite files" in found.unpriced[name] for name in ("micro", "ethos"))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Operation[int]], dict[int, int], list[int]]:
    """Operators that read tensors made before them; tensor 0 is the input. Some tensors have no size: constants."""
    operations: list[Operation[int]] = []
    made = [0]
    for at in range(draw(st.integers(0, 8))):
        read = draw(st.lists(st.sampled_from(made), min_size=1, max_size=3))
        written = [2 * at + 1, 2 * at + 2][: draw(st.integers(1, 2))]
        view = len(written) == 1 and draw(st.booleans())
        operations.append(Operation(tuple(read), tuple(written), view))
        made += written
    sizes = {key: draw(st.integers(0, 100)) for key in made}
    for operation in operations:
        if operation.view:
            sizes[operation.outputs[0]] = sizes[operation.inputs[0]]
    return operations, sizes, draw(st.lists(st.sampled_from(made), min_size=1, max_size=2))


def simulated(operations: list[Operation[int]], sizes: dict[int, int], outputs: list[int]) -> int:
    """Run the operators, and after each one free what nothing behind it reads."""
    home = {key: key for key in sizes}
    for operation in operations:
        if operation.view:
            home[operation.outputs[0]] = home[operation.inputs[0]]
    alive, peak = {0}, sizes[0]
    for at, operation in enumerate(operations):
        alive |= {home[key] for key in operation.outputs}
        peak = max(peak, sum(sizes[key] for key in alive))
        wanted = {home[key] for later in operations[at + 1 :] for key in later.inputs} | {home[key] for key in outputs}
        alive &= wanted
    return peak


@given(graphs())
def test_the_peak_is_that_of_a_run(graph: tuple[list[Operation[int]], dict[int, int], list[int]]) -> None:
    operations, sizes, outputs = graph
    peak = peak_bytes(operations, sizes, [0], outputs)
    assert peak == simulated(operations, sizes, outputs)
    assert peak <= sum(sizes.values())
    assert peak_bytes(operations, sizes, [0], outputs, kept=[10**6]) == peak  # no such tensor
    assert peak_bytes(operations, sizes | {10**6: 7}, [0], outputs, kept=[10**6]) == peak + 7
