"""The JSON that crosses between host and device, as pydantic models: the bundle's head and a result.

``docs/formats.md`` is the contract. Only what the host's statistics read is checked here; names and paths are plain and
relative, hashes are SHA-256, numbers are finite.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, model_validator

from pulseproof.core.recipes import RECIPES, find_recipe
from pulseproof.core.study import Kind

PART = "[A-Za-z0-9][A-Za-z0-9._+-]*"
Name = Annotated[str, Field(pattern=f"^{PART}$", max_length=120)]
ArtifactName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]*/[A-Za-z0-9][A-Za-z0-9.+-]*$", max_length=200)]
# A model, an ensemble of models, or an artifact.
SourceName = Annotated[str, Field(pattern=f"^{PART}(/{PART})?$", max_length=200)]
# Relative, no "..", no backslash, nothing hidden.
FileName = Annotated[str, Field(pattern=f"^{PART}(/{PART})*$", max_length=300)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def plain(text: str) -> str:
    """A stranger's text without control characters (a terminal would obey them), on one line, at most 500 long."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:500]


Words = Annotated[str, AfterValidator(plain)]
# No number is beyond what can be: the axis of a picture or the column of a table is lost to a single 1e300.
Number = Annotated[float, Field(ge=-1e15, le=1e15)]
Positive = Annotated[float, Field(ge=0, le=1e15)]
Above = Annotated[float, Field(gt=0, le=1e15)]
Milliseconds = Annotated[float, Field(ge=0, le=1e9)]  # the runner kills a step that takes 1e6 s
Count = Annotated[int, Field(ge=1, le=10**12)]
Bytes = Annotated[int, Field(ge=0, le=2**50)]
Threads = Annotated[int, Field(ge=1, le=4096)]
Evidence = Literal["measured-on-device", "measured-on-host", "emulated-count", "compiler-estimate"]


class Wire(BaseModel):
    """Read from JSON with JSON's own types. Unknown keys are passed over: ``format`` says what is incompatible."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


W = TypeVar("W", bound=Wire)


def _in_order(held: W, *names: str) -> W:
    """``held``, whose numbers of these names do not fall from one to the next; those that are null are passed over."""
    known = [(name, value) for name in names if (value := getattr(held, name)) is not None]
    for (name, value), (following, more) in itertools.pairwise(known):
        if value > more:
            raise ValueError(f"{name} is {value:g}, above {following}, which is {more:g}")
    return held


class FileEntry(Wire):
    sha256: Sha256
    size_bytes: Bytes


class TaskEntry(Wire):
    classes: tuple[Words, ...] = Field(min_length=1)
    leads: tuple[Words, ...] = Field(min_length=1)
    fs_hz: Above
    samples: Count
    adc_step_mv: Above
    exclusive: bool = False


# The systems that there were when a bundle did not say which kind they are.
OLD_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("ecg-lens", "lstm", "cnn"), "deep"),
    **dict.fromkeys(("random-forest", "decision-tree", "logistic-regression"), "classical"),
}


class ExactMode(Wire):
    """The ``mode`` in which a file's engine computes it exactly, and how far scores may be ``within``: a step."""

    mode: Literal["unoptimized", "precise", "reference"]
    within: Above


class ArtifactEntry(Wire):
    """``kind``: whether its model is among the deep or the classical systems; null in bundles of an older version (read
    it by :attr:`system_kind`). ``input_step_mv``: the step to which the file rounds the signal before all else; null
    where it does not. ``thresholds``: the score of each class from which its model says yes, from validation
    recordings; ``specificity_thresholds``: the same by the specificity that they had there (``"0.90"``). ``exact``: how
    a device holds a quantized file against its exact arithmetic; null where nothing is known to give that."""

    name: ArtifactName
    model: Name
    recipe: Name
    format: Name
    kind: Kind | None = None
    file: FileName
    note: Words | None = None
    not_on: dict[Name, Words] = {}
    input_step_mv: Positive | None = None
    thresholds: tuple[Number, ...] | None = None
    specificity_thresholds: dict[Words, tuple[Number, ...]] | None = None
    exact: ExactMode | None = None

    @property
    def system_kind(self) -> Kind | None:
        """``kind``, or what an older bundle means: the built-in system of the model's name, and none of another."""
        return self.kind or OLD_KINDS.get(self.model)


def within(linf_mv: float | None, budget_mv: float) -> bool:
    """True for a largest change of at most the budget, up to the last digits of a product."""
    return linf_mv is None or linf_mv <= budget_mv * (1 + 1e-6)


class SignalEntry(Wire):
    """``source`` is the model, the ensemble (``without-<model>``) or the artifact that an attack was made on; null for
    the clean set and for noise. ``only``: the models and artifacts that it is run on, null for all. The rest was
    measured on its bytes, each a mean over recordings but ``linf_mv``, the largest change of all; ``facts`` are what
    its method counted, such as ``queries``. ``precision``: in which the steps of a gradient attack were taken
    (``float32``, ``bfloat16``), null for what takes none; ``notes``: what must be said of how it was made."""

    name: Name
    file: FileName
    source: SourceName | None
    method: Name
    # Until 0.1 the wire called it ``epsilon_mv``.
    budget_mv: Positive = Field(validation_alias=AliasChoices("budget_mv", "epsilon_mv"))
    only: tuple[SourceName, ...] | None = None
    linf_mv: Positive | None = None
    l2_mv: Positive | None = None
    rms_mv: Positive | None = None
    snr_db: Number | None = None
    sigma: Positive | None = None
    outside_band: Number | None = None
    second_difference: Number | None = None
    facts: dict[Name, Number] = {}
    precision: Words | None = None
    notes: tuple[Words, ...] = ()

    def is_for(self, artifact: ArtifactEntry) -> bool:
        """True when the artifact is to be run on it."""
        return self.only is None or artifact.model in self.only or artifact.name in self.only

    @property
    def attack(self) -> bool:
        """True for an attack that keeps to its budget in every sample. One in the L2 ball does not: it is no match for
        those that do, and stands in rows of its own."""
        return self.source is not None and within(self.linf_mv, self.budget_mv)


class NotApplicableEntry(Wire):
    name: ArtifactName
    model: Name
    recipe: Name
    reason: Words


class NotMadeEntry(Wire):
    """A signal set that could not be made (or a budget, or a method, of which none could), and why."""

    name: Words
    reason: Words


class RulesEntry(Wire):
    threads: Threads
    warmup_s: Positive = 0.2
    min_runs: Count = 200
    min_s: Positive = 2.0


class Part(Wire):
    """What a device gets of the bundle (:class:`core.study.PartSpec`)."""

    sets: tuple[Words, ...] | None = None
    records: Count | None = None
    only: tuple[Words, ...] = ()


class Origin(Wire):
    """Where the recordings come from: the name of the database (or databases), what of it they are where they are not
    all of it, sentences on what was left out, counted (``facts``), and on what was taken for granted (``doubts``)."""

    database: Words
    part: Words = ""
    facts: tuple[Words, ...] = ()
    doubts: tuple[Words, ...] = ()


class BundleHead(Wire):
    """``bundle.json``. ``origin`` is null in bundles of before it was written."""

    format: Literal[1]
    study: Name
    title: Words
    note: Words | None = None
    synthetic: bool
    origin: Origin | None = None
    task: TaskEntry
    files: dict[FileName, FileEntry]
    artifacts: tuple[ArtifactEntry, ...]
    signals: tuple[SignalEntry, ...]
    not_applicable: tuple[NotApplicableEntry, ...] = ()
    not_made: tuple[NotMadeEntry, ...] = ()
    run: RulesEntry
    device: Part = Part()
    emulated: Part = Part(records=64)

    @model_validator(mode="after")
    def _consistent(self) -> BundleHead:
        named = ["labels.npy", "patients.npy", *(each.file for each in self.artifacts)]
        named += [each.file for each in self.signals]
        unlisted = [name for name in named if name not in self.files]
        if unlisted:
            raise ValueError(f"files does not list {', '.join(unlisted)}")
        names = [each.name for each in self.artifacts]
        names += [each.name for each in self.not_applicable]
        sets = [each.name for each in self.signals]
        if len(set(names)) != len(names) or len(set(sets)) != len(sets):
            raise ValueError("a name occurs twice under artifacts, not_applicable or signals")
        stated = [(each.name, each.model, each.recipe) for each in self.artifacts]
        stated += [(each.name, each.model, each.recipe) for each in self.not_applicable]
        classes = len(self.task.classes)
        short = [
            each.name
            for each in self.artifacts
            for given in (each.thresholds, *(each.specificity_thresholds or {}).values())
            if given is not None and len(given) != classes
        ]
        if short:
            raise ValueError(f"thresholds of {short[0]}: not one a class")
        for name, model, recipe in stated:
            if find_recipe(recipe) is None:
                raise ValueError(f"no recipe {recipe!r} in this version, which has {', '.join(RECIPES)}")
            if name != f"{model}/{recipe}":
                raise ValueError(f"{name} is not {model}/{recipe}")
        return self


class Device(Wire):
    name: Name
    evidence: Evidence
    fingerprint: dict[str, Any] = {}


class ArtifactTag(Wire):
    name: ArtifactName
    sha256: Sha256
    size_bytes: Bytes


class SignalTag(Wire):
    name: Name
    sha256: Sha256


class EngineEntry(Wire):
    name: Words
    version: Words | None
    threads: Threads | None = None


class AskedRules(Wire):
    """By which rules a result was measured; null where an older runner did not say."""

    adc_step_mv: Above
    warmup_s: Positive | None = None
    min_runs: Count | None = None
    min_s: Positive | None = None


class ScoresFile(Wire):
    file: Name
    sha256: Sha256


class TimesFile(Wire):
    """The time of every timed call. Nothing here reads it; ``_`` keeps it apart from any signal set's name."""

    file: str = Field(pattern=f"^_{PART}$", max_length=140)
    sha256: Sha256


class Latency(Wire):
    count: Count
    p50: Milliseconds
    p90: Milliseconds | None = None
    p95: Milliseconds | None = None
    p99: Milliseconds

    @model_validator(mode="after")
    def _ordered(self) -> Latency:
        return _in_order(self, "p50", "p90", "p95", "p99")


class Noise(Wire):
    """(p90 - p10) / p50 of a fixed piece of work, and the share from which on a latency is not to be believed."""

    share: Positive
    limit: Positive


class Energy(Wire):
    """Of one inference, from a meter. ``above_idle_mj`` is below 0 where the meter is too coarse to tell."""

    meter: Words
    idle_w: Number
    busy_w: Number
    mj_per_inference: Number
    above_idle_mj: Number


class Instructions(Wire):
    """Instructions of one inference, counted by an emulator; no cycles."""

    count: Count
    p50: Positive
    min: Positive
    max: Positive

    @model_validator(mode="after")
    def _ordered(self) -> Instructions:
        return _in_order(self, "min", "p50", "max")


class ExactnessEntry(Wire):
    """A quantized file's scores on this device against its exact arithmetic, which is the engine's in ``mode``:
    ``largest``, in steps of the scores (each ``within``), of the first ``recordings`` clean ones. ``mark`` where it is
    more than a step; ``features`` of the processor; ``reason`` why nothing was found."""

    mode: Literal["unoptimized", "precise", "reference"]
    recordings: int = Field(ge=0, le=10**12)
    within: Above
    largest: Positive | None = None
    mark: Literal["engine-saturates", "engine-differs"] | None = None
    features: tuple[Words, ...] | Literal["unavailable"] | None = None
    reason: Words | None = None


class Result(Wire):
    """One result JSON. Its ``auc_macro`` is not read: statistics are made here, from the scores and the labels."""

    format: Literal[1]
    study: Name
    device: Device
    artifact: ArtifactTag
    signals: SignalTag
    engine: EngineEntry | None = None
    runner: Sha256 | None = None
    status: Literal["ok", "failed"]
    reason: Words | None = None
    asked: AskedRules | None = None
    n: Count | None = None
    scores: ScoresFile | None = None
    latency_ms: Latency | None = None
    instructions: Instructions | None = None
    load_ms: Milliseconds | None = None
    first_ms: Milliseconds | None = None
    overhead_us: Positive | None = None
    peak_rss_mb: Positive | None = None
    times: TimesFile | None = None
    noise: Noise | None = None
    marks: tuple[Literal["throttled", "noisy", "engine-saturates", "engine-differs"], ...] | None = None
    affinity: tuple[int, ...] | None = None
    energy: Energy | None = None
    exact: ExactnessEntry | None = None

    @model_validator(mode="after")
    def _whole(self) -> Result:
        if self.status == "ok" and None in (self.n, self.scores, self.engine):
            raise ValueError("status is ok, but n, scores or engine is null")
        if self.device.evidence == "emulated-count" and (self.latency_ms or self.load_ms or self.first_ms):
            raise ValueError("it has a time, but its processor was emulated")
        return self
