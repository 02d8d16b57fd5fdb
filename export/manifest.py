"""``build/<study>/artifacts/manifest.json``: every file that was asked for, made or not, and what is known of it.

In: entries of the exporters. Out: the same, checked, for the bundle and the report. One entry a (model, recipe). Its
JSON schema is published as ``docs/schema/manifest.schema.json`` (``pulseproof schema`` writes it).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pulseproof.core.errors import InputError
from pulseproof.core.recipes import RECIPES, SEED, Format, recipe_of
from pulseproof.core.study import Study
from pulseproof.core.terminal.hints import command
from pulseproof.runtime.files import read_json

Status = Literal["ok", "not-applicable", "refused"]


def _known(recipe: str) -> str:
    base, _, seed = recipe.partition(SEED)
    if base not in RECIPES or (recipe != base and (not RECIPES[base].calibrated or not seed.isdecimal())):
        raise ValueError(f"no recipe {recipe!r}")
    return recipe


def format_of(recipe: str) -> Format:
    """The file format of a recipe: ``onnx`` or ``tflite``."""
    return recipe_of(recipe).format


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ExactnessRecord(_Frozen):
    """The scores of an engine against the exact integer arithmetic of a quantized file.

    ``against``: whose arithmetic that is: ``twin`` (the file's operators in torch) or the engine's ``mode``
    (``unoptimized``, ``precise``, ``reference``: :data:`runtime.engines.MODES`); ``mode``: the one in which this engine
    is exact on this file, null where none is known. ``largest``: the largest difference of any score of ``records``
    validation recordings, in steps of the file's scores, each ``within`` in their unit (1e-4 of their spread where the
    file does not round them). ``mark``: ``engine-saturates``, ``engine-differs``, null within a step. With a mark
    ``auc_exact`` and ``auc_engine`` are both macro AUCs (null where undefined), and all that stands beside it in the
    parity is of the exact scores: what the engine adds is no cost of quantization. ``features``: the processor's, null
    where the kernel does not tell."""

    against: str
    mode: Literal["unoptimized", "precise", "reference"] | None
    records: int
    within: float
    largest: float | None
    mark: Literal["engine-saturates", "engine-differs"] | None
    auc_exact: float | None = None
    auc_engine: float | None = None
    features: tuple[str, ...] | None


class Parity(_Frozen):
    """The file's scores on one engine against its source's, on validation recordings.

    ``engine``: onnxruntime, ai_edge_litert or tflite_runtime, with its ``version``. ``max_difference``,
    ``mean_difference``: of the absolute difference of scores. ``label_agreement``: share of equal decisions: the
    highest score in an exclusive task, otherwise each class above or below its threshold (logit 0, probability 0.5).
    ``tolerance``: of one score, of the class where least is allowed; ``moved``: recordings with a difference above it,
    each class by its own. ``auc_source``, ``auc_file``: macro AUC of both on these recordings, null when no class has a
    positive and a negative one; ``auc_change`` file - source, with its 95 % paired bootstrap interval over patients.
    ``reason``: why this file must not be run on this engine, null when it may; what could not be measured is null.
    ``exact``: a quantized file's scores on this engine against its own integer arithmetic; null for a float file, and
    where that is not defined or cannot be had on this host.
    """

    engine: str
    version: str
    records: int
    max_difference: float | None
    mean_difference: float | None
    label_agreement: float | None
    tolerance: float
    moved: int | None
    auc_source: float | None
    auc_file: float | None
    auc_change: float | None
    auc_change_low: float | None
    auc_change_high: float | None
    reason: str | None
    exact: ExactnessRecord | None = None


class Calibration(_Frozen):
    """The recordings that set the int8 ranges. ``input_step_mv``: the step to which the file rounds the signal, null
    where the signal itself is not quantized."""

    records: int
    seed: int
    method: str
    split: Literal["train"]
    input_step_mv: float | None


class LayerError(_Frozen):
    """A layer of a mixed file: see :class:`export.job.MixedLayer`."""

    name: str
    error: float
    kept: bool
    bytes_cost: int


class Micro(_Frozen):
    """TFLite Micro's interpreter on this host. ``arena_bytes`` of RAM: the least arena, to 64 bytes, in which the file
    ran with LiteRT's scores; 64-bit pointers and reference kernels here, so another part needs somewhat less or more.
    ``fits``: the arena in 256 KiB of RAM and the file in 1 MiB of flash; TFLite Micro's own code and the application
    come on top."""

    evidence: Literal["measured-on-host"] = "measured-on-host"
    version: str
    arena_bytes: int
    fits: bool


class Ethos(_Frozen):
    """Arm's vela compiler on its model of an Ethos-U55: estimates of the compiler, not of a chip. ``cpu_operators``:
    those that would fall back to the Cortex-M; with any, ``cycles`` would say nothing about them, so it is null.
    ``fits``: SRAM in 256 KiB and flash in 1 MiB, with no operator on the CPU."""

    evidence: Literal["compiler-estimate"] = "compiler-estimate"
    version: str
    accelerator: str
    system: str
    cycles: int | None
    sram_bytes: int
    flash_bytes: int
    cpu_operators: tuple[str, ...]
    fits: bool


class CCode(_Frozen):
    """The trees (without their features) as C by emlearn: ``text_bytes`` of code and constants by ``compiler``, whose
    name says for which processor."""

    evidence: Literal["compiler-estimate"] = "compiler-estimate"
    version: str
    compiler: str
    text_bytes: int


class Price(_Frozen):
    """What a file costs. ``parameters``: numbers in its weights. ``macs``: multiply-accumulates of one inference in
    convolutions, matrix products and recurrent layers. ``activation_bytes``: the most bytes of activations alive at
    once when its operators run in the file's order. ``micro``, ``ethos``, ``c_code``: prices on a microcontroller, each
    null with its reason under ``unpriced``."""

    parameters: int
    macs: int
    activation_bytes: int
    micro: Micro | None = None
    ethos: Ethos | None = None
    c_code: CCode | None = None
    unpriced: dict[Literal["micro", "ethos", "c_code"], str] = {}

    @model_validator(mode="after")
    def _reasons(self) -> Price:
        for name in ("micro", "ethos", "c_code"):
            if (getattr(self, name) is None) != (name in self.unpriced):
                raise ValueError(f"{name} must have either a price or a reason under unpriced")
        return self


class ManifestEntry(_Frozen):
    """One (model, recipe). ``file`` is relative to ``build/<study>``. With status "not-applicable" (no such file can
    exist) or "refused" (it could not be made, or did not pass the gate) there is a ``reason`` and no file; ``parity``
    is kept where it is the reason. ``parity`` has one member an engine, the one that decides about the file first;
    another engine on which the file is wrong has a ``reason`` there, and must not run it. ``note`` is what a table must
    say beside a number of this file."""

    name: str
    model: str
    recipe: str
    format: Format
    status: Status
    reason: str | None = None
    file: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    operators: dict[str, int] | None = None
    parity: tuple[Parity, ...] = ()
    price: Price | None = None
    calibration: Calibration | None = None
    layers: tuple[LayerError, ...] = ()
    libraries: dict[str, str]
    note: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> ManifestEntry:
        _known(self.recipe)
        if self.name != f"{self.model}/{self.recipe}" or format_of(self.recipe) != self.format:
            raise ValueError(f"{self.name!r} is not {self.model}/{self.recipe} as {self.format}")
        described = (self.file, self.sha256, self.size_bytes, self.operators, self.price)
        if self.status == "ok" and (None in described or not self.parity or self.reason is not None):
            raise ValueError(f"{self.name} is ok but lacks its file, hash, size, operators, price or parity")
        if self.status != "ok" and (self.file is not None or self.reason is None):
            raise ValueError(f"{self.name} is {self.status} and must have a reason and no file")
        return self

    @property
    def exact_on_devices(self) -> dict[str, str | float] | None:
        """How a device holds this file against its exact arithmetic: the engine's mode and one step of the scores; None
        where no mode is known that gives it."""
        found = self.parity[0].exact if self.parity else None
        return None if found is None or found.mode is None else {"mode": found.mode, "within": found.within}

    @property
    def not_on(self) -> dict[str, str]:
        """{engine: reason} of the engines that must not run this file."""
        return {one.engine: one.reason for one in self.parity if one.reason is not None}


class Manifest(_Frozen):
    """All entries of a study, models in the study's order, recipes in the order asked for. ``engines``: those on which
    files were compared, with their versions; one that was not there is not named."""

    format: Literal[2] = 2
    study: str
    engines: dict[str, str]
    entries: Annotated[tuple[ManifestEntry, ...], Field(description="one a (model, recipe)")]

    def made(self) -> tuple[ManifestEntry, ...]:
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
        raise InputError(f"{path}: no such file", f"export first: {command('export')}") from None
    except (OSError, ValueError, ValidationError) as error:
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InputError(f"{path}: not a readable manifest ({problem})", "delete it and export again") from None
