"""What a caller hands in: arrays and a module, checked, and as the rooms take them.

In: signals in millivolts, labels, patients, a torch module. Out: :class:`~ecg.recordings.Recordings` in memory, whole
steps of a recorder like any others, and a copy of the module that is frozen and in evaluation mode. What is wrong is an
InputError that names the argument and says what to do; a likely mistake (microvolts, leads behind samples) is called by
its name.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from torch import nn

from pulseproof.core.errors import InputError
from pulseproof.core.scores import not_finite
from pulseproof.core.studies.faults import faults
from pulseproof.core.studies.model_input import InputSpec
from pulseproof.core.terminal.console import console
from pulseproof.ecg.recordings import SPLITS, About, Recordings, Split
from pulseproof.models.modules import check_net
from pulseproof.runtime.words import one_line

INT16 = (-32768, 32767)
TRIED = 24  # recordings on which a module or a file is tried before it is used
# Half of the recordings of an ECG in mV reach from lowest to highest sample over .3 to 6 mV. A thousand times that is
# microvolts, a thousandth is volts; what lies between is left alone: a unit is not to be guessed at from noise.
MOST_MV, LEAST_MV = 60.0, 0.02


def recordings_of(
    signals_mv: ArrayLike,
    labels: ArrayLike,
    patients: ArrayLike | None = None,
    *,
    fs_hz: float,
    adc_step_mv: float,
    classes: Sequence[str] | None = None,
    split: Split = "test",
    name: str = "signals_mv",
) -> Recordings:
    """Recordings in memory. ``signals_mv`` (n, leads, samples), ``labels`` (n, classes) or (n,) of 0 or 1, ``patients``
    (n,) of anything that can be compared (default: each recording is a patient). ``name``: that of the signals in
    errors. Raises InputError.
    """
    steps = steps_of(signals_mv, adc_step_mv, name)
    if not _is_positive(fs_hz):
        raise InputError(f"fs_hz is {fs_hz!r}", "give the samples a second, such as fs_hz=100")
    truth = labels_of(labels, len(steps))
    names = tuple(classes) if classes is not None else tuple(f"class {at}" for at in range(truth.shape[1]))
    if len(names) != truth.shape[1]:
        raise InputError(f"classes names {len(names)}, labels have {truth.shape[1]} columns", "name each column once")
    exclusive = truth.shape[1] > 1 and bool((truth.sum(axis=1) == 1).all())
    leads = tuple(f"lead {at}" for at in range(steps.shape[1]))
    about = About("arrays", names, leads, float(fs_hz), float(adc_step_mv), INT16, False, exclusive)
    return Recordings(
        about=about,
        steps=steps,
        labels=truth,
        patients=patients_of(patients, len(steps)),
        splits=np.full(len(steps), SPLITS.index(split), np.uint8),
        ids=np.array([str(at) for at in range(len(steps))]),
        lead_rows=tuple(range(steps.shape[1])),
        window=(0, steps.shape[2]),
        fingerprint=hashlib.sha256(steps.tobytes() + truth.tobytes()).hexdigest(),
    )


def steps_of(signals_mv: ArrayLike, adc_step_mv: float, name: str) -> NDArray[np.int16]:
    """The recorder's steps int16 (n, leads, samples) nearest to ``signals_mv``. Raises InputError."""
    signals = _array(signals_mv, name)
    if signals.ndim != 3 or not signals.size:
        shape = f"{name} has the shape {signals.shape}, not (n, leads, samples)"
        raise InputError(shape, f"give one lead as {name}[:, None, :]" if signals.ndim == 2 else "one row a recording")
    if signals.dtype.kind in "iub":
        raise InputError(
            f"{name} holds {signals.dtype} numbers, not millivolts", "multiply the recorder's steps by their millivolts"
        )
    if signals.shape[1] > signals.shape[2]:
        raise InputError(
            f"{name} has the shape {signals.shape}: more leads than samples",
            f"(n, samples, leads) is turned round by {name}.transpose(0, 2, 1)",
        )
    if not _is_positive(adc_step_mv):
        raise InputError(
            f"adc_step_mv is {adc_step_mv!r}", "give the millivolts of one step of the recorder, such as .001"
        )
    strange = not_finite(signals.reshape(len(signals), -1), [str(at) for at in range(len(signals))])
    if strange:
        raise InputError(f"{name}: not finite in {strange}", "leave these recordings out, or mend their gaps")
    _expect_millivolts(signals, name)
    steps = np.rint(signals.astype(np.float64) / adc_step_mv)
    largest = float(np.abs(steps).max())
    if largest > INT16[1]:
        raise InputError(
            f"{name}: {largest * adc_step_mv:.4g} mV are {largest:,.0f} steps of {adc_step_mv:g} mV, beyond 16 bits",
            "give the recorder's own adc_step_mv, or cut what no recorder gives",
        )
    return steps.astype(np.int16)


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(np.isfinite(value)) and bool(value > 0)


def expect_seed(seed: Any) -> None:
    """Raises InputError unless it is a whole number that every generator of random numbers takes."""
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed!r}", "give a whole number from 0 to 4294967295")


def input_of(given: Mapping[str, Any] | InputSpec | None) -> InputSpec:
    """What a file expects of the signal, as ``[models.x.input]`` of a study says it. Raises InputError."""
    if isinstance(given, InputSpec):
        return given
    try:
        return InputSpec.model_validate({} if given is None else given)
    except ValidationError as error:
        raise InputError(
            "input: " + "; ".join(faults(error, InputSpec)),
            "docs/own-model.md lists what it takes, as [models.x.input]",
        ) from None


def listed(names: Sequence[Any]) -> tuple[Any, ...]:
    """Names each once, in their order; one alone need not stand in a list."""
    return tuple(dict.fromkeys([names] if isinstance(names, str) else names))


def _expect_millivolts(signals: NDArray[Any], name: str) -> None:
    spans = (signals.max(axis=2) - signals.min(axis=2)).max(axis=1)
    if not spans.any():
        raise InputError(f"{name}: every recording is flat", "look at how they were read")
    middle = float(np.median(spans))
    said = f"{name}: from lowest to highest sample half of the recordings reach over"
    if middle > MOST_MV:
        raise InputError(
            f"{said} {middle:.4g} mV or more; that looks like microvolts or recorder steps",
            f"give millivolts, for example {name} / 1000",
        )
    if 0 < middle < LEAST_MV:
        raise InputError(
            f"{said} {middle:.2g} mV or less; that looks like volts", f"give millivolts, for example 1000 * {name}"
        )


def labels_of(labels: ArrayLike, n: int) -> NDArray[np.uint8]:
    """``labels`` as uint8 (n, classes). Raises InputError unless they are 0 and 1, and some class has both."""
    given = _array(labels, "labels")
    if given.ndim not in (1, 2) or len(given) != n or not given.size:
        raise InputError(
            f"labels have the shape {given.shape} for {n} recordings",
            f"give ({n}, classes) of 0 and 1, a column a class",
        )
    values = np.unique(given)
    if given.dtype.kind not in "iubf" or not np.isin(values, (0, 1)).all():
        shown = ", ".join(str(value) for value in values[:5].tolist()) + (" ..." if len(values) > 5 else "")
        mend = "give a column of 0 and 1 a class" + (": numpy.eye(classes)[labels]" if given.ndim == 1 else "")
        raise InputError(f"labels hold {shown}, not 0 and 1 alone", mend)
    truth = given.reshape(n, -1).astype(np.uint8)
    if not ((truth == 0).any(axis=0) & (truth == 1).any(axis=0)).any():
        raise InputError("labels: no class has both a 0 and a 1", "an AUC needs recordings of both kinds")
    return truth


def patients_of(patients: ArrayLike | None, n: int) -> NDArray[np.int64]:
    """The patient of each recording as int64 (n,); each recording its own where nobody knows. Raises InputError."""
    if patients is None:
        return np.arange(n, dtype=np.int64)
    given = np.asarray(patients)
    if given.shape != (n,):
        raise InputError(f"patients have the shape {given.shape} for {n} recordings", f"give one a recording: ({n},)")
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        raise InputError(
            "patients: some are not known (NaN)", "leave these recordings out, or give each a name of its own"
        )
    try:
        rows = np.unique(given, return_inverse=True)[1]
    except TypeError as error:
        raise InputError(f"patients cannot be compared ({one_line(error)})", "give numbers or names") from None
    if rows.max(initial=0) == 0:
        raise InputError("patients: all recordings are of one", "an interval over patients needs two at least")
    return rows.astype(np.int64)


def _array(values: ArrayLike, name: str) -> NDArray[Any]:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    try:
        given = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise InputError(
            f"{name}: not an array ({one_line(error)})", "all recordings have the same leads and samples"
        ) from None
    if given.dtype.kind not in "iubf":
        raise InputError(f"{name} holds {given.dtype}, not numbers", "give a numpy array or a torch tensor")
    return given


def frozen_module(module: nn.Module, signals: NDArray[np.float32], classes: int | None = None) -> nn.Module:
    """A copy of ``module`` on the CPU, in evaluation mode, its weights fixed, tried on a few of ``signals`` (k, leads,
    samples) mV; the caller's own stays as it is. ``classes``: how many scores it must give, None for any number.

    Raises InputError for one that does not score them, or not as a model must.
    """
    if not isinstance(module, nn.Module):
        raise InputError(
            f"module is a {type(module).__name__}, not a torch.nn.Module",
            "check_file takes a .onnx or .tflite file; a study takes scikit-learn's estimators (docs/studies.md)",
        )
    try:
        own = copy.deepcopy(module).cpu().eval()
    except Exception as error:  # a user's own class may refuse in any way
        said = f"module cannot be copied: {type(error).__name__}: {one_line(error)}"
        raise InputError(said, "give it in a state that copy.deepcopy takes") from None
    for parameter in own.parameters():
        parameter.requires_grad_(False)
    some = signals[:TRIED]
    check_net(own, "module", some, [str(at) for at in range(len(some))])
    with torch.inference_mode():
        scores = own(torch.from_numpy(some))
    if scores.ndim != 2 or len(scores) != len(some) or scores.shape[1] != (classes or scores.shape[1]):
        wanted = "(n, classes)" if classes is None else f"({len(some)}, {classes}), as labels have columns"
        raise InputError(
            f"module gives scores {tuple(scores.shape)} for {len(some)} recordings, not {wanted}",
            "one score a class, in the order of the columns of labels",
        )
    return own


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Say nothing about the work on standard error: what matters of it is in the results."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
