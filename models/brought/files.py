"""A trained model in an .onnx or .tflite file: taken only after it was checked, and then scored like any other.

In: a file from a stranger, the task and some recordings. Out: the file under the study's own folder, ``given.onnx`` or
``given.tflite``, and :class:`FileModel`, a module that runs it. Nothing is unpickled, and what an engine does with the
file is tried in a process that it may take down.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
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
from pulseproof.models.brought.onnx_checks import check_onnx, external_files, pull_together
from pulseproof.models.brought.onnx_weights import MAX_BYTES
from pulseproof.models.brought.tflite_checks import check_tflite
from pulseproof.runtime.engines import EngineError, choose_engine
from pulseproof.runtime.files import replacing, sha256_file, write_bytes
from pulseproof.runtime.words import advice

NO_TORCH = (
    "a pickle runs code when it is opened, so it never is: keep the weights with "
    "safetensors.torch.save_file(model.state_dict(), 'x.safetensors') and give factory = 'package.module:name', "
    "trained = true, weights = 'x.safetensors'; or export it with torch.onnx.export"
)
NO_PROGRAM = (
    "torch.export.load unpickles parts of such a file and evaluates text in it, and a TorchScript file is a program, "
    "so neither is opened here: where it was made, write torch.onnx.export(model, (recording,), 'x.onnx', "
    "dynamo=True), of a .pt2 file with model = torch.export.load('x.pt2').module(), of TorchScript with its nn.Module"
)
NO_SKLEARN = (
    "a pickle runs code when it is opened, so it never is: write the estimator with skops.io.dump(estimator, 'x.skops')"
)
NO_KERAS = "convert it with tf.lite.TFLiteConverter to .tflite, or with tf2onnx to .onnx"
_EXPORT_AGAIN = "export it again with operators that ONNX Runtime or LiteRT has, and try it there"
# Files that people have and that are not taken: what to do with them.
CONVERT: Mapping[str, str] = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), NO_TORCH),
    **dict.fromkeys((".pt2", ".torchscript"), NO_PROGRAM),
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".sav"), NO_SKLEARN),
    **dict.fromkeys((".h5", ".hdf5", ".keras", ".pb"), NO_KERAS),
    ".safetensors": "weights alone are no net: give 'package.module:name' of its factory, and this as weights",
}
# (place, bytes there, the suffix that they ask for), the surest first: a safetensors file begins with a length, which
# may look like anything.
_STARTS = (
    (4, b"TFL3", ".tflite"),
    (4, b"\0\0\0\0{", ".safetensors"),
    (0, b"\x89HDF", ".h5"),
    (0, b"PK\x03\x04", ".skops"),
    *((0, bytes((0x80, protocol)), ".pkl") for protocol in range(2, 6)),
    *((0, start, ".joblib") for start in (b"\x1f\x8b", b"\x78\x01", b"\x78\x9c", b"\x78\xda", b"BZh", b"\xfd7zXZ")),
)


class FileModel(nn.Module):
    """A brought file as a module: float32 ``(n, leads, samples)`` mV to float32 scores ``(n, classes)``.

    Every recording is run by itself, on the engine that :mod:`runtime.engines` prefers, in a process of its own
    (:mod:`core.limited`) that stays open for the next call. ``quantized``: it is taken as it is. ``threshold``: the
    score above which a class is decided for. It has no gradient; what crosses to another process is the path.

    A file that dies of a recording, or never answers, is an InputError that says so.
    """

    differentiable = False

    def __init__(self, path: Path, shape: tuple[int, int], quantized: bool = False, threshold: float = 0.0) -> None:
        super().__init__()
        self.path = Path(path).absolute()
        self.format: Literal["onnx", "tflite"] = "onnx" if self.path.suffix == ".onnx" else "tflite"
        self.shape = shape
        self.quantized = quantized
        self.threshold = threshold
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
    """What is known of a file that was taken: see :class:`FileModel`."""

    quantized: bool
    threshold: float


def expect_file(path: Path, what: str) -> None:
    """Raises InputError unless ``path`` is a file, and its first bytes are not those of another kind of file."""
    if not path.is_file():
        raise InputError(f"{what}: no such file", "paths are relative to the working directory")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{what}: it has more than 2 GiB", "a wearable has no room for it: make it smaller")
    kind = _kind(path)
    if kind is not None and kind != path.suffix:
        says, mend = {
            ".pt": ("a checkpoint of PyTorch, which is a pickle", NO_TORCH),
            ".pkl": ("a pickle", NO_TORCH if path.suffix in (".onnx", ".tflite", ".safetensors") else NO_SKLEARN),
            ".joblib": ("compressed as joblib does it, and so a pickle", NO_SKLEARN),
            ".h5": ("a file of Keras (HDF5)", NO_KERAS),
        }.get(kind, (f"a {kind} file", f"name it .{kind.lstrip('.')}"))
        raise InputError(f"{what}: by its content it is {says}", mend)


def _kind(path: Path) -> str | None:
    """The suffix that the content of a file asks for, where the first bytes tell; nothing is unpacked."""
    with path.open("rb") as file:
        start = file.read(9)
    kind = next((kind for at, bytes_, kind in _STARTS if start[at:].startswith(bytes_)), None)
    if kind == ".skops":  # any zip file
        try:
            held = zipfile.ZipFile(path).namelist()
        except (zipfile.BadZipFile, OSError, ValueError):
            return None
        return ".pt" if any(name.endswith("data.pkl") for name in held) else kind
    return kind


def fingerprint(path: Path, what: str) -> dict[str, str]:
    """{name: SHA-256} of a brought file and of the files beside it that hold its weights, names relative to its folder.
    Raises InputError."""
    expect_file(path, what)
    files = [path, *external_files(path, what)] if path.suffix == ".onnx" else [path]
    return {file.relative_to(path.parent).as_posix(): sha256_file(file) for file in files}


def take_file(
    path: Path, what: str, signals: NDArray[np.float32], classes: int, kept: Path, ids: Sequence[str] = ()
) -> Taken:
    """Check a .onnx or .tflite file, run it on ``signals`` (real recordings, float32 (k, leads, samples) mV), and keep
    it as ``kept``. ``what`` begins every message, ``ids`` (k,) are the recordings' names. Raises InputError, and leaves
    no file."""
    expect_file(path, what)
    shape = (signals.shape[1], signals.shape[2])
    if path.suffix == ".onnx":
        facts = check_onnx(path, what, shape, classes)
        quantized, data = facts.quantized, facts.data
    else:
        quantized, data = check_tflite(path, what, shape, classes), ()
    if data:
        with replacing(kept) as temporary:
            pull_together(path, temporary)
    else:
        write_bytes(kept, path.read_bytes())
    try:
        scores = _scores_in_child(kept, signals, what)
        _expect_scores(scores, signals, classes, what, ids)
    except InputError:
        kept.unlink()
        raise
    return Taken(quantized, 0.5 if are_probabilities(scores) else 0.0)


def _expect_scores(
    scores: NDArray[np.float32], signals: NDArray[np.float32], classes: int, what: str, ids: Sequence[str]
) -> None:
    """``scores`` are of ``signals`` and then, once more, of the first of them."""
    if scores.shape != (len(signals) + 1, classes):
        raise InputError(
            f"{what}: it gives scores of shape (1, {', '.join(map(str, scores.shape[1:]))}), not (1, {classes})",
            f"export it so that it gives (1, {classes}), one score a class in the study's order",
        )
    strange = not_finite(scores[:-1], ids)
    if strange:
        raise InputError(
            f"{what}: {strange} get a score that is not finite",
            "look for a division by zero, a logarithm of zero, or half floats that overflow (signals are in mV)",
        )
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
