"""Files of a torch module behind what its study says of its input: the module's own file, and the front before it.

In: a writer of a recipe and a job whose module is a :class:`~models.front.fronted.FrontedNet`. Out: the file that the
writer makes of the module alone, calibrated on what the module sees, with the front written before its graph as it is
before a brought file's (:mod:`models.front`): float32 in every recipe, and nothing of it is quantized or halved.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pulseproof.export.job import ExportJob, MadeFile
from pulseproof.models.front.fronted import FrontedNet
from pulseproof.models.front.onnx_apart import take_off
from pulseproof.models.front.onnx_front import put_front
from pulseproof.models.front.plan import Front
from pulseproof.models.front.tail import Tail

Write = Callable[[ExportJob], MadeFile]
AT_ONCE = 256  # recordings that go through a front together


def behind_front(write: Write) -> Write:
    """The same recipe for a module with a front."""

    @functools.wraps(write)
    def written(job: ExportJob) -> MadeFile:
        module = job.module
        assert isinstance(module, FrontedNet)
        with tempfile.TemporaryDirectory(dir=job.out.parent, prefix=".front-") as folder:
            out = Path(folder, f"own{job.out.suffix}")
            source = out if job.source == job.out else _without(job.source, Path(folder, f"source{job.out.suffix}"))
            inner = replace(
                job,
                module=module.net,
                shape=module.plan.sees,
                out=out,
                source=source,
                calibration=_seen(module, job.calibration),
                signals=_seen(module, job.signals),
            )
            made = write(inner)
            _put(out, job.out, module.plan)
        note = f"before the net, in float32: {module.plan.says()}"
        return replace(made, note=f"{note}; {made.note}" if made.note else note)

    return written


def _seen(module: FrontedNet, signals: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the net itself sees of recordings (k, leads, samples) mV."""
    if not signals.size:
        return np.zeros((0, *module.plan.sees), np.float32)
    with torch.inference_mode():
        parts = [module.front(torch.from_numpy(signals[at : at + AT_ONCE])) for at in range(0, len(signals), AT_ONCE)]
    return torch.cat(parts).numpy()


def _without(source: Path, out: Path) -> Path:
    """A float file of this module without its front, its ends called as those of all others are."""
    if source.suffix == ".onnx":
        import onnx

        from pulseproof.export.onnx.given import name_ends

        model = onnx.load(source)
        apart = take_off(model)
        assert apart is not None
        name_ends(model.graph)
        onnx.save(model, out)
        return out
    from pulseproof.export.tflite.flatbuffer import Graph
    from pulseproof.models.front.tflite_apart import without_front

    out.write_bytes(without_front(source.read_bytes()))
    graph = Graph.open(out)
    graph.prune()  # a tensor that no operator makes is none that can be calibrated
    graph.write(out)
    return out


def _put(own: Path, out: Path, front: Front) -> None:
    """The module's own file with its front, and one input that has the name of all others here."""
    if own.suffix == ".onnx":
        import onnx

        from pulseproof.export.onnx.given import name_ends

        model = onnx.load(own)
        put_front(model, front, own.name)
        name_ends(model.graph)
        onnx.save(model, out)
        return
    from pulseproof.export.tflite.flatbuffer import rename_ends
    from pulseproof.models.front.tflite_front import with_front_and_tail

    content = own.read_bytes()
    classes = _scores(content)
    out.write_bytes(with_front_and_tail(content, front, Tail(classes, classes)))
    rename_ends(out)


def _scores(content: bytes) -> int:
    from ai_edge_litert import schema_py_generated as schema

    graph = schema.Model.GetRootAs(content).Subgraphs(0)
    return int(graph.Tensors(graph.Outputs(0)).Shape(1))
