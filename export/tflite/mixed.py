"""Mixed TFLite files: int8 with calibrated ranges, and some layers left in float.

In: a :class:`~export.job.ExportJob` of a net with calibration recordings. Out: a ``.tflite`` file from and to float32,
and its layers with what each costs when it alone is int8.

A layer is an operator with weights (:data:`LAYERS`). Its name is the path of its module in the net, as the converter
keeps it in the name of the operator's output tensor: ``body.1.first.0`` of
``torch.nn.modules.container.Sequential_body/models.nets.Residual_1/...Sequential_first/...Conv1d_0;2``. The last layer
is called ``scores``, as its tensor is. A name that comes again gets ``:2``, ``:3``.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.export import mixed
from pulseproof.export.job import ExportJob, MadeFile, RefusedError
from pulseproof.export.tflite.flatbuffer import FLOATS, MOVES, Graph, float_note
from pulseproof.export.tflite.int8 import ALL, add_static, keep_ends_float, keep_float, pattern_of, quantizer_of, save
from pulseproof.export.tflite.ranges import Ranges, calibrate
from pulseproof.runtime.engines import open_engine

LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL")
SAVED = 3  # bytes a weight: float32 less int8


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a layer is in the source file: its output tensor, how many numbers its weights hold, and the output tensors
    of what only moves the signal in front of it (padding, say): were that int8, a float layer would get rounded values.
    """

    tensor: str
    weights: int
    before: tuple[str, ...]


def write_mixed(job: ExportJob) -> MadeFile:
    """``tflite-int8-mixed`` of a net. Raises InputError for a name in ``keep_float`` that is no layer, RefusedError
    when there is nothing to choose among."""
    places = find_layers(job.source)
    if len(places) < 2:
        raise RefusedError(f"it has {len(places)} layers with weights: there is nothing to choose among")
    tool = quantizer_of(job.source)
    add_static(tool, 8, ALL)
    keep_ends_float(tool, job.source)
    ranges = calibrate(tool, job)
    signals = job.calibration[: mixed.SENSED_ON]
    reference = _scores(job.source, signals)

    def error_of(name: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            alone = Path(folder) / "alone.tflite"
            _write_alone(job.source, places[name].tensor, ranges, alone)
            return mixed.score_error(_scores(alone, signals), reference)

    layers = mixed.pick(job, list(places), error_of, lambda name: SAVED * places[name].weights)
    kept = [layer for layer in layers if layer.kept]
    keep_float(tool, names=[name for layer in kept for name in (*places[layer.name].before, places[layer.name].tensor)])
    save(tool, job.out, ranges)
    note = float_note(job.out)
    return MadeFile(mixed.note_of(layers) + (f"; {note}" if note else ""), layers)


def find_layers(source: Path) -> dict[str, _Place]:
    """{name: place} of the layers of a float TFLite file, in the order in which they run."""
    graph = Graph.open(source)
    found: dict[str, _Place] = {}
    seen: Counter[str] = Counter()
    for kind, _, inputs, outputs in graph.steps():
        if kind not in LAYERS or len(inputs) < 2 or not graph.is_constant(inputs[1]):
            continue
        if graph.graph.tensors[inputs[1]].type not in FLOATS:
            continue
        tensor = graph.name(outputs[0])
        name = short_name(tensor)
        seen[name] += 1
        before = tuple(graph.name(at) for at in _moved_signal(graph, inputs[0]))
        found[name if seen[name] == 1 else f"{name}:{seen[name]}"] = _Place(tensor, graph.size(inputs[1]), before)
    return found


def _moved_signal(graph: Graph, tensor: int) -> list[int]:
    """The tensors from the signal (or what is left of it without its mean) to ``tensor``, when values only move on
    that way; else none."""
    made_by = {outputs[0]: (name, inputs) for name, _, inputs, outputs in graph.steps() if outputs}
    way = []
    while tensor in made_by and made_by[tensor][0] in MOVES:
        way.append(tensor)
        tensor = made_by[tensor][1][0]
    if tensor in made_by and made_by[tensor][0] == "SUB":
        tensor = made_by[tensor][1][0]
    return way if tensor == int(graph.graph.inputs[0]) else []


def short_name(tensor: str) -> str:
    """The path of the module that made a tensor, without classes: the converter writes ``package.Class_attribute``
    between slashes, the numbers of its operators behind semicolons, and activations fused into the operator first."""
    own = [part for part in tensor.split(";") if part and not part.isdecimal()]
    if not own:
        return tensor
    steps = [step.rpartition(".")[2].partition("_") for step in own[-1].split("/")]
    named = [attribute for _, _, attribute in steps if attribute]  # the net itself is no one's attribute
    return ".".join(named) or steps[-1][0]


def _write_alone(source: Path, tensor: str, ranges: Ranges, path: Path) -> None:
    """A file in which one layer is int8 and all others are float."""
    tool = quantizer_of(source)
    add_static(tool, 8, (pattern_of(tensor), ALL[1]))
    keep_float(tool, kinds=("INPUT", "OUTPUT"))
    save(tool, path, ranges)


def _scores(path: Path, signals: NDArray[np.float32]) -> NDArray[np.float32]:
    engine = open_engine(path)
    return np.concatenate([engine.run(signal[None]) for signal in signals])
