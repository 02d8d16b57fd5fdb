"""The files of one model: made one by one, each held against its source, priced and remembered.

In: a study, its recordings, one trained model. Out: ``build/<study>/artifacts/<model>/``, for every recipe its file and
its entry, see :mod:`export.run`. Each is a step: what is there as it should be is not made again.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.engines import engines_of, here
from pulseproof.core.errors import InputError
from pulseproof.core.recipes import FLOAT, RECIPES, SEED, base_of, recipe_of
from pulseproof.core.steps import Step
from pulseproof.core.study import Study
from pulseproof.core.terminal.console import say
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.code import code_of_file
from pulseproof.export.fold import HELD
from pulseproof.export.gate import parity
from pulseproof.export.job import ExportJob, MadeFile, NotApplicableError, RefusedError, sentence
from pulseproof.export.manifest import Calibration, LayerError, ManifestEntry, format_of
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.price import price
from pulseproof.export.quiet import quiet
from pulseproof.export.recipes import Write, cell_of, kind_of
from pulseproof.export.sklearn_files import has_steps
from pulseproof.export.tflite import flatbuffer
from pulseproof.models.brought.files import FileModel
from pulseproof.models.run import Trained
from pulseproof.runtime.files import read_json, replacing, sha256_file, write_json
from pulseproof.runtime.score import FACTOR

_CALIBRATION = {"calibration_records", "calibration_method"}
_MIXED = {"keep_float", "sensitive_layers"}
# Bump when the same settings would give another file, another price or another verdict for a reason that no digest of
# code sees (export/code.py): it makes every file stale.
VERSION = 4
LIBRARIES = {
    "onnx": ("torch", "onnx", "onnxruntime", "emlearn"),
    "tflite": (
        "torch",
        "litert-torch",
        "ai-edge-quantizer",
        "ai-edge-litert",
        "tflite-micro",
        "ethos-u-vela",
        "emlearn",
    ),
    "estimator": ("scikit-learn", "skl2onnx", "onnxmltools"),
}


class ModelFiles:
    """The files of one model, and what several of them need, computed when the first one does."""

    def __init__(self, study: Study, recordings: Recordings, trained: Trained, build: Path) -> None:
        self.study, self.recordings, self.trained = study, recordings, trained
        self.root = build / study.name
        self.folder = self.root / "artifacts" / trained.name
        self.kind = kind_of(trained.module)
        self._calibration: dict[int, NDArray[np.float32]] = {}

    @property
    def brought(self) -> bool:
        """True for a model that came as a file: whatever is made of it is a stranger's too."""
        return isinstance(self.trained.module, FileModel)

    @property
    def brought_bytes(self) -> int:
        """The size of that file."""
        return self.trained.module.path.stat().st_size if isinstance(self.trained.module, FileModel) else 0

    @property
    def inferences_s(self) -> float:
        """What all inferences of one recipe of a brought model may take, at most, by the first that it made."""
        module, spec = self.trained.module, self.study.export
        slowest = module.slowest_s if isinstance(module, FileModel) else 0.0
        return FACTOR * slowest * (spec.parity_records + spec.calibration_records)

    @functools.cached_property
    def recipes(self) -> tuple[str, ...]:
        """What is asked for: the study's recipes or the model's own, each calibrated one once a seed."""
        asked = self.study.export.recipes if self.trained.recipes is None else self.trained.recipes
        if self.kind in ("onnx-quantized-file", "tflite-file"):
            given = (name for name, recipe in RECIPES.items() if recipe.given)
            asked = (*asked, *(name for name in given if not isinstance(cell_of(self.trained.module, name), str)))
        seeds = range(self.study.export.calibration_seed + 1, self.study.export.calibration_seed + self._seeds())
        return tuple(
            name
            for recipe in dict.fromkeys(asked)
            for name in (recipe, *(f"{recipe}{SEED}{seed}" for seed in seeds if self._is_calibrated(recipe)))
        )

    def _seeds(self) -> int:
        return self.study.export.calibration_seeds

    def _is_calibrated(self, recipe: str) -> bool:
        return recipe_of(recipe).calibrated and not isinstance(cell_of(self.trained.module, recipe), str)

    @functools.cached_property
    def reference(self) -> parity.Reference:
        """The source's scores on validation recordings, with which every file is compared."""
        rows = self.recordings.sample("validation", self.study.export.parity_records, self.study.seed)
        trees = self.kind == "trees" or (self.kind == "estimator" and has_steps(self.trained.module))
        return parity.make_reference(self.trained.module, self.recordings, rows, trees)

    def calibration(self, seed: int) -> NDArray[np.float32]:
        """Training recordings, float32 (k, leads, samples) mV; read once a seed."""
        if seed not in self._calibration:
            rows = self.recordings.sample("train", self.study.export.calibration_records, seed)
            self._calibration[seed] = self.recordings.signals(rows)
        return self._calibration[seed]

    def fresh(self, recipe: str) -> bool:
        """True when the file (or the reason why there is none) is there as it should be."""
        return self._step(recipe).fresh()

    def make(self) -> Iterator[str]:
        """Make what is not there; the name of each artifact comes before it is made."""
        for recipe in self.recipes:
            yield recipe
            self.export(recipe)

    def export(self, recipe: str) -> ManifestEntry:
        """The entry of one recipe; the file is made when it is not there as it should be."""
        step, remembered = self._step(recipe), self._remembered(recipe)
        if not step.fresh():
            step.stamp.unlink(missing_ok=True)
            self._keep(recipe, self._make(recipe), step)
        return ManifestEntry.model_validate(read_json(remembered))

    def made(self, recipe: str) -> ManifestEntry:
        """The entry of one recipe after all were made: a brought model's file is not made here (export/workers.py)."""
        if self.brought and not self.fresh(recipe):
            raise InputError(
                f"{self.trained.name}/{recipe}: it is not as it was made",
                "its sources were edited meanwhile: run again",
            )
        return self.export(recipe)

    def crashed(self, recipe: str, how: str) -> None:
        """Remember that the process that made this file died of it."""
        self._sweep(recipe)
        reason = f"the process that made it or ran it first died ({how})"
        self._keep(recipe, ManifestEntry(**self._head(recipe), status="refused", reason=reason), self._step(recipe))

    def _remembered(self, recipe: str) -> Path:
        return self.folder / f"{recipe}.json"

    def _keep(self, recipe: str, entry: ManifestEntry, step: Step) -> None:
        remembered = self._remembered(recipe)
        write_json(remembered, entry.model_dump(mode="json"))
        step.done([remembered] if entry.file is None else [remembered, self.root / entry.file])
        _announce(entry)

    def _step(self, recipe: str) -> Step:
        return Step(self.folder, recipe, self._inputs(recipe), code_of_file(self.trained.module, recipe))

    def _inputs(self, recipe: str) -> dict[str, Any]:
        spec, declared = self.study.export, recipe_of(recipe)
        calibration = {**spec.model_dump(include=_CALIBRATION, mode="json"), "seed": self._seed(recipe)}
        return {
            "version": VERSION,
            "model": self.trained.name,
            "trained": self.trained.digest,
            "recipe": recipe,
            "recordings": self.recordings.fingerprint,
            "window": self.recordings.window,
            "leads": self.recordings.about.leads,
            "parity": [spec.parity_records, self.study.seed],
            "calibration": calibration if declared.calibrated else None,
            "mixed": spec.model_dump(include=_MIXED, mode="json") if declared.mixed else None,
            "libraries": _versions(format_of(recipe), self.kind),
            "engines": {name: here()[name] for name in engines_of(format_of(recipe))},
        }

    def _seed(self, recipe: str) -> int:
        return int(recipe.partition(SEED)[2] or self.study.export.calibration_seed)

    def _head(self, recipe: str) -> dict[str, Any]:
        return {
            "name": f"{self.trained.name}/{recipe}",
            "model": self.trained.name,
            "recipe": recipe,
            "format": format_of(recipe),
            "libraries": _versions(format_of(recipe), self.kind),
        }

    def _make(self, recipe: str) -> ManifestEntry:
        """Make one file and hold it against its source; what is refused leaves no file."""
        head, out = self._head(recipe), self.folder / f"{recipe}.{format_of(recipe)}"
        out.unlink(missing_ok=True)
        self._sweep(recipe)
        cell = cell_of(self.trained.module, base_of(recipe))
        if isinstance(cell, str):
            return ManifestEntry(**head, status="not-applicable", reason=cell)
        for write in cell[:-1]:
            entry = self._try(recipe, write, out, head)
            if entry.status == "ok":
                return entry
        return self._try(recipe, cell[-1], out, head)

    def _sweep(self, recipe: str) -> None:
        """Remove halves of this file, of a process that was killed."""
        for leftover in self.folder.glob(f".{recipe}.*.partial.*"):
            leftover.unlink()

    def _try(self, recipe: str, write: Write, out: Path, head: dict[str, Any]) -> ManifestEntry:
        checked: dict[str, Any] = {}
        try:
            source = self._source(recipe)
            with replacing(out) as temporary, quiet():
                made = write(self._job(recipe, temporary, source or temporary))
                verdict = parity.check(temporary, base_of(recipe), self.reference, self.trained.module, source)
                checked["parity"] = verdict.parity
                if verdict.reason is not None:
                    raise RefusedError(verdict.reason)
                described = self._describe(recipe, temporary, made)
        except NotApplicableError as error:
            return ManifestEntry(**head, status="not-applicable", reason=str(error))
        except RefusedError as error:
            return ManifestEntry(**head, **checked, status="refused", reason=str(error))
        except (InputError, MemoryError, OSError):
            raise
        except Exception as error:  # a converter meets a module that it was not made for in a hundred ways
            said = sentence(error).replace(f"{self.folder}/", "")
            return ManifestEntry(**head, **checked, status="refused", reason=f"the converter does not take it: {said}")
        return ManifestEntry(
            **head,
            **checked,
            **described,
            status="ok",
            file=out.relative_to(self.root).as_posix(),
            sha256=sha256_file(out),
            size_bytes=out.stat().st_size,
            note="; ".join(note for note in (made.note, *verdict.notes) if note) or None,
        )

    def _describe(self, recipe: str, path: Path, made: MadeFile) -> dict[str, Any]:
        """What an entry says of a file that passed. Raises RefusedError for an int8 file that holds no int8."""
        tools = onnx_files if path.suffix == ".onnx" else flatbuffer
        if recipe_of(recipe).int8 and tools.int8_share(path) == 0:
            raise RefusedError("the quantizer found nothing in it that it can quantize")
        calibration = None
        if recipe_of(recipe).calibrated:
            spec = self.study.export
            calibration = Calibration(
                records=len(self.calibration(self._seed(recipe))),
                seed=self._seed(recipe),
                method=spec.calibration_method,
                split="train",
                input_step_mv=tools.input_step_mv(path),
            )
        return {
            "operators": tools.count_operators(path),
            "price": price(path, self.trained.module),
            "layers": tuple(LayerError(**vars(layer)) for layer in made.layers),
            "calibration": calibration,
        }

    def _source(self, recipe: str) -> Path | None:
        """The float file that a smaller one is made from; made now if the study does not ask for it."""
        base = FLOAT[format_of(recipe)]
        if recipe == base or recipe_of(recipe).given:
            return None
        entry = self.export(base)
        if entry.status == "not-applicable":
            raise NotApplicableError(f"there is no {entry.recipe}, from which it is made: {entry.reason}")
        if entry.file is None:
            raise RefusedError(f"{entry.recipe}, from which it is made, was refused")
        return self.root / entry.file

    def job(self, recipe: str, out: Path) -> ExportJob:
        """What a writer of this recipe gets to make ``out``. Raises RefusedError where its float file was refused."""
        return self._job(recipe, out, self._source(recipe) or out)

    def _job(self, recipe: str, out: Path, source: Path) -> ExportJob:
        shape, spec = self.recordings.shape, self.study.export
        calibrated = recipe_of(recipe).calibrated
        return ExportJob(
            module=self.trained.module,
            shape=shape,
            out=out,
            source=source,
            calibration=self.calibration(self._seed(recipe)) if calibrated else np.zeros((0, *shape), np.float32),
            method=spec.calibration_method,
            keep_float=spec.keep_float,
            sensitive_layers=spec.sensitive_layers,
            signals=self.reference.signals[:HELD],
        )


@functools.cache
def _versions(file_format: str, kind: str) -> dict[str, str]:
    """What makes a file. Of the writers of estimators, onnxmltools and the boosters are there where a model needs
    them, and nobody else does."""
    names = [*LIBRARIES[file_format], *(LIBRARIES["estimator"] if kind == "estimator" else ())]
    found = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _announce(entry: ManifestEntry) -> None:
    """One line about one file."""
    if entry.status == "not-applicable":
        return
    if entry.status == "refused":
        say(f"  {entry.name}: refused: {entry.reason}")
        return
    first, size = entry.parity[0], entry.size_bytes
    assert size is not None
    said = f"  {entry.name}: {size / 1000:,.0f} kB, scores within {first.max_difference:.1g}"
    if first.auc_change is not None:
        said += f", AUC {first.auc_file:.3f} ({first.auc_change:+.3f})"
    for engine, reason in entry.not_on.items():
        said += f"; not on {engine}: {reason}"
    say(said + (f"; {entry.note}" if entry.note else ""))
