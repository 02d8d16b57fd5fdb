"""A trained model in an .onnx or .tflite file: taken only after it was checked, and then scored like any other.

In: a file from a stranger, the task and some recordings. Out: the file under the study's own folder, ``given.onnx`` or
``given.tflite``, and :class:`FileModel`, a module that runs it. Nothing is unpickled, and what an engine does with the
file is tried in a process that it may take down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pulseproof.core.engines import open_limited, score
from pulseproof.core.errors import InputError
from pulseproof.core.limited import Limited
from pulseproof.core.scores import are_probabilities, constant_classes, not_finite
from pulseproof.models.brought.dressing import dress_of
from pulseproof.models.brought.kinds import expect_file
from pulseproof.models.brought.onnx_checks import external_files
from pulseproof.models.front.fitting import Fitting, expect_unclipped
from pulseproof.models.front.tail import Tail
from pulseproof.runtime.engines import EngineError, choose_engine
from pulseproof.runtime.files import sha256_file
from pulseproof.runtime.words import advice

_EXPORT_AGAIN = "export it again with operators that ONNX Runtime or LiteRT has, and try it there"


class FileModel(nn.Module):
    """A brought file as a module: float32 ``(n, leads, samples)`` mV to float32 scores ``(n, classes)``.

    Every recording is run by itself, on the engine that :mod:`runtime.engines` prefers, in a process of its own
    (:mod:`core.limited`) that stays open for the next call. ``quantized``: it is taken as it is. ``threshold``: the
    score above which a class is decided for; ``front``: what was put before and behind its own graph, in words. It has
    no gradient; what crosses to another process is the path.

    A file that dies of a recording, or never answers, is an InputError that says so.
    """

    differentiable = False

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int],
        quantized: bool = False,
        threshold: float = 0.0,
        front: str | None = None,
    ) -> None:
        super().__init__()
        self.path = Path(path).absolute()
        self.format: Literal["onnx", "tflite"] = "onnx" if self.path.suffix == ".onnx" else "tflite"
        self.shape = shape
        self.quantized = quantized
        self.threshold = threshold
        self.front = front
        self._engine: Limited | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_engine": None}

    def forward(self, x: Tensor) -> Tensor:
        engine = choose_engine(self.format)[0]
        try:
            if self._engine is None or not self._engine.alive:
                self._engine = open_limited(self.path, engine, self.shape)
            return torch.from_numpy(self._engine.run(np.ascontiguousarray(x.detach().numpy(), np.float32)))
        except EngineError as error:
            raise _does_not_run(str(self.path), engine, error) from None

    @property
    def slowest_s(self) -> float:
        """The longest of the first inferences, 0 before there was one."""
        return 0.0 if self._engine is None else self._engine.slowest_s


@dataclass(frozen=True)
class Taken:
    """What is known of a file that was taken: see :class:`FileModel`. ``front``: what was put before its own graph and
    behind it, in words; None where nothing was."""

    quantized: bool
    threshold: float
    front: str | None = None


def fingerprint(path: Path, what: str) -> dict[str, str]:
    """{name: SHA-256} of a brought file and of the files beside it that hold its weights, names relative to its folder.
    Raises InputError."""
    expect_file(path, what)
    files = [path, *external_files(path, what)] if path.suffix == ".onnx" else [path]
    return {file.relative_to(path.parent).as_posix(): sha256_file(file) for file in files}


def take_file(
    path: Path,
    what: str,
    signals: NDArray[np.float32],
    classes: int,
    kept: Path,
    ids: Sequence[str] = (),
    fitting: Fitting | None = None,
) -> Taken:
    """Check a .onnx or .tflite file, run it on ``signals`` (real recordings, float32 (k, leads, samples) mV), and keep
    it as ``kept``, which takes (1, leads, samples) mV and gives (1, classes): what it lacks to do so is put before and
    behind its own graph, as ``fitting`` says. ``what`` begins every message, ``ids`` (k,) are the recordings' names.
    Raises InputError, and leaves no file."""
    expect_file(path, what)
    fitting = Fitting((signals.shape[1], signals.shape[2]), classes) if fitting is None else fitting
    dressing = dress_of(path, what, fitting)
    if dressing.steps is not None:
        expect_unclipped(dressing.steps, dressing.front, fitting.spec, signals, what)
    try:
        tail = fitting.tail(dressing.given, False, what)
        dressing.write(path, kept, None if tail.nothing else Tail(tail.given, tail.given))
        scores = _scores_in_child(kept, signals, what)
        if not tail.nothing:  # what the other class gets depends on what the scores are
            expect_finite(scores, what, ids)
            tail = fitting.tail(dressing.given, are_probabilities(scores), what)
            dressing.write(path, kept, tail)
            scores = _scores_in_child(kept, signals, what)
        _expect_scores(scores, signals, classes, what, ids)
    except InputError:
        kept.unlink(missing_ok=True)
        raise
    said = "; ".join(part for part in (dressing.says(), tail.says()) if part)
    return Taken(dressing.quantized, 0.5 if are_probabilities(scores) else 0.0, said or None)


def _expect_scores(
    scores: NDArray[np.float32], signals: NDArray[np.float32], classes: int, what: str, ids: Sequence[str]
) -> None:
    """``scores`` are of ``signals`` and then, once more, of the first of them."""
    if scores.shape != (len(signals) + 1, classes):
        raise InputError(
            f"{what}: it gives scores of shape (1, {', '.join(map(str, scores.shape[1:]))}), not (1, {classes})",
            f"export it so that it gives (1, {classes}), one score a class in the study's order",
        )
    expect_finite(scores, what, ids)
    if constant_classes(scores[:-1]).all() and np.ptp(signals, axis=0).any():
        raise InputError(
            f"{what}: it gives all of {len(signals)} different recordings the same scores",
            "see that it is fed what it was trained on (signals are in mV), and that its trained weights are in it",
        )
    if not np.array_equal(scores[0], scores[-1]):
        raise InputError(
            f"{what}: the same recording gets other scores when it is run again",
            "export it in evaluation mode (no dropout), without random operators and without state",
        )


def expect_finite(scores: NDArray[np.float32], what: str, ids: Sequence[str]) -> None:
    """Raises InputError for scores that are none; the last row is another run of the first recording."""
    strange = not_finite(scores[:-1], ids)
    if strange:
        raise InputError(
            f"{what}: {strange} get a score that is not finite",
            "look for a division by zero, a logarithm of zero, or half floats that overflow (signals are in mV)",
        )


def _scores_in_child(path: Path, signals: NDArray[np.float32], what: str) -> NDArray[np.float32]:
    """The scores of ``signals`` and then of the first again, from a process that the file may take down."""
    engine = choose_engine(path.suffix.lstrip("."))[0]
    try:
        return score(path, np.concatenate([signals, signals[:1]]), engine)
    except EngineError as error:
        raise _does_not_run(what, engine, error) from None


def _does_not_run(what: str, engine: str, error: EngineError) -> InputError:
    said = str(error)
    mend = advice(said)
    if mend is not None:  # the sentence has it too
        said = said.replace(f"; {mend}", "")
    return InputError(f"{what}: {engine} does not run it: {said}", mend or _EXPORT_AGAIN)
