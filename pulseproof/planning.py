"""``pulseproof plan``: how long a study will take here and how much it will write, said before it starts.

In: a study and its recordings. Out: a :class:`Plan`: processor time and bytes of each stage. Gradients, inferences and
bytes are counted from the study; what a gradient takes is measured here, on an untrained net of the very shape, within
a second each. What cannot be measured before there are files has a stated cost (:data:`FILE_S`, :data:`TREES`). An
estimate is none of the evidence of a result: it tells minutes from hours, and says "about".
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pulseproof.core.processors import usable
from pulseproof.core.terminal.console import Terminal, put
from pulseproof.core.terminal.options import BuildOption, DataOption, StudyOption, load

if TYPE_CHECKING:
    from torch import nn

    from pulseproof.attacks.grid.costs import Made
    from pulseproof.core.study import Study
    from pulseproof.ecg.recordings import Recordings

FILE_S = 8.0  # processor seconds to export one file, calibrate it and hold it against its source on every engine
FILE_BYTES = 1e6
TREES = 3.0  # gradients of a softened forest, in those of the features alone
PROBED = 8  # recordings of a probe
LEARNING = 1.5  # a training's gradient, of weights too, in those of the signal alone
FORWARD = 1 / 3  # an inference in gradients
SPLITS = (0.8, 0.1, 0.1)  # of recordings that are only supposed: train, validation, test
RECHECKED = 400  # the recordings of the audit's own runs, at most


@dataclass(frozen=True)
class Counts:
    """Recordings on each side, and (leads, samples) of one."""

    train: int
    validation: int
    test: int
    shape: tuple[int, int]

    @property
    def bytes_each(self) -> int:
        """Of a recording at rest: int16."""
        return 2 * self.shape[0] * self.shape[1]


@dataclass(frozen=True)
class PlannedStage:
    """``seconds`` of processor time and ``bytes`` on the disk. ``side_by_side``: it runs on all processors."""

    name: str
    seconds: float
    bytes: float
    side_by_side: bool = False

    def wall(self, processors: int) -> float:
        """Seconds on a clock."""
        return self.seconds / (processors if self.side_by_side else 1)


@dataclass(frozen=True)
class Plan:
    """The stages of a study on ``processors``, as if nothing were done yet."""

    stages: tuple[PlannedStage, ...]
    processors: int

    @property
    def seconds(self) -> float:
        """On a clock."""
        return sum(stage.wall(self.processors) for stage in self.stages)

    @property
    def bytes(self) -> float:
        """On the disk."""
        return sum(stage.bytes for stage in self.stages)

    def sentence(self) -> str:
        """One line for the start of a run."""
        return f"about {told_time(self.seconds)} here ({self.processors} processors), {told_bytes(self.bytes)} of disk"


def counts_of(study: Study, recordings: Recordings, supposed: int | None = None) -> Counts:
    """Those of the recordings, or of as many as are ``supposed``, shared out as PTB-XL's folds are."""
    found = [len(recordings.indices(side)) for side in ("train", "validation", "test")]
    if supposed is not None:
        found = [round(supposed * share) for share in SPLITS]
    return Counts(found[0], found[1], min(found[2], study.test_records or found[2]), recordings.shape)


def plan_study(study: Study, recordings: Recordings, counts: Counts, processors: int | None = None) -> Plan:
    """The plan of a study. A net is built and tried; raises InputError where it cannot be."""
    from pulseproof.core.recipes import RECIPES
    from pulseproof.models.systems import resolve

    seconds = {name: _gradient_s(study, recordings, name) for name in study.models}
    systems = {name: resolve(name, spec) for name, spec in study.models.items()}
    learnt = sum(
        seconds[name] * LEARNING * (spec.epochs or systems[name].training.epochs) * (spec.epoch_records or counts.train)
        if systems[name].net and not spec.brought
        else seconds[name] * FORWARD * counts.train
        for name, spec in study.models.items()
    )
    files = 0
    for name, spec in study.models.items():
        recipes = spec.recipes if spec.recipes is not None else systems[name].recipes or study.export.recipes
        files += sum(recipe in RECIPES for recipe in recipes)
    sets, attacked = _attacks(study, seconds, counts)
    inferences = files * sets * counts.test * FORWARD * sum(seconds.values()) / len(seconds)
    stages = (
        PlannedStage("recordings", 0.0, (counts.train + counts.validation + counts.test) * counts.bytes_each),
        PlannedStage("training", learnt, 0.0, side_by_side=True),
        PlannedStage("export", files * FILE_S, files * FILE_BYTES, side_by_side=True),
        PlannedStage("attacks", attacked, sets * counts.test * counts.bytes_each, side_by_side=True),
        PlannedStage("audit", _audit(study, seconds, counts), 0.0),
        PlannedStage("bench", inferences, 0.0),
    )
    return Plan(stages, processors or usable())


def _attacks(study: Study, seconds: dict[str, float], counts: Counts) -> tuple[int, float]:
    """How many signal sets, the clean one too, and their processor time."""
    from pulseproof.attacks.grid.costs import cost_of
    from pulseproof.attacks.methods import METHODS

    asked, names = study.attacks, study.attacks.sources or tuple(study.models)
    sets, spent = 1, 0.0
    for method, _ in asked.asked():
        on = METHODS[method].made_on
        if on == "nothing":
            sets += 1
            continue
        each = len(asked.deployed) if on == "file" else 1
        for name in names:
            cost = cost_of(method, asked, _made(study, name))
            gradient = sum(seconds.values()) if on == "others" else seconds[name]
            gradients = cost.gradients * counts.test + cost.reference_gradients * asked.references
            queries = cost.queries * counts.test + cost.reference_queries * asked.references
            spent += each * gradient * (gradients + cost.training_gradients + FORWARD * queries)
            sets += each
    return sets, spent


def _audit(study: Study, seconds: dict[str, float], counts: Counts) -> float:
    """Twice the steps and two starts at one budget, two other objectives at every budget, on some recordings."""
    from pulseproof.attacks.grid.costs import cost_of

    some, asked, spent = min(counts.test, RECHECKED), study.attacks, 0.0
    for name in study.models:
        cost = cost_of("pgd", asked, _made(study, name))
        runs = 2 + 2 + 2 * len(asked.budgets_mv)
        spent += seconds[name] * cost.gradients * (runs * some + 3 * asked.references)
    return spent


def _made(study: Study, name: str) -> Made:
    from pulseproof.models.systems import resolve

    system = resolve(name, study.models[name])
    if system.net is not None or study.models[name].file:
        return "net"
    return "features" if "logistic" in (study.models[name].system or name) else "trees"


def _gradient_s(study: Study, recordings: Recordings, name: str) -> float:
    """Processor seconds of one recording's gradient, by a probe: the best of three."""
    import torch

    from pulseproof.attacks.aim.objectives import Linear
    from pulseproof.attacks.aim.victims import Victims
    from pulseproof.attacks.gradient import evaluate
    from pulseproof.models.run import task_of

    module = _probe(study, recordings, name)
    classes = len(task_of(recordings).classes)
    victims = Victims(torch.randn(PROBED, *recordings.shape), torch.zeros(PROBED, classes))
    best = float("inf")
    for _ in range(3):
        begun = time.process_time()
        evaluate(module, victims, None, Linear(torch.ones(classes)), 0.0)
        best = min(best, time.process_time() - begun)
    return best / PROBED * (TREES if _made(study, name) == "trees" else 1.0)


def _probe(study: Study, recordings: Recordings, name: str) -> nn.Module:
    """What is tried: the untrained net; of a classical system its features; of a file the CNN in its place."""
    from pulseproof.models.classical import FeatureModel, Logistic
    from pulseproof.models.features import Features
    from pulseproof.models.modules import build_net
    from pulseproof.models.run import task_of
    from pulseproof.models.systems import SYSTEMS, resolve

    spec, task = study.models[name], task_of(recordings)
    system = SYSTEMS["cnn"] if spec.file else resolve(name, spec)
    if system.net is None:
        features = Features(task.leads, task.samples, task.fs_hz, spec.segments)
        return FeatureModel(features, Logistic(len(features.names), len(task.classes))).eval()
    return build_net(f"[models.{name}]", system, spec, task).requires_grad_(False).eval()


def told_time(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def told_bytes(count: float) -> str:
    """``12 MB``, ``6.1 GB``."""
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def plan(
    study: StudyOption,
    data: DataOption = None,
    build: BuildOption = None,
    recordings: Annotated[
        int | None, typer.Option("--recordings", min=100, help="Suppose so many recordings. [default: those there are]")
    ] = None,
) -> None:
    """How long a study will take here and how much it will write, by stage, before anything is trained.

    Example: `pulseproof plan --study studies/ptb-xl.toml --data recordings`
    """
    from pulseproof.ecg.prepare import prepare

    loaded, root, where = load(study, data, build)
    there = prepare(loaded, root, where)
    found = plan_study(loaded, there, counts_of(loaded, there, recordings))
    drawn = Table("stage", "processor time", f"here, {found.processors} processors", "disk", title=loaded.title)
    for stage in found.stages:
        wall = stage.wall(found.processors)
        shown = (told_time(stage.seconds), told_time(wall)) if stage.seconds else ("", "")
        drawn.add_row(stage.name, *shown, told_bytes(stage.bytes) if stage.bytes else "")
    Terminal().print(drawn)
    put(f"{found.sentence()}. An estimate: what is done already is not counted off.\n")


def say_plan(study: Study, recordings: Recordings, build: Path) -> None:
    """Say the plan of a study that was not begun; one that was knows its time from what is left to do."""
    from pulseproof.core.terminal.console import say

    if not (build / study.name / "models").exists():
        say(f"{study.name}: {plan_study(study, recordings, counts_of(study, recordings)).sentence()}")
