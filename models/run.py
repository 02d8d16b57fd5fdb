"""Train what a study asks for, and load it again: the room's two doors for the others.

In: a study and its recordings. Out: ``build/<study>/models/<name>/``, one folder a system:

    model.json            how to build it again (system, options, task, normalisation)
    weights.safetensors   a net's weights, or
    estimator.skops       a fitted scikit-learn estimator, or
    given.onnx            a file that was brought (or given.tflite)
    history.json          a net's epochs
    metrics.json          what was measured of it (:mod:`models.measured`)

A model that came trained (:mod:`models.brought.model`) is checked and measured, and kept like the others.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from pulseproof.core.code_digest import Code, code_of, module_of, ours
from pulseproof.core.compute.device import CPU, kind_of, resolved
from pulseproof.core.compute.placed import Visiting
from pulseproof.core.errors import InputError
from pulseproof.core.steps import Step, digest
from pulseproof.core.study import ModelSpec, Study
from pulseproof.core.terminal.console import say
from pulseproof.core.terminal.hints import command
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.brought import model as brought
from pulseproof.models.brought.estimator_files import load_estimator, save_estimator
from pulseproof.models.brought.estimators import fit_estimator
from pulseproof.models.brought.model import ESTIMATOR, KEPT, WEIGHTS, save_weights
from pulseproof.models.classical import FeatureModel, head_of
from pulseproof.models.features import Features
from pulseproof.models.front.fronted import front_of_net, fronted
from pulseproof.models.hardened.defence import EPOCHS, SLOWER
from pulseproof.models.hardened.front import SmoothInput
from pulseproof.models.measured import measure
from pulseproof.models.modules import build_net, sizes_of
from pulseproof.models.systems import System, Task, resolve
from pulseproof.models.train import TrainingPlan, fit_normalisation, train_net
from pulseproof.runtime.files import read_json, write_json
from pulseproof.runtime.words import one_line

# Bump when the same settings would train another model for a reason that no digest of code sees (_code): it makes every
# trained model of this kind stale.
VERSION = 1
TABLE = "pulseproof.models.systems"
CHECK_RECORDS = 24  # a brought model is tried on so many before it is taken


@dataclass(frozen=True)
class Trained:
    """A trained system: ``module`` takes float32 ``(n, leads, samples)`` mV and gives scores ``(n, classes)``.

    ``digest`` identifies it: its name, the settings and recordings it came from, and the bytes of its weights (another
    machine may train others from the same settings); ``differentiable`` says whether gradients of the
    scores reach the signal. ``folder``: where it is kept; then another process loads it from there, because a user's
    own class need not be one that can be pickled.
    """

    name: str
    module: nn.Module
    task: Task
    recipes: tuple[str, ...] | None
    differentiable: bool
    digest: str
    folder: Path | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self.folder is not None:
            return load_model, (self.folder, self.digest, self.recipes)
        return Trained, (self.name, self.module, self.task, self.recipes, self.differentiable, self.digest)


def task_of(recordings: Recordings) -> Task:
    """The task that recordings pose."""
    about = recordings.about
    return Task(about.leads, recordings.shape[1], about.fs_hz, about.classes)


def folder_of(study: Study, build: Path, name: str) -> Path:
    """Where one trained system of a study lives."""
    return build / study.name / "models" / name


def train_study(study: Study, recordings: Recordings, build: Path, only: str | None = None) -> dict[str, Trained]:
    """Train every system of the study (or the one named ``only``) that is not trained yet, take those that came
    trained, and give all of them.

    Raises InputError for a system that cannot be built or taken; what was trained before it stays.
    """
    asked = {name: spec for name, spec in study.models.items() if only in (None, name)}
    systems = {name: resolve(name, spec) for name, spec in asked.items()}
    trained = {}
    for name, spec in asked.items():
        step = _step_there(study, recordings, build, name, systems[name])
        if not step.fresh():
            one = _take_one if spec.brought else _train_one
            one(study, recordings, name, systems[name], spec, step)
        made = {file: sha256 for file, sha256 in step.outputs().items() if file in KEPT}
        identity = digest([name, step.digest, made])
        recipes = systems[name].recipes if spec.recipes is None else spec.recipes
        trained[name] = load_model(step.folder, identity, recipes)
        measure(name, trained[name].module, identity, step.folder, spec, recordings)
    return trained


def _step_there(study: Study, recordings: Recordings, build: Path, name: str, system: System) -> Step:
    """The step of a model on the device that is asked for; of ``auto`` what a processor trained stays."""
    there, here = (_step(study, recordings, build, name, system, each) for each in (resolved(study.compute), CPU))
    return here if study.compute == "auto" and here.fresh() else there


def device_of(spec: ModelSpec, system: System, device: str) -> str:
    """Where a model is trained: nets on the device; features, trees, and what a defence computes by a net's parts (its
    bounds, its folded copies) on the processor."""
    return device if system.net is not None and not spec.brought and spec.defence is None else CPU


def _step(study: Study, recordings: Recordings, build: Path, name: str, system: System, device: str = CPU) -> Step:
    spec = study.models[name]
    # What only a brought model has is left out for the others: theirs is the digest that they always had.
    of_brought = set() if spec.brought else {"file", "trained", "weights"}
    unsaid = {name for name in ("defence", "input", "output", "classes") if getattr(spec, name) is None}
    inputs = {
        "version": VERSION,
        "recordings": recordings.fingerprint,
        "leads": recordings.about.leads,
        "window": recordings.window,
        "model": spec.model_dump(exclude={"recipes", "kind", "seeds", "sha256", *of_brought, *unsaid}, mode="json"),
    }
    if spec.brought:
        inputs |= brought.inputs_of(name, spec, system, task_of(recordings))
    else:
        inputs |= {
            "defaults": asdict(system.training),
            "seed": _seed(study, spec),
            "source": system.source,
            "library": torch.__version__ if system.net else sklearn.__version__,
        }
    if device_of(spec, system, device) != CPU:  # of a processor nothing is said: its digest is what it always was
        inputs["compute"] = kind_of(device)
    # An older version did not say by which code; its models were trained by that of VERSION, and take hours to train.
    return Step(folder_of(study, build, name), "train", inputs, _code(system, spec), unsaid_is_fresh=not spec.brought)


def _code(system: System, spec: ModelSpec) -> tuple[Code, ...]:
    """The code that trains a model, or takes one that came trained: an edit of it makes the model anew. The table of
    systems is none of it."""
    if spec.brought:
        return (code_of(("pulseproof.models.brought.model",), without=(TABLE,)),)
    made = system.net or system.estimator
    assert made is not None
    own = code_of(ours([module_of(made)]), without=(TABLE,))
    if system.net:
        return own, code_of(("pulseproof.models.train",), without=(TABLE,))
    return own, code_of(
        ("pulseproof.models.brought.estimators", "pulseproof.models.features"),
        without=(TABLE, "pulseproof.models.nets", "pulseproof.models.augment"),
    )


def _seed(study: Study, spec: ModelSpec) -> int:
    return study.seed if spec.seed is None else spec.seed


def _take_one(study: Study, recordings: Recordings, name: str, system: System, spec: ModelSpec, step: Step) -> None:
    head, task = _begin(recordings, name, spec, step), task_of(recordings)
    say(f"taking {name} ({system.says}) as it is")
    rows = recordings.sample("validation", CHECK_RECORDS, study.seed)
    signals, ids = recordings.signals(rows), recordings.ids[rows].tolist()
    kept, described = brought.take(name, spec, system, task, signals, step.folder, ids)
    if described.get("front"):
        say(f"  {name}: put before and behind its own graph: {described['front']}")
    files = brought.files_of(name, spec)
    if files and files != step.inputs["given"]:
        kept.unlink()
        raise InputError(f"[models.{name}]: {', '.join(files)}: changed while it was read", "run it again")
    _end(step, head | described | {"files": files}, kept, [])


def _begin(recordings: Recordings, name: str, spec: ModelSpec, step: Step) -> dict[str, Any]:
    """Make the folder ready; returns what model.json says of every model."""
    step.folder.mkdir(parents=True, exist_ok=True)
    step.stamp.unlink(missing_ok=True)
    for stale in KEPT:  # of a model of this name that came from elsewhere
        (step.folder / stale).unlink(missing_ok=True)
    head: dict[str, Any] = {"name": name, "spec": spec.model_dump(mode="json"), "task": asdict(task_of(recordings))}
    return head | {"threads": torch.get_num_threads(), "torch": torch.__version__, "sklearn": sklearn.__version__}


def _end(step: Step, head: dict[str, Any], kept: Path, history: list[dict[str, float | None]]) -> None:
    """Say how the model is built again, and leave its step done."""
    folder = step.folder
    write_json(folder / "model.json", head)
    write_json(folder / "history.json", history)
    step.done([kept, folder / "model.json", folder / "history.json"])
    for leftover in folder.glob("unfinished-*.safetensors"):
        leftover.unlink()


def _train_one(study: Study, recordings: Recordings, name: str, system: System, spec: ModelSpec, step: Step) -> None:
    folder, task, seed = step.folder, task_of(recordings), _seed(study, spec)
    head = _begin(recordings, name, spec, step)
    history: list[dict[str, float | None]] = []
    rows = recordings.indices("train")
    say(f"training {name} ({system.says}) on {len(rows):,} recordings")
    there = recordings.labels[rows].astype(bool)
    for says, never in (("no", ~there.any(axis=0)), ("only", there.all(axis=0))):
        for at in np.flatnonzero(never):
            say(f"  warning: {says} training recordings of class {task.classes[at]}: nothing is learnt of it")
    if system.net is not None:
        torch.manual_seed(seed)
        net = _fronted(build_net(f"[models.{name}]", system, spec, task), name, spec, task)
        head["normalise"] = fit_normalisation(net, recordings, seed)
        defaults = system.training
        augment = spec.augment
        if augment.wavelet is None:
            augment = augment.model_copy(update={"wavelet": defaults.wavelet})
        kind = "" if spec.defence is None else spec.defence.kind
        plan = TrainingPlan(
            epochs=spec.epochs or EPOCHS.get(kind, defaults.epochs),
            batch_size=spec.batch_size or defaults.batch_size,
            learning_rate=spec.learning_rate or defaults.learning_rate * SLOWER.get(kind, 1.0),
            weight_decay=defaults.weight_decay if spec.weight_decay is None else spec.weight_decay,
            augment=augment,
            epoch_records=spec.epoch_records,
            balanced=spec.balanced,
            seed=seed,
            defence=spec.defence,
        )
        # The checkpoint's name carries the settings and the code: an unfinished training of others is not gone on with.
        checkpoint = folder / f"unfinished-{digest([step.digest, step.code])[:12]}.safetensors"
        device = device_of(spec, system, resolved(study.compute)) if "compute" in step.inputs else CPU
        seen = net if device == CPU else Visiting(net, device)
        history = train_net(seen, recordings, plan, checkpoint, name)
        made = folder / WEIGHTS
        save_weights(net.cpu(), made)
        head |= {} if device == CPU else {"compute": kind_of(device)}
        head["origin"] = "net"
    else:
        if spec.defence is not None and spec.defence.kind != "adversarial":
            raise InputError(
                f"[models.{name}.defence]: {name} is no net, and {spec.defence.kind} is a way to train one",
                'of a classical system, kind = "adversarial" fits on attacked recordings too',
            )
        features = Features(task.leads, task.samples, task.fs_hz, spec.segments)
        estimator = fit_estimator(name, system, spec, recordings, features, seed)
        made = folder / ESTIMATOR
        save_estimator(estimator, made)
        head["origin"] = "estimator"
    _end(step, head, made, history)


def _fronted(net: nn.Module, name: str, spec: ModelSpec, task: Task) -> nn.Module:
    """The net behind what its defence puts in front of it."""
    if spec.defence is None or spec.defence.kind != "smooth-input":
        return net
    try:
        return SmoothInput(net, len(task.leads), task.fs_hz, spec.defence.cutoff_hz)
    except InputError as error:
        raise InputError(f"[models.{name}.defence]: {error}", error.mend) from None


def load_model(folder: Path, identity: str, recipes: tuple[str, ...] | None) -> Trained:
    """Load one trained system. Raises InputError when the folder does not hold one."""
    try:
        head = read_json(folder / "model.json")
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in head["task"].items()}
        task = Task(**fields)
        spec = ModelSpec.model_validate(head["spec"])
        if spec.brought:
            module = brought.load(head["name"], spec, resolve(head["name"], spec), task, folder, head)
        elif head["origin"] == "net":
            net = resolve(head["name"], spec).net
            assert net is not None
            front = front_of_net(spec.input, (len(task.leads), task.samples), task.fs_hz, task.leads, f"{folder}")
            module = fronted(front, net(*sizes_of(task, front), **spec.options))
            module = _fronted(module, head["name"], spec, task)
            module.load_state_dict(load_file(folder / WEIGHTS))
        else:
            features = Features(task.leads, task.samples, task.fs_hz, spec.segments)
            estimator = load_estimator(folder / ESTIMATOR, ours=True)
            module = FeatureModel(features, head_of(estimator, alone=len(task.classes) == 1))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"{folder}: not a readable trained model ({one_line(error)})", "delete it and train again"
        ) from None
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    differentiable = all(getattr(part, "differentiable", True) for part in module.modules())
    return Trained(head["name"], module, task, recipes, differentiable, identity, folder.absolute())


def load_metrics(study: Study, build: Path) -> dict[str, dict[str, Any]]:
    """``metrics.json`` of every trained system of the study. Raises InputError for a damaged one."""
    found = {}
    for name in study.models:
        path = folder_of(study, build, name) / "metrics.json"
        if path.exists():
            try:
                found[name] = read_json(path)
            except ValueError as error:
                raise InputError(str(error), f"{command('train')} makes it again") from None
    return found
