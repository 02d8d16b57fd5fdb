"""Export every trained system of a study to every file it asks for, and say what became of each.

In: a study, its recordings, the trained systems. Out: ``build/<study>/artifacts/``:

    manifest.json             one entry a (model, recipe), see :mod:`export.manifest`
    <model>/<recipe>.onnx     or .tflite: the file, there only when it passed the gate
    <model>/<recipe>.json     its entry, there also when it was refused, so that it is not tried again in vain

Each file is a step of its own: it is made again when what it depends on changed, or when it is damaged.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.console import follow, say
from core.errors import InputError
from core.steps import Step
from core.study import Study
from ecg.recordings import Recordings
from export import flatbuffer, onnx_files, parity
from export.job import Job, RefusedError, sentence
from export.manifest import Calibration, Entry, Manifest, manifest_path
from export.quiet import quiet
from export.recipes import CALIBRATED, SOURCES, kind_of, recipe_for
from models.run import Trained
from runtime.files import read_json, replacing, sha256_file, write_json

_CALIBRATION = {"calibration_records", "calibration_method", "calibration_seed"}
# Bump when the same settings would give another file or another verdict: it makes every file stale.
VERSION = 2
HALF = 0.5  # of the weights: a file with fewer 8-bit ones says so in every table
LIBRARIES = {
    "onnx": ("torch", "onnx", "onnxruntime"),
    "tflite": ("torch", "litert-torch", "ai-edge-quantizer", "ai-edge-litert"),
}


def export_study(study: Study, recordings: Recordings, trained: Mapping[str, Trained], build: Path) -> Manifest:
    """Make every file that the study asks for and that is not there yet, and write the manifest of all.

    A file that cannot be made or that does not pass the gate is an entry with a reason, not an error.
    """
    wanted = [(model, recipe) for model in trained.values() for recipe in _recipes(study, model)]
    files: _ModelFiles | None = None
    entries = []
    for model, recipe in follow(wanted, "exporting"):
        if files is None or files.trained is not model:
            files = _ModelFiles(study, recordings, model, build)
        entries.append(files.export(recipe))
    manifest = Manifest(study=study.name, entries=tuple(entries))
    path, content = manifest_path(study, build), manifest.model_dump(mode="json")
    if not (path.exists() and _same(path, content)):
        write_json(path, content)
    return manifest


def _recipes(study: Study, model: Trained) -> tuple[str, ...]:
    return study.export.recipes if model.recipes is None else model.recipes


def _same(path: Path, content: Any) -> bool:
    try:
        return bool(read_json(path) == content)
    except (OSError, ValueError):
        return False


class _ModelFiles:
    """The files of one model, and what several of them need, computed when the first one does."""

    def __init__(self, study: Study, recordings: Recordings, trained: Trained, build: Path) -> None:
        self.study, self.recordings, self.trained = study, recordings, trained
        self.root = build / study.name
        self.folder = self.root / "artifacts" / trained.name
        self.kind = kind_of(trained.module)

    @functools.cached_property
    def reference(self) -> parity.Reference:
        rows = self.recordings.sample("validation", self.study.export.parity_records, self.study.seed)
        trees = self.kind == "trees"
        return parity.make_reference(self.trained.module, self.recordings, rows, 0.5 if trees else 0.0, trees)

    @functools.cached_property
    def calibration(self) -> NDArray[np.float32]:
        spec = self.study.export
        return self.recordings.signals(self.recordings.sample("train", spec.calibration_records, spec.calibration_seed))

    def export(self, recipe: str) -> Entry:
        """The entry of one recipe; the file is made when it is not there as it should be."""
        step = Step(self.folder, recipe, self._inputs(recipe))
        remembered = self.folder / f"{recipe}.json"
        if not step.fresh():
            step.stamp.unlink(missing_ok=True)
            entry = self._make(recipe)
            write_json(remembered, entry.model_dump(mode="json"))
            step.done([remembered] if entry.file is None else [remembered, self.root / entry.file])
            _announce(entry)
        return Entry.model_validate(read_json(remembered))

    def _inputs(self, recipe: str) -> dict[str, Any]:
        spec, calibrated = self.study.export, recipe in CALIBRATED
        return {
            "version": VERSION,
            "model": self.trained.name,
            "trained": self.trained.digest,
            "recipe": recipe,
            "recordings": self.recordings.fingerprint,
            "window": self.recordings.window,
            "leads": self.recordings.about.leads,
            "parity": [spec.parity_records, self.study.seed],
            "calibration": spec.model_dump(include=_CALIBRATION, mode="json") if calibrated else None,
            "libraries": _versions(recipe),
        }

    def _make(self, recipe: str) -> Entry:
        """Make one file and hold it against its source; what is refused leaves no file."""
        trained = self.trained
        file_format = recipe.split("-", maxsplit=1)[0]
        out = self.folder / f"{recipe}.{file_format}"
        out.unlink(missing_ok=True)
        for leftover in self.folder.glob(f".{recipe}.*.partial.*"):  # of a run that was killed
            leftover.unlink()
        entry: dict[str, Any] = {
            "name": f"{trained.name}/{recipe}",
            "model": trained.name,
            "recipe": recipe,
            "format": file_format,
            "libraries": _versions(recipe),
        }
        make = recipe_for(trained.module, recipe)
        if isinstance(make, str):
            return Entry(**entry, status="not-applicable", reason=make)
        quantized = recipe not in SOURCES.values()
        try:
            source = self._float_file(file_format) if quantized else None
            with replacing(out) as temporary:
                with quiet():
                    make(self._job(recipe, temporary, source or temporary))
                    entry["parity"] = parity.measure(temporary, self.reference)
                tools = onnx_files if file_format == "onnx" else flatbuffer
                notes = [parity.judge(entry["parity"], quantized, self.reference.steps)]
                if quantized:
                    notes.append(self._judge_share(tools.int8_share(temporary)))
                entry["operators"] = tools.count_operators(temporary)
                step_mv = tools.input_step_mv(temporary)
        except RefusedError as error:
            return Entry(**entry, status="refused", reason=str(error))
        except (InputError, MemoryError, OSError):
            raise
        except Exception as error:  # a converter meets a module that it was not made for in a hundred ways
            said = sentence(error).replace(f"{self.folder}/", "")
            return Entry(**entry, status="refused", reason=f"the converter does not take it: {said}")
        return Entry(
            **entry,
            status="ok",
            file=out.relative_to(self.root).as_posix(),
            sha256=sha256_file(out),
            size_bytes=out.stat().st_size,
            calibration=self._calibrated(step_mv) if recipe in CALIBRATED else None,
            note="; ".join(note for note in notes if note) or None,
        )

    def _judge_share(self, share: float) -> str | None:
        """The note of a file of which only ``share`` of the weights is 8-bit. Raises RefusedError when none is."""
        if share == 0:
            raise RefusedError("the quantizer found nothing in it that it can quantize")
        if self.kind == "logistic":
            return "features stay float; only the logistic layer is int8"
        return None if share > HALF else f"only {share:.0%} of its weights are 8-bit, the others stay float"

    def _float_file(self, file_format: str) -> Path:
        """The float file that quantized ones are made from; made now if the study does not ask for it."""
        entry = self.export(SOURCES[file_format])
        if entry.file is None:
            raise RefusedError(f"{entry.recipe}, from which it is made, was refused")
        return self.root / entry.file

    def _job(self, recipe: str, out: Path, source: Path) -> Job:
        shape = self.recordings.shape
        return Job(
            module=self.trained.module,
            shape=shape,
            out=out,
            source=source,
            calibration=self.calibration if recipe in CALIBRATED else np.zeros((0, *shape), np.float32),
            method=self.study.export.calibration_method,
        )

    def _calibrated(self, input_step_mv: float | None) -> Calibration:
        spec = self.study.export
        return Calibration(
            records=len(self.calibration),
            seed=spec.calibration_seed,
            method=spec.calibration_method,
            split="train",
            input_step_mv=input_step_mv,
        )


def _versions(recipe: str) -> dict[str, str]:
    return {name: metadata.version(name) for name in LIBRARIES[recipe.split("-", maxsplit=1)[0]]}


def _announce(entry: Entry) -> None:
    """One line about one file."""
    if entry.status == "not-applicable":
        return
    if entry.status == "refused":
        say(f"  {entry.name}: refused: {entry.reason}")
        return
    assert entry.parity is not None and entry.size_bytes is not None
    said = f"  {entry.name}: {entry.size_bytes / 1000:,.0f} kB, scores within {entry.parity.max_difference:.1g}"
    if entry.parity.auc_change is not None:
        said += f", AUC {entry.parity.auc_file:.3f} ({entry.parity.auc_change:+.3f})"
    say(said + (f"; {entry.note}" if entry.note else ""))
