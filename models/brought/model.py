"""A model that came trained: what it is, whether it fits the study, and what is kept of it.

In: a study's ``[models.<name>]`` with a ``file``, or with ``trained = true`` and a callable; the task; some recordings.
Out: ``given.onnx``, ``given.tflite``, ``weights.safetensors`` or ``estimator.skops`` in the model's folder, and how to
load it again. The checks of each kind are in :mod:`models.brought.files`, :mod:`models.modules` and
:mod:`models.brought.estimators`; every one that fails is an InputError that names the model and its file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from pulseproof.core.errors import InputError
from pulseproof.core.hub import local_file
from pulseproof.core.studies.model_input import InputSpec
from pulseproof.core.study import ModelSpec
from pulseproof.models.brought.estimator_files import load_estimator, read_strangers, save_estimator
from pulseproof.models.brought.estimators import brought_model, check_model
from pulseproof.models.brought.files import FileModel, fingerprint, take_file
from pulseproof.models.brought.kinds import ESTIMATOR, GIVEN, expect_file
from pulseproof.models.brought.named import spec_for
from pulseproof.models.front.fitting import Fitting
from pulseproof.models.front.fronted import own_net
from pulseproof.models.modules import build_net, check_net, load_weights, weights_digest
from pulseproof.models.systems import System, Task
from pulseproof.runtime.files import replacing, write_bytes
from pulseproof.runtime.words import one_line

__all__ = ["ESTIMATOR", "KEPT", "FileModel", "files_of", "inputs_of", "load", "save_weights", "spec_for", "take"]

# Bump when another file would be kept of the same model, or when a model that was taken would be refused now.
VERSION = 3
WEIGHTS = "weights.safetensors"
KEPT = (WEIGHTS, *GIVEN.values())
# What a study may say of a model that is trained here only.
OF_TRAINING = ("epochs", "batch_size", "learning_rate", "weight_decay", "epoch_records", "balanced", "augment", "seed")


def inputs_of(name: str, spec: ModelSpec, system: System, task: Task) -> dict[str, Any]:
    """What a kept model depends on: the bytes of its files, the source of its module, its weights.

    Raises InputError when a file is missing, or the study says how to train what came trained.
    """
    what = _what(name, spec)
    may_not = (*OF_TRAINING, "options") if spec.file else OF_TRAINING
    asked = [key for key in may_not if getattr(spec, key) != getattr(ModelSpec(), key)]
    if asked:
        raise InputError(f"{what}: {', '.join(asked)} say how to train it, and it came trained", "leave them out")
    given = files_of(name, spec)
    if spec.factory is not None and spec.weights is None:
        given = {"weights": weights_digest(build_net(what, system, spec, task))}
    library = {"torch": torch.__version__} if spec.factory else {"sklearn": sklearn.__version__}
    return {
        "brought": VERSION,
        "given": given,
        "source": system.source,
        "library": None if spec.suffix in (".onnx", ".tflite") else library,
    }


def files_of(name: str, spec: ModelSpec) -> dict[str, str]:
    """{name: SHA-256} of the files that a brought model is made of: its own, and those that hold its weights. Raises
    InputError."""
    if spec.file is None and spec.weights is None:
        return {}
    path = local_file(name, spec) if spec.file else Path(spec.weights or "")
    return fingerprint(path, f"[models.{name}]: {spec.file or path}")


def take(
    name: str,
    spec: ModelSpec,
    system: System,
    task: Task,
    signals: NDArray[np.float32],
    folder: Path,
    ids: Sequence[str] = (),
) -> tuple[Path, dict[str, Any]]:
    """Check a brought model on ``signals``, real recordings float32 (k, leads, samples) mV named ``ids`` (k,), and keep
    it in ``folder``.

    Returns the file kept and what ``model.json`` says of it for :func:`load`. Raises InputError.
    """
    what = _what(name, spec)
    if spec.suffix in (".onnx", ".tflite"):
        kept = folder / GIVEN[str(spec.suffix)]
        taken = take_file(local_file(name, spec), what, signals, len(task.classes), kept, ids, fitting_of(spec, task))
        described = {"quantized": taken.quantized, "threshold": taken.threshold, "front": taken.front}
        return kept, {"origin": "file", "file": kept.name, **described}
    module: nn.Module
    if spec.factory is not None:
        kept, head = folder / WEIGHTS, {"origin": "net"}
        module = _net(name, spec, system, task)
        check_net(module, what, signals, ids)
        if spec.weights is None and weights_digest(build_net(what, system, spec, task)) != weights_digest(module):
            raise InputError(
                f"{what}: returns other weights each time it is called, so it is not trained",
                "let it load its trained weights, or give weights = 'x.safetensors'",
            )
        save_weights(module, kept)
    else:
        kept, head = folder / ESTIMATOR, {"origin": "estimator"}
        estimator = _estimator(name, what, spec, system)
        module = brought_model(estimator, what, task, spec.segments)
        check_model(module, estimator, what, task.classes, signals, ids)
        if spec.file is not None:
            write_bytes(kept, local_file(name, spec).read_bytes())
        else:
            save_estimator(estimator, kept)
    again = load(name, spec, system, task, folder, head)
    with torch.inference_mode():
        x = torch.from_numpy(signals)
        if not torch.allclose(module(x), again(x), rtol=1e-5, atol=1e-5):
            kept.unlink()
            raise InputError(
                f"{what}: scores depend on numbers that are not among its weights, and would be lost",
                "register them: self.register_buffer(name, tensor), or torch.nn.Parameter",
            )
    return kept, head


def fitting_of(spec: ModelSpec, task: Task) -> Fitting:
    """What a study says of the ends of a brought file."""
    shape, order = (len(task.leads), task.samples), spec.classes or ()
    return Fitting(
        shape, len(task.classes), task.fs_hz, task.leads, task.classes, spec.input or InputSpec(), spec.output, order
    )


def load(name: str, spec: ModelSpec, system: System, task: Task, folder: Path, head: Mapping[str, Any]) -> nn.Module:
    """A kept model, as :func:`take` left it. Raises what a damaged folder raises."""
    if head["origin"] == "file":
        shape = (len(task.leads), task.samples)
        quantized, threshold, front = bool(head["quantized"]), float(head["threshold"]), head.get("front")
        return FileModel(folder / head["file"], shape, quantized, threshold, front).eval()
    what = f"{folder}"
    if head["origin"] == "net":
        net = build_net(_what(name, spec), system, spec, task)
        load_weights(net, folder / WEIGHTS, what)
        return net.eval()
    return brought_model(load_estimator(folder / ESTIMATOR), what, task, spec.segments).eval()


def save_weights(net: nn.Module, path: Path) -> None:
    """Write the weights of a module as safetensors."""
    # Cloned, because tied weights share memory, which safetensors does not keep.
    tensors = {key: tensor.detach().clone().contiguous() for key, tensor in net.state_dict().items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary)


def _what(name: str, spec: ModelSpec) -> str:
    return f"[models.{name}]: {spec.file or spec.factory or spec.estimator}"


def _net(name: str, spec: ModelSpec, system: System, task: Task) -> nn.Module:
    net = build_net(_what(name, spec), system, spec, task)
    if spec.weights is not None:
        what = f"[models.{name}]: {spec.weights}"
        expect_file(Path(spec.weights), what)
        load_weights(own_net(net), Path(spec.weights), what)
    return net


def _estimator(name: str, what: str, spec: ModelSpec, system: System) -> Any:
    if spec.file is not None:
        path = local_file(name, spec)
        expect_file(path, what)
        return read_strangers(path, what)
    assert system.estimator is not None
    try:
        return system.estimator(0, **spec.options)
    except Exception as error:  # a user's own code may raise anything
        raise InputError(
            f"{what}: cannot be called: {type(error).__name__}: {one_line(error)}",
            "with trained = true it is called as callable(**options) and returns a fitted estimator",
        ) from None
