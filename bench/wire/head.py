"""What a device is sent: the head of a bundle, ``bundle.json``, as pydantic models.

``docs/formats.md`` is the contract. Only what the host's statistics read is checked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AliasChoices, Field, model_validator

from pulseproof.bench.wire.fields import (
    Above,
    ArtifactName,
    Bytes,
    Count,
    EngineMode,
    FileName,
    Name,
    Number,
    Positive,
    Sha256,
    SourceName,
    Threads,
    Wire,
    Words,
)
from pulseproof.core.recipes import RECIPES, find_recipe
from pulseproof.core.scores import Join
from pulseproof.core.study import Kind


class FileEntry(Wire):
    sha256: Sha256
    size_bytes: Bytes


WHOLES = "wholes.npy"  # of a task with ``join``: which recording each window is of


class TaskEntry(Wire):
    """``join``: how the scores of a recording's windows become its own; null where each signal is a recording."""

    classes: tuple[Words, ...] = Field(min_length=1)
    leads: tuple[Words, ...] = Field(min_length=1)
    fs_hz: Above
    samples: Count
    adc_step_mv: Above
    exclusive: bool = False
    join: Join | None = None


# The systems that there were when a bundle did not say which kind they are.
OLD_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("ecg-lens", "lstm", "cnn"), "deep"),
    **dict.fromkeys(("random-forest", "decision-tree", "logistic-regression"), "classical"),
}


class ExactMode(Wire):
    """The ``mode`` in which a file's engine computes it exactly, and how far scores may be ``within``: a step."""

    mode: EngineMode
    within: Above


class DefenceEntry(Wire):
    """How a model was trained against disturbance: ``kind`` and ``budget_mv`` as its study says. ``plain``: the model
    of the same net without it; null where the study has none."""

    kind: Name
    budget_mv: Positive
    plain: Name | None = None


class TrainingEntry(Wire):
    """What a training took: ``seconds`` on the clock and of processors."""

    epochs: Count
    seconds: Positive
    processor_seconds: Positive


class ArtifactEntry(Wire):
    """``kind``: whether its model is among the deep or the classical systems; null in bundles of an older version (read
    it by :attr:`system_kind`). ``input_step_mv``: the step to which the file rounds the signal before all else; null
    where it does not. ``thresholds``: the score of each class from which its model says yes, from validation
    recordings; ``specificity_thresholds``: the same by the specificity that they had there (``"0.90"``). ``exact``: how
    a device holds a quantized file against its exact arithmetic; null where nothing is known to give that.
    ``tolerance``: how far a provider's scores may be from the processor's without it, in their standard deviations.
    ``defence``, ``training``: of its model; null for one without, and where it is not known. ``seed_of``: the model
    that its model is a further training of, from another seed."""

    name: ArtifactName
    model: Name
    recipe: Name
    format: Name
    kind: Kind | None = None
    file: FileName
    note: Words | None = None
    not_on: dict[Name, Words] = Field({})
    input_step_mv: Positive | None = None
    thresholds: tuple[Number, ...] | None = None
    specificity_thresholds: dict[Words, tuple[Number, ...]] | None = None
    exact: ExactMode | None = None
    tolerance: Above | None = None
    defence: DefenceEntry | None = None
    training: TrainingEntry | None = None
    seed_of: Name | None = None

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
    facts: dict[Name, Number] = Field({})
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
        named += [each.file for each in self.signals] + ([WHOLES] if self.task.join else [])
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
