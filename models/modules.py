"""A torch module from a user's own callable, to be trained here or trained already.

In: the callable that a study names, its options and the task. Out: a module that was seen to take ``(n, leads,
samples)`` and to give ``(n, classes)``; when it came trained, with its weights, in evaluation mode, and with scores
that depend on the recording alone. What is wrong is an InputError that names the model.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from pulseproof.core.errors import InputError
from pulseproof.core.scores import not_finite
from pulseproof.core.study import ModelSpec
from pulseproof.models.brought.checks import strange
from pulseproof.models.front.fronted import front_of_net, fronted
from pulseproof.models.front.plan import Front
from pulseproof.models.systems import System, Task, import_callable
from pulseproof.runtime.words import one_line

TASK_NAMES = ("leads", "samples", "classes")
CALLED = "a factory is called as factory(leads, samples, classes, **options) and returns a torch module"
CALLED_TRAINED = CALLED + "; one that takes none of these three is called as factory(**options)"
ROUNDING = 1e-4  # of a score, or of the largest score where that is above 1: what the order of additions may change
SHOWN = 4  # names that a message lists before it says "and so on"


def build_net(what: str, system: System, spec: ModelSpec, task: Task) -> nn.Module:
    """The untrained module of a system, or the module that a callable returned trained (then without its ``weights``).

    ``what`` begins every message. Raises InputError when it cannot be built or does not fit the task.
    """
    assert system.net is not None
    mend = CALLED_TRAINED if spec.trained else CALLED
    front = front_of_net(spec.input, (len(task.leads), task.samples), task.fs_hz, task.leads, what)
    try:
        net = _call(system.net, spec, sizes_of(task, front))
        if isinstance(net, torch.jit.ScriptModule):
            raise TypeError("it gives a TorchScript module, whose graph no exporter reads; return the nn.Module")
        if not isinstance(net, nn.Module):
            raise TypeError(f"it gives a {type(net).__name__}, not a torch module")
        if spec.trained:
            net = net.cpu()
        net = fronted(front, net)
        with torch.no_grad():
            out = net.eval()(torch.zeros(2, len(task.leads), task.samples))
    except Exception as error:  # a user's own code may raise anything
        raise InputError(f"{what}: cannot be built: {type(error).__name__}: {one_line(error)}", mend) from None
    if not isinstance(out, Tensor) or out.shape != (2, len(task.classes)):
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise InputError(
            f"{what}: gives {got} for two recordings, not (2, {len(task.classes)})",
            "the module takes (n, leads, samples) in mV and returns one score (logit) per class",
        )
    return net


def sizes_of(task: Task, front: Front | None) -> tuple[int, int, int]:
    """What a factory is called with: the leads and samples that its module sees, and the classes."""
    shape = (len(task.leads), task.samples) if front is None else front.sees
    return *shape, len(task.classes)


def _call(factory: Callable[..., Any], spec: ModelSpec, sizes: tuple[int, int, int]) -> Any:
    if not spec.trained:
        return factory(*sizes, **spec.options)
    way = _way(factory, spec.options)
    if way == "names":
        return factory(**dict(zip(TASK_NAMES, sizes, strict=True)), **spec.options)
    return factory(*sizes, **spec.options) if way == "places" else factory(**spec.options)


def _way(factory: Callable[..., Any], options: Mapping[str, Any]) -> str:
    """How a factory takes leads, samples and classes: by their "names", in the first three "places", or "not" at all.

    A factory of other parameters, such as ``Net(hidden=64, layers=2, dropout=0.1)``, must not get them in silence: the
    first three places count only when they have no default and no option names them.
    """
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # a builtin
        return "places"
    if all(name in parameters and name not in options for name in TASK_NAMES):
        return "names"
    places = [each for each in parameters.values() if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if not places and any(each.kind == each.VAR_POSITIONAL for each in parameters.values()):
        return "places"
    open_ = [each for each in places[:3] if each.default is each.empty and each.name not in options]
    return "places" if len(open_) == 3 else "not"


def gives_module(path: str, options: Mapping[str, Any]) -> bool:
    """True when ``package.module:name`` returns a torch module, False for a fitted scikit-learn estimator.

    A function that asks for leads, samples and classes is not called: only a module needs these. Raises InputError for
    anything else.
    """
    made, _ = import_callable(path, path)
    if inspect.isclass(made) and issubclass(made, nn.Module):
        return True
    if not inspect.isclass(made) and _way(made, options) != "not":
        return True
    try:
        given = made(**options)
    except Exception as error:  # a user's own code may raise anything
        raise InputError(
            f"{path}: cannot be called: {type(error).__name__}: {one_line(error)}", CALLED_TRAINED
        ) from None
    if not isinstance(given, nn.Module | BaseEstimator):
        raise InputError(
            f"{path}: gives a {type(given).__name__}, neither a torch module nor a scikit-learn estimator",
            "name a function or class that returns the trained model",
        )
    return isinstance(given, nn.Module)


def load_weights(net: nn.Module, path: Path, what: str) -> None:
    """Put the weights of a .safetensors file into ``net``: all of them, by the same names and shapes, or InputError."""
    try:
        given = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{what}: not a readable .safetensors file ({one_line(error)})",
            "write it with safetensors.torch.save_file(model.state_dict(), path)",
        ) from None
    own = net.state_dict()
    shared = {tensor.data_ptr() for name, tensor in own.items() if name in given}
    missing = [name for name, tensor in own.items() if name not in given and tensor.data_ptr() not in shared]
    unknown = [name for name in given if name not in own]
    if missing or unknown:
        parts = [f"lacks {_some(missing)}"] if missing else []
        parts += [f"holds {_some(unknown)}, which the net has not"] if unknown else []
        raise InputError(f"{what}: {' and '.join(parts)}", _prefix(missing, unknown))
    others = [
        f"{name} {tuple(tensor.shape)} for {tuple(own[name].shape)}"
        for name, tensor in given.items()
        if tensor.shape != own[name].shape
    ]
    if others:
        raise InputError(f"{what}: holds {_some(others)}", "give the factory the options that the net was trained with")
    net.load_state_dict(given, strict=False)  # strict=False: of tied weights one may be enough


def _prefix(missing: list[str], unknown: list[str]) -> str:
    for name in unknown:
        prefix, _, rest = name.partition(".")
        if rest in missing:
            return f"take the prefix {prefix + '.'!r} off the names (DataParallel and Lightning put one there)"
    return "give the factory and the options that the net was trained with"


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def weights_digest(net: nn.Module) -> str:
    """SHA-256 of all weights of a module, by name."""
    seen = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        seen.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        seen.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return seen.hexdigest()


def check_net(net: nn.Module, what: str, signals: NDArray[np.float32], ids: Sequence[str] = ()) -> None:
    """Check a module that came trained on real recordings, float32 (k, leads, samples) mV, named ``ids`` (k,), and
    leave it in evaluation mode. Raises InputError for weights or scores that are not finite, and for scores that change
    from one run to the next or with the other recordings of a batch."""
    for name, tensor in net.state_dict().items():
        if not isinstance(tensor, Tensor):
            raise InputError(
                f"{what}: its state {name!r} is no tensor, so it cannot be kept without a pickle",
                "give the float module; quantized files are made of it here",
            )
        wrong = strange(tensor.float().numpy()) if tensor.is_floating_point() else None
        if wrong is not None:
            raise InputError(f"{what}: its weights {name!r} hold a value that is {wrong}", "train it again")
    net.eval()
    x = torch.from_numpy(signals)
    try:
        with torch.inference_mode():
            alone = torch.cat([net(x[at : at + 1]) for at in range(len(x))])
            again = torch.cat([net(x[at : at + 1]) for at in range(len(x))])
            together = net(x)
    except Exception as error:  # a user's own code may raise anything
        raise InputError(
            f"{what}: does not score real recordings: {type(error).__name__}: {one_line(error)}",
            "the module takes batches of any size (n, leads, samples)",
        ) from None
    named = not_finite(alone.reshape(len(alone), -1).numpy(), ids)
    if named:
        raise InputError(
            f"{what}: gives scores that are not finite for {named}",
            "look for a division by the deviation of a flat lead, or a logarithm of 0; or train it again",
        )
    bound = ROUNDING * max(1.0, float(alone.abs().max()))
    if float((alone - again).abs().max()) > bound:
        raise InputError(
            f"{what}: gives another score when the same recording is run again",
            "dropout, noise or a kept state must be off in evaluation mode (model.eval())",
        )
    if together.shape != alone.shape or float((alone - together).abs().max()) > bound:
        raise InputError(
            f"{what}: the scores of a recording depend on the others in its batch",
            "normalise each recording by itself; batch norm needs its running statistics (track_running_stats=True)",
        )
