"""Read a bundle as what it is: files from a stranger.

In comes a folder; out comes a :class:`Bundle`, after every field of ``bundle.json`` and every listed file was checked
against docs/formats.md: paths, sizes, hashes, dtypes, shapes. Nothing is opened by an engine, followed through a link
or unpickled before that. Each refusal is a :class:`BundleError`, one sentence that names the file. A run may put off
the hashes, which for hundreds of megabytes take seconds, until a file is used (:meth:`Bundle.check`).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterable

import numpy as np

from pulseproof.runtime.engines import MODES
from pulseproof.runtime.exact import FLOAT_TOLERANCE, Exact
from pulseproof.runtime.files import sha256_of, state_of
from pulseproof.runtime.wire.untrusted import (
    BundleError,
    Fields,
    array_of,
    header_of,
    npy_header,
    open_plain,
    read_fields,
    read_plain,
)
from pulseproof.runtime.words import one_line

FORMAT = 1
NAME = r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}"  # no "_": a result's folder is the artifact's name with "/" as "__"
SET_NAME = r"[A-Za-z0-9](_?[A-Za-z0-9.+-]){0,127}"
SHA256 = r"[0-9a-f]{64}"


@dataclass(frozen=True)
class Artifact:
    """One exported model: ``name`` is ``model/recipe``, ``format`` "onnx" or "tflite", ``file`` relative; ``not_on``
    says of which engines it is known that they give wrong scores with it, and why; ``exact``: how to hold it against
    its exact arithmetic, None where there is none; ``tolerance``: how far scores of a provider may be from those of the
    processor where it has no step, in their standard deviations."""

    name: str
    model: str
    recipe: str
    format: str
    file: str
    note: str | None
    sha256: str
    size_bytes: int
    not_on: dict[str, str] = field(default_factory=dict)
    exact: Exact | None = None
    tolerance: float = FLOAT_TOLERANCE

    def held_by(self, provider: str | None) -> Exact | None:
        """How it is held against its exact arithmetic where ``provider`` computes it (None: the engine's default)."""
        if self.exact is not None or provider is None:
            return self.exact
        return Exact(MODES[self.format][0], None, self.tolerance)


@dataclass(frozen=True)
class SignalSet:
    """One version of the test recordings: the clean ones (method "clean"), attacked or noisy ones. ``only``: the models
    and artifacts that it is run on; None for all."""

    name: str
    file: str
    source: str | None
    method: str
    budget_mv: float
    sha256: str
    only: tuple[str, ...] | None = None

    @property
    def clean(self) -> bool:
        return self.method == "clean"

    def is_for(self, artifact: Artifact) -> bool:
        """True when the artifact is to be run on it."""
        return self.only is None or artifact.model in self.only or artifact.name in self.only


@dataclass(frozen=True)
class RunRules:
    """How long to warm up, and how often to time at least on the clean set."""

    threads: int
    warmup_s: float
    min_runs: int
    min_s: float


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. ``n`` recordings of ``leads`` x ``samples``; ``classes`` and lead names in order."""

    root: Path
    study: str
    classes: tuple[str, ...]
    leads: tuple[str, ...]
    samples: int
    fs_hz: float
    adc_step_mv: float
    artifacts: tuple[Artifact, ...]
    signals: tuple[SignalSet, ...]
    run: RunRules
    n: int
    sha256: dict[str, str]
    _checked: dict[str, tuple[int, ...]] = field(default_factory=dict, compare=False)

    @property
    def shape(self) -> tuple[int, int]:
        """(leads, samples) of one recording."""
        return len(self.leads), self.samples

    def check(self, names: Iterable[str]) -> None:
        """Hash those of the files ``names`` that were not hashed yet, or are no longer as they were then. Raises
        :class:`BundleError` for one that is not what the bundle lists."""
        for name in names:
            self.hashed(name)

    def hashed(self, name: str) -> tuple[int, ...]:
        """:meth:`check` one file, and return the state (:func:`runtime.files.state_of`) in which it was hashed."""
        path = self.root / name
        try:
            with open_plain(path) as file:
                state = state_of(os.fstat(file.fileno()))
                if self._checked.get(name) == state:
                    return state
                if sha256_of(file) != self.sha256[name] or state_of(os.fstat(file.fileno()))[:4] != state[:4]:
                    raise BundleError(f"{path}: its SHA-256 is not the one in bundle.json")
        except OSError as error:
            raise BundleError(f"{path}: cannot be read ({error.strerror})") from None
        self._checked[name] = state
        return state


def open_bundle(folder: Path, hashed: bool = True) -> Bundle:
    """Read and verify the bundle in ``folder``. Raises :class:`BundleError`.

    ``hashed``: with the hash of every file it lists; otherwise whoever uses a file calls :meth:`Bundle.check` before.
    """
    root = Path(folder)
    if not root.is_dir():
        raise BundleError(f"{root}: no such folder")
    root = root.resolve()
    _check_plain(root, "bundle.json")
    fields = read_fields(root / "bundle.json")
    if fields.take("format", int) != FORMAT:
        raise fields.wrong("format", f"{fields.value['format']}, this runner reads {FORMAT}")
    files = _listed_files(root, fields)

    task = fields.inside("task")
    classes = task.texts("classes", 1, 1000)
    leads = task.texts("leads", 1, 256)
    samples = task.whole("samples", 1, 10_000_000)
    labels, _ = _listed(root, files, fields, "labels.npy")
    n = _check_array(labels, np.uint8, (None, len(classes)))
    if array_of(read_plain(labels, files["labels.npy"][1]), labels).max() > 1:
        raise BundleError(f"{labels}: it holds a label other than 0 and 1")
    _check_array(_listed(root, files, fields, "patients.npy")[0], np.int64, (n,))

    signals = tuple(_signal_set(item, root, files, (n, len(leads), samples)) for item in fields.items("signals"))
    artifacts = tuple(_artifact(item, root, files) for item in fields.items("artifacts"))
    for what, names in (("artifacts", [a.name for a in artifacts]), ("signals", [s.name for s in signals])):
        if len({name.lower() for name in names}) < len(names):  # lower: the file system may not tell them apart
            raise fields.wrong(what, "a name occurs twice")
        if not names:
            raise fields.wrong(what, "none is listed")
    rules = fields.inside("run")
    bundle = Bundle(
        root=root,
        study=fields.name("study", NAME),
        classes=classes,
        leads=leads,
        samples=samples,
        fs_hz=task.number("fs_hz", 1e-3, 1e6),
        adc_step_mv=task.number("adc_step_mv", 1e-9, 1e3),
        artifacts=artifacts,
        signals=signals,
        run=RunRules(
            threads=rules.whole("threads", 1, 256),
            warmup_s=rules.number("warmup_s", 0, 60),
            min_runs=rules.whole("min_runs", 1, 1_000_000),
            min_s=rules.number("min_s", 0, 60),
        ),
        n=n,
        sha256={name: sha256 for name, (sha256, _) in files.items()},
    )
    bundle.check(files if hashed else ("labels.npy", "patients.npy"))
    return bundle


class SetRecordings:
    """The recordings of one signal set, read from the file one by one.

    Not memory-mapped: the pages of a map would count as resident memory of the model's process.
    """

    def __init__(self, path: Path, adc_step_mv: float) -> None:
        self._file = open_plain(path, buffering=0)
        dtype, (self.n, leads, samples), self._offset = header_of(self._file, path)
        if dtype != np.int16:
            raise BundleError(f"{path}: it holds {dtype}, expected int16")
        self._shape = (1, leads, samples)
        self._bytes = 2 * leads * samples
        self._step = np.float32(adc_step_mv)
        self._state = self._now()

    def __call__(self, index: int) -> np.ndarray:
        """Recording ``index`` in millivolts, float32 (1, leads, samples): the float32 product of step and steps."""
        steps = os.pread(self._file.fileno(), self._bytes, self._offset + index * self._bytes)
        return np.frombuffer(steps, "<i2").reshape(self._shape).astype(np.float32) * self._step

    def changed(self) -> bool:
        """True when the file was written to since it was opened."""
        return self._now() != self._state

    def _now(self) -> tuple[int, ...]:
        return state_of(os.fstat(self._file.fileno()))

    def close(self) -> None:
        self._file.close()


def _listed_files(root: Path, fields: Fields) -> dict[str, tuple[str, int]]:
    """Check that every listed file is there, plain and of its size; return {relative path: (SHA-256, size)}."""
    found = {}
    for name in fields.take("files", dict):
        if len(name) > 300 or not name.isprintable() or "\\" in name:
            raise fields.wrong("files", f"{name[:300]!r} is not a path that a bundle may have")
        if any(part in ("", ".", "..") for part in name.split("/")):
            raise fields.wrong("files", f"{name!r} is not a relative path inside the bundle")
        entry = fields.inside("files").inside(name)
        size, sha256 = entry.whole("size_bytes", 0, 1 << 50), entry.name("sha256", SHA256)
        path = _check_plain(root, name)
        if path.stat().st_size != size:
            raise BundleError(f"{path}: {path.stat().st_size} bytes long, bundle.json says {size}")
        found[name] = (sha256, size)
    return found


def _check_plain(root: Path, name: str) -> Path:
    """Return the path of ``name``; refuse what is not a plain file, and a link anywhere on the way to it."""
    path = root
    for part in name.split("/"):
        path = path / part
        try:
            mode = path.lstat().st_mode
        except OSError:
            raise BundleError(f"{root / name}: no such file") from None
        if stat.S_ISLNK(mode):
            raise BundleError(f"{root / name}: {part!r} is a link, which a bundle may not have")
    if not stat.S_ISREG(mode):
        raise BundleError(f"{path}: not a plain file")
    return path


def _listed(root: Path, files: dict[str, tuple[str, int]], fields: Fields, name: str) -> tuple[Path, str]:
    if name not in files:
        raise fields.wrong("files", f"{name!r} is not listed")
    return root / name, files[name][0]


def _check_array(path: Path, dtype: type, expected: tuple[int | None, ...]) -> int:
    """Check dtype and shape (None: at least 1) of a ``.npy`` file; return its first dimension."""
    found, shape, _ = npy_header(path)
    fits = len(shape) == len(expected) and all(
        size == shape[axis] or (size is None and shape[axis] > 0) for axis, size in enumerate(expected)
    )
    if found != np.dtype(dtype) or not fits:
        wanted = ", ".join("n" if size is None else str(size) for size in expected)
        raise BundleError(f"{path}: it holds {found} {shape}, expected {np.dtype(dtype)} ({wanted})")
    return shape[0]


def _signal_set(item: Fields, root: Path, files: dict[str, tuple[str, int]], shape: tuple[int, int, int]) -> SignalSet:
    file = item.take("file", str)
    path, sha256 = _listed(root, files, item, file)
    _check_array(path, np.int16, shape)
    only = item.texts("only", 1, 1000) if item.value.get("only") is not None else None
    return SignalSet(
        name=item.name("name", SET_NAME),
        file=file,
        source=item.take("source", str, type(None)),
        method=item.take("method", str),
        budget_mv=item.number("epsilon_mv" if "epsilon_mv" in item.value else "budget_mv", 0, 1e6),  # its older name
        sha256=sha256,
        only=only,
    )


def _artifact(item: Fields, root: Path, files: dict[str, tuple[str, int]]) -> Artifact:
    file = item.take("file", str)
    _, sha256 = _listed(root, files, item, file)
    model, recipe = item.name("model", NAME), item.name("recipe", NAME)
    if item.take("name", str) != f"{model}/{recipe}":
        raise item.wrong("name", f"not {model}/{recipe}")
    file_format = item.name("format", "onnx|tflite")
    if not file.endswith("." + file_format):
        raise item.wrong("file", f"{file!r} does not end in .{file_format}")
    note = item.take("note", str, type(None))
    not_on = item.take("not_on", dict) if "not_on" in item.value else {}
    if not all(isinstance(engine, str) and isinstance(reason, str) for engine, reason in not_on.items()):
        raise item.wrong("not_on", "not a reason for each engine")
    not_on = {engine: one_line(reason) for engine, reason in not_on.items()}
    exact = _exact(item, file_format)
    tolerance = item.number("tolerance", 1e-9, 1.0) if item.value.get("tolerance") is not None else FLOAT_TOLERANCE
    named = (f"{model}/{recipe}", model, recipe, file_format, file, note, sha256, files[file][1])
    return Artifact(*named, not_on, exact, tolerance)


def _exact(item: Fields, file_format: str) -> Exact | None:
    if item.value.get("exact") is None:
        return None
    exact = item.inside("exact")
    return Exact(exact.name("mode", "|".join(MODES[file_format])), exact.number("within", 1e-30, 1e30))
