"""Train what a study asks for, and load it again: the room's two doors for the others.

In: a study and its recordings. Out: ``build/<study>/models/<name>/``, one folder a system:

    model.json            how to build it again (system, options, task, normalisation)
    weights.safetensors   a net's weights, or
    estimator.skops       a fitted scikit-learn estimator
    metrics.json          validation and test rows, thresholds, history
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from core.console import say
from core.errors import InputError
from core.steps import Step, digest
from core.study import ModelSpec, Study
from ecg.recordings import Recordings
from models.classical import FeatureModel, head_of, load_estimator, probabilities, save_estimator
from models.features import Features
from models.metrics import best_thresholds, paper_row
from models.nets import Normalise
from models.systems import System, Task, resolve
from models.train import Plan, draw_weights, scores_of, train_net
from runtime.files import read_json, replacing, write_json

# Bump when the same settings would train another model: it makes every trained model of this kind stale.
VERSION = 1
NORMALISE_RECORDS = 2000
WEIGHTS, ESTIMATOR = "weights.safetensors", "estimator.skops"


@dataclass(frozen=True)
class Trained:
    """A trained system: ``module`` takes float32 ``(n, leads, samples)`` mV and gives scores ``(n, classes)``.

    ``digest`` identifies it: its name, the settings and recordings it came from, and the bytes of its weights (another
    machine may train others from the same settings); ``differentiable`` says whether gradients of the
    scores reach the signal.
    """

    name: str
    module: nn.Module
    task: Task
    recipes: tuple[str, ...] | None
    differentiable: bool
    digest: str


def task_of(recordings: Recordings) -> Task:
    """The task that recordings pose."""
    about = recordings.about
    return Task(about.leads, recordings.shape[1], about.fs_hz, about.classes)


def folder_of(study: Study, build: Path, name: str) -> Path:
    """Where one trained system of a study lives."""
    return build / study.name / "models" / name


def train_study(study: Study, recordings: Recordings, build: Path) -> dict[str, Trained]:
    """Train every system of the study that is not trained yet, and give all of them.

    Raises InputError for a system that cannot be built; what was trained before it stays.
    """
    systems = {name: resolve(name, spec) for name, spec in study.models.items()}
    trained = {}
    for name, spec in study.models.items():
        step = _step(study, recordings, build, name, systems[name])
        if not step.fresh():
            _train_one(study, recordings, build, name, systems[name], spec, step)
        made = {file: sha256 for file, sha256 in step.outputs().items() if file in (WEIGHTS, ESTIMATOR)}
        identity = digest([name, step.digest, made])
        trained[name] = load_model(step.folder, identity, spec.recipes or systems[name].recipes)
    return trained


def _step(study: Study, recordings: Recordings, build: Path, name: str, system: System) -> Step:
    spec = study.models[name]
    inputs = {
        "version": VERSION,
        "recordings": recordings.fingerprint,
        "leads": recordings.about.leads,
        "window": recordings.window,
        "model": spec.model_dump(exclude={"recipes"}, mode="json"),
        "defaults": asdict(system.training),
        "seed": _seed(study, spec),
        "source": system.source,
        "library": torch.__version__ if system.net else sklearn.__version__,
    }
    return Step(folder_of(study, build, name), "train", inputs)


def _seed(study: Study, spec: ModelSpec) -> int:
    return study.seed if spec.seed is None else spec.seed


def _train_one(
    study: Study, recordings: Recordings, build: Path, name: str, system: System, spec: ModelSpec, step: Step
) -> None:
    folder, task, seed = step.folder, task_of(recordings), _seed(study, spec)
    folder.mkdir(parents=True, exist_ok=True)
    step.stamp.unlink(missing_ok=True)
    head: dict[str, Any] = {"name": name, "spec": spec.model_dump(mode="json"), "task": asdict(task)}
    history: list[dict[str, float]] = []
    head |= {"threads": torch.get_num_threads(), "torch": torch.__version__, "sklearn": sklearn.__version__}
    say(f"training {name} ({system.says}) on {len(recordings.indices('train')):,} recordings")
    if system.net is not None:
        torch.manual_seed(seed)
        net = _build_net(name, system, spec, task)
        head["normalise"] = _fit_normalisation(net, recordings, seed)
        defaults = system.training
        augment = spec.augment
        if augment.wavelet is None:
            augment = augment.model_copy(update={"wavelet": defaults.wavelet})
        plan = Plan(
            epochs=spec.epochs or defaults.epochs,
            batch_size=spec.batch_size or defaults.batch_size,
            learning_rate=spec.learning_rate or defaults.learning_rate,
            weight_decay=defaults.weight_decay if spec.weight_decay is None else spec.weight_decay,
            augment=augment,
            epoch_records=spec.epoch_records,
            balanced=spec.balanced,
            seed=seed,
        )
        # The checkpoint's name carries the settings: an unfinished training of other settings is not gone on with.
        checkpoint = folder / f"unfinished-{step.digest[:12]}.safetensors"
        history = train_net(net, recordings, plan, checkpoint, name)
        made = folder / WEIGHTS
        with replacing(made) as temporary:
            # Cloned, because tied weights share memory, which safetensors does not keep.
            save_file(
                {key: tensor.detach().clone().contiguous() for key, tensor in net.state_dict().items()}, temporary
            )
        head["origin"], module = "net", net
    else:
        features = Features(task.leads, task.samples, task.fs_hz, spec.segments)
        estimator = _fit_estimator(name, system, spec, recordings, features, seed)
        made = folder / ESTIMATOR
        save_estimator(estimator, made)
        head["origin"], module = "estimator", FeatureModel(features, head_of(estimator))
    write_json(folder / "model.json", head)
    metrics = _measure(module, recordings) | {"history": history, "published": _published(spec, recordings)}
    write_json(folder / "metrics.json", metrics)
    step.done([made, folder / "model.json", folder / "metrics.json"])
    for leftover in folder.glob("unfinished-*.safetensors"):
        leftover.unlink()
    say(f"  {name}: macro AUC {metrics['validation']['auc']:.3f} validation, {metrics['test']['auc']:.3f} test")


def _build_net(name: str, system: System, spec: ModelSpec, task: Task) -> nn.Module:
    assert system.net is not None
    try:
        net = system.net(len(task.leads), task.samples, len(task.classes), **spec.options)
        if not isinstance(net, nn.Module):
            raise TypeError(f"it gives a {type(net).__name__}, not a torch module")
        with torch.no_grad():
            out = net.eval()(torch.zeros(2, len(task.leads), task.samples))
    except Exception as error:  # a user's own code may raise anything
        raise InputError(
            f"[models.{name}]: cannot be built: {type(error).__name__}: {error}",
            "a factory is called as factory(leads, samples, classes, **options) and returns a torch module",
        ) from None
    if not isinstance(out, torch.Tensor) or out.shape != (2, len(task.classes)):
        got = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        raise InputError(
            f"[models.{name}]: gives {got} for two recordings, not (2, {len(task.classes)})",
            "the module takes (n, leads, samples) in mV and returns one score (logit) per class",
        )
    return net


def _fit_normalisation(net: nn.Module, recordings: Recordings, seed: int) -> dict[str, float]:
    """Set every Normalise of the net from training recordings; a user's own net normalises as it likes."""
    rows = recordings.sample("train", NORMALISE_RECORDS, seed)
    total = squares = 0.0
    for first in range(0, len(rows), 100):
        signals = recordings.signals(rows[first : first + 100]).astype(np.float64)
        total, squares = total + signals.mean() * len(signals), squares + (signals**2).mean() * len(signals)
    mean = total / len(rows)
    sigma = float(np.sqrt(squares / len(rows) - mean**2))
    for module in net.modules():
        if isinstance(module, Normalise):
            module.mean.fill_(mean)
            module.scale.fill_(1 / sigma)
    return {"mean_mv": mean, "sigma_mv": sigma}


def _fit_estimator(
    name: str, system: System, spec: ModelSpec, recordings: Recordings, features: Features, seed: int
) -> Any:
    assert system.estimator is not None
    rows = recordings.indices("train")
    try:
        estimator = system.estimator(seed, **spec.options)
    except TypeError as error:
        raise InputError(
            f"[models.{name}]: cannot be built: {error}",
            "options are the keywords of the system; an own estimator is called as callable(**options)",
        ) from None
    values = scores_of(features, recordings, rows)
    labels = recordings.labels[rows]
    if spec.balanced:
        draw = np.random.default_rng(seed).choice(len(rows), len(rows), p=draw_weights(labels))
        values, labels = values[draw], labels[draw]
    try:
        estimator.fit(values, labels)
        given = probabilities(estimator, values[:2]).shape
    except Exception as error:  # scikit-learn refuses in many ways what it was not made for
        raise InputError(
            f"[models.{name}]: cannot be fitted to labels (n, {labels.shape[1]}): {type(error).__name__}: {error}",
            "an estimator that takes one label at a time wants sklearn.multiclass.OneVsRestClassifier around it",
        ) from None
    if given != (2, labels.shape[1]):
        raise InputError(
            f"[models.{name}]: the estimator does not give one probability per label",
            "wrap it in sklearn.multiclass.OneVsRestClassifier or sklearn.multioutput.MultiOutputClassifier",
        )
    return estimator


def _measure(module: nn.Module, recordings: Recordings) -> dict[str, Any]:
    """Validation and test rows, with the thresholds that validation gave."""
    scores, labels = {}, {}
    for split in ("validation", "test"):
        rows = recordings.indices(split)
        scores[split], labels[split] = scores_of(module, recordings, rows), recordings.labels[rows]
    thresholds = best_thresholds(labels["validation"], scores["validation"])
    rows_of = {split: asdict(paper_row(labels[split], scores[split], thresholds)) for split in scores}
    return {**rows_of, "thresholds": [float(value) for value in thresholds]}


def _published(spec: ModelSpec, recordings: Recordings) -> bool:
    """True when the paper's row may stand beside ours: its system on its task, PTB-XL's whole 12-lead recording."""
    about, whole = recordings.about, recordings.window == (0, recordings.steps.shape[2])
    return about.database == "ptb-xl" and len(about.leads) == 12 and whole and not (spec.factory or spec.estimator)


def load_model(folder: Path, identity: str, recipes: tuple[str, ...] | None) -> Trained:
    """Load one trained system. Raises InputError when the folder does not hold one."""
    try:
        head = read_json(folder / "model.json")
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in head["task"].items()}
        task = Task(**fields)
        spec = ModelSpec.model_validate(head["spec"])
        if head["origin"] == "net":
            net = resolve(head["name"], spec).net
            assert net is not None
            module = net(len(task.leads), task.samples, len(task.classes), **spec.options)
            module.load_state_dict(load_file(folder / WEIGHTS))
        else:
            features = Features(task.leads, task.samples, task.fs_hz, spec.segments)
            module = FeatureModel(features, head_of(load_estimator(folder / ESTIMATOR)))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: not a readable trained model ({error})", "delete it and train again") from None
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    differentiable = all(getattr(part, "differentiable", True) for part in module.modules())
    return Trained(head["name"], module, task, recipes, differentiable, identity)


def load_metrics(study: Study, build: Path) -> dict[str, dict[str, Any]]:
    """``metrics.json`` of every trained system of the study. Raises InputError for a damaged one."""
    found = {}
    for name in study.models:
        path = folder_of(study, build, name) / "metrics.json"
        if path.exists():
            try:
                found[name] = read_json(path)
            except ValueError as error:
                raise InputError(str(error), "make train makes it again") from None
    return found
