"""``build/<study>/artifacts/manifest.json``: every file that was asked for, made or not, and what is known of it.

In: entries of the exporters. Out: the same, checked, for the bundle and the report. One entry a (model, recipe).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from rich.table import Table

from core.errors import InputError
from core.study import Recipe, Study
from runtime.files import read_json

Status = Literal["ok", "not-applicable", "refused"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Parity(_Frozen):
    """The file's scores on its own engine against the torch module's, on validation recordings.

    ``max_difference``, ``mean_difference``: of the absolute difference of scores. ``label_agreement``: share of equal
    decisions: the highest score in an exclusive task, otherwise each class above or below its threshold (logit 0,
    probability 0.5). ``moved``: recordings with a difference above ``tolerance``. ``auc_model``, ``auc_file``: macro
    AUC of both on these recordings, null when no class has a positive and a negative one; ``auc_change`` file - model.
    """

    engine: str
    records: int
    max_difference: float
    mean_difference: float
    label_agreement: float
    tolerance: float
    moved: int
    auc_model: float | None
    auc_file: float | None
    auc_change: float | None


class Calibration(_Frozen):
    """The recordings that set the int8 ranges. ``input_step_mv``: the step to which the file rounds the signal, null
    where the signal itself is not quantized."""

    records: int
    seed: int
    method: str
    split: Literal["train"]
    input_step_mv: float | None


class Entry(_Frozen):
    """One (model, recipe). ``file`` is relative to ``build/<study>``. With status "not-applicable" (no such file can
    exist) or "refused" (it could not be made, or did not pass the gate) there is a ``reason`` and no file; ``parity``
    is kept where it is the reason. ``note`` is what a table must say beside a number of this file."""

    name: str
    model: str
    recipe: Recipe
    format: Literal["onnx", "tflite"]
    status: Status
    reason: str | None = None
    file: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    operators: dict[str, int] | None = None
    parity: Parity | None = None
    calibration: Calibration | None = None
    libraries: dict[str, str]
    note: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Entry:
        if self.name != f"{self.model}/{self.recipe}" or not self.recipe.startswith(self.format):
            raise ValueError(f"{self.name!r} is not {self.model}/{self.recipe} as {self.format}")
        described = (self.file, self.sha256, self.size_bytes, self.operators, self.parity)
        if self.status == "ok" and (None in described or self.reason is not None):
            raise ValueError(f"{self.name} is ok but lacks its file, hash, size, operators or parity, or has a reason")
        if self.status != "ok" and (self.file is not None or self.reason is None):
            raise ValueError(f"{self.name} is {self.status} and must have a reason and no file")
        return self


class Manifest(_Frozen):
    """All entries of a study, models in the study's order, recipes in the order asked for."""

    format: Literal[1] = 1
    study: str
    entries: tuple[Entry, ...]

    def made(self) -> tuple[Entry, ...]:
        """The entries that have a file."""
        return tuple(entry for entry in self.entries if entry.status == "ok")


def manifest_path(study: Study, build: Path) -> Path:
    """Where the manifest of a study is."""
    return build / study.name / "artifacts" / "manifest.json"


def load_manifest(study: Study, build: Path) -> Manifest:
    """Read the manifest of a study. Raises InputError when there is none or it is damaged."""
    path = manifest_path(study, build)
    try:
        return Manifest.model_validate(read_json(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", f"export first: make export STUDY={study.name}") from None
    except (OSError, ValueError, ValidationError) as error:
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InputError(f"{path}: not a readable manifest ({problem})", "delete it and export again") from None


def manifest_table(manifest: Manifest) -> Table:
    """The manifest for a terminal: one row an artifact; the last column is its note, or why there is no file."""
    drawn = Table("artifact", "kB", "largest difference", "AUC of file (change)", "note", title=manifest.study)
    for entry in manifest.entries:
        parity = entry.parity
        auc = "" if parity is None or parity.auc_file is None else f"{parity.auc_file:.3f} ({parity.auc_change:+.3f})"
        drawn.add_row(
            entry.name,
            "" if entry.size_bytes is None else f"{entry.size_bytes / 1000:,.0f}",
            "" if parity is None else f"{parity.max_difference:.1g}",
            auc,
            f"{entry.status}: {entry.reason}" if entry.reason else entry.note or "",
        )
    return drawn
