"""A study: what one TOML file asks for, read and checked before any work starts.

In comes ``studies/<name>.toml``; out comes a frozen :class:`Study`. An unknown key, a wrong type or a value out of
range is an :class:`~core.errors.InputError` that names the file, the key and what is allowed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from pulseproof.core.compute.device import Compute
from pulseproof.core.errors import InputError
from pulseproof.core.known_names import expect_method, expect_system, meant, method_names
from pulseproof.core.recipes import RECIPES, STANDARD, expect_name
from pulseproof.core.studies.faults import faults
from pulseproof.core.studies.hub_files import hub_file, path_of
from pulseproof.core.studies.model_input import InputSpec
from pulseproof.core.studies.seeds import with_further_seeds
from pulseproof.core.studies.sources import Count, Data, Seed, Strict
from pulseproof.core.toml_files import read_toml

NAME = r"^[a-z0-9][a-z0-9.-]*$"
Name = Annotated[str, Field(pattern=NAME)]
MOST_MV = 10_000.0


def _expect_printable(text: str) -> str:
    if not text.isprintable():  # control and bidirectional characters: a terminal and a page would obey them
        raise ValueError("it holds characters that cannot be printed")
    return text


Title = Annotated[str, AfterValidator(_expect_printable)]
RecipeName = Annotated[str, AfterValidator(expect_name), Field(json_schema_extra={"enum": [*RECIPES]})]
Method = Annotated[str, AfterValidator(expect_method), Field(json_schema_extra={"enum": [*method_names()]})]
Kind = Literal["deep", "classical"]


class AugmentSpec(Strict):
    """What training does to a recording so that a small data set goes further. Each is the largest change, drawn anew
    for every recording: ``shift`` in time (share of the window), ``scale`` of the amplitude, ``stretch`` of the time
    axis (heart rate; what stays in place lies at ``stretch_about``, a share of the window), ``offset_mv`` of the
    baseline and ``noise_mv`` (standard deviations), ``wavelet`` of the gain of each stationary-wavelet band (None: what
    the system does by itself, 0.3 in ECG-Lens)."""

    shift: float = Field(0.1, ge=0, le=0.5)
    scale: float = Field(0.2, ge=0, lt=1)
    stretch: float = Field(0.0, ge=0, lt=1)
    stretch_about: float = Field(0.5, ge=0, le=1)
    offset_mv: float = Field(0.0, ge=0)
    noise_mv: float = Field(0.0, ge=0)
    wavelet: float | None = Field(None, ge=0, lt=1)


class DefenceSpec(Strict):
    """How a net is trained so that a disturbance within ``budget_mv`` of every sample does it little harm
    (:mod:`models.hardened.defence`). ``steps``: of the attack that an adversarial training makes of each batch;
    ``weight``: of the worst case beside the clean loss; ``consistency``: the worst case is how far the scores move, not
    how wrong they are (TRADES). ``average``: the weights are a running mean of those that training went through.
    ``cutoff_hz``: above it a smooth-input takes out what the signal holds."""

    kind: Literal["adversarial", "certified", "gradient", "noise", "smooth-input"]
    budget_mv: float = Field(0.02, gt=0, le=1)
    steps: int = Field(5, ge=1, le=100)
    weight: float = Field(1.0, gt=0, le=1)
    consistency: bool = False
    average: bool = False
    cutoff_hz: float = Field(15.0, gt=0)

    @model_validator(mode="after")
    def _consistency_needs_the_clean_loss(self) -> DefenceSpec:
        if self.consistency and (self.kind != "adversarial" or self.weight == 1):
            raise ValueError(
                'consistency goes with kind = "adversarial" and a weight below 1, as 0.75: alone it learns nothing'
            )
        return self


class ModelSpec(Strict):
    """One system. ``system`` names a built-in one; ``factory`` or ``estimator`` (``package.module:name``) a user's own
    torch module or scikit-learn estimator, called with ``options``. With ``trained`` it is what the callable returns,
    as it is (a net may take its ``weights`` from a .safetensors file); ``file`` is a trained model in a .onnx, .tflite
    or .skops file, or such a file on a model hub (``hf://owner/name/file.onnx@revision``) with the ``sha256`` that it
    has. ``kind``: deep or classical, for the question which of the two withstands more; a net, a factory's module and a
    .onnx or .tflite file are deep, an estimator and a .skops file classical, unless this key says otherwise. ``input``:
    what a .onnx or .tflite file, or a factory's module, expects of the signal. Of a .onnx or .tflite file, ``output``:
    the name of the one that gives its scores, where it has several; ``classes``: which class of the study each score is
    of, in the file's order. ``seeds``: it is trained so many times, each time from another seed; the further ones are
    models of their own (:mod:`core.studies.seeds`). What is left out is the system's own default, printed by
    ``pulseproof systems``."""

    system: str | None = None
    factory: str | None = Field(None, pattern=r"^[\w.]+:\w+$")
    estimator: str | None = Field(None, pattern=r"^[\w.]+:\w+$")
    file: str | None = Field(None, pattern=r"\.(onnx|tflite|skops)(@[^@]+)?$")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    kind: Kind | None = None
    trained: bool = False
    weights: str | None = Field(None, pattern=r"\.safetensors$")
    input: InputSpec | None = None
    output: str | None = Field(None, min_length=1)
    classes: tuple[str, ...] | None = Field(None, min_length=1)
    options: dict[str, Any] = Field(default_factory=dict)
    epochs: Count | None = None
    batch_size: Count | None = None
    learning_rate: float | None = Field(None, gt=0)
    weight_decay: float | None = Field(None, ge=0)
    epoch_records: Count | None = None
    balanced: bool = False
    augment: AugmentSpec = AugmentSpec()
    segments: int = Field(0, ge=0, le=200)
    seed: Seed | None = None
    seeds: int = Field(1, ge=1, le=10, strict=True)
    recipes: tuple[RecipeName, ...] | None = None
    defence: DefenceSpec | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> ModelSpec:
        if sum(value is not None for value in (self.system, self.factory, self.estimator, self.file)) > 1:
            raise ValueError("give one of system, factory, estimator and file, not several")
        if self.trained and not (self.factory or self.estimator):
            raise ValueError("trained = true goes with factory or estimator; a file is trained already")
        if self.weights and not (self.factory and self.trained):
            raise ValueError("weights go with factory and trained = true")
        if self.sha256 and not (self.file and hub_file(self.file)):
            raise ValueError("sha256 says which bytes a hub is to send: it goes with file = 'hf://...'")
        if self.file and self.suffix not in (".onnx", ".tflite", ".skops"):
            raise ValueError(f"{self.file!r} is no .onnx, .tflite or .skops file")
        of_graph = self.suffix in (".onnx", ".tflite")
        if (self.output or self.classes) and not of_graph:
            raise ValueError("output and classes say what a .onnx or .tflite file gives: they go with file")
        if self.input and not (of_graph or self.factory):
            raise ValueError(
                "input says how a .onnx or .tflite file or a factory's module is fed: it goes with file or factory"
            )
        if self.seeds > 1 and (self.trained or self.file):
            raise ValueError("seeds are of a training: a model that came trained has none")
        if self.defence and (self.trained or self.estimator or self.file):
            raise ValueError("a defence is a way to train: it goes with a built-in system, or with factory")
        return self

    @property
    def suffix(self) -> str | None:
        """The ending of its file, by which its kind is known; None where there is none."""
        return Path(path_of(self.file)).suffix if self.file else None

    @property
    def brought(self) -> bool:
        """True for a model that came trained: nothing here trains it."""
        return self.trained or self.file is not None


SURROGATE = "surrogate"
# Trained as the nets of studies/mit-bih.toml are, for minutes; it gets no files.
SURROGATE_SPEC = ModelSpec(balanced=True, epochs=8, epoch_records=4096, recipes=())


class ExportSpec(Strict):
    """Which files every system is exported to, and the recordings (training folds only) that calibrate int8.

    ``calibration_seeds``: so many files of each calibrated recipe, each with a draw of its own. The mixed recipes keep
    ``keep_float`` (layers by the names that the manifest gives them) in float, or, when none is named, the
    ``sensitive_layers`` layers that cost most when they alone are int8."""

    recipes: tuple[RecipeName, ...] = STANDARD
    calibration_records: Count = Field(256, ge=8)
    calibration_method: Literal["minmax", "percentile", "entropy"] = "minmax"
    calibration_seed: Seed = 1
    calibration_seeds: int = Field(1, ge=1, le=10)
    parity_records: Count = Field(300, ge=16)
    keep_float: tuple[str, ...] = ()
    sensitive_layers: Count = 2


DEPLOYED = ("onnx-int8-static", "tflite-int8-static", "onnx-as-given", "tflite-as-given")
NO_SURROGATE = "none"


def _expect_surrogate(name: str) -> str:
    if name != NO_SURROGATE:
        expect_system(name)
    return name


Surrogate = Annotated[str, AfterValidator(_expect_surrogate)]


class AttackSpec(Strict):
    """Adversarial recordings: from which models (default: all of the study), by which methods, at which budgets (mV).

    ``methods`` are made at every one of ``budgets_mv``; ``further_methods``, which cost more or say less, only at
    ``further_budgets_mv`` (default: the middle budget). ``deployed``: the files of each source that are attacked
    themselves, by ``twin`` and ``disagree`` through their own graph and by ``square`` with ``queries`` queries (a float
    .onnx file that was brought counts as ``onnx-as-given``). ``surrogate``: the system that is trained as ``surrogate``
    where all models are files and none has a sibling to transfer an attack from; ``none``: no such system.
    ``steps``, ``temperature`` and ``references`` (validation recordings that the AUC objective plays against) are those
    of :mod:`attacks.aim.objectives`; ``training_records`` teach the universal perturbation. ``shard``: recordings a
    task. ``precision``: in which the steps of a net of convolutions are taken; ``auto``: bfloat16 where a probe finds
    it faster on this processor and the net bears it, and a set that is there stays whichever it was made in.
    ``effort``: ``all`` takes all steps; ``enough`` half (:mod:`attacks.aim.needs`), and is not always as strong.
    """

    sources: tuple[str, ...] | None = None
    methods: tuple[Method, ...] = ("pgd", "random-sign")
    budgets_mv: tuple[float, ...] = (0.005, 0.01, 0.02, 0.05)
    further_methods: tuple[Method, ...] = ()
    further_budgets_mv: tuple[float, ...] | None = None
    deployed: tuple[RecipeName, ...] = DEPLOYED
    surrogate: Surrogate = "cnn"
    steps: int = Field(20, ge=1, le=100_000)
    temperature: float = Field(0.2, gt=0)
    references: Count = Field(128, ge=16)
    queries: Count = 500
    training_records: Count = Field(512, ge=16)
    noise_path: str = "nstdb"
    shard: Count = 64
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    effort: Literal["all", "enough"] = "all"

    @field_validator("budgets_mv", "further_budgets_mv")
    @classmethod
    def _rising(cls, budgets: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if budgets and (any(budget <= 0 for budget in budgets) or list(budgets) != sorted(set(budgets))):
            raise ValueError("budgets are millivolts above 0, each once, in rising order")
        if budgets and max(budgets) > MOST_MV:
            raise ValueError(f"budgets are millivolts, none above {MOST_MV:g}")
        printed = [f"{budget:g}" for budget in budgets or ()]
        alike = sorted({name for name in printed if printed.count(name) > 1})
        if alike:  # they name signal sets
            raise ValueError(f"two budgets are both called {', '.join(alike)} mV: give six digits at most")
        return budgets

    @model_validator(mode="after")
    def _each_method_once(self) -> AttackSpec:
        asked = (*self.methods, *self.further_methods)
        twice = sorted({name for name in asked if asked.count(name) > 1})
        if twice:
            raise ValueError(f"methods and further_methods name {', '.join(twice)} twice")
        return self

    def asked(self) -> tuple[tuple[Method, float], ...]:
        """Every (method, budget in mV) that is asked for, budgets rising."""
        middle = self.budgets_mv[(len(self.budgets_mv) - 1) // 2 :][:1]
        further = middle if self.further_budgets_mv is None else self.further_budgets_mv
        asked = [(method, budget) for budget in self.budgets_mv for method in self.methods]
        asked += [(method, budget) for budget in further for method in self.further_methods]
        return tuple(sorted(asked, key=lambda one: one[1]))


class PartSpec(Strict):
    """What a device gets of the bundle: the signal sets whose name matches one of ``sets`` (``pgd-{model}-0.02mV``;
    ``{model}`` is the model that runs; default: the clean one and the first attack on the model itself, at the middle
    one of its budgets), the first ``records`` recordings of each (default: all), and the artifacts that match one of
    ``only`` (``cnn/*``; default: all)."""

    sets: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(None, min_length=1)
    records: Count | None = None
    only: tuple[Annotated[str, Field(min_length=1)], ...] = ()


class LimitsSpec(Strict):
    """The part that a firmware is to fit into: ``flash_kb`` and ``ram_kb`` of 1024 bytes, the stack within; its clock,
    and how long an inference may take. What is not said is no limit."""

    flash_kb: float | None = Field(None, gt=0, le=1e9)
    ram_kb: float | None = Field(None, gt=0, le=1e9)
    mhz: float | None = Field(None, gt=0, le=1e5)
    deadline_ms: float | None = Field(None, gt=0, le=1e9)


ON_A_DEVICE = ("clean", "random-sign-*", "pgd-{model}-*", "twin-{model}.*")


class BenchSpec(Strict):
    """How the bundle is run and read: which recipes it holds (default: all that were made and are
    :attr:`~core.recipes.Recipe.measured`), threads of the engine, bootstrap resamples of an interval, ``delta``, the
    largest difference of AUC that does not matter (a verdict of no difference means: none as large); what a device that
    is reached over ssh gets of it, so that it ends within an hour, and what an emulated core, which takes .1 to 1 s an
    inference; ``limits``: of the microcontroller that is meant."""

    recipes: tuple[RecipeName, ...] | None = None
    threads: int = Field(1, ge=1, le=256)
    bootstrap: int = Field(2000, ge=100, le=1_000_000)
    delta: float = Field(0.01, gt=0, lt=0.5)
    device: PartSpec = PartSpec(sets=ON_A_DEVICE)
    emulated: PartSpec = PartSpec(records=64)
    limits: LimitsSpec | None = None


class Study(Strict):
    """One study. ``test_records`` limits the test recordings that attacks and devices get to a random sample.
    ``compute``: where nets are trained and gradients taken (:mod:`core.compute.device`); ``auto``: the first
    accelerator that torch sees, else processors."""

    name: Name
    title: Title
    seed: Seed = 1
    test_records: Count | None = Field(None, ge=16)
    compute: Compute = "auto"
    data: Data
    models: dict[Name, ModelSpec] = Field(min_length=1)
    export: ExportSpec = ExportSpec()
    attacks: AttackSpec = AttackSpec()
    bench: BenchSpec = BenchSpec()

    @model_validator(mode="before")
    @classmethod
    def _with_further_seeds(cls, asked: Any) -> Any:
        return with_further_seeds(asked)

    @model_validator(mode="after")
    def _names_exist(self) -> Study:
        for name, spec in self.models.items():
            if not (spec.factory or spec.estimator or spec.file):
                try:
                    expect_system(spec.system or name)
                except ValueError as error:
                    raise ValueError(f"[models.{name}]: {error}") from None
        for source in self.attacks.sources or ():
            if source not in self.models:
                raise ValueError(
                    f"attacks.sources names {source!r}, which is not under [models]{meant(source, self.models)}"
                )
        return self


def load_study(path: Path, models: Mapping[str, Any] | None = None) -> Study:
    """Read and check one study file; ``models``: what its ``[models]`` is where it has none.

    Raises InputError when the file is missing, is not TOML, or holds an unknown or wrong key.
    """
    path = Path(path)
    try:
        content = read_toml(path, "docs/studies.md shows a study")
    except FileNotFoundError:
        have = ", ".join(sorted(str(file) for file in path.parent.glob("*.toml"))) or "none"
        raise InputError(f"{path}: no such study", f"studies there: {have}") from None
    if models is not None:
        content.setdefault("models", dict(models))
    try:
        return completed(Study.model_validate(content))
    except ValidationError as error:
        raise InputError(
            f"{path}: " + "; ".join(faults(error, Study)), "docs/studies.md lists every key and what it takes"
        ) from None


def completed(study: Study) -> Study:
    """A study of files alone, and what it takes to attack them: a surrogate of their task, from which attacks are
    transferred, and Square on the files themselves, unless it says otherwise."""
    attacks, models = study.attacks, dict(study.models)
    if not all(spec.suffix in (".onnx", ".tflite") for spec in models.values()):
        return study
    if attacks.surrogate != NO_SURROGATE and attacks.sources is None:
        models.setdefault(SURROGATE, SURROGATE_SPEC.model_copy(update={"system": attacks.surrogate}))
    if "further_methods" not in attacks.model_fields_set and "square" not in attacks.methods:
        attacks = attacks.model_copy(update={"further_methods": ("square",)})
    return study.model_copy(update={"models": models, "attacks": attacks})
